"""Whether two pictures show one photographed object: a perceptual hash proposes, correlation of pixels confirms.

The hash is Zauner's DCT hash ("Implementation and Benchmarking of Perceptual Image Hash Functions", 2010): the signs,
against their median, of the 8 x 8 lowest frequencies of a 32 x 32 luminance image. It forgives other encodings and
other light; cropping moves some of its bits, so it proposes generously. What it proposes is confirmed by the normalised
cross-correlation of their details (Lewis, "Fast Normalized Cross-Correlation", 1995): luminance less its blurred self,
since two seas below two skies correlate in all that is coarse. The best of some crops of either counts.

Frames, margins, lines of text and printed forms are shared by different works and pages. So most of the blocks of the
picture must agree as well, each without the means of its rows and columns, and each moved by a few pixels to where it
agrees best. Where hardly any block has details (blank pages), nothing can be said, and the pictures are not the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

BITS = 24
"""Bits of 64 in which two hashes may differ to be looked at further; of unlike pictures half of the bits differ."""

CORRELATION = 0.6
"""Correlation of details from which blocks are compared too. Works photographed twice were at 0.71 and more, second
photographs of pages of text at 0.6 and more; works that merely share a frame are often above it."""

AGREEMENT = 0.5
"""Lower quartile of the correlations of blocks from which two pictures show one object. Measured at 180 pixels a side:
80 pairs of different generated pages (text, forms, letters, ledgers, drawings) stayed below 0.47, second photographs of
them were at 0.56 and more; but a printed form with few entries equals its sister. Of the 113 of
235 pairs of real paintings that correlate by 0.7 or more, 17 were at 0.58 and more, 3 between 0.39 and 0.44, and the
others, many of which share a frame, below 0.3; of the pairs that correlate less none was above 0.31."""

_SIDE = 48  # pixels of a side, where pictures are correlated
_CROPS = (0.0, 0.025, 0.05, 0.075, 0.1)  # share of the side that one photograph may lack
_PLACES = (0.0, 0.5, 1.0)  # where the missing share lies: after, around, before
_BLUR = 3.0  # pixels: standard deviation of the blur that takes details away
_Box = tuple[float, float, float, float]  # left, top, right, bottom: shares of the side
_ALL: _Box = (0.0, 0.0, 1.0, 1.0)
_FINE, _FINE_BLUR = 180, 4.0  # pixels of a side, and of the blur, where blocks are compared
_BLOCK, _SHIFT = 30, 4  # pixels: side of a block, and how far it may have moved after the crop
_CONTRAST = 4.0  # grey levels of 255: standard deviation from which the details of a block can be compared
_BLOCKS = 8  # blocks with that contrast, of 36, below which nothing can be said: the corners of blank paper have some
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class Likeness:
    """How alike two pictures are.

    Attributes:
        bits: of 64, in which their hashes differ.
        correlation: of their details, -1 to 1.
        agreement: lower quartile of the correlations of their blocks, -1 to 1; 0 where the rest rules it out already,
            or where too few blocks have details.
    """

    bits: int
    correlation: float
    agreement: float

    @property
    def same(self) -> bool:
        """Whether they show one object."""
        return self.bits <= BITS and self.correlation >= CORRELATION and self.agreement >= AGREEMENT


def likeness(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> Likeness:
    """Compare two pictures, uint8 (size, size, 3), whole works squeezed into squares."""
    bits = int((perceptual_hash(one) != perceptual_hash(other)).sum())
    if bits > BITS:
        return Likeness(bits, _correlation(_details(one), _details(other)), 0.0)
    correlation, whole, part, box = max(_aligned(one, other), key=lambda crop: crop[0])
    return Likeness(bits, correlation, _agreement(whole, part, box) if correlation >= CORRELATION else 0.0)


def perceptual_hash(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return the DCT hash of a picture, uint8 (size, size, 3): bool (64,)."""
    from scipy.fft import dctn

    low = dctn(_small(pixels, _ALL, 32), type=2, norm="ortho")[:8, :8].ravel()
    signs: npt.NDArray[np.bool_] = low > np.median(low[1:])
    return signs


def _aligned(
    one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]
) -> Iterator[tuple[float, npt.NDArray[np.uint8], npt.NDArray[np.uint8], _Box]]:
    """Correlations of one picture with parts of the other: correlation, whole picture, other picture, part of it."""
    for first, second in ((one, other), (other, one)):
        whole = _details(first)
        for left, right in _SPANS:
            for top, bottom in _SPANS:
                box = (left, top, right, bottom)
                yield _correlation(whole, _details(second, box)), first, second, box


def _agreement(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], box: _Box) -> float:
    """Lower quartile of the correlations of the blocks of a picture with those of a part of another."""
    whole = _details(one, _ALL, _FINE, _FINE_BLUR)
    part = np.pad(_details(other, box, _FINE, _FINE_BLUR), _SHIFT)
    known = []
    for top in range(0, _FINE, _BLOCK):
        for left in range(0, _FINE, _BLOCK):
            block = _centred(whole[top : top + _BLOCK, left : left + _BLOCK])
            around = part[top : top + _BLOCK + 2 * _SHIFT, left : left + _BLOCK + 2 * _SHIFT]
            moved = _centred(np.lib.stride_tricks.sliding_window_view(around, block.shape))
            scale = np.linalg.norm(block) * np.linalg.norm(moved, axis=(2, 3))
            alike = (moved * block).sum(axis=(2, 3)) / np.maximum(scale, 1e-6)
            best = np.unravel_index(alike.argmax(), alike.shape)
            if np.sqrt(scale[best]) > _CONTRAST * _BLOCK:
                known.append(alike[best])
    return float(np.percentile(known, 25)) if len(known) >= _BLOCKS else 0.0


def _centred(blocks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Blocks (..., height, width) without the means of their rows and of their columns."""
    rows = blocks - blocks.mean(axis=-1, keepdims=True)
    centred: npt.NDArray[np.float32] = rows - rows.mean(axis=-2, keepdims=True)
    return centred


def _spans() -> Iterator[tuple[float, float]]:
    for crop in _CROPS:
        for place in _PLACES if crop else (0.0,):
            yield place * crop, place * crop + 1 - crop


_SPANS = tuple(_spans())


def _details(
    pixels: npt.NDArray[np.uint8], box: _Box = _ALL, side: int = _SIDE, blur: float = _BLUR
) -> npt.NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    small = _small(pixels, box, side)
    details: npt.NDArray[np.float32] = small - gaussian_filter(small, blur)
    return details


def _small(pixels: npt.NDArray[np.uint8], box: _Box, side: int) -> npt.NDArray[np.float32]:
    """The luminance of a part of a picture, float32 (side, side)."""
    size = pixels.shape[0]
    left, top, right, bottom = (edge * size for edge in box)
    part = Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX, box=(left, top, right, bottom))
    found: npt.NDArray[np.float32] = np.asarray(part, np.float32) @ _LUMINANCE
    return found


def _correlation(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    first, second = one - one.mean(), other - other.mean()
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum()) / scale if scale > 1e-6 else 0.0
