"""The progress of a catalog's runs, counted from the storage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from artylyze.catalog.run import read_spec, read_status, read_success, run_store
from artylyze.catalog.snapshot import read_snapshot
from artylyze.errors import InputError
from artylyze.storage import open_store
from artylyze.storage.nearest import did_you_mean


@dataclass(frozen=True)
class RunState:
    """One run of a catalog.

    Attributes:
        run_id: of the run.
        operation: `tag`, `update`, `retry-failed` or `replace`.
        state: `done`, `running`, `dead` (its heartbeat has stopped), `interrupted` or `failed`.
        rows: images that it writes.
        committed: images in committed parts, counted now.
        parts: committed parts.
        shards: parts in the plan.
        ok: images with an embedding, as of the last heartbeat.
        errors: images without one, by error code, as of the last heartbeat.
        outside: images outside what the model knows, of a run that is done; None if the model does not tell.
        images_per_second: of its last attempt.
        seconds_since_heartbeat: None if there was none.
        current: whether this run wrote the catalog's snapshot.
    """

    run_id: str
    operation: str
    state: str
    rows: int
    committed: int
    parts: int
    shards: int
    ok: int
    errors: dict[str, int]
    outside: int | None
    images_per_second: float | None
    seconds_since_heartbeat: float | None
    current: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def run_states(catalog: str) -> list[RunState]:
    """Return every run of a catalog; raise InputError if there is none."""
    store = open_store(catalog)
    keys = [entry.key for entry in store.list("runs/")]
    ids = sorted({key.split("/")[1] for key in keys if key.endswith("/run.json")})
    if not ids:
        raise InputError(f"There is no catalog in {catalog}: no run was started there.{did_you_mean(catalog)}")
    current = read_snapshot(catalog).run_id if store.version("catalog.json") is not None else None
    return [_state(catalog, run_id, keys, current) for run_id in ids]


def describe(catalog: str, states: Sequence[RunState]) -> str:
    """Return the progress of the runs in words."""
    lines = [f"Catalog {catalog}"]
    for state in states:
        mark = "  (the catalog's snapshot)" if state.current else ""
        lines.append(f"  {state.operation} {state.run_id}: {state.state}{mark}")
        lines.append(f"    {state.committed:,} of {state.rows:,} images in {state.parts:,} of {state.shards:,} parts")
        if state.errors:
            lines.append("    failed: " + ", ".join(f"{count:,} {code}" for code, count in state.errors.items()))
        if state.outside is not None:
            lines.append(f"    outside what the model knows: {state.outside:,} of {state.ok:,}")
        if state.state == "running":
            lines.append(
                f"    {state.images_per_second or 0:,.1f} images/s, heartbeat {state.seconds_since_heartbeat:.0f} s ago"
            )
        elif state.state == "dead":
            lines.append(
                f"    its process has ended: the last heartbeat was {state.seconds_since_heartbeat:,.0f} s ago. "
                "The same command resumes it."
            )
    if not any(state.current for state in states):
        lines.append("  There is no complete catalog yet.")
    return "\n".join(lines)


def _state(catalog: str, run_id: str, keys: Sequence[str], current: str | None) -> RunState:
    store = run_store(catalog, run_id)
    spec, status, success = read_spec(store), read_status(store), read_success(store)
    if spec is None:
        raise InputError(f"{store.url}/run.json is missing. Move the run's folder away.")
    there = set(keys)
    committed = [shard for shard in spec.shards if f"runs/{run_id}/{shard.key}" in there]
    since = None if status is None else max(0.0, time.time() - status.heartbeat)
    if success is not None:
        state = "done"
    elif status is None:
        state = "interrupted"
    elif status.state == "running":
        state = "running" if status.alive(time.time()) else "dead"
    else:
        state = status.state
    return RunState(
        run_id=run_id,
        operation=spec.operation,
        state=state,
        rows=spec.rows,
        committed=sum(shard.rows for shard in committed),
        parts=len(committed),
        shards=len(spec.shards),
        ok=success["ok"] if success else status.ok if status else 0,
        errors=dict((success or {}).get("errors") or (status.errors if status else None) or {}),
        outside=(success or {}).get("outside"),
        images_per_second=status.images_per_second if status else None,
        seconds_since_heartbeat=None if since is None else round(since, 1),
        current=run_id == current,
    )
