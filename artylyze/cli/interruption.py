"""How a command ends that is asked to: by Ctrl-C, SIGTERM (schedulers, `ray job stop`) or SIGHUP (a closed terminal).

The first signal raises KeyboardInterrupt, so that what is open is closed. Whatever libraries make of that (another
error, silence, a handler of their own), the command ends with one sentence and exit code 130, and it ends in time: a
thread that the C half of Python's signals wakes sees to that, even where the main thread hangs outside of Python.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

from artylyze.errors import InterruptedRunError

GRACE = 10.0
"""Seconds from the first signal to the end of the process; `docker stop` waits as long before it kills."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Ends the body of a `with` when the process is asked to end. For the main thread of a command line.

    Once that has begun, handlers stay until the process ends: a second SIGTERM neither cuts short what is being closed
    nor leaves a traceback, a second Ctrl-C ends the process at once.

    Args:
        message: what the error says that takes the place of whatever an interrupted body raises.

    Raises:
        InterruptedRunError: on leaving, if the body was interrupted.
    """

    def __init__(self, message: str) -> None:
        self.message = message
        self._begun = False
        self._asked = False
        self._told = threading.Event()

    def __enter__(self) -> Self:
        self._owner = os.getpid()
        self._stderr = os.dup(2)  # a Reporter sends 2 to a log
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        # Ctrl-C and nohup: what whoever started us wants to be ignored stays so.
        handled = [
            number for number in SIGNALS if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN
        ]
        self._before = {number: signal.signal(number, self._handle) for number in handled}
        self._waker_before = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=self._forget)
        os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # it would call an interrupted sweep a success
        threading.Thread(target=self._watch, name="artylyze-interruption", daemon=True).start()
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        os.write(self._waker, b"\0")
        self._told.wait()
        completed = error is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        if isinstance(error, KeyboardInterrupt) or (self._asked and not completed):
            raise InterruptedRunError(self.message) from None
        if not self._asked:
            signal.set_wakeup_fd(self._waker_before)
            for number, handler in self._before.items():
                signal.signal(number, handler)
            for descriptor in (self._stderr, self._woken, self._waker):
                os.close(descriptor)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a fork that was not told
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif not self._begun:
            self._begun = True
            raise KeyboardInterrupt
        elif number == signal.SIGINT:
            self._end()

    def _watch(self) -> None:
        while not self._told.is_set():
            number = os.read(self._woken, 1)[0]
            self._asked = number in SIGNALS
            if self._asked or number == 0:  # the end of the body
                self._told.set()
        if self._asked:
            time.sleep(GRACE)
            self._end()

    def _end(self) -> None:
        """End at once. Ray's processes on this machine and our children end with us."""
        os.write(self._stderr, f"{over_echo(self._stderr)}artylyze: {self.message}\n".encode())
        os._exit(InterruptedRunError.exit_code)

    def _forget(self) -> None:
        if self._owner == os.getppid() and threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(-1)


def over_echo(descriptor: int) -> str:
    """Return what a last line begins with to be written over the `^C` as which a terminal echoes Ctrl-C."""
    return "\r" if os.isatty(descriptor) else ""
