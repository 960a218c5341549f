"""Writes a sample: images by worker processes, then the metadata. Never overwrites files that are not a sample's."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from joblib import Parallel, delayed

from artylyze.errors import ArtylyzeError, InputError, UsageError
from artylyze.sample.awkward import ORDINARY, TRAITS
from artylyze.sample.plan import Record, Spec, describe, render
from artylyze.workers.supervision import cores

_VERSION = 2  # of the pictures: raise it when the same seed gives others
_MARKER = "sample.json"
_FEW = 64  # images that one process draws before another has started


@dataclasses.dataclass(frozen=True)
class SampleSummary:
    """The content of the folder: `count` images, of which `written` are new and `awkward` not ordinary files."""

    folder: Path
    count: int
    written: int
    awkward: int


def write_sample(
    folder: Path, count: int, *, size: str = "640x480", seed: int = 0, awkward: bool = False, workers: int | None = None
) -> SampleSummary:
    """Write a generated, labelled collection of `count` images into `folder`.

    `size` is "WIDTHxHEIGHT" in pixels, or "mixed": about 640x480 in varied aspect, `LARGE_SHARE` of them 2,000 to 4,000
    pixels long. With `awkward`, `AWKWARD_SHARE` are broken or unusual files, and the metadata has the columns
    `awkward` (how) and `expected` ("ok" or an error code). A smaller sample is the start of a larger one, whatever the
    number of `workers` (processes; None: one per core). Missing images of a sample of the same seed and size are added.
    Raises UsageError for a bad number or size, InputError for a folder with anything else in it.
    """
    workers = cores() if workers is None else workers
    for name, value, least in (("count", count, 1), ("seed", seed, 0), ("workers", workers, 1)):
        if value < least:
            raise UsageError(f"`{name}={value}`: give at least {least}.")
    spec, folder = Spec(seed, size, awkward), Path(folder)
    count = max(count, _claim(folder, spec))
    records = [describe(spec, index) for index in range(count)]
    for parent in {(folder / record.file).parent for record in records}:
        parent.mkdir(parents=True, exist_ok=True)
    missing = sum(not (folder / record.file).exists() for record in records)
    shares = max(1, min(workers, -(-missing // _FEW)))
    try:
        Parallel(shares)(delayed(_paint_share)(folder, spec, count, share, shares) for share in range(shares))
    except BrokenProcessPool as error:
        raise ArtylyzeError(f"A process that draws the sample ended: {error} The same command continues.") from error
    _put(folder / "metadata.csv", _table(records, awkward))
    readme = _README.format(name=folder.name, count=count, size=size, seed=seed, odd=" --awkward" * awkward)
    _put(folder / "README.md", readme.encode())
    _put(folder / _MARKER, _marker(spec, count))
    return SampleSummary(folder, count, missing, sum(record.trait != "" for record in records))


def _claim(folder: Path, spec: Spec) -> int:
    """Check that the folder may be written; return the number of images of the sample in it."""
    marker = folder / _MARKER
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give a folder for the sample.")
    if not marker.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty and not a sample: give a new folder. Nothing was overwritten.")
        folder.mkdir(parents=True, exist_ok=True)
        _put(marker, _marker(spec, 0))
    try:
        recorded = json.loads(marker.read_text(encoding="utf-8"))
        count = int(recorded["count"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{marker} is damaged ({error}): give a new folder for the sample.") from error
    if recorded != json.loads(_marker(spec, count)):
        raise InputError(f"{folder} has another sample ({recorded}): give a new folder, or the same seed and size.")
    return count


def _marker(spec: Spec, count: int) -> bytes:
    return json.dumps(
        {"generator": "artylyze sample", "version": _VERSION, **dataclasses.asdict(spec), "count": count}
    ).encode()


def _paint_share(folder: Path, spec: Spec, count: int, share: int, shares: int) -> None:
    """Paint this share's missing images of the first `count`."""
    for index in range(share, count, shares):
        record = describe(spec, index)
        if not (folder / record.file).exists():
            _put(folder / record.file, TRAITS.get(record.trait, ORDINARY).encode(render(spec, index)))


def _put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(path)


def _table(records: list[Record], awkward: bool) -> bytes:
    out, fields = io.StringIO(newline=""), [field.name for field in dataclasses.fields(Record)][: 10 if awkward else 8]
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["awkward" if field == "trait" else field for field in fields])
    rows.writerows([str(getattr(record, field)) for field in fields] for record in records)
    return out.getvalue().encode()


_README = """# A generated sample

{count:,} pictures drawn by a program and labelled in `metadata.csv`, one style in 20 wrongly; all is invented. Made by

    artylyze sample {name} --count {count} --size {size} --seed {seed}{odd}

**Do not judge the quality of a model by it**: these pictures are far easier to tell apart than paintings.
"""
