"""Bytes to a uint8 RGB square: scaled decode, colour, orientation, limits, typed failure reasons.

What the bytes are is in `formats`, how to decode no more than needed in `scaled`, what becomes of colours in `colour`,
what Pillow does not read in `second`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import math
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from artylyze.errors import ErrorCode, ImageError
from artylyze.images.colour import rgb_square
from artylyze.images.formats import IMAGE_EXTENSIONS, PLUGINS, ends_early, identify
from artylyze.images.jpeg2000 import is_deep
from artylyze.images.quality import quality_warnings
from artylyze.images.salvage import BY_LINES, load_partly, painted_share
from artylyze.images.scaled import Scaled, check_page, load_scaled, scaled_of
from artylyze.images.second import INSTALL, READERS, CameraRawError, count_pdf_pages, load_second

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    from PIL.ImageFile import ImageFile

__all__ = ["IMAGE_EXTENSIONS", "MAX_PIXELS", "Decoded", "count_pages", "decode", "from_pillow"]

MAX_PIXELS = 1 << 27
"""Pixels to be decoded after scaling: 134 million, which Pillow holds in 512 MiB."""

MOST_MISSING = 0.5
"""Share of the lines that a file may lack at its end before the picture does not count: it is `truncated` then."""

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_CUT_WORDS = ("truncated", "but only got", "not enough data", "unexpected end", "end of file", "no data found")
_UNREAD_WORDS = ("unknown pixel mode", "not supported", "unsupported", "not yet", "cannot handle")
_BOMB_WORDS = ("decompressed data too large", "too much memory")
_LONGEST_DETAIL = 160


@dataclass(frozen=True, slots=True)
class Decoded:
    """One picture: `pixels` uint8 (size, size, 3), sRGB, squashed; `width` and `height` of the original as displayed.

    `width` and `height` are pixels of the full resolution, after the EXIF orientation; `format` is Pillow's name;
    `warnings` are names of `quality.WARNINGS`; `warning` says how much of a truncated picture is missing; `pages` is
    the number of pictures in a TIFF or PDF.
    """

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int
    format: str
    warning: str | None = None
    warnings: tuple[str, ...] = ()
    pages: int = 1


def decode(data: bytes, size: int, *, max_pixels: int = MAX_PIXELS, page: int | None = None) -> Decoded:
    """The whole picture (first frame) in `data` as a size x size square; nothing is cropped.

    `page` is its number in a TIFF or PDF, from 1; None for the first, with a warning where there are more.

    Raises ImageError and nothing else: empty, truncated, corrupt, unsupported, or too_large where more than
    `max_pixels` would have to be decoded after scaling, known before any of them is.
    """
    name = identify(data)
    need = math.ceil(size * oversampling(size))
    with _failures_named(data, name), _OwnLimit():
        if name in PLUGINS and not (name == "JPEG2000" and is_deep(data)):
            try:
                scaled, format_name = _first(data, name, need, max_pixels, page)
            except MemoryError:
                raise
            except Exception as error:
                scaled, format_name = _second(data, name, need, max_pixels, page, error)
        else:
            scaled, format_name = load_second(data, name, need, max_pixels, page), name
        if scaled.missing is not None and scaled.missing > MOST_MISSING:
            raise ImageError(ErrorCode.TRUNCATED, f"{name}: of the picture {scaled.missing:.0%} is missing")
        return _squared(scaled, size, format_name, page)


def count_pages(data: bytes) -> Decoded:
    """The number of pictures in a TIFF or PDF as `pages`, 1 for other formats, without pixels. Raises as `decode`."""
    name, pages = identify(data), 1
    with _failures_named(data, name):
        if name == "TIFF":
            from artylyze.images.tiff import count_pages as count_tiff_pages

            pages = count_tiff_pages(data)
        elif name == "PDF":
            pages = count_pdf_pages(data)
    return Decoded(np.empty((0, 0, 3), np.uint8), 0, 0, name, pages=pages)


@contextlib.contextmanager
def _failures_named(data: bytes, name: str) -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(ErrorCode.TOO_LARGE, "decoding it takes more memory than there is") from None
    except Exception as error:
        raise _failure(data, name, error) from error


def _first(data: bytes, name: str, need: int, max_pixels: int, page: int | None) -> tuple[Scaled, str]:
    if name == "TIFF":
        from artylyze.images.tiff import load_tiff  # loads a library that other images do not need

        return load_tiff(data, need, max_pixels, page), name
    check_page(page, 1)
    opened = _open(data, name)
    return _load(opened, data, name, need, max_pixels), opened.format or name


def _second(
    data: bytes, name: str, need: int, max_pixels: int, page: int | None, error: Exception
) -> tuple[Scaled, str]:
    """What the second decoder makes of a file that the first failed on; where it fails too, `error` is raised."""
    failure = error if isinstance(error, ImageError) else _failure(data, name, error)
    if isinstance(failure, CameraRawError):
        name = "RAW"
    if name not in READERS or failure.code not in {ErrorCode.CORRUPT, ErrorCode.UNSUPPORTED}:
        raise failure from error
    try:
        return load_second(data, name, need, max_pixels, page), name
    except MemoryError:
        raise
    except Exception as reason:
        if isinstance(reason, ImageError) and (reason.code is ErrorCode.TOO_LARGE or reason.detail.endswith(INSTALL)):
            raise
        raise failure from error


def from_pillow(image: Image.Image, size: int) -> Decoded:
    """An image that Pillow has opened already, as `decode` gives one: turned upright, in sRGB, on white.

    Raises ImageError where Pillow cannot load it, or has no way to RGB from its mode.
    """
    try:
        image.load()
        return _squared(scaled_of(image, image, image.size), size, image.format or "", None)
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(ErrorCode.CORRUPT, text[:_LONGEST_DETAIL]) from error


def _squared(scaled: Scaled, size: int, format_name: str, page: int | None) -> Decoded:
    square = rgb_square(scaled.image, size, scaled.box, scaled.profile)
    if scaled.orientation in _TRANSPOSE:
        square = square.transpose(_TRANSPOSE[scaled.orientation])  # a square is turned fastest, and stays one
    pixels = np.array(square)
    of_file = (
        ("truncated", scaled.missing is not None),
        ("no-icc", scaled.image.mode == "CMYK" and (scaled.profile or b"")[16:20] != b"CMYK"),
        ("animated", scaled.animated),
        ("several-pages", page is None and scaled.pages > 1),
    )
    warnings = [name for name, holds in of_file if holds] + quality_warnings(pixels, scaled.width, scaled.height)
    warning = _warning(scaled.missing)
    return Decoded(pixels, scaled.width, scaled.height, format_name, warning, tuple(warnings), scaled.pages)


def _load(opened: ImageFile, data: bytes, name: str, need: int, max_pixels: int) -> Scaled:
    opener = functools.partial(_open, name=name)
    try:
        scaled = load_scaled(opened, data, need, max_pixels)
    except ImageError:
        raise
    except Exception as error:
        if name not in BY_LINES or _failure(data, name, error).code is not ErrorCode.TRUNCATED:
            raise
        partly = load_partly(opener, data, name, need, max_pixels)
        if partly is None:
            raise
        return partly
    if name == "JPEG" and not opened.info.get("progressive"):
        return replace(scaled, missing=painted_share(opener, data, scaled.image, need))
    return scaled


def _warning(missing: float | None) -> str | None:
    """What is to be said of a picture whose file ends early; None for one that is whole."""
    if missing is None:
        return None
    lacks = f"up to {math.ceil(100 * missing)}% of the picture" if missing else "details"
    return f"the file ends early: {lacks} may be missing"


def oversampling(size: int) -> float:
    """Sides of a scaled decode over sides of the square.

    Measured on 28 museum JPEGs with EfficientNet-Lite0 against full decoding: 1.2 is as fast as 1.0 (22 ms an image on
    an idle core) and keeps every cosine above 0.993 at 192 to 320 pixels; 1.5 takes 3 ms more and keeps them above
    0.995. At 384 pixels only 1.5 keeps 0.99.
    """
    return 1.2 if size <= 320 else 1.5


def _open(data: bytes, name: str) -> ImageFile:
    # Image.open would import every plugin there is to find one that it does not know yet.
    importlib.import_module(f"PIL.{PLUGINS[name]}")
    return _Png(io.BytesIO(data)) if name == "PNG" else Image.open(io.BytesIO(data), formats=(name,))


class _Png(PngImageFile):
    """A PNG whose pixels are all there is read, whatever is wrong with the chunks behind them."""

    def load_end(self) -> None:
        with contextlib.suppress(Exception):
            super().load_end()


class _OwnLimit:
    """While any thread decodes here, Pillow's process-wide pixel limit is off: ours judges what will be decoded."""

    _lock: ClassVar = threading.Lock()
    _inside: ClassVar[int] = 0
    _outside_limit: ClassVar[int | None] = None

    def __enter__(self) -> None:
        with self._lock:
            if _OwnLimit._inside == 0:
                _OwnLimit._outside_limit = Image.MAX_IMAGE_PIXELS
                Image.MAX_IMAGE_PIXELS = None
            _OwnLimit._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            _OwnLimit._inside -= 1
            if _OwnLimit._inside == 0:
                Image.MAX_IMAGE_PIXELS = _OwnLimit._outside_limit


def _failure(data: bytes, name: str, error: Exception) -> ImageError:
    """The row that an exception of Pillow's becomes, for data that begins as an image of format `name`."""
    if isinstance(error, UnidentifiedImageError):
        error = _why_unidentified(data, name) or error
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"missing or unknown entry {text}"
    words = text.lower()
    if any(word in words for word in _BOMB_WORDS):
        code = ErrorCode.TOO_LARGE
    elif isinstance(error, NotImplementedError) or any(word in words for word in _UNREAD_WORDS):
        code = ErrorCode.UNSUPPORTED
    elif isinstance(error, EOFError) or any(word in words for word in _CUT_WORDS) or ends_early(data, name):
        code = ErrorCode.TRUNCATED
    else:
        code = ErrorCode.CORRUPT
    return ImageError(code, f"{name}: {text}"[:_LONGEST_DETAIL])


def _why_unidentified(data: bytes, name: str) -> Exception | None:
    """What the format's own reader says: Image.open keeps it to itself."""
    try:
        Image.OPEN[name][0](io.BytesIO(data), "")
    except Exception as error:
        return error
    return None
