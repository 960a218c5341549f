"""Why two images are taken for one work: what their pixels, bytes or names say."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt
from PIL import Image

from artylyze.duplication.alignment import Box
from artylyze.duplication.hashes import turned
from artylyze.duplication.likeness import CORRELATION, Square, fit

TRIMMED = 0.035
"""Share of a side that one picture must lack for a crop: below it lies what encoding and alignment move."""

LIGHT = 10.0
"""Grey levels by which the colours of two photographs differ in the mean, from which they are of different light. JPEG
of quality 40 moves colours by some 2."""

COPY = 0.4
"""Agreement of blocks from which a picture that is not the same is perhaps a copy, where details correlate."""

_PATCHES = 12  # of a side, whose mean colours are compared


class Reason(StrEnum):
    """Why two images are a pair, the surest first."""

    FILE = "same file"
    PHOTOGRAPH = "same photograph"
    LIGHT = "other light"
    CROP = "crop or detail"
    SIDES = "recto and verso"
    COPY = "perhaps a copy"

    @property
    def sure(self) -> bool:
        """Whether the two images show one work, so that they can be of one group."""
        return self is not Reason.COPY


def compare(first: Square, second: Square, transform: int, ratio: float) -> tuple[Reason, float] | None:
    """Compare two pictures, uint8 (180, 180, 3), of which the second is turned first.

    Args:
        first: a whole work squeezed into a square.
        second: likewise.
        transform: of the second, by its number in TRANSFORMS.
        ratio: the second work's width over its height after the transform, over that of the first.

    Returns:
        The reason and a score, the lower quartile of the correlations of their blocks; None where they are not alike.
    """
    other = turned(second, transform)
    found = fit(first, other, ratio)
    score = round(found.likeness.agreement, 4)
    if not found.likeness.agrees:
        copied = found.likeness.correlation >= CORRELATION and score >= COPY and transform == 0
        return (Reason.COPY, score) if copied else None
    if found.box.missing > TRIMMED:
        return Reason.CROP, score
    small, large = (first, other) if found.outer else (other, first)
    return (Reason.LIGHT if _apart(small, large, found.box) > LIGHT else Reason.PHOTOGRAPH), score


def _apart(small: Square, large: Square, box: Box) -> float:
    """Grey levels by which the colours of a picture differ in the mean from the part of another that it shows."""
    size = large.shape[0]
    whole = Image.fromarray(small).resize((_PATCHES, _PATCHES), Image.Resampling.BOX)
    edges = tuple(edge * size for edge in box)
    part = Image.fromarray(large).resize((_PATCHES, _PATCHES), Image.Resampling.BOX, box=edges)
    difference: npt.NDArray[np.float32] = np.asarray(whole, np.float32) - np.asarray(part, np.float32)
    return float(np.abs(difference).mean())
