"""A frozen sweep against as many separate frozen trainings, by the real command line.

python benchmarks/sweep.py [--images 1500 | --data dataset.parquet] [--rates 12] [-- options of both commands]

Each command starts with an empty cache of its own, so each separate training embeds the images itself; what all of them
share is the operating system's cache of files, which one reading of every image warms before anything is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from artylyze.datasets.dataset import Dataset, read_dataset
from benchmarks.measure import ARTYLYZE, busy, machine, run_contestant, versions

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "train-sweep.json"
TASKS = "genre,style"
RATES = tuple(float(f"{rate:.3g}") for rate in np.geomspace(1e-5, 1e-2, 12))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the result."""
    asked = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="artylyze-sweep-") as temporary:
        source = str(asked.data) if asked.data else _generated(Path(temporary), asked.images)
        found = measure(source, RATES[: asked.rates], asked.options, Path(temporary))
    found["data"] = "generated" if asked.data is None else Path(source).name
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    asked.output.write_text(json.dumps(found, indent=2) + "\n")
    print(
        f"{len(found['learning_rates'])} frozen trainings: {found['separate_total_seconds']:.1f} s; one sweep: "
        f"{found['sweep_seconds']:.1f} s, {found['times_faster']} times faster. Wrote {asked.output}."
    )


def measure(source: str, rates: Sequence[float], options: Sequence[str], folder: Path) -> dict[str, Any]:
    """Train a dataset's tasks at each rate separately, then in one sweep; return what was seen."""
    dataset = read_dataset(source)
    _warm(dataset)
    before = busy()
    common = ["--tasks", ",".join(dataset.tasks), "--device", "cpu", *options]
    separate = [
        _seconds(folder, [*ARTYLYZE, "train", source, "--lr", f"{rate:g}", *common], number)
        for number, rate in enumerate(rates)
    ]
    together = _seconds(
        folder, [*ARTYLYZE, "tune", source, "--lr", ",".join(f"{rate:g}" for rate in rates), *common], len(rates)
    )
    return {
        "images": len(dataset.table),
        "dataset": dataset.digest,
        "tasks": {task: len(terms) for task, terms in dataset.tasks.items()},
        "options": list(options),
        "learning_rates": list(rates),
        "separate_seconds": [round(seconds, 2) for seconds in separate],
        "separate_total_seconds": round(sum(separate), 2),
        "sweep_seconds": round(together, 2),
        "times_faster": round(sum(separate) / together, 2),
        "busy_before_percent": before,
        "machine": machine(),
        "versions": versions(),
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a dataset that `artylyze curate` wrote; default: generated images")
    parser.add_argument("--images", type=int, default=1500, help="how many images to generate")
    parser.add_argument("--rates", type=int, default=len(RATES), help="how many learning rates")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("options", nargs="*", help="after --: passed to train and to tune, for example --epochs 10")
    return parser.parse_args(arguments)


def _generated(folder: Path, count: int) -> str:
    """Generate a collection and curate it."""
    from artylyze.sample import write_sample

    images, target = folder / "images", folder / "dataset.parquet"
    write_sample(images, count)
    command = [*ARTYLYZE, "curate", str(images / "metadata.csv"), "--images", str(images), "-o", str(target)]
    run_contestant(
        [*command, "--tasks", TASKS, "--balance", "none", "--group", "none", "--classes", "6"], folder / "curate.txt"
    )
    return str(target)


def _warm(dataset: Dataset) -> None:
    for uri in dataset.table.column("uri").to_pylist():
        if Path(uri).is_file():
            Path(uri).read_bytes()


def _seconds(folder: Path, command: Sequence[str], number: int) -> float:
    """Wall-clock seconds of a command with an empty cache."""
    own = folder / f"run-{number}"
    own.mkdir()
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(own / "cache")
    try:
        return run_contestant([*command, "-o", str(own / "output")], own / "log.txt").seconds
    finally:
        os.environ.pop("XDG_CACHE_HOME") if before is None else os.environ.update(XDG_CACHE_HOME=before)
        shutil.rmtree(own)


if __name__ == "__main__":
    main()
