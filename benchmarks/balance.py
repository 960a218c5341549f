"""Whether `curate` should undersample: heads on frozen features with and without, judged by the same works.

python benchmarks/balance.py --data ../shared/data --out benchmarks/results [--work build/balance]

Both sets of paintings are split by artist as `curate` does, with several seeds. Heads that learn from all training
images (an image of a class of n images weighs n ** -0.5) and heads that learn from the undersampled ones are asked
about all test images, which are not undersampled. Writes train-balance.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from artylyze.datasets.curate import CurateRequest, curate
from artylyze.datasets.dataset import Dataset
from artylyze.extraction.cached import embed, features_folder
from artylyze.models.backbones import load_backbone
from artylyze.models.build import features_bundle
from artylyze.models.scores import probabilities
from artylyze.progress import Reporter, Watcher
from artylyze.training.heads import HeadSettings, cross_fit
from artylyze.training.metrics import scores_of
from benchmarks.inputs import SEED
from benchmarks.measure import machine, versions
from benchmarks.report import markdown
from benchmarks.study import ROOT, TASKS, write_catalogue

RESULT = "train-balance.json"
SEEDS = range(SEED, SEED + 3)
CHOICES = ("none", "undersample")
CLASSES = (None, 10)
"""What `--classes` is given: all that have works by two artists, or the ten best represented."""

FIGURES = ("accuracy", "recall", "f1")


def main(arguments: Sequence[str] | None = None) -> None:
    """Embed once, curate and fit each way, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the sets and their CSV")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="where the JSON goes")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "balance", help="datasets")
    asked = parser.parse_args(arguments)
    asked.work.mkdir(parents=True, exist_ok=True)
    rows = []
    with Reporter() as reporter:
        catalogue = write_catalogue(asked.data, asked.work / "paintings.csv")
        for task in TASKS:
            features: dict[str, NDArray[np.float32]] = {}
            for classes in CLASSES:
                rows += _measure(task, classes, catalogue, asked.work, features, reporter)
    found = {
        "benchmark": "balance",
        "settings": {"seeds": list(SEEDS), "backbone": "tf_efficientnet_lite0", "group": "artist"},
        "machine": machine(),
        "versions": versions(),
        "rows": rows,
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / RESULT).write_text(json.dumps(found, indent=1) + "\n")


def _measure(
    task: str,
    classes: int | None,
    catalogue: Path,
    work: Path,
    features: dict[str, NDArray[np.float32]],
    watcher: Watcher,
) -> list[dict[str, Any]]:
    """A row for each choice of balance: means over the seeds, and their standard deviations.

    `features`, of images by their ids, are added to: the ten best represented classes need no others than all do.
    """
    found: dict[str, list[dict[str, float]]] = {choice: [] for choice in CHOICES}
    terms = 0
    for seed in SEEDS:
        sets = {choice: _curated(task, classes, choice, seed, catalogue, work, watcher) for choice in CHOICES}
        if not features:
            features |= _embedded(sets["none"], watcher)
        for choice in CHOICES:
            found[choice].append(judged(task, sets["none"], sets[choice], features))
        terms = len(sets["none"].tasks[task])
    return [
        {
            "task": task,
            "classes": terms,
            "balance": choice,
            **{name: round(float(np.mean([each[name] for each in figures])), 4) for name in figures[0]},
            "spread": {name: round(float(np.std([each[name] for each in figures], ddof=1)), 4) for name in FIGURES},
        }
        for choice, figures in found.items()
    ]


def _curated(
    task: str, classes: int | None, balance: str, seed: int, catalogue: Path, work: Path, watcher: Watcher
) -> Dataset:
    target = str(work / f"{task}-{balance}.parquet")
    request = CurateRequest(
        (), str(catalogue), target, (task,), classes=classes, min_artists=2, balance=balance, seed=seed
    )
    return curate(request, watcher).dataset


def _embedded(dataset: Dataset, watcher: Watcher) -> dict[str, NDArray[np.float32]]:
    """Features (F,) of all its images that can be read, by their ids."""
    watcher.start(dataset.table.num_rows, 0, "Embedding")
    bundle = features_bundle(load_backbone("tf_efficientnet_lite0"))
    found = embed(
        dataset.table,
        bundle,
        device="cpu",
        cache=features_folder(),
        advance=lambda count: watcher.advance(count, 0),
    )
    ids = dataset.table.column("image_id").take(found.rows).to_pylist()
    return dict(zip(ids, found.matrix, strict=True))


def judged(
    task: str, whole: Dataset, learned: Dataset, features: Mapping[str, NDArray[np.float32]]
) -> dict[str, float]:
    """Fit heads to the training images of `learned`, and measure them on the test images of `whole`.

    Args:
        task: of both.
        whole: the dataset with all images.
        learned: the same split, with all or some of the images.
        features: (F,) of the images, by their ids.
    """
    ids = whole.table.column("image_id").to_pylist()
    table = whole.table.filter(pa.array([image in features for image in ids]))
    matrix = np.stack([features[image] for image in ids if image in features])
    terms = whole.tasks[task]
    labels = np.array(
        pc.index_in(table.column(task), value_set=pa.array(terms, pa.string())).fill_null(-1).to_numpy(), np.int64
    )
    kept = set(
        zip(learned.table.column("image_id").to_pylist(), learned.table.column("split").to_pylist(), strict=True)
    )
    train = np.array([(image, "train") in kept for image in table.column("image_id").to_pylist()])
    test = pc.equal(table.column("split"), "test").to_numpy(zero_copy_only=False)
    (fitted,) = cross_fit(matrix, np.where(train, labels, -1), len(terms), HeadSettings(), [5e-4], [])
    metrics = scores_of(probabilities(fitted.head.logits(matrix[test]), 1.0), labels[test], terms)
    return {"train": int(train.sum()), "test": metrics.n, **{name: metrics.summary()[name] for name in FIGURES}}


def section(result: dict[str, Any]) -> str:
    """The Markdown of the table, for docs/benchmarks/quality.md."""
    headings = ["", "classes", "balance", "learned from", "asked about", "accuracy", "macro recall", "macro F1"]
    return markdown(
        headings,
        [
            [
                row["task"],
                str(row["classes"]),
                row["balance"],
                f"{row['train']:,.0f}",
                f"{row['test']:,.0f}",
                *(f"{row[name]:.3f} ± {row['spread'][name]:.3f}" for name in FIGURES),
            ]
            for row in result["rows"]
        ],
    )


if __name__ == "__main__":
    main()
