from __future__ import annotations

from pathlib import Path

import pytest

from artylyze.errors import StorageError
from artylyze.storage import open_store
from artylyze.tagging.attempts import MAX_DEATHS, Attempts


class KilledError(BaseException):
    """Ends an attempt as SIGKILL does: nothing after it runs."""


def worker(root: Path, node: str = "a", session: str = "s", *, restarted: bool = True) -> Attempts:
    """A worker of a cluster in which the node `a` alone is alive."""
    return Attempts(open_store(root), session, node, lambda: {"a"}, restarted=restarted)


def die(attempts: Attempts, name: str = "shard-1") -> None:
    with pytest.raises(KilledError), attempts.record(name, lambda: "It"):
        raise KilledError


def test_a_worker_that_replaces_no_dead_one_writes_nothing(tmp_path: Path) -> None:
    with worker(tmp_path, restarted=False).record("shard-1", lambda: "It"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_work_that_killed_its_workers_is_not_tried_again(tmp_path: Path) -> None:
    for _ in range(MAX_DEATHS):
        die(worker(tmp_path))
    again = worker(tmp_path).record("shard-1", lambda: "Shard 1")
    with pytest.raises(StorageError, match=r"^Shard 1 killed its worker 4 times"), again:
        pytest.fail("it was tried again")


def test_other_work_goes_on(tmp_path: Path) -> None:
    for _ in range(MAX_DEATHS):
        die(worker(tmp_path), "shard-1")
    with worker(tmp_path).record("shard-2", lambda: "It"):
        pass


def test_deaths_on_lost_nodes_do_not_count(tmp_path: Path) -> None:
    for number in range(20):
        die(worker(tmp_path, node=f"spot-{number}"))
    for _ in range(MAX_DEATHS - 1):
        die(worker(tmp_path))
    with worker(tmp_path).record("shard-1", lambda: "It"):
        pass


def test_attempts_that_ended_do_not_count(tmp_path: Path) -> None:
    for _ in range(2 * MAX_DEATHS):  # what they made was lost with a node
        with worker(tmp_path).record("shard-1", lambda: "It"):
            pass
    die(worker(tmp_path))


def test_what_died_under_an_earlier_command_does_not_count(tmp_path: Path) -> None:
    for _ in range(MAX_DEATHS):
        die(worker(tmp_path, session="yesterday"))
    with worker(tmp_path, session="today").record("shard-1", lambda: "It"):
        pass


@pytest.mark.parametrize("content", ["[", "[1]", '[{"node": "a"}]', "null", '{"node": 1}'])
def test_a_damaged_file_of_attempts_is_named(tmp_path: Path, content: str) -> None:
    die(worker(tmp_path))
    [path] = tmp_path.rglob("shard-1.json")
    path.write_text(content)
    with (
        pytest.raises(StorageError, match=r"shard-1\.json is damaged.*delete it"),
        worker(tmp_path).record("shard-1", str),
    ):
        pytest.fail("it was tried again")
