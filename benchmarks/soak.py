"""What users do to a collection, with the driver killed half way through every run; after each, everything is counted.

python benchmarks/soak.py [--minutes 60] [--images 100000] [--out benchmarks/results/soak.json]

Generated images are tagged by the real command line with a small model (timm's test architecture, random weights).
Half way through, SIGKILL ends the driver's process group, and the same command is given again. Then, until the time is
up: 1% of the images are redrawn, 0.1% go, 0.1% are new; `--update`, SIGKILL half way, `--update` again. After each pair
of commands the files that `artylyze paths` prints are compared with the folder: exactly one row for each image and no
other, each of the file's present version; the parts that were there at the kill untouched; nothing read that had not
changed. There are two pairs at least, and each that has begun when the time is up is brought to its end.

Sampled meanwhile: rows that are committed, and memory of all processes (see measure.py). Counted at the end: processes
left behind, what was left in a temporary folder of the command's own (Ray's sessions too), and the growth of the user's
cache. Writes OUT and a picture beside it; exits with 1 if a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import ARTYLYZE, busy, machine, versions
from benchmarks.soak_figures import Counts, checks, compare, draw, figures
from benchmarks.soak_images import change, write_images
from benchmarks.soak_watch import Watch, size_of

RESULT = Path(__file__).parent / "results" / "soak.json"
BACKBONE, PIXELS, SEED = "test_efficientnet", 64, 0
LEAST_PAIRS = 2
"""Pairs of commands, whatever time they take: one that tags, one that updates."""


class SoakError(RuntimeError):
    """A command failed that nobody had killed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it, write what came out, and exit with 1 if a figure misses its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULT, help="the JSON; the picture lies beside it")
    parser.add_argument("--minutes", type=float, default=5, help="for so long pairs of commands begin")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--scratch", type=Path, help="folder for images and catalog (default: the system's)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="artylyze-soak-", dir=asked.scratch) as scratch:
        result = soak(Path(scratch), asked.images, asked.minutes)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    draw(result, asked.out.with_suffix(".png"))
    for check in result["checks"]:
        print(f"{check['what']}: {check['value']:g} (target {check['target']})")
    missed = [check for check in result["checks"] if not check["passed"]]
    if result["stopped"]:
        print(result["stopped"])
    sys.exit(int(bool(missed)))


def soak(scratch: Path, images: int, minutes: float) -> dict[str, Any]:
    """Tag, kill, tag, change, update, kill, update, ... for so many minutes; return what was seen."""
    from artylyze.models.cache import cache_folder

    folder, cache = scratch / "images", cache_folder().parent
    cached, before = size_of(cache), busy()
    began = time.monotonic()
    write_images(folder, images)
    print(f"Drew {images:,} images in {time.monotonic() - began:.0f} s.", flush=True)
    command = [*ARTYLYZE, "tag", str(folder), "-o", str(scratch / "catalog"), "--device", "cpu", "--json"]
    command += ["--model", str(_write_model(scratch / "model")), "--max-error-rate", "0"]
    temporary = Path(tempfile.mkdtemp(prefix="soak-"))  # its name is short because Ray's sockets lie below it
    watch, counts, stopped = Watch(command, scratch / "catalog", temporary, scratch / "log.txt"), Counts(), None
    try:
        _pairs(watch, folder, list(range(images)), 60 * minutes, counts)
    except SoakError as error:
        stopped = str(error)
    finally:
        watch.end_leftovers()
    result = {
        "benchmark": "soak",
        "settings": {"images": images, "minutes": minutes, "backbone": BACKBONE, "pixels": PIXELS},
        **figures(watch.attempts, watch.samples),
        "left_in_temporary_folder_mib": size_of(temporary),
        "of_it_ray_sessions": len(list(temporary.glob("ray/session_2*"))),
        "of_it_ray_sessions_mib": size_of(temporary / "ray"),
        "cache_growth_mib": round(size_of(cache) - cached, 1),
        "catalog_mib": size_of(watch.catalog),
        "stopped": stopped,
        "machine_busy_before_percent": before,
        "attempts": [asdict(attempt) for attempt in watch.attempts],
        "samples": [[round(one.seconds, 1), one.rows, round(one.mib, 1), one.attempt] for one in watch.samples],
        "checks": [check.as_dict() for check in checks(counts, watch.attempts, stopped)],
        "machine": machine(),
        "versions": versions(),
    }
    shutil.rmtree(temporary, ignore_errors=True)
    return result


def _write_model(folder: Path) -> Path:
    """Write a bundle with two tasks, of a network so small that the pipeline itself is what works."""
    import torch

    from artylyze.models.backbones import load_backbone
    from artylyze.models.build import build_bundle
    from artylyze.models.bundle import Task
    from artylyze.models.folder import save

    torch.manual_seed(SEED)
    backbone, random = load_backbone(BACKBONE, pretrained=False, size=PIXELS), np.random.default_rng(SEED)
    tasks = (Task("genre", ("landscape", "portrait", "still life")), Task("style", ("Cubism", "Impressionism")))
    heads = {one.name: (random.normal(size=(len(one.terms), backbone.dim)), np.zeros(len(one.terms))) for one in tasks}
    save(folder, build_bundle(backbone, tasks, heads))
    return folder


def _pairs(watch: Watch, folder: Path, numbers: list[int], seconds: float, counts: Counts) -> None:
    """Give pairs of commands until the time is up; the first command of each pair is killed.

    Raises:
        SoakError: if one fails that was not killed.
    """
    began, read = time.monotonic(), len(numbers)
    while len(watch.attempts) < 2 * LEAST_PAIRS or time.monotonic() - began < seconds:
        options = []
        if watch.attempts:
            options = ["--update"]
            numbers, read = change(folder, numbers, len(watch.attempts) // 2)
        _run(watch, options, kill=True)
        before = _part_files(watch.catalog)
        _run(watch, options, kill=False)
        after = _part_files(watch.catalog)
        counts.parts_changed += sum(after.get(path) != stat for path, stat in before.items())
        run_id = json.loads((watch.catalog / "catalog.json").read_text())["run_id"]
        compare(_rows(watch.catalog), _files(folder), run_id, read, counts)
        print(f"{watch.attempts[-1].ended:6.0f} s, {len(numbers):,} images: {asdict(counts)}", flush=True)


def _run(watch: Watch, options: list[str], *, kill: bool) -> None:
    code = watch.run(options, kill=kill)
    if code and not watch.attempts[-1].killed:
        end = watch.log.read_text(errors="replace")[-3_000:]
        raise SoakError(f"{' '.join([*watch.command, *options])} ended with {code}:\n{end}")


def _part_files(catalog: Path) -> dict[str, tuple[int, int, int]]:
    """Every part of every run, by its path: inode, bytes, modification in ns."""
    stats = {str(path): path.stat() for path in catalog.glob("runs/*/parts/*.parquet")}
    return {path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def _rows(catalog: Path) -> pa.Table:
    """The rows of the files that `artylyze paths` prints: what a user reads."""
    command = [*ARTYLYZE, "paths", str(catalog)]
    paths = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    columns = ["image_id", "validator", "status", "run_id"]
    return pa.concat_tables([pq.read_table(path, columns=columns) for path in paths])


def _files(folder: Path) -> dict[str, str | None]:
    """The validator of every file, by image_id."""
    from artylyze.storage import open_store

    return {entry.key: entry.validator for entry in open_store(folder).list("")}


if __name__ == "__main__":
    main()
