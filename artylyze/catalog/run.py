"""One run: its specification (run.json), its progress and owner (status.json, a lease with a heartbeat), its end."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from artylyze.catalog.plan import Shard
from artylyze.errors import InputError, StorageError
from artylyze.storage import ConflictError, Store, open_store

HEARTBEAT = 5.0
"""Seconds between two heartbeats."""

DEAD_AFTER = 60.0
"""Seconds without a heartbeat after which a run counts as dead, and another process may resume it."""

SETTLE = 2.0
"""Seconds between taking a lease and checking that it is ours, on storage without conditional puts."""


@dataclass(frozen=True)
class RunSpec:
    """What defines a run, with `auto` resolved: a resumed run reads it here.

    Attributes:
        run_id: hash of everything that determines the output.
        operation: `tag`, `update`, `retry-failed`, `replace` or `compact`.
        parent: run id of the snapshot that this run builds on, None for a new catalog.
        model_id: of the model.
        tasks: names of the model's tasks.
        dim: length of an embedding.
        settings: the user's settings that change the output.
        device: `cpu` or `cuda`.
        precision: of inference on that device.
        versions: of the libraries.
        manifest_digest: of the run's rows.
        shards: the plan; run.json holds the row at which each shard ends.
    """

    run_id: str
    operation: str
    parent: str | None
    model_id: str
    tasks: tuple[str, ...]
    dim: int
    settings: Mapping[str, Any]
    device: str
    precision: str
    versions: Mapping[str, str]
    manifest_digest: str
    shards: tuple[Shard, ...]

    @property
    def rows(self) -> int:
        """Rows that the run writes."""
        return sum(shard.rows for shard in self.shards)


@dataclass(frozen=True)
class Status:
    """A run's progress.

    Attributes:
        state: `running`, `done`, `interrupted` or `failed`.
        owner: host, process id, start time and token of the process that executes it.
        started: when this attempt began, ISO 8601.
        heartbeat: when this was written, seconds since the epoch.
        rows: images of the run.
        done: images committed.
        ok: committed images with an embedding.
        errors: committed images without one, by error code.
        images_per_second: of this attempt.
    """

    state: str
    owner: str
    started: str
    heartbeat: float
    rows: int
    done: int = 0
    ok: int = 0
    errors: Mapping[str, int] | None = None
    images_per_second: float | None = None

    @property
    def process(self) -> str:
        """The process that executes the run, for messages."""
        words = self.owner.split()
        return f"process {words[2]} on {words[0].partition('/')[0]}" if len(words) == 6 else self.owner

    def alive(self, now: float) -> bool:
        """Whether the run is being executed: its heartbeat is fresh and, on this host, its process exists.

        A heartbeat far in the future is not fresh: the clock of one of the two machines is wrong.
        """
        return self.may_live and abs(now - self.heartbeat) < DEAD_AFTER

    @property
    def may_live(self) -> bool:
        """Whether the process that executes the run may exist, whatever the age of its heartbeat."""
        return self.state == "running" and not _has_ended(self.owner)


_held: set[str] = set()
"""The owners of the leases that this process holds."""


def make_run_id(**determinants: Any) -> str:
    """Return the id of a run: a hash of everything that determines its output."""
    return hashlib.sha256(json.dumps(determinants, sort_keys=True).encode()).hexdigest()[:12]


def run_store(catalog: str, run_id: str) -> Store:
    """Open the folder of a run."""
    return open_store(f"{catalog.rstrip('/')}/runs/{run_id}")


def write_spec(store: Store, spec: RunSpec) -> RunSpec:
    """Write run.json unless it exists; return its content: a resumed run keeps its own plan and device."""
    with suppress(ConflictError):
        if read_spec(store) is None:
            ends = [shard.stop for shard in spec.shards]
            store.put("run.json", _json(asdict(spec) | {"shards": ends}), if_absent=True)
    return read_spec(store) or spec


def read_spec(store: Store) -> RunSpec | None:
    """Read run.json; None if there is none."""
    data = store.read("run.json")
    if data is None:
        return None
    try:
        values = json.loads(data)
        ends = values.pop("shards")
        starts = [0, *ends][:-1]
        shards = tuple(Shard(index, *rows) for index, rows in enumerate(zip(starts, ends, strict=True)))
        return RunSpec(**(values | {"shards": shards, "tasks": tuple(values["tasks"])}))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{store.url}/run.json cannot be read ({error}). Move the run's folder away.") from error


def read_status(store: Store) -> Status | None:
    """Read status.json; None if there is none or it is damaged."""
    data = store.read("status.json")
    if data is None:
        return None
    with suppress(ValueError, TypeError):
        return Status(**json.loads(data))
    return None


def write_success(store: Store, summary: Mapping[str, Any]) -> None:
    """Write _SUCCESS.json, the last object of a run."""
    store.put("_SUCCESS.json", _json(summary))


def read_success(store: Store) -> dict[str, Any] | None:
    """Read _SUCCESS.json; None while the run is not complete. Raises InputError if it cannot be read."""
    data = store.read("_SUCCESS.json")
    try:
        return None if data is None else dict(json.loads(data))
    except (ValueError, TypeError) as error:
        raise InputError(f"{store.url}/_SUCCESS.json cannot be read ({error}). Delete it, then run again.") from error


def probe_conditional(store: Store) -> bool:
    """Whether the storage supports conditional puts; raises StorageError if it cannot be written."""
    key = f"probe-{uuid.uuid4().hex}"
    try:
        store.put(key, b"artylyze was here", if_absent=True)
        store.put(key, b"artylyze was here twice", if_absent=True)
    except ConflictError:  # of the first put too, if it succeeded and the answer was lost
        return True
    else:
        return False
    finally:
        with suppress(StorageError):  # permission to write need not include deleting
            store.delete(key)


class Lease:
    """The exclusive right to execute a run, held by a heartbeat that a thread writes to status.json.

    Raises:
        StorageError: on entering, if another process executes the run.
    """

    def __init__(self, store: Store, rows: int, *, conditional: bool) -> None:
        self._store = store
        self._conditional = conditional
        self._owner = owner_token()
        self._version: str | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._heartbeats, name="artylyze-heartbeat", daemon=True)
        self.lost: str | None = None
        self.status = Status("running", self._owner, datetime.now(UTC).isoformat(timespec="seconds"), 0.0, rows)

    def __enter__(self) -> Self:
        _held.add(self._owner)
        try:
            self._take()
        except BaseException:
            _held.discard(self._owner)
            raise
        self._thread.start()
        return self

    def _take(self) -> None:
        self._version = self._store.version("status.json")
        status = read_status(self._store)
        if status is not None and (status.alive(time.time()) or (status.may_live and self._beats())):
            raise StorageError(self._refusal(status))
        try:
            self._write()
        except ConflictError:
            raise StorageError(self._refusal(read_status(self._store))) from None
        if not self._conditional:  # a concurrent process has written by now, and the last writer holds the lease
            time.sleep(SETTLE)
            status = read_status(self._store)
            if status is not None and status.owner != self._owner:
                raise StorageError(self._refusal(status))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.lost is None and self.status.state == "running":
            self.update(state="failed" if kind and issubclass(kind, Exception) else "interrupted")
        if self.lost is None:
            with suppress(StorageError, ConflictError):  # the outcome of the run matters more than this last heartbeat
                self._write()
        _held.discard(self._owner)

    def check(self) -> None:
        """Raise StorageError if another process has taken over the run.

        If this process was suspended, or its machine slept, the storage is read first: the thread that writes the
        heartbeat may not have run yet.
        """
        if self.lost is None and time.time() - self.status.heartbeat > DEAD_AFTER / 2:
            with suppress(StorageError):  # the next step needs the storage too, and reports its error
                self._beat()
        if self.lost is not None:
            raise StorageError(self.lost)

    def update(self, **changes: Any) -> None:
        """Change the status that the next heartbeat writes."""
        with self._lock:
            self.status = replace(self.status, **changes)

    def _beats(self) -> bool:
        """Whether the process whose heartbeat seems old writes another one: the clocks of two machines may differ."""
        time.sleep(2 * HEARTBEAT)
        return self._store.version("status.json") != self._version

    def _refusal(self, status: Status | None) -> str:
        return (
            f"The run {self._store.url} is already running ({status.process if status else 'another process'}). Wait "
            f"for it or stop it; {DEAD_AFTER:.0f} s after its last heartbeat this command takes over."
        )

    def _write(self) -> None:
        with self._lock:
            self.status = replace(self.status, heartbeat=time.time())
            data = _json(asdict(self.status))
            if self._conditional:
                self._version = self._replace(data)
            else:
                self._store.put("status.json", data)

    def _replace(self, data: bytes) -> str:
        absent = self._version is None
        try:
            return self._store.put("status.json", data, if_absent=absent, if_match=self._version)
        except ConflictError:
            version, status = self._store.version("status.json"), read_status(self._store)
            if version is None or status is None or status.owner != self._owner:
                raise
            return version  # this process wrote it, and the answer was lost

    def _heartbeats(self) -> None:
        while self.lost is None and not self._stop.wait(HEARTBEAT):
            with suppress(StorageError):  # the next heartbeat may succeed; workers report their own errors
                self._beat()

    def _beat(self) -> None:
        try:
            status = None if self._conditional else read_status(self._store)
            if (
                status is not None
                and status.owner != self._owner
                and (status.state == "done" or status.alive(time.time()))
            ):
                raise ConflictError("status.json")
            self._write()
        except ConflictError:
            self.lost = f"Another process has taken over the run {self._store.url}; this one stops."


def owner_token() -> str:
    """Return `HOST process PID since START TOKEN`; START (clock ticks since boot) distinguishes reused process ids."""
    return f"{_host()} process {os.getpid()} since {_started(os.getpid())} {uuid.uuid4().hex[:8]}"


def _has_ended(owner: str) -> bool:
    words = owner.split()
    if len(words) != 6 or words[0] != _host() or not words[2].isdecimal():
        return False
    if int(words[2]) == os.getpid() and owner not in _held:
        return True  # a lease of this process whose end could not be written
    return _started(int(words[2])) != words[4]


def _host() -> str:
    """Return host name and boot id; containers on one machine differ in their host names."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{boot.read_text()[:8] if boot.exists() else 'host'}"


def _started(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "ended" if fields[0] in "ZX" else fields[19]  # killed, and its parent has not waited for it yet
    except (FileNotFoundError, ProcessLookupError):
        return "unknown" if not Path("/proc/self").exists() else "ended"


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n").encode()
