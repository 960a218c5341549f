"""Distributions, lift, and which terms mark a cluster."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import power_divergence

from artylyze.profiling.columns import Column, Kind, standing
from artylyze.profiling.profiles import TOP, Profile, log_likelihood_ratio, profile


def column(codes: list[int], terms: int | None = None, kind: str = "given") -> Column:
    count = max(codes) + 1 if terms is None else terms
    return Column("artist", kind, tuple(f"artist {n}" for n in range(count)), np.array(codes))  # type: ignore[arg-type]


def profiled(members: list[int], *columns: Column, k: int = 2, distance: list[float] | None = None) -> list[Profile]:
    places = np.arange(len(members), dtype=np.float64) if distance is None else np.array(distance)
    return profile(np.array(members), k, places, [f"r{n}" for n in range(len(members))], columns, (3, 2))


def test_lift_is_the_share_over_that_of_the_collection() -> None:
    first, second = profiled([0, 0, 0, 0, 1, 1, 1, 1], column([0, 0, 0, 1, 1, 1, 1, -1]))
    (told,) = first.distributions
    assert [(term.term, term.images, term.share) for term in told.terms] == [
        ("artist 0", 3, 0.75),
        ("artist 1", 1, 0.25),
    ]
    assert told.terms[0].lift == pytest.approx(0.75 / (3 / 7))
    assert second.distributions[0].images == 3, "what is not said is not counted"


def test_evidence_is_the_likelihood_ratio_of_the_two_by_two_table() -> None:
    table = np.array([[30, 10, 5], [4, 40, 11]])
    a, row, term = 30, 45, 34
    observed = np.array([a, row - a, term - a, 100 - row - term + a])
    expected = np.array([row * term, row * (100 - term), (100 - row) * term, (100 - row) * (100 - term)]) / 100
    assert log_likelihood_ratio(table)[0, 0] == pytest.approx(power_divergence(observed, expected, lambda_=0).statistic)
    assert log_likelihood_ratio(table)[1, 0] < 0


def test_a_rare_term_of_great_lift_marks_nothing() -> None:
    members, codes = [0] * 50 + [1] * 50, [2, *([0] * 49), *([1] * 50)]
    first, _ = profiled(members, column(codes))
    assert [mark.share.term for mark in first.marks] == ["artist 0"]


def test_what_people_gave_comes_before_what_was_predicted() -> None:
    members = [0] * 40 + [1] * 40
    guess = Column("genre (predicted)", "predicted", ("a", "b"), np.array(members))
    first, _ = profiled(members, guess, column([0] * 30 + [1] * 50))
    assert [mark.kind for mark in first.marks] == ["given", "predicted"]


def test_what_says_where_a_file_came_from_marks_last() -> None:
    members = [0] * 40 + [1] * 40
    whose = Column("source_repo", "given", ("a", "b"), np.array(members))
    guess = Column("genre (predicted)", "predicted", ("a", "b"), np.array([0] * 35 + [1] * 45))
    first, _ = profiled(members, whose, guess, column([0] * 30 + [1] * 50))
    assert [mark.column for mark in first.marks] == ["artist", "genre (predicted)", "source_repo"]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("Artist Name", "given", 0),
        ("date (half-century)", "given", 0),
        ("style (predicted)", "predicted", 1),
        ("source_repo", "given", 2),
        ("aspect", "given", 2),
    ],
)
def test_columns_stand_by_what_they_say(name: str, kind: Kind, expected: int) -> None:
    assert standing(name, kind) == expected


def test_two_works_have_no_lift_to_show() -> None:
    first, _ = profiled([0] * 5 + [1] * 95, column([1, 1, 0, 0, 0] + [0] * 95))
    assert [(share.images, share.lift_shown is None) for share in first.distributions[0].terms] == [
        (3, False),
        (2, True),
    ]


def test_many_terms_are_others() -> None:
    codes = list(range(10_000)) + [3] * 40
    (only,) = profiled([0] * 10_040, column(codes), k=1)
    (told,) = only.distributions
    assert told.terms[0].term == "artist 3"
    assert (len(told.terms), told.other_terms, told.other) == (TOP, 10_000 - TOP, 10_040 - 41 - (TOP - 1))


def test_typical_works_are_nearest_and_marginal_ones_farthest() -> None:
    first, second = profiled([0, 1, 0, 0, 0, 0, 0], distance=[0.5, 0, 0.1, 0.9, 0.2, 0.3, 0.8])
    assert first.typical == (2, 4, 5)
    assert first.marginal == (3, 6)
    assert (second.typical, second.marginal) == ((1,), ())


def test_a_record_is_shown_once() -> None:
    (only,) = profile(np.zeros(4, np.int64), 1, np.arange(4.0), ["a", "a", "b", "b"], [], (3, 3))
    assert (only.typical, only.marginal) == ((0, 2), ())


def test_an_empty_cluster_and_images_of_none_are_borne() -> None:
    first, second = profiled([0, -1, 0], column([0, 1, -1]))
    assert (first.images, second.images, second.share) == (2, 0, 0.0)
    assert second.distributions == ()
