"""How the head of one task learns: AdamW on standardised features, many learning rates and held-out parts at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from artylyze.datasets.folds import classes_untaught
from artylyze.training.heads import CrossFitted, FittedHeads, Head, HeadSettings
from artylyze.workers.supervision import cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Rows = NDArray[np.int64]
    Labels = NDArray[np.int64]
    Curves = dict[str, list[float]]

TOGETHER = 4096
"""Images whose features are in memory twice while something is computed from them."""

RATES_EACH = 4
"""Learning rates that a thread takes at least: with fewer, its products are too short to overlap with another's."""


def class_weights(counts: NDArray[np.int64], balance: float) -> Matrix:
    """Weights of classes of `counts` images, float32: counts ** -balance, scaled to a mean of 1 over the images.

    A class without images weighs nothing.
    """
    weights = np.where(counts > 0, np.maximum(counts, 1.0) ** -balance, 0.0)
    return np.asarray(weights * counts.sum() / max((weights * counts).sum(), 1e-12), np.float32)


def fold(weight: Matrix, bias: Matrix, mean: Matrix, std: Matrix) -> Head:
    """The head on raw features that equals `weight` (terms, F), `bias` (terms,) on `(features - mean) / std`."""
    scaled = weight.astype(np.float64) / std.astype(np.float64)
    return Head(scaled.astype(np.float32), (bias - scaled @ mean.astype(np.float64)).astype(np.float32))


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
    apart = np.zeros(0, np.int64) if held_out is None else held_out
    heads: list[dict[str, Head]] = [{} for _ in learning_rates]
    curves: list[dict[str, list[float]]] = [{} for _ in learning_rates]
    views = [features] if mirrored is None else [features, mirrored]
    for name, found in labels.items():
        for place, ((head, drawn),) in enumerate(fit(views, found, sizes[name], settings, learning_rates, [apart])):
            heads[place][name] = head
            curves[place] |= {f"{name} {series}": values for series, values in drawn.items()}
    return [FittedHeads(*one) for one in zip(learning_rates, heads, curves, strict=True)]


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


def fit(
    views: Sequence[Matrix],
    labels: NDArray[np.int64],
    size: int,
    settings: HeadSettings,
    rates: Sequence[float],
    held_out: Sequence[Rows],
) -> list[list[tuple[Head, Curves]]]:
    """Train one task: for each learning rate and each part of `held_out` a head and its curves (see `_Fit`)."""

    def some(chunk: Sequence[float]) -> list[list[tuple[Head, Curves]]]:
        torch.set_num_threads(1)
        one = _Fit(views, labels, size, settings, chunk, held_out)
        return [list(zip(heads, curves, strict=True)) for heads, curves in zip(one.run(), one.curves, strict=True)]

    count = min(cores(), len(rates) // RATES_EACH) if settings.device == "cpu" else 1
    chunks = [chunk.tolist() for chunk in np.array_split(np.array(rates, np.float64), max(1, count))]
    with _one_thread(), ThreadPoolExecutor(len(chunks)) as pool:
        return [one for found in pool.map(some, chunks) for one in found]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let each thread of ours be one for torch: a step is too short to be shared, and threads that wait spin.

    Measured on two cores that others used too: 2 ms of CPU time for a step of 12 rates, and 47 ms with two threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Fit:
    """The training of one task: for each learning rate a head for each held-out part, which learns from all the rest.

    All of them see the same batches, so that their weights lie side by side in one product. Each passes over what it
    holds out, and has weights for features that are standardised by the images that it learns from: those it holds out
    would tell of themselves. (An image of a class that a head has not learned then stands out from all others, and is
    "recognised" by that.) What differs between the heads is folded into weights and biases within the step.

    Args:
        views: float32 (n, F) of the images, and perhaps of their mirror images.
        labels: int64 (n,), -1 for images that nobody is to see.
        size: number of classes.
        settings: but for the learning rate.
        rates: learning rates (R).
        held_out: for each head of a rate the rows that it does not learn from, perhaps none (P).
    """

    def __init__(
        self,
        views: Sequence[Matrix],
        labels: NDArray[np.int64],
        size: int,
        settings: HeadSettings,
        rates: Sequence[float],
        held_out: Sequence[Rows],
    ) -> None:
        self._settings, self._size, self._rates, self._held_out = settings, size, len(rates), held_out
        self._device = torch.device(settings.device)
        labelled = np.flatnonzero(labels >= 0)
        kept = np.ones((len(labels), len(held_out)), bool)
        for place, rows in enumerate(held_out):
            kept[rows, place] = False
        self._train = labelled[kept[labelled].any(axis=1)]
        learned = [labelled[kept[labelled, place]] for place in range(len(held_out))]
        if not min(map(len, learned)):
            raise ValueError("nothing is left to learn from")
        counts = np.stack([np.bincount(labels[rows], minlength=size) for rows in learned])
        self._taught = self._tensor(counts > 0)
        self._class_weights = self._tensor(np.stack([class_weights(row, settings.balance) for row in counts]))
        self._moments = _moments(views[0], labelled, kept)
        self._shift, self._scale, self._centres, ratios = map(self._tensor, _frames(self._moments))
        self._ratios = ratios.repeat_interleave(size, 1)
        self._views = [self._tensor(view) for view in views]
        self._labels, self._kept = self._tensor(labels), self._tensor(kept)
        shape = (views[0].shape[1], len(held_out) * size)
        self._weights = [torch.zeros(shape, device=self._device, requires_grad=True) for _ in rates]
        self._biases = [torch.zeros(shape[1], device=self._device, requires_grad=True) for _ in rates]
        self._optimizer, self._schedule = self._optimize(rates)
        self.curves: list[list[Curves]] = [[{} for _ in held_out] for _ in rates]

    def _tensor(self, values: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device)

    def _optimize(self, rates: Sequence[float]) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """AdamW for all rates; each falls to 0 along half a cosine."""
        groups = [
            {"params": [tensor], "lr": rate, "weight_decay": decay}
            for tensors, decay in ((self._weights, self._settings.weight_decay), (self._biases, 0.0))
            for tensor, rate in zip(tensors, rates, strict=True)
        ]
        optimizer = torch.optim.AdamW(groups, fused=True)
        steps = self._settings.epochs * math.ceil(len(self._train) / self._settings.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)
        return optimizer, schedule

    def run(self) -> list[list[Head]]:
        """Train, draw the curves, and return the heads of each rate."""
        random = torch.Generator().manual_seed(self._settings.seed)
        for _ in range(self._settings.epochs):
            self._epoch(random)
            self._judge()
        parts = (
            (weight.detach().cpu().numpy(), bias.detach().cpu().numpy())
            for weight, bias in zip(self._weights, self._biases, strict=True)
        )
        return [
            [
                fold(weight[:, columns].T, bias[columns], mean, np.where(std > 0, std, np.float32(1)))
                for columns, (mean, std) in zip(
                    map(self._columns, range(len(self._moments))), self._moments, strict=True
                )
            ]
            for weight, bias in parts
        ]

    def _epoch(self, random: torch.Generator) -> None:
        heads, smoothing = len(self._held_out), self._settings.label_smoothing
        seen = torch.zeros(3, self._rates, heads, device=self._device)
        order = torch.from_numpy(self._train)[torch.randperm(len(self._train), generator=random)]
        for rows in torch.split(order, self._settings.batch_size):
            at = rows.to(self._device)
            chosen = torch.randint(len(self._views), (len(rows),), generator=random).to(self._device)
            folded = self._folded().requires_grad_()
            scores = self._scores(self._features(at, chosen), folded)
            losses, right = self._losses(scores, at)
            kept = self._kept[at]
            weights = (kept * self._class_weights[:, self._labels[at]].T).unsqueeze(1)
            smoothed = (1 - smoothing) * losses - smoothing * scores.mean(3) if smoothing else losses
            loss = (smoothed * weights).sum(0) / weights.sum(0).clamp_min(1e-12)
            self._optimizer.zero_grad()
            loss.sum().backward()  # type: ignore[no-untyped-call]
            self._unfold(folded.grad)
            self._optimizer.step()
            self._schedule.step()
            count = kept.unsqueeze(1).expand(-1, self._rates, -1)
            seen += torch.stack([losses.detach() * count, right * count, count]).sum(1)
        self._note("train", range(heads), seen)

    @torch.inference_mode()
    def _judge(self) -> None:
        """Ask each head about the labelled images that it holds out, but for those of classes that it never saw."""
        for place, rows in enumerate(self._held_out):
            judged = torch.from_numpy(rows).to(self._device)
            judged = judged[self._labels[judged] >= 0]
            judged = judged[self._taught[place][self._labels[judged]]]
            seen, folded = torch.zeros(3, self._rates, 1, device=self._device), self._folded(place)
            for at in torch.split(judged, TOGETHER):
                scores = self._scores(self._features(at), folded, place)
                losses, right = self._losses(scores, at)
                seen += torch.stack([losses, right, torch.ones_like(losses)]).sum(1)
            if len(judged):
                self._note("held out", [place], seen)

    def _features(self, at: torch.Tensor, chosen: torch.Tensor | None = None) -> torch.Tensor:
        """The features of images, (n, F), each in its view `chosen`, or as it is; in a frame that all heads share."""
        features = self._views[0][at]
        if chosen is not None and len(self._views) > 1:
            features[chosen == 1] = self._views[1][at[chosen == 1]]
        return (features - self._shift) * self._scale

    def _columns(self, place: int) -> slice:
        """Where the weights of a head lie."""
        return slice(place * self._size, (place + 1) * self._size)

    @torch.no_grad()
    def _folded(self, place: int | None = None) -> torch.Tensor:
        """The weights of all heads or of the one at `place`, (F, R * heads * terms), in the common frame."""
        columns = slice(None) if place is None else self._columns(place)
        ratios = self._ratios[:, columns]
        folded = torch.empty(len(ratios), self._rates * ratios.shape[1], device=self._device)
        for weight, part in zip(self._weights, torch.split(folded, ratios.shape[1], 1), strict=True):
            torch.mul(weight[:, columns], ratios, out=part)
        return folded

    def _unfold(self, gradient: torch.Tensor | None) -> None:
        """Hand the gradient of the folded weights on: by hand, since autograd would pass over them twice more."""
        if gradient is not None:
            for weight, part in zip(self._weights, torch.split(gradient, self._ratios.shape[1], 1), strict=True):
                weight.grad = part * self._ratios

    def _scores(self, features: torch.Tensor, folded: torch.Tensor, place: int | None = None) -> torch.Tensor:
        """Log-probabilities (n, R, heads, terms) by all heads or by the one at `place`, whose folded weights are given.

        The centre of a head's own frame is one row more of the same product: its logits there are taken off.
        """
        columns = slice(None) if place is None else self._columns(place)
        centres = self._centres if place is None else self._centres[place : place + 1]
        count, heads = len(features), len(centres)
        bias = torch.cat([one[columns] for one in self._biases]).view(self._rates, heads, self._size)
        found = (torch.cat([features, centres]) @ folded).view(count + heads, self._rates, heads, self._size)
        offsets = found[count:].diagonal(dim1=0, dim2=2).permute(0, 2, 1)
        return (found[:count] + (bias - offsets)).log_softmax(3)

    def _losses(self, scores: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy and whether the answer is right, (n, R, heads), of log-probabilities (n, R, heads, terms)."""
        labels = self._labels[at].view(-1, 1, 1).expand(scores.shape[:3])
        losses = -scores.gather(3, labels.unsqueeze(3)).squeeze(3)
        return losses, (scores.argmax(3) == labels).float()

    def _note(self, side: str, places: Sequence[int], seen: torch.Tensor) -> None:
        """Add a point to the curves of the heads at `places`: `seen` is the sums of (2) and the count."""
        loss, right = (seen[:2] / seen[2]).tolist()
        for curves, losses, rights in zip(self.curves, loss, right, strict=True):
            for place, one, share in zip(places, losses, rights, strict=True):
                curves[place].setdefault(f"loss, {side}", []).append(one)
                curves[place].setdefault(f"accuracy, {side}", []).append(share)


def _moments(features: Matrix, labelled: Rows, kept: NDArray[np.bool_]) -> list[tuple[Matrix, Matrix]]:
    """For each column of `kept` the mean and standard deviation of each feature over the `labelled` rows it marks.

    A deviation is 0 for a feature that is the same in all of them. Rows that the same heads keep are summed up once,
    and their sums combined (Chan, Golub and LeVeque 1983), not subtracted from those of all rows: of a feature that one
    held-out image alone has, the rounding of its square would be left.
    """
    kinds, kind = np.unique(kept[labelled], axis=0, return_inverse=True)
    cells = [_cell(features, labelled[kind.reshape(-1) == number]) for number in range(len(kinds))]
    counts, means, squares = (np.stack(column) for column in zip(*cells, strict=True))
    return [_combined(counts[keeps], means[keeps], squares[keeps]) for keeps in kinds.T]


def _cell(features: Matrix, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The number of `rows`, (1,), the mean of each feature and the sum of its squared distances from that, (F,)."""
    parts = np.array_split(rows, math.ceil(len(rows) / TOGETHER))
    mean = sum(features[part].sum(0, dtype=np.float64) for part in parts) / len(rows)
    return np.array([len(rows)], np.float64), mean, sum(((features[part] - mean) ** 2).sum(0) for part in parts)


def _combined(
    counts: NDArray[np.float64], means: NDArray[np.float64], squares: NDArray[np.float64]
) -> tuple[Matrix, Matrix]:
    """Mean and standard deviation of each feature, float32 (F,), of cells: (C, 1), (C, F) and (C, F)."""
    mean = (counts * means).sum(0) / counts.sum()
    std = np.sqrt((squares + counts * (means - mean) ** 2).sum(0) / counts.sum())
    std[std <= 1e-6 * np.abs(mean) + 1e-12] = 0.0
    return mean.astype(np.float32), std.astype(np.float32)


def _frames(moments: Sequence[tuple[Matrix, Matrix]]) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """How P frames, each the (mean, std) of F features, lie in one that serves them all.

    It is for each feature the narrowest, so that no outlier that another head learns from costs it digits.

    Returns:
        Shift and scale of that frame, (F,); in it the centre of each other, (P, F), and how much finer each is, (F, P):
        0 for a feature that is the same everywhere, since rounding is all that could be learned from it.
    """
    means, stds = (np.stack(column).astype(np.float64) for column in zip(*moments, strict=True))
    narrow = np.where(stds > 0, stds, np.inf).argmin(0), np.arange(stds.shape[1])
    shift, std = means[narrow], stds[narrow]
    scale = np.divide(1, std, out=np.zeros_like(std), where=std > 0)
    ratios = np.divide(std, stds, out=np.zeros_like(stds), where=stds > 0)
    centres = np.where(stds > 0, (means - shift) * scale, 0)
    ratios = np.ascontiguousarray(ratios.T)
    return shift.astype(np.float32), scale.astype(np.float32), centres.astype(np.float32), ratios.astype(np.float32)
