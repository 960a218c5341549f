"""TIFF: which page is the picture, and who decodes it.

Pillow decodes the plain kinds. What it scrambles, darkens or refuses (planes, other than 8 bits, signed values, floats,
most compressions, more pixels than fit in memory) is decoded by tifffile and imagecodecs, a strip or tile at a time.
"""

from __future__ import annotations

import io
import itertools
import logging
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from PIL import Image
from tifffile import TiffFile, TiffPage

from artylyze.errors import ErrorCode, ImageError
from artylyze.images.samples import Read, read_samples
from artylyze.images.scaled import QUARTER_TURNS, Scaled, check_page

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_PAGES = 64
"""Pages that are looked at for the picture and for its reduced copies."""

LAST_PAGE = 10_000
"""Pages that are looked at where pages are counted, or one of them is asked for."""

LARGEST_THUMBNAIL = 512
"""Pixels of the longer side up to which an unmarked first page may be a thumbnail of the page that follows it."""

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_ORIENTATION, _PROFILE = 274, 34675
_NONE, _LZMA, _ZSTD = 1, 34925, 50000
_PILLOW_READS = frozenset({_NONE, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, _LZMA, _ZSTD})  # CCITT, LZW, JPEG, deflate, ...
_MODES = {0: {1}, 1: {1, 2}, 2: {3, 4}, 3: {1}, 5: {4}, 6: {3}, 8: {3}}  # photometric: samples a pixel in Pillow

_logger = logging.getLogger("tifffile")
_logger.addHandler(logging.NullHandler())  # its remarks on damaged files are not for the user's terminal
_logger.propagate = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page as tifffile read its directory; `sub_of` is the offset of the page whose sub-directory it is."""

    page: TiffPage
    sub_of: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels as stored, before the orientation."""
        return int(self.page.imagewidth), int(self.page.imagelength)

    @property
    def orientation(self) -> int:
        """As in EXIF, 1 to 8; 1 where there is none, or none that can be read."""
        value = self.page.tags.valueof(_ORIENTATION, 1)
        return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1

    @property
    def profile(self) -> bytes | None:
        """The ICC profile."""
        value = self.page.tags.valueof(_PROFILE)
        return value if isinstance(value, bytes) else None

    def is_a(self, bits: int) -> bool:
        """Whether it says that it is a smaller copy of another page, or a mask."""
        return bool(int(self.page.subfiletype) & bits)

    def same_shape(self, other: Page) -> bool:
        """Whether the sides have the same ratio; those of a copy are rounded to whole pixels."""
        (w, h), (width, height) = self.size, other.size
        return abs(w * height - h * width) <= max(width + height, w + h)

    def is_half_of(self, other: Page) -> bool:
        """Whether it has half the sides of another, as the levels of a pyramid have."""
        return all(abs(2 * side - whole) <= 1 for side, whole in zip(self.size, other.size, strict=True))


def count_pages(data: bytes) -> int:
    """How many pictures of their own a TIFF holds. Raises whatever tifffile raises."""
    with TiffFile(io.BytesIO(data)) as tif:
        return len(_pictures(list(itertools.islice(_pages(tif), LAST_PAGE))))


def load_tiff(data: bytes, need: int, max_pixels: int, page: int | None = None) -> Scaled:
    """Decode a picture in a TIFF, by its number from 1 (None: the first), with sides of at least `need` pixels.

    Raises ImageError, and whatever Pillow and tifffile raise.
    """
    with TiffFile(io.BytesIO(data)) as tif:
        pages = list(itertools.islice(_pages(tif), LAST_PAGE if page else MOST_PAGES))
        pictures = _pictures(pages)
        check_page(page, len(pictures))
        full = pictures[(page or 1) - 1]
        chosen = _smallest_copy(pages, full, need)
        width, height = full.size
        turn, own = full.orientation, chosen.orientation
        if turn in QUARTER_TURNS:
            width, height = height, width
        profile = chosen.profile or full.profile
        if _is_plain(chosen.page, max_pixels):
            try:
                image = _by_pillow(data, chosen.page.offset)
            except Exception as error:
                read = _what_is_left(chosen.page, data, need, max_pixels, error)
            else:
                # Pillow turned it upright by the page's own tag; levels of a pyramid often have none.
                return Scaled(image, None, turn if own == 1 else 1, width, height, profile, pages=len(pictures))
        else:
            read = read_samples(chosen.page, data, 2 * need, max_pixels)
    return Scaled(
        read.image,
        None,
        turn if own == 1 else own,
        width,
        height,
        profile,
        1 - read.present if read.present < 1 else None,
        len(pictures),
    )


def _pictures(pages: list[Page]) -> list[Page]:
    """The pages that are pictures of their own: no masks, and no smaller copies, marked or each half the one before."""
    first = _full_page(pages)
    at = pages.index(first)
    return [first] + [
        page
        for before, page in itertools.pairwise(pages[at:])
        if page.sub_of is None and not page.is_a(_REDUCED | _MASK) and not page.is_half_of(before)
    ]


def _smallest_copy(pages: list[Page], full: Page, need: int) -> Page:
    """The smallest copy of a picture with both sides at least `need` pixels, or the picture."""
    if min(full.size) < 2 * need:
        return full
    at = pages.index(full)
    before = [page for page in pages[:at] if page.is_a(_REDUCED)]
    # A page that is neither reduced nor a mask begins another picture (a document, a z-stack) and ends the search.
    after = itertools.takewhile(
        lambda page: page.is_a(_REDUCED | _MASK) or page.sub_of == full.page.offset, pages[at + 1 :]
    )
    copies = (page for page in (*before, *after) if not page.is_a(_MASK) and page.same_shape(full))
    return min((page for page in (*copies, full) if min(page.size) >= need), key=lambda page: page.size)


def _pages(tif: TiffFile) -> Iterator[Page]:
    """The pages in their order, each followed by its sub-directories; the first must be readable."""
    yield Page(cast("TiffPage", tif.pages[0]))
    for number in itertools.count(1):
        yield from _sub_pages(tif, cast("TiffPage", tif.pages[number - 1]))
        try:
            page = cast("TiffPage", tif.pages[number])
        except Exception:  # the end, or pages that the first can do without
            return
        yield Page(page)


def _sub_pages(tif: TiffFile, page: TiffPage) -> Iterator[Page]:
    for offset in page.subifds or ():
        try:
            tif.filehandle.seek(offset)
            yield Page(TiffPage(tif, 0), page.offset)
        except Exception:
            return


def _full_page(pages: list[Page]) -> Page:
    """The first page that is no reduced copy and no mask; of an unmarked thumbnail the page that it shows."""
    full = next((page for page in pages if not page.is_a(_REDUCED | _MASK)), None)
    if full is None:
        return max(pages, key=lambda page: page.size)
    if max(full.size) > LARGEST_THUMBNAIL:
        return full
    at = pages.index(full)
    beside = [page for page in pages[at + 1 :] if page.sub_of == full.page.offset]
    beside += pages[at + 1 + len(beside) :][:1]
    larger = (
        page
        for page in beside
        if not page.is_a(_REDUCED | _MASK) and page.same_shape(full) and page.size[0] >= 2 * full.size[0]
    )
    return max((full, *larger), key=lambda page: page.size)


def _is_plain(page: TiffPage, max_pixels: int) -> bool:
    """Whether Pillow is known to decode a page rightly, within the limit: measured over all combinations."""
    bits, colours = page.bitspersample, _MODES.get(int(page.photometric), set())
    return (
        page.imagewidth * page.imagelength <= max_pixels
        and (bits == 8 or (bits in {1, 2, 4} and page.samplesperpixel == 1))
        and int(page.sampleformat) == 1
        and page.samplesperpixel in colours
        and (int(page.planarconfig) == 1 or page.samplesperpixel == 1)
        and int(page.compression) in _PILLOW_READS
    )


def _by_pillow(data: bytes, offset: int) -> Image.Image:
    image = Image.open(_Redirected(data, offset), formats=("TIFF",))
    image.load()
    return image


def _what_is_left(page: TiffPage, data: bytes, need: int, max_pixels: int, error: Exception) -> Read:
    """What tifffile reads of a page that Pillow failed on. Raises Pillow's error where that is no more."""
    try:
        return read_samples(page, data, 2 * need, max_pixels)
    except ImageError as reason:
        if reason.code is ErrorCode.TRUNCATED:
            raise
        raise error from None
    except Exception:
        raise error from None


class _Redirected(io.BytesIO):
    """`data` whose header names the directory at `offset`, without copying it: gigapixel pyramids are large."""

    def __init__(self, data: bytes, offset: int) -> None:
        super().__init__(data)
        order, big = "<" if data[:2] == b"II" else ">", 43 in data[2:4]
        self._header = (
            data[:8] + struct.pack(f"{order}Q", offset) if big else data[:4] + struct.pack(f"{order}I", offset)
        )

    def read(self, size: int | None = -1, /) -> bytes:
        at = self.tell()
        part = super().read(size)
        return self._header[at : at + len(part)] + part[max(len(self._header) - at, 0) :]
