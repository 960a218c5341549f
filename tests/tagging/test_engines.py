"""What both engines promise: one row for each image, whatever the images are, and the same rows."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artylyze.catalog.parts import Receipt
from artylyze.catalog.run import RunSpec
from artylyze.catalog.snapshot import read_catalog
from artylyze.errors import ArtylyzeError, ErrorCode, ImageError, InputError, StorageError
from artylyze.tagging import local_engine
from artylyze.tagging.engine import choose_engine
from artylyze.tagging.job import run
from artylyze.tagging.local_engine import LocalEngine
from artylyze.tagging.request import TagRequest
from artylyze.tagging.shard import ShardReader, commit_rows
from artylyze.workers.process import TaggerProcess
from artylyze.workers.supervision import ChildStartError
from tests.faults.poison import PLUGINS, greedy_jpeg, hang_jpeg, segv_jpeg
from tests.tagging.conftest import Quiet, fill

BOTH = pytest.mark.parametrize("separate", [False, True])


@pytest.fixture(params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return str(request.param)


@pytest.fixture
def request_for(tmp_path: Path, model: Path) -> Any:
    """Make a request for a folder of so many images, in shards of five."""

    def make(count: int, **options: Any) -> TagRequest:
        images = fill(tmp_path / "images", count)
        usual: dict[str, Any] = {"engine": "local", "shard_size": 5, "max_error_rate": 1}
        return TagRequest(str(images), str(tmp_path / "out"), model=str(model), **(usual | options))

    return make


def test_ray_is_chosen_where_an_address_names_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert [choose_engine(one) for one in ("auto", "local", "ray")] == ["local", "local", "ray"]
    monkeypatch.setenv("RAY_ADDRESS", "")
    assert choose_engine("auto") == "local"
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert [choose_engine(one) for one in ("auto", "local", "ray")] == ["ray", "local", "ray"]


@pytest.mark.slow
@BOTH
def test_a_poisoned_collection_gives_one_row_for_each_image(
    request_for: Any, tmp_path: Path, watcher: Quiet, engine: str, separate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS), prepend=os.pathsep)
    request = request_for(60, engine=engine, separate=separate, deadline=2.0, shard_size=None)
    images = tmp_path / "images"
    (images / "0007.jpg").write_bytes(segv_jpeg())
    (images / "0023.jpg").write_bytes(hang_jpeg())
    (images / "0031.jpg").write_bytes(greedy_jpeg())
    (images / "0040.jpg").write_bytes(b"")
    (images / "0059.jpg").write_bytes(b"no image at all")
    outcome = run(request, watcher)
    rows = read_catalog(request.output).to_pylist()
    assert sorted(row["image_id"] for row in rows) == [f"{n:04d}.jpg" for n in range(60)]
    codes = {row["image_id"]: row["error_code"] for row in rows if row["status"] == "error"}
    assert codes == {
        "0007.jpg": "crashed_decoder",
        "0023.jpg": "timeout",
        "0031.jpg": "too_large",
        "0040.jpg": "empty",
        "0059.jpg": "unsupported",
    }
    assert dict(outcome.snapshot.errors) == dict.fromkeys(sorted(codes.values()), 1)
    assert all(row["embedding"] is None and row["genre"] is None for row in rows if row["status"] == "error")


@pytest.mark.slow
def test_every_engine_and_plan_gives_the_same_catalog(
    tmp_path: Path, model: Path, watcher: Quiet, ray_cluster: None
) -> None:
    images = fill(tmp_path / "images", 40)
    tables = []
    for name in ("local", "ray"):
        for separate in (False, True):
            output = str(tmp_path / f"{name}-{separate}")
            run(TagRequest(str(images), output, model=str(model), engine=name, separate=separate), watcher)
            tables.append(read_catalog(output).sort_by("image_id"))
    scores = ["embedding", "genre_score", "style_score", "genre_top", "style_top"]
    first, *others = tables
    for other in others:
        assert first.drop_columns(scores).equals(other.drop_columns(scores))
        one, two = (np.stack(table.column("embedding").to_numpy()) for table in (first, other))
        np.testing.assert_allclose(one, two, atol=1e-5)


@BOTH
def test_a_child_that_is_killed_between_shards_costs_no_row(
    request_for: Any, watcher: Quiet, separate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []

    def kill(process: Any) -> None:
        if child := process.child.process:
            killed.append(child.pid)
            child.kill()
            child.wait()

    class Fused(TaggerProcess):
        def read_and_tag(self, sources: Any) -> Any:
            kill(self.process)
            return super().read_and_tag(sources)

    class Reader(ShardReader):
        def read(self, rows: Any) -> Any:
            kill(self._process)
            return super().read(rows)

    monkeypatch.setattr(local_engine, "TaggerProcess", Fused)
    monkeypatch.setattr(local_engine, "ShardReader", Reader)
    outcome = run(request_for(60, separate=separate), watcher)
    assert (outcome.snapshot.rows, outcome.snapshot.ok) == (60, 60)
    assert killed


def working() -> list[threading.Thread]:
    """The threads of runs that have not ended."""
    return [thread for thread in threading.enumerate() if thread.name == "artylyze-worker"]


def children() -> set[int]:
    """The processes that this one has started, in whatever thread, and that still run."""
    tasks = Path("/proc/self/task").iterdir()
    pids = {int(pid) for task in tasks for pid in (task / "children").read_text().split()}
    return {pid for pid in pids if b"artylyze.workers.child" in Path(f"/proc/{pid}/cmdline").read_bytes()}


@BOTH
def test_a_run_that_is_given_up_leaves_no_worker_and_no_child(
    request_for: Any, watcher: Quiet, separate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()

    class Interrupted(LocalEngine):
        def tag_shards(self, *arguments: Any) -> Generator[Receipt]:
            receipts = super().tag_shards(*arguments)
            yield next(receipts)
            seen.update(children())
            assert working()
            receipts.close()
            raise KeyboardInterrupt

    request = request_for(60, separate=separate)
    before = children()
    with monkeypatch.context() as patch:
        patch.setattr(local_engine, "LocalEngine", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(request, watcher)
    assert seen - before
    assert children() <= before
    assert not working()
    outcome = run(request, watcher)
    assert outcome.snapshot.ok == 60
    assert outcome.resumed >= 5


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (StorageError("The bucket is gone."), StorageError, r"^The bucket is gone\.$"),
        (ImageError(ErrorCode.MISSING, "manifest"), StorageError, "cannot read what it needs"),
        (RuntimeError("a defect"), ArtylyzeError, "A worker failed: RuntimeError: a defect"),
    ],
)
@BOTH
def test_an_error_of_a_worker_ends_the_run(
    request_for: Any,
    watcher: Quiet,
    separate: bool,
    error: Exception,
    kind: type[Exception],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(local_engine, "commit_rows", fail)
    with pytest.raises(kind, match=says):
        run(request_for(12, separate=separate), watcher)
    assert not working()


@BOTH
def test_a_watcher_that_fails_ends_the_workers(request_for: Any, separate: bool) -> None:
    class Failing(Quiet):
        def advance(self, rows: int, errors: int) -> None:  # noqa: ARG002 - the interface
            raise ValueError("a progress bar that is gone")

    request = request_for(60, separate=separate)
    with pytest.raises(ValueError, match="a progress bar") as caught:
        run(request, Failing())
    assert not working()
    assert caught.traceback, "which holds on to the frames of the run"


def test_what_is_unforeseen_is_said_with_its_last_line_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    error = local_engine.explained(
        ChildStartError("the child does not start: exited\n\nTraceback\nImportError: no x\n")
    )
    assert "the child does not start: exited: ImportError: no x. The same command resumes" in str(error)
    assert caplog.records[0].exc_info


def test_more_gpus_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    spec = RunSpec("run0", "tag", None, "model", (), 3, {}, "cuda", "bfloat16", {}, "digest", ())
    chosen = LocalEngine().choose_workers(spec, None, 7, None)
    assert (chosen.taggers, chosen.readers, chosen.separate) == (1, 7, True)
    with pytest.raises(InputError, match="needs 2 GPUs and this machine has 1"):
        LocalEngine().choose_workers(spec, 2, None, None)


@BOTH
def test_pixels_of_a_few_shards_at_most_are_in_memory(
    request_for: Any, watcher: Quiet, separate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slowly rows are committed: one shard in the hand of each thread, and one before each that waits."""
    alive, most, lock = 0, 0, threading.Lock()

    class Reader(ShardReader):
        def read(self, rows: Any) -> Any:
            nonlocal alive, most
            images = super().read(rows)
            with lock:
                alive += 1
                most = max(most, alive)
            return images

    def slow(*arguments: Any) -> Receipt:
        nonlocal alive
        threading.Event().wait(0.1)
        with lock:
            alive -= 1
        return commit_rows(*arguments)

    monkeypatch.setattr(local_engine, "ShardReader", Reader)
    monkeypatch.setattr(local_engine, "commit_rows", slow)
    request = request_for(100, separate=separate, shard_size=2, readers=3, workers=1)
    assert run(request, watcher).snapshot.ok == 100
    assert most <= 3 + 1 + 1 + 2 + 2
    assert (most > 0) is separate


def test_no_process_of_ray_is_started(request_for: Any, watcher: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(ray, "init", refuse)
    assert run(request_for(6), watcher).snapshot.ok == 6
    assert os.environ.get("RAY_ADDRESS") is None
