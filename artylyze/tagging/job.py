"""Tag a collection: plan, validate, run. From a source and a model to a snapshot that covers every image once."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Protocol, TypeVar

import numpy as np

from artylyze import __version__
from artylyze.catalog.parts import Receipt, read_receipts
from artylyze.catalog.plan import Shard, known_sizes, plan_shards, shard_size
from artylyze.catalog.run import (
    Lease,
    RunSpec,
    probe_conditional,
    read_success,
    run_id_of,
    run_store,
    write_spec,
    write_success,
)
from artylyze.catalog.snapshot import Part, Snapshot, read_snapshot, write_snapshot
from artylyze.catalog.update import plan_changes
from artylyze.collection import is_table, scan
from artylyze.errors import ErrorCode, ImageError, InputError, StorageError, TooManyErrorsError, UsageError
from artylyze.manifest import Manifest, looks_like_manifest, open_manifest, open_rows, read_rows, write_manifest
from artylyze.models.bundle import Bundle
from artylyze.models.resolve import resolve_model
from artylyze.models.runtimes import resolve_precision
from artylyze.storage import Store, fetch, is_url, open_store
from artylyze.tagging.shard import ShardSettings

T = TypeVar("T")

OUTPUT_VERSION = 1
"""Part of every run's id. Raise it when the same image and model would give another row, to tag anew."""

MOST_IN_A_SHARD = 65_536
"""Images that `--shard-size` may ask for: their embeddings must fit a list of 32-bit offsets."""

PROBE_IMAGES = 12
"""Images across the collection that are fetched before a run, to tell storage that refuses from images that fail."""


@dataclass(frozen=True)
class TagRequest:
    """What the user asks of `artylyze tag`.

    Attributes:
        source: a collection or a manifest; None only to retry what failed.
        output: address of the catalog.
        model: a bundle's folder, `timm:NAME`, or None for the default.
        device: `auto`, `cpu` or `cuda`.
        shard_size: images in a shard, None to choose.
        top_k: terms kept for each task.
        max_error_rate: share of the images that may fail before the exit code says so, 0 to 1.
        limit: tag only that many images, None for all.
        update: tag only what is new or changed since the snapshot.
        retry_failed: tag again what failed for a reason that can pass.
        workers: actors that hold the model, None for one per GPU or core.
        readers: actors that fetch and decode for GPUs, None for one per core.
        separate: three stages instead of a fused one, None for what the device asks for.
        weights: file of weights for `timm:NAME`.
        deadline: seconds that one image may take to decode.
    """

    source: str | None
    output: str
    model: str | None = None
    device: str = "auto"
    shard_size: int | None = None
    top_k: int = 5
    max_error_rate: float = 0.05
    limit: int | None = None
    update: bool = False
    retry_failed: bool = False
    workers: int | None = None
    readers: int | None = None
    separate: bool | None = None
    weights: str | None = None
    deadline: float = 60.0

    def __post_init__(self) -> None:
        for name in ("shard_size", "top_k", "limit", "workers", "readers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1.")
        if (self.shard_size or 0) > MOST_IN_A_SHARD:
            raise UsageError(f"--shard-size is at most {MOST_IN_A_SHARD:,}.")
        if not 0 <= self.max_error_rate <= 1:
            raise UsageError("--max-error-rate is a share between 0 and 1.")
        if self.source is None and (self.update or not self.retry_failed):
            raise UsageError("Give a SOURCE: a folder, an s3:// address, a table with a uri column, or a manifest.")
        if self.limit is not None and (self.update or self.retry_failed):
            raise UsageError("--limit starts a new catalog: it goes with neither --update nor --retry-failed.")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError("--device is one of auto, cpu, cuda.")

    @property
    def operation(self) -> str:
        """What a run of this request is called."""
        return "update" if self.update else "retry-failed" if self.retry_failed else "tag"


@dataclass(frozen=True)
class Plan:
    """A run that is ready to be driven.

    Attributes:
        spec: what the run was asked.
        bundle: the model.
        kept: parts of the parent snapshot that stay.
        manifest: the run's rows.
        copied: rows of it that are copied from the parent.
    """

    spec: RunSpec
    bundle: Bundle
    kept: tuple[Part, ...]
    manifest: Manifest
    copied: int


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the whole snapshot, and rows of this run committed now (tagged or copied) and before."""

    run_id: str
    snapshot: Snapshot
    committed: int
    resumed: int
    seconds: float


class Watcher(Protocol):
    """Who wants to know how a run goes."""

    def say(self, message: str) -> None:
        """Take one sentence."""

    def start(self, rows: int, done: int) -> None:
        """Take the number of images, and how many of them an earlier attempt committed."""

    def advance(self, rows: int, errors: int) -> None:
        """Take what was committed now."""


def run(request: TagRequest, watcher: Watcher) -> Outcome:
    """Tag a collection and return how it ended.

    Raises:
        ArtylyzeError: anything that stops a run; the same command resumes it.
    """
    check(request)
    conditional = probe_conditional(open_store(request.output))
    with TemporaryDirectory(prefix="artylyze-") as folder:
        planned = _in_background(plan, request, watcher, folder)  # Ray needs seconds to start
        from artylyze.tagging.pipeline import connect

        if planned.done():
            planned.result()  # a mistake that was found while Ray was imported is told before Ray starts
        logs = connect()
        prepared = planned.result()
        if prepared is None:
            snapshot = read_snapshot(request.output)
            watcher.say("Nothing has changed: the catalog is up to date.")
            return Outcome(snapshot.run_id, snapshot, 0, 0, 0.0)
        watcher.say(f"Ray's own logs: {logs}")
        return drive(request, prepared, watcher, conditional=conditional)


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


def judge(request: TagRequest, outcome: Outcome) -> None:
    """Raise TooManyErrorsError if more images of the catalog failed than the user allowed."""
    rows, failed = outcome.snapshot.rows, outcome.snapshot.rows - outcome.snapshot.ok
    if failed > request.max_error_rate * rows:
        raise TooManyErrorsError(
            f"The catalog is complete, but {failed:,} of {rows:,} images failed, more than --max-error-rate "
            f"{request.max_error_rate:g} allows. See `artylyze failures {request.output}`."
        )


def check(request: TagRequest) -> None:
    """Refuse what can be refused at once, before anything slow begins."""
    if request.source is not None and not is_url(request.source) and not Path(request.source).exists():
        raise InputError(f"There is no folder or file {request.source}.")
    if request.source is not None and Path(request.source).is_file() and not is_table(request.source):
        raise InputError(f"{request.source} is a file: give a folder, or a .csv or .parquet table of addresses.")
    if request.operation != "tag":
        read_snapshot(request.output)


def plan(request: TagRequest, watcher: Watcher, folder: str) -> Plan | None:
    """Resolve the model, make the run's manifest in `folder`, cut it into shards; None if there is nothing to do."""
    bundle = resolve_model(request.model, weights=request.weights)
    target = f"{folder}/manifest.parquet"
    if request.operation == "retry-failed":
        return _plan_changes(request, bundle, None, target)
    source = _manifest(str(request.source), f"{folder}/scanned.parquet", watcher)
    if request.operation == "tag":
        return _plan_whole(request, bundle, _first_rows(source, target, request.limit))
    return _plan_changes(request, bundle, source, target)


def is_manifest(source: str) -> bool:
    """Tell a manifest from a collection."""
    return source.lower().endswith(".parquet") and is_table(source) and looks_like_manifest(source)


def _manifest(source: str, target: str, watcher: Watcher) -> str:
    """Return the address of the source's manifest, made by a scan unless it is one."""
    if is_manifest(source):
        return source
    report = scan(source, target)
    watcher.say(f"Found {report.images:,} images ({report.passed_over:,} other files passed over).")
    return target


def _first_rows(source: str, target: str, limit: int | None) -> Manifest:
    if limit is not None:
        with open_rows(source) as file:
            rows = read_rows(file, 0, min(limit, file.metadata.num_rows))
        write_manifest(rows.to_batches(), rows.schema, target)
        source = target
    manifest = open_manifest(source)
    if not manifest.rows:
        raise InputError(f"{source} holds no images.")
    return manifest


def _plan_whole(request: TagRequest, bundle: Bundle, manifest: Manifest) -> Plan:
    size = _shard_size(request, bundle, manifest.rows)
    shards = plan_shards(manifest.sizes, size, workers=None if request.shard_size else _workers(request))
    spec = _spec(request, bundle, manifest, shards, None)
    return Plan(spec, bundle, (), manifest, copied=0)


def _shard_size(request: TagRequest, bundle: Bundle, rows: int) -> int:
    return request.shard_size or shard_size(rows, _workers(request), bundle.preprocessing.size)


def _workers(request: TagRequest) -> int:
    return max(request.workers or 0, request.readers or 0) or os.cpu_count() or 1


def _plan_changes(request: TagRequest, bundle: Bundle, source: str | None, path: str) -> Plan | None:
    snapshot = read_snapshot(request.output)
    if snapshot.model_id != bundle.model_id:
        raise InputError(
            f"The catalog {request.output} was made by model {snapshot.model_id[:12]}, this is {bundle.model_id[:12]}. "
            "Give the same --model, or leave --update away to tag the whole collection anew."
        )
    if snapshot.settings.get("top_k") != request.top_k and bundle.tasks:
        raise InputError(f"The catalog {request.output} keeps --top-k {snapshot.settings.get('top_k')}: give the same.")
    changes = plan_changes(
        request.output,
        snapshot,
        source,
        path,
        size=lambda rows: _shard_size(request, bundle, rows),
        retry_failed=request.retry_failed,
    )
    if not changes.shards and len(changes.kept) == len(snapshot.parts):
        return None
    manifest = open_manifest(path, ordered=False)
    spec = _spec(request, bundle, manifest, changes.shards, snapshot.run_id)
    return Plan(spec, bundle, changes.kept, manifest, changes.copied)


def _spec(
    request: TagRequest, bundle: Bundle, manifest: Manifest, shards: Sequence[Shard], parent: str | None
) -> RunSpec:
    asked = {"top_k": request.top_k, "device": request.device}
    decides = {
        "manifest": manifest.digest,
        "model": bundle.model_id,
        "settings": asked,
        "parent": parent,
        "operation": request.operation,
        "output_version": OUTPUT_VERSION,
    }
    run_id = run_id_of(**decides)
    if request.operation == "retry-failed":
        # A retry that is complete, after the snapshot it was made for has been made again, is to be tried again.
        attempts = (run_id_of(**decides, attempt=attempt) for attempt in count(1))
        while read_success(run_store(request.output, run_id)) is not None:
            run_id = next(attempts)
    packages = ("ray", "torch", "timm", "onnxruntime", "pillow", "pyarrow")
    return RunSpec(
        run_id=run_id,
        operation=request.operation,
        parent=parent,
        model_id=bundle.model_id,
        tasks=tuple(task.name for task in bundle.tasks),
        dim=bundle.embedding_dim,
        settings=asked,
        device=request.device,
        precision="auto",
        versions={"artylyze": __version__} | {package: version(package) for package in packages},
        manifest_digest=manifest.digest,
        shards=tuple(shards),
    )


def _freeze(store: Store, manifest: Manifest) -> None:
    """Copy the manifest into the run's folder, where workers read it."""
    if store.version("manifest.parquet") is not None:
        return
    if is_url(manifest.url):
        with open_rows(manifest.url) as file, TemporaryDirectory(prefix="artylyze-") as temporary:
            write_manifest(file.iter_batches(), file.schema_arrow, f"{temporary}/manifest.parquet")
            store.upload("manifest.parquet", Path(temporary, "manifest.parquet"))
    else:
        store.upload("manifest.parquet", Path(manifest.url))


def drive(request: TagRequest, plan: Plan, watcher: Watcher, *, conditional: bool) -> Outcome:
    """Tag the shards that are not committed yet, and publish the snapshot."""
    from artylyze.tagging.pipeline import choose_workers, tag_shards

    began = monotonic()
    store = run_store(request.output, plan.spec.run_id)
    replaces = open_store(request.output).version("catalog.json")
    with Lease(store, plan.spec.rows, conditional=conditional) as lease:
        _freeze(store, plan.manifest)
        spec = write_spec(store, _resolved(plan.spec))
        there = read_receipts(store, spec.run_id, spec.shards)
        resumed = sum(receipt.rows for receipt in there.values())
        weights = _weights(plan.manifest, spec.shards)
        pending = [shard for shard in spec.shards if shard.index not in there]
        if pending:
            settings = _settings(request, plan, spec, conditional=conditional)
            pending.sort(key=lambda shard: -weights[shard.index])
            settings = replace(settings, canary=probe_images(settings.manifest, plan.manifest.rows))
            watcher.start(spec.rows, resumed)
            workers = choose_workers(spec, request.workers, request.readers, separate=request.separate)
            receipts = tag_shards(settings, plan.bundle, pending, workers)
            _follow(receipts, lease, list(there.values()), watcher)
            there |= read_receipts(store, spec.run_id, pending)
        else:
            watcher.say(f"The run {spec.run_id} is complete already: every image of it is committed.")
        if lease.lost is not None:
            raise StorageError(lease.lost)
        snapshot = _publish(request, plan, spec, store, there)
        write_snapshot(request.output, snapshot, replaces=replaces, conditional=conditional)
        lease.update(state="done")
    return Outcome(spec.run_id, snapshot, spec.rows - resumed, resumed, monotonic() - began)


def _weights(manifest: Manifest, shards: Sequence[Shard]) -> list[int]:
    """Return each shard's bytes of source: the largest are tagged first, so that all workers end together."""
    ends = np.concatenate([[0], np.cumsum(known_sizes(manifest.sizes) + 1)])
    return [int(ends[shard.stop] - ends[shard.start]) for shard in shards]


def _resolved(spec: RunSpec) -> RunSpec:
    from artylyze.tagging.pipeline import cluster_device

    device = cluster_device(spec.device)
    return replace(spec, device=device, precision=resolve_precision("auto", device))


def _settings(request: TagRequest, plan: Plan, spec: RunSpec, *, conditional: bool) -> ShardSettings:
    return ShardSettings(
        catalog=request.output if is_url(request.output) else str(Path(request.output).absolute()),
        run_id=spec.run_id,
        model_id=spec.model_id,
        tasks=plan.bundle.tasks,
        size=plan.bundle.preprocessing.size,
        top_k=request.top_k,
        conditional=conditional,
        deadline=request.deadline,
    )


def _follow(receipts: Iterable[Receipt], lease: Lease, there: Sequence[Receipt], watcher: Watcher) -> None:
    """Pass on what workers commit: to the heartbeat, and to whoever watches."""
    errors = sum((Counter(receipt.errors) for receipt in there), Counter())
    done, ok, now = sum(r.rows for r in there), sum(r.ok for r in there), 0
    began = monotonic()
    for receipt in receipts:
        if lease.lost is not None:
            raise StorageError(lease.lost)
        errors.update(receipt.errors)
        done, ok, now = done + receipt.rows, ok + receipt.ok, now + receipt.rows
        lease.update(
            done=done, ok=ok, errors=dict(errors), images_per_second=round(now / max(1e-9, monotonic() - began), 2)
        )
        watcher.advance(receipt.rows, receipt.rows - receipt.ok)


def _publish(request: TagRequest, plan: Plan, spec: RunSpec, store: Store, there: Mapping[int, Receipt]) -> Snapshot:
    """Write _SUCCESS.json from what is stored, and return the snapshot that follows."""
    missing = [shard.index for shard in spec.shards if shard.index not in there]
    if missing:
        raise StorageError(
            f"{len(missing)} parts of the run {store.url} are not there after it. Run the same command again."
        )
    receipts = [there[shard.index] for shard in spec.shards]
    new = tuple(Part(f"runs/{spec.run_id}/{one.key}", one.rows, one.ok, one.errors) for one in receipts)
    snapshot = Snapshot(
        run_id=spec.run_id,
        operation=spec.operation,
        model_id=spec.model_id,
        tasks=spec.tasks,
        dim=spec.dim,
        settings=spec.settings,
        parts=(*plan.kept, *new),
    )
    if spec.parent is not None and read_snapshot(request.output).run_id not in (spec.parent, spec.run_id):
        raise StorageError(f"Another run has replaced the snapshot of {request.output} meanwhile. Run --update again.")
    own = replace(snapshot, parts=new)
    write_success(store, {"run_id": spec.run_id, "rows": own.rows, "ok": own.ok, "errors": own.errors})
    return snapshot


def probe_images(manifest: str, rows: int) -> str:
    """Ask for a few images across the collection, without reading them; return the address of one that is there.

    Raises:
        StorageError: if none of them can be had.
    """
    chosen = sorted({int(row) for row in np.linspace(0, rows - 1, PROBE_IMAGES)})
    with open_rows(manifest) as file:
        picked = [read_rows(file, row, row + 1) for row in chosen]
    uris = [str(row.column("uri")[0].as_py()) for row in picked]
    refused: list[ImageError] = []
    with ThreadPoolExecutor(PROBE_IMAGES) as pool:
        for uri, error in zip(uris, pool.map(_try, uris), strict=True):
            if error is None or error.code not in (ErrorCode.MISSING, ErrorCode.DENIED, ErrorCode.UNREACHABLE):
                return uri
            refused.append(error)
    raise StorageError(
        f"None of the {len(uris)} images that were tried can be had, {uris[0]} for one ({refused[0].detail}). "
        "Check that the collection is where it was, credentials, permissions and the endpoint; nothing was written."
    )


def _try(uri: str) -> ImageError | None:
    try:
        fetch(uri, max_bytes=0)
    except ImageError as error:
        return error
    return None
