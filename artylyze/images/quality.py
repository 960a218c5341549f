"""What a curator would check before trusting a picture's tags, seen in its decoded square and its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

WARNINGS = {
    "truncated": "the file ends early: lines or details may be missing",
    "no-icc": "CMYK without an ICC profile: its colours are a guess",
    "animated": "several frames, of which the first was read",
    "several-pages": "several pages, of which the first was read",
    "upscaled": "its short side is below 64 pixels, so that it was enlarged",
    "extreme-aspect": "one side is more than 8 times the other",
    "nearly-uniform": "nearly one colour all over",
    "colour-chart": "mostly a colour chart",
    "black-border": "mostly a black border",
}
"""Everything that a catalog's column `warnings` may name, in its order, and what it means."""

SHORTEST, LONGEST_ASPECT = 64, 8
_LOOKED_AT = 64  # rows and columns of the square that are looked at, at most
_UNIFORM = 12  # levels between the 1st and the 99th percentile of each channel
_BLACK, _BLACK_LINE = 20, 0.98  # highest level of black, and share of a line's pixels that have it
_BORDER = 0.5  # share of the picture
_FLAT, _FLAT_SHARE = 10, 0.5  # levels between neighbours within a patch, and the share of the picture within patches
_PATCH, _HUE = 0.008, 0.015  # shares of the picture that a colour, or a sixth of the circle of hues, takes on a chart
_PATCHES, _HUES, _NEUTRALS = 12, 4, 6  # colours, sixths, and of 8 levels of gray those that a chart has at least
_GRAY, _SATURATED = 25, 50  # levels between the channels of a neutral colour at most, of a saturated one at least


def quality_warnings(pixels: npt.NDArray[np.uint8], width: int, height: int) -> list[str]:
    """Return those of WARNINGS that can be seen in a picture.

    Args:
        pixels: uint8 (size, size, 3), sRGB: the picture, squashed to a square.
        width: of the full resolution, pixels.
        height: of the full resolution, pixels.
    """
    step = -(-len(pixels) // _LOOKED_AT)
    small = np.ascontiguousarray(pixels[::step, ::step].transpose(2, 0, 1))  # planes: numpy is slow along short axes
    return [
        name
        for name, holds in (
            ("upscaled", min(width, height) < SHORTEST),
            ("extreme-aspect", max(width, height) > LONGEST_ASPECT * min(width, height)),
            ("nearly-uniform", _is_uniform(small)),
            ("colour-chart", _is_chart(small)),
            ("black-border", _black_border(small) >= _BORDER),
        )
        if holds
    ]


def _is_uniform(small: npt.NDArray[np.uint8]) -> bool:
    few = small[0].size // 100
    return all(_spread(np.bincount(plane.ravel(), minlength=256), few) <= _UNIFORM for plane in small)


def _spread(counts: npt.NDArray[np.int64], few: int) -> int:
    """Levels between the darkest and the lightest pixel but for a `few` on either side."""
    reached = counts.cumsum()
    darkest, lightest = np.searchsorted(reached, [few, int(reached[-1]) - 1 - few], side="right").tolist()
    return int(lightest - darkest)


def _black_border(small: npt.NDArray[np.uint8]) -> float:
    """The share of the picture outside the smallest rectangle that holds every line that is not black."""
    black = np.maximum(np.maximum(small[0], small[1]), small[2]) <= _BLACK
    if not black[[0, 0, -1, -1], [0, -1, 0, -1]].any():
        return 0.0
    rows, columns = (np.flatnonzero(black.mean(axis=axis) < _BLACK_LINE) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return 0.0  # black all over, which is another warning
    inside = int(rows[-1] - rows[0] + 1) * int(columns[-1] - columns[0] + 1)
    return float(1 - inside / black.size)


def _is_chart(small: npt.NDArray[np.uint8]) -> bool:
    """Whether much of the picture is flat patches of many colours, among them most hues and a scale of grays."""
    here = small[:, :-1, :-1].astype(np.int16)
    below, beside = np.abs(small[:, 1:, :-1] - here), np.abs(small[:, :-1, 1:] - here)
    flat = np.maximum(below, beside).max(axis=0) <= _FLAT
    if flat.mean() < _FLAT_SHARE:
        return False
    red, green, blue = colours = here[:, flat]
    if _held((red >> 5) * 64 + (green >> 5) * 8 + (blue >> 5), flat.size, _PATCH) < _PATCHES:
        return False
    chroma = colours.max(axis=0) - colours.min(axis=0)
    neutral, saturated = colours[:, chroma <= _GRAY], colours[:, chroma >= _SATURATED]
    # The order of the channels is the sixth of the circle.
    sixths = saturated.argmax(axis=0) * 3 + saturated.argmin(axis=0)
    grays = _held(neutral.sum(axis=0) // 3 >> 5, flat.size, _PATCH)
    return grays >= _NEUTRALS and _held(sixths, flat.size, _HUE) >= _HUES


def _held(values: npt.NDArray[np.signedinteger], of: int, share: float) -> int:
    """How many values at least this share of `of` pixels have."""
    return int((np.bincount(values) >= share * of).sum())
