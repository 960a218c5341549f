"""Runs a command again and again, kills it half way, and keeps an eye on its processes: samples, and what stays behind.

A process belongs to the command if it is in the session that the command leads: that holds too when its parent is gone,
and for Ray's processes, which make groups of their own but no sessions.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.measure import memory_of

EVERY = 1.0
"""Seconds between two looks at the parts; longer where adding up the memory would take more than SHARE of a core."""
SHARE = 0.02
GRACE = 30.0
"""Seconds that processes have to end after their driver."""
MIB = 2**20


@dataclass(frozen=True)
class Sample:
    """Seconds since the start, rows that the run has committed, MiB of its processes, number of the attempt."""

    seconds: float
    rows: int
    mib: float
    attempt: int


@dataclass(frozen=True)
class Attempt:
    """One run of the command.

    Attributes:
        command: `tag` or `update`.
        killed: whether SIGKILL ended it.
        began: seconds since the start.
        ended: likewise.
        rows: committed in this attempt, copied ones included.
        leftovers: processes that were there GRACE seconds after its end.
        leftover_mib: their memory.
    """

    command: str
    killed: bool
    began: float
    ended: float
    rows: int
    leftovers: int
    leftover_mib: float


class Watch:
    """A command on a catalog, and what was seen of it: `attempts`, `samples`."""

    def __init__(self, command: Sequence[str], catalog: Path, temporary: Path, log: Path) -> None:
        self.command, self.catalog, self.log = list(command), catalog, log
        self.attempts: list[Attempt] = []
        self.samples: list[Sample] = []
        self._environment = os.environ | {"TMPDIR": str(temporary), "RAY_USAGE_STATS_ENABLED": "0"}
        self._start = time.monotonic()
        self._leftovers: list[psutil.Process] = []

    def run(self, options: Sequence[str], *, kill: bool) -> int:
        """Run the command to its end, or to SIGKILL once half of its shards are committed; return its exit code."""
        began, before = self._now(), committed(self.catalog)
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                [*self.command, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        stop = threading.Event()
        sampler = threading.Thread(target=self._sample, args=(process.pid, stop), daemon=True)
        sampler.start()
        try:
            killed = kill and self._kill_half_way(process, before)
            code = process.wait()
        finally:
            ended = self._now()
            stop.set()
            sampler.join()
        left = _left_after(process.pid, GRACE)
        self._leftovers += left
        after = committed(self.catalog)
        rows = after.rows - (before.rows if after.run_id == before.run_id else 0)
        memory = memory_of(one.pid for one in left).total / MIB
        command = "update" if "--update" in options else "tag"
        attempt = Attempt(command, killed, round(began, 1), round(ended, 1), rows, len(left), round(memory, 1))
        self.attempts.append(attempt)
        return code

    def end_leftovers(self) -> None:
        """Kill what the command left behind, now that it is counted."""
        for process in self._leftovers:
            with suppress(psutil.NoSuchProcess):  # psutil knows a process by its start too: never another's
                process.kill()

    def _now(self) -> float:
        return time.monotonic() - self._start

    def _kill_half_way(self, process: subprocess.Popen[bytes], before: Committed) -> bool:
        """Kill the process group once half of the shards of the run that it began are there; False if it was faster."""
        while process.poll() is None:
            now = committed(self.catalog)
            if now.run_id != before.run_id and now.shards >= now.planned / 2:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                return process.wait() == -signal.SIGKILL
            time.sleep(0.1)
        return False

    def _sample(self, leader: int, stop: threading.Event) -> None:
        pause = EVERY
        while not stop.wait(pause):
            began = time.thread_time()
            memory = memory_of(one.pid for one in session(leader))
            sample = Sample(self._now(), committed(self.catalog).rows, memory.total / MIB, len(self.attempts))
            if not stop.is_set():  # else its processes are ending
                self.samples.append(sample)
            pause = max(EVERY, (time.thread_time() - began) / SHARE)


@dataclass(frozen=True)
class Committed:
    """Of a catalog's newest run: its id, its rows and shards that are committed, and the shards of its plan."""

    run_id: str = ""
    rows: int = 0
    shards: int = 0
    planned: int = 0


def committed(catalog: Path) -> Committed:
    """Tell how far the newest run of a catalog is, from the names of its parts and its plan."""
    specs = sorted(catalog.glob("runs/*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    if not specs:
        return Committed()
    ends = json.loads(specs[-1].read_text())["shards"]
    there = [int(path.stem.removeprefix("part-")) for path in specs[-1].parent.glob("parts/part-*.parquet")]
    rows = sum(ends[index] - (ends[index - 1] if index else 0) for index in there)
    return Committed(specs[-1].parent.name, rows, len(there), len(ends))


def session(leader: int) -> list[psutil.Process]:
    """The processes, other than zombies, of the session that a process leads or led."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _left_after(leader: int, seconds: float) -> list[psutil.Process]:
    """The processes of a session that do not end within so many seconds."""
    end = time.monotonic() + seconds
    while (left := session(leader)) and time.monotonic() < end:
        time.sleep(0.2)
    return left


def size_of(folder: Path) -> float:
    """MiB that the files below a folder take on the disk; 0 if it is not there."""
    blocks = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            blocks += path.lstat().st_blocks
    return round(blocks * 512 / MIB, 1)
