from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from artylyze.models.bundle import Task
from artylyze.models.scores import probabilities, score

TASK = Task("genre", ("portrait", "landscape", "still life"), temperature=2.0, review_threshold=0.5)
logit_rows = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.just(3)), elements=st.floats(-1e4, 1e4, width=32)
)


@given(logit_rows, st.floats(0.01, 100))
def test_probabilities_sum_to_one(logits: np.ndarray[Any, Any], temperature: float) -> None:
    np.testing.assert_allclose(probabilities(logits, temperature).sum(1), 1, atol=1e-6)


def test_the_temperature_divides_the_logits() -> None:
    odds = np.exp([2.0, 0.0])

    np.testing.assert_allclose(probabilities(np.array([[4.0, 0.0]]), 2.0)[0], odds / odds.sum(), rtol=1e-6)


def test_terms_come_best_first_with_their_scores() -> None:
    scored = score(np.log([[0.04, 0.64, 0.16]]), TASK, k=2)

    assert scored.terms.tolist() == [["landscape", "still life"]]
    np.testing.assert_allclose(scored.scores, [[0.8 / 1.4, 0.4 / 1.4]], rtol=1e-6)


def test_equal_scores_keep_the_order_of_the_terms() -> None:
    assert score(np.zeros((1, 3)), TASK).terms.tolist() == [list(TASK.terms)]


@given(logit_rows)
def test_review_marks_top_scores_below_the_threshold(logits: np.ndarray[Any, Any]) -> None:
    scored = score(logits, TASK, k=1)

    assert scored.review.tolist() == [top < 0.5 for top in scored.scores[:, 0].tolist()]


def test_a_term_may_have_a_higher_threshold_than_its_task() -> None:
    task = replace(TASK, temperature=1.0, term_thresholds={"landscape": 0.9, "portrait": 0.1})
    logits = np.log([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.04, 0.95, 0.01], [0.4, 0.3, 0.3]])

    assert score(logits, task).review.tolist() == [False, True, False, True]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_broken_row_is_marked_for_review(broken: float) -> None:
    assert score(np.array([[1.0, broken, 2.0]]), TASK).review.tolist() == [True]
