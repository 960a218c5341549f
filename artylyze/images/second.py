"""The second decoder, asked where Pillow fails: the kinds that Pillow does not know, and variants that it refuses.

imagecodecs reads JPEG XL, JPEG XR, JPEG-LS, 12-bit JPEG and JPEG 2000 that Pillow fails on or gets wrong. HEIC, camera
raw files and PDF need libraries that not everybody wants: the extra `formats`.
"""

from __future__ import annotations

import importlib
import io
import math
import re
import struct
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from artylyze.errors import ErrorCode, ImageError
from artylyze.images.levels import to_8_bits
from artylyze.images.scaled import Scaled, check_page, check_size, scaled_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    import numpy.typing as npt

PDF_DPI = 200
"""Dots per inch at which a page of a PDF counts its pixels; it is drawn at the size that is needed."""

EXTRAS = {"HEIF": ("pi_heif", "HEIC"), "RAW": ("rawpy", "a camera raw file"), "PDF": ("pypdfium2", "PDF")}
"""Formats that need a library of the extra `formats`: its module, and what people call the format."""

_FRAMES = frozenset({*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7})
_JPEG_LS = 0xF7  # markers of frame headers (ITU-T T.81, B.1.1.3, and T.87)
_JXR_WIDTH, _JXR_HEIGHT, _SHORT = 0xBC80, 0xBC81, 3  # tags (ITU-T T.832, A.7), and a type of TIFF
_PDFIUM = threading.Lock()  # which is not for several threads
INSTALL = "to read it, pip install 'artylyze[formats]'"

_AT_ONCE = 1 << 22
"""Samples that are converted at a time: 16 MB of floats."""

_WITH_ALPHA = frozenset({2, 4})
"""Numbers of channels of which the last is alpha."""

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_JP2_YCC = re.compile(rb"colr\x01..\0\0\0[\x12\x18]", re.DOTALL)  # enumerated: sYCC or e-sYCC
_JP2_PROFILE = re.compile(rb"(....)colr\x02..", re.DOTALL)  # restricted ICC profile (ISO 15444-1, I.5.3.3)


@dataclass(frozen=True, slots=True)
class _Wanted:
    need: int
    max_pixels: int
    page: int | None


class CameraRawError(ImageError):
    """A TIFF of samples that have to be developed."""


def load_second(data: bytes, name: str, need: int, max_pixels: int, page: int | None) -> Scaled:
    """Decode `data`, a file of format `name`, with both sides at least `need` pixels where the file has them.

    Raises:
        ImageError: unsupported, with the extra to install; too_large before anything is decoded; whatever a library
            raises.
    """
    if name != "PDF":
        check_page(page, 1)
    return READERS[name](data, _Wanted(need, max_pixels, page))


def count_pdf_pages(data: bytes) -> int:
    """The number of pages of a PDF. Raises as `load_second`."""
    with _PDFIUM, _library("PDF").PdfDocument(data) as document:
        return len(document)


def _library(name: str) -> ModuleType:
    module, what = EXTRAS[name]
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImageError(ErrorCode.UNSUPPORTED, f"{what}: {INSTALL}") from None


def _heif(data: bytes, wanted: _Wanted) -> Scaled:
    image = _library("HEIF").open_heif(io.BytesIO(data))
    check_size(image.size, wanted.max_pixels)
    opened = image.to_pillow()  # upright already
    return scaled_of(opened, opened, opened.size)


def _raw(data: bytes, wanted: _Wanted) -> Scaled:
    with _library("RAW").imread(io.BytesIO(data)) as raw:
        size = raw.sizes.width, raw.sizes.height
        half = min(size) >= 2 * wanted.need  # four samples are a pixel then, and nothing is interpolated
        check_size((size[0] >> half, size[1] >> half), wanted.max_pixels)
        pixels = raw.postprocess(half_size=half, use_camera_wb=True)
        width, height = reversed(size) if raw.sizes.flip in {5, 6} else size
    return Scaled(Image.fromarray(pixels), None, 1, width, height, None)


def _pdf(data: bytes, wanted: _Wanted) -> Scaled:
    with _PDFIUM, _library("PDF").PdfDocument(data) as document:
        pages = len(document)
        check_page(wanted.page, pages)
        width, height = (max(1, round(points * PDF_DPI / 72)) for points in document[(wanted.page or 1) - 1].get_size())
        scale = min(1.0, 2 * wanted.need / min(width, height))
        check_size((math.ceil(width * scale), math.ceil(height * scale)), wanted.max_pixels)
        image = document[(wanted.page or 1) - 1].render(scale=scale * PDF_DPI / 72).to_pil()
    return Scaled(image, None, 1, width, height, None, pages=pages)


def _jpeg(data: bytes, wanted: _Wanted) -> Scaled:
    import imagecodecs

    at = 2
    while data[at + 1] not in _FRAMES:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    bits, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
    check_size((width, height), wanted.max_pixels)
    if components not in {1, 3}:
        raise ImageError(ErrorCode.UNSUPPORTED, f"JPEG: {bits} bits of {components} components")
    read = imagecodecs.jpegls_decode if data[at + 1] == _JPEG_LS else imagecodecs.jpeg8_decode
    return _scaled(read(data), bits)


def _jpeg2000(data: bytes, wanted: _Wanted) -> Scaled:
    import imagecodecs

    from artylyze.images.jpeg2000 import read_size

    size = read_size(data)
    if size is None:
        raise ImageError(ErrorCode.CORRUPT, "JPEG2000: no header")
    check_size((size.width, size.height), wanted.max_pixels)
    bits = max(size.depths)
    # Gray of 16 bits often holds the 12 bits of a scanner; colours are taken for what they are declared to be.
    scaled = _scaled(imagecodecs.jpeg2k_decode(data), None if bits > 12 and len(size.depths) == 1 else bits)
    if scaled.image.mode == "RGB" and _JP2_YCC.search(data, 0, 1 << 16):
        return replace(scaled, image=Image.frombytes("YCbCr", scaled.image.size, scaled.image.tobytes()))
    profile = _JP2_PROFILE.search(data, 0, 1 << 16)
    if profile is None:
        return scaled
    return replace(scaled, profile=data[profile.end() : profile.start() + struct.unpack(">I", profile[1])[0]])


def _jpeg_xl(data: bytes, wanted: _Wanted) -> Scaled:
    import imagecodecs

    check_size(jxl_size(data), wanted.max_pixels)
    return _scaled(imagecodecs.jpegxl_decode(data, index=0), None)


def _jpeg_xr(data: bytes, wanted: _Wanted) -> Scaled:
    import imagecodecs

    (start,) = struct.unpack_from("<I", data, 4)
    tags = [struct.unpack_from("<HHII", data, start + 2 + 12 * number) for number in range(data[start])]
    sides = {tag: value & 0xFFFF if kind == _SHORT else value for tag, kind, _, value in tags}
    check_size((sides[_JXR_WIDTH], sides[_JXR_HEIGHT]), wanted.max_pixels)
    return _scaled(imagecodecs.jpegxr_decode(data), None)


def jxl_size(data: bytes) -> tuple[int, int]:
    """Width and height of a JPEG XL image in pixels (ISO 18181-1, SizeHeader); its orientation is not applied.

    Raises ImageError if there is no codestream.
    """
    start, box = 0, 0
    while data[start : start + 2] != b"\xff\x0a":
        if box + 16 > len(data):
            raise ImageError(ErrorCode.TRUNCATED, "JPEG XL: no codestream")
        start = box + {b"jxlc": 8, b"jxlp": 12}.get(data[box + 4 : box + 8], 0)
        box += max(8, int.from_bytes(data[box : box + 4], "big"))
    bits = int.from_bytes(data[start + 2 : start + 16], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    ratio = take(3)
    across, down = ((0, 0), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
    return (height * across // down if ratio else side()), height


def _scaled(values: npt.NDArray[Any], bits: int | None) -> Scaled:
    """What samples (rows, columns[, 1 to 4 channels]) show; `bits` of each, None: those of their type.

    Of samples of more than 8 bits alpha is in units of its type, or of `bits`; which colour is white the colours say.
    """
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] not in _MODES:
        raise ImageError(ErrorCode.UNSUPPORTED, f"samples of the shape {values.shape}")
    if values.dtype != np.uint8:
        values = _in_8_bits(values, (1 << bits) - 1 if bits else None)
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values, _MODES[values.shape[2]])
    return Scaled(image, None, 1, image.width, image.height, None)


def _in_8_bits(values: npt.NDArray[Any], declared: int | None) -> npt.NDArray[np.uint8]:
    """Samples (rows, columns, channels) in 8 bits, some rows at a time: they are floats on the way."""
    kind, bits = values.dtype, 8 * values.dtype.itemsize
    channels = values.shape[2]
    colours = slice(0, channels - (channels in _WITH_ALPHA))
    ends = float(values[..., colours].min()), float(values[..., colours].max())
    result = np.empty(values.shape, np.uint8)
    step = max(1, _AT_ONCE // values[0].size)
    for row in range(0, len(values), step):
        part = values[row : row + step]
        result[row : row + step, :, colours] = to_8_bits(part[..., colours], kind, bits, *ends, declared)
        if channels in _WITH_ALPHA:
            opaque = 1.0 if kind.kind == "f" else float(declared or np.iinfo(kind).max)
            alpha = np.clip(part[..., -1] * (255 / opaque) + 0.5, 0, 255)
            result[row : row + step, :, -1] = alpha
    return result


READERS: dict[str, Callable[[bytes, _Wanted], Scaled]] = {
    "JPEG": _jpeg,
    "JPEG2000": _jpeg2000,
    "JXL": _jpeg_xl,
    "JXR": _jpeg_xr,
    "HEIF": _heif,
    "RAW": _raw,
    "PDF": _pdf,
}
"""The formats that there is a second decoder for."""
