"""Linear heads on features: logistic regression by AdamW, cross-validated, for many learning rates in one pass.

scikit-learn's LogisticRegression has no learning rate to sweep, no epochs to plot, no label smoothing and no GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from artylyze.datasets.folds import classes_untaught
from artylyze.errors import UsageError
from artylyze.workers.supervision import cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Rows = NDArray[np.int64]
    Labels = NDArray[np.int64]
    Curves = dict[str, list[float]]

CHUNK = 4096
"""Images whose features are in memory twice while something is computed from them."""

RATES_EACH = 4
"""Least number of learning rates of a thread: with fewer, its products are too short to overlap with another's."""


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
    """How heads are trained. Raises UsageError for values outside their range.

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
class CrossFitted:
    """The head of one task and one learning rate, and held-out logits of heads that were fitted like it.

    Attributes:
        head: fitted to all labelled images.
        logits: float32 (n, terms), of the labelled images in the order of their rows, each by the head fitted without
            its fold.
        untaught: classes that lie whole in one fold, so that no image of theirs was learned from when it was held out.
        curves: `loss, train`, `accuracy, train`, `loss, held out` and `accuracy, held out` per epoch, as the mean over
            the folds; the loss is the cross-entropy, neither weighted nor smoothed. `..., train` is the mean over the
            steps, `..., held out` is measured at the end of the epoch, and absent where all classes are untaught.
    """

    head: Head
    logits: Matrix
    untaught: tuple[int, ...]
    curves: Mapping[str, list[float]]


def class_weights(counts: NDArray[np.int64], balance: float) -> Matrix:
    """Weights of classes of `counts` images, float32: counts ** -balance, scaled to a mean of 1 over the images.

    A class without images weighs nothing.
    """
    weights = np.where(counts > 0, np.maximum(counts, 1.0) ** -balance, 0.0)
    return np.asarray(weights * counts.sum() / max((weights * counts).sum(), 1e-12), np.float32)


def fold_standardisation(weight: Matrix, bias: Matrix, mean: Matrix, std: Matrix) -> Head:
    """The head on raw features that equals `weight` (terms, F), `bias` (terms,) on `(features - mean) / std`."""
    scaled = weight.astype(np.float64) / std.astype(np.float64)
    return Head(scaled.astype(np.float32), (bias - scaled @ mean.astype(np.float64)).astype(np.float32))


def cross_fit(
    features: Matrix,
    labels: Labels,
    size: int,
    settings: HeadSettings,
    learning_rates: Sequence[float],
    folds: Sequence[Rows],
    *,
    left_out: Sequence[Rows] = (),
    varied: Matrix | None = None,
) -> list[CrossFitted]:
    """Train the heads of one task, one without each fold and one on all images, for all learning rates in one pass.

    Args:
        features: float32 (n, F).
        labels: int64 (n,), -1 for images to ignore.
        size: number of classes.
        settings: all but the learning rate.
        learning_rates: each above 0; there is one result for each.
        folds: positions among the labelled images; each of these is in exactly one fold. May be empty.
        left_out: for each fold positions that are not learned from either; empty: none.
        varied: float32 (n, F) of the images mirrored and rotated: each step then takes one or the other of an image.

    Raises:
        ValueError: if a head has no image to learn from.
    """
    rows = np.flatnonzero(labels >= 0)
    unlearned = [np.concatenate(parts) for parts in zip(folds, left_out, strict=True)] if left_out else folds
    held_out = [*(rows[fold] for fold in unlearned), np.zeros(0, np.int64)]
    views = [features] if varied is None else [features, varied]

    def fit(rates: Sequence[float]) -> list[list[tuple[Head, Curves]]]:
        torch.set_num_threads(1)
        return _Fit(views, labels, size, settings, rates, held_out).run()

    threads = min(cores(), len(learning_rates) // RATES_EACH) if settings.device == "cpu" else 1
    chunks = [chunk.tolist() for chunk in np.array_split(np.array(learning_rates, np.float64), max(1, threads))]
    with _one_torch_thread(), ThreadPoolExecutor(len(chunks)) as pool:
        fitted = [heads for chunk in pool.map(fit, chunks) for heads in chunk]
    results = []
    for *partial, (final, final_curves) in fitted:
        logits = np.zeros((len(rows), size), np.float32)
        for fold, (head, _) in zip(folds, partial, strict=True):
            logits[fold] = head.logits(features[rows[fold]])
        drawn = [curves for _, curves in partial] or [final_curves]
        series = dict.fromkeys(name for curves in drawn for name in curves)
        means = {name: np.mean([curves[name] for curves in drawn if name in curves], 0).tolist() for name in series}
        results.append(CrossFitted(final, logits, classes_untaught(labels[rows], folds), means))
    return results


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Let each of our threads be one for torch: a step is too short to be shared, and threads that wait spin.

    On two cores that others used too a step of 12 rates took 2 ms of CPU time, and 47 ms with two threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Fit:
    """The training of one task: for each learning rate and each held-out part a head that learns from all the rest.

    All heads see the same batches, side by side in one product. Each passes over what it holds out, and sees features
    standardised by the images that it learns from: statistics over the others too would leak them. (An image of a class
    that a head has not learned then stands out from all others, and is "recognised" by that.)

    Shapes: P held-out parts, R rates, C classes, b images of a batch.

    Args:
        views: float32 (n, F) of the images, and perhaps of the same varied.
        labels: int64 (n,), -1 for images to ignore.
        size: number of classes (C).
        settings: all but the learning rate.
        rates: learning rates (R).
        held_out: for each part the rows that its heads do not learn from, perhaps none (P).
    """

    def __init__(
        self,
        views: Sequence[Matrix],
        labels: Labels,
        size: int,
        settings: HeadSettings,
        rates: Sequence[float],
        held_out: Sequence[Rows],
    ) -> None:
        self._settings, self._size = settings, size
        self._device = torch.device(settings.device)
        learned = [np.setdiff1d(np.flatnonzero(labels >= 0), rows) for rows in held_out]
        if not min(map(len, learned)):
            raise ValueError("nothing is left to learn from")
        weights = np.zeros((len(held_out), len(labels)), np.float32)
        self._held_out = []
        for part, rows in enumerate(learned):
            counts = np.bincount(labels[rows], minlength=size)
            weights[part, rows] = class_weights(counts, settings.balance)[labels[rows]]
            asked = held_out[part][labels[held_out[part]] >= 0]
            self._held_out.append(self._tensor(asked[counts[labels[asked]] > 0]))
        self._train = torch.from_numpy(np.unique(np.concatenate(learned)))
        self._moments = [_moments(views[0], rows) for rows in learned]
        means, stds = (np.stack(column)[:, None] for column in zip(*self._moments, strict=True))
        self._mean = self._tensor(means)
        self._scale = self._tensor(np.divide(1, stds, out=np.zeros_like(stds), where=stds > 0))
        self._views, self._labels = [self._tensor(view) for view in views], self._tensor(labels)
        self._image_weights = self._tensor(weights)
        shape = (len(held_out), views[0].shape[1], size)
        self._weights = [torch.zeros(shape, device=self._device, requires_grad=True) for _ in rates]
        self._biases = [torch.zeros(shape[0], 1, size, device=self._device, requires_grad=True) for _ in rates]
        groups = [
            {"params": [tensor], "lr": rate, "weight_decay": decay}
            for tensors, decay in ((self._weights, settings.weight_decay), (self._biases, 0.0))
            for tensor, rate in zip(tensors, rates, strict=True)
        ]
        self._optimizer = torch.optim.AdamW(groups, fused=True)
        steps = settings.epochs * math.ceil(len(self._train) / settings.batch_size)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: (1 + math.cos(math.pi * step / steps)) / 2
        )
        self._curves: list[list[Curves]] = [[{} for _ in held_out] for _ in rates]

    def _tensor(self, values: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device)

    def run(self) -> list[list[tuple[Head, Curves]]]:
        """Train, and return for each rate and each held-out part the head and its curves."""
        random = torch.Generator().manual_seed(self._settings.seed)
        for _ in range(self._settings.epochs):
            self._train_epoch(random)
            self._evaluate()
        moments = [(mean, np.where(std > 0, std, np.float32(1))) for mean, std in self._moments]
        heads = [
            [
                fold_standardisation(weight.T, bias[0], *each)
                for weight, bias, each in zip(weights, biases, moments, strict=True)
            ]
            for weights, biases in zip(map(_numpy, self._weights), map(_numpy, self._biases), strict=True)
        ]
        return [list(zip(*pair, strict=True)) for pair in zip(heads, self._curves, strict=True)]

    def _train_epoch(self, random: torch.Generator) -> None:
        smoothing = self._settings.label_smoothing
        sums = torch.zeros(3, len(self._mean), len(self._weights), device=self._device)
        order = self._train[torch.randperm(len(self._train), generator=random)]
        for rows in torch.split(order, self._settings.batch_size):
            at = rows.to(self._device)
            view = torch.randint(len(self._views), (len(rows),), generator=random).to(self._device)
            features = self._views[0][at]
            if len(self._views) > 1:
                features[view == 1] = self._views[1][at[view == 1]]
            scores = self._scores(features)
            losses, right = _losses(scores, self._labels[at])
            weights = self._image_weights[:, at].unsqueeze(2)
            smoothed = (1 - smoothing) * losses - smoothing * scores.mean(3) if smoothing else losses
            loss = (smoothed * weights).sum(1) / weights.sum(1).clamp_min(1e-12)
            self._optimizer.zero_grad()
            loss.sum().backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._schedule.step()
            learned = (weights > 0).float().expand_as(losses)
            sums += torch.stack([losses.detach() * learned, right * learned, learned]).sum(2)
        for part in range(len(self._mean)):
            self._note("train", part, sums[:, part])

    @torch.inference_mode()
    def _evaluate(self) -> None:
        """Let each head classify the labelled images that it holds out, but for those of classes that it never saw."""
        for part, held_out in enumerate(self._held_out):
            sums = torch.zeros(3, len(self._weights), device=self._device)
            for at in torch.split(held_out, CHUNK):
                losses, right = _losses(self._scores(self._views[0][at], part)[0], self._labels[at])
                sums += torch.stack([losses, right, torch.ones_like(losses)]).sum(1)
            if len(held_out):
                self._note("held out", part, sums)

    def _scores(self, features: torch.Tensor, part: int | None = None) -> torch.Tensor:
        """Log-probabilities (P, b, R, C) of features (b, F), by the heads of all parts or, with P = 1, of one."""
        parts = slice(None) if part is None else slice(part, part + 1)
        standard = (features - self._mean[parts]) * self._scale[parts]
        weights = torch.cat([weight[parts] for weight in self._weights], 2)
        biases = torch.cat([bias[parts] for bias in self._biases], 2)
        scores = torch.baddbmm(biases, standard, weights)
        return scores.reshape(*scores.shape[:2], scores.shape[2] // self._size, self._size).log_softmax(3)

    def _note(self, side: str, part: int, sums: torch.Tensor) -> None:
        """Add a point to the curves of the heads of a part: `sums` (3, R) are losses, right answers and images."""
        for curves, loss, accuracy in zip(self._curves, *(sums[:2] / sums[2]).tolist(), strict=True):
            curves[part].setdefault(f"loss, {side}", []).append(loss)
            curves[part].setdefault(f"accuracy, {side}", []).append(accuracy)


def _numpy(tensor: torch.Tensor) -> Matrix:
    return np.asarray(tensor.detach().cpu().numpy())


def _losses(scores: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy and whether the answer is right, (..., b, R), of log-probabilities (..., b, R, C), labels (b,)."""
    classes = labels.view(-1, 1, 1).expand(*scores.shape[:-1], 1)
    return -scores.gather(-1, classes).squeeze(-1), (scores.argmax(-1, keepdim=True) == classes).squeeze(-1).float()


def _moments(features: Matrix, rows: Rows) -> tuple[Matrix, Matrix]:
    """Mean and standard deviation of each feature over `rows`, float32 (F,); 0 for one that is the same in all."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for part in np.array_split(rows, math.ceil(len(rows) / CHUNK)):
        scaler.partial_fit(features[part])
    std = np.sqrt(scaler.var_)
    std[std <= 1e-6 * np.abs(scaler.mean_) + 1e-12] = 0.0
    return scaler.mean_.astype(np.float32), std.astype(np.float32)
