"""Linear heads on features: multinomial logistic regression, for many learning rates in one pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
