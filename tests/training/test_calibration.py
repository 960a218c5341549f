from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from artylyze.training.calibration import FLAG_ALL, fit_temperature, review_threshold


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_spoiled_the_logits_is_found_again(temperature: float) -> None:
    random = np.random.default_rng(0)
    honest = random.normal(size=(20_000, 5)) * 2
    chances = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    labels = (random.random((20_000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    assert fit_temperature(honest * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_a_model_that_is_always_wrong_is_told_to_be_unsure() -> None:
    assert fit_temperature(np.eye(3) * 5, (np.arange(3) + 1) % 3) > 10


@pytest.mark.parametrize("count", [10, 1000])
def test_a_few_images_without_a_mistake_are_no_reason_to_be_certain(count: int) -> None:
    labels = np.arange(count) % 2
    logits = np.eye(2)[labels] * 3
    score = 1 / (1 + np.exp(-3 / fit_temperature(logits, labels)))
    assert score == pytest.approx((count + 1) / (count + 2), rel=1e-3)


answers = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float32, n, elements=st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.9, 1.0])),
        hnp.arrays(np.bool_, n),
    )
)


@given(answers, st.floats(0.01, 1), st.integers(1, 10))
def test_what_is_not_flagged_meets_the_precision_and_no_lower_threshold_does(
    found: tuple[NDArray[np.float32], NDArray[np.bool_]], precision: float, least: int
) -> None:
    scores, correct = found

    def meets(threshold: float) -> bool:
        kept = scores >= threshold
        return bool(kept.sum() >= least and correct[kept].mean() >= precision - 1e-9)

    threshold = review_threshold(scores, correct, precision, least=least)
    possible = [float(score) for score in np.unique(scores) if meets(score)]
    assert (threshold is None) == (not possible)
    if threshold is not None:
        assert meets(threshold)
        assert threshold == min(*possible, np.nextafter(np.float32(1), np.float32(0)))
        assert threshold < FLAG_ALL


def test_no_threshold_meets_a_precision_that_no_score_has() -> None:
    assert review_threshold(np.array([0.9, 0.8]), np.array([False, False]), 0.5) is None
    assert review_threshold(np.zeros(0), np.zeros(0, bool), 0.5) is None


def test_a_model_that_is_certain_and_right_needs_no_review() -> None:
    scores = np.ones(30, np.float32)
    threshold = review_threshold(scores, np.ones(30, bool), 0.9)
    assert threshold is not None
    assert (scores >= threshold).all()


def test_a_few_lucky_images_prove_nothing() -> None:
    scores, correct = np.linspace(0.99, 0.1, 100), np.arange(100) < 5
    assert review_threshold(scores, correct, 0.9) is not None
    assert review_threshold(scores, correct, 0.9, least=20) is None
