"""Writes a sample: images by worker processes, then the metadata; never over files that are not a sample's."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from joblib import Parallel, delayed

from ..errors import ArtylyzeError, InputError, UsageError
from .awkward import ORDINARY, TRAITS
from .plan import Record, Spec, describe, render

_VERSION = 2  # of the pictures: raise it when the same seed gives others
_MARKER = "sample.json"
_FEW = 64  # images that one process draws before another has started


@dataclasses.dataclass(frozen=True)
class SampleSummary:
    """What lies in the folder now: `count` images, of which `written` are new; `awkward` are not ordinary files."""

    folder: Path
    count: int
    written: int
    awkward: int


def write_sample(
    folder: Path, count: int, *, size: str = "640x480", seed: int = 0, awkward: bool = False, workers: int | None = None
) -> SampleSummary:
    """Write a generated, labelled collection of `count` images into `folder`.

    `size` is "WIDTHxHEIGHT" in pixels, or "mixed": about 640x480 in varied aspect, `LARGE_SHARE` of them 2,000 to 4,000
    pixels long. With `awkward`, `AWKWARD_SHARE` are broken or odd files, and the metadata gains the columns `awkward`
    (what about it) and `expected` ("ok" or an error code). Fewer images are the first of more, and the number of
    `workers` (processes; None: one a core) changes nothing. A sample of the same seed and size is completed where
    images lack. Raises UsageError for a bad number or size, InputError for a folder that holds anything else.
    """
    workers = (os.cpu_count() or 1) if workers is None else workers
    for name, value, least in (("count", count, 1), ("seed", seed, 0), ("workers", workers, 1)):
        if value < least:
            raise UsageError(f"{name} {value}: ask for at least {least}")
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
        raise ArtylyzeError(f"A process that draws the sample ended: {error} The same command goes on.") from error
    _put(folder / "metadata.csv", _table(records, awkward))
    readme = _README.format(name=folder.name, count=count, size=size, seed=seed, odd=" --awkward" * awkward)
    _put(folder / "README.md", readme.encode())
    _put(folder / _MARKER, _marker(spec, count))
    return SampleSummary(folder, count, missing, sum(record.trait != "" for record in records))


def _claim(folder: Path, spec: Spec) -> int:
    """Make sure that the folder is ours to write to; return the count that its last sample was complete with."""
    marker = folder / _MARKER
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder for the sample")
    if not marker.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty and not a sample; name a new folder, nothing is overwritten")
        folder.mkdir(parents=True, exist_ok=True)
        _put(marker, _marker(spec, 0))
    try:
        recorded = json.loads(marker.read_text(encoding="utf-8"))
        count = int(recorded["count"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{marker} is not the marker of a sample ({error}); name a new folder") from error
    if recorded != json.loads(_marker(spec, count)):
        raise InputError(f"{folder} holds another sample ({recorded}); name a new folder or ask for that one")
    return count


def _marker(spec: Spec, count: int) -> bytes:
    return json.dumps(
        {"generator": "artylyze sample", "version": _VERSION, **dataclasses.asdict(spec), "count": count}
    ).encode()


def _paint_share(folder: Path, spec: Spec, count: int, share: int, shares: int) -> None:
    """Paint those of the first `count` images that are not there and fall to this of several shares."""
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
