"""How good predictions are: every figure of one task, computed by scikit-learn from probabilities and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from artylyze.errors import InputError

TOP = 5
BINS = 15
"""Equal-width bins of the expected calibration error, as in Guo et al. 2017."""

SMALL = 20
"""Images below which the figures of a class are little more than chance."""

STEPS = 20
"""Points of the curve of coverage against accuracy: every 5 % of the images."""


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class: how many images have it as label and as prediction, and how well they agree (0 where undefined)."""

    term: str
    support: int
    predicted: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions whose scores lie in (low, high]: their number, mean score and accuracy (0 where there are none)."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left when the least certain are set aside: share of the images, and accuracy on those (None: none)."""

    coverage: float
    accuracy: float | None


@dataclass(frozen=True)
class TaskMetrics:
    """All figures of one task, each between 0 and 1.

    Attributes:
        n: labelled images.
        accuracy: share whose best term is the label.
        precision: macro: the mean over the classes that occur as label or as prediction, each class alike.
        recall: macro, over the same classes.
        f1: macro, over the same classes.
        top5: share whose label is among the five best terms (1 for a task of up to five terms).
        ece: expected calibration error of the best term's score.
        per_class: one for each term, in the order of the terms.
        reliability: the bins of `ece`.
        coverage: accuracy on the most certain 5 %, 10 %, ... 100 %.
        confusion: int64 (terms, terms), [label, prediction].
    """

    n: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    top5: float
    ece: float
    per_class: tuple[ClassMetrics, ...]
    reliability: tuple[Bin, ...]
    coverage: tuple[Kept, ...]
    confusion: NDArray[np.int64]

    def summary(self) -> dict[str, float]:
        """Return the single figures, as JSON values."""
        names = ("n", "accuracy", "precision", "recall", "f1", "top5", "ece")
        return {name: getattr(self, name) for name in names}

    def as_dict(self) -> dict[str, Any]:
        """Return everything, as JSON values."""
        return {
            **self.summary(),
            "per_class": [asdict(row) for row in self.per_class],
            "reliability": [asdict(bin_) for bin_ in self.reliability],
            "coverage": [asdict(point) for point in self.coverage],
            "confusion": self.confusion.tolist(),
            "small_classes": self.small,
            "macro_without_small_classes": self.macro_of_others,
        }

    @property
    def small(self) -> dict[str, int]:
        """Classes with fewer than `SMALL` images, but some, and how many they have."""
        return {row.term: row.support for row in self.per_class if 0 < row.support < SMALL}

    @property
    def macro_of_others(self) -> dict[str, float] | None:
        """Precision, recall and F1 as means over the classes with `SMALL` images or more; None if there are none."""
        rows = [row for row in self.per_class if row.support >= SMALL]
        if not rows:
            return None
        return {name: float(np.mean([getattr(row, name) for row in rows])) for name in ("precision", "recall", "f1")}

    def at_coverage(self, coverage: float) -> float:
        """Return the accuracy on the most certain `coverage` (a multiple of 0.05) of the images."""
        return next(kept.accuracy or 0.0 for kept in self.coverage if np.isclose(kept.coverage, coverage))


def scores_of(
    probabilities: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    terms: Sequence[str],
    *,
    untaught: Sequence[int] = (),
) -> TaskMetrics:
    """Measure predictions against labels.

    Args:
        probabilities: (n, terms). NaN, as a model that diverged gives, counts as 0.
        labels: (n,) the class of each image; -1 where it has no label, which leaves the image out.
        terms: of the task, terms[i] is class i.
        untaught: classes that no image here has, because whoever predicted had not learned them: they do not count in
            the macro figures, not even where they were predicted.

    Raises:
        InputError: if no image has a label.
        ValueError: if the shapes do not belong together.
    """
    if probabilities.shape != (len(labels), len(terms)) or (len(labels) and labels.max() >= len(terms)):
        raise ValueError(f"{probabilities.shape} probabilities for {len(labels)} labels of {len(terms)} terms")
    known = labels >= 0
    if not known.any():
        raise InputError("None of these images has a label of this task: there is nothing to measure.")
    truth, scores = labels[known], np.nan_to_num(probabilities[known].astype(np.float64))
    predicted, confidence = scores.argmax(axis=1), scores.max(axis=1)
    correct = predicted == truth
    reliability = reliability_of(confidence, correct)
    counted = np.setdiff1d(np.union1d(truth, predicted), np.array(untaught, np.int64))
    macro = precision_recall_fscore_support(truth, predicted, labels=counted, average="macro", zero_division=0)
    return TaskMetrics(
        n=len(truth),
        accuracy=float(accuracy_score(truth, predicted)),
        precision=float(macro[0]),
        recall=float(macro[1]),
        f1=float(macro[2]),
        top5=_top(truth, scores),
        ece=calibration_error(reliability),
        per_class=_per_class(truth, predicted, terms),
        reliability=reliability,
        coverage=coverage_of(confidence, correct),
        confusion=confusion_matrix(truth, predicted, labels=np.arange(len(terms))).astype(np.int64),
    )


def reliability_of(confidence: NDArray[np.floating[Any]], correct: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Sort predictions by their score, (n,) between 0 and 1, into `BINS` bins of equal width."""
    edges = np.linspace(0, 1, BINS + 1)
    place = np.searchsorted(edges[1:-1], confidence)
    counts = np.bincount(place, minlength=BINS)
    filled = np.maximum(counts, 1)
    means = np.bincount(place, confidence, BINS) / filled
    shares = np.bincount(place, correct, BINS) / filled
    columns = (edges[:-1], edges[1:], counts, means, shares)
    return tuple(Bin(*row) for row in zip(*(column.tolist() for column in columns), strict=True))


def calibration_error(reliability: Sequence[Bin]) -> float:
    """Return the expected calibration error: the gap between score and accuracy, bins weighted by their predictions.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3, arXiv:1706.04599. scikit-learn's
    `calibration_curve` gives the means of the bins but not their counts.
    """
    total = sum(bin_.count for bin_ in reliability)
    return sum(bin_.count * abs(bin_.accuracy - bin_.confidence) for bin_ in reliability) / total


def coverage_of(confidence: NDArray[np.floating[Any]], correct: NDArray[np.bool_]) -> tuple[Kept, ...]:
    """Return the accuracy on the most certain 5 %, 10 %, ... of n predictions; ties count with their mean.

    Selective classification: El-Yaniv and Wiener 2010, JMLR 11. A share of the images is rounded up to a whole image.
    """
    levels, place = np.unique(confidence, return_inverse=True)
    shares = np.bincount(place, correct, len(levels)) / np.bincount(place, minlength=len(levels))
    right = np.cumsum(shares[np.sort(place)[::-1]])
    kept = [-(-step * len(right) // STEPS) for step in range(1, STEPS + 1)]
    return tuple(Kept(step / STEPS, float(right[k - 1] / k)) for step, k in enumerate(kept, 1))


def unflagged(
    confidence: NDArray[np.floating[Any]], correct: NDArray[np.bool_], threshold: float | NDArray[np.float64]
) -> Kept:
    """Return what review thresholds leave to the machine: predictions whose score reaches theirs, (n,) each."""
    sure = confidence >= threshold
    return Kept(float(sure.mean()), float(correct[sure].mean()) if sure.any() else None)


def _top(truth: NDArray[np.integer[Any]], scores: NDArray[np.float64]) -> float:
    terms = scores.shape[1]
    return 1.0 if terms <= TOP else float(top_k_accuracy_score(truth, scores, k=TOP, labels=np.arange(terms)))


def _per_class(
    truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], terms: Sequence[str]
) -> tuple[ClassMetrics, ...]:
    classes = np.arange(len(terms))
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=classes, zero_division=0)
    counts = np.bincount(predicted, minlength=len(terms))
    columns = (support, counts, precision, recall, f1)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return tuple(ClassMetrics(term, *row) for term, row in zip(terms, rows, strict=True))
