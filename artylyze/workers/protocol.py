"""What a worker and its child say to each other about images: the parent asks for batches, the child answers each.

A request is a number of images and, for each, its length, its page and its bytes. The answer is the length of all
headers, the headers in the order of the request, then a row for each image that could be decoded: its pixels, or what
the model makes of them; and last the times that the batch took. The parent of a child with a model has no pixels: what
a catalog keeps of them is in the headers.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from artylyze.errors import ErrorCode, ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from artylyze.images import Decoded

LENGTH = struct.Struct("!Q")
"""Of what follows: bytes, or images of a batch."""

IMAGE = struct.Struct("!QI")
"""Of an image in a request: bytes of its file, and the page of it, 0 for the first."""

TIMES = struct.Struct("!dd")
"""Seconds that the child took to decode a batch, and to run the model on it."""

_HEADER = struct.Struct("!?IIIHHI")  # decoded, width, height, pages; bytes of text, colors and thumbnail that follow


class Seen(NamedTuple):
    """What is known of an image that was decoded.

    Attributes:
        width, height: pixels of the full resolution, as displayed.
        format: of the file.
        warning: why the picture may be incomplete, None if it is not.
        colors: the bytes of what `images.palette.dominant_colors` returns; empty where they were not asked for.
        thumbnail: the JPEG that `images.thumbnail.thumbnail` returns; empty where it was not asked for.
        warnings: names of `images.quality.WARNINGS`.
        pages: pictures in the file, 1 but for documents.
    """

    width: int
    height: int
    format: str
    warning: str | None = None
    colors: bytes = b""
    thumbnail: bytes = b""
    warnings: tuple[str, ...] = ()
    pages: int = 1


def pack_header(decoded: Decoded | ImageError, colors: bytes = b"", thumbnail: bytes = b"") -> bytes:
    """In the child: what `read_header` takes."""
    if isinstance(decoded, ImageError):
        text = f"{decoded.code} {decoded.detail}".encode()
        return _HEADER.pack(False, 0, 0, 0, len(text), 0, 0) + text
    text = f"{decoded.format} {','.join(decoded.warnings)} {decoded.warning or ''}".encode()
    fixed = _HEADER.pack(True, decoded.width, decoded.height, decoded.pages, len(text), len(colors), len(thumbnail))
    return b"".join((fixed, text, colors, thumbnail))


def read_header(read: Callable[[int], bytes]) -> Seen | ImageError:
    """In the parent: what the child says of an image, from what returns so many of its bytes."""
    decoded, width, height, pages, *lengths = _HEADER.unpack(read(_HEADER.size))
    text, colors, thumbnail = map(read, lengths)
    if decoded:
        name, warnings, warning = text.decode().split(" ", 2)
        named = tuple(filter(None, warnings.split(",")))
        return Seen(width, height, name, warning or None, colors, thumbnail, named, pages)
    code, _, detail = text.decode().partition(" ")
    return ImageError(ErrorCode(code), detail)
