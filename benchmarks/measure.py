"""Runs a contestant as a process tree of its own, with a clock and a memory gauge; and the arithmetic of rates.

Rates. Every contestant is run twice, on the first n1 and on the first n2 images of the same list, each time from a cold
process to its end; the steady rate is (n2 - n1) / (t2 - t1), and start-up is what the line through both points leaves
at zero images. So whatever a contestant does once (imports, Ray's start, loading the model, filling its pipeline, the
last flush) cancels out, none needs a hook inside, and none gains by the size of its batches or commits: a first-result-
to-last-result rate flatters whoever delivers in large units, for the first unit's work is left out and, with several
workers, the second worker's first unit is counted although its work came before. The price is noise of the order of
start-up's jitter over (t2 - t1); runs that take less than 90 seconds are therefore repeated, and the median counts.

Memory. Peak over samples of the whole process tree of PSS (each shared page divided among those that map it). Shared
memory is counted apart, as the larger of the tree's shmem PSS and the blocks of /dev/shm files that it holds open:
pages of Ray's plasma store that no living process has touched are in no PSS, and the larger of the two counts none
twice. Adding up the pages of a tree of thirty processes takes a core some 0.1 s: the gauge waits so long between two
samples that it takes at most a hundredth of one core from those it measures.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_SET_SUBREAPER, _GET_SUBREAPER = 36, 37  # of prctl(2)
LEAST_STRETCH = 1.25
"""What the longer run must take, times the shorter one, lest the jitter of start-up drowns the rate."""
_PACKAGES = ("artylyze", "daft", "numpy", "openvino", "pillow", "pyarrow", "ray", "timm", "torch", "torchvision")
_ENTRY = shutil.which("artylyze", path=str(Path(sys.executable).parent))
ARTYLYZE = [_ENTRY] if _ENTRY else [sys.executable, "-c", "from artylyze.cli.app import main; main()"]
"""The command line; in a Ray job the package may be there without being installed."""


class ContestantError(RuntimeError):
    """A contestant did not end well."""


@dataclass(frozen=True)
class Run:
    """One run of a contestant: wall-clock seconds from spawn to exit, and peak bytes of memory."""

    seconds: float
    peak: int


@dataclass(frozen=True)
class Rate:
    """What two runs of different length tell.

    Attributes:
        steady: images per second, start-up left out.
        startup: seconds that do not depend on the number of images.
    """

    steady: float
    startup: float

    def overall(self, images: int) -> float:
        """Images per second from the start to the end of a run of so many images."""
        return images / (self.startup + images / self.steady)


@dataclass(frozen=True)
class Memory:
    """Bytes of a process tree at one moment: private and file-backed pages, and shared memory."""

    private: int
    shared: int

    @property
    def total(self) -> int:
        return self.private + self.shared


SHARE_OF_GAUGE = 0.01
"""Share of one core that sampling the memory may take."""


def rate(few: int, few_seconds: float, many: int, many_seconds: float) -> Rate:
    """Fit the line through both runs. Raises ValueError where they differ too little in time to tell a rate."""
    if not 0 < few < many or many_seconds < LEAST_STRETCH * few_seconds:
        raise ValueError(
            f"no rate from {few} images in {few_seconds:.2f} s and {many} in {many_seconds:.2f} s: "
            "take more images, or a quieter machine"
        )
    steady = (many - few) / (many_seconds - few_seconds)
    return Rate(steady=steady, startup=many_seconds - many / steady)


def median_run(runs: Sequence[Run]) -> Run:
    """The median of the seconds, the largest of the peaks."""
    return Run(statistics.median(run.seconds for run in runs), max(run.peak for run in runs))


def quickest_run(runs: Sequence[Run]) -> Run:
    """The least of the seconds, for what else a machine does only adds to them; the largest of the peaks."""
    return Run(min(run.seconds for run in runs), max(run.peak for run in runs))


def parse_rollup(text: str) -> tuple[int, int]:
    """Bytes of (private and file PSS, shmem PSS) from the text of /proc/PID/smaps_rollup."""
    fields = {name: int(value) * 1024 for name, value in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
    shmem = fields.get("Pss_Shmem", 0)
    return fields["Pss"] - shmem, shmem


def combine(rollups: Iterable[tuple[int, int]], held: Mapping[tuple[int, int], int]) -> Memory:
    """Memory of a tree from the rollups of its processes and the bytes of shared-memory files, by (device, inode)."""
    found = list(rollups)
    return Memory(sum(private for private, _ in found), max(sum(shmem for _, shmem in found), sum(held.values())))


def tree_memory(root: int) -> Memory:
    """Memory of all descendants of process `root`, itself not counted."""
    return memory_of(process.pid for process in psutil.Process(root).children(recursive=True))


def memory_of(pids: Iterable[int]) -> Memory:
    """Memory of processes; of those that have ended none."""
    rollups: list[tuple[int, int]] = []
    held: dict[tuple[int, int], int] = {}
    for pid in pids:
        with suppress(OSError, KeyError):  # it has ended meanwhile
            rollups.append(parse_rollup(Path(f"/proc/{pid}/smaps_rollup").read_text()))
            held |= _shared_files(pid)
    return combine(rollups, held)


def _shared_files(pid: int) -> dict[tuple[int, int], int]:
    """Allocated bytes of the /dev/shm files that a process holds open, deleted ones (as plasma's) included."""
    found = {}
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            if str(Path(entry.path).readlink()).startswith("/dev/shm/"):  # noqa: S108 - read, not written
                status = os.stat(entry.path)
                found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return found


class _Gauge(threading.Thread):
    """Samples the memory of the descendants of this process until stopped."""

    def __init__(self, interval: float) -> None:
        super().__init__(daemon=True)
        self._interval = interval
        self._stopped = threading.Event()
        self.peak = 0

    def run(self) -> None:
        pause = self._interval
        while not self._stopped.wait(pause):
            began = time.thread_time()
            self.peak = max(self.peak, tree_memory(os.getpid()).total)
            pause = max(self._interval, (time.thread_time() - began) / SHARE_OF_GAUGE)

    def stop(self) -> int:
        self._stopped.set()
        self.join()
        return self.peak


def run_contestant(command: Sequence[str], log: Path, *, interval: float = 0.4, timeout: float = 3600) -> Run:
    """Run a command to its end; its output goes to `log`. Raises ContestantError with the log's end if it fails."""
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "DO_NOT_TRACK": "true", "PYTHONWARNINGS": "ignore"}
    gauge, others = _Gauge(interval), psutil.Process().children(recursive=True)
    with log.open("wb") as output, _adopting_orphans():
        began = time.monotonic()
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        gauge.start()
        try:
            code = process.wait(timeout)
            seconds = time.monotonic() - began
        finally:
            peak = gauge.stop()
            _end_descendants(others)
    if code:
        tail = log.read_text(errors="replace")[-3000:]
        raise ContestantError(f"{' '.join(command)}\nended with {code}:\n{tail}")
    return Run(seconds, peak)


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Keep orphans of a contestant below this process, to be counted and ended, as long as the body runs.

    No longer: Ray's processes take themselves for orphans, and end, only where their parent is process 1.
    """
    libc, before = ctypes.CDLL(None), ctypes.c_int()
    libc.prctl(_GET_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    libc.prctl(_SET_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_SET_SUBREAPER, before.value, 0, 0, 0)


def _end_descendants(others: Sequence[psutil.Process]) -> None:
    """Let what a contestant left behind end by itself, then kill it: the next one must have the machine alone.

    `others` are descendants of this process that were there before it, and stay.
    """
    left = [process for process in psutil.Process().children(recursive=True) if process not in others]
    _, alive = psutil.wait_procs(left, timeout=5)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)


def busy() -> float:
    """Percent of the machine that others use, over a second in which nothing is measured."""
    return float(psutil.cpu_percent(interval=1))


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def not_installed(packages: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Why contestants are left out: of those whose module (name -> module, package) is not there, what installs it."""
    return {
        name: f"{package} is not installed: pip install {package}"
        for name, (module, package) in packages.items()
        if find_spec(module) is None
    }


def versions(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Versions of what takes part; peers that are not installed have none."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
