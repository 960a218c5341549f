from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artylyze.training.heads import HeadSettings, class_weights, cross_fit

SETTINGS = HeadSettings(learning_rate=0.02, epochs=6, batch_size=8, weight_decay=0.1, label_smoothing=0.1)
SIZE = 3


def plain_fit(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    held_out: Sequence[int],
    settings: HeadSettings,
    asked: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """The logits of what it holds out, or is asked, (n, SIZE), by one head that was fitted alone, in float64.

    It sees the batches of a pass over all images, less what it holds out, as the heads of a pass together do.
    """
    kept = np.ones(len(labels), bool)
    kept[list(held_out)] = False
    mean, std = features[kept].mean(0, dtype=np.float64), features[kept].std(0, dtype=np.float64)
    standard = torch.from_numpy((features - mean) / std)
    classes, learned = torch.from_numpy(labels), torch.from_numpy(kept)
    balanced = torch.from_numpy(class_weights(np.bincount(labels[kept], minlength=SIZE), settings.balance)).double()
    weight = torch.zeros(features.shape[1], SIZE, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(SIZE, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW(
        [{"params": [weight], "weight_decay": settings.weight_decay}, {"params": [bias], "weight_decay": 0.0}],
        lr=settings.learning_rate,
    )
    steps = settings.epochs * math.ceil(len(labels) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)
    random = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.epochs):
        for rows in torch.split(torch.randperm(len(labels), generator=random), settings.batch_size):
            torch.randint(1, (len(rows),), generator=random)  # which view, where there are several
            mine = rows[learned[rows]]
            losses = torch.nn.functional.cross_entropy(
                standard[mine] @ weight + bias,
                classes[mine],
                reduction="none",
                label_smoothing=settings.label_smoothing,
            )
            optimizer.zero_grad()
            ((losses * balanced[classes[mine]]).sum() / balanced[classes[mine]].sum()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    found = standard[list(held_out if asked is None else asked)] @ weight + bias
    return np.asarray(found.detach().numpy(), np.float64)


def data(count: int = 60, width: int = 5) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features of very different scales and far from 0; what the first ten images show is far from the others too.

    Classes are uneven: where a batch is balanced, a gradient is 0 but for rounding, which Adam makes a step of.
    """
    random = np.random.default_rng(0)
    labels = random.choice(SIZE, count, p=[0.5, 0.3, 0.2])
    features = random.normal(size=(count, width)) + 2 * np.eye(SIZE, width)[labels]
    features[:10] += 5
    return (features * np.logspace(-2, 2, width) + 3).astype(np.float32), labels


def test_heads_of_one_pass_equal_heads_that_were_fitted_alone() -> None:
    features, labels = data()
    folds = [np.arange(10), np.arange(10, 35), np.arange(35, 60)]
    (crossed,) = cross_fit(features, labels, SIZE, SETTINGS, [SETTINGS.learning_rate], folds)
    for fold in folds:
        alone = plain_fit(features, labels, fold.tolist(), SETTINGS)
        assert np.abs(crossed.logits[fold] - alone).max() <= 1e-5 * np.abs(alone).max()
    whole = plain_fit(features, labels, [], SETTINGS, asked=range(60))
    assert np.abs(crossed.head.logits(features) - whole).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("outlier", [50.0, -3e4])
def test_what_is_held_out_tells_a_head_nothing_of_itself(outlier: float) -> None:
    features, labels = data()
    folds = [np.arange(10), np.arange(10, 60)]
    changed = features.copy()
    changed[:10] += outlier
    (first,), (second,) = (cross_fit(each, labels, SIZE, SETTINGS, [0.02], folds) for each in (features, changed))
    shift = second.logits[:10] - first.logits[:10]
    assert np.allclose(shift, shift[0], rtol=1e-3, atol=1e-3 * np.abs(shift).max())  # one head, moved features


def test_a_feature_that_only_held_out_images_vary_in_says_nothing() -> None:
    features, labels = data()
    folds = [np.arange(10), np.arange(10, 60)]
    constant = np.where(np.arange(60) < 10, np.arange(60) + 7, 5.1).astype(np.float32)
    (with_it,) = cross_fit(np.c_[features, constant], labels, SIZE, SETTINGS, [0.02], folds)
    (without,) = cross_fit(features, labels, SIZE, SETTINGS, [0.02], folds)
    assert np.allclose(with_it.logits[:10], without.logits[:10], rtol=1e-4, atol=1e-4)


def test_classes_that_lie_whole_in_a_fold_are_named_and_in_no_curve() -> None:
    features, labels = data()
    labels = np.where(np.arange(60) < 5, 2, labels % 2)
    folds = [np.arange(10), np.arange(10, 35), np.arange(35, 60)]
    (crossed,) = cross_fit(features, labels, SIZE, SETTINGS, [0.02], folds)
    assert crossed.untaught == (2,)
    (alone,) = cross_fit(features[:3], np.arange(3), SIZE, SETTINGS, [0.02], [np.array([row]) for row in range(3)])
    assert alone.untaught == (0, 1, 2)
    assert set(alone.curves) == {"loss, train", "accuracy, train"}
