"""What a run tells on a terminal, a real one, and what Python shows in a notebook and elsewhere."""

from __future__ import annotations

import builtins
import fcntl
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from types import ModuleType
from typing import Any

import pytest

from artylyze.progress import Display, watching
from tests.tagging.conftest import Quiet

BODY = """
from artylyze.progress import Reporter
with Reporter() as reporter:
    reporter.start(300, 0, "Tagging")
    reporter.advance(300, 1)
"""


CALL = """
from artylyze.progress import watching
with watching(True) as watcher:
    watcher.say("Reading")
    watcher.start(300, 0, "Tagging")
    watcher.advance(300, 1)
"""


def on_a_terminal(body: str) -> str:
    """What a person sees while Python runs this."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", body], stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # the terminal's other end is closed
            os.close(ours)
    assert process.returncode == 0, shown.decode()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_a_bar_leaves_room_for_the_echo_of_ctrl_c() -> None:
    lines = re.split(r"[\r\n]+", on_a_terminal(BODY))
    bars = [line for line in lines if line.startswith("Tagging")]
    assert "300/300" in bars[-1]
    assert {len(bar) for bar in bars} == {78}


def test_a_call_shows_a_bar_on_a_terminal() -> None:
    shown = on_a_terminal(CALL)

    assert "Reading" in shown
    assert "300/300" in shown
    assert "1 error" in shown


def test_a_call_shows_nothing_elsewhere_but_logs(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "artylyze"), watching(True) as watcher:
        watcher.say("Reading")
        watcher.start(3, 0, "Tagging")
        watcher.advance(3, 0)

    assert capfd.readouterr() == ("", "")
    assert caplog.messages == ["Reading"]


def test_a_watcher_of_ones_own_hears_it_all() -> None:
    own = Quiet()

    with watching(own) as watcher:
        assert watcher is own


class ZMQInteractiveShell:
    """What IPython calls the shell of a notebook."""


class Handle:
    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def update(self, data: dict[str, str], raw: bool) -> None:
        assert raw
        self.lines.append(data["text/plain"])


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """IPython as a notebook has it, and the lines that are displayed in turn."""
    lines: list[str] = []

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        handle = Handle(lines)
        handle.update(data, raw)
        return handle

    module: Any = ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    return lines


def test_a_notebook_has_a_line_that_is_rewritten(notebook: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with watching(True) as watcher:
        watcher.say("Reading [all]")
        watcher.start(200, 50, "Tagging")
        watcher.advance(100, 0)
        watcher.advance(50, 2)

    assert notebook[0].startswith("Tagging ")
    assert " 50/200 " in notebook[0]
    assert " 200/200 " in notebook[-1]
    assert notebook[-1].endswith("2 errors")
    assert capsys.readouterr().out == "Reading [all]\n"


def test_a_notebook_shows_nothing_that_was_not_wanted(notebook: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with Display(shown=False) as display:
        display.say("Reading")
        display.start(3, 0, "Tagging")
        display.advance(3, 0)

    assert notebook == []
    assert capsys.readouterr().out == ""
