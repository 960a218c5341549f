"""What interrupted runs have committed: rows that a later run takes over instead of reading the images again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

from artylyze.catalog.parts import read_receipts
from artylyze.catalog.run import RunSpec, read_spec, read_status, run_store
from artylyze.catalog.snapshot import Part
from artylyze.errors import InputError
from artylyze.storage import Store, open_store

_BASE = "base.json"


@dataclass(frozen=True)
class Base:
    """What a run builds on, frozen with its plan in `base.json`, which is absent if it builds on nothing.

    Attributes:
        kept: parts of earlier runs that its snapshot lists unchanged.
        copied: rows of its manifest that are copied from earlier parts.
        considered: number of parts that each interrupted run had committed when this run was planned, by run id.
    """

    kept: tuple[Part, ...] = ()
    copied: int = 0
    considered: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Unpublished:
    """A run whose snapshot was not published: interrupted, or in progress.

    Attributes:
        spec: of the run.
        shards: number of its committed parts.
        considered: number of interrupted runs that its own plan took over from.
        driver: the process that executes it, None for an interrupted run.
    """

    spec: RunSpec
    shards: int
    considered: int
    driver: str | None


def read_base(store: Store) -> Base:
    """Read base.json; an empty Base if there is none. Raises InputError if it cannot be read."""
    data = store.read(_BASE)
    if data is None:
        return Base()
    try:
        values = json.loads(data)
        parts = tuple(map(Part.from_json, values["kept"]))
        return Base(parts, int(values["copied"]), dict(values["considered"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{store.url}/{_BASE} cannot be read ({error}). Move the run's folder away.") from error


def write_base(store: Store, base: Base) -> None:
    """Write base.json, unless the run builds on nothing and an interrupted attempt left none to replace."""
    if base != Base() or store.version(_BASE) is not None:
        store.put(_BASE, (json.dumps(asdict(base), ensure_ascii=False) + "\n").encode())


def unpublished_runs(catalog: str, parent: str | None) -> list[Unpublished]:
    """Return the unpublished runs on top of a snapshot, those whose rows are preferred first.

    A run that took over from another comes before it; then the one that committed more. Without a snapshot, runs that
    were once published count too: nothing lists their parts now.

    Args:
        catalog: address of the catalog.
        parent: run id of its snapshot, None if there is none yet.

    Raises:
        InputError: if a run.json cannot be read.
    """
    keys = {entry.key for entry in open_store(catalog).list("runs/")}
    ids = sorted({key.split("/")[1] for key in keys if key.endswith("/run.json") and key.count("/") == 2})
    with ThreadPoolExecutor(16) as pool:
        specs = list(pool.map(lambda run_id: read_spec(run_store(catalog, run_id)), ids))
        siblings = [spec for spec in specs if spec is not None and spec.parent == parent]
        runs = [run for run in pool.map(lambda spec: _unpublished(catalog, spec, keys), siblings) if run is not None]
    return sorted(runs, key=lambda run: (-run.considered, -run.shards, run.spec.run_id))


def _unpublished(catalog: str, spec: RunSpec, keys: AbstractSet[str]) -> Unpublished | None:
    store, folder = run_store(catalog, spec.run_id), f"runs/{spec.run_id}"
    if spec.parent is not None and published(store, complete=f"{folder}/_SUCCESS.json" in keys):
        return None
    status = read_status(store)
    driver = status.process if status is not None and status.alive(time.time()) else None
    shards = sum(f"{folder}/{shard.key}" in keys for shard in spec.shards)
    considered = len(read_base(store).considered) if f"{folder}/{_BASE}" in keys else 0
    return Unpublished(spec, shards, considered, driver)


def published(store: Store, *, complete: bool) -> bool:
    """Whether a complete run has published its snapshot: only then is its last status `done`."""
    if not complete:
        return False
    status = read_status(store)
    return status is None or status.state == "done"


def committed_parts(catalog: str, run: Unpublished) -> tuple[Part, ...]:
    """Return a run's committed parts, from their footers."""
    receipts = read_receipts(run_store(catalog, run.spec.run_id), run.spec.run_id, run.spec.shards)
    return tuple(Part.committed(run.spec.run_id, receipt) for _, receipt in sorted(receipts.items()))


def knows(base: Base, runs: Iterable[Unpublished]) -> bool:
    """Whether a plan took into account everything that these runs have committed."""
    return all(base.considered.get(run.spec.run_id, 0) >= run.shards for run in runs)
