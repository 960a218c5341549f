"""Long commands are asked to end, or killed, by real signals: they end with 130, a sentence, and nothing left."""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import S3
from tests.small import collection
from tests.storage.servers import Server, answer, serving
from tests.tagging.conftest import fill, picture

pytestmark = pytest.mark.slow

ARTYLYZE = str(Path(sys.executable).parent / "artylyze")
MARK = "ARTYLYZE_TEST"
LEAVES = 120.0
"""Seconds in which what belongs to a command must be gone."""


@dataclass
class Command:
    """A command in a session of its own. Its processes are known by that, or by their environment."""

    process: subprocess.Popen[str]
    token: str

    def until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.05)

    def ended(self) -> tuple[int, str]:
        """Wait for it, and return its exit code and what it said."""
        said = self.process.communicate(timeout=LEAVES)[1]
        return self.process.returncode, said

    def left(self, *names: str) -> list[str]:
        """The command lines of its living processes, of those names alone if any are given; waits for them to go."""
        end = time.monotonic() + LEAVES
        while (left := [line for _, line in self.living(*names)]) and time.monotonic() < end:
            time.sleep(0.2)
        return left

    def living(self, *names: str) -> list[tuple[int, str]]:
        """Id and command line of its living processes, of those names alone if any are given."""
        processes = []
        for process in psutil.process_iter():
            with suppress(ProcessLookupError, psutil.Error):  # gone, or another user's
                # Ray's titles overwrite parts of the environment.
                ours = os.getsid(process.pid) == self.process.pid or process.environ().get(MARK) == self.token
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    processes.append((process.pid, " ".join(process.cmdline())))
        return [(pid, line) for pid, line in processes if not names or any(name in line for name in names)]


@contextmanager
def running(
    *arguments: object, ignores_ctrl_c: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[Command]:
    token = uuid.uuid4().hex
    process = subprocess.Popen(
        [ARTYLYZE, *map(str, arguments)],
        env={**os.environ, **(environment or {}), MARK: token},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=functools.partial(
            signal.signal, signal.SIGINT, signal.SIG_IGN if ignores_ctrl_c else signal.SIG_DFL
        ),
    )
    try:
        yield Command(process, token)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def silent() -> Iterator[Server]:
    """A server that takes every request and never answers."""
    with serving() as serve:
        yield serve(lambda _, ended: ended.wait())


@pytest.fixture(scope="module")
def dataset(silent: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose images lie on the silent server."""
    folder = tmp_path_factory.mktemp("dataset")
    collection(folder, 48)
    path = folder / "dataset.parquet"
    table = pq.read_table(path)
    uris = pa.array([f"{silent.url}/{n}.png" for n in range(table.num_rows)])
    pq.write_table(table.set_column(table.schema.get_field_index("uri"), "uri", uris), path)
    return path


AWAY = "s3://bucket/there"
ANEW = "starts again"
WAITING = {
    "scan": (["scan", AWAY, "-o", "m.parquet"], ANEW),
    "features": (["features", AWAY, "-o", "f.parquet", "--method", "pca"], ANEW),
    "train": (["train", "DATASET", "-o", "bundle"], "resumes with the features"),
}


@pytest.mark.parametrize(("arguments", "next_time"), WAITING.values(), ids=WAITING.keys())
def test_a_command_that_waits_ends_when_it_is_asked_to(
    silent: Server, dataset: Path, tmp_path: Path, arguments: list[str], next_time: str
) -> None:
    filled = [
        str(tmp_path / name) if before == "-o" else str(dataset) if name == "DATASET" else name
        for before, name in zip(["", *arguments], arguments, strict=False)
    ]
    asked = len(silent.requests)
    with running(*filled, environment=S3(silent.url, conditional=False).environment) as command:
        command.until(lambda: len(silent.requests) > asked)
        command.process.send_signal(signal.SIGTERM)
        code, said = command.ended()
        assert code == 130, said
        assert said.splitlines()[-1].startswith(f"artylyze: interrupted. The same command {next_time}")
        assert "Traceback" not in said
        assert command.left() == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def slow() -> Iterator[Server]:
    """A server of images that takes its time for each."""

    def behave(link: socket.socket, ended: threading.Event) -> None:
        if not server.requests[-1].startswith(b"HEAD"):  # which all images are asked for before the first is read
            ended.wait(0.2)
        link.sendall(answer(picture(1)))

    with serving() as serve:
        server = serve(behave)
        yield server


@contextmanager
def tagging(server: Server, folder: Path, model: Path, engine: str) -> Iterator[Command]:
    """A `tag` in the middle of its work, its workers and their children busy."""
    addresses = folder / "addresses.csv"
    addresses.write_text("uri\n" + "".join(f"{server.url}/{n}.jpg\n" for n in range(1000)))
    options = ["--model", model, "--engine", engine, "--shard-size", "10"]
    with running("tag", addresses, "-o", folder / "out", *options) as command:
        command.until(lambda: len(list(folder.glob("out/runs/*/parts/*.parquet"))) > 1)
        yield command


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_tag_leaves_no_process_when_its_group_is_killed(slow: Server, tmp_path: Path, model: Path, engine: str) -> None:
    with tagging(slow, tmp_path, model, engine) as command:
        os.killpg(command.process.pid, signal.SIGKILL)
        assert command.left() == []


def test_children_end_when_their_command_alone_is_killed(slow: Server, tmp_path: Path, model: Path) -> None:
    with tagging(slow, tmp_path, model, "local") as command:
        assert command.living("artylyze.workers.child")
        os.kill(command.process.pid, signal.SIGKILL)
        assert command.left() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_tag_on_one_machine_ends_soon_when_it_is_asked_to(
    slow: Server, tmp_path: Path, model: Path, number: signal.Signals
) -> None:
    with tagging(slow, tmp_path, model, "local") as command:
        command.process.send_signal(number)
        code, said = command.ended()
        assert code == 130, said
        assert said.splitlines()[-1] == "artylyze: interrupted. The same command resumes where it stopped."
        assert "Traceback" not in said
        assert command.left() == []


def test_workers_and_their_children_end_with_their_node(slow: Server, tmp_path: Path, model: Path) -> None:
    with tagging(slow, tmp_path, model, "ray") as command:
        workers = "ray::MapWorker(", "artylyze.workers.child"
        assert all(command.living(name) for name in workers)
        ((raylet, _),) = command.living("raylet/raylet")
        os.kill(raylet, signal.SIGKILL)
        assert command.left(*workers) == []


def test_fine_tuning_ends_in_ray_train_when_it_is_asked_to_where_ctrl_c_is_ignored(tmp_path: Path) -> None:
    collection(tmp_path / "images", 48)
    output, dataset = tmp_path / "bundle", tmp_path / "images" / "dataset.parquet"
    options = ["--mode", "finetune", "--backbone", "cnn3", "--epochs", "2000", "--image-size", "64"]
    with running("train", dataset, "-o", output, *options, ignores_ctrl_c=True) as command:
        command.until(lambda: bool(list(tmp_path.glob(".bundle.finetune-*/checkpoint_*"))))
        command.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        command.process.send_signal(signal.SIGTERM)
        code, said = command.ended()
        assert code == 130, said
        assert said.splitlines()[-1].startswith("artylyze: interrupted. The same command resumes with the")
        assert "Traceback" not in said
        assert command.left() == []
    assert not output.exists()


def test_a_command_ends_while_ray_starts(tmp_path: Path, model: Path) -> None:
    images = fill(tmp_path / "images", 20)
    with running("tag", images, "-o", tmp_path / "out", "--model", model, "--engine", "ray") as command:
        command.until(lambda: bool(command.living("gcs_server")))
        command.process.send_signal(signal.SIGTERM)
        code, said = command.ended()
        assert (code, said.splitlines()[-1]) == (
            130,
            "artylyze: interrupted. The same command resumes where it stopped.",
        )
        assert command.left() == []
