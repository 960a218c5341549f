"""Every long command is asked to end, or killed, by real signals: it ends with 130, a sentence, and nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import S3
from tests.storage.servers import Server, answer, serving
from tests.tagging.conftest import fill, picture
from tests.training.small import collection

ARTYLYZE = str(Path(sys.executable).parent / "artylyze")
MARK = "ARTYLYZE_TEST"
LEAVES = 120.0
"""Seconds in which what belongs to a command must be gone."""


@dataclass
class Command:
    """A command in a session of its own, whose processes are known by their environment."""

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

    def left(self) -> list[str]:
        """The command lines of its processes that are there, of dead ones too; waits for them to go."""
        end = time.monotonic() + LEAVES
        while (found := list(self._processes())) and time.monotonic() < end:
            time.sleep(0.2)
        return found

    def _processes(self) -> Iterator[str]:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.token}".encode() in (folder / "environ").read_bytes():
                    yield (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:
                pass  # gone


@contextmanager
def running(*arguments: object, **environment: str) -> Iterator[Command]:
    token = uuid.uuid4().hex
    process = subprocess.Popen(
        [ARTYLYZE, *map(str, arguments)],
        env={**os.environ, **environment, MARK: token},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
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
ANEW = "begins anew"
WAITING = {
    "scan": (["scan", AWAY, "-o", "m.parquet"], ANEW),
    "dry run": (["tag", AWAY, "-o", "catalog", "--dry-run"], ANEW),
    "failures": (["failures", AWAY, "-o", "f.csv"], ANEW),
    "cluster": (["cluster", AWAY, "-o", "clusters"], ANEW),
    "features": (["features", AWAY, "-o", "f.parquet", "--method", "pca"], ANEW),
    "profiles": (["profiles", AWAY], ANEW),
    "influences": (["influences", AWAY, "1", "-o", "i"], ANEW),
    "compare-features": (["compare-features", AWAY, "s3://bucket/other"], ANEW),
    "report": (["report", AWAY, "-o", "r.html"], ANEW),
    "curate": (["curate", "LABELS", "--images", AWAY, "-o", "d.parquet", "--tasks", "genre"], ANEW),
    "train": (["train", "DATASET", "-o", "bundle"], "goes on from what is kept"),
    "tune": (["tune", "DATASET", "-o", "sweep", "--lr", "1e-3,1e-2"], "goes on from what is kept"),
    "evaluate": (["evaluate", "MODEL", "DATASET", "-o", "evaluation"], ANEW),
}


@pytest.mark.parametrize(("arguments", "next_time"), WAITING.values(), ids=WAITING.keys())
def test_a_command_that_waits_ends_when_it_is_asked_to(
    silent: Server, dataset: Path, model: Path, tmp_path: Path, arguments: list[str], next_time: str
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("record_id,file,genre,artist\n1,a.jpg,portrait,Rembrandt\n")
    places = {"DATASET": str(dataset), "MODEL": str(model), "LABELS": str(labels)}
    filled = [
        str(tmp_path / name) if before == "-o" else places.get(name, name)
        for before, name in zip(["", *arguments], arguments, strict=False)
    ]
    asked = len(silent.requests)
    with running(*filled, **S3(silent.url, conditional=False).environment) as command:
        command.until(lambda: len(silent.requests) > asked)
        command.process.send_signal(signal.SIGTERM)
        code, said = command.ended()
        assert code == 130, said
        assert said.splitlines()[-1].startswith(f"artylyze: interrupted. The same command {next_time}")
        assert "Traceback" not in said
        assert command.left() == []
    assert [path.name for path in tmp_path.iterdir() if path != labels and path.name != "sweep"] == []


@pytest.fixture
def slow() -> Iterator[Server]:
    """A server of images that takes its time for each."""

    def behave(link: object, ended: object) -> None:
        ended.wait(0.2)  # type: ignore[attr-defined]
        link.sendall(answer(picture(1)))  # type: ignore[attr-defined]

    with serving() as serve:
        yield serve(behave)


@contextmanager
def tagging(server: Server, folder: Path, model: Path) -> Iterator[Command]:
    """A `tag` in the middle of its work, its workers and their children busy."""
    addresses = folder / "addresses.csv"
    addresses.write_text("uri\n" + "".join(f"{server.url}/{n}.jpg\n" for n in range(5000)))
    with running("tag", addresses, "-o", folder / "out", "--model", model, "--shard-size", "10") as command:
        command.until(lambda: len(list(folder.glob("out/runs/*/parts/*.parquet"))) > 1)
        yield command


def test_tag_leaves_no_process_when_its_group_is_killed(slow: Server, tmp_path: Path, model: Path) -> None:
    with tagging(slow, tmp_path, model) as command:
        os.killpg(command.process.pid, signal.SIGKILL)
        assert command.left() == []


def test_tag_leaves_no_process_when_its_node_is_killed(slow: Server, tmp_path: Path, model: Path) -> None:
    with tagging(slow, tmp_path, model) as command:
        (raylet,) = [
            int(folder.name)
            for folder in Path("/proc").glob("[0-9]*")
            if (folder / "comm").read_text().strip() == "raylet"
            and f"{MARK}={command.token}".encode() in (folder / "environ").read_bytes()
        ]
        os.kill(raylet, signal.SIGKILL)
        os.kill(command.process.pid, signal.SIGKILL)
        assert command.left() == []


def test_fine_tuning_ends_within_ray_train_when_it_is_asked_to(tmp_path: Path) -> None:
    collection(tmp_path / "images", 48)
    output, dataset = tmp_path / "bundle", tmp_path / "images" / "dataset.parquet"
    options = ["--mode", "finetune", "--backbone", "cnn3", "--epochs", "2000", "--image-size", "64"]
    with running("train", dataset, "-o", output, *options) as command:
        command.until(lambda: bool(list(tmp_path.glob(".bundle.finetune-*/checkpoint_*"))))
        command.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        command.process.send_signal(signal.SIGTERM)
        code, said = command.ended()
        assert code == 130, said
        assert said.splitlines()[-1].startswith("artylyze: interrupted. The same command goes on from what is kept")
        assert "Traceback" not in said
        assert command.left() == []
    assert not output.exists()


def test_a_command_ends_while_ray_starts(tmp_path: Path, model: Path) -> None:
    images = fill(tmp_path / "images", 20)
    with running("tag", images, "-o", tmp_path / "out", "--model", model) as command:
        command.until(lambda: any("gcs_server" in line for line in command._processes()))
        command.process.send_signal(signal.SIGTERM)
        code, said = command.ended()
        assert (code, said.splitlines()[-1]) == (
            130,
            "artylyze: interrupted. The same command resumes where it stopped.",
        )
        assert command.left() == []
