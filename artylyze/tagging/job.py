"""Tag a collection: plan, validate, run. From a source and a model to a snapshot that covers every image once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from artylyze.catalog.parts import Receipt, read_receipts
from artylyze.catalog.plan import Shard, known_sizes
from artylyze.catalog.run import (
    Lease,
    RunSpec,
    probe_conditional,
    read_spec,
    run_store,
    write_spec,
    write_success,
)
from artylyze.catalog.snapshot import Part, Snapshot, read_snapshot, write_snapshot
from artylyze.catalog.takeover import read_base, write_base
from artylyze.collection.manifest import Manifest, copy_manifest, open_manifest, open_rows, read_rows
from artylyze.errors import ErrorCode, ImageError, StorageError, TooManyErrorsError
from artylyze.models.runtimes import resolve_precision
from artylyze.models.scores import NONE
from artylyze.progress import Watcher
from artylyze.ray_session import cluster_address
from artylyze.storage import Store, fetch, is_url, open_store
from artylyze.tagging.engine import Engine, choose_engine, describe_start
from artylyze.tagging.planning import Plan, check, nothing_to_do, plan
from artylyze.tagging.request import TagRequest
from artylyze.tagging.shard import ShardSettings, rows_to_read
from artylyze.tagging.stages import describe as describe_stages
from artylyze.wording import counted

T = TypeVar("T")

PROBE_IMAGES = 12
"""Images across the collection that are fetched before a run, to tell storage that refuses from images that fail."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the whole snapshot, and rows of this run committed now (tagged or copied) and before."""

    run_id: str
    snapshot: Snapshot
    committed: int
    resumed: int
    seconds: float


def run(request: TagRequest, watcher: Watcher) -> Outcome:
    """Tag a collection and return how it ended.

    Raises:
        ArtylyzeError: anything that stops a run; the same command resumes it.
    """
    check(request)
    conditional = probe_conditional(open_store(request.output))
    source = request.source or request.output
    local = choose_engine(request.engine, watcher) == "local"
    starting = "loading the model" if local else f"loading the model, and {_starting_ray()}"
    watcher.say(f"Reading what there is in {source}, {starting} ...")
    with TemporaryDirectory(prefix="artylyze-") as folder:
        engine, prepared = (_plan_here if local else _plan_and_connect)(request, watcher, folder)
        if prepared is None:
            snapshot = read_snapshot(request.output)
            watcher.say(nothing_to_do(request))
            return Outcome(snapshot.run_id, snapshot, 0, 0, 0.0)
        return drive(request, prepared, engine, watcher, conditional=conditional)


def _plan_here(request: TagRequest, watcher: Watcher, folder: str) -> tuple[Engine, Plan | None]:
    from artylyze.tagging.local_engine import LocalEngine

    return LocalEngine(), plan(request, watcher, folder)


def _plan_and_connect(request: TagRequest, watcher: Watcher, folder: str) -> tuple[Engine, Plan | None]:
    """Plan while Ray starts, which needs seconds."""
    planned = _in_background(plan, request, watcher, folder)
    from artylyze.tagging.ray_engine import RayEngine

    if planned.done():
        planned.result()  # an error in the plan is raised before Ray starts
    engine = RayEngine(watcher.say)
    prepared = planned.result()
    if prepared is not None:
        watcher.say(f"Ray's own logs: {engine.logs}")
    return engine, prepared


def _starting_ray() -> str:
    address = cluster_address()
    return f"joining the Ray cluster {address}" if address else "starting Ray on this machine"


def _in_background(call: Callable[..., T], *arguments: Any) -> Future[T]:
    """Call in a thread that does not keep the process from ending, as those of an executor would."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call(*arguments))
        except BaseException as error:  # whoever waits for the result gets it
            future.set_exception(error)

    threading.Thread(target=work, name="artylyze-plan", daemon=True).start()
    return future


def describe(request: TagRequest, outcome: Outcome) -> str:
    """Return how a run ended in words, and what to do next."""
    snapshot, catalog = outcome.snapshot, request.output
    failed = snapshot.rows - snapshot.ok
    rows = f"The catalog {catalog} has {counted(snapshot.rows, 'row')}, one for each image"
    if failed:
        reasons = ", ".join(f"{count:,} {code}" for code, count in snapshot.errors.items())
        lines = [f"{rows}: {snapshot.ok:,} tagged, {failed:,} that could not be read ({reasons})."]
    else:
        lines = [f"{rows}, all of them tagged."]
    if snapshot.warnings:
        lines.append(f"Of the tagged, {counted(snapshot.warnings, 'image')} had warnings: see the column `warnings`.")
    if snapshot.outside is not None:
        lines.append(
            f"Outside what the model knows: {snapshot.outside:,} of {snapshot.ok:,}"
            + (f", which are tagged `{NONE}`." if snapshot.outside else ".")
        )
    following = [
        *([(f"artylyze failures {catalog}", "which images could not be read, and why")] if failed else []),
        *(
            [(f"artylyze failures {catalog} --warnings", "which tags deserve a look, and why")]
            if snapshot.warnings
            else []
        ),
        (f"artylyze report {catalog} -o report.html", "a page with pictures and tags, to open in a browser"),
        (f"artylyze cluster {catalog} -o clusters", "groups of works that look alike"),
    ]
    wide = max(len(command) for command, _ in following)
    return "\n".join([*lines, "Next:", *(f"  {command:<{wide}}  {what}" for command, what in following)])


def check_error_rate(request: TagRequest, outcome: Outcome) -> None:
    """Raise TooManyErrorsError if more images of the catalog failed than the user allowed."""
    rows, failed = outcome.snapshot.rows, outcome.snapshot.rows - outcome.snapshot.ok
    if failed > request.max_error_rate * rows:
        raise TooManyErrorsError(
            f"The catalog is complete, but {failed:,} of {rows:,} images failed, more than `max_error_rate` "
            f"{request.max_error_rate:g} allows. See `artylyze failures {request.output}`."
        )


def _freeze(store: Store, plan: Plan, engine: Engine) -> Plan:
    """Write the plan into the run's folder, where workers read its manifest; return what is there if it was begun.

    run.json comes last: without it what lies there is of a plan that nobody followed, and is written anew.
    """
    begun = read_spec(store)
    if begun is None:
        copy_manifest(plan.manifest.url, f"{store.url}/manifest.parquet")
        write_base(store, plan.base)
        return replace(plan, spec=write_spec(store, _resolved(plan.spec, engine)))
    manifest = plan.manifest
    if manifest.digest != begun.manifest_digest:
        manifest = open_manifest(store.uri("manifest.parquet"), ordered=False)
    return replace(plan, spec=begun, manifest=manifest, base=read_base(store))


def drive(request: TagRequest, plan: Plan, engine: Engine, watcher: Watcher, *, conditional: bool) -> Outcome:
    """Tag the shards that are not committed yet, and publish the snapshot."""
    began = monotonic()
    store = run_store(request.output, plan.spec.run_id)
    replaces = open_store(request.output).version("catalog.json")
    with Lease(store, plan.spec.rows, conditional=conditional) as lease:
        plan = _freeze(store, plan, engine)
        spec = plan.spec
        there = read_receipts(store, spec.run_id, spec.shards)
        resumed = sum(receipt.rows for receipt in there.values())
        weights = _weights(plan.manifest, spec.shards)
        pending = [shard for shard in spec.shards if shard.index not in there]
        if pending:
            settings = _settings(request, plan, spec, conditional=conditional)
            pending.sort(key=lambda shard: -weights[shard.index])
            settings = replace(settings, canary=probe_images(settings.manifest))
            workers = engine.choose_workers(spec, request.workers, request.readers, request.separate)
            watcher.say(
                f"Tagging {counted(spec.rows - resumed, 'image')} in {counted(len(pending), 'shard')}: "
                f"{describe_start(workers, len(pending))}; each loads the model ..."
            )
            watcher.start(spec.rows, resumed, "Tagging")
            with closing(engine.tag_shards(settings, plan.bundle, pending, workers)) as receipts:
                _follow(receipts, lease, list(there.values()), watcher)
            watcher.say(describe_stages(engine.spent))
            there |= read_receipts(store, spec.run_id, pending, committed=True)
        else:
            watcher.say(f"The run {spec.run_id} is complete already: every image of it is committed.")
        lease.check()
        snapshot = _publish(request, plan, spec, store, there, engine)
        write_snapshot(request.output, snapshot, replaces=replaces, conditional=conditional)
        lease.update(state="done")
    return Outcome(spec.run_id, snapshot, spec.rows - resumed, resumed, monotonic() - began)


def _weights(manifest: Manifest, shards: Sequence[Shard]) -> list[int]:
    """Return each shard's bytes of source: the largest are tagged first, so that all workers end together."""
    ends = np.concatenate([[0], np.cumsum(known_sizes(manifest.sizes) + 1)])
    return [int(ends[shard.stop] - ends[shard.start]) for shard in shards]


def _resolved(spec: RunSpec, engine: Engine) -> RunSpec:
    device = engine.resolve_device(spec.device)
    return replace(spec, device=device, precision=resolve_precision("auto", device))


def _settings(request: TagRequest, plan: Plan, spec: RunSpec, *, conditional: bool) -> ShardSettings:
    return ShardSettings(
        catalog=request.output if is_url(request.output) else str(Path(request.output).absolute()),
        run_id=spec.run_id,
        model_id=spec.model_id,
        tasks=plan.bundle.tasks,
        embedding_dim=plan.bundle.embedding_dim,
        outside=plan.bundle.outside,
        size=plan.bundle.preprocessing.size,
        top_k=request.top_k,
        conditional=conditional,
        thumbnails=bool(spec.settings.get("thumbnails")),
        deadline=request.deadline,
        session=uuid4().hex[:12],
    )


def _follow(receipts: Iterable[Receipt], lease: Lease, there: Sequence[Receipt], watcher: Watcher) -> None:
    """Pass on what workers commit: to the heartbeat, and to whoever watches."""
    errors = sum((Counter(receipt.errors) for receipt in there), Counter())
    done, ok, now = sum(r.rows for r in there), sum(r.ok for r in there), 0
    began = monotonic()
    for receipt in receipts:
        lease.check()
        errors.update(receipt.errors)
        done, ok, now = done + receipt.rows, ok + receipt.ok, now + receipt.rows
        lease.update(
            done=done, ok=ok, errors=dict(errors), images_per_second=round(now / max(1e-9, monotonic() - began), 2)
        )
        watcher.advance(receipt.rows, receipt.rows - receipt.ok)


def _publish(
    request: TagRequest, plan: Plan, spec: RunSpec, store: Store, there: Mapping[int, Receipt], engine: Engine
) -> Snapshot:
    """Write _SUCCESS.json from what is stored, and return the snapshot that follows."""
    receipts = [there[shard.index] for shard in spec.shards]
    new = tuple(Part.committed(spec.run_id, receipt) for receipt in receipts)
    snapshot = Snapshot(
        run_id=spec.run_id,
        operation=spec.operation,
        model_id=spec.model_id,
        tasks=spec.tasks,
        dim=spec.dim,
        settings=spec.settings,
        parts=(*plan.base.kept, *new),
    )
    if spec.parent is not None and read_snapshot(request.output).run_id not in (spec.parent, spec.run_id):
        raise StorageError(
            f"Another run has replaced the snapshot of {request.output} since. Run the same command again."
        )
    own = replace(snapshot, parts=new)
    write_success(
        store,
        {
            "run_id": spec.run_id,
            "rows": own.rows,
            "ok": own.ok,
            "errors": own.errors,
            "outside": own.outside,
            "stages": engine.spent.as_dict(),
        },
    )
    return snapshot


def probe_images(manifest: str) -> str | None:
    """Ask for a few images of a run, without reading them; return the address of one that is there.

    First for images that it will read; where none of those can be had, as when the images that failed are tried again
    and still are not there, for some that it copies from an earlier run. None where it reads none, as an update that
    only drops images does.

    Raises:
        StorageError: if none of them can be had.
    """
    with open_rows(manifest) as file:
        read = rows_to_read(file)
        if not len(read):
            return None
        copied = np.setdiff1d(np.arange(file.metadata.num_rows), read)
        uris, others = _some_uris(file, read), _some_uris(file, copied)
    found, refused = _first_there(uris)
    if found is None:
        found, _ = _first_there(others)
    if found is None:
        raise StorageError(
            f"None of the {len(uris)} images that were tried can be had, {uris[0]} for one ({refused[0].detail}). "
            "Check that the collection is where it was, credentials, permissions and the endpoint; no image was read."
        )
    return found


def _some_uris(file: pq.ParquetFile, rows: NDArray[np.int64]) -> list[str]:
    """The addresses of PROBE_IMAGES images across those rows of a manifest, or fewer."""
    if not len(rows):
        return []
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, PROBE_IMAGES).astype(int))].tolist()
    return [str(read_rows(file, row, row + 1).column("uri")[0].as_py()) for row in chosen]


def _first_there(uris: Sequence[str]) -> tuple[str | None, list[ImageError]]:
    """The first image that storage does not refuse, and why it refused those before."""
    refused: list[ImageError] = []
    with ThreadPoolExecutor(PROBE_IMAGES) as pool:
        for uri, error in zip(uris, pool.map(_try, uris), strict=True):
            if error is None or error.code not in (ErrorCode.MISSING, ErrorCode.DENIED, ErrorCode.UNREACHABLE):
                return uri, refused
            refused.append(error)
    return None, refused


def _try(uri: str) -> ImageError | None:
    try:
        fetch(uri, max_bytes=0)
    except ImageError as error:
        return error
    return None
