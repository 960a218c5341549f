"""Ends a command on Ctrl-C, SIGTERM (schedulers, `ray job stop`) or SIGHUP (a closed terminal).

The first signal raises KeyboardInterrupt, so that resources are closed. Whatever libraries make of that (another error,
no error, their own handler), the command ends with one sentence and exit code 130, and within GRACE: a thread that is
woken by the C part of Python's signal handling ends it even if the main thread hangs outside of Python.
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
    """Ends the body of a `with` on a signal. For the main thread of a command line.

    After the first signal the handlers stay until the process ends: a second SIGTERM neither interrupts the closing of
    resources nor leaves a traceback; a second Ctrl-C ends the process at once.

    Args:
        message: of the error that replaces whatever an interrupted body raises.

    Raises:
        InterruptedRunError: on leaving, if the body was interrupted.
    """

    def __init__(self, message: str) -> None:
        self.message = message
        self._interrupted = False
        self._signalled = False
        self._finished = threading.Event()

    def __enter__(self) -> Self:
        self._owner = os.getpid()
        self._stderr = os.dup(2)  # a Reporter redirects 2 to a log
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        # Signals that the parent process ignores (nohup, background jobs) stay ignored.
        handled = [
            number for number in SIGNALS if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN
        ]
        self._before = {number: signal.signal(number, self._handle) for number in handled}
        self._waker_before = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=self._forget)
        os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Tune would report an interruption as success
        threading.Thread(target=self._watch, name="artylyze-interruption", daemon=True).start()
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        os.write(self._waker, b"\0")
        self._finished.wait()
        completed = error is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        if isinstance(error, KeyboardInterrupt) or (self._signalled and not completed):
            raise InterruptedRunError(self.message) from None
        if not self._signalled:
            signal.set_wakeup_fd(self._waker_before)
            for number, handler in self._before.items():
                signal.signal(number, handler)
            for descriptor in (self._stderr, self._woken, self._waker):
                os.close(descriptor)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a fork without the hook
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif not self._interrupted:
            self._interrupted = True
            raise KeyboardInterrupt
        elif number == signal.SIGINT:
            self._end()

    def _watch(self) -> None:
        while not self._finished.is_set():
            number = os.read(self._woken, 1)[0]
            self._signalled = number in SIGNALS
            if self._signalled or number == 0:  # the end of the body
                self._finished.set()
        if self._signalled:
            time.sleep(GRACE)
            self._end()

    def _end(self) -> None:
        """End at once. Child processes, and Ray's on this machine, end with this one."""
        os.write(self._stderr, f"{over_echo(self._stderr)}artylyze: {self.message}\n".encode())
        os._exit(InterruptedRunError.exit_code)

    def _forget(self) -> None:
        if self._owner == os.getppid() and threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(-1)


def over_echo(descriptor: int) -> str:
    """Return the prefix of a last line that overwrites a terminal's echo of Ctrl-C, `^C`."""
    return "\r" if os.isatty(descriptor) else ""
