"""A cluster of several nodes on this machine: a head that takes no work, and machines of one core."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import NoReturn

from tests.conftest import free_ports
from tests.jobs.conftest import BIN, ROOT, START, private_environment, running

MACHINES = 2

DEAD_AFTER = 12
"""Seconds after which the cluster gives up a node that does not answer."""

HEALTH = {
    "health_check_initial_delay_ms": 10_000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000 * DEAD_AFTER,
    "health_check_failure_threshold": 1,
}
"""Shorter than Ray's own limits, of some 65 seconds, which hold where ARTYLYZE_RAY_LIMITS is set (`make faults`)."""

WAIT = f"""
import sys, time, ray
end = time.monotonic() + {START}
while time.monotonic() < end:
    try:
        ray.init(logging_level="error")
        while time.monotonic() < end:
            if int(sys.argv[1]) <= sum(node["Alive"] for node in ray.nodes()) <= int(sys.argv[2]):
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
    """A head that takes no work, and machines of one core.

    Args:
        stack: ends the nodes.
        folder: for their files; its path is short.
        port: of the head.
        head: options of the head.
        environment: variables of the nodes.
    """

    def __init__(
        self, stack: ExitStack, folder: Path, port: int, head: str = "--no-monitor", **environment: str
    ) -> None:
        self._stack, self._folder, self._count, self._port = stack, folder, 0, port
        patience = {"RAY_raylet_start_wait_time_s": "300", "RAY_agent_register_timeout_ms": "300000"}
        self.environment = {**private_environment(folder), **patience, "PYTHONPATH": str(ROOT), **environment}
        generate: list[str | Path] = [BIN / "ray", "get-auth-token", "--generate"]
        subprocess.run(generate, env=self.environment, check=True, capture_output=True)
        health = {} if os.environ.get("ARTYLYZE_RAY_LIMITS") else HEALTH
        self._start("--head", f"--port={port}", "--num-cpus=0", f"--system-config={json.dumps(health)}", head)
        self.environment["RAY_ADDRESS"] = f"127.0.0.1:{self._port}"
        self.wait_for(1)
        self.machines: list[Machine] = []

    def complete(self) -> None:
        """Bring the cluster to MACHINES that are alive."""
        while len(self.machines) < MACHINES:
            self.machines.append(self.join("--num-cpus=1"))
        self.wait_for(1 + MACHINES)

    def replace(self, machine: Machine) -> None:
        """Start another machine in the place of one that ends."""
        machine.process.terminate()  # it stays where its raylet ended as if it had been asked to
        machine.process.wait(START)
        self.machines.remove(machine)
        self.complete()

    def join(self, *arguments: str) -> Machine:
        """Start a machine, with options of `ray start`."""
        return self._start(f"--address=127.0.0.1:{self._port}", *arguments)

    def _start(self, *arguments: str) -> Machine:
        line: list[str | Path] = [BIN / "ray", "start", "--block", *arguments, "--dashboard-agent-listen-port=0"]
        line += ["--min-worker-port=0", "--max-worker-port=0", f"--object-store-memory={100 * 2**20}"]
        line += ["--disable-usage-stats"]
        if "--head" in arguments:
            line += [
                "--include-dashboard=false",
                f"--temp-dir={self._folder / 'ray'}",
                f"--ray-client-server-port={free_ports(1)[0]}",
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

    def wait_for(self, least: int, most: int | None = None) -> None:
        """Wait until so many nodes are alive, the head among them; exactly `least` where `most` is not given."""
        bounds = [str(least), str(least if most is None else most)]
        done = subprocess.run([sys.executable, "-c", WAIT, *bounds], env=self.environment, capture_output=True)
        if done.returncode:
            self._fail(done.stderr)

    def _fail(self, error: bytes = b"") -> NoReturn:
        logs = [*self._folder.glob("*.log"), *self._folder.glob("ray/session_latest/logs/raylet.*")]
        raise RuntimeError("".join(log.read_text()[-3000:] for log in logs) + error.decode())
