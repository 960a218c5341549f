"""What a run tells on a terminal, a real one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

BODY = """
from artylyze.progress import Reporter
with Reporter() as reporter:
    reporter.start(300, 0, "Tagging")
    reporter.advance(300, 1)
"""


def test_a_bar_leaves_room_for_the_echo_of_ctrl_c() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", BODY], stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # the terminal's other end is closed
            os.close(ours)
    assert process.returncode == 0, shown.decode()
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()))
    bars = [line for line in lines if line.startswith("Tagging")]
    assert "300/300" in bars[-1]
    assert {len(bar) for bar in bars} == {78}
