"""What bytes are: the image format that they begin with, or the name of what we do not read."""

from __future__ import annotations

import re
import struct

from artylyze.errors import ErrorCode, ImageError

IMAGE_EXTENSIONS = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".tif", ".tiff", ".btf", ".tf8", ".webp", ".gif"),
        *(".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf", ".avif", ".avifs", ".jxl", ".heic", ".heif"),
        *(".bmp", ".dib", ".psd", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".pcx", ".tga", ".sgi", ".rgb", ".bw"),
        *(".ras", ".qoi", ".jls", ".jxr", ".wdp", ".jph"),
        *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"),  # of cameras
    }
)
"""What a scan takes for an image: lower case, with the dot."""

PLUGINS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "TIFF": "TiffImagePlugin",
    "WEBP": "WebPImagePlugin",
    "GIF": "GifImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "AVIF": "AvifImagePlugin",
    "BMP": "BmpImagePlugin",
    "PPM": "PpmImagePlugin",
    "PCX": "PcxImagePlugin",
    "PSD": "PsdImagePlugin",
    "SGI": "SgiImagePlugin",
    "SUN": "SunImagePlugin",
    "QOI": "QoiImagePlugin",
    "TGA": "TgaImagePlugin",
}
"""The formats that are ever tried, and Pillow's module for each; none of them runs another program. JPEG covers MPO."""

_READ = (
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"II\*\0....CR\x02|....ftypcrx|FUJIFILMCCD-RAW|II(?:RO|RS|U\0)|MMOR|\0MRM|FOVb", "RAW"),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"RIFF....WEBP", "WEBP"),
    (rb"GIF8[79]a", "GIF"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG2000"),
    (rb"....ftypavi[fs]|....ftypm[is]f1.{4,64}?avi[fs]", "AVIF"),
    (rb"....ftyp(?:hei|hev|m[is]f1)", "HEIF"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JXL"),
    (rb"II\xbc\x01", "JXR"),
    (rb"\s*%PDF", "PDF"),
    (rb"BM.{4}\0\0\0\0", "BMP"),
    (rb"P[1-6fy]\s", "PPM"),
    (rb"\x0a[\0\x02\x03\x05]\x01", "PCX"),
    (rb"8BPS", "PSD"),
    (rb"\x01\xda[\0\x01][\x01\x02]", "SGI"),
    (rb"\x59\xa6\x6a\x95", "SUN"),
    (rb"qoif", "QOI"),
    # Truevision gave its format no signature: the fields must make sense together (colour map, type, depth, origin).
    (rb".(?:\0[\x02\x03\x0a\x0b]|\x01[\x01\x09]).{13}[\x01\x08\x10\x18\x20][\0-\x3f]", "TGA"),
)
_NOT_READ = (
    (rb"....ftyp", "a video (ISO media)"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
    (rb"(?i)(?:\xef\xbb\xbf)?\s*(?:<\?xml.*?)?(?:<!--.*?-->\s*)*(?:<!doctype svg.*?)?<svg[\s>]", "SVG"),
    (rb"(?i)(?:\xef\xbb\xbf)?\s*(?:<\?xml.*?)?(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body)", "an HTML page"),
    (rb"(?:\xef\xbb\xbf)?\s*<\?xml", "XML"),
    (rb"PK\x03\x04", "a ZIP archive"),
    (rb"\x1f\x8b", "a gzip file"),
    (rb"AT&TFORM", "DjVu"),
    (rb"\x76\x2f\x31\x01", "OpenEXR"),
    (rb".{128}DICM", "DICOM"),
    (rb"DDS ", "DDS"),
    (rb"\0\0\x01\0", "an icon (ICO)"),
    (rb"\s*[\[{]\s*[\"{\[]", "JSON"),
)
_READ_PATTERNS = tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in _READ)
_NOT_READ_PATTERNS = tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in _NOT_READ)
_HEAD = 1024  # bytes looked at: a prologue before <svg> is longer than any signature


def identify(data: bytes) -> str:
    """The name of the format that `data` begins with, judged by content alone: a key of `PLUGINS` or `second.READERS`.

    Raises ImageError: empty, or unsupported with the name of what it seems to be.
    """
    if not data:
        raise ImageError(ErrorCode.EMPTY, "0 bytes")
    head = data[:_HEAD]
    read = _first(_READ_PATTERNS, head)
    other = _first(_NOT_READ_PATTERNS, head) if read in {None, "TIFF", "TGA"} else None
    if read is not None and other is None:
        return read
    raise ImageError(ErrorCode.UNSUPPORTED, other or f"unknown, begins with {head[:8].hex(' ')}")


def _first(patterns: tuple[tuple[re.Pattern[bytes], str], ...], head: bytes) -> str | None:
    return next((name for pattern, name in patterns if pattern.match(head)), None)


def ends_early(data: bytes, name: str) -> bool:
    """Whether a file of format `name` stops before its own structure says that it ends. Cheap and never raises."""
    match name:
        case "JPEG":
            return b"\xff\xd9" not in data[-(1 << 16) :]
        case "PNG":
            return b"IEND" not in data[-(1 << 16) :]
        case "GIF":
            return not data.rstrip(b"\0").endswith(b";")
        case "WEBP":
            return len(data) < 8 + int.from_bytes(data[4:8], "little")
        case "JPEG2000":
            return b"\xff\xd9" not in data[-(1 << 10) :]
        case "AVIF" | "HEIF":
            return _boxes_end(data) > len(data)
        case "BMP":
            return len(data) < int.from_bytes(data[2:6], "little")
        case "TIFF":
            return _directory(data) + 2 > len(data)
        case _:
            return False


def _boxes_end(data: bytes) -> int:
    """Where the last top-level ISO media box says that it ends, bytes."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8:  # 0: up to the end of the file; 1: a 64-bit length, which no still image needs
            return len(data)
        at += length
    return at if at >= len(data) else at + 8


def _directory(data: bytes) -> int:
    """Where a TIFF header says that its first directory is, bytes; BigTIFF has 64-bit offsets."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    layout = struct.Struct(f"{order}Q" if big else f"{order}I")
    start = 8 if big else 4
    return int(layout.unpack_from(data, start)[0]) if len(data) >= start + layout.size else len(data)
