from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from artylyze.catalog.plan import Shard
from artylyze.catalog.run import RunSpec, owner_token, run_store, write_spec, write_success
from artylyze.catalog.snapshot import read_snapshot, write_snapshot
from artylyze.catalog.status import RunState, describe, run_states
from artylyze.errors import InputError
from artylyze.storage import Store

if TYPE_CHECKING:
    from tests.catalog.conftest import Library

ELSEWHERE = "elsewhere/0 process 1 since 2 abcd"
SHARDS = (Shard(0, 0, 3), Shard(1, 3, 4))
SPEC = RunSpec("run0", "tag", None, "m", (), 3, {}, "cpu", "float32", {}, "digest", SHARDS)


@pytest.fixture
def begun(library: Library) -> Store:
    """A run whose two parts are committed, and of which nothing else is told yet."""
    library.tag(library.manifest(library.pictures({"a": 1, "b": -2, "c": 2, "d": 3})))
    Path(library.catalog, "catalog.json").unlink()
    store = run_store(library.catalog, "run0")
    write_spec(store, SPEC)
    return store


def beat(store: Store, *, state: str = "running", age: float = 1.0, owner: str = ELSEWHERE, **counts: Any) -> None:
    told = {"state": state, "owner": owner, "started": "", "heartbeat": time.time() - age, "rows": 4, **counts}
    store.put("status.json", json.dumps(told).encode())


def only(library: Library) -> RunState:
    (state,) = run_states(library.catalog)
    return state


def test_without_a_run_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run was started there"):
        run_states(str(tmp_path))


def test_a_folder_that_is_not_there_holds_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run was started there"):
        run_states(str(tmp_path / "nowhere"))


def test_committed_parts_are_counted_not_believed(library: Library, begun: Store) -> None:
    beat(begun, done=0)
    begun.delete(SHARDS[0].key)
    state = only(library)
    assert (state.committed, state.parts, state.rows, state.shards) == (1, 1, 4, 2)


def test_objects_that_are_no_parts_of_the_plan_do_not_count(library: Library, begun: Store) -> None:
    begun.put("parts/part-00007.parquet", b"")
    begun.put("parts/.part-00000.parquet.tmp", b"")
    assert only(library).parts == 2


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({}, "running"),
        ({"age": 1000}, "dead"),
        ({"state": "interrupted"}, "interrupted"),
        ({"state": "failed", "age": 1000}, "failed"),
    ],
)
def test_a_heartbeat_tells_where_a_run_stands(library: Library, begun: Store, told: dict[str, Any], state: str) -> None:
    beat(begun, **told)
    assert only(library).state == state


def test_a_process_of_this_host_that_is_gone_is_dead_at_once(library: Library, begun: Store) -> None:
    words = owner_token().split()
    words[4] = "1"  # started at another time: a later process with its number
    beat(begun, owner=" ".join(words))
    assert only(library).state == "dead"
    assert words[0].startswith(socket.gethostname())
    assert words[2] == str(os.getpid())


def test_a_run_that_nobody_drove_is_interrupted(library: Library, begun: Store) -> None:
    assert only(library).state == "interrupted"


def test_a_complete_run_is_done_whatever_its_heartbeat_says(library: Library, begun: Store) -> None:
    beat(begun, age=1000)
    write_success(begun, {"rows": 4, "ok": 3, "errors": {"corrupt": 1}})
    state = only(library)
    assert (state.state, state.ok, state.errors) == ("done", 3, {"corrupt": 1})


def test_the_run_of_the_snapshot_is_marked(library: Library) -> None:
    manifest = library.manifest(library.pictures({"a": 1, "b": -2, "c": 2, "d": 3}))
    library.tag(manifest)
    library.tag(manifest)
    for name in ("run0", "run1"):
        write_spec(run_store(library.catalog, name), replace(SPEC, run_id=name))
    assert [(state.run_id, state.current) for state in run_states(library.catalog)] == [("run0", False), ("run1", True)]


def test_every_state_is_plain_json(library: Library, begun: Store) -> None:
    beat(begun)
    assert json.loads(json.dumps(only(library).as_dict()))["run_id"] == "run0"


class TestWords:
    def words(self, library: Library) -> str:
        return describe(library.catalog, run_states(library.catalog))

    def test_a_running_run(self, library: Library, begun: Store) -> None:
        beat(begun, images_per_second=12.34, errors={"corrupt": 1})
        words = self.words(library)
        assert "tag run0: running" in words
        assert "4 of 4 images in 2 of 2 parts" in words
        assert "failed: 1 corrupt" in words
        assert "12.3 images/s" in words
        assert "There is no complete catalog yet" in words

    def test_a_dead_run_says_what_to_do(self, library: Library, begun: Store) -> None:
        beat(begun, age=3600)
        assert "its process has ended: the last heartbeat was 3,600 s ago. The same command resumes it." in self.words(
            library
        )

    @pytest.mark.usefixtures("begun")
    def test_a_run_without_a_heartbeat(self, library: Library) -> None:
        assert "tag run0: interrupted" in self.words(library)

    def test_a_complete_catalog(self, library: Library, begun: Store) -> None:
        write_success(begun, {"rows": 4, "ok": 3, "errors": {}})
        library.tag(library.manifest(library.pictures({"a": 1})))
        write_snapshot(library.catalog, replace(read_snapshot(library.catalog), run_id="run0"))
        assert "tag run0: done  (the catalog's snapshot)" in self.words(library)
