"""Small pictures of works, read from where the works lie; one that cannot be read is a grey field that says why."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from artylyze.drawing.contact_sheet import TILE, size_within
from artylyze.errors import ImageError
from artylyze.workers.fetching import Source
from artylyze.workers.protocol import Seen
from artylyze.workers.reading import Reader

_MISSING = np.full((8, 8, 3), 214, np.uint8)


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """One work in small: pixels uint8 (size, size, 3), its width over its height, why it could not be read if so."""

    pixels: npt.NDArray[np.uint8]
    aspect: float
    why: str | None = None

    def jpeg(self, longest: int = TILE) -> tuple[bytes, int, int]:
        """Return it in its own aspect as a JPEG, with its width and height in pixels."""
        size = size_within(longest, self.aspect)
        out = io.BytesIO()
        Image.fromarray(self.pixels).resize(size, Image.Resampling.LANCZOS).save(out, "JPEG", quality=80)
        return out.getvalue(), *size


def read_thumbnails(sources: Sequence[Source], size: int = TILE) -> list[Thumbnail]:
    """Read the images behind `sources` as squares of `size` pixels, in their order."""
    outcomes: list[Seen | ImageError | None] = [None] * len(sources)
    pixels: dict[int, npt.NDArray[np.uint8]] = {}
    with Reader(size) as reader:
        for batch in reader.read(sources, outcomes, 16):
            pixels |= dict(zip(batch.rows, batch.filled.copy(), strict=True))
    return [_thumbnail(outcome, pixels.get(row)) for row, outcome in enumerate(outcomes)]


def _thumbnail(outcome: Seen | ImageError | None, pixels: npt.NDArray[np.uint8] | None) -> Thumbnail:
    if isinstance(outcome, Seen) and pixels is not None:
        return Thumbnail(pixels, outcome.width / outcome.height)
    return Thumbnail(_MISSING, 1.0, f"not read: {outcome.code}" if isinstance(outcome, ImageError) else "not read")
