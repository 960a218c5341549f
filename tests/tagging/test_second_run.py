"""What a second run promises, on real files and the real protocol; only the workers are played, in this process."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artylyze.catalog.parts import Receipt
from artylyze.catalog.plan import Shard
from artylyze.catalog.run import Lease, run_store
from artylyze.catalog.snapshot import read_catalog, read_snapshot
from artylyze.errors import ErrorCode, ImageError, InputError, StorageError, UsageError
from artylyze.models.runtimes import Outputs
from artylyze.storage import fetch
from artylyze.tagging.engine import Workers
from artylyze.tagging.job import drive
from artylyze.tagging.planning import check, nothing_to_do, plan
from artylyze.tagging.request import TagRequest
from artylyze.tagging.shard import Rows, ShardSettings, commit_rows, sources, to_tag
from artylyze.tagging.stages import Spent
from artylyze.workers.protocol import Seen
from tests.tagging.conftest import Quiet


@dataclass
class Counting:
    """An engine for which an image is a text file with a number: its embedding. It counts what it reads."""

    left: int | None = None
    read: list[str] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    spent: Spent = field(default_factory=Spent)

    def resolve_device(self, device: str) -> Literal["cpu"]:  # noqa: ARG002 - the interface
        return "cpu"

    def choose_workers(self, *_: object) -> Workers:
        return Workers("cpu", "float32", taggers=1, readers=1, separate=False)

    def tag_shards(
        self, settings: ShardSettings, bundle: Any, shards: Sequence[Shard], _: object
    ) -> Generator[Receipt]:
        """Commit shards, and stop as Ctrl-C does when no more are left to do."""
        rows = Rows(settings)
        for shard in shards:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left = None if self.left is None else self.left - 1
            planned = rows.planned(shard)
            outcomes = [self._see(source.uri, source.validator) for source in sources(to_tag(planned))]
            numbers = [one.width for one in outcomes if isinstance(one, Seen)]
            vectors = np.repeat(np.array(numbers, np.float32).reshape(-1, 1), bundle.embedding_dim, 1)
            logits = {task.name: np.zeros((len(numbers), len(task.terms)), np.float32) for task in bundle.tasks}
            yield commit_rows(settings, shard, planned, outcomes, Outputs(vectors, logits))

    def _see(self, uri: str, validator: str | None) -> Seen | ImageError:
        name = Path(uri).name
        self.read.append(name)
        if name in self.failing:
            return ImageError(ErrorCode.UNREACHABLE, "for now")
        try:
            return Seen(int(bytes(fetch(uri, validator))), 1, "TEXT")
        except ImageError as error:
            return error


@dataclass
class Museum:
    """A folder of images, its catalog, and the commands that are given."""

    folder: Path
    catalog: str
    model: str
    engine: Counting
    clock: int = 10**18
    contents: dict[str, int] = field(default_factory=dict)

    def put(self, name: str, content: int) -> None:
        """Write an image; no two are written at the same time."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / name
        path.write_text(str(content))
        self.clock += 10**9
        os.utime(path, ns=(self.clock, self.clock))
        self.contents[name] = content

    def remove(self, name: str) -> None:
        """Remove an image."""
        (self.folder / name).unlink()
        del self.contents[name]

    def request(self, **changes: Any) -> TagRequest:
        """Return the request of `artylyze tag FOLDER -o CATALOG` with options."""
        source = None if changes.get("retry_failed") and not changes.get("update") else str(self.folder)
        return TagRequest(
            **({"source": source, "output": self.catalog, "model": self.model, "shard_size": 3} | changes)
        )

    def give(self, *, stop_after: int | None = None, **changes: Any) -> Quiet:
        """Give a command; return what it said. Stopped after so many shards it ends as an interrupted one does."""
        watcher = Quiet()
        self.engine.left, self.engine.read = stop_after, []
        request = self.request(**changes)
        check(request)
        planned = plan(request, watcher, str(self.fresh_folder()))
        if planned is None:
            watcher.say(nothing_to_do(request))
            return watcher
        try:
            drive(request, planned, self.engine, watcher, conditional=True)
        except KeyboardInterrupt:
            assert stop_after is not None
        return watcher

    def try_to_give(self, what: str, *, stop_after: int | None) -> str:
        """Give a command, and return why it was refused, or nothing."""
        try:
            self.give(stop_after=stop_after, update=what in ("update", "both"), retry_failed=what in ("retry", "both"))
        except InputError as error:
            return str(error)
        return ""

    def fresh_folder(self) -> Path:
        """Make a folder for a plan."""
        folder = self.folder.parent / f"plan-{len(list(self.folder.parent.iterdir()))}"
        folder.mkdir()
        return folder

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the rows of the catalog by image id; fail if one is there twice."""
        rows = read_catalog(self.catalog).to_pylist()
        found = {row["image_id"]: row for row in rows}
        assert len(found) == len(rows)
        return found


@pytest.fixture
def new_museum(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    def make() -> Museum:
        root = tmp_path_factory.mktemp("museum")
        return Museum(root / "images", str(root / "catalog"), str(model), Counting())

    return make


@pytest.fixture
def museum(new_museum: Any) -> Museum:
    """Ten images, a to j; a is 0, b is 1."""
    made: Museum = new_museum()
    for number, name in enumerate("abcdefghij"):
        made.put(f"{name}.jpg", number)
    return made


NAMES = [f"{name}.jpg" for name in "abcdefgh"]
steps = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(NAMES)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["tag", "update", "retry", "both"]), st.sampled_from([None, 0, 1, 2])),
)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(begin=st.sets(st.sampled_from(NAMES), min_size=3), history=st.lists(steps, min_size=3, max_size=10))
def test_however_often_it_is_stopped_and_changed_each_image_is_read_once(
    begin: set[str], history: list[Any], new_museum: Any
) -> None:
    museum: Museum = new_museum()
    for number, name in enumerate(sorted(begin)):
        museum.put(name, number)
    read: Counter[tuple[str, int]] = Counter()
    for what, argument in [*history, ("tag", None), ("update", None)]:
        if what == "put":
            museum.put(argument, museum.clock // 10**9 % 10**6)
        elif what == "remove":
            if argument in museum.contents and len(museum.contents) > 1:
                museum.remove(argument)
        else:
            refusal = museum.try_to_give(what, stop_after=argument)
            assert re.search("^$|no complete catalog|would leave", refusal)
            read.update((name, (museum.folder / name).stat().st_mtime_ns) for name in museum.engine.read)
    assert {name: row["width"] for name, row in museum.rows().items()} == museum.contents
    assert {one: count for one, count in read.items() if count > 1} == {}


def test_a_run_that_would_drop_images_is_refused_and_says_what_to_do(museum: Museum) -> None:
    museum.give()
    before = museum.rows()
    with pytest.raises(InputError, match=r"10 images are in the catalog .* would leave 3: 7 are not in .*`replace`"):
        museum.give(limit=3)
    museum.remove("c.jpg")
    with pytest.raises(InputError, match=r"would leave 9: 1 is not in .*`update` drops"):
        museum.give()
    assert museum.rows() == before


def test_replace_makes_the_catalog_anew_and_reads_everything(museum: Museum) -> None:
    museum.give()
    museum.give(limit=3, replace=True)
    assert sorted(museum.rows()) == ["a.jpg", "b.jpg", "c.jpg"]
    museum.give(replace=True)
    assert len(museum.engine.read) == len(museum.rows()) == 10
    museum.give(replace=True)
    assert len(museum.engine.read) == 10


def test_a_replacement_that_was_stopped_goes_on_where_it_was(museum: Museum) -> None:
    museum.give()
    museum.give(replace=True, stop_after=2)
    assert len(museum.engine.read) == 6
    museum.put("k.jpg", 10)
    museum.give(replace=True)
    assert len(museum.engine.read) == 5
    assert len(museum.rows()) == 11


@pytest.mark.parametrize("changes", [{"model": "timm:test_efficientnet"}, {"top_k": 2}])
def test_other_rows_than_those_of_the_catalog_are_refused(museum: Museum, changes: dict[str, Any]) -> None:
    museum.give()
    changed = changes | ({"model": None} if "model" in changes else {})
    with pytest.raises(InputError, match=r"with 10 images (was made by model|keeps `top_k=).*`replace`"):
        museum.give(**changed)


def test_the_same_command_on_a_complete_catalog_reads_nothing(museum: Museum) -> None:
    museum.give()
    said = museum.give().messages
    assert museum.engine.read == []
    assert any("is complete already" in line for line in said)


def test_the_same_command_after_updates_keeps_what_they_brought(museum: Museum) -> None:
    museum.engine.failing = {"d.jpg"}
    museum.give()
    museum.engine.failing = set()
    museum.give(retry_failed=True)
    museum.give()
    assert museum.engine.read == []
    assert {row["status"] for row in museum.rows().values()} == {"ok"}


def test_a_larger_collection_is_tagged_where_it_is_new(museum: Museum) -> None:
    museum.give()
    museum.put("k.jpg", 10)
    said = museum.give().messages
    assert museum.engine.read == ["k.jpg"]
    assert any("10 images are in the catalog already: 1 new, 0 changed, 0 removed" in line for line in said)


def test_one_image_more_after_an_interruption_reads_nothing_twice(museum: Museum) -> None:
    museum.give(stop_after=2)
    first = list(museum.engine.read)
    assert len(first) == 6
    museum.put("aa.jpg", 20)
    said = museum.give(stop_after=2).messages
    assert any("Taking over 6 images that an interrupted run committed" in line for line in said)
    second = list(museum.engine.read)
    said = museum.give().messages
    assert sorted([*first, *second, *museum.engine.read]) == sorted(museum.contents)
    assert {name: row["width"] for name, row in museum.rows().items()} == museum.contents


def test_one_image_more_after_an_interrupted_update_reads_nothing_twice(museum: Museum) -> None:
    museum.give()
    for number in range(6):
        museum.put(f"n{number}.jpg", number)
    museum.give(update=True, stop_after=1)
    read = list(museum.engine.read)
    museum.put("z.jpg", 9)
    museum.give(update=True)
    assert sorted([*read, *museum.engine.read]) == sorted(["z.jpg", *(f"n{number}.jpg" for number in range(6))])


def test_an_interrupted_update_whose_changes_are_gone_leaves_nothing_to_do(museum: Museum) -> None:
    museum.give()
    for name in "klmn":
        museum.put(f"{name}.jpg", 10)
    museum.give(update=True, stop_after=1)
    for name in "klmn":
        museum.remove(f"{name}.jpg")
    for options in ({"update": True}, {"retry_failed": True}, {}):
        museum.give(**options)
        assert museum.engine.read == []
    assert len(list(Path(museum.catalog, "runs").iterdir())) == 2


def test_a_plan_that_was_frozen_by_half_is_written_anew(museum: Museum, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    museum.give(stop_after=2)
    museum.put("k.jpg", 10)
    with monkeypatch.context() as patch:
        patch.setattr("artylyze.tagging.job.write_spec", crash)
        museum.give(stop_after=9)
    for run in Path(museum.catalog, "runs").iterdir():
        if not (run / "run.json").exists():
            assert (run / "base.json").exists()
    for folder in [run for run in Path(museum.catalog, "runs").iterdir() if (run / "run.json").exists()]:
        shutil.rmtree(folder)
    museum.give()
    assert {name: row["width"] for name, row in museum.rows().items()} == museum.contents


def test_a_run_that_another_process_drives_is_not_taken_over(museum: Museum) -> None:
    museum.give(stop_after=2)
    (run,) = Path(museum.catalog, "runs").iterdir()
    museum.put("k.jpg", 10)
    with (
        Lease(run_store(museum.catalog, run.name), 10, conditional=True),
        pytest.raises(StorageError, match=r"The tag run .* is in progress"),
    ):
        museum.give()


def test_a_catalog_json_that_was_deleted_is_written_again_without_reading(museum: Museum) -> None:
    museum.give()
    Path(museum.catalog, "catalog.json").unlink()
    museum.put("k.jpg", 10)
    museum.give()
    assert museum.engine.read == ["k.jpg"]


@pytest.mark.parametrize("options", [{"retry_failed": True}, {"update": True, "retry_failed": True}])
def test_a_restored_image_is_read_though_the_catalog_was_made_again(museum: Museum, options: dict[str, bool]) -> None:
    museum.engine.failing = {"d.jpg"}
    museum.give()
    catalog = Path(museum.catalog, "catalog.json").read_bytes()
    museum.give(**options)
    Path(museum.catalog, "catalog.json").write_bytes(catalog)
    museum.engine.failing = set()
    museum.give(**options)
    assert museum.rows()["d.jpg"]["status"] == "ok"


def test_an_update_is_made_again_when_the_catalog_is_that_of_its_parent_again(museum: Museum) -> None:
    museum.give()
    catalog = Path(museum.catalog, "catalog.json").read_bytes()
    museum.put("k.jpg", 10)
    museum.engine.failing = {"k.jpg"}
    museum.give(update=True)
    Path(museum.catalog, "catalog.json").write_bytes(catalog)
    museum.engine.failing = set()
    museum.give(update=True)
    assert museum.rows()["k.jpg"]["status"] == "ok"


def test_a_run_that_was_complete_but_not_published_is_published(
    museum: Museum, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    museum.give()
    museum.put("k.jpg", 10)
    with monkeypatch.context() as patch:
        patch.setattr("artylyze.tagging.job.write_snapshot", crash)
        museum.give(update=True, stop_after=9)
    assert "k.jpg" not in museum.rows()
    museum.give(update=True)
    assert museum.engine.read == []
    assert len(museum.rows()) == 11


def test_a_retry_with_nothing_that_can_pass_says_so(museum: Museum) -> None:
    museum.put("d.jpg", 3)
    museum.give()
    assert museum.give(retry_failed=True).messages == [
        "No image failed for a reason that can pass; none failed at all."
    ]


def test_force_reads_again_what_matches(museum: Museum) -> None:
    museum.give()
    museum.give(update=True, force=("c*", "*/e.jpg"))
    assert sorted(museum.engine.read) == ["c.jpg", "e.jpg"]
    museum.give(update=True, force=("*",), stop_after=2)
    read = list(museum.engine.read)
    museum.put("k.jpg", 10)
    museum.give(update=True, force=("*",))
    assert sorted([*read, *museum.engine.read]) == sorted(museum.contents)
    with pytest.raises(InputError, match="`force='x'`: no image_id and no uri"):
        museum.give(update=True, force=("x",))
    assert read_snapshot(museum.catalog).rows == 11


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"replace": True, "update": True}, "`replace` makes"),
        ({"replace": True, "retry_failed": True, "source": "x"}, "`replace` makes"),
        ({"force": ("*",)}, "`force` says"),
    ],
)
def test_options_that_do_not_go_together_are_refused(museum: Museum, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        museum.request(**options)
