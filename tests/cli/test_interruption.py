"""Real signals to real processes: whatever a command does when one comes, it ends with a sentence and 130."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

BODY = """
import signal, subprocess, sys, threading, time
from artylyze.cli import interruption
from artylyze.errors import InputError, InterruptedRunError
interruption.GRACE = 1.0
def ready():
    print("ready", flush=True)
try:
    with interruption.Interruption("interrupted. Again."):
{body}
except InterruptedRunError as error:
    sys.stderr.write(f"{{error}}\\n")
    sys.exit(error.exit_code)
except InputError as error:
    sys.exit(error.exit_code)
"""
WAIT = "ready()\ntime.sleep(60)"
ENDS = {
    "waits": WAIT,
    "makes another error of it": """
try:
    ready()
    time.sleep(60)
except KeyboardInterrupt:
    raise InputError("Query interrupted")""",
    "exits with a status of its own": f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n{WAIT}",
    "swallows it": """
ready()
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        pass""",
    "hangs outside of Python": "import ctypes\nready()\nctypes.CDLL(None).usleep(60_000_000)",
    "cannot close": """
try:
    ready()
    time.sleep(60)
finally:
    threading.Event().wait()""",
    "waits for a thread at its end": f"threading.Thread(target=time.sleep, args=(60,)).start()\n{WAIT}",
    "is told twice": """
try:
    ready()
    time.sleep(60)
finally:
    signal.raise_signal(signal.SIGTERM)""",
    "had children that ended so": f"""
import os
if not (child := os.fork()):
    signal.raise_signal(signal.SIGTERM)
    os._exit(0)
os.waitpid(child, 0)
{WAIT}""",
}


def start(body: str, ignored: signal.Signals | None = None, **options: object) -> subprocess.Popen[str]:
    """Start a command that ignores that signal, and no other whatever this process ignores."""

    def set_signals() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)

    lines = "\n".join(" " * 8 + line for line in body.splitlines())
    process: subprocess.Popen[str] = subprocess.Popen(
        [sys.executable, "-c", BODY.format(body=lines)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=set_signals,
        **options,  # type: ignore[call-overload]
    )
    return process


def stopped(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


@pytest.mark.parametrize("body", ENDS.values(), ids=ENDS.keys())
def test_a_command_that_is_asked_to_end_does(body: str) -> None:
    code, said = stopped(start(body))
    assert code == 130
    assert said.splitlines()[-1].endswith("interrupted. Again.")
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_that_asks_is_heard(number: signal.Signals) -> None:
    assert stopped(start(ENDS["waits"]), number) == (130, "interrupted. Again.\n")


def test_a_command_begun_in_the_background_of_a_script_hears_sigterm() -> None:
    process = start("ready()\nsignal.raise_signal(signal.SIGINT)\ntime.sleep(60)", ignored=signal.SIGINT)
    assert stopped(process) == (130, "interrupted. Again.\n")


def test_a_command_that_nohup_began_outlives_its_terminal() -> None:
    process = start("ready()\nsys.stdin.readline()", ignored=signal.SIGHUP, stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    process.communicate("\n", timeout=120)
    assert process.returncode == 0


def test_a_second_ctrl_c_ends_at_once() -> None:
    body = """
try:
    ready()
    time.sleep(60)
finally:
    interruption.GRACE = 60
    signal.raise_signal(signal.SIGINT)"""
    code, said = stopped(start(body), signal.SIGINT)
    assert (code, said) == (130, "artylyze: interrupted. Again.\n")


def test_what_ends_by_itself_is_left_alone() -> None:
    process = start("ready()\nraise InputError('wrong')")
    process.communicate(timeout=120)
    assert process.returncode == 3


def test_handlers_are_those_of_before_when_it_is_over() -> None:
    from artylyze.cli.interruption import SIGNALS, Interruption

    def state() -> object:
        return [signal.getsignal(one) for one in SIGNALS], len(list(Path("/proc/self/fd").iterdir()))

    before = state()
    with Interruption(""):
        pass
    assert state() == before
