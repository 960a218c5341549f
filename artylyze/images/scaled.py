"""Decoding no more pixels than a small square needs: drafts, wavelet levels, pages of a pyramid."""

from __future__ import annotations

import functools
import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from PIL import Image

from artylyze.errors import ErrorCode, ImageError
from artylyze.images.jpeg2000 import load_level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.ImageFile import ImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.TiffImagePlugin import TiffImageFile

    from artylyze.images.colour import Box

PROGRESSIVE = 4
"""How many times the pixel limit a progressive JPEG may have in full: 6 bytes of coefficients each, held at once."""

MOST_PAGES = 64
QUARTER_TURNS = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange width and height."""

_TAG_SUBFILE, _TAG_WIDTH, _TAG_HEIGHT, _TAG_ORIENTATION, _TAG_SUBIFDS = 254, 256, 257, 274, 330
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OFFSET_TYPES = {4: "I", 13: "I", 16: "Q", 18: "Q"}  # LONG, IFD, LONG8, IFD8
_MOST_TAGS = 4096


@dataclass(frozen=True, slots=True)
class Scaled:
    """A loaded image, perhaps of reduced size, and what it shows.

    `box` is the region of it (pixels) that is the whole picture, None: all; `orientation` is the EXIF orientation
    still to be applied; `width` and `height` are the full resolution as displayed, pixels; `profile` is ICC.
    """

    image: Image.Image
    box: Box | None
    orientation: int
    width: int
    height: int
    profile: bytes | None


def load_scaled(opened: ImageFile, data: bytes, need: int, max_pixels: int) -> Scaled:
    """Decode the image `opened` from `data`, with both sides at least `need` pixels where the file has them.

    Raises ImageError (too_large) before anything is decoded, and whatever Pillow raises.
    """
    check = functools.partial(_check, max_pixels=max_pixels)
    image: Image.Image = opened
    box = None
    width, height = opened.size
    match opened.format:
        case "JPEG" | "MPO":
            box = _load_draft(cast("JpegImageFile", opened), need, max_pixels)
        case "JPEG2000":
            image = load_level(opened, data, need, check)
        case "TIFF":
            return _load_page(cast("TiffImageFile", opened), data, need, max_pixels)
        case _:
            check(opened.size)
            opened.load()
    turn = _orientation(opened)  # after loading: in a PNG it may come behind the pixels
    if turn in QUARTER_TURNS:
        width, height = height, width
    return Scaled(image, box, turn, width, height, opened.info.get("icc_profile"))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none, or none that can be read."""
    try:
        value = image.getexif().get(_TAG_ORIENTATION, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _check(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        detail = f"{size[0]} x {size[1]} pixels to decode, the limit is {max_pixels / 1e6:g} million"
        raise ImageError(ErrorCode.TOO_LARGE, detail)


def _load_draft(image: JpegImageFile, need: int, max_pixels: int) -> Box | None:
    if image.info.get("progressive"):
        _check(image.size, PROGRESSIVE * max_pixels)
    drafted = image.draft(None, (need, need))
    _check(image.size, max_pixels)
    image.load()
    return None if drafted is None else drafted[1]


def _load_page(first: TiffImageFile, data: bytes, need: int, max_pixels: int) -> Scaled:
    width, height = _page_size(first)
    page = _nearest_page(first, data, need)
    _check(_page_size(page), max_pixels)
    # Pillow turns a TIFF upright when it loads it, by the page's own tag; levels of a pyramid often have none.
    turn, own = _orientation(first), _orientation(page)
    page.load()
    profile = page.info.get("icc_profile", first.info.get("icc_profile"))
    if turn in QUARTER_TURNS:
        width, height = height, width
    return Scaled(page, None, turn if own == 1 else 1, width, height, profile)


def _nearest_page(first: TiffImageFile, data: bytes, need: int) -> TiffImageFile:
    """The smallest page of the pyramid above `first` with both sides at least `need`; `first` where there is none."""
    width, height = _page_size(first)
    if min(width, height) < 2 * need:
        return first
    chosen = first
    for page in _reduced_pages(first, data):
        w, h = _page_size(page)
        # A label or a thumbnail on a white ground has another shape; a level's sides are rounded to whole pixels.
        same_shape = abs(w * height - h * width) <= width + height
        if same_shape and min(w, h) >= need and w < _page_size(chosen)[0]:
            chosen = page
    return chosen


def _page_size(page: TiffImageFile) -> tuple[int, int]:
    """Width and height as stored, before the orientation."""
    return int(page.tag_v2[_TAG_WIDTH]), int(page.tag_v2[_TAG_HEIGHT])


def _reduced_pages(first: TiffImageFile, data: bytes) -> Iterator[TiffImageFile]:
    """Reduced-resolution images of the first page: its sub-directories, and the reduced pages that follow it.

    A page that is neither reduced nor a mask begins another picture (a document, a z-stack) and ends the search.
    """
    for offset in _sub_directories(data)[:MOST_PAGES]:
        page = _page(data, offset)
        if page is not None:
            yield page
    offset = first.tag_v2.next
    for _ in range(MOST_PAGES):
        page = _page(data, offset) if offset else None
        kind = 0 if page is None else int(page.tag_v2.get(_TAG_SUBFILE, 0))
        if page is None or not kind & (_REDUCED | _MASK):
            return
        if not kind & _MASK:
            yield page
        offset = page.tag_v2.next


def _sub_directories(data: bytes) -> tuple[int, ...]:
    """Where the first page says that its sub-directories are, bytes; none where it does not say it well.

    Pillow does not know the type (IFD8) that libtiff gives to these numbers in a BigTIFF.
    """
    order, big = _layout(data)
    count_format, entry_format, number = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    entry = struct.Struct(order + entry_format)
    wide = struct.calcsize(number)
    try:
        (start,) = struct.unpack_from(order + number, data, 8 if big else 4)
        (entries,) = struct.unpack_from(order + count_format, data, start)
        start += struct.calcsize(count_format)
        for at in range(start, start + min(entries, _MOST_TAGS) * entry.size, entry.size):
            tag, kind, count, value = entry.unpack_from(data, at)
            if tag == _TAG_SUBIFDS and kind in _OFFSET_TYPES and count <= MOST_PAGES:
                layout = struct.Struct(f"{order}{count}{_OFFSET_TYPES[kind]}")
                inline = layout.size <= wide
                return layout.unpack_from(
                    value if inline else data, 0 if inline else struct.unpack(order + number, value)[0]
                )
    except (struct.error, OverflowError):
        pass
    return ()


def _layout(data: bytes) -> tuple[str, bool]:
    """Byte order of a TIFF as `struct` names it, and whether it is a BigTIFF."""
    return "<" if data[:2] == b"II" else ">", 43 in data[2:4]


def _page(data: bytes, offset: int) -> TiffImageFile | None:
    """The page whose directory is at `offset` bytes; None where it cannot be read: the first page can do without it."""
    order, big = _layout(data)
    try:
        header = data[:8] + struct.pack(f"{order}Q", offset) if big else data[:4] + struct.pack(f"{order}I", offset)
        return cast("TiffImageFile", Image.open(_Redirected(data, header), formats=("TIFF",)))
    except Exception:
        return None


class _Redirected(io.BytesIO):
    """`data` with another header, without copying it: gigapixel pyramids are opened once for each of their pages."""

    def __init__(self, data: bytes, header: bytes) -> None:
        super().__init__(data)
        self._header = header

    def read(self, size: int | None = -1, /) -> bytes:
        at = self.tell()
        part = super().read(size)
        return self._header[at : at + len(part)] + part[max(len(self._header) - at, 0) :]
