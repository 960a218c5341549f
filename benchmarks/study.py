"""The table of the study that artylyze follows, on real paintings: every network of it, frozen and fine-tuned.

python benchmarks/study.py --data ../shared/data --out benchmarks/results [--tasks genre] [--only cnn3,vgg16-frozen]
                           [--weights vgg16=FILE] [--images 1200 --whole-epochs 3] [--work build/study]

`make study` is all of it. Takes the study's own classes from both sets of paintings, with no artist on both sides,
trains through `artylyze tune`'s own function, evaluates the best of each network, and writes train-study.json. Each
training leaves a note in --work, where its curves and the pictures of its best and worst classes lie too; a study that
was killed goes on there, and one with other contestants adds to it. `python benchmarks/report.py` makes the section of
docs/benchmarks/quality.md.

A network whose weights cannot be had is named in the table with the reason. With a network connection timm fetches
them; without one `--weights NAME=FILE` gives them. What random weights would score says nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.collection.taxonomy import normalise
from artylyze.datasets.classes import random_order
from artylyze.datasets.curate import CurateRequest, curate
from artylyze.datasets.dataset import SPLITS, Dataset, write_dataset
from artylyze.errors import InputError
from artylyze.evaluation.evaluate import EvaluateRequest, evaluate
from artylyze.evaluation.figures import write_report
from artylyze.progress import Reporter, Watcher
from artylyze.training.request import Mode
from artylyze.tuning.leaderboard import COLUMNS, COMPLETE, Board
from artylyze.tuning.sweep import TuneRequest, parse_weights
from artylyze.tuning.tune import BEST, tune
from benchmarks.measure import machine, versions

ROOT = Path(__file__).resolve().parent.parent
RESULT = "train-study.json"
SETS = ("paintings", "paintings_2")
SPLIT, SIZE, SEED = (0.75, 0.25), 180, 0
CLASSES = {
    "genre": (
        *("abstract painting", "cityscape", "flower painting", "genre painting", "landscape", "mythological painting"),
        *("nude painting", "portrait", "religious painting", "self-portrait", "still life", "symbolic painting"),
    ),
    "style": (
        *("Art Nouveau", "Baroque", "Cubism", "Expressionism", "High Renaissance", "Impressionism", "Mannerism"),
        *("Naive Art", "Northern Renaissance", "Post-Impressionism", "Realism", "Romanticism", "Surrealism"),
    ),
}
"""The study's classes: it names them in pictures only."""

TASKS = tuple(CLASSES)
FROZEN_RATES = (1e-4, 5e-4, 1e-3)
"""Those of the study."""


@dataclass(frozen=True)
class Contestant:
    """One line of the study, or one for each learning rate."""

    name: str
    backbone: str
    mode: Mode
    rates: tuple[float, ...]
    epochs: int


def _contestants() -> tuple[Contestant, ...]:
    """Epochs such that what runs offline takes two cores about an hour: more of them could change the figures."""
    found = [Contestant("cnn3", "cnn3", "finetune", (1e-3,), 15)]
    names = {"mobilenet": "mobilenetv1_100", "densenet121": "densenet121", "vgg16": "vgg16"}
    names |= {f"lite{number}": f"tf_efficientnet_lite{number}" for number in range(3)}
    for name, backbone in names.items():
        found.append(Contestant(f"{name}-frozen", backbone, "frozen", FROZEN_RATES, 20))
        found.append(Contestant(f"{name}-finetune", backbone, "finetune", (1e-4,), 4))
    return tuple(found)


CONTESTANTS = _contestants()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is not trained yet, and write what came out of all that is."""
    asked = _parse(arguments)
    asked.work.mkdir(parents=True, exist_ok=True)
    with Reporter() as reporter:
        reporter.say(f"Joining the catalogues of {' and '.join(SETS)}")
        catalogue = write_catalogue(asked.data, asked.work / "paintings.csv")
        tasks = {task: _study(task, catalogue, asked, reporter) for task in asked.tasks}
    found = {
        "benchmark": "study",
        "settings": {"pixels": SIZE, "sets": SETS, "split": SPLIT, "group": "artist", "seed": SEED},
        "machine": machine(),
        "versions": versions(),
        "tasks": tasks,
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / RESULT).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def write_catalogue(data: Path, target: Path) -> Path:
    """Write one table of the paintings of all sets that are in `data`, with the address of each.

    Raises FileNotFoundError where no set is there.
    """
    names = ("uri", "record_id", "artist", "title", "genre", "style")
    rows = []
    for name in SETS:
        table = data / f"{name}.csv"
        if table.exists():
            with table.open(encoding="utf-8", newline="") as file:
                rows += [{**row, "uri": str((data / name / row["file"]).resolve())} for row in csv.DictReader(file)]
    if not rows:
        raise FileNotFoundError(f"{data} has none of {', '.join(f'{name}.csv' for name in SETS)}: give --data FOLDER.")
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return target


def _study(task: str, catalogue: Path, asked: argparse.Namespace, reporter: Watcher) -> dict[str, Any]:
    """Curate one task, train the contestants that can be, and return what is known of it."""
    file = asked.work / f"{task}.parquet"
    dataset = curated(task, catalogue, file, reporter)
    if asked.images is not None:
        dataset = limited(dataset, asked.images, file)
    rows, seconds, not_run = [], {}, {}
    for one in CONTESTANTS:
        note = asked.work / f"{task}-{one.name}.json"
        if not note.exists():
            if one.name not in asked.only:
                not_run[one.name] = "it was not asked for"
            elif (why := lacking(one.backbone, asked.weights.get(one.backbone))) is not None:
                not_run[one.name] = why
            if one.name in not_run:
                reporter.say(f"{task}, {one.name} is left out: {not_run[one.name]}")
                continue
            found = _trained(one, task, file, asked.work / f"{task}-{one.name}", asked, reporter)
            note.write_text(json.dumps({"dataset": dataset.digest, **found}, ensure_ascii=False))
        known = json.loads(note.read_text())
        if known["dataset"] != dataset.digest:
            raise ValueError(f"{note} is of other images: give another --work, or remove it.")
        seconds[one.name] = known["seconds"]
        rows += known["rows"]
    there = {term for side in SPLITS for term in sides(dataset, task)[side]["classes"]}
    return {
        **sides(dataset, task),
        "absent": [term for term in CLASSES[task] if term not in there],
        "seconds": seconds,
        "not_run": not_run,
        "rows": rows,
    }


def curated(task: str, catalogue: Path, target: Path, watcher: Watcher) -> Dataset:
    """Make the dataset of a task: the study's classes, as far as they have works by two artists."""
    with catalogue.open(encoding="utf-8", newline="") as file:
        known = [normalise(task, row[task]) or row[task] for row in csv.DictReader(file) if row[task]]
    terms = sorted({term if isinstance(term, str) else term.name for term in known} - set(CLASSES[task]))
    request = CurateRequest(
        (),
        str(catalogue),
        str(target),
        (task,),
        leave_out=tuple((task, term) for term in terms),
        min_artists=2,
        balance="none",
        split=SPLIT,
        seed=SEED,
    )
    return curate(request, watcher).dataset


def limited(dataset: Dataset, images: int, target: Path) -> Dataset:
    """Write a dataset of at most so many training images and as many test images as go with them, drawn at random."""
    sides_of = np.array(dataset.table.column("split").to_pylist())
    order = random_order(SEED, dataset.table.column("image_id").to_pylist())
    kept = np.zeros(len(order), bool)
    for side, most in zip(SPLITS, (images, round(images * SPLIT[1] / SPLIT[0])), strict=True):
        there = np.flatnonzero(sides_of == side)
        kept[there[np.argsort(order[there], kind="stable")[:most]]] = True
    return write_dataset(str(target), dataset.table.filter(pa.array(kept)), dataset.tasks, dataset.settings)


@cache
def lacking(backbone: str, weights: str | None) -> str | None:
    """Why a backbone cannot begin with trained weights, in a line; None where it can."""
    from artylyze.models.backbones import load_backbone

    try:
        load_backbone(backbone, weights=None if weights is None else Path(weights), size=SIZE)
    except InputError as error:
        if weights is None:
            return f"its weights could not be fetched, and no `--weights {backbone}=FILE` was given"
        return " ".join(str(error).split()).rstrip(".")
    return None


def _trained(
    one: Contestant, task: str, dataset: Path, folder: Path, asked: argparse.Namespace, reporter: Watcher
) -> dict[str, Any]:
    """Train a contestant, and evaluate the best of its rates, with pictures."""
    began = time.monotonic()
    board = tune(tuning(one, dataset, folder, asked.weights, asked.whole_epochs), reporter)
    seconds = round(time.monotonic() - began)
    found = rows(board, task, one.name)
    output = f"{folder}/evaluation"
    evaluation = evaluate(EvaluateRequest(f"{folder}/{BEST}", str(dataset), output, folds=0), reporter)
    write_report(evaluation, output, reporter)
    best = next(row for row in board.rows if row.rank == 1)
    for row in found:
        if row["learning_rate"] == best.learning_rate:
            row["classes"] = {
                each.term: {"images": each.support, "f1": round(each.f1, 4)}
                for each in evaluation.tasks[task].metrics.per_class
            }
    return {"seconds": seconds, "rows": found}


def tuning(
    one: Contestant,
    dataset: Path,
    output: Path,
    weights: Mapping[str, str] | None = None,
    whole_epochs: int | None = None,
) -> TuneRequest:
    """What `artylyze tune` is asked for a contestant; `whole_epochs` are for networks that are trained whole."""
    return TuneRequest(
        str(dataset),
        str(output),
        rates=one.rates,
        backbones=(one.backbone,),
        weights={name: file for name, file in (weights or {}).items() if name == one.backbone},
        mode=one.mode,
        scheduler="none",
        epochs=whole_epochs if whole_epochs and one.mode == "finetune" else one.epochs,
        image_size=SIZE,
        device="cpu",
        seed=SEED,
    )


def sides(dataset: Dataset, task: str) -> dict[str, Any]:
    """How many images of each class, and how many artists, lie on either side of the split."""
    found: dict[str, Any] = {}
    for side in SPLITS:
        mine = dataset.table.filter(pc.equal(dataset.table.column("split"), side))
        counts = Counter(mine.column(task).to_pylist())
        artists = len(set(mine.column("group").to_pylist()))
        found[side] = {"images": len(mine), "artists": artists, "classes": dict(counts.most_common())}
    return found


def rows(board: Board, task: str, contestant: str) -> list[dict[str, Any]]:
    """The lines of a board, by learning rate; the figures are those of the test split, and the held-out ones beside.

    Raises ValueError where a training did not come to its end.
    """
    if failed := [row.error for row in board.rows if row.state != COMPLETE]:
        raise ValueError(f"{contestant} did not end: {failed[0]}")
    return [
        {
            "contestant": contestant,
            "model": row.trial.model,
            "weights": "file" if Path(row.trial.weights).is_file() else row.trial.weights,
            "mode": row.mode,
            "learning_rate": row.learning_rate,
            "epochs": row.epochs,
            **{
                part: {name: round(row.metrics[task][part][name], 4) for name in ("n", *COLUMNS)}
                for part in ("test", "held_out")
            },
        }
        for row in sorted(board.rows, key=lambda row: row.learning_rate)
    ]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the sets and their CSV")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="where the JSON goes")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "study", help="datasets, sweeps, pictures, notes")
    parser.add_argument("--tasks", type=_names, default=list(TASKS), help="which to train now")
    everyone = [one.name for one in CONTESTANTS]
    parser.add_argument("--only", type=_names, default=everyone, help=f"which of {', '.join(everyone)}")
    parser.add_argument("--weights", action="append", default=[], help="of a backbone: NAME=FILE, as `tune` takes it")
    parser.add_argument("--images", type=int, help="training images, with a third as many for test; default all")
    parser.add_argument("--whole-epochs", type=int, help="epochs of networks trained whole, default by network")
    asked = parser.parse_args(arguments)
    asked.weights = parse_weights(asked.weights)
    if unknown := set(asked.only) - set(everyone):
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
    return asked


def _names(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
