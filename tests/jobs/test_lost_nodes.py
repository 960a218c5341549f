"""Nodes of a cluster that are lost in the middle of a run: it goes on without them, to one row for each image."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import NoReturn

import pytest

from artylyze.catalog.snapshot import read_catalog
from tests.jobs.conftest import BIN, ROOT, START, free_ports, private_environment, running
from tests.storage.servers import Server, answer, serving
from tests.tagging.conftest import picture

IMAGES, SHARD_SIZE, MACHINES = 1000, 2, 2
SLOW = 4.0
"""Seconds that an image takes to come as long as nodes are still to be lost."""

DEAD_AFTER = 12
"""Seconds after which the cluster gives up a node that does not answer; Ray's own are 65."""

HEALTH = {
    "health_check_initial_delay_ms": 10_000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000 * DEAD_AFTER,
    "health_check_failure_threshold": 1,
}

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


WAIT = f"""
import sys, time, ray
end = time.monotonic() + {START}
while time.monotonic() < end:
    try:
        ray.init(logging_level="error")
        while time.monotonic() < end:
            if sum(node["Alive"] for node in ray.nodes()) == int(sys.argv[1]):
                sys.exit()
            time.sleep(0.2)
    except (ConnectionError, RuntimeError):  # nothing answers yet
        time.sleep(0.2)
sys.exit("the cluster is not as it should be")
"""


@dataclass(frozen=True)
class Machine:
    """One node: `ray start --block`, and what descends from it."""

    process: subprocess.Popen[bytes]

    @property
    def raylet(self) -> int:
        """The process that stands for the node before the rest of the cluster."""
        return next(pid for pid in children(self.process.pid) if "raylet" in command(pid).partition(" ")[0])

    @property
    def processes(self) -> list[int]:
        """All of the node, its workers and their children among them."""
        return descendants(self.process.pid)

    def works(self) -> bool:
        """Whether a worker of this node has started the process that decodes."""
        return any(ours(pid) for pid in self.processes)


def command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def ours(pid: int) -> bool:
    """Whether it is a process that a worker of artylyze started."""
    return "artylyze.workers.child" in command(pid)


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for file in Path(f"/proc/{pid}/task").glob("*/children") for word in file.read_text().split()]
    return []


def descendants(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *descendants(child))]


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


class Nodes:
    """A head that takes no work, and machines of one core."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder, self._count = stack, folder, 0
        patience = {"RAY_raylet_start_wait_time_s": "300", "RAY_agent_register_timeout_ms": "300000"}
        self.environment = {**private_environment(folder), **patience, "PYTHONPATH": str(ROOT)}
        generate: list[str | Path] = [BIN / "ray", "get-auth-token", "--generate"]
        subprocess.run(generate, env=self.environment, check=True, capture_output=True)
        self._port = free_ports(1)[0]
        self._start("--head", f"--port={self._port}", "--num-cpus=0", f"--system-config={json.dumps(HEALTH)}")
        self.environment["RAY_ADDRESS"] = f"127.0.0.1:{self._port}"
        self.wait_for(1)
        self.machines: list[Machine] = []

    def complete(self) -> None:
        """Bring the cluster to MACHINES that are alive."""
        while len(self.machines) < MACHINES:
            self.machines.append(self._start(f"--address=127.0.0.1:{self._port}", "--num-cpus=1"))
        self.wait_for(1 + MACHINES)

    def replace(self, machine: Machine) -> None:
        """Start another machine in the place of one that ends."""
        machine.process.terminate()  # it stays where its raylet ended as if it had been asked to
        machine.process.wait(START)
        self.machines.remove(machine)
        self.complete()

    def _start(self, *arguments: str) -> Machine:
        names = ("dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent", "metrics-export")
        ports = [f"--{name}-port={port}" for name, port in zip(names, free_ports(4), strict=True)]
        line: list[str | Path] = [BIN / "ray", "start", "--block", *arguments, *ports]
        line += ["--min-worker-port=0", "--max-worker-port=0", f"--object-store-memory={100 * 2**20}"]
        line += ["--disable-usage-stats"]
        if "--head" in arguments:
            line += [
                "--include-dashboard=false",
                f"--temp-dir={self._folder / 'ray'}",
                f"--ray-client-server-port={free_ports(1)[0]}",
                "--no-monitor",
            ]
        self._count += 1
        path = self._folder / f"{self._count}.log"
        with path.open("wb") as log:
            machine = Machine(self._stack.enter_context(running(line, self.environment, log.fileno())))
        while b"Ray runtime started" not in path.read_bytes():  # one after the other: an agent has 15 s to start
            if machine.process.poll() is not None:
                self._fail()
            sleep(0.2)
        return machine

    def wait_for(self, count: int) -> None:
        """Wait until the cluster says that so many nodes are alive, the head among them."""
        done = subprocess.run([sys.executable, "-c", WAIT, str(count)], env=self.environment, capture_output=True)
        if done.returncode:
            self._fail(done.stderr)

    def _fail(self, error: bytes = b"") -> NoReturn:
        logs = [*self._folder.glob("*.log"), *self._folder.glob("ray/session_latest/logs/raylet.*")]
        raise RuntimeError("".join(log.read_text()[-3000:] for log in logs) + error.decode())


@pytest.fixture(scope="module")
def nodes(home: Path) -> Iterator[Nodes]:
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        yield Nodes(stack, Path(folder))


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
