"""The dry run: what a run would do, and from a short measured probe how long it would take and what it would need."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Literal

import numpy as np
from rich.filesize import decimal

from artylyze.collection.manifest import Manifest, open_rows, read_rows
from artylyze.errors import ImageError
from artylyze.models.bundle import Bundle
from artylyze.models.runtimes import GPU_BATCH, resolve_device, resolve_precision
from artylyze.progress import Watcher
from artylyze.storage import fetch, is_url
from artylyze.tagging.engine import choose_engine
from artylyze.tagging.planning import Plan, check, is_manifest, plan
from artylyze.tagging.request import TagRequest
from artylyze.tagging.shard import Tagger, rows_to_read, sources
from artylyze.wording import counted
from artylyze.workers.fetching import FETCHERS, Source
from artylyze.workers.protocol import Seen
from artylyze.workers.reading import Reader
from artylyze.workers.supervision import cores

PROBE = 32
"""Images that are read and tagged to measure with, spread over the collection."""

TIMED = 4
"""Images of a batch, where the model is timed on a CPU."""

LIST_PAGE = 1000
"""Keys in a page of an S3 listing."""

OTHER_PUTS = 8
"""Objects of a run besides its parts: two probes, manifest, run.json, _SUCCESS.json, catalog.json, some heartbeats."""


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes:
        images: to tag.
        bytes: of them, the unknown ones counted with the mean.
        shards: parts that would be committed.
        copied: rows that an update would copy.
        list_requests, get_requests, put_requests: to object storage; 0 where source or catalog are local.
        fetch_seconds: for one image, one at a time; fetching runs beside the rest.
        decode_seconds: for one image on one core.
        inference_seconds: for one image on this device.
        taggers: workers that would hold the model.
        readers: workers that would fetch and decode for them; 0 where each does its own.
        seconds: expected, without the start of Ray.
        memory_bytes: expected peak of the workers, Ray's own processes not counted.
        cores_per_model: decode cores that keep one such model worker busy.
        failed: of the probed images, those that could not be read.
        engine: that would drive the run.
    """

    images: int
    bytes: int
    shards: int
    copied: int
    list_requests: int
    get_requests: int
    put_requests: int
    fetch_seconds: float
    decode_seconds: float
    inference_seconds: float
    taggers: int
    readers: int
    seconds: float
    memory_bytes: int
    cores_per_model: float
    failed: int
    engine: Literal["local", "ray"] = "local"


@dataclass(frozen=True)
class _Probe:
    fetch_seconds: float
    decode_seconds: float
    inference_seconds: float
    failed: int


def forecast(planned: Plan, *, output: str, scanned: bool, device: str, taggers: int, readers: int) -> Forecast:
    """Read and tag a few images here, and say what the whole run would take.

    Args:
        planned: the run.
        output: address of the catalog.
        scanned: whether the source is listed.
        device: `cpu` or `cuda`.
        taggers: workers that hold the model.
        readers: workers that fetch and decode for them, 0 where each does its own.
    """
    manifest = planned.manifest
    images = manifest.rows - planned.base.copied
    wanted = _sample(manifest)
    probe = _measure(planned.bundle, device, wanted, thumbnails=bool(planned.spec.settings.get("thumbnails")))
    remote = sum(is_url(source.uri) for source in wanted) / max(1, len(wanted))
    if readers:
        per_image = max(probe.decode_seconds / readers, probe.inference_seconds / taggers)
    else:
        per_image = (probe.decode_seconds + probe.inference_seconds) / taggers
    fetching = probe.fetch_seconds / (FETCHERS * (readers or taggers))
    return Forecast(
        images=images,
        bytes=round(manifest.bytes * images / max(1, manifest.rows)),
        shards=len(planned.spec.shards),
        copied=planned.base.copied,
        list_requests=-(-manifest.rows // LIST_PAGE) if remote and scanned else 0,
        get_requests=round(images * remote),
        put_requests=len(planned.spec.shards) + OTHER_PUTS if is_url(output) else 0,
        fetch_seconds=probe.fetch_seconds,
        decode_seconds=probe.decode_seconds,
        inference_seconds=probe.inference_seconds,
        taggers=taggers,
        readers=readers,
        seconds=images * max(per_image, fetching),
        memory_bytes=_memory() * (taggers + readers),
        cores_per_model=probe.decode_seconds / probe.inference_seconds,
        failed=probe.failed,
    )


def _sample(manifest: Manifest) -> list[Source]:
    """Return images across the run that it would read, not copy."""
    with open_rows(manifest.url) as file:
        rows = rows_to_read(file)
        chosen = sorted(set(rows[np.linspace(0, len(rows) - 1, PROBE).astype(int)].tolist())) if len(rows) else []
        return [source for row in chosen for source in sources(read_rows(file, row, row + 1))]


def _measure(bundle: Bundle, device: str, wanted: Sequence[Source], *, thumbnails: bool) -> _Probe:
    began = perf_counter()
    for source in wanted:
        with suppress(ImageError):  # it is counted below, where it is read again
            fetch(source.uri)
    fetching = (perf_counter() - began) / max(1, len(wanted))
    outcomes: list[Seen | ImageError | None] = [None] * len(wanted)
    with Reader(bundle.preprocessing.size, colors=True, thumbnails=thumbnails) as reader:
        for _ in reader.read(wanted[:1], [None], 1):
            pass  # the child process has started
        began = perf_counter()
        batches = list(reader.read(wanted, outcomes, TIMED))
        reading = (perf_counter() - began) / max(1, len(wanted))
    batch = TIMED if device == "cpu" else GPU_BATCH
    side = bundle.preprocessing.size
    pixels = np.resize(batches[0].pixels if batches else np.uint8(127), (batch, side, side, 3))
    tagger = Tagger(bundle, device, resolve_precision("auto", "cuda" if device == "cuda" else "cpu"))
    tagger.tag(pixels)
    began = perf_counter()
    for _ in range(4):
        tagger.tag(pixels)
    inference = (perf_counter() - began) / (4 * batch)
    failed = sum(isinstance(one, ImageError) for one in outcomes)
    return _Probe(fetching, max(1e-6, reading - fetching / FETCHERS), inference, failed)


def _memory() -> int:
    """Peak memory of this process and of its decoder, which together do what a worker does."""
    kilobytes = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return kilobytes * 1024


def dry_run(request: TagRequest, watcher: Watcher) -> Forecast | None:
    """Plan a run without writing anything to its catalog; None if there is nothing to do."""
    check(request)
    with TemporaryDirectory(prefix="artylyze-") as folder:
        planned = plan(request, watcher, folder)
        if planned is None:
            return None
        device = resolve_device(request.device)
        expected = forecast(
            planned,
            output=request.output,
            scanned=request.source is not None and not is_manifest(request.source),
            device=device,
            taggers=request.workers or (1 if device == "cuda" else cores()),
            readers=(request.readers or cores()) if device == "cuda" else 0,
        )
        return replace(expected, engine=choose_engine(request.engine))


def describe(found: Forecast) -> str:
    """Return a forecast in words."""
    minutes, on_ray = found.seconds / 60, found.engine == "ray"
    lines = [
        f"Images     {counted(found.images, 'image')} to tag, {decimal(found.bytes)}"
        + (f"; {found.copied:,} rows copied" if found.copied else ""),
        f"Shards     {found.shards:,}",
        f"Requests   {found.list_requests:,} LIST, {found.get_requests:,} GET, {found.put_requests:,} PUT to storage",
        f"Probe      {found.fetch_seconds * 1e3:.1f} ms to fetch an image, {found.decode_seconds * 1e3:.1f} to decode "
        f"it, {found.inference_seconds * 1e3:.1f} to tag it; {found.failed} could not be read",
        f"Time       about {f'{minutes:,.0f} minutes' if minutes >= 2 else f'{found.seconds:,.0f} s'} with "
        f"{counted(found.taggers + found.readers, 'worker')}{', besides the start of Ray' if on_ray else ''}",
        f"Memory     about {decimal(found.memory_bytes)}"
        + (" for the workers, besides Ray's own processes" if on_ray else ""),
        f"Balance    {_balance(found)}",
    ]
    return "\n".join(lines)


def _balance(found: Forecast) -> str:
    """Say what binds, and what to change."""
    if not found.readers:
        many = counted(ceil(found.decode_seconds * 1000), "core")
        slower = "decoding" if found.decode_seconds > found.inference_seconds else "the model"
        return (
            f"each worker decodes and tags, and {slower} takes most of its time; more cores make it faster in "
            f"proportion. A GPU that tags 1,000 images/s would need {many} to decode for it."
        )
    needed = ceil(found.taggers * found.cores_per_model)
    workers = counted(found.taggers, "model worker")
    if needed > found.readers:
        return (
            f"decoding holds the GPU back: {workers} would take the images of {counted(needed, 'decode worker')}, and "
            f"there are {found.readers:,}. Give `readers={needed}`, if there are as many cores."
        )
    return f"{counted(found.readers, 'decode worker')} keep {workers} busy; {needed:,} would do."
