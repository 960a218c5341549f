from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.stats import binom

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


answers = st.integers(1, 200).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float32, n, elements=st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.9, 1.0])),
        st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).random(n) < 0.95),
    )
)


@given(answers, st.floats(0.5, 1))
def test_what_a_threshold_leaves_unflagged_is_at_least_twenty_images_and_right_as_often_as_promised(
    found: tuple[NDArray[np.float32], NDArray[np.bool_]], precision: float
) -> None:
    scores, correct = found
    threshold = review_threshold(scores, correct, precision)
    if threshold is not None:
        kept = scores >= threshold
        assert threshold < FLAG_ALL
        assert kept.sum() >= 20
        assert correct[kept].mean() > precision


@pytest.mark.parametrize("count", [1, 8, 19])
def test_fewer_than_twenty_images_prove_nothing(count: int) -> None:
    assert review_threshold(np.linspace(0.9, 0.99, count), np.ones(count, bool), 0.5) is None


DRAWS = 400


@pytest.mark.parametrize("count", [30, 150, 1500])
@pytest.mark.parametrize("kind", ["scores say nothing", "scores are calibrated"])
def test_what_is_not_flagged_is_right_as_often_as_promised_in_nineteen_of_twenty_draws(count: int, kind: str) -> None:
    random, promise, broken = np.random.default_rng(0), 0.85, 0
    for _ in range(DRAWS):
        scores = random.beta(3, 1.2, count)
        chances = np.full(count, promise - 1e-4) if kind == "scores say nothing" else scores
        threshold = review_threshold(scores, random.random(count) < chances, promise)
        broken += threshold is not None and chances[scores >= threshold].mean() < promise
    assert broken <= binom.ppf(1 - 1e-6, DRAWS, 0.05)


def test_a_model_that_is_good_where_it_is_sure_is_not_flagged_there() -> None:
    random = np.random.default_rng(0)
    scores = random.beta(3, 1.2, 1500)
    threshold = review_threshold(scores, random.random(1500) < scores, 0.85)
    assert threshold is not None
    assert (scores >= threshold).mean() > 0.3


def test_no_threshold_meets_a_precision_that_no_score_has() -> None:
    assert review_threshold(np.array([0.9, 0.8]), np.array([False, False]), 0.5) is None
    assert review_threshold(np.zeros(0), np.zeros(0, bool), 0.5) is None


def test_a_model_that_is_certain_and_right_needs_no_review() -> None:
    scores = np.ones(30, np.float32)
    threshold = review_threshold(scores, np.ones(30, bool), 0.85)
    assert threshold is not None
    assert (scores >= threshold).all()


def test_a_few_lucky_images_prove_nothing() -> None:
    scores, correct = np.linspace(0.99, 0.1, 100), np.arange(100) < 10
    assert review_threshold(scores, correct, 0.9) is None
