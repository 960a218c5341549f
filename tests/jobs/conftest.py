"""A real cluster of this machine's own for jobs, submitted as the documentation submits them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.conftest import free_ports

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
START = 120.0
"""Seconds that a cluster may take to answer, on a machine that does other things too."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        url: of its dashboard, which takes the jobs.
        environment: of a user who holds its token.
    """

    url: str
    environment: dict[str, str]

    def submit(self, *command: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run `ray job submit` as from a checkout, and wait for the job's end; stdout holds the job's log."""
        return subprocess.run(
            [BIN / "ray", "job", "submit", "--working-dir", ".", "--", *command],
            cwd=ROOT,
            env={**self.environment, "RAY_ADDRESS": self.url},
            text=True,
            capture_output=True,
            timeout=timeout,
        )


@pytest.fixture(scope="session")
def cluster(bundles: None) -> Iterator[Cluster]:
    """A cluster whose files, ports, home and token are its own: no other Ray of this machine sees it."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # Unix sockets: short paths
        environment = private_environment(Path(folder))
        subprocess.run([BIN / "ray", "get-auth-token", "--generate"], env=environment, check=True, capture_output=True)
        url, options = private_head(Path(folder))
        with heading([BIN / "ray", "start", "--head", "--num-cpus=2", *options], environment, url, Path(folder)):
            yield Cluster(url, environment)


def private_head(folder: Path) -> tuple[str, list[str]]:
    """Return the address of a head's dashboard, and the options of `ray start` that keep it from every other Ray."""
    gcs, dashboard, clients = free_ports(3)
    return f"http://127.0.0.1:{dashboard}", [
        *("--block", f"--temp-dir={folder / 'ray'}", "--disable-usage-stats"),
        *(f"--port={gcs}", f"--dashboard-port={dashboard}", "--min-worker-port=0", "--max-worker-port=0"),
        *(f"--ray-client-server-port={clients}", "--dashboard-agent-listen-port=0"),
        f"--object-store-memory={300 * 2**20}",
    ]


@contextmanager
def heading(command: list[str | Path], environment: dict[str, str], url: str, folder: Path) -> Iterator[None]:
    """Run the command that starts a head, from when its dashboard answers."""
    with (folder / "ray.log").open("w+b") as log, running(command, environment, log.fileno()) as process:
        _wait_for(url, process, folder / "ray.log")
        yield


def private_environment(folder: Path) -> dict[str, str]:
    """Return this process's environment without its Ray, and with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_") and name != "PYTHONPATH"}
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    ours = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
    return {**kept, "HOME": str(folder), "PATH": path, **ours}


@contextmanager
def running(command: list[str | Path], environment: dict[str, str], log: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run `ray start --block`; asked to end, it ends the processes it started and no others."""
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # a group of its own
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = monotonic() + START
    while monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/api/version", timeout=5)  # noqa: S310 - loopback
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                return
            sleep(0.5)
        except OSError:
            sleep(0.5)
        else:
            return
    raise RuntimeError(f"The cluster did not start: {log.read_text(encoding='utf-8', errors='replace')[-4000:]}")
