"""Garbage collection: parts that later runs replaced, and what killed writers left behind.

Nothing that the snapshot lists, no run in progress and, unless asked for, no run that can be resumed is removed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from artylyze.catalog.run import read_spec, read_status, run_store
from artylyze.catalog.snapshot import read_snapshot
from artylyze.storage import Entry, is_url, open_store

DELETERS = 16
"""Threads that remove objects at once."""

_MARKERS = ("_SUCCESS.json", "run.json")


@dataclass(frozen=True)
class Garbage:
    """What garbage collection removes.

    Attributes:
        keys: of the objects to remove, below the catalog.
        bytes: their total size.
        parts: number of parts among them.
        runs: ids of runs that are removed completely.
        resumable: ids of runs that are kept because the same command can still finish them.
    """

    keys: tuple[str, ...]
    bytes: int
    parts: int
    runs: tuple[str, ...]
    resumable: tuple[str, ...]


def find_garbage(catalog: str, *, interrupted: bool = False) -> Garbage:
    """List the objects that the snapshot of a catalog does not need.

    Args:
        catalog: its address.
        interrupted: whether to remove interrupted runs, too.

    Raises:
        InputError: if there is no complete catalog: every part may be needed to finish it.
    """
    snapshot = read_snapshot(catalog)
    needed = {part.path for part in snapshot.parts}
    needed_runs = {path.split("/")[1] for path in needed} | {snapshot.run_id}
    by_run: dict[str, list[Entry]] = defaultdict(list)
    for entry in open_store(catalog).list("runs/"):
        by_run[entry.key.split("/")[1]].append(entry)
    removed: list[Entry] = []
    whole: list[str] = []
    resumable: list[str] = []
    for run_id, entries in sorted(by_run.items()):
        state = _state(catalog, run_id, snapshot.run_id, needed=run_id in needed_runs)
        if state == "running":
            continue
        if state == "resumable" and not interrupted:
            resumable.append(run_id)
            continue
        if state == "needed":
            removed += [entry for entry in entries if entry.key not in needed and _is_part(entry.key)]
        else:
            whole.append(run_id)
            removed += entries
    return Garbage(
        keys=tuple(entry.key for entry in removed),
        bytes=sum(entry.size for entry in removed),
        parts=sum(entry.key.endswith(".parquet") and _is_part(entry.key) for entry in removed),
        runs=tuple(whole),
        resumable=tuple(resumable),
    )


def remove_garbage(catalog: str, garbage: Garbage) -> None:
    """Remove what `find_garbage` listed; a missing object is not an error."""
    store = open_store(catalog)
    markers = [key for key in garbage.keys if key.rpartition("/")[2] in _MARKERS]
    for key in sorted(markers, key=lambda key: _MARKERS.index(key.rpartition("/")[2])):
        store.delete(key)  # first: a run that is half removed must not look complete
    with ThreadPoolExecutor(DELETERS) as pool:
        list(pool.map(store.delete, [key for key in garbage.keys if key not in markers]))
    if not is_url(catalog):
        for run_id in garbage.runs:
            for folder in (Path(catalog, "runs", run_id, "parts"), Path(catalog, "runs", run_id)):
                with suppress(OSError):  # not empty: stays
                    folder.rmdir()


def _state(catalog: str, run_id: str, current: str, *, needed: bool) -> str:
    """Return whether a run is `running`, `needed` by the snapshot, `resumable` or `obsolete`."""
    store = run_store(catalog, run_id)
    status, spec = read_status(store), read_spec(store)
    if status is not None and status.alive(time.time()):
        return "running"
    if needed:
        return "needed"
    if spec is None:  # killed before run.json, or half removed: nothing to resume
        return "obsolete"
    return "resumable" if spec.parent == current else "obsolete"  # a run on another snapshot is never resumed


def _is_part(key: str) -> bool:
    """Whether a key is a part, or the temporary file of a writer that was killed."""
    return key.split("/")[2:3] == ["parts"]
