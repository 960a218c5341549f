"""The job as the README submits it, with the real command line, to a real cluster of this machine's own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
from PIL import Image

from artylyze.catalog.snapshot import read_catalog, read_snapshot

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
IMAGES = 36
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

    def submit(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run `ray job submit` as from a checkout, and wait for the job's end; stdout holds the job's log."""
        return subprocess.run(
            [BIN / "ray", "job", "submit", "--working-dir", ".", "--", *command],
            cwd=ROOT,
            env={**self.environment, "RAY_ADDRESS": self.url},
            text=True,
            capture_output=True,
            timeout=300,
        )


@pytest.fixture(scope="module")
def cluster(bundles: None) -> Iterator[Cluster]:
    """A cluster whose files, ports, home and token are its own: no other Ray of this machine sees it."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # Unix sockets: short paths
        environment = _environment(Path(folder))
        subprocess.run([BIN / "ray", "get-auth-token", "--generate"], env=environment, check=True, capture_output=True)
        with ExitStack() as stack:
            gcs, dashboard, *others = _free_ports(7)
            names = (
                "dashboard-agent-listen",
                "dashboard-agent-grpc",
                "runtime-env-agent",
                "metrics-export",
                "ray-client-server",
            )
            command: list[str | Path] = [
                BIN / "ray",
                *("start", "--head", "--block", f"--temp-dir={Path(folder, 'ray')}"),
                *(f"--port={gcs}", f"--dashboard-port={dashboard}", "--min-worker-port=0", "--max-worker-port=0"),
                *(f"--{name}-port={port}" for name, port in zip(names, others, strict=True)),
                *("--num-cpus=2", f"--object-store-memory={300 * 2**20}", "--disable-usage-stats"),
            ]
            log = stack.enter_context(Path(folder, "ray.log").open("w+b"))
            process = stack.enter_context(_running(command, environment, log.fileno()))
            url = f"http://127.0.0.1:{dashboard}"
            _wait_for(url, process, Path(folder, "ray.log"))
            yield Cluster(url, environment)


def _environment(folder: Path) -> dict[str, str]:
    """Return this process's environment without its Ray, and with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_") and name != "PYTHONPATH"}
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    ours = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
    return {**kept, "HOME": str(folder), "PATH": path, **ours}


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextmanager
def _running(command: list[str | Path], environment: dict[str, str], log: int) -> Iterator[subprocess.Popen[bytes]]:
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


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A collection of noise, where the cluster's processes can read it."""
    made = Path(tempfile.mkdtemp(prefix="artylyze-job-"))
    random = np.random.default_rng(0)
    (made / "scans").mkdir()
    for number in range(IMAGES):
        pixels = random.integers(0, 255, (90, 120, 3), np.uint8)
        Image.fromarray(pixels).save(made / "scans" / f"{number:03}.jpg")
    yield made
    shutil.rmtree(made)


def json_lines(log: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith('{"event"')]


def test_the_working_directory_carries_the_package_to_the_job_and_its_workers(cluster: Cluster) -> None:
    where = "__import__('artylyze').__file__"
    code = f"import ray; ray.init(); print(*{{{where}, ray.get(ray.remote(lambda: {where}).remote())}}, sep=chr(10))"
    ended = cluster.submit("python", "-c", code)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = [line for line in ended.stdout.splitlines() if line.endswith("artylyze/__init__.py")]
    assert len(found) == 1, ended.stdout
    assert "working_dir_files" in found[0]


def test_a_submitted_job_writes_the_whole_catalog_and_tells_its_progress(cluster: Cluster, folder: Path) -> None:
    catalog = str(folder / "catalog")
    ended = cluster.submit("python", "jobs/tag.py", str(folder / "scans"), "-o", catalog, "--shard-size", "9")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    progress = [line for line in json_lines(ended.stdout) if line["event"] == "progress"]
    assert progress[-1]["done"] == progress[-1]["rows"] == IMAGES
    assert "Traceback" not in ended.stdout
    assert (read_snapshot(catalog).rows, read_snapshot(catalog).ok) == (IMAGES, IMAGES)
    assert len(set(read_catalog(catalog, ["image_id"]).column("image_id").to_pylist())) == IMAGES


def test_a_mistake_fails_the_job_with_one_sentence(cluster: Cluster, folder: Path) -> None:
    missing = folder / "nothing here"
    ended = cluster.submit("python", "jobs/tag.py", str(missing), "-o", str(folder / "none"))
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert "failed with exit code 3" in said
    assert f"artylyze: There is no folder or file {missing}." in ended.stdout.splitlines()
    assert "Traceback" not in ended.stdout


def test_nobody_submits_without_the_token(cluster: Cluster) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{cluster.url}/api/jobs/", timeout=30)  # noqa: S310 - loopback
    assert refused.value.code == 401
