"""Measure an epoch of fine-tuning against torchvision's reference loop, on the same images and the same model.

python benchmarks/finetune.py --data ../shared/data/paintings [--images 480] [--few 96] [--out benchmarks/results]

Two figures, both of images learned from (those held out are judged after each epoch by both, and not counted):
the first epoch is the difference between training on few and on many images for one epoch, decoding included; further
epochs are that between one epoch and several on the few, for which the reference decodes again. What a contestant does
once cancels out: see measure.py.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.cluster_stream import Silent
from benchmarks.measure import Run, busy, machine, median_run, rate, run_contestant, versions
from benchmarks.report import Check

HERE = Path(__file__).parent
REFERENCE, OURS, SEVERAL = "reference", "artylyze", "artylyze, a worker a core"
CONTESTANTS = (REFERENCE, OURS, SEVERAL)
BACKBONE, SIZE, BATCH, CLASSES, SEED, FOLDS = "tf_efficientnet_lite0", 180, 32, 10, 7, 5
EPOCHS = 3
"""Epochs of the longer run of those that tell further epochs."""

console = Console(stderr=True)


@dataclass(frozen=True)
class Job:
    """What a contestant is told.

    Attributes:
        dataset: the dataset, for artylyze.
        folders: with train/CLASS and val/CLASS, for the reference: the same images on either side.
        weights: safetensors file of the backbone.
        mean: of each channel, in 0 to 1.
        std: of each channel.
        size: side of the images, pixels.
        batch: images for each step.
        epochs: times that every image is seen.
        workers: processes that load, or that train.
        folds: one part of so many is held out.
        output: where a bundle would go.
    """

    dataset: str
    folders: str
    weights: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int
    batch: int
    epochs: int
    workers: int
    folds: int
    output: str


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _parse(arguments)
    plan = Plan(asked.images, asked.few, asked.epochs, asked.repeats, tuple(asked.contestants))
    with tempfile.TemporaryDirectory(prefix="artylyze-bench-", dir=asked.scratch) as scratch:
        result = measure(chosen(asked.data), plan, Path(scratch))
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "train-finetune.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    _show(result["contestants"], result["checks"])


@dataclass(frozen=True)
class Plan:
    """How much is trained: images of the longer and of the shorter run, epochs of the run that tells further ones."""

    images: int
    few: int
    epochs: int = EPOCHS
    repeats: int = 1
    contestants: tuple[str, ...] = CONTESTANTS


def measure(labelled: Sequence[tuple[Path, str]], plan: Plan, scratch: Path) -> dict[str, Any]:
    """Run all contestants in turns on labelled images, no two of the same name; return what came out."""
    labelled = labelled[: plan.images]
    learned = {count: lay_out(labelled[:count], scratch / str(count)) for count in (plan.few, len(labelled))}
    weights = save_weights(scratch / "weights.safetensors")
    lengths = {"few": (plan.few, 1), "many": (len(labelled), 1), "again": (plan.few, plan.epochs)}
    runs: dict[str, dict[str, list[Run]]] = {one: {length: [] for length in lengths} for one in plan.contestants}
    others = []
    for turn in range(plan.repeats):  # in turns: what disturbs the machine for a minute disturbs them all
        for contestant, found in runs.items():
            others.append(busy())
            for length, (count, epochs) in lengths.items():
                job = _job(contestant, scratch, count, epochs, weights, f"{length}-{turn}")
                found[length].append(_run(contestant, job, scratch))
    figures = {one: _figures(found, learned, plan) for one, found in runs.items()}
    return {
        "benchmark": "finetune",
        "settings": {
            "backbone": BACKBONE,
            "pixels": SIZE,
            "batch": BATCH,
            "images": len(labelled),
            "learned_from": learned[len(labelled)],
            "few_learned_from": learned[plan.few],
            "epochs": plan.epochs,
            "repeats": plan.repeats,
        },
        "machine": machine(),
        "versions": versions(),
        "machine_busy_before_percent": max(others),
        "contestants": figures,
        "checks": [check.as_dict() for check in _checks(figures)],
    }


def chosen(data: Path) -> list[tuple[Path, str]]:
    """Paintings with one of the most frequent genres, shuffled once, so that the first n are a fair sample of all."""
    with (data.parent / f"{data.name}.csv").open(newline="") as file:
        rows = [(data / row["file"], row["genre"]) for row in csv.DictReader(file) if row["genre"]]
    terms = {term for term, _ in Counter(term for _, term in rows).most_common(CLASSES)}
    found = sorted(row for row in rows if row[1] in terms)
    random.Random(SEED).shuffle(found)
    return found


def lay_out(labelled: Sequence[tuple[Path, str]], folder: Path) -> int:
    """Write the dataset, and folders with the same images on the same sides; return how many are learned from."""
    import pyarrow as pa

    from artylyze.datasets.dataset import schema, write_dataset
    from artylyze.training.job import prepare
    from artylyze.training.request import TrainRequest

    rows = [
        {"image_id": path.name, "record_id": path.stem, "uri": str(path.resolve()), "split": "train", "genre": term}
        for path, term in labelled
    ]
    folder.mkdir(parents=True)
    tasks = {"genre": sorted({term for _, term in labelled})}
    dataset = write_dataset(
        str(folder / "dataset.parquet"), pa.Table.from_pylist(rows, schema=schema(list(tasks))), tasks, {}
    )
    request = TrainRequest(str(folder), str(folder / "bundle"), mode="finetune", folds=FOLDS, image_size=SIZE)
    job = prepare(request, dataset, Silent())
    for side, places in (("train", job.train), ("val", job.validation)):
        for row in dataset.table.take(places).to_pylist():
            target = folder / "folders" / side / row["genre"] / row["image_id"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(row["uri"])
        for term in tasks["genre"]:  # ImageFolder numbers classes by the folders that are there
            (folder / "folders" / side / term).mkdir(parents=True, exist_ok=True)
    return len(job.train)


def save_weights(path: Path) -> dict[str, Any]:
    """Write the offline weights under timm's names; return the fields of a Job that go with them."""
    from safetensors.torch import save_file

    from artylyze.models.backbones import load_backbone

    loaded = load_backbone(BACKBONE, size=SIZE)
    save_file(loaded.module.state_dict(), path)
    return {"weights": str(path), "mean": loaded.preprocessing.mean, "std": loaded.preprocessing.std}


def _job(contestant: str, scratch: Path, count: int, epochs: int, weights: Mapping[str, Any], name: str) -> Path:
    folder, cores = scratch / str(count), len(os.sched_getaffinity(0))
    job = Job(
        dataset=str(folder / "dataset.parquet"),
        folders=str(folder / "folders"),
        size=SIZE,
        batch=BATCH,
        epochs=epochs,
        workers=1 if contestant == OURS else cores,
        folds=FOLDS,
        output=str(scratch / f"{contestant.replace(', ', '-').replace(' ', '-')}-{name}"),
        **weights,
    )
    path = Path(job.output).with_suffix(".json")
    path.write_text(json.dumps(asdict(job)))
    return path


def _run(contestant: str, job: Path, scratch: Path) -> Run:
    """Run it from a cold process to its end; nothing that an earlier run decoded is there."""
    script = "finetune_reference.py" if contestant == REFERENCE else "finetune_ours.py"
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(scratch / f"cache-{job.stem}")
    try:
        return run_contestant([sys.executable, str(HERE / script), str(job)], scratch / f"{job.stem}.log")
    finally:
        os.environ.pop("XDG_CACHE_HOME") if before is None else os.environ.update(XDG_CACHE_HOME=before)


def _figures(found: Mapping[str, Sequence[Run]], learned: Mapping[int, int], plan: Plan) -> dict[str, Any]:
    few, many, again = (median_run(found[length]) for length in ("few", "many", "again"))
    count = learned[plan.few]
    return {
        "first_epoch_per_second": _steady(count, few, max(learned.values()), many),
        "further_epochs_per_second": _steady(count, few, count * plan.epochs, again),
        "seconds": {length: [round(run.seconds, 2) for run in runs] for length, runs in found.items()},
        "peak_mib": round(max(run.peak for run in (few, many, again)) / 2**20),
    }


def _steady(few: int, short: Run, many: int, long: Run) -> float | None:
    """Images a second, or None where start-up drowns it."""
    with suppress(ValueError):
        return round(rate(few, short.seconds, many, long.seconds).steady, 2)
    return None


def _checks(figures: Mapping[str, Mapping[str, Any]]) -> list[Check]:
    if not {REFERENCE, OURS} <= set(figures):
        return []
    pairs = {"first epoch": "first_epoch_per_second", "further epochs": "further_epochs_per_second"}
    return [
        Check(f"artylyze / reference, {what}", figures[OURS][field] / figures[REFERENCE][field], least=1)
        for what, field in pairs.items()
        if figures[OURS][field] and figures[REFERENCE][field]
    ]


def _show(figures: Mapping[str, Mapping[str, Any]], checks: Sequence[Mapping[str, Any]]) -> None:
    table = Table(title="fine-tuning, images learned from per second")
    for number, heading in enumerate(("", "first epoch", "further epochs", "peak MiB")):
        table.add_column(heading, justify="right" if number else "left")
    for name, found in figures.items():
        table.add_row(
            name,
            report.number(found["first_epoch_per_second"]),
            report.number(found["further_epochs_per_second"]),
            f"{found['peak_mib']:,}",
        )
    console.print(table)
    for check in checks:
        console.print(f"{check['what']}: {check['value']:.2f} (target {check['target']})", markup=False)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/paintings"), help="images; labels in a .csv")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where the JSON goes")
    parser.add_argument("--images", type=int, default=480, help="images of the longer run")
    parser.add_argument("--few", type=int, default=120, help="images of the shorter run")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="epochs of the run that tells further ones")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--contestants", type=lambda text: text.split(";"), default=list(CONTESTANTS))
    parser.add_argument("--scratch", type=Path, help="folder for links and outputs (default: the system's)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
