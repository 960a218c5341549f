"""The table of the study that artylyze follows, on real paintings: three-layer CNN, frozen and fine-tuned networks.

python benchmarks/study.py --data ../shared/data --out benchmarks/results [--tasks genre] [--work build/study]

Curates the ten most frequent classes of each task with no artist on both sides, trains through `artylyze tune`'s own
function, and writes train-study.json with the columns that `tune` prints. A killed study goes on where it stopped, in
the same --work. `python benchmarks/report.py` makes the section of docs/benchmarks/quality.md of it.

ImageNet weights of MobileNet, DenseNet121 and VGG16, which the study ranks too, cannot be had without a network: what
random weights of theirs would score says nothing, so they are not in the table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from artylyze.datasets.curate import CurateRequest, curate
from artylyze.datasets.dataset import SPLITS, Dataset
from artylyze.progress import Reporter
from artylyze.training.request import Mode
from artylyze.tuning.leaderboard import COLUMNS, COMPLETE, Board
from artylyze.tuning.sweep import TuneRequest
from artylyze.tuning.tune import tune
from benchmarks.measure import machine, versions

ROOT = Path(__file__).resolve().parent.parent
RESULT = "train-study.json"
CLASSES, SPLIT, SIZE, SEED = 10, (0.75, 0.25), 180, 0
TASKS = ("genre", "style")


@dataclass(frozen=True)
class Contestant:
    """One line of the study, or one for each learning rate."""

    name: str
    backbone: str
    mode: Mode
    rates: tuple[float, ...]
    epochs: int


CONTESTANTS = (
    Contestant("cnn3", "cnn3", "finetune", (1e-3,), 15),
    Contestant("frozen", "tf_efficientnet_lite0", "frozen", (1e-4, 5e-4, 1e-3), 20),
    Contestant("finetune", "tf_efficientnet_lite0", "finetune", (1e-4,), 4),
)
"""Epochs such that all of it takes two cores less than half an hour: more of them could change the figures."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is not trained yet, and write what came out of all that is."""
    asked = _parse(arguments)
    asked.work.mkdir(parents=True, exist_ok=True)
    for task in asked.tasks:
        _study(task, asked.data, asked.work)
    tasks = {
        task: json.loads(_note(asked.work, task).read_text()) for task in TASKS if _note(asked.work, task).exists()
    }
    found = {
        "benchmark": "study",
        "settings": {
            "pixels": SIZE,
            "classes": CLASSES,
            "split": SPLIT,
            "group": "artist",
            "seed": SEED,
            "epochs": {one.name: one.epochs for one in CONTESTANTS},
        },
        "machine": machine(),
        "versions": versions(),
        "tasks": tasks,
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / RESULT).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def _note(work: Path, task: str) -> Path:
    return work / f"{task}.json"


def _study(task: str, data: Path, work: Path) -> None:
    """Curate one task and train all contestants on it; leave a note of what came out."""
    dataset = work / f"{task}.parquet"
    request = CurateRequest(
        (str(data / "paintings.csv"),),
        str(data / "paintings"),
        str(dataset),
        (task,),
        classes=CLASSES,
        balance="none",
        split=SPLIT,
        seed=SEED,
    )
    with Reporter() as reporter:
        curated = curate(request, reporter).dataset
        lines, seconds = [], {}
        for one in CONTESTANTS:
            began = time.monotonic()
            board = tune(tuning(one, dataset, work / f"{task}-{one.name}"), reporter)
            seconds[one.name] = round(time.monotonic() - began)
            lines += rows(board, task, one.name)
    note = {**sides(curated, task), "seconds": seconds, "rows": lines}
    _note(work, task).write_text(json.dumps(note, ensure_ascii=False))


def tuning(one: Contestant, dataset: Path, output: Path) -> TuneRequest:
    """What `artylyze tune` is asked for a contestant."""
    return TuneRequest(
        str(dataset),
        str(output),
        rates=one.rates,
        backbones=(one.backbone,),
        mode=one.mode,
        scheduler="none",
        epochs=one.epochs,
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
            "weights": row.trial.weights,
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
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with paintings and their CSV")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="where the JSON goes")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "study", help="datasets and sweeps; goes on there"
    )
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list(TASKS), help="which to train now")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
