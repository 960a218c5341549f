"""Whether two pictures show one photographed object: a perceptual hash proposes, correlation of pixels confirms.

The hash forgives other encodings and other light; cropping moves some of its bits, so it proposes generously. What it
proposes is confirmed by the correlation of details where the pictures fit best (`alignment`).

Frames, margins, lines of text and printed forms are shared by different works and pages. So most of the blocks of the
picture must agree as well, each without the means of its rows and columns, and each moved by a few pixels to where it
agrees best. Where hardly any block has details (blank pages), nothing can be said, and the pictures are not the same.

Two copies of one form agree in most blocks too, and differ where they are filled in. So the parts of each block are
compared where the block as a whole agrees best, which its print decides: of a second photograph nearly all agree as
well as most do. The margin is left out, where one photograph may show a frame that the other does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from artylyze.duplication.alignment import COARSE, FINE, Box, align, reduced, refine
from artylyze.duplication.hashes import perceptual_hash

BITS = 24
"""Bits of 64 in which two hashes may differ to be looked at further; of unlike pictures half of the bits differ."""

CORRELATION = 0.6
"""Correlation of details from which blocks are compared too. Works photographed twice were at 0.71 and more, second
photographs of pages of text at 0.6 and more; works that merely share a frame are often above it."""

COARSE_CORRELATION = 0.6
"""Correlation on coarse maps from which pictures whose aspects are known are aligned on fine ones. Of the pairs of
`screening` it keeps 99.9% of those that show one work, and a quarter of the others."""

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

SIDE = 180
"""Pixels of a side of the squares in which pictures are compared."""

_BLUR = 4.0  # pixels: standard deviation of the blur that takes details away, where blocks are compared
_BLOCK, _SHIFT = 30, 4  # pixels: side of a block, and how far it may have moved after the crop
_CONTRAST = 4.0  # grey levels of 255: standard deviation from which the details of a block can be compared
_PART = (10, 15)  # pixels: height and width of the parts of a block, about one written line; each overlaps the next
_INK = 3.0  # grey levels: standard deviation from which there is something in a part, in one of the pictures at least
_SMOOTH = 0.7  # pixels: blur that evens out which photograph was the sharper, before its details are taken
_BLOCKS = 8  # blocks with that contrast, of 36, below which nothing can be said: the corners of blank paper have some
_SHARP = 0.8  # share of a side below which a part is so much enlarged that the other picture is made as soft

Square = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


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
        return self.bits <= BITS and self.agrees

    @property
    def agrees(self) -> bool:
        """Whether they show one object where they overlap, whatever their hashes."""
        return self.correlation >= CORRELATION and self.agreement >= AGREEMENT and self.weakest >= WEAKEST


@dataclass(frozen=True)
class Fit:
    """How alike two pictures are, and the part of one that the other shows.

    Attributes:
        likeness: of the pictures.
        box: the part of the larger picture.
        outer: whether the second picture is the larger.
    """

    likeness: Likeness
    box: Box
    outer: bool


def likeness(first: Square, second: Square, ratio: float | None = None) -> Likeness:
    """Compare two pictures, uint8 (size, size, 3) or (size, size), whole works squeezed into squares.

    `ratio` is the second work's width over its height, over that of the first; None: not known.
    """
    return fit(first, second, ratio).likeness


def fit(first: Square, second: Square, ratio: float | None = None) -> Fit:
    """Compare two pictures likewise, and say which part of one the other shows."""
    pictures = luminance(first), luminance(second)
    maps = [reduced(picture, COARSE) for picture in pictures]
    bits = int((perceptual_hash(maps[0]) != perceptual_hash(maps[1])).sum())
    if ratio is None:  # sizes of height and width are tried one by one: lines of text fit on fine maps alone
        maps = [reduced(picture, FINE) for picture in pictures]
    ratios = None if ratio is None else np.array([ratio], np.float32)
    found = align(maps[0][None], maps[1][None], ratios)
    outer = bool(found.outer[0])
    if ratio is not None and found.correlation[0] < COARSE_CORRELATION:
        return Fit(Likeness(bits, float(found.correlation[0]), 0.0, 0.0), found.box(0), outer)
    small, large = pictures if outer else pictures[::-1]
    correlation, box = refine(reduced(small, FINE), reduced(large, FINE), found.box(0))
    if correlation < CORRELATION or (ratio is None and bits > BITS):
        return Fit(Likeness(bits, correlation, 0.0, 0.0), box, outer)
    return Fit(Likeness(bits, correlation, *_agreement(small, large, box)), box, outer)


def luminance(picture: Square) -> Square:
    """The luminance of a picture (ITU-R BT.601), uint8 (size, size)."""
    return picture if picture.ndim == 2 else np.asarray(Image.fromarray(picture).convert("L"))


def _agreement(small: Square, large: Square, box: Box) -> tuple[float, float]:
    """Compare the blocks of a picture with those of a part of another: `agreement` and `weakest` of their likeness."""
    whole, part = _details(_softened(small, box), Box(0, 0, 1, 1)), np.pad(_details(large, box), _SHIFT)
    count = SIDE // _BLOCK
    blocks = _centred(whole.reshape(count, _BLOCK, count, _BLOCK).swapaxes(1, 2))
    ink = np.sqrt((blocks**2).mean(axis=(2, 3)))[..., None, None]
    begin = _BLOCK * np.arange(count)[:, None] + np.arange(2 * _SHIFT + 1)
    places = begin[:, None, :, None], begin[None, :, None, :]
    other_ink = np.sqrt(np.maximum(_energies(part, _BLOCK)[places], 0))
    alike = _products(blocks, part) / np.maximum(ink * other_ink, 1e-6)
    best = alike.reshape(count, count, -1).argmax(axis=2)
    contrast = np.sqrt(ink * other_ink).reshape(count, count, -1)
    chosen = np.take_along_axis(alike.reshape(count, count, -1), best[..., None], 2)[..., 0]
    known = chosen[np.take_along_axis(contrast, best[..., None], 2)[..., 0] > _CONTRAST]
    if len(known) < _BLOCKS:
        return 0.0, 0.0
    parts, others = [], []
    for row in range(1, count - 1):
        for column in range(1, count - 1):
            down, along = divmod(int(best[row, column]), 2 * _SHIFT + 1)
            top, left = row * _BLOCK, column * _BLOCK
            parts.append(_parts(whole[top : top + _BLOCK, left : left + _BLOCK]))
            top, left = top + down, left + along
            others.append(_parts(part[top : top + _BLOCK, left : left + _BLOCK]))
    alike, ink, other_ink = _alike(np.stack(parts), np.stack(others))
    inked = alike[np.maximum(ink, other_ink) > _INK]
    weak, usual = np.percentile(inked, (2, 50)) if len(inked) else (1.0, 1.0)
    return float(np.percentile(known, 25)), float(weak / usual) if usual > 0 else 0.0


def _products(blocks: Floats, part: Floats) -> Floats:
    """Mean products of centred blocks (count, count, side, side) with the windows of a part about their places."""
    from scipy.fft import irfft2, rfft2

    count, side, reach = len(blocks), _BLOCK + 2 * _SHIFT, 2 * _SHIFT + 1
    around = sliding_window_view(part, (side, side))[::_BLOCK, ::_BLOCK][:count, :count]
    shape = (40, 40)  # the next size after `side` that transforms fast
    spectrum = rfft2(around, s=shape) * np.conj(rfft2(blocks, s=shape))
    products: Floats = irfft2(spectrum, s=shape)[..., :reach, :reach] / _BLOCK**2
    return products


def _energies(picture: Floats, side: int) -> npt.NDArray[np.float64]:
    """Mean squares of each square window of a picture after `_centred`, by its top and left.

    Centring is a projection: the squares are those of the window less those of its row means and of its column means,
    and its mean's, which was taken away twice.
    """
    squares = _sums(_sums(picture**2, side, 0), side, 1) / side**2
    rows = _sums((_sums(picture, side, 1) / side) ** 2, side, 0) / side
    columns = _sums((_sums(picture, side, 0) / side) ** 2, side, 1) / side
    means = _sums(_sums(picture, side, 0), side, 1) / side**2
    energies: npt.NDArray[np.float64] = squares - rows - columns + means**2
    return energies


def _sums(values: Floats | npt.NDArray[np.float64], count: int, axis: int) -> npt.NDArray[np.float64]:
    """Sums of `count` neighbours along an axis."""
    total = np.cumsum(values, axis=axis, dtype=np.float64)
    total = np.concatenate([np.zeros_like(np.take(total, [0], axis)), total], axis=axis)
    size = values.shape[axis] + 1
    return np.take(total, range(count, size), axis) - np.take(total, range(size - count), axis)


def _softened(picture: Square, box: Box) -> Square:
    """A picture with no more details than the part of the other that it is compared with."""
    width, height = box.right - box.left, box.bottom - box.top
    if min(width, height) > _SHARP:
        return picture
    size = picture.shape[0]
    small = Image.fromarray(picture).resize(
        (max(1, round(width * size)), max(1, round(height * size))), Image.Resampling.BOX
    )
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))


def _parts(block: Floats) -> Floats:
    """The parts of a block (side, side): (rows, columns, *_PART)."""
    return sliding_window_view(block, _PART)[:: _PART[0] // 2, :: _PART[1] // 2]


def _alike(first: Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
    """Correlations of blocks (..., height, width), and the contrast of either in grey levels."""
    centred, other = _centred(first), _centred(second)
    ink, other_ink = (np.sqrt((blocks**2).mean(axis=(-2, -1))) for blocks in (centred, other))
    alike = (centred * other).mean(axis=(-2, -1)) / np.maximum(ink * other_ink, 1e-6)
    return alike, ink, other_ink


def _centred(blocks: Floats) -> Floats:
    """Blocks (..., height, width) without the means of their rows and of their columns."""
    rows = blocks - blocks.mean(axis=-1, keepdims=True)
    centred: Floats = rows - rows.mean(axis=-2, keepdims=True)
    return centred


def _details(picture: Square, box: Box) -> Floats:
    """Details in which blocks are compared, float32 (SIDE, SIDE): at this size pixels lie between pixels."""
    from scipy.ndimage import gaussian_filter

    size = picture.shape[0]
    edges = tuple(edge * size for edge in box)
    part = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=edges)
    smooth = gaussian_filter(np.asarray(part, np.float32), _SMOOTH)
    details: Floats = smooth - gaussian_filter(smooth, _BLUR)
    return details
