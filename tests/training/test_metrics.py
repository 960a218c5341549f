"""Each figure against a hand-computed example, against scikit-learn, and as a property of any predictions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score, f1_score

from artylyze.errors import InputError
from artylyze.training.metrics import (
    BINS,
    calibration_error,
    coverage_of,
    reliability_of,
    scores_of,
    unflagged,
)

TERMS = ("icon", "interior", "landscape", "marine painting", "portrait", "still life", "vanitas")


def predictions(seed: int, n: int = 200, terms: int = len(TERMS)) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    return random.dirichlet(np.full(terms, 0.5), n), random.integers(0, terms, n)


def one_hot(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.eye(len(TERMS))[labels]


def test_a_perfect_classifier_has_every_figure_at_its_best() -> None:
    _, labels = predictions(0)
    found = scores_of(one_hot(labels), labels, TERMS)
    assert found.summary() == {
        "n": 200, "accuracy": 1, "precision": 1, "recall": 1, "f1": 1, "top5": 1, "ece": 0
    }  # fmt: skip
    assert all(kept.accuracy == 1 for kept in found.coverage)
    assert found.confusion.sum() == np.trace(found.confusion) == 200


def test_a_constant_classifier_knows_one_class() -> None:
    labels = np.repeat(np.arange(7), 10)
    always_portrait = np.tile(one_hot(np.array([4])), (70, 1))
    found = scores_of(always_portrait, labels, TERMS)
    assert found.accuracy == found.recall == pytest.approx(1 / 7)
    assert found.precision == pytest.approx(1 / 49)
    assert found.ece == pytest.approx(6 / 7)
    assert [one.predicted for one in found.per_class] == [0, 0, 0, 0, 70, 0, 0]
    assert found.at_coverage(0.8) == pytest.approx(1 / 7), "equal scores put nothing first"


def test_images_without_a_label_do_not_count() -> None:
    scores, labels = predictions(1)
    hidden = np.where(np.arange(200) % 3 == 0, -1, labels)
    found = scores_of(scores, hidden, TERMS)
    assert found.as_dict() == scores_of(scores[hidden >= 0], labels[hidden >= 0], TERMS).as_dict()
    assert found.n == 133


def test_a_class_that_nobody_has_and_nobody_says_does_not_weigh() -> None:
    scores, labels = predictions(2)
    labels[labels == 6] = 0
    scores[:, 6] = 0
    found = scores_of(scores, labels, TERMS)
    absent = found.per_class[6]
    assert (absent.support, absent.predicted, absent.f1) == (0, 0, 0)
    assert found.recall == pytest.approx(np.mean([one.recall for one in found.per_class[:6]]))


def test_the_macro_figures_are_those_of_scikit_learn() -> None:
    scores, labels = predictions(3)
    found = scores_of(scores, labels, TERMS)
    assert found.recall == pytest.approx(balanced_accuracy_score(labels, scores.argmax(axis=1)))
    assert found.f1 == pytest.approx(f1_score(labels, scores.argmax(axis=1), average="macro"))


def test_top_5_counts_the_label_among_the_five_best() -> None:
    scores = np.tile([0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05], (4, 1))
    assert scores_of(scores, np.array([0, 4, 5, 6]), TERMS).top5 == 0.5
    assert scores_of(scores[:, :2], np.array([0, 1, 1, 1]), TERMS[:2]).top5 == 1


def test_one_labelled_image_is_enough_and_none_is_not() -> None:
    assert scores_of(one_hot(np.array([2])), np.array([2]), TERMS).accuracy == 1
    with pytest.raises(InputError, match="nothing to measure"):
        scores_of(one_hot(np.array([2])), np.array([-1]), TERMS)


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    scores, labels = predictions(4)
    with pytest.raises(ValueError, match="200 labels of 6 terms"):
        scores_of(scores, labels, TERMS[:6])
    with pytest.raises(ValueError, match="of 6 terms"):
        scores_of(scores[:, :6], np.full(200, 6), TERMS[:6])


def test_a_model_that_diverged_is_wrong_and_not_a_crash() -> None:
    found = scores_of(np.full((10, 7), np.nan), np.full(10, 3), TERMS)
    assert (found.accuracy, found.ece) == (0, 0)


def test_the_calibration_error_of_an_example_by_hand() -> None:
    """Two bins: 3 predictions at 0.9 of which 2 are right, and 1 at 0.45 that is right."""
    confidence = np.array([0.9, 0.9, 0.9, 0.45])
    bins = reliability_of(confidence, np.array([True, True, False, True]))
    assert [one.count for one in bins if one.count] == [1, 3]
    assert calibration_error(bins) == pytest.approx((3 * (0.9 - 2 / 3) + 0.55) / 4)


def test_a_score_on_an_edge_belongs_to_the_bin_below() -> None:
    bins = reliability_of(np.array([0.0, 1 / BINS, 1.0]), np.ones(3, bool))
    assert (bins[0].count, bins[-1].count) == (2, 1)


@given(st.integers(0, 2**32 - 1), st.integers(1, 400))
def test_the_bins_are_those_of_scikit_learn(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    confidence = random.random(n)
    correct = random.random(n) < confidence
    bins = [one for one in reliability_of(confidence, correct) if one.count]
    shares, means = calibration_curve(correct, confidence, n_bins=BINS, strategy="uniform")
    np.testing.assert_allclose([one.accuracy for one in bins], shares)
    np.testing.assert_allclose([one.confidence for one in bins], means)
    assert sum(one.count for one in bins) == n


def test_the_most_certain_come_first() -> None:
    confidence = np.linspace(1, 0, 100)
    curve = coverage_of(confidence, np.arange(100) < 60)
    assert [kept.coverage for kept in curve] == pytest.approx(np.linspace(0.05, 1, 20))
    assert [kept.accuracy for kept in curve[:12]] == [1] * 12
    assert curve[15].accuracy == pytest.approx(60 / 80)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 5))
def test_coverage_ends_at_the_accuracy_and_knows_no_order(seed: int, n: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    confidence, correct = random.integers(0, levels, n) / levels, random.random(n) < 0.5
    curve = coverage_of(confidence, correct)
    assert curve[-1].accuracy == pytest.approx(correct.mean())
    order = random.permutation(n)
    again = coverage_of(confidence[order], correct[order])
    assert [kept.accuracy for kept in again] == pytest.approx([kept.accuracy for kept in curve])


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(2, 12))
def test_every_figure_lies_between_0_and_1_and_is_json(seed: int, n: int, terms: int) -> None:
    scores, labels = predictions(seed, n, terms)
    found = scores_of(scores.astype(np.float32), labels, [f"term {number}" for number in range(terms)])
    figures: dict[str, Any] = found.summary()
    assert figures.pop("n") == n
    assert all(0 <= figure <= 1 for figure in figures.values())
    assert found.top5 >= found.accuracy
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False)) == found.as_dict()


def test_a_threshold_keeps_what_reaches_it() -> None:
    confidence, correct = np.array([0.9, 0.6, 0.6, 0.2]), np.array([True, True, False, False])
    kept = unflagged(confidence, correct, 0.6)
    assert kept.coverage == 0.75
    assert kept.accuracy == pytest.approx(2 / 3)
    nothing = unflagged(confidence, correct, 0.95)
    assert (nothing.coverage, nothing.accuracy) == (0, None)
