"""Planning a run: the model, the frozen manifest and its shards, under an id that the same command finds again.

A second run over a collection takes over every row that still tells the truth: of the catalog's snapshot, and of runs
that were interrupted. docs/contracts.md, "What a second run promises".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

from artylyze import __version__
from artylyze.catalog.plan import Shard, plan_shards, shard_size
from artylyze.catalog.run import DEAD_AFTER, RunSpec, make_run_id, read_spec, read_success, run_store
from artylyze.catalog.snapshot import Snapshot, read_snapshot
from artylyze.catalog.takeover import (
    Base,
    Unpublished,
    committed_parts,
    knows,
    published,
    read_base,
    unpublished_runs,
)
from artylyze.catalog.update import Changes, Spare, plan_changes
from artylyze.collection.manifest import (
    Manifest,
    looks_like_manifest,
    open_manifest,
    open_rows,
    read_rows,
    write_manifest,
)
from artylyze.collection.scan import describe, is_table, scan
from artylyze.errors import InputError, StorageError, UsageError
from artylyze.models.bundle import Bundle
from artylyze.models.resolve import resolve_model
from artylyze.progress import Watcher
from artylyze.storage import open_store
from artylyze.storage.nearest import check_there
from artylyze.tagging.request import TagRequest
from artylyze.wording import counted
from artylyze.workers.supervision import cores

OUTPUT_VERSION = 3
"""Part of every run's id. Raise it when the same image and model would give another row, to tag anew."""


@dataclass(frozen=True)
class Plan:
    """A run that is ready to be driven.

    Attributes:
        spec: what the run was asked.
        bundle: the model.
        manifest: the run's rows.
        base: what the run builds on.
    """

    spec: RunSpec
    bundle: Bundle
    manifest: Manifest
    base: Base = field(default_factory=Base)


def check(request: TagRequest) -> None:
    """Refuse what can be refused at once, before anything slow begins."""
    if request.source is not None:
        check_there(request.source)
    if request.source is not None and Path(request.source).is_file() and not is_table(request.source):
        raise InputError(f"{request.source} is a file: give a folder, or a .csv or .parquet table of addresses.")
    if request.update or request.retry_failed:
        read_snapshot(request.output)


def plan(request: TagRequest, watcher: Watcher, folder: str) -> Plan | None:
    """Resolve the model, make the run's manifest in `folder`, cut it into shards; None if there is nothing to do.

    Raises:
        InputError: if the run would drop images of the catalog, or change its model, and was not asked to.
        StorageError: if another process drives a run of this catalog.
    """
    bundle = request.bundle or resolve_model(request.model, weights=request.weights)
    snapshot = _snapshot(request.output)
    if snapshot is not None and not request.replace:
        _refuse_another_model(request, snapshot, bundle)
    source, manifest = None, None
    if request.source is not None:
        source = _manifest(request, f"{folder}/scanned.parquet", watcher)
        manifest = _first_rows(source, f"{folder}/first.parquet", request.limit)
    parent = None if snapshot is None else snapshot.run_id
    whole = _decides(request, bundle, manifest, None)
    if request.operation == "tag" and snapshot is not None and snapshot.run_id == make_run_id(**whole):
        same = read_spec(run_store(request.output, snapshot.run_id))
        if same is not None:
            return _resumed(request, same, bundle, manifest)
    runs = unpublished_runs(request.output, parent)
    decides = _decides(request, bundle, manifest, parent)
    serving = [run for run in runs if run.shards and _serves(run.spec, request, bundle)]
    run_id, begun = _choose_run(request, decides, serving)
    _refuse_beside_another(request.output, [run for run in runs if run.spec.run_id != run_id])
    if begun is not None:
        return _resumed(request, begun, bundle, manifest)
    spare = [run for run in serving if run.spec.run_id != run_id]
    if manifest is not None and not spare and (snapshot is None or request.replace):
        return _plan_whole(request, bundle, manifest, run_id, parent)
    kept = None if request.replace else snapshot
    target = f"{folder}/manifest.parquet"
    changes = plan_changes(
        request.output,
        kept,
        None if manifest is None else manifest.url,
        target,
        size=lambda rows: _shard_size(request, bundle, rows),
        retry_failed=request.retry_failed,
        force=request.force,
        spare=[Spare(committed_parts(request.output, run), _reread(run.spec, request)) for run in spare],
    )
    if kept is not None and changes.removed and request.operation == "tag":
        raise InputError(_would_drop(request, kept, changes.removed))
    if kept is not None and not changes.shards and changes.kept == kept.parts:
        return None
    _tell(request, changes, spare, kept, watcher)
    work = open_manifest(target, ordered=False)
    base = Base(changes.kept, changes.copied, {run.spec.run_id: run.shards for run in spare})
    return Plan(_spec(request, bundle, work, changes.shards, run_id, parent), bundle, work, base)


def nothing_to_do(request: TagRequest) -> str:
    """Say why a request leaves the catalog as it is, when `plan` returned None."""
    if not request.retry_failed:
        state = "up to date" if request.update else "complete already"
        return f"Nothing has changed: the catalog is {state}."
    errors = read_snapshot(request.output).errors
    reasons = ", ".join(f"{number:,} {code}" for code, number in errors.items())
    start = "Nothing has changed, and no" if request.update else "No"
    return f"{start} image failed for a reason that can pass" + (
        f": {reasons}." if reasons else "; none failed at all."
    )


def _snapshot(catalog: str) -> Snapshot | None:
    return None if open_store(catalog).version("catalog.json") is None else read_snapshot(catalog)


def _refuse_another_model(request: TagRequest, snapshot: Snapshot, bundle: Bundle) -> None:
    """Raise InputError if the rows of this request would not be those of the catalog."""
    what = None
    if snapshot.model_id != bundle.model_id:
        what = f"was made by model {snapshot.model_id[:12]}, this is {bundle.model_id[:12]}. Give the same `model`"
    elif bundle.tasks and snapshot.settings.get("top_k") != request.top_k:
        what = f"keeps `top_k={snapshot.settings.get('top_k')}`, this is {request.top_k}. Give the same"
    elif bool(snapshot.settings.get("thumbnails")) != request.thumbnails:
        what = (
            "has no thumbnails. Leave out `thumbnails`" if request.thumbnails else "has thumbnails. Give `thumbnails`"
        )
    if what is not None:
        raise InputError(
            f"The catalog {request.output} with {counted(snapshot.rows, 'image')} {what}, give another `output`, or "
            "`replace` to make the whole catalog anew."
        )


def _would_drop(request: TagRequest, snapshot: Snapshot, removed: int) -> str:
    limited = "" if request.limit is None else f" with `limit={request.limit}`"
    options = "`update` drops what was removed from the collection" if not limited else "Without `limit` it takes all"
    return (
        f"{counted(snapshot.rows, 'image')} {'is' if snapshot.rows == 1 else 'are'} in the catalog {request.output}, "
        f"this run would leave {snapshot.rows - removed:,}: {removed:,} {'is' if removed == 1 else 'are'} not in "
        f"{request.source}{limited}. {options}; `replace` makes the catalog anew from what is there; another `output` "
        "leaves it as it is."
    )


def _choose_run(
    request: TagRequest, decides: Mapping[str, Any], serving: Sequence[Unpublished]
) -> tuple[str, RunSpec | None]:
    """Return the id of this request's run, and what run.json says if that has begun.

    A run is not resumed but followed by another attempt if it was published and the catalog is that of its parent
    again, or if other runs, those in `serving`, have committed rows that its plan does not know of.
    """
    for attempt in count():
        run_id = make_run_id(**decides, **({"attempt": attempt} if attempt else {}))
        store = run_store(request.output, run_id)
        spec = read_spec(store)
        if spec is None:
            return run_id, None
        complete = read_success(store) is not None
        over = complete and decides["parent"] is not None and (request.retry_failed or published(store, complete=True))
        others = [run for run in serving if run.spec.run_id != run_id]
        if not over and (complete or knows(read_base(store), others)):
            return run_id, spec
    raise AssertionError("unreachable: attempts have no end")


def _refuse_beside_another(catalog: str, runs: Iterable[Unpublished]) -> None:
    """Raise StorageError if somebody drives another run of the catalog: only one of two could publish what it did."""
    for run in runs:
        if run.driver is not None:
            raise StorageError(
                f"The {run.spec.operation} run {run.spec.run_id} of {catalog} is in progress ({run.driver}). Wait for "
                f"it or stop it; {DEAD_AFTER:.0f} s after its last heartbeat this command takes over its rows."
            )


def _serves(spec: RunSpec, request: TagRequest, bundle: Bundle) -> bool:
    """Tell whether rows of an interrupted run are those that this request asks for."""
    return (
        spec.model_id == bundle.model_id
        and (not bundle.tasks or spec.settings.get("top_k") == request.top_k)
        and bool(spec.settings.get("thumbnails")) == request.thumbnails
        and spec.settings.get("output_version", 1) == OUTPUT_VERSION
        and (spec.operation == "replace" or not request.replace)
        and (spec.operation == "retry-failed" or request.source is not None)
    )


def _reread(spec: RunSpec, request: TagRequest) -> bool:
    return bool(request.force) and spec.settings.get("force") == list(request.force)


def _resumed(request: TagRequest, spec: RunSpec, bundle: Bundle, manifest: Manifest | None) -> Plan:
    """Return the plan of a run that has begun, as it was frozen."""
    store = run_store(request.output, spec.run_id)
    if manifest is None or manifest.digest != spec.manifest_digest:
        manifest = open_manifest(store.uri("manifest.parquet"), ordered=False)
    return Plan(spec, bundle, manifest, read_base(store))


def _tell(
    request: TagRequest, changes: Changes, spare: Sequence[Unpublished], kept: Snapshot | None, watcher: Watcher
) -> None:
    if changes.taken:
        ids = ", ".join(run.spec.run_id for run in spare)
        watcher.say(
            f"Taking over {counted(changes.taken, 'image')} that {'an ' if len(spare) == 1 else ''}interrupted "
            f"run{'' if len(spare) == 1 else 's'} committed ({ids}); {changes.tagged:,} left to read."
        )
    if kept is not None and request.source is not None:
        again = "changed or tried again" if request.retry_failed else "changed"
        watcher.say(
            f"{counted(kept.rows, 'image')} {'is' if kept.rows == 1 else 'are'} in the catalog already: "
            f"{changes.new:,} new, {changes.tagged - changes.new:,} {again}, {changes.removed:,} removed; "
            f"{counted(changes.copied, 'row')} copied into new parts."
        )
    if request.update and changes.unchecked:
        watcher.say(
            f"Nothing tells of {counted(changes.unchecked, 'image')} whether they have changed since they were read; "
            "`update` with `force=GLOB` reads those again that match."
        )


def is_manifest(source: str) -> bool:
    """Tell a manifest from a collection."""
    return source.lower().endswith(".parquet") and is_table(source) and looks_like_manifest(source)


def _manifest(request: TagRequest, target: str, watcher: Watcher) -> str:
    """Return the address of the source's manifest, made by a scan unless it is one."""
    source, metadata = str(request.source), request.metadata
    if is_manifest(source):
        if request.exclude:
            raise UsageError("A manifest names its images: give `exclude` to `artylyze scan`.")
        return source
    report = scan(
        source,
        target,
        metadata=None if metadata is None else metadata.table,
        id_column=None if metadata is None else metadata.id_column,
        file_column=None if metadata is None else metadata.file_column,
        file_separator=None if metadata is None else metadata.file_separator,
        exclude=request.exclude,
        reading=request.reading if metadata is None else metadata.reading,
    )
    for line in (f"Found {describe(report, None if metadata is None else metadata.table)}", *report.notes):
        watcher.say(line)
    if request.update and report.left_out.unreadable.count:
        raise StorageError(
            f"{' '.join(report.left_out.unreadable_note())} An update would drop their images from the catalog. Make "
            "them readable, or leave them out on purpose with `exclude=NAME`."
        )
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


def _plan_whole(request: TagRequest, bundle: Bundle, manifest: Manifest, run_id: str, parent: str | None) -> Plan:
    size = _shard_size(request, bundle, manifest.rows)
    shards = plan_shards(manifest.sizes, size, workers=None if request.shard_size else _workers(request))
    return Plan(_spec(request, bundle, manifest, shards, run_id, parent), bundle, manifest)


def _shard_size(request: TagRequest, bundle: Bundle, rows: int) -> int:
    return request.shard_size or shard_size(rows, _workers(request), bundle.preprocessing.size)


def _workers(request: TagRequest) -> int:
    return max(request.workers or 0, request.readers or 0) or cores()


def _decides(request: TagRequest, bundle: Bundle, manifest: Manifest | None, parent: str | None) -> dict[str, Any]:
    """Return what decides the rows of a run, for its id."""
    return {
        "manifest": None if manifest is None else manifest.digest,
        "model": bundle.model_id,
        "settings": _asked(request),
        "parent": parent,
        "operation": "update and retry" if request.update and request.retry_failed else request.operation,
        "output_version": OUTPUT_VERSION,
    }


def _asked(request: TagRequest) -> dict[str, Any]:
    asked: dict[str, Any] = {"top_k": request.top_k, "device": request.device}
    asked |= {"thumbnails": True} if request.thumbnails else {}
    return asked | ({"force": list(request.force)} if request.force else {})


def _text_encoder(bundle: Bundle) -> dict[str, Any]:
    """Return the reference of the text tower that goes with the model, for search by words."""
    encoder = bundle.training.get("text_encoder")
    return {} if encoder is None else {"text_encoder": encoder}


def _spec(
    request: TagRequest, bundle: Bundle, manifest: Manifest, shards: Sequence[Shard], run_id: str, parent: str | None
) -> RunSpec:
    packages = ("ray", "torch", "timm", "openvino", "pillow", "pyarrow")
    return RunSpec(
        run_id=run_id,
        operation=request.operation,
        parent=parent,
        model_id=bundle.model_id,
        tasks=tuple(task.name for task in bundle.tasks),
        dim=bundle.embedding_dim,
        settings=_asked(request) | _text_encoder(bundle) | {"output_version": OUTPUT_VERSION},
        device=request.device,
        precision="auto",
        versions={"artylyze": __version__} | {package: version(package) for package in packages},
        manifest_digest=manifest.digest,
        shards=tuple(shards),
    )
