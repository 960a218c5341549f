"""Linear heads on features: multinomial logistic regression, for many learning rates in one pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from artylyze.datasets.folds import classes_untaught
from artylyze.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Head:
    """A linear classifier on features as the backbone gives them.

    Attributes:
        weight: float32 (terms, F).
        bias: float32 (terms,).
    """

    weight: Matrix
    bias: Matrix

    def logits(self, features: Matrix) -> Matrix:
        """Features (n, F) -> logits, float32 (n, terms)."""
        return features @ self.weight.T + self.bias


@dataclass(frozen=True)
class HeadSettings:
    """How heads are trained. Raises UsageError for values that cannot be meant.

    Attributes:
        learning_rate: AdamW's at the first step; it falls to 0 along half a cosine.
        epochs: times that every image is seen.
        batch_size: images for each step.
        weight_decay: AdamW's, of the weights; biases do not decay.
        label_smoothing: share of each label that is spread over all classes.
        balance: how much uneven classes are evened out: an image of a class of n images weighs n ** -balance.
        seed: of the order of the images.
        device: `cpu` or `cuda`.
    """

    learning_rate: float = 5e-4
    epochs: int = 20
    batch_size: int = 32
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    balance: float = 0.5
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise UsageError(f"The learning rate must be above 0, not {self.learning_rate}.")
        if min(self.epochs, self.batch_size) < 1:
            raise UsageError("Give at least one epoch, and at least one image for each step.")
        if not (0 <= self.label_smoothing < 1 and 0 <= self.balance <= 1 and 0 <= self.weight_decay < math.inf):
            raise UsageError("Label smoothing lies in 0 to below 1, balance in 0 to 1, weight decay is at least 0.")


@dataclass(frozen=True, eq=False)
class FittedHeads:
    """The heads of one learning rate.

    Attributes:
        learning_rate: that they were trained with.
        heads: one for each task.
        curves: for each task and epoch its loss (cross-entropy, neither weighted nor smoothed) and accuracy: the series
            `<task> loss, train` and `<task> accuracy, train` as mean over the steps, and `... held out` at the end of
            the epoch, where something was held out.
    """

    learning_rate: float
    heads: Mapping[str, Head]
    curves: Mapping[str, list[float]]


def fit_heads(
    features: Matrix,
    labels: Mapping[str, Labels],
    sizes: Mapping[str, int],
    settings: HeadSettings,
    *,
    held_out: NDArray[np.int64] | None = None,
    mirrored: Matrix | None = None,
) -> FittedHeads:
    """Train a head for each task with `settings.learning_rate`; arguments as for `fit_many`."""
    rates = [settings.learning_rate]
    return fit_many(features, labels, sizes, settings, rates, held_out=held_out, mirrored=mirrored)[0]


def fit_many(
    features: Matrix,
    labels: Mapping[str, Labels],
    sizes: Mapping[str, int],
    settings: HeadSettings,
    learning_rates: Sequence[float],
    *,
    held_out: NDArray[np.int64] | None = None,
    mirrored: Matrix | None = None,
) -> list[FittedHeads]:
    """Train heads for all learning rates in one pass over the features; one result for each rate.

    Heads on features that stay as they are have nothing in common, so each task learns from its own images only.

    Args:
        features: float32 (n, F).
        labels: for each task int64 (n,), -1 where an image has no label.
        sizes: for each task the number of its classes.
        settings: but for its learning rate.
        learning_rates: each above 0.
        held_out: positions that nothing is learned from, and that the curves are drawn for.
        mirrored: float32 (n, F) of the mirror images: each step then takes the one or the other of an image.

    Raises:
        ValueError: for a task of which nothing is left to learn from.
    """
    from artylyze.training.fitting import fit

    apart = np.zeros(0, np.int64) if held_out is None else held_out
    heads: list[dict[str, Head]] = [{} for _ in learning_rates]
    curves: list[dict[str, list[float]]] = [{} for _ in learning_rates]
    views = [features] if mirrored is None else [features, mirrored]
    for name, found in labels.items():
        for place, ((head, drawn),) in enumerate(fit(views, found, sizes[name], settings, learning_rates, [apart])):
            heads[place][name] = head
            curves[place] |= {f"{name} {series}": values for series, values in drawn.items()}
    return [FittedHeads(*one) for one in zip(learning_rates, heads, curves, strict=True)]


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """The head of one task and one learning rate, and what its like said of images that were held out from them.

    Attributes:
        head: learned from all labelled images.
        logits: float32 (n, terms), of the labelled images in the order of their rows, each by the head without it.
        untaught: classes of which some head had to answer for images without having learned from any.
        curves: `loss, train` and so on, per epoch, as the mean over the heads that held something out; without
            `..., held out` where all that was held out is of untaught classes.
    """

    head: Head
    logits: Matrix
    untaught: tuple[int, ...]
    curves: Mapping[str, list[float]]


def cross_fit(
    features: Matrix,
    labels: Labels,
    size: int,
    settings: HeadSettings,
    learning_rates: Sequence[float],
    folds: Sequence[NDArray[np.int64]],
    *,
    mirrored: Matrix | None = None,
) -> list[CrossFitted]:
    """Train the heads of one task, without each fold and with all, for all learning rates in one pass.

    Args:
        features: float32 (n, F).
        labels: int64 (n,), -1 where an image has no label or is neither to be learned from nor asked about.
        size: number of classes.
        settings: but for the learning rate.
        learning_rates: each above 0; there is one result for each.
        folds: positions among the labelled images; together each of these once.
        mirrored: as for `fit_many`.
    """
    from artylyze.training.fitting import fit

    rows = np.flatnonzero(labels >= 0)
    parts = [rows[fold] for fold in folds]
    untaught = classes_untaught(labels[rows], folds)
    views = [features] if mirrored is None else [features, mirrored]
    results = []
    for *apart, (final, _) in fit(views, labels, size, settings, learning_rates, [*parts, np.zeros(0, np.int64)]):
        logits = np.zeros((len(rows), size), np.float32)
        for fold, part, (head, _) in zip(folds, parts, apart, strict=True):
            logits[fold] = head.logits(features[part])
        series = dict.fromkeys(name for _, drawn in apart for name in drawn)
        curves = {
            name: np.mean([drawn[name] for _, drawn in apart if name in drawn], axis=0).tolist() for name in series
        }
        results.append(CrossFitted(final, logits, untaught, curves))
    return results
