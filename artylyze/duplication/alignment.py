"""Where one picture lies within another: normalised cross-correlation of their details, over sizes and positions.

Details are luminance less its blurred self, since two seas below two skies correlate in all that is coarse. A template,
the details of the whole of one picture at some size, is correlated with every window of the other's details by FFT
(Lewis, "Fast Normalized Cross-Correlation", 1995). Pictures are squares into which whole works were squeezed; where
their aspects are known, only templates are tried whose pixels are as wide as they are high.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

SMALL, COARSE, FINE = 24, 32, 64
"""Pixels of a side of the maps on which pictures are aligned: of many pairs, of few, and where those fit somewhere."""

SHARES = (1.0, 0.96, 0.92, 0.88, 0.84, 0.79, 0.73, 0.66, 0.58, 0.5, 0.42)
"""Sizes that are tried where aspects are known: the longer side of the part, as a share of the whole's."""

TRIMS = (1.0, 0.975, 0.95, 0.925, 0.9)
"""Sizes of either side that are tried where aspects are not known."""

LEAST = 0.3
"""Share of a side below which no part is looked for."""

_BLUR = 16  # standard deviation of the blur that takes details away: the side over this
_TOGETHER = 16  # pairs that are aligned at once: their arrays stay in the processor's cache
_STEPS = (-2, -1, 0, 1, 2)  # pixels by which sizes are varied on the fine maps


class Box(NamedTuple):
    """A part of a picture, as shares of its sides from the left and from the top."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def missing(self) -> float:
        """The larger of the shares of width and height that lie outside."""
        return 1 - min(self.right - self.left, self.bottom - self.top)


@dataclass(frozen=True, eq=False)
class Alignments:
    """How n pairs of pictures correlate best.

    Attributes:
        correlation: float32 (n,), of details, -1 to 1.
        outer: bool (n,), whether the second picture is the larger, and the first lies within it.
        boxes: float32 (n, 4), left, top, right and bottom of the smaller in the larger, as shares of its sides.
    """

    correlation: Floats
    outer: npt.NDArray[np.bool_]
    boxes: Floats

    def box(self, pair: int) -> Box:
        """The part that the smaller picture of a pair shows of the larger."""
        return Box(*map(float, self.boxes[pair]))


def fitting(first: Floats, second: Floats) -> Floats:
    """Correlations of the details of pairs of whole pictures, float32 (n, side, side): float32 (n,)."""
    side = first.shape[1]
    blurred = _operators(side)[1][side]
    details, others = (maps - blurred @ maps @ blurred.T for maps in (first, second))
    details, others = (maps - maps.mean(axis=(1, 2), keepdims=True) for maps in (details, others))
    product, energy, other = (
        np.einsum("nij,nij->n", one, another)
        for one, another in ((details, others), (details, details), (others, others))
    )
    floor = np.float32(1e-1 * side**2)
    correlations: Floats = np.where((energy > floor) & (other > floor), product / np.sqrt(energy * other + 1e-6), 0)
    return correlations


def align(first: Floats, second: Floats, ratios: Floats | None) -> Alignments:
    """Align pairs of pictures.

    Args:
        first: luminance, float32 (n, side, side).
        second: likewise.
        ratios: float32 (n,), the second's width over its height, over that of the first; None: not known.
    """
    side, count = first.shape[1], len(first)
    correlation, outer, boxes = np.empty(count, np.float32), np.empty(count, bool), np.empty((count, 4), np.float32)
    for start in range(0, count, _TOGETHER):
        some = slice(start, start + _TOGETHER)
        ratio = None if ratios is None else ratios[some]
        within = _best(first[some], second[some], _sizes(ratio, len(first[some]), side))
        around = _best(
            second[some], first[some], _sizes(None if ratio is None else np.reciprocal(ratio), len(first[some]), side)
        )
        larger = around[0] > within[0]
        correlation[some], outer[some] = np.where(larger, around[0], within[0]), larger
        boxes[some] = np.where(larger[:, None], around[1], within[1])
    return Alignments(correlation, outer, boxes)


def refine(inner: Floats, outer: Floats, box: Box) -> tuple[float, Box]:
    """Align a picture better with the part of another in which it lies, on finer maps, float32 (side, side)."""
    side = inner.shape[0]
    height, width = (round((end - begin) * side) for begin, end in ((box.top, box.bottom), (box.left, box.right)))
    least = round(LEAST * side)
    sizes = sorted(
        {
            (min(side, max(least, height + down)), min(side, max(least, width + along)))
            for down in _STEPS
            for along in _STEPS
        }
    )
    correlation, boxes = _best(outer[None], inner[None], np.array([sizes], np.int64))
    return float(correlation[0]), Box(*map(float, boxes[0]))


def reduced(picture: npt.NDArray[np.uint8], side: int) -> Floats:
    """A square picture, uint8 (size, size), as a map, float32 (side, side): the mean of what lies behind each pixel."""
    weights = averages(picture.shape[0], side)
    small: Floats = weights @ picture.astype(np.float32) @ weights.T
    return small


def _sizes(ratio: Floats | None, count: int, side: int) -> Numbers:
    """Heights and widths of templates in pixels, int64 (count, sizes, 2), the whole side first."""
    grid = np.array([(down, along) for down in TRIMS for along in TRIMS], np.float32)
    if ratio is None:
        shares = np.broadcast_to(grid, (count, *grid.shape))
    else:
        long = np.array(SHARES, np.float32)[None, :]
        wide = ratio[:, None]
        family = np.stack([long * np.minimum(1, 1 / wide), long * np.minimum(1, wide)], axis=-1)
        shares = np.concatenate([np.ones((count, 1, 2), np.float32), family], axis=1)
    sizes = np.rint(shares * side).astype(np.int64)
    return np.clip(sizes, round(LEAST * side), side)


def _best(wholes: Floats, parts: Floats, sizes: Numbers) -> tuple[Floats, Floats]:
    """The best correlation of each part with a window of its whole, (n,), and where the window lies, (n, 4)."""
    from scipy.fft import irfft2, rfft2

    side = wholes.shape[1]
    means, blurred, bands = _operators(side)
    tall, wide = sizes[..., 0], sizes[..., 1]
    details = wholes - blurred[side] @ wholes @ blurred[side].T
    squeezed = parts[:, None]
    templates = means[tall] @ squeezed @ means[wide].swapaxes(-1, -2)
    templates -= blurred[tall] @ squeezed @ blurred[wide].swapaxes(-1, -2)
    inside = (np.arange(side) < tall[..., None])[..., :, None] & (np.arange(side) < wide[..., None])[..., None, :]
    area = (tall * wide).astype(np.float32)
    templates -= inside * (templates.sum(axis=(-2, -1)) / area)[..., None, None]
    energy = np.einsum("nsij,nsij->ns", templates, templates)
    spectrum = rfft2(details)[:, None] * np.conj(rfft2(templates))
    product = irfft2(spectrum, s=(side, side))
    down, along = bands[tall], bands[wide].swapaxes(-1, -2)
    sums = down @ details[:, None] @ along
    squares = down @ np.square(details)[:, None] @ along
    spread = (squares - np.square(sums) / area[..., None, None]) * energy[..., None, None]
    floor = np.float32(1e-3) * area[..., None, None] ** 2  # below a third of a grey level there are no details
    alike = np.where(spread > floor, product / np.sqrt(np.maximum(spread, floor)), 0)
    alike[np.arange(side) > (side - tall)[..., None]] = -1
    alike.swapaxes(-1, -2)[np.arange(side) > (side - wide)[..., None]] = -1
    flat = alike.reshape(len(wholes), -1)
    best = flat.argmax(axis=1)
    size, place = np.divmod(best, side * side)
    top, left = np.divmod(place, side)
    rows = np.arange(len(wholes))
    boxes = np.stack([left, top, left + wide[rows, size], top + tall[rows, size]], axis=1) / side
    return flat[rows, best].astype(np.float32), boxes.astype(np.float32)


@lru_cache
def _operators(side: int) -> tuple[Floats, Floats, Floats]:
    """Matrices by the size of a template, float32 (side + 1, side, side), rows beyond the size empty.

    Those that make a template of a whole picture, those that make and blur it, and those that sum windows of its size.
    """
    from scipy.ndimage import gaussian_filter1d

    means, blurred, bands = (np.zeros((side + 1, side, side), np.float32) for _ in range(3))
    for size in range(1, side + 1):
        means[size, :size] = averages(side, size)
        blurred[size, :size] = gaussian_filter1d(means[size, :size].astype(np.float64), side / _BLUR, axis=0)
        for begin in range(side - size + 1):
            bands[size, begin, begin : begin + size] = 1
    return means, blurred, bands


@lru_cache
def averages(side: int, size: int) -> Floats:
    """Return the matrix that averages `side` pixels to `size` of them, float32 (size, side)."""
    edges = np.arange(size + 1) * side / size
    begin, end = edges[:-1, None], edges[1:, None]
    pixel = np.arange(side)
    overlap = np.clip(np.minimum(end, pixel + 1) - np.maximum(begin, pixel), 0, None)
    weights: Floats = (overlap * size / side).astype(np.float32)
    return weights
