"""The supervised child process that decodes: an image that hangs or crashes it costs its neighbours nothing.

The parent's half is `DecoderProcess`; the child runs `python -m artylyze.decoder` and imports only `images`.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

from artylyze.errors import ErrorCode, ImageError
from artylyze.images import MAX_PIXELS, decode

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MEMORY = 4 << 30
"""Bytes of address space the child may have: an image of MAX_PIXELS takes about a third of it."""

START_SECONDS = 120.0
"""How long a child may take to come up: 0.2 s here, minutes on a cold network file system."""

_REQUEST = struct.Struct("!Q")  # bytes of image that follow
_REPLY = struct.Struct("!?IIH")  # decoded, width, height, bytes of text that follow; then the pixels
_READY = b"artylyze"
_GRACE = 5.0  # seconds past the deadline after which a child whose parent is gone ends itself
_LARGEST_SHARE = 4  # a file may take this fraction of the child's memory


class Header(NamedTuple):
    """What the file says: pixels of the full resolution as displayed, and Pillow's name of the format."""

    width: int
    height: int
    format: str


class DecoderStartError(RuntimeError):
    """The child process does not come up: an error of the installation, never of an image."""


class DecoderProcess:
    """One child process, started when first needed and again after each death. Not for several threads at once.

    `size` is the side of the squares in pixels, `deadline` the seconds an image may take, `max_pixels` as in
    `images.decode`.
    """

    def __init__(self, size: int, *, deadline: float = 60.0, max_pixels: int = MAX_PIXELS) -> None:
        self._size = size
        self._deadline = deadline
        self._max_pixels = max_pixels
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def decode(self, data: bytes | memoryview, out: npt.NDArray[np.uint8]) -> Header:
        """Decode `data` into `out`, uint8 (size, size, 3), C-contiguous: a slot of a batch, for instance.

        Raises ImageError: those of `images.decode`, timeout, crashed_decoder; `out` is then undefined. Raises
        DecoderStartError, and ValueError for an `out` of another shape.
        """
        if out.shape != (self._size, self._size, 3) or out.dtype != "uint8" or not out.flags.carray:
            raise ValueError(f"out must be a contiguous uint8 array of shape ({self._size}, {self._size}, 3)")
        if len(data) > MEMORY // _LARGEST_SHARE:
            raise ImageError(ErrorCode.TOO_LARGE, f"a file of {len(data) / 1e6:.0f} MB")
        link = self._connect()
        end = time.monotonic() + self._deadline
        try:
            _send(link, [_REQUEST.pack(len(data)), data], end)
            decoded, width, height, length = _REPLY.unpack(_receive(link, _REPLY.size, end))
            text = _receive(link, length, end).decode()
            if decoded:
                _receive_into(link, out.data.cast("B"), end)
        except TimeoutError:
            self._kill()
            raise ImageError(ErrorCode.TIMEOUT, f"not decoded within {self._deadline:g} s") from None
        except (OSError, EOFError):
            raise ImageError(ErrorCode.CRASHED_DECODER, self._cause_of_death()) from None
        except BaseException:  # an interrupt here leaves half an answer in the socket
            self._kill()
            raise
        if decoded:
            return Header(width, height, text)
        code, _, detail = text.partition(" ")
        raise ImageError(ErrorCode(code), detail)

    def close(self) -> None:
        """End the child; it may be started again by a later `decode`."""
        self._kill()

    def _connect(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self._kill()  # it died between two images: of none of them
        return self._socket or self._start()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        arguments = [theirs.fileno(), self._size, self._max_pixels, self._deadline]
        command = [sys.executable, "-P", "-W", "ignore", "-m", "artylyze.decoder", *map(str, arguments)]
        with theirs, tempfile.TemporaryFile() as stderr:
            self._process = subprocess.Popen(
                command,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=(theirs.fileno(),),
            )
            self._socket = ours
            theirs.close()
            self._await_ready(ours, stderr)
        return ours

    def _await_ready(self, link: socket.socket, stderr: BinaryIO) -> None:
        try:
            _receive(link, len(_READY), time.monotonic() + START_SECONDS)
        except (OSError, EOFError) as error:
            cause = f"no answer in {START_SECONDS:g} s" if isinstance(error, TimeoutError) else self._cause_of_death()
            self._kill()
            stderr.seek(0)
            said = stderr.read().decode(errors="replace").strip()
            raise DecoderStartError(f"the decoder process does not start: {cause}\n{said}".strip()) from None
        except BaseException:
            self._kill()
            raise

    def _cause_of_death(self) -> str:
        """How the child ended, which it has or is about to: it closed its end of the socket."""
        process = self._process
        self._kill(patience=1.0)
        status = None if process is None else process.returncode
        if status is None or status >= 0:
            return f"exited with status {status}"
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"

    def _kill(self, patience: float = 0.0) -> None:
        """End the child now, or after `patience` seconds if it does not end by itself."""
        process, self._process = self._process, None
        link, self._socket = self._socket, None
        if link is not None:
            link.close()
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """The parent's environment with its import path (Ray ships code by sys.path alone), on one thread."""
    paths = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), *(path or str(Path.cwd()) for path in sys.path)]
    # Every thread of a BLAS or allocator reserves address space, which is what the child's limit counts.
    single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    return {**os.environ, **single, "PYTHONPATH": os.pathsep.join(dict.fromkeys(filter(None, paths)))}


def _send(link: socket.socket, parts: list[bytes | memoryview], end: float) -> None:
    """Send all of `parts`; the first go holds several, which saves waking the other process for each."""
    _wait_until(link, end)
    sent = link.sendmsg(parts)
    for part in parts:
        if sent < len(part):
            _wait_until(link, end)
            link.sendall(memoryview(part)[sent:])  # a socket's timeout covers the whole of sendall
        sent = max(sent - len(part), 0)


def _receive(link: socket.socket, length: int, end: float) -> bytes:
    buffer = bytearray(length)
    _receive_into(link, memoryview(buffer), end)
    return bytes(buffer)


def _receive_into(link: socket.socket, buffer: memoryview, end: float) -> None:
    """Fill `buffer`; raises TimeoutError at the monotonic time `end`, EOFError when the other end is closed."""
    while buffer:
        _wait_until(link, end)
        count = link.recv_into(buffer)
        if count == 0:
            raise EOFError
        buffer = buffer[count:]


def _wait_until(link: socket.socket, end: float) -> None:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    link.settimeout(None if left == math.inf else left)


def main(arguments: list[str]) -> None:
    """The child: answer images over the inherited socket until the parent closes it.

    Arguments: number of the socket's file descriptor, size (pixels), max_pixels, deadline (seconds).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    descriptor, size, max_pixels, deadline = (
        int(arguments[0]),
        int(arguments[1]),
        int(arguments[2]),
        float(arguments[3]),
    )
    _limit_memory()
    with socket.socket(fileno=descriptor) as link, link.makefile("rb") as requests:
        link.sendall(_READY)
        _silence_stderr()
        while request := requests.read(_REQUEST.size):
            # Ends a child that hangs in C code when the parent is not there any more to kill it.
            signal.setitimer(signal.ITIMER_REAL, deadline + _GRACE)
            data = requests.read(*_REQUEST.unpack(request))
            _send(link, _answer(data, size, max_pixels), math.inf)
            signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(data: bytes, size: int, max_pixels: int) -> list[bytes | memoryview]:
    try:
        decoded = decode(data, size, max_pixels=max_pixels)
    except ImageError as error:
        text = f"{error.code} {error.detail}".encode()
        return [_REPLY.pack(False, 0, 0, len(text)) + text]
    text = decoded.format.encode()
    return [_REPLY.pack(True, decoded.width, decoded.height, len(text)) + text, decoded.pixels.data.cast("B")]


def _limit_memory() -> None:
    """At most MEMORY bytes of address space, so that one image cannot take the machine; a lower limit stays."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _silence_stderr() -> None:
    """From here on libtiff's remarks on each image go nowhere; before, the parent wanted to know why it fails."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())


if __name__ == "__main__":
    main(sys.argv[1:])
