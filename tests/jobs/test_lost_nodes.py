"""Nodes of a cluster that are lost in the middle of a run: it goes on without them, to one row for each image."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

import pytest

from artylyze.catalog.snapshot import read_catalog
from tests.conftest import free_ports
from tests.jobs.conftest import BIN, START
from tests.jobs.nodes import MACHINES, Machine, Nodes, command, ours, runs, send
from tests.storage.servers import Server, answer, serving
from tests.tagging.conftest import picture

IMAGES, SHARD_SIZE = 1000, 2
SLOW = 4.0
"""Seconds that an image takes to come as long as nodes are still to be lost."""

SEPARATE = """
import sys
from artylyze.progress import Reporter
from artylyze.tagging.job import run
from artylyze.tagging.request import TagRequest
source, output, model = sys.argv[1:]
with Reporter() as reporter:
    run(TagRequest(source, output, model=model, workers=1, readers=1, shard_size=2, separate=True), reporter)
"""
"""`artylyze tag` as it runs with GPUs, in three stages, without one; one machine has room for all of them."""


@pytest.fixture(scope="module")
def nodes(home: Path) -> Iterator[Nodes]:
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        yield Nodes(stack, Path(folder), free_ports(1)[0])


@pytest.fixture
def images() -> Iterator[tuple[Server, threading.Event]]:
    """A server of images, slow until the event is set."""
    hurry = threading.Event()

    def behave(link: socket.socket, _: threading.Event) -> None:
        if not server.requests[-1].startswith(b"HEAD"):
            hurry.wait(SLOW)
        link.sendall(answer(picture(1)))

    with serving() as serve:
        server = serve(behave)
        yield server, hurry
        hurry.set()


def kill_raylet(nodes: Nodes, machine: Machine) -> None:
    send([machine.raylet], signal.SIGKILL)


def kill_all(nodes: Nodes, machine: Machine) -> None:
    send([*machine.processes, machine.process.pid], signal.SIGKILL)


def terminate(nodes: Nodes, machine: Machine) -> None:
    send([machine.raylet], signal.SIGTERM)


def stop_and_go_on(nodes: Nodes, machine: Machine) -> None:
    stopped = machine.processes
    send(stopped, signal.SIGSTOP)
    nodes.wait_for(MACHINES)  # all but this, and the head
    send(stopped, signal.SIGCONT)


def tag(addresses: Path, catalog: Path, model: Path) -> list[str | Path]:
    options = ["--workers", str(MACHINES), "--shard-size", str(SHARD_SIZE)]
    return [BIN / "artylyze", "tag", addresses, "-o", catalog, "--model", model, *options]


def tag_in_stages(addresses: Path, catalog: Path, model: Path) -> list[str | Path]:
    return [sys.executable, "-c", SEPARATE, addresses, catalog, model]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "losses"),
    [(tag, [kill_raylet, kill_all, terminate, stop_and_go_on]), (tag_in_stages, [kill_all])],
    ids=["in one stage", "in three"],
)
def test_lost_nodes_cost_no_image_and_leave_no_process(
    nodes: Nodes,
    images: tuple[Server, threading.Event],
    model: Path,
    tmp_path: Path,
    start: Callable[[Path, Path, Path], list[str | Path]],
    losses: list[Callable[[Nodes, Machine], None]],
) -> None:
    server, hurry = images
    addresses, catalog, log = tmp_path / "addresses.csv", tmp_path / "catalog", tmp_path / "log"
    addresses.write_text("uri\n" + "".join(f"{server.url}/{number}.jpg\n" for number in range(IMAGES)))
    nodes.complete()
    processes: list[int] = []
    with log.open("wb") as output:
        line = start(addresses, catalog, model)
        driver = subprocess.Popen(line, env=nodes.environment, stdout=output, stderr=output)
    try:
        for lose in losses:
            machine = busy(nodes, driver, catalog, log)
            processes += machine.processes
            lose(nodes, machine)
            nodes.replace(machine)
        assert parts(catalog) < IMAGES // SHARD_SIZE
        hurry.set()
        driver.wait(300)
    finally:
        driver.kill()
        driver.wait()
    assert driver.returncode == 0, log.read_text()
    rows = read_catalog(str(catalog), ["image_id", "status"])
    assert sorted(rows.column("image_id").to_pylist()) == sorted(addresses.read_text().split()[1:])
    assert set(rows.column("status").to_pylist()) == {"ok"}
    end = monotonic() + START
    while left := [pid for pid in processes if runs(pid)] + [p for m in nodes.machines for p in m.processes if ours(p)]:
        assert monotonic() < end, [command(pid) for pid in left]
        sleep(0.1)


def busy(nodes: Nodes, driver: subprocess.Popen[bytes], catalog: Path, log: Path) -> Machine:
    """Wait until more was committed, and return a machine that works."""
    before = parts(catalog)
    while True:
        assert driver.poll() is None, log.read_text()
        working = [machine for machine in nodes.machines if machine.works()]
        if working and parts(catalog) > before:
            return working[0]
        sleep(0.05)


def parts(catalog: Path) -> int:
    """How many shards are committed."""
    return len(list(catalog.glob("runs/*/parts/*.parquet")))
