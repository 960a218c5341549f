"""Trains the starter, the model that ships inside the package: `make starter`.

Its heads come from scikit-learn, on principal components of the features: what did best on works by artists that had
not been learned from is logistic regression, with a third of the linear discriminants added for genre.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.datasets.dataset import Dataset, read_dataset
from artylyze.datasets.examples import Examples, examples_of
from artylyze.datasets.folds import DISJOINT, RANDOM, SOURCES, Folds, cut_folds, cut_sources
from artylyze.extraction.cached import embed, features_folder
from artylyze.models.backbones import OFFLINE_BACKBONE, load_backbone
from artylyze.models.build import build_bundle, features_bundle
from artylyze.models.scores import probabilities
from artylyze.models.starter import FOLDER, save_starter
from artylyze.training.bundling import calibrated
from artylyze.training.calibration import FLAG_ALL, fit_temperature, review_threshold
from artylyze.training.heads import Head
from artylyze.training.learned import Scored
from artylyze.training.metrics import scores_of
from artylyze.training.outside import fit_outside

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.models.bundle import Task

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

FOLDS, PRECISION = 5, 0.85

FEW_ARTISTS = 5
"""A class by fewer artists is known by their hands: its answers need a score that is sure for them alone."""

ABSENT = -1e3
"""The logit of a class that a fold does not know."""

ENOUGH = 60
"""Images of a class from which its features can be learned, by the rule that chose the classes."""

MANY = f"accuracy, classes by {FEW_ARTISTS} artists or more"

SETTINGS = {
    "components": COMPONENTS,
    "leading": LEADING,
    "discriminants": DISCRIMINANTS,
    "shrinkage": SHRINKAGE,
    "penalty": PENALTY,
    "even": EVEN,
    "folds": FOLDS,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train on a dataset of `artylyze curate`, write the starter into the package and its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", help="the .parquet file that `artylyze curate --group none` wrote")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the starter goes")
    parser.add_argument("--results", type=Path, required=True, help="the JSON file for the figures")
    options = parser.parse_args(arguments)
    figures = make_starter(read_dataset(options.dataset), options.folder)
    options.results.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for task, splits in figures["tasks"].items():
        accuracies = {split: each["accuracy"] for split, each in splits.items()}
        sys.stdout.write(f"{task}: {json.dumps(accuracies, indent=2)}\n")


def make_starter(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Fit, measure and write the starter; return its figures. All images are learned from, and held out once each way.

    Raises InputError for a dataset that cannot be used.
    """
    examples = examples_of(dataset, TASKS)
    backbone, rows = load_backbone(OFFLINE_BACKBONE, size=SIZE, taps=TAPS), examples.labelled
    features = embed(examples.table.take(rows), features_bundle(backbone), device="cpu", cache=features_folder())
    read = rows[features.rows]
    sources = np.array(examples.table.column("source").fill_null("").to_pylist(), str)[read]
    heads, tasks, metrics = {}, [], {}
    for task, terms in examples.tasks.items():
        known = examples.labels[task][read] >= 0
        matrix, labels, groups = (
            features.matrix[known],
            examples.labels[task][read][known],
            examples.groups[read][known],
        )
        metrics[task], held_out = cross_validate(task, matrix, labels, groups, sources[known], terms)
        tasks.append(with_wide_thresholds(calibrated(task, terms, held_out, PRECISION), held_out, groups))
        heads[task] = fit(task, matrix, labels, groups, len(terms))
    bundle = build_bundle(
        backbone,
        tasks,
        {name: (head.weight, head.bias) for name, head in heads.items()},
        outside=fit_outside(features.matrix, examples.groups[read]),
        training_data=dataset.digest,
        metrics=metrics,
        training=_described(dataset, examples, read),
    )
    save_starter(folder, bundle)
    return {
        "dataset": dataset.digest,
        "images": len(read),
        "size": SIZE,
        "taps": list(TAPS),
        "settings": SETTINGS,
        "tasks": metrics,
        "review": {task.name: task.as_dict() for task in tasks},
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
    components = PCA(min(COMPONENTS, *features.shape), svd_solver="randomized", iterated_power=2, random_state=0)
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
    task: str,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    sources: NDArray[np.str_],
    terms: Sequence[str],
) -> tuple[dict[str, Any], Scored]:
    """Figures over folds cut three ways, and artist-disjoint held-out logits of every image."""
    cuts = {
        DISJOINT: cut_folds(labels, groups, FOLDS, seed=0),
        SOURCES: cut_sources(labels, groups, sources, FOLDS),
        RANDOM: cut_folds(labels, np.full(len(labels), "all"), FOLDS, seed=0),
    }
    figures, answers = {}, {}
    for split, cut in cuts.items():
        figures[split], answers[split] = validate(task, features, labels, groups, cut, terms)
    # On the same images, and with enough of their classes left: what other photographs cost, and not what fewer do.
    shared = cuts[SOURCES].measurable(labels, ENOUGH)
    same = {split: round(float((answers[split].argmax(1) == labels)[shared].mean()), 4) for split in cuts}
    figures[SOURCES]["well taught"] = {"n": int(shared.sum()), "least": ENOUGH, "accuracy": same}
    untaught = np.unique(labels[~cuts[DISJOINT].measurable(labels)])
    return figures, Scored(answers[DISJOINT], labels, tuple(untaught.tolist()))


def validate(
    task: str,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    cut: Folds,
    terms: Sequence[str],
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Figures over the folds of one cut, and the held-out logits float32 (n, terms) of every image."""
    logits = np.zeros((len(labels), len(terms)), np.float32)
    for held, kept in zip(cut.held_out, cut.learned(len(labels)), strict=True):
        logits[held] = fit(task, features[kept], labels[kept], groups[kept], len(terms)).logits(features[held])
    return _figures(logits, labels, cut, terms, _few(labels, groups, len(terms))), logits


def _few(labels: NDArray[np.int64], groups: NDArray[np.str_], size: int) -> list[int]:
    """The classes by fewer than `FEW_ARTISTS` artists."""
    return [code for code in range(size) if len(np.unique(groups[labels == code])) < FEW_ARTISTS]


def with_wide_thresholds(task: Task, held_out: Scored, groups: NDArray[np.str_]) -> Task:
    """The task with a review threshold of its own for each class by few artists, as `PRECISION` asks of its answers."""
    scores = probabilities(held_out.logits, task.temperature)
    best, right, wide = scores.argmax(axis=1), scores.argmax(axis=1) == held_out.labels, {}
    for code in _few(held_out.labels, groups, len(task.terms)):
        own = review_threshold(scores[best == code, code], right[best == code], PRECISION)
        wide[task.terms[code]] = FLAG_ALL if own is None else max(own, task.review_threshold)
    return replace(task, term_thresholds=wide)


def _figures(
    logits: NDArray[np.float32], labels: NDArray[np.int64], cut: Folds, terms: Sequence[str], few: Sequence[int]
) -> dict[str, Any]:
    """Mean and spread of the figures over folds, each with the temperature that fits the other folds.

    Images whose class was not learned while they were held out are in none of them.
    """
    taught, rows = cut.measurable(labels), []
    known = np.flatnonzero(taught)
    everything = np.zeros((len(labels), len(terms)), np.float32)
    for held in (held[taught[held]] for held in cut.held_out if taught[held].any()):
        others = np.setdiff1d(known, held)
        everything[held] = probabilities(logits[held], fit_temperature(logits[others], labels[others]))
        metrics = scores_of(everything[held], labels[held], terms)
        many = held[~np.isin(labels[held], few)]
        of_many = float((everything[many].argmax(axis=1) == labels[many]).mean())
        rows.append({**metrics.summary(), "accuracy_at_80": metrics.at_coverage(0.8), MANY: of_many})
    names = [name for name in rows[0] if name != "n"]
    pooled = scores_of(everything[known], labels[known], terms)
    return {
        "n": len(known),
        **{name: {"mean": _mean(rows, name), "spread": _spread(rows, name)} for name in names},
        "f1, all folds together": round(pooled.f1, 4),
        "ece, all folds together": round(pooled.ece, 4),
        "per_class": [
            {"term": row.term, **{name: round(getattr(row, name), 3) for name in ("precision", "recall", "f1")}}
            for row in pooled.per_class
        ],
        "not_measurable": {terms[code]: int((labels[~taught] == code).sum()) for code in np.unique(labels[~taught])},
    }


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return round(float(np.mean([row[name] for row in rows])), 4)


def _spread(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return round(float(np.std([row[name] for row in rows], ddof=1)), 4)


def _described(dataset: Dataset, examples: Examples, read: NDArray[np.int64]) -> dict[str, Any]:
    """What the card tells."""
    whole = replace(examples, train=np.ones_like(examples.train))
    return {
        "mode": "frozen",
        **_data(dataset, examples, read),
        "limits": ["The heads' few settings were chosen by these same folds, so the figures are a little kind."],
        "images": {name: whole.counts(name, whole.of(name, read, train=True)) for name in whole.tasks},
        "held_out": dict.fromkeys(whole.tasks, f"{FOLDS} artist-disjoint folds"),
        "precision_target": PRECISION,
        "heads": SETTINGS,
    }


def _data(dataset: Dataset, examples: Examples, read: NDArray[np.int64]) -> dict[str, list[str]]:
    """What the images are, and the traps in them."""
    images = examples.table.column("image_id").take(read).to_pylist()
    aspects, copyrighted = _catalogued(dataset, {Path(image).name for image in images})
    groups = examples.groups[read]
    nameless = sum(group.startswith("record ") for group in groups.tolist())
    thin = [
        terms[code]
        for task, terms in examples.tasks.items()
        for code in _few(examples.labels[task][read], groups, len(terms))
    ]
    protected = ", ".join(f"{term} {count:,}" for term, count in copyrighted.items())
    data = [
        f"{len(read):,} photographs of paintings, drawings and prints, short side at most 320 pixels, gathered from "
        "public repositories; labels from the WikiArt catalogue, folder names and titles, and by eye.",
        f"{copyrighted.total():,} of them show works in copyright ({protected}): the heads learned from these too; the "
        "package has no picture.",
        f"{nameless:,} name no artist: each counts as an artist of its own, so artist-disjoint folds can hold works of "
        "one unnamed artist on both sides.",
    ]
    traps = [
        f"{aspects['squashed 224']:,} images were squashed to 224 x 224 pixels before they were gathered, and "
        f"{aspects['cropped square 256']:,} cropped to 256 x 256; certain styles come almost only from either. Every "
        "image is made a square here, so that the shape tells nothing.",
        "One artist's works on both sides of a split flatter style, and so do one source's photographs: read the "
        "figures for unseen artists and sources first.",
        f"Classes by fewer than {FEW_ARTISTS} artists are known by their hands: {', '.join(thin)}. Their answers have "
        "a review threshold of their own.",
    ]
    return {"data": data, "traps": traps}


def _catalogued(dataset: Dataset, files: set[str]) -> tuple[Counter[str], Counter[str]]:
    """How many `files` have each `aspect` in the dataset's catalogues; how many are `in_copyright`, by their style."""
    aspects, copyrighted = Counter[str](), Counter[str]()
    for catalogue in dataset.settings["labels"]:
        with open(catalogue, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["file"] in files:
                    aspects[row["aspect"]] += 1
                    copyrighted[row["style"]] += row.get("in_copyright") == "1"
    return aspects, +copyrighted


if __name__ == "__main__":
    main()
