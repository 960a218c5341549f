"""Trains the starter, the model that ships inside the package: `make starter`.

Its heads come from scikit-learn, on principal components of the features: what did best on works by artists that had
not been learned from is logistic regression, with a third of the linear discriminants added for genre.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.datasets.dataset import read_dataset
from artylyze.datasets.examples import Examples, examples_of
from artylyze.datasets.folds import DISJOINT, RANDOM, classes_untaught, cut_folds
from artylyze.extraction.cached import embed, features_folder
from artylyze.models.backbones import OFFLINE_BACKBONE, load_backbone
from artylyze.models.build import build_bundle, features_bundle
from artylyze.models.scores import probabilities
from artylyze.models.starter import FOLDER, save_starter
from artylyze.training.bundling import calibrated
from artylyze.training.calibration import fit_temperature
from artylyze.training.heads import Head
from artylyze.training.learned import Scored
from artylyze.training.metrics import scores_of
from artylyze.training.outside import fit_outside

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASKS = ("genre", "style")
SIZE, TAPS = 384, (0, 1, 2, 3, 4)
COMPONENTS, LEADING = 450, 300
"""Principal components of the standardised features that the logistic regression and the discriminants see."""

DISCRIMINANTS, SHRINKAGE = {"genre": 0.35, "style": 0.0}, 0.5
"""Share of the linear discriminants that joins the logistic regression; how far their covariance shrinks (Ledoit and
Wolf 2004 give the form) towards a multiple of the identity."""

PENALTY = 4e-3
"""Inverse strength `C` of the logistic regression's squared penalty."""

EVEN = 0.25
"""An image by an artist of n images weighs n ** -EVEN in the logistic regression, so that no artist is a style."""

FOLDS, PRECISION = 4, 0.85

ABSENT = -1e3
"""The logit of a class that a fold does not know."""

SETTINGS = {
    "components": COMPONENTS,
    "leading": LEADING,
    "discriminants": DISCRIMINANTS,
    "shrinkage": SHRINKAGE,
    "penalty": PENALTY,
    "even": EVEN,
    "folds": FOLDS,
}

DATA = (
    "3,017 photographs of paintings by artists long dead, short side at most 288 pixels, gathered from public "
    "repositories; labels from the WikiArt catalogue, folder names and titles.",
    "868 of them name no artist: each counts as an artist of its own, so artist-disjoint folds can hold works of one "
    "unnamed artist on both sides.",
)
TRAPS = (
    "2,187 images of one source were squashed to 224 x 224 pixels before they were gathered, and certain styles come "
    "almost only from it; every image is made a square here, so that the shape tells nothing.",
    "High Renaissance is nearly all Titian: its score says little about other painters.",
    "One artist's works on both sides of a random split flatter style: read the artist-disjoint figures first.",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train on a dataset of `artylyze curate`, write the starter into the package and its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", help="the .parquet file that `artylyze curate --group none` wrote")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the starter goes")
    parser.add_argument("--results", type=Path, required=True, help="the JSON file for the figures")
    options = parser.parse_args(arguments)
    figures = make_starter(options.dataset, options.folder)
    options.results.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", "utf-8")
    json.dump(figures["tasks"], sys.stdout, indent=2)


def make_starter(dataset_file: str, folder: Path) -> dict[str, Any]:
    """Fit, measure and write the starter; return its figures. All images are learned from, and held out once each way.

    Raises InputError for a dataset that cannot be used.
    """
    dataset = read_dataset(dataset_file)
    examples = examples_of(dataset, TASKS)
    backbone, rows = load_backbone(OFFLINE_BACKBONE, size=SIZE, taps=TAPS), examples.labelled
    features = embed(examples.table.take(rows), features_bundle(backbone), device="cpu", cache=features_folder())
    read = rows[features.rows]
    heads, tasks, metrics = {}, [], {}
    for name, terms in examples.tasks.items():
        labels, groups = examples.labels[name][read], examples.groups[read]
        known = labels >= 0
        matrix, labels, groups = features.matrix[known], labels[known], groups[known]
        metrics[name], held_out = cross_validate(name, matrix, labels, groups, terms)
        tasks.append(calibrated(name, terms, held_out, PRECISION))
        heads[name] = fit(name, matrix, labels, groups, len(terms))
    bundle = build_bundle(
        backbone,
        tasks,
        {name: (head.weight, head.bias) for name, head in heads.items()},
        outside=fit_outside(features.matrix, examples.groups[read]),
        training_data=dataset.digest,
        metrics=metrics,
        training=_described(examples, read),
    )
    save_starter(folder, bundle)
    return {
        "dataset": dataset.digest,
        "images": len(read),
        "size": SIZE,
        "taps": list(TAPS),
        "settings": SETTINGS,
        "tasks": metrics,
        "review": {task.name: asdict(task) for task in tasks},
    }


def fit(
    task: str, features: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.str_], size: int
) -> Head:
    """The linear head of a task on features (n, F) as they are; a class without an image gets the logit ABSENT."""
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    components = PCA(min(COMPONENTS, *features.shape), svd_solver="randomized", random_state=0)
    reduced = components.fit_transform(scaler.transform(features))
    _, artist, counts = np.unique(groups, return_inverse=True, return_counts=True)
    regression = LogisticRegression(C=PENALTY, max_iter=400).fit(reduced, labels, counts[artist] ** -EVEN)
    linear, constant = regression.coef_.copy(), regression.intercept_
    if share := DISCRIMINANTS[task]:
        leading = reduced[:, :LEADING]
        discriminants = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE).fit(leading, labels)
        linear[:, : leading.shape[1]] += share * discriminants.coef_
        constant = constant + share * discriminants.intercept_
    raw = linear @ components.components_ / scaler.scale_
    weight, bias = np.zeros((size, features.shape[1])), np.full(size, ABSENT)
    weight[regression.classes_] = raw
    bias[regression.classes_] = constant - linear @ components.components_ @ components.mean_ - raw @ scaler.mean_
    return Head(weight.astype(np.float32), bias.astype(np.float32))


def cross_validate(
    task: str, features: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.str_], terms: Sequence[str]
) -> tuple[dict[str, Any], Scored]:
    """Figures over folds cut both ways, {"mean", "spread"} each, and artist-disjoint held-out logits of every image."""
    figures, logits_by_split, untaught = {}, {}, {}
    for split, together in ((DISJOINT, groups), (RANDOM, np.full(len(labels), "all"))):
        folds = cut_folds(labels, together, FOLDS, seed=0).held_out
        untaught[split] = classes_untaught(labels, folds)
        logits = logits_by_split[split] = np.zeros((len(labels), len(terms)), np.float32)
        for held in folds:
            kept = np.setdiff1d(np.arange(len(labels)), held)
            logits[held] = fit(task, features[kept], labels[kept], groups[kept], len(terms)).logits(features[held])
        figures[split] = _figures(logits, labels, folds, terms, untaught[split])
    return figures, Scored(logits_by_split[DISJOINT], labels, untaught[DISJOINT])


def _figures(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    folds: Sequence[NDArray[np.int64]],
    terms: Sequence[str],
    untaught: Sequence[int] = (),
) -> dict[str, Any]:
    """Mean and spread of the figures over folds, each with the temperature that fits the other folds.

    Classes that lie whole in a fold are in none of them.
    """
    known, rows = np.flatnonzero(~np.isin(labels, untaught)), []
    parts = [part for held in folds if len(part := np.intersect1d(held, known))]
    everything = np.zeros((len(labels), len(terms)), np.float32)
    for held in parts:
        others = np.setdiff1d(known, held)
        everything[held] = probabilities(logits[held], fit_temperature(logits[others], labels[others]))
        metrics = scores_of(everything[held], labels[held], terms)
        rows.append({**metrics.summary(), "accuracy_at_80": metrics.at_coverage(0.8)})
    names = [name for name in rows[0] if name != "n" and all(row[name] is not None for row in rows)]
    return {
        "n": len(known),
        **{name: {"mean": _mean(rows, name), "spread": _spread(rows, name)} for name in names},
        "ece, all folds together": round(scores_of(everything[known], labels[known], terms).ece, 4),
        "not_measurable": {terms[code]: int((labels == code).sum()) for code in untaught},
    }


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return round(float(np.mean([row[name] for row in rows])), 4)


def _spread(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return round(float(np.std([row[name] for row in rows], ddof=1)), 4)


def _described(examples: Examples, read: NDArray[np.int64]) -> dict[str, Any]:
    """What the card tells."""
    whole = replace(examples, train=np.ones_like(examples.train))
    return {
        "mode": "frozen",
        "data": list(DATA),
        "traps": list(TRAPS),
        "limits": ["The heads' few settings were chosen by these same folds, so the figures are a little kind."],
        "images": {name: whole.counts(name, whole.of(name, read, train=True)) for name in whole.tasks},
        "held_out": dict.fromkeys(whole.tasks, f"{FOLDS} artist-disjoint folds"),
        "precision_target": PRECISION,
        "heads": SETTINGS,
    }


if __name__ == "__main__":
    main()
