"""The supervised child process that decodes: an image that hangs or crashes it costs its neighbours nothing.

The parent's half is `DecoderProcess`; the child runs `python -m artylyze.workers.decoder` and imports only `images`.
"""

from __future__ import annotations

import struct
import sys
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from artylyze.errors import ErrorCode, ImageError
from artylyze.images import MAX_PIXELS, Decoded, decode
from artylyze.workers.supervision import LARGEST_FILE, LENGTH, Child, accept, ready, receive, receive_into, send, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

GRACE = 5.0
"""Seconds past the deadline after which a child ends itself: its parent is gone, or waits for a whole batch."""

_REPLY = struct.Struct("!?IIH")  # decoded, width, height, bytes of text that follow


class Seen(NamedTuple):
    """What the file says: pixels of the full resolution as displayed, Pillow's name of the format, and a warning."""

    width: int
    height: int
    format: str
    warning: str | None = None


class DecoderProcess:
    """One child process, started when first needed and again after each death. Not for several threads at once.

    `size` is the side of the squares in pixels, `deadline` the seconds an image may take, `max_pixels` as in
    `images.decode`.
    """

    def __init__(self, size: int, *, deadline: float = 60.0, max_pixels: int = MAX_PIXELS) -> None:
        self._size = size
        self._deadline = deadline
        self._child = Child("artylyze.workers.decoder", (size, max_pixels, deadline))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Of the child, if it runs."""
        return None if self._child.process is None else self._child.process.pid

    def decode(self, data: bytes | memoryview, out: npt.NDArray[np.uint8]) -> Seen:
        """Decode `data` into `out`, uint8 (size, size, 3), C-contiguous: a slot of a batch, for instance.

        Raises ImageError: those of `images.decode`, timeout, crashed_decoder; `out` is then undefined. Raises
        ChildStartError, and ValueError for an `out` of another shape.
        """
        if out.shape != (self._size, self._size, 3) or out.dtype != "uint8" or not out.flags.carray:
            raise ValueError(f"out must be a contiguous uint8 array of shape ({self._size}, {self._size}, 3)")
        check_size(data)
        link = self._child.connect()
        end = time.monotonic() + self._deadline
        try:
            send(link, [LENGTH.pack(len(data)), data], end)
            header = read_header(lambda length: receive(link, length, end))
            if isinstance(header, Seen):
                receive_into(link, out.data.cast("B"), end)
        except TimeoutError:
            self._child.kill()
            raise timed_out(self._deadline) from None
        except (OSError, EOFError):
            raise ImageError(ErrorCode.CRASHED_DECODER, self._child.cause_of_death()) from None
        except BaseException:  # an interrupt here leaves half an answer in the socket
            self._child.kill()
            raise
        if isinstance(header, ImageError):
            raise header
        return header

    def close(self) -> None:
        """End the child; it may be started again by a later `decode`."""
        self._child.kill()


def check_size(data: bytes | memoryview) -> None:
    """Raise ImageError for a file that is too large to be sent to a child."""
    if len(data) > LARGEST_FILE:
        raise ImageError(ErrorCode.TOO_LARGE, f"a file of {len(data) / 1e6:.0f} MB")


def timed_out(deadline: float) -> ImageError:
    """What an image is that was not decoded within `deadline` seconds."""
    return ImageError(ErrorCode.TIMEOUT, f"not decoded within {deadline:g} s")


def read_header(read: Callable[[int], bytes]) -> Seen | ImageError:
    """In the parent: what the child says of an image, from what returns so many of its bytes."""
    decoded, width, height, length = _REPLY.unpack(read(_REPLY.size))
    text = read(length).decode()
    if decoded:
        name, _, warning = text.partition(" ")
        return Seen(width, height, name, warning or None)
    code, _, detail = text.partition(" ")
    return ImageError(ErrorCode(code), detail)


def header_of(decoded: Decoded | ImageError) -> bytes:
    """In the child: what `read_header` takes."""
    if isinstance(decoded, ImageError):
        text = f"{decoded.code} {decoded.detail}".encode()
        return _REPLY.pack(False, 0, 0, len(text)) + text
    text = f"{decoded.format} {decoded.warning or ''}".encode()
    return _REPLY.pack(True, decoded.width, decoded.height, len(text)) + text


def decode_or_error(data: bytes, size: int, max_pixels: int, deadline: float) -> Decoded | ImageError:
    """In the child: decode, at most for as long as the parent would wait."""
    watch(deadline + GRACE)
    try:
        return decode(data, size, max_pixels=max_pixels)
    except ImageError as error:
        return error
    finally:
        watch(0)


def main(arguments: list[str]) -> None:
    """The child: answer images over the inherited socket until the parent closes it.

    Arguments: number of the socket's file descriptor, size (pixels), max_pixels, deadline (seconds).
    """
    descriptor, size, max_pixels, deadline = *map(int, arguments[:3]), float(arguments[3])
    link, _ = accept(descriptor)
    with link, link.makefile("rb") as requests:
        ready(link)
        while request := requests.read(LENGTH.size):
            found = decode_or_error(requests.read(*LENGTH.unpack(request)), size, max_pixels, deadline)
            pixels = [] if isinstance(found, ImageError) else [found.pixels.data.cast("B")]
            send(link, [header_of(found), *pixels])


if __name__ == "__main__":
    main(sys.argv[1:])
