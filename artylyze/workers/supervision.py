"""A child process that may die or hang without harm: started when needed, bounded in memory, ended at a deadline.

Work that an image can bring down is done in one. Parent and child talk over a socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import math
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from artylyze.workers.protocol import LENGTH

MEMORY = 4 << 30
"""Bytes of address space the child may add to what it has when it is ready: an image of the most pixels that are
decoded takes about a third of it."""

LARGEST_FILE = MEMORY // 4
"""Bytes that a file may have to be sent to a child."""

START_SECONDS = 120.0
"""How long a child may take to come up: 0.2 s here, minutes on a cold network file system."""

PARENT_EVERY = 1.0
"""Seconds between two looks for the parent."""

_PR_SET_PDEATHSIG = 1  # prctl(2)
_READY = b"artylyze"
_PARTS = 64  # of one call: the system takes 1,024


class ChildStartError(RuntimeError):
    """The child process does not come up: an error of the installation, never of an image."""


class Child:
    """One child process, started when first needed and again after each death.

    Not for several threads at once, but for `end`.

    Args:
        module: that is run, with `accept` and `ready`.
        arguments: for it, besides the number of the socket.
        payload: makes the bytes that it is given once, before it is ready.
    """

    def __init__(self, module: str, arguments: Sequence[object], payload: Callable[[], bytes] = bytes) -> None:
        self._module = module
        self._arguments = list(map(str, arguments))
        self._payload = payload
        self._ended = False
        self.process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def connect(self) -> socket.socket:
        """Return the socket to a child that was alive a moment ago. Raises ChildStartError."""
        if self.process is not None and self.process.poll() is not None:
            self.kill()  # between two images: of none of them
        return self._socket or self._start()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-W", "ignore", "-m", self._module, str(theirs.fileno()), *self._arguments]
        with theirs, tempfile.TemporaryFile() as stderr:
            self.process = subprocess.Popen(
                command,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=(theirs.fileno(),),
            )
            self._socket = ours
            theirs.close()
            if self._ended:
                self.kill()
                raise ChildStartError(f"{self._module} was ended")
            self._await_ready(ours, stderr)
        return ours

    def _await_ready(self, link: socket.socket, stderr: BinaryIO) -> None:
        end = time.monotonic() + START_SECONDS
        try:
            payload = self._payload()
            send(link, [LENGTH.pack(len(payload)), payload], end)
            receive(link, len(_READY), end)
        except (OSError, EOFError) as error:
            cause = f"no answer in {START_SECONDS:g} s" if isinstance(error, TimeoutError) else self.cause_of_death()
            self.kill()
            stderr.seek(0)
            said = stderr.read().decode(errors="replace").strip()
            raise ChildStartError(f"{self._module} does not start: {cause}\n{said}".strip()) from None
        except BaseException:
            self.kill()
            raise

    def cause_of_death(self) -> str:
        """How the child ended, which it has or is about to: it closed its end of the socket."""
        process = self.process
        self.kill(patience=1.0)
        status = None if process is None else process.returncode
        if status is None or status >= 0:
            return f"exited with status {status}"
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"

    def end(self) -> None:
        """End the child for good, from any thread: one that talks to it sees it die."""
        self._ended = True
        process = self.process
        if process is not None:
            process.kill()
            process.wait()

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended

    def kill(self, patience: float = 0.0) -> None:
        """End the child now, or after `patience` seconds if it does not end by itself. It may be started again."""
        process, self.process = self.process, None
        link, self._socket = self._socket, None
        if link is not None:
            link.close()
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
            process.kill()
            process.wait()


def cores() -> int:
    """Cores that this process may use, by its affinity and by the quota of its control group (version 2)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no such file, or `max`: no quota
        quota, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text().split())
        count = min(count, max(1, quota // period))
    return count


def _environment() -> dict[str, str]:
    """The parent's environment with its import path (Ray ships code by sys.path alone), on one thread."""
    paths = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), *(path or str(Path.cwd()) for path in sys.path)]
    # Every thread of a BLAS or allocator reserves address space, which is what the child's limit counts.
    single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    return {**os.environ, **single, "PYTHONPATH": os.pathsep.join(dict.fromkeys(filter(None, paths)))}


def send(link: socket.socket, parts: Sequence[bytes | memoryview], end: float = math.inf) -> None:
    """Send all of `parts`; the first go holds several, which saves waking the other process for each.

    Raises TimeoutError at the monotonic time `end`.
    """
    _wait_until(link, end)
    sent = link.sendmsg(parts)
    for part in parts:
        if sent < len(part):
            _wait_until(link, end)
            link.sendall(memoryview(part)[sent:])  # a socket's timeout covers the whole of sendall
        sent = max(sent - len(part), 0)


def send_until_answered(link: socket.socket, parts: deque[bytes | memoryview], end: float = math.inf) -> None:
    """Send `parts` and drop what was sent, until all is sent or the other end has said something.

    If the other end is gone `parts` is emptied: reading gives what it said before, and then its end.

    Raises TimeoutError at the monotonic time `end`.
    """
    link.settimeout(0)
    poll = select.poll()
    poll.register(link, select.POLLIN | select.POLLOUT)
    while parts:
        try:
            _drop(parts, link.sendmsg(list(itertools.islice(parts, _PARTS))))
        except BlockingIOError:
            pass
        except OSError:
            parts.clear()
        if parts:
            left = end - time.monotonic()
            events = poll.poll(None if left == math.inf else 1000 * max(left, 0))
            if not events:
                raise TimeoutError
            if events[0][1] & ~select.POLLOUT:
                return


def _drop(parts: deque[bytes | memoryview], count: int) -> None:
    """Take the first `count` bytes away."""
    while parts and count >= len(parts[0]):
        count -= len(parts.popleft())
    if count:
        parts[0] = memoryview(parts[0])[count:]


def receive(link: socket.socket, length: int, end: float = math.inf) -> bytes:
    """Return `length` bytes; raises as `receive_into`."""
    buffer = bytearray(length)
    receive_into(link, memoryview(buffer), end)
    return bytes(buffer)


def receive_into(link: socket.socket, buffer: memoryview, end: float = math.inf) -> None:
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


def accept(descriptor: int) -> tuple[socket.socket, bytes]:
    """In the child: the socket of that number to the parent, and the payload."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    end_with_parent()
    link = socket.socket(fileno=descriptor)
    (length,) = LENGTH.unpack(receive(link, LENGTH.size))
    return link, receive(link, length)


def ready(link: socket.socket) -> None:
    """In the child: tell the parent that images may come. From here on memory is limited and stderr goes nowhere."""
    _limit_memory()
    link.sendall(_READY)
    with open(os.devnull, "wb") as nowhere:  # libtiff's remarks on each image
        os.dup2(nowhere.fileno(), sys.stderr.fileno())


@functools.cache
def end_with_parent() -> None:
    """End this process, whatever it does, soon after the one that started it.

    A worker of Ray whose node was killed may wait for its threads for ever; a child that computes looks at its socket
    late. The kernel kills even a process that holds the interpreter's lock, but does so when the thread ends that
    started it, so it is asked only where that is the parent's main thread. The look at the parent is for all others.
    """
    parent = os.getppid()
    if _started_by_main_thread(parent):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def watch_parent() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_EVERY)
        os._exit(1)

    threading.Thread(target=watch_parent, name="artylyze-parent", daemon=True).start()


def _started_by_main_thread(parent: int) -> bool:
    """Whether the main thread of that process started this one. Unknown, and False, where Linux does not say so."""
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except OSError:
        return False
    return str(os.getpid()) in children


def watch(seconds: float) -> None:
    """In the child: end it in `seconds`, 0 for not at all: it may hang in C code when no parent is there to kill it."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory() -> None:
    """At most MEMORY bytes of address space on top of today's, lest one image take the machine; a lower limit stays."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        limit = _address_space() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _address_space() -> int:
    """Bytes of address space of this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
