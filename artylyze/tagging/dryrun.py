"""The dry run: what a run would do, and from a short measured probe how long it would take and what it would need."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from rich.filesize import decimal

from artylyze.catalog.plan import Shard
from artylyze.catalog.schema import Seen
from artylyze.errors import ImageError
from artylyze.manifest import Manifest, open_rows, read_rows
from artylyze.models.bundle import Bundle
from artylyze.models.runtimes import CPU_BATCH, resolve_device
from artylyze.storage import is_url
from artylyze.tagging.job import TagRequest, Watcher, check, plan
from artylyze.tagging.reading import Reader, Source
from artylyze.tagging.shard import Tagger, sources

PROBE = 32
"""Images that are read and tagged to measure with, spread over the collection."""

LIST_PAGE = 1000
"""Keys in a page of an S3 listing."""


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes:
        images: to tag.
        bytes: of them, the unknown ones workersed with the mean.
        shards: parts that would be committed.
        copied: rows that an update would copy.
        list_requests, get_requests, put_requests: to object storage; 0 where source or catalog are local.
        decode_seconds: for one image on one core, fetching included.
        inference_seconds: for one image on this device.
        workers: that the run would use.
        seconds: expected, without the start of Ray.
        memory_bytes: expected peak, Ray's own processes not workersed.
        cores_per_model: decode cores that keep one such model worker busy.
        failed: of the probed images, those that could not be read.
    """

    images: int
    bytes: int
    shards: int
    copied: int
    list_requests: int
    get_requests: int
    put_requests: int
    decode_seconds: float
    inference_seconds: float
    workers: int
    seconds: float
    memory_bytes: int
    cores_per_model: float
    failed: int


def forecast(
    manifest: Manifest, shards: Sequence[Shard], bundle: Bundle, *, output: str, device: str, workers: int, copied: int
) -> Forecast:
    """Read and tag a few images here, and say what the whole run would take.

    Args:
        manifest: the run's rows.
        shards: the plan.
        bundle: the model.
        output: address of the catalog.
        device: `cpu` or `cuda`.
        workers: that hold the model.
        copied: rows that are copied.
    """
    with open_rows(manifest.url) as file:
        rows = [read_rows(file, int(row), int(row) + 1) for row in sorted(set(_spread(manifest.rows)))]
    wanted = [source for table in rows for source in sources(table)]
    decode, inference, failed = _measure(bundle, device, wanted)
    workers = workers
    images = manifest.rows - copied
    remote = sum(is_url(source.uri) for source in wanted) / len(wanted)
    per_image = decode + inference if device == "cpu" else max(decode / workers, inference)
    return Forecast(
        images=images,
        bytes=manifest.bytes,
        shards=len(shards),
        copied=copied,
        list_requests=-(-manifest.rows // LIST_PAGE) if remote else 0,
        get_requests=round(images * remote),
        put_requests=len(shards) + 6 if is_url(output) else 0,
        decode_seconds=decode,
        inference_seconds=inference,
        workers=workers,
        seconds=images * per_image / (workers if device == "cpu" else 1),
        memory_bytes=_memory() * workers,
        cores_per_model=decode / inference,
        failed=failed,
    )


def _spread(rows: int) -> list[int]:
    return [int(row) for row in np.linspace(0, rows - 1, PROBE)]


def _measure(bundle: Bundle, device: str, wanted: Sequence[Source]) -> tuple[float, float, int]:
    """Return seconds to read an image, seconds to tag one, and how many could not be read."""
    tagger = Tagger(bundle, device, "float32" if device == "cpu" else "bfloat16")
    outcomes: list[Seen | ImageError | None] = [None] * len(wanted)
    with Reader(bundle.preprocessing.size, fetchers=1) as reader:
        for _ in reader.read(wanted[:1], [None], CPU_BATCH):
            pass  # the child process has started
        began = perf_counter()
        batches = list(reader.read(wanted, outcomes, CPU_BATCH))
        decode = (perf_counter() - began) / len(wanted)
    pixels = batches[0].pixels if batches else np.zeros((CPU_BATCH, *(bundle.preprocessing.size,) * 2, 3), np.uint8)
    tagger.tag(pixels)
    began = perf_counter()
    for _ in range(4):
        tagger.tag(pixels)
    inference = (perf_counter() - began) / (4 * len(pixels))
    return decode, inference, sum(isinstance(one, ImageError) for one in outcomes)


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
        return forecast(
            planned.manifest,
            planned.spec.shards,
            planned.bundle,
            output=request.output,
            device=device,
            workers=request.workers or (1 if device == "cuda" else os.cpu_count() or 1),
            copied=planned.copied,
        )


def describe(found: Forecast) -> str:
    """Return a forecast in words."""
    minutes = found.seconds / 60
    lines = [
        f"Images     {found.images:,} to tag, {decimal(found.bytes)}"
        + (f"; {found.copied:,} rows copied" if found.copied else ""),
        f"Shards     {found.shards:,}",
        f"Requests   {found.list_requests:,} LIST, {found.get_requests:,} GET, {found.put_requests:,} PUT to storage",
        f"Probe      {found.decode_seconds * 1e3:.1f} ms to read an image, {found.inference_seconds * 1e3:.1f} ms to "
        f"tag it; {found.failed} of the probed images could not be read",
        f"Time       about {f'{minutes:,.0f} minutes' if minutes >= 2 else f'{found.seconds:,.0f} s'} "
        f"with {found.workers} worker{'s' if found.workers > 1 else ''}, besides the start of Ray",
        f"Memory     about {decimal(found.memory_bytes)} for the workers, besides Ray's own processes",
        f"Balance    {found.cores_per_model:.2f} decode cores keep one such model worker busy; a GPU that tags "
        f"1,000 images/s needs {found.decode_seconds * 1000:.0f}",
    ]
    return "\n".join(lines)
