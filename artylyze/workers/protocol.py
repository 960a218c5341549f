"""What a worker and its child say to each other about images: the parent asks for batches, the child answers each.

A request is a number of images and, for each, its length and its bytes. The answer is the length of all headers, the
headers in the order of the request, and then a row for each image that could be decoded: its pixels, or what the
model makes of them.
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

_HEADER = struct.Struct("!?IIH")  # decoded, width, height, bytes of text that follow


class Seen(NamedTuple):
    """What a file says of its image: pixels of the full resolution as displayed, the format, and what is amiss."""

    width: int
    height: int
    format: str
    warning: str | None = None


def pack_header(decoded: Decoded | ImageError) -> bytes:
    """In the child: what `read_header` takes."""
    if isinstance(decoded, ImageError):
        text = f"{decoded.code} {decoded.detail}".encode()
        return _HEADER.pack(False, 0, 0, len(text)) + text
    text = f"{decoded.format} {decoded.warning or ''}".encode()
    return _HEADER.pack(True, decoded.width, decoded.height, len(text)) + text


def read_header(read: Callable[[int], bytes]) -> Seen | ImageError:
    """In the parent: what the child says of an image, from what returns so many of its bytes."""
    decoded, width, height, length = _HEADER.unpack(read(_HEADER.size))
    text = read(length).decode()
    if decoded:
        name, _, warning = text.partition(" ")
        return Seen(width, height, name, warning or None)
    code, _, detail = text.partition(" ")
    return ImageError(ErrorCode(code), detail)
