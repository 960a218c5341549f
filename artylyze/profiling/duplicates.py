"""Whether two pictures show one photographed object: a perceptual hash proposes, correlation of pixels confirms.

The hash is Zauner's DCT hash ("Implementation and Benchmarking of Perceptual Image Hash Functions", 2010): the signs,
against their median, of the 8 x 8 lowest frequencies of a 32 x 32 luminance image. It forgives other encodings and
other light; cropping moves some of its bits, so it proposes generously. What it proposes is confirmed by the normalised
cross-correlation of their details (Lewis, "Fast Normalized Cross-Correlation", 1995): luminance less its blurred self,
since two seas below two skies correlate in all that is coarse. The best of some crops of either counts.

Frames, margins, lines of text and printed forms are shared by different works and pages. So most of the blocks of the
picture must agree as well, each without the means of its rows and columns, and each moved by a few pixels to where it
agrees best. Where hardly any block has details (blank pages), nothing can be said, and the pictures are not the same.

Two copies of one form agree in most blocks too, and differ where they are filled in. So the parts of each block are
compared where the block as a whole agrees best, which its print decides: of a second photograph nearly all agree as
well as most do. The margin is left out, where one photograph may show a frame that the other does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

BITS = 24
"""Bits of 64 in which two hashes may differ to be looked at further; of unlike pictures half of the bits differ."""

CORRELATION = 0.6
"""Correlation of details from which blocks are compared too. Works photographed twice were at 0.71 and more, second
photographs of pages of text at 0.6 and more; works that merely share a frame are often above it."""

AGREEMENT = 0.5
"""Lower quartile of the correlations of blocks from which two pictures show one object. Measured at 180 pixels a side:
different generated pages (text, letters, forms, drawings) stayed at 0.46 and less, second photographs of them were at
0.63 and more. Of 714 pairs of real paintings that correlate by 0.6 or more, 33 were at 0.70 and more, 3 between 0.50
and 0.59 (two states of an etching, two versions of a work), and 678 at 0.45 and less, many of which share a frame."""

WEAKEST = 0.25
"""What all but a fiftieth of the parts of blocks correlate by, as a share of their median: of how well two photographs
agree at all. Chosen on some generated cards and pages and measured on others: 160 pairs of cards of one form, of which
a third of the lines are filled in differently, were at 0.18 and less; 96 second scans of such cards at 0.77 and more,
120 of pages at 0.27 and more. Of the pairs of real paintings the 33 were at 0.45 and more, but for a woodcut in two
colourings, at 0.30, and the others at 0 and less. Cards that differ in 2 of 18 lines often pass for one: up to 0.82."""

_SIDE = 48  # pixels of a side, where pictures are correlated
_CROPS = (0.0, 0.025, 0.05, 0.075, 0.1)  # share of the side that one photograph may lack
_PLACES = (0.0, 0.5, 1.0)  # where the missing share lies: after, around, before
_BLUR = 3.0  # pixels: standard deviation of the blur that takes details away
_Box = tuple[float, float, float, float]  # left, top, right, bottom: shares of the side
_ALL: _Box = (0.0, 0.0, 1.0, 1.0)
_FINE, _FINE_BLUR = 180, 4.0  # pixels of a side, and of the blur, where blocks are compared
_BLOCK, _SHIFT = 30, 4  # pixels: side of a block, and how far it may have moved after the crop
_CONTRAST = 4.0  # grey levels of 255: standard deviation from which the details of a block can be compared
_PART = (10, 15)  # pixels: height and width of the parts of a block, about one written line; each overlaps the next
_INK = 3.0  # grey levels: standard deviation from which there is something in a part, in one of the pictures at least
_SMOOTH = 0.7  # pixels: blur that evens out which photograph was the sharper, before its details are taken
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
        weakest: what all but a fiftieth of the parts of blocks correlate by, as a share of their median, up to 1; 0
            likewise.
    """

    bits: int
    correlation: float
    agreement: float
    weakest: float

    @property
    def same(self) -> bool:
        """Whether they show one object."""
        alike = self.bits <= BITS and self.correlation >= CORRELATION
        return alike and self.agreement >= AGREEMENT and self.weakest >= WEAKEST


def likeness(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> Likeness:
    """Compare two pictures, uint8 (size, size, 3), whole works squeezed into squares."""
    bits = int((perceptual_hash(one) != perceptual_hash(other)).sum())
    if bits > BITS:
        return Likeness(bits, _correlation(_details(one), _details(other)), 0.0, 0.0)
    correlation, whole, part, box = max(_aligned(one, other), key=lambda crop: crop[0])
    return Likeness(bits, correlation, *(_agreement(whole, part, box) if correlation >= CORRELATION else (0.0, 0.0)))


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


def _agreement(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], box: _Box) -> tuple[float, float]:
    """Compare the blocks of a picture with those of a part of another: `agreement` and `weakest` of their likeness."""
    whole, part = _fine(one, _ALL), np.pad(_fine(other, box), _SHIFT)
    known: list[float] = []
    parts: list[npt.NDArray[np.float32]] = []
    inner = range(_BLOCK, _FINE - _BLOCK)
    for top in range(0, _FINE, _BLOCK):
        for left in range(0, _FINE, _BLOCK):
            block = whole[top : top + _BLOCK, left : left + _BLOCK]
            around = part[top : top + _BLOCK + 2 * _SHIFT, left : left + _BLOCK + 2 * _SHIFT]
            moved = sliding_window_view(around, block.shape)
            alike, ink, other_ink = _alike(block, moved)
            best = np.unravel_index(alike.argmax(), alike.shape)
            if np.sqrt(ink * other_ink[best]) > _CONTRAST:
                known.append(float(alike[best]))
            if top in inner and left in inner:
                alike, ink, other_ink = _alike(_parts(block), _parts(moved[best]))
                parts.append(alike[np.maximum(ink, other_ink) > _INK])
    if len(known) < _BLOCKS:
        return 0.0, 0.0
    inked = np.concatenate(parts)
    weak, usual = np.percentile(inked, (2, 50)) if len(inked) else (1.0, 1.0)
    return float(np.percentile(known, 25)), float(weak / usual) if usual > 0 else 0.0


def _parts(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The parts of a block (side, side): (rows, columns, *_PART)."""
    return sliding_window_view(block, _PART)[:: _PART[0] // 2, :: _PART[1] // 2]


def _alike(
    one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Correlations of blocks (..., height, width), and the contrast of either in grey levels."""
    first, second = _centred(one), _centred(other)
    ink, other_ink = (np.sqrt((blocks**2).mean(axis=(-2, -1))) for blocks in (first, second))
    alike = (first * second).mean(axis=(-2, -1)) / np.maximum(ink * other_ink, 1e-6)
    return alike, ink, other_ink


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


def _details(pixels: npt.NDArray[np.uint8], box: _Box = _ALL) -> npt.NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    small = _small(pixels, box, _SIDE)
    details: npt.NDArray[np.float32] = small - gaussian_filter(small, _BLUR)
    return details


def _fine(pixels: npt.NDArray[np.uint8], box: _Box) -> npt.NDArray[np.float32]:
    """Details in which blocks are compared, float32 (_FINE, _FINE): at this size pixels lie between pixels."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(_small(pixels, box, _FINE, Image.Resampling.BICUBIC), _SMOOTH)
    details: npt.NDArray[np.float32] = smooth - gaussian_filter(smooth, _FINE_BLUR)
    return details


def _small(
    pixels: npt.NDArray[np.uint8], box: _Box, side: int, resampling: Image.Resampling = Image.Resampling.BOX
) -> npt.NDArray[np.float32]:
    """The luminance of a part of a picture, float32 (side, side)."""
    size = pixels.shape[0]
    left, top, right, bottom = (edge * size for edge in box)
    part = Image.fromarray(pixels).resize((side, side), resampling, box=(left, top, right, bottom))
    found: npt.NDArray[np.float32] = np.asarray(part, np.float32) @ _LUMINANCE
    return found


def _correlation(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    first, second = one - one.mean(), other - other.mean()
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum()) / scale if scale > 1e-6 else 0.0
