"""What ends with the process that started it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = """
import ctypes, time
from artylyze.workers.supervision import end_with_parent
end_with_parent()
print("ready", flush=True)
{work}
"""
PARENT = """
import subprocess, sys, threading, time
def start():
    subprocess.Popen([sys.executable, "-c", sys.argv[1]])
{start}
time.sleep(600)
"""
IN_MAIN, IN_A_THREAD = "start()", "threading.Thread(target=start).start()"


@pytest.mark.parametrize(
    ("start", "work"),
    [
        (IN_MAIN, "time.sleep(600)"),
        (IN_MAIN, "ctypes.CDLL(None).sleep(600)"),
        (IN_MAIN, "ctypes.PyDLL(None).sleep(600)"),  # holds the interpreter's lock: no Python thread gets a turn
        (IN_A_THREAD, "ctypes.CDLL(None).sleep(600)"),
    ],
)
def test_a_process_ends_with_its_parent_whatever_it_does(start: str, work: str) -> None:
    command = [sys.executable, "-c", PARENT.format(start=start), CHILD.format(work=work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        parent.communicate(timeout=60)  # to the end of the output, which the child has too


def test_a_process_outlives_the_thread_that_started_it() -> None:
    work = "time.sleep(3)\nprint('alive', flush=True)"
    command = [sys.executable, "-c", PARENT.format(start=IN_A_THREAD), CHILD.format(work=work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert [parent.stdout.readline() for _ in range(2)] == ["ready\n", "alive\n"]
        parent.kill()
