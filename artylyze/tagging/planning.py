"""Planning a run: the model, the frozen manifest and its shards, under an id that the same command finds again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from pathlib import Path

from artylyze import __version__
from artylyze.catalog.plan import Shard, plan_shards, shard_size
from artylyze.catalog.run import (
    RunSpec,
    read_success,
    run_id_of,
    run_store,
)
from artylyze.catalog.snapshot import Part, read_snapshot
from artylyze.catalog.update import plan_changes
from artylyze.collection import describe, is_table, scan
from artylyze.errors import InputError, StorageError, UsageError
from artylyze.manifest import Manifest, looks_like_manifest, open_manifest, open_rows, read_rows, write_manifest
from artylyze.models.bundle import Bundle
from artylyze.models.resolve import resolve_model
from artylyze.progress import Watcher
from artylyze.storage.nearest import check_there
from artylyze.tagging.request import TagRequest

OUTPUT_VERSION = 2
"""Part of every run's id. Raise it when the same image and model would give another row, to tag anew."""


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


def check(request: TagRequest) -> None:
    """Refuse what can be refused at once, before anything slow begins."""
    if request.source is not None:
        check_there(request.source)
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
    source = _manifest(request, f"{folder}/scanned.parquet", watcher)
    if request.operation == "tag":
        return _plan_whole(request, bundle, _first_rows(source, target, request.limit))
    return _plan_changes(request, bundle, source, target)


def is_manifest(source: str) -> bool:
    """Tell a manifest from a collection."""
    return source.lower().endswith(".parquet") and is_table(source) and looks_like_manifest(source)


def _manifest(request: TagRequest, target: str, watcher: Watcher) -> str:
    """Return the address of the source's manifest, made by a scan unless it is one."""
    source, metadata = str(request.source), request.metadata
    if is_manifest(source):
        if request.exclude:
            raise UsageError("A manifest names its images: give --exclude to `artylyze scan`.")
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
            "them readable, or leave them out on purpose with --exclude NAME."
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
