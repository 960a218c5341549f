"""The samples of one TIFF page by tifffile, in strips or tiles, averaged as they come: memory for one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tifffile import COMPRESSION, TIFF

from artylyze.errors import ErrorCode, ImageError
from artylyze.images.levels import to_8_bits
from artylyze.images.second import CameraRawError

if TYPE_CHECKING:
    import numpy.typing as npt
    from tifffile import TiffPage

_WHITE_IS_ZERO, _GRAY, _RGB, _PALETTE, _INKS, _YCBCR, _CIELAB, _ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
_COLOURS = {_WHITE_IS_ZERO: 1, _GRAY: 1, _RGB: 3, _PALETTE: 1, _INKS: 4, _YCBCR: 3, _CIELAB: 3, _ICCLAB: 3}
_MODES = {_WHITE_IS_ZERO: "L", _GRAY: "L", _INKS: "CMYK", _YCBCR: "YCbCr", _CIELAB: "LAB", _ICCLAB: "LAB"}
_ASSOCIATED, _UNASSOCIATED = 1, 2  # alpha, among ExtraSamples
_MAX_SAMPLE, _INK_SET, _OTHER_INKS = 281, 332, 2
_CAMERA_RAW = frozenset({32803, 34892})  # a mosaic of filters, or linear samples of a camera
_AT_ONCE = 1 << 22  # samples that are added up in one go


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of a page: the picture, perhaps reduced, and the share of its pixels that were there, 0 to 1."""

    image: Image.Image
    present: float


def read_samples(page: TiffPage, data: bytes | memoryview, need: int, max_pixels: int) -> Read:
    """Decode a page of the TIFF `data`, averaged over whole numbers of pixels to sides of at least `need`.

    Strips and tiles that the file lacks at its end are left black.

    Raises:
        ImageError: unsupported, too_large, truncated where nothing is there; and whatever tifffile raises.
    """
    _check_layout(page)
    mean = _Mean(page, max(1, min(page.imagewidth, page.imagelength) // need), max_pixels)
    expected = present = 0
    for number, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=False)):
        _, (plane, _, top, left, _), (_, rows, columns, _) = page.decode(None, number)
        rows, columns = min(rows, page.imagelength - top), min(columns, page.imagewidth - left)
        if page.compression != COMPRESSION.NONE and rows * columns > max_pixels:
            raise ImageError(ErrorCode.TOO_LARGE, f"TIFF: a strip of {columns} x {rows} pixels, {_limit(max_pixels)}")
        expected += rows * columns
        piece = data[offset : offset + count]
        if len(piece) < count:
            if page.compression != COMPRESSION.NONE or page.is_tiled:
                continue
            rows = len(piece) // (count // rows)
            piece = bytes(piece) + bytes(count - len(piece))
        block, *_ = page.decode(piece, number, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
        present += rows * columns
        if block is not None:
            mean.add(block[0, :rows, :columns], plane, top, left)
    if not present:
        raise ImageError(ErrorCode.TRUNCATED, "TIFF: the file ends before its first strip or tile")
    return Read(_picture(page, mean), present / expected)


def _check_layout(page: TiffPage) -> None:
    """Raise ImageError for what is no picture, or of a kind that is not read."""
    what = ""
    if page.photometric in _CAMERA_RAW:
        raise CameraRawError(ErrorCode.UNSUPPORTED, f"TIFF: photometric interpretation {_named(page.photometric)}")
    if page.compression not in TIFF.DECOMPRESSORS:
        what = f"compression {_named(page.compression)}"
    elif page.photometric not in _COLOURS:
        what = f"photometric interpretation {_named(page.photometric)}"
    elif page.tags.valueof(_INK_SET) == _OTHER_INKS:
        what = "inks that are not cyan, magenta, yellow and black"
    elif page.dtype is None or page.dtype.kind not in "buif" or not isinstance(page.bitspersample, int):
        what = f"{page.bitspersample} bits, sample format {page.sampleformat}"
    elif page.samplesperpixel < _COLOURS[page.photometric] or page.imagedepth > 1:
        what = f"{page.samplesperpixel} samples a pixel, {page.imagedepth} images deep"
    if what:
        raise ImageError(ErrorCode.UNSUPPORTED, f"TIFF: {what}")


def _named(value: int) -> str:
    return str(getattr(value, "name", value))


def _limit(max_pixels: int) -> str:
    return f"the limit is {max_pixels / 1e6:g} million"


class _Mean:
    """Means of squares of `step` x `step` pixels, gathered from blocks in any order.

    Attributes:
        lowest: sample of the page, of those that count.
        highest: sample of the page.
    """

    def __init__(self, page: TiffPage, step: int, max_pixels: int) -> None:
        self._page, self._step = page, step
        self._width, self._height = page.imagewidth, page.imagelength
        rows = -(-self._height // step)
        if rows * self._width > max_pixels:
            raise ImageError(ErrorCode.TOO_LARGE, f"{self._width} x {rows} pixels to hold, {_limit(max_pixels)}")
        self._colours = 3 if page.photometric == _PALETTE else _COLOURS[page.photometric]
        self._has_alpha = _alpha(page) != 0
        # Sums of rows: whole squares would have to be added up in short runs, strip by strip.
        self._sums = np.zeros((rows, self._width, self._colours + self._has_alpha), np.float32)
        self.lowest, self.highest = np.inf, -np.inf

    def add(self, block: npt.NDArray[Any], plane: int, top: int, left: int) -> None:
        """Add samples (rows, columns, samples) whose first is at `top` and `left`, of one plane or of all."""
        for start in range(0, len(block), some := max(1, _AT_ONCE // max(1, block[0].size))):
            self._add(block[start : start + some], plane, top + start, left)

    def _add(self, block: npt.NDArray[Any], plane: int, top: int, left: int) -> None:
        if self._page.photometric == _PALETTE:
            block = np.moveaxis(np.asarray(self._page.colormap)[:, block[..., 0]], 0, -1)
        block = _usable(block, self._page)
        first = plane if block.shape[2] == 1 and self._page.planarconfig == 2 else 0
        block = block[..., : self._sums.shape[2] - first]
        if first >= self._sums.shape[2] or not block.size:
            return  # samples beyond colours and alpha
        if first < self._colours:
            colours = block[..., : self._colours - first]
            self.lowest, self.highest = min(self.lowest, colours.min()), max(self.highest, colours.max())
        starts = np.concatenate([[0], np.arange(self._step - top % self._step, len(block), self._step)])
        row = top // self._step
        area = self._sums[row : row + len(starts), left : left + block.shape[1], first : first + block.shape[2]]
        area += np.add.reduceat(block, starts, axis=0, dtype=np.float32)

    def means(self) -> npt.NDArray[np.float32]:
        """Float32 (rows, columns, colours and alpha) of the squares."""
        across = np.arange(0, self._width, self._step)
        sums = np.add.reduceat(self._sums, across, axis=1)
        down = np.arange(0, self._height, self._step)
        counts = np.outer(np.diff([*down, self._height]), np.diff([*across, self._width]))
        found: npt.NDArray[np.float32] = (sums / counts[..., None]).astype(np.float32)
        return found


def _usable(block: npt.NDArray[Any], page: TiffPage) -> npt.NDArray[Any]:
    """Samples that can be added up: finite ones, and a and b of CIELAB, which are signed, from zero on."""
    if block.dtype.kind == "f":
        return np.nan_to_num(block.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if page.photometric == _CIELAB and block.dtype.kind in "ui":
        unsigned = block.view(f"u{block.dtype.itemsize}").copy()
        unsigned[..., 1:] ^= unsigned.dtype.type(1 << (8 * block.dtype.itemsize - 1))
        return unsigned
    return block


def _alpha(page: TiffPage) -> int:
    """What ExtraSamples says of the sample that follows the colours, if that is alpha; else 0."""
    colours = _COLOURS[page.photometric]
    kind = int(page.extrasamples[0]) if page.extrasamples and page.samplesperpixel > colours else 0
    return kind if kind in {_ASSOCIATED, _UNASSOCIATED} and colours in {1, 3} and page.photometric != _PALETTE else 0


def _picture(page: TiffPage, mean: _Mean) -> Image.Image:
    means = mean.means()
    kind, bits = np.dtype(page.dtype), 16 if page.photometric == _PALETTE else int(page.bitspersample)
    if page.photometric == _PALETTE:
        kind = np.dtype(np.uint16)
    declared = page.tags.valueof(_MAX_SAMPLE)
    declared = declared[0] if isinstance(declared, tuple) else declared
    full = page.photometric in {_PALETTE, _INKS, _YCBCR, _CIELAB, _ICCLAB}
    lowest, highest = (0, 2**bits - 1) if full and kind.kind != "f" else (float(mean.lowest), float(mean.highest))
    levels = to_8_bits(means, kind, bits, lowest, highest, declared)
    if page.photometric == _WHITE_IS_ZERO:
        levels[..., 0] = 255 - levels[..., 0]
    if page.photometric in {_CIELAB, _ICCLAB}:
        levels[..., 1:] ^= 128  # signed, as Pillow has it
    decoded_to_rgb = page.photometric == _YCBCR and page.compression in TIFF.IMAGE_COMPRESSIONS
    mode = "RGB" if decoded_to_rgb else _MODES.get(int(page.photometric), "RGB")
    alpha = _alpha(page)
    if alpha and mode in {"L", "RGB"}:
        colours = levels[..., :-1].repeat(3 if mode == "L" else 1, axis=2)
        pixels = np.concatenate([colours, levels[..., -1:]], axis=2)
        image = Image.frombytes("RGBa" if alpha == _ASSOCIATED else "RGBA", pixels.shape[1::-1], pixels.tobytes())
        return image.convert("RGBA")
    return Image.frombytes(mode, levels.shape[1::-1], levels.tobytes())
