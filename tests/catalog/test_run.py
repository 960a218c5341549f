from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.catalog import run
from artylyze.catalog.plan import Shard
from artylyze.catalog.run import (
    DEAD_AFTER,
    Lease,
    RunSpec,
    Status,
    make_run_id,
    owner_token,
    probe_conditional,
    read_spec,
    read_status,
    read_success,
    run_store,
    write_spec,
    write_success,
)
from artylyze.errors import InputError, StorageError
from artylyze.storage import ConflictError, Store, open_store
from artylyze.storage.local import LocalStore

if TYPE_CHECKING:
    from tests.conftest import S3

SPEC = RunSpec(
    run_id="abc",
    operation="tag",
    parent=None,
    model_id="m",
    tasks=("genre",),
    dim=3,
    settings={"top_k": 5, "limit": None},
    device="cpu",
    precision="float32",
    versions={"artylyze": "0.1.0"},
    manifest_digest="d",
    shards=(Shard(0, 0, 3), Shard(1, 3, 4)),
)

DRIVER = """
import sys, time
from artylyze.catalog.run import Lease, probe_conditional, run_store
from artylyze.errors import StorageError
store = run_store(sys.argv[1], "abc")
conditional = sys.argv[2] == "conditional"
print("ready", flush=True)
sys.stdin.readline()
try:
    with Lease(store, 4, conditional=conditional):
        print("drives", flush=True)
        sys.stdin.readline()
except StorageError as error:
    print(error, flush=True)
"""


SUSPENDED = """
import sys
from artylyze.catalog import run
from artylyze.errors import StorageError
run.DEAD_AFTER, run.HEARTBEAT = 0.2, 3600.0  # no heartbeat comes to its aid
try:
    with run.Lease(run.run_store(sys.argv[1], "abc"), 4, conditional=sys.argv[2] == "conditional") as lease:
        print("drives", flush=True)
        sys.stdin.readline()
        lease.check()
        print("goes on", flush=True)
except StorageError as error:
    print(error, flush=True)
"""
"""A driver that makes sure, before it does the next thing, that the run is still its own."""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "runs" / "abc")


@pytest.fixture
def beating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hearts beat fast, and nothing is left to settle for long."""
    monkeypatch.setattr(run, "HEARTBEAT", 0.01)
    monkeypatch.setattr(run, "SETTLE", 0.05)


@contextmanager
def driver(catalog: str, *, conditional: bool = True, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process that takes the lease when it is told to, and keeps it until it is told again."""
    command = [sys.executable, "-c", DRIVER, catalog, "conditional" if conditional else "plain"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        try:
            assert line(process) == "ready"
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def status_of(owner: str, *, age: float = 0.0, state: str = "running") -> bytes:
    return json.dumps(
        {"state": state, "owner": owner, "started": "", "heartbeat": time.time() - age, "rows": 4}
    ).encode()


def until(true: Callable[[], object]) -> None:
    """Wait for what another thread is about to do."""
    for _ in range(2000):
        if true():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen")


class TestSpec:
    def test_it_is_read_as_it_was_written(self, store: LocalStore) -> None:
        assert write_spec(store, SPEC) == SPEC
        assert read_spec(store) == SPEC

    @given(st.lists(st.integers(1, 1024), min_size=1, max_size=30))
    def test_any_plan_is_read_as_it_was_written(self, rows: list[int]) -> None:
        ends = [sum(rows[: n + 1]) for n in range(len(rows))]
        spec = replace(SPEC, shards=tuple(Shard(n, end - rows[n], end) for n, end in enumerate(ends)))
        held = Memory()
        write_spec(held, spec)
        assert read_spec(held) == spec

    def test_a_resumed_run_keeps_its_own_plan(self, store: LocalStore) -> None:
        write_spec(store, SPEC)
        assert write_spec(store, replace(SPEC, device="cuda", shards=(Shard(0, 0, 4),))) == SPEC

    def test_there_may_be_none(self, store: LocalStore) -> None:
        assert read_spec(store) is None

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b'"text"', b"{}", b'{"shards": [2, 1]}', b"\xff"])
    def test_a_damaged_one_is_told(self, store: LocalStore, content: bytes) -> None:
        store.put("run.json", content)
        with pytest.raises(InputError, match=r"run\.json cannot be read .*Move the run's folder away"):
            read_spec(store)

    def test_what_decides_the_output_decides_the_id(self) -> None:
        assert make_run_id(a=1, b=2) == make_run_id(b=2, a=1)
        assert make_run_id(a=1, b=None) != make_run_id(a=1)
        assert len(make_run_id(a=1)) == 12

    def test_a_slash_at_the_end_of_the_catalog_changes_nothing(self, tmp_path: Path) -> None:
        assert run_store(f"{tmp_path}/", "abc").url == run_store(str(tmp_path), "abc").url


@dataclass
class Memory:
    """A store in memory; each answer to a put may be lost, after the put or instead of it."""

    held: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    lose: list[str] = field(default_factory=list)
    puts: int = 0
    url: str = "memory"

    def read(self, key: str) -> bytes | None:
        return self.held[key][0] if key in self.held else None

    def version(self, key: str) -> str | None:
        return self.held[key][1] if key in self.held else None

    def put(self, key: str, data: bytes | memoryview, *, if_absent: bool = False, if_match: str | None = None) -> str:
        fate = self.lose.pop(0) if self.lose else "well"
        if fate == "never arrived":
            raise StorageError("the storage does not answer")
        if (if_absent and key in self.held) or (if_match is not None and self.version(key) != if_match):
            raise ConflictError(key)
        self.puts += 1
        self.held[key] = (bytes(data), str(self.puts))
        if fate == "answer lost":
            raise StorageError("the storage does not answer")
        if fate == "answer lost and retried":
            raise ConflictError(key)
        return str(self.puts)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class TestLease:
    @pytest.mark.parametrize("conditional", [True, False])
    @pytest.mark.usefixtures("beating")
    def test_who_holds_it_says_so(self, store: LocalStore, conditional: bool) -> None:
        with Lease(store, 4, conditional=conditional) as lease:
            found = read_status(store)
            assert found is not None
            assert (found.state, found.rows, found.owner) == ("running", 4, lease.status.owner)
            assert found.alive(time.time())

    @pytest.mark.parametrize("conditional", [True, False])
    @pytest.mark.usefixtures("beating")
    def test_a_second_driver_is_refused(self, store: LocalStore, conditional: bool) -> None:
        with (
            Lease(store, 4, conditional=conditional),
            pytest.raises(StorageError, match=r"is already running \(process \d+ on .*Wait for it or stop it"),
            Lease(store, 4, conditional=conditional),
        ):
            pass

    @pytest.mark.parametrize("taken", [True, False])
    @pytest.mark.parametrize("conditional", [True, False])
    def test_a_driver_that_was_suspended_notices_that_another_took_over(
        self, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conditional: bool, taken: bool
    ) -> None:
        monkeypatch.setattr(run, "DEAD_AFTER", 0.2)
        monkeypatch.setattr(run, "HEARTBEAT", 0.05)
        monkeypatch.setattr(run, "SETTLE", 0.05)
        command = [sys.executable, "-c", SUSPENDED, str(tmp_path), "conditional" if conditional else "plain"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert line(process) == "drives"
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.5)
            if taken:
                with Lease(store, 4, conditional=conditional) as lease:
                    lease.update(state="done")
            tell(process)
            process.send_signal(signal.SIGCONT)
            assert ("Another process has taken over" in line(process)) is taken

    def test_a_lease_whose_end_could_not_be_written_is_free_in_the_same_process(self, store: LocalStore) -> None:
        with Lease(store, 4, conditional=True) as lease:
            held = store.read("status.json") or b""
        assert b'"running"' in held
        store.put("status.json", held)
        assert lease.lost is None
        with Lease(store, 4, conditional=True):
            pass

    def test_it_is_free_again_afterwards(self, store: LocalStore) -> None:
        for _ in range(2):
            with Lease(store, 4, conditional=True):
                pass

    def test_the_last_word_is_the_outcome(self, store: LocalStore) -> None:
        with Lease(store, 4, conditional=True) as lease:
            lease.update(state="done", done=4)
        found = read_status(store)
        assert found is not None
        assert (found.state, found.done) == ("done", 4)

    @pytest.mark.parametrize(("error", "state"), [(ValueError, "failed"), (KeyboardInterrupt, "interrupted")])
    def test_an_end_before_the_end_is_told(self, store: LocalStore, error: type[BaseException], state: str) -> None:
        with pytest.raises(error), Lease(store, 4, conditional=True):
            raise error
        found = read_status(store)
        assert found is not None
        assert found.state == state

    @pytest.mark.parametrize("conditional", [True, False])
    @pytest.mark.usefixtures("beating")
    def test_progress_is_in_the_next_heartbeat(self, store: LocalStore, conditional: bool) -> None:
        with Lease(store, 4, conditional=conditional) as lease:
            lease.update(done=3)
            until(lambda: (read_status(store) or lease.status).done == 3)

    @pytest.mark.usefixtures("beating")
    def test_hearts_beat_on_real_servers(self, s3: S3, aws: Callable[[S3], None]) -> None:
        aws(s3)
        store = run_store(f"{s3.bucket('heartbeat')}/catalog", "abc")
        with Lease(store, 4, conditional=s3.conditional) as lease:
            first = read_status(store)
            assert first is not None
            until(lambda: (read_status(store) or lease.status).heartbeat > first.heartbeat)
            lease.update(state="done")
        found = read_status(store)
        assert found is not None
        assert found.state == "done"

    @pytest.mark.parametrize("fate", ["answer lost", "answer lost and retried", "never arrived"])
    @pytest.mark.usefixtures("beating")
    def test_a_heartbeat_whose_answer_is_lost_is_no_takeover(self, fate: str) -> None:
        store = Memory()
        with Lease(store, 4, conditional=True) as lease:
            before = store.puts
            store.lose += [fate] * 3
            until(lambda: store.puts > before + 5)
            assert lease.lost is None

    def test_taking_it_survives_a_lost_answer(self) -> None:
        store = Memory(lose=["answer lost and retried"])
        with Lease(store, 4, conditional=True):
            assert store.puts == 1

    @pytest.mark.parametrize("conditional", [True, False])
    @pytest.mark.usefixtures("beating")
    def test_who_loses_it_stops_and_writes_no_more(self, store: LocalStore, conditional: bool) -> None:
        with Lease(store, 4, conditional=conditional) as lease:
            thief = status_of("elsewhere/0 process 1 since 2 abcd")

            def steal() -> str | None:  # again and again, as a heartbeat does: ours may be writing over the first
                store.put("status.json", thief)
                return lease.lost

            until(steal)
            if conditional:
                assert store.read("status.json") == thief
            thief = status_of("elsewhere/0 process 1 since 2 abcd", age=1)
            store.put("status.json", thief)
        assert "Another process has taken over the run" in str(lease.lost)
        assert store.read("status.json") == thief

    def test_a_damaged_status_is_taken_over(self, store: LocalStore) -> None:
        store.put("status.json", b"{")
        with Lease(store, 4, conditional=True):
            pass

    @pytest.mark.usefixtures("beating")
    def test_the_heart_stops_with_the_run(self, store: LocalStore) -> None:
        with Lease(store, 4, conditional=True):
            pass
        assert not [thread for thread in threading.enumerate() if thread.name == "artylyze-heartbeat"]


class TestTakeover:
    def test_a_fresh_heartbeat_from_another_host_is_respected(self, store: LocalStore) -> None:
        store.put("status.json", status_of("elsewhere/0 process 1 since 2 abcd", age=DEAD_AFTER - 20))
        with pytest.raises(StorageError, match="elsewhere"), Lease(store, 4, conditional=True):
            pass

    @pytest.mark.parametrize("conditional", [True, False])
    @pytest.mark.usefixtures("beating")
    def test_an_old_heartbeat_from_another_host_is_not(self, store: LocalStore, conditional: bool) -> None:
        store.put("status.json", status_of("elsewhere/0 process 1 since 2 abcd", age=DEAD_AFTER + 1))
        with Lease(store, 4, conditional=conditional):
            pass

    @pytest.mark.parametrize("ahead", [-3600, 3600])
    @pytest.mark.parametrize("conditional", [True, False])
    @pytest.mark.usefixtures("beating")
    def test_whose_clock_is_wrong_is_replaced_if_it_is_dead(
        self, store: LocalStore, ahead: int, conditional: bool
    ) -> None:
        store.put("status.json", status_of("elsewhere/0 process 1 since 2 abcd", age=-ahead))
        with Lease(store, 4, conditional=conditional):
            pass

    @pytest.mark.parametrize("ahead", [-3600, 3600])
    @pytest.mark.parametrize("conditional", [True, False])
    def test_whose_clock_is_wrong_is_respected_if_it_lives(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch, ahead: int, conditional: bool
    ) -> None:
        def beat() -> None:
            while not ended.wait(0.01):
                store.put("status.json", status_of("elsewhere/0 process 1 since 2 abcd", age=-ahead))

        monkeypatch.setattr(run, "HEARTBEAT", 0.5)
        store.put("status.json", status_of("elsewhere/0 process 1 since 2 abcd", age=-ahead))
        ended = threading.Event()
        thread = threading.Thread(target=beat)
        thread.start()
        with pytest.raises(StorageError, match="elsewhere"), Lease(store, 4, conditional=conditional):
            pass
        ended.set()
        thread.join()

    @pytest.mark.parametrize("state", ["done", "interrupted", "failed"])
    def test_a_run_that_has_ended_is_free(self, store: LocalStore, state: str) -> None:
        store.put("status.json", status_of("elsewhere/0 process 1 since 2 abcd", state=state))
        with Lease(store, 4, conditional=True):
            pass

    def test_another_process_with_the_same_number_is_not_the_owner(self, store: LocalStore) -> None:
        words = owner_token().split()
        words[4] = "1"
        store.put("status.json", status_of(" ".join(words)))
        with Lease(store, 4, conditional=True):
            pass

    @pytest.mark.parametrize("waited_for", [True, False], ids=["reaped", "zombie"])
    def test_a_killed_owner_on_this_host_is_replaced_at_once(self, tmp_path: Path, waited_for: bool) -> None:
        with driver(str(tmp_path)) as owner:
            tell(owner)
            assert line(owner) == "drives"
            owner.send_signal(signal.SIGKILL)
            os.waitid(os.P_PID, owner.pid, os.WEXITED | (0 if waited_for else os.WNOWAIT))
            with Lease(run_store(str(tmp_path), "abc"), 4, conditional=True):
                pass
            owner.returncode = -signal.SIGKILL

    def test_an_owner_that_only_stands_still_is_respected(self, tmp_path: Path) -> None:
        with driver(str(tmp_path)) as owner:
            tell(owner)
            assert line(owner) == "drives"
            owner.send_signal(signal.SIGSTOP)
            with (
                pytest.raises(StorageError, match=f"process {owner.pid}"),
                Lease(run_store(str(tmp_path), "abc"), 4, conditional=True),
            ):
                pass


class TestRace:
    def race(self, catalog: str, *, conditional: bool, **environment: str) -> None:
        with (
            driver(catalog, conditional=conditional, **environment) as one,
            driver(catalog, conditional=conditional, **environment) as other,
        ):
            for process in (one, other):
                tell(process)
            said = [line(one), line(other)]
            assert said.count("drives") == 1, said
            assert sum("is already running" in words for words in said) == 1

    @pytest.mark.parametrize("conditional", [True, False])
    def test_one_of_two_processes_wins_on_a_disk(self, tmp_path: Path, conditional: bool) -> None:
        self.race(str(tmp_path), conditional=conditional)

    def test_one_of_two_processes_wins_the_succession(self, tmp_path: Path) -> None:
        run_store(str(tmp_path), "abc").put("status.json", status_of("elsewhere/0 process 1 since 2 abcd", age=1000))
        self.race(str(tmp_path), conditional=True)

    def test_one_of_two_processes_wins_on_a_server(self, s3: S3) -> None:
        self.race(f"{s3.bucket('race')}/catalog", conditional=s3.conditional, **s3.environment)

    def test_one_of_many_threads_wins_again_and_again(self, tmp_path: Path) -> None:
        for number in range(10):
            store, start = run_store(str(tmp_path), str(number)), threading.Barrier(4)
            won: list[int] = []

            def drive(store: Store = store, start: threading.Barrier = start, won: list[int] = won) -> None:
                lease = Lease(store, 4, conditional=True)
                start.wait()
                try:
                    with lease:
                        won.append(1)
                        start.wait()
                except StorageError:
                    start.wait()

            threads = [threading.Thread(target=drive) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert won == [1]


class TestOutcome:
    def test_success_is_read_as_it_was_written(self, store: LocalStore) -> None:
        assert read_success(store) is None
        write_success(store, {"rows": 3})
        assert read_success(store) == {"rows": 3}

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"state": "running"}', b"3"])
    def test_a_damaged_status_is_none(self, store: LocalStore, content: bytes) -> None:
        store.put("status.json", content)
        assert read_status(store) is None

    def test_an_owner_from_nowhere_is_not_ours_to_judge(self) -> None:
        assert Status("running", "?", "", time.time(), 1).alive(time.time())


class TestProbe:
    def test_a_disk_honours_conditions_and_keeps_nothing(self, store: LocalStore) -> None:
        assert probe_conditional(store)
        assert list(store.list()) == []

    def test_servers_are_found_out(self, s3: S3, aws: Callable[[S3], None]) -> None:
        aws(s3)
        store = open_store(f"{s3.bucket('probe')}/catalog")
        assert probe_conditional(store) == s3.conditional
        assert list(store.list()) == []

    def test_storage_that_refuses_is_told(
        self, juicefs_server: S3, aws: Callable[[S3], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        aws(juicefs_server)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(StorageError, match="access denied"):
            probe_conditional(open_store("s3://bucket/catalog"))

    def test_no_such_bucket_is_told(self, s3: S3, aws: Callable[[S3], None]) -> None:
        aws(s3)
        with pytest.raises(StorageError, match="There is no bucket s3://not-there"):
            probe_conditional(open_store("s3://not-there/catalog"))

    def test_a_file_in_place_of_the_catalog_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "catalog").write_bytes(b"")
        with pytest.raises(StorageError, match="Not a directory"):
            probe_conditional(open_store(tmp_path / "catalog"))

    def test_who_may_write_need_not_be_allowed_to_delete(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise StorageError("AccessDenied")

        monkeypatch.setattr(LocalStore, "delete", refuse)
        assert probe_conditional(store)
