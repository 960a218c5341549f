from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from artylyze.errors import UsageError
from artylyze.training.heads import CrossFitted, HeadSettings, class_weights, cross_fit, fold_standardisation

RANDOM = np.random.default_rng(0)
SETTINGS = HeadSettings(learning_rate=0.03, epochs=8, batch_size=16)


def clusters(classes: int = 3, each: int = 20, width: int = 6) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features around one centre for each class, far from 0 and of very different scales."""
    labels = np.repeat(np.arange(classes), each)
    features = RANDOM.normal(size=(len(labels), width)) + 4 * np.eye(classes, width)[labels]
    return (features * np.logspace(-3, 3, width) + 7).astype(np.float32), labels


FEATURES, LABELS = clusters()
FOLDS = [np.arange(0, 60, 3), np.arange(1, 60, 3), np.arange(2, 60, 3)]


def fit(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    settings: HeadSettings = SETTINGS,
    held_out: Sequence[NDArray[np.int64]] = (),
    varied: NDArray[np.float32] | None = None,
) -> CrossFitted:
    return cross_fit(features, labels, 3, settings, [settings.learning_rate], held_out, varied=varied)[0]


def test_heads_learn_what_can_be_told_apart() -> None:
    assert (fit(FEATURES, LABELS).head.logits(FEATURES).argmax(axis=1) == LABELS).all()


def test_curves_have_a_value_for_each_epoch_and_the_loss_falls() -> None:
    curves = fit(FEATURES, LABELS, held_out=FOLDS).curves
    assert {len(values) for values in curves.values()} == {SETTINGS.epochs}
    assert set(curves) == {f"{what}, {side}" for what in ("loss", "accuracy") for side in ("train", "held out")}
    assert curves["loss, train"][-1] < curves["loss, train"][0]
    assert curves["accuracy, held out"][-1] > 0.95


def test_many_rates_at_once_are_the_same_as_one_after_the_other() -> None:
    rates, varied = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128], FEATURES[:, ::-1].copy()
    settings = replace(SETTINGS, label_smoothing=0.1, weight_decay=0.1)
    together = cross_fit(FEATURES, LABELS, 3, settings, rates, FOLDS, varied=varied)
    for rate, many in zip(rates, together, strict=True):
        alone = fit(FEATURES, LABELS, replace(settings, learning_rate=rate), FOLDS, varied=varied)
        assert np.allclose(many.head.weight, alone.head.weight, rtol=1e-3, atol=1e-5)
        assert np.abs(many.logits - alone.logits).max() <= 0.01 * np.abs(alone.logits).max()
        for name, values in many.curves.items():
            assert np.allclose(values, alone.curves[name], rtol=1e-2, atol=1e-3)


def test_crossed_heads_answer_for_images_that_they_do_not_know() -> None:
    fold = FOLDS[1]
    wrong = LABELS.copy()
    wrong[fold] = (wrong[fold] + 1) % 3
    (first,), (second,) = (cross_fit(FEATURES, labels, 3, SETTINGS, [0.03], FOLDS) for labels in (LABELS, wrong))
    assert np.array_equal(first.logits[fold], second.logits[fold])
    assert not np.allclose(first.logits[FOLDS[0]], second.logits[FOLDS[0]])
    assert (first.logits.argmax(axis=1) == LABELS).mean() > 0.95


def test_a_crossed_pass_ends_with_the_heads_that_learned_from_everything() -> None:
    some = np.where(np.arange(60) % 5 == 0, -1, LABELS)
    folds = np.array_split(np.arange((some >= 0).sum()), 4)
    rates = [0.003, 0.03]
    crossed = cross_fit(FEATURES, some, 3, SETTINGS, rates, folds)
    for rate, one in zip(rates, crossed, strict=True):
        whole = fit(FEATURES, some, replace(SETTINGS, learning_rate=rate)).head
        assert np.allclose(one.head.weight, whole.weight, rtol=1e-3, atol=1e-5)
        assert one.logits.shape == (48, 3)
        assert {len(values) for values in one.curves.values()} == {SETTINGS.epochs}


def test_images_without_a_label_change_nothing() -> None:
    half = np.where(np.arange(60) % 2 == 0, LABELS, -1)
    among, alone = fit(FEATURES, half), fit(FEATURES[half >= 0], half[half >= 0])
    assert np.allclose(among.head.weight, alone.head.weight, rtol=1e-4)


def test_a_task_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing is left"):
        fit(FEATURES, np.full(60, -1))


def test_a_feature_that_is_always_the_same_gets_no_weight() -> None:
    assert not fit(np.c_[FEATURES, np.full(60, 5, np.float32)], LABELS).head.weight[:, -1].any()


def test_the_mirror_image_is_learned_from_too() -> None:
    plain, both = fit(FEATURES, LABELS), fit(FEATURES, LABELS, varied=clusters()[0])
    assert not np.allclose(plain.head.weight, both.head.weight)


numbers = st.floats(-5, 5, width=32)


@given(
    hnp.arrays(np.float32, (3, 7), elements=numbers),
    hnp.arrays(np.float32, 3, elements=numbers),
    hnp.arrays(np.float32, 7, elements=numbers),
    hnp.arrays(np.float32, 7, elements=st.floats(0.0625, 16, width=32)),
    hnp.arrays(np.float32, (4, 7), elements=numbers),
)
def test_folding_the_standardisation_changes_no_logit(
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
    features: NDArray[np.float32],
) -> None:
    exact = (features.astype(float) - mean) / std @ weight.T.astype(float) + bias
    terms = np.abs(features.astype(float)) / std @ np.abs(weight).T + np.abs(mean) / std @ np.abs(weight).T + 1
    folded = fold_standardisation(weight, bias, mean, std).logits(features)
    assert (np.abs(folded - exact) <= 1e-6 * terms).all()  # some roundings of float32, for terms of that size


@given(
    hnp.arrays(np.int64, st.integers(1, 8), elements=st.integers(0, 1000)).filter(lambda counts: counts.sum() > 0),
    st.floats(0, 1),
)
def test_class_weights_even_out_and_keep_the_mean(counts: NDArray[np.int64], balance: float) -> None:
    weights = class_weights(counts, balance)
    assert np.isclose((weights * counts).sum(), counts.sum(), rtol=1e-4)
    assert not weights[counts == 0].any()
    totals = (weights * counts)[counts > 0]
    if balance == 1:
        assert np.allclose(totals, totals[0], rtol=1e-4)
    if balance == 0:
        assert np.allclose(weights[counts > 0], 1)


@pytest.mark.parametrize(
    "wrong",
    [{"learning_rate": 0}, {"learning_rate": float("nan")}, {"epochs": 0}, {"batch_size": 0}, {"label_smoothing": 1}],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        HeadSettings(**wrong)  # type: ignore[arg-type]
