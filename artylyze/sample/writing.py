"""Writes a sample: images by worker processes, then the metadata; never over files that are not a sample's."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import ArtylyzeError, InputError, UsageError
from .awkward import encode
from .plan import AWKWARD_SHARE, LARGE_SHARE, Record, Spec, describe, render

VERSION = 1  # of the pictures: raise it when the same seed gives others
MARKER = "sample.json"
COLUMNS = ("record_id", "file", "title", "artist", "nationality", "date", "genre", "style")
_FEW = 64  # images that one process paints before another has started


@dataclass(frozen=True)
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

    `size` is "WIDTHxHEIGHT" in pixels, or "mixed": about 640x480 in varied aspect, a share of `LARGE_SHARE` being 2,000
    to 4,000 pixels long. With `awkward`, a share of `AWKWARD_SHARE` are broken or odd files, and the metadata gains the
    columns `awkward` (what about it) and `expected` ("ok" or an error code). Image i depends on the seed, i and the
    size alone: fewer images are the first of more, and the number of `workers` (processes; None: one a core) changes
    nothing.

    A sample with the same parameters is completed where images lack and never made smaller. Raises UsageError for a
    count below 1 or a bad size, InputError for a folder that holds anything else.
    """
    if count < 1:
        raise UsageError(f"a sample of {count} images: ask for at least 1")
    if seed < 0:
        raise UsageError(f"seed {seed}: a seed is 0 or more")
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers: ask for at least 1")
    spec = Spec(seed, size, awkward)
    folder = Path(folder)
    count = max(count, _claim(folder, spec))
    records = [describe(spec, index) for index in range(count)]
    missing = _missing(folder, records)
    if missing:
        for n in range(min(100, count)):
            (folder / "images" / f"{n:02d}").mkdir(parents=True, exist_ok=True)
        _paint(folder, spec, count, missing, workers or os.cpu_count() or 1)
    _put(folder / "metadata.csv", _table(records, awkward=awkward))
    _put(folder / "README.md", _readme(folder, spec, count).encode())
    _put(folder / MARKER, _marker(spec, count))
    return SampleSummary(folder, count, missing, sum(record.trait != "" for record in records))


def _claim(folder: Path, spec: Spec) -> int:
    """Make sure that the folder is ours to write to; the number of images that its last sample was complete with."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder for the sample")
    marker = folder / MARKER
    if not marker.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty and not a sample; name a new folder, nothing is overwritten")
        folder.mkdir(parents=True, exist_ok=True)
        _put(marker, _marker(spec, 0))
        return 0
    try:
        there = json.loads(marker.read_text(encoding="utf-8"))
        wanted = json.loads(_marker(spec, int(there["count"])))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{marker} is not the marker of a sample ({error}); name a new folder") from error
    different = [name for name in wanted if there.get(name) != wanted[name]]
    if different:
        was = ", ".join(f"{name} {there.get(name)!r}" for name in different)
        raise InputError(f"{folder} holds another sample ({was}); name a new folder or ask for that one")
    return int(there["count"])


def _marker(spec: Spec, count: int) -> bytes:
    return json.dumps({"generator": "artylyze sample", "version": VERSION, **asdict(spec), "count": count}).encode()


def _missing(folder: Path, records: list[Record]) -> int:
    there: set[str] = set()
    for path in (folder / "images").glob("[0-9][0-9]"):
        there.update(f"images/{path.name}/{entry.name}" for entry in os.scandir(path))
    return sum(record.file not in there for record in records)


def _paint(folder: Path, spec: Spec, count: int, missing: int, workers: int) -> None:
    """Share the painting among processes of our own: they need no guard in the caller's main module."""
    workers = min(workers, -(-missing // _FEW))
    if workers == 1:
        paint_share(folder, spec, count, 0, 1)
        return
    package = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack:
        children = []
        for n in range(workers):
            share = json.dumps([str(folder.absolute()), asdict(spec), count, n, workers])
            command = [sys.executable, "-m", "artylyze.sample", share]
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
            stack.callback(_end, child)
            children.append(child)
        for child in children:
            said = child.communicate()[1].decode(errors="replace").strip().splitlines()
            if child.returncode != 0:
                why = said[-1] if said else f"it ended with status {child.returncode}"
                raise ArtylyzeError(f"a process that paints the sample failed ({why}); the same command goes on")


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
    child.wait()


def paint_share(folder: Path, spec: Spec, count: int, share: int, shares: int) -> None:
    """Paint those of the first `count` images that are not there and fall to this of several shares."""
    for index in range(share, count, shares):
        record = describe(spec, index)
        path = folder / record.file
        if not path.exists():
            _put(path, encode(render(spec, index), record.trait))


def _put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(path)


def _table(records: list[Record], *, awkward: bool) -> bytes:
    out = io.StringIO(newline="")
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow([*COLUMNS, *(("awkward", "expected") if awkward else ())])
    for record in records:
        cells = [getattr(record, column) for column in COLUMNS]
        rows.writerow([*cells, record.trait, str(record.expected)] if awkward else cells)
    return out.getvalue().encode()


def _readme(folder: Path, spec: Spec, count: int) -> str:
    odd = " --awkward" if spec.awkward else ""
    notes = ""
    if spec.size == "mixed":
        notes += f"\nAbout {LARGE_SHARE:.0%} of the images are large (2,000 to 4,000 pixels), the rest near 640x480.\n"
    if spec.awkward:
        notes += (
            f"\nAbout {AWKWARD_SHARE:.0%} of the files are broken, oddly encoded or oddly named on purpose: column"
            " `awkward` says how,\ncolumn `expected` says `ok` or the error code that reading them must give.\n"
        )
    return f"""# A generated sample

{count:,} pictures drawn by a program, not by anyone: the artists, titles and dates are invented. Made by

    artylyze sample {folder.name} --count {count} --size {spec.size} --seed {spec.seed}{odd}

(generator version {VERSION}). `metadata.csv` labels every file; genre decides what is drawn and style how.
{notes}
It is for trying the software, for tests and for load. **Do not judge the quality of a model by it**: these pictures are
far easier to tell apart than paintings, and a score reached here says nothing about a real collection.
"""
