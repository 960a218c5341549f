from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from artylyze.datasets.folds import cut_folds, cut_sources

rows = st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abcdefgh")), min_size=2, max_size=60)


def arrays(found: list[tuple[int, str]]) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    return np.array([label for label, _ in found]), np.array([group for _, group in found])


@given(rows, st.integers(2, 6), st.integers(0, 3))
def test_each_image_is_held_out_once_and_each_fold_leaves_something_to_learn_from(
    found: list[tuple[int, str]], folds: int, seed: int
) -> None:
    cut = cut_folds(*arrays(found), folds, seed)
    assert sorted(np.concatenate(cut.held_out).tolist()) == list(range(len(found)))
    assert 2 <= len(cut.held_out) <= folds
    assert all(0 < len(part) < len(found) for part in cut.held_out)


@given(rows, st.integers(2, 6), st.integers(0, 3))
def test_no_group_is_on_both_sides_or_it_is_said(found: list[tuple[int, str]], folds: int, seed: int) -> None:
    labels, groups = arrays(found)
    cut = cut_folds(labels, groups, folds, seed)
    if "by group" in cut.method:
        for part in cut.held_out:
            assert not set(groups[part]) & set(np.delete(groups, part))
    else:
        assert any("at random" in warning for warning in cut.warnings)


@given(rows, st.integers(2, 6))
def test_what_is_learned_from_shares_neither_artist_nor_source_with_what_is_held_out(
    found: list[tuple[int, str]], folds: int
) -> None:
    labels, groups = arrays(found)
    sources = np.array([f"source {n % 3 if n > 1 else n}" for n in range(len(found))])
    cut = cut_sources(labels, groups, sources, folds)
    assert sorted(np.concatenate(cut.held_out).tolist()) == list(range(len(found)))
    taught = cut.measurable(labels)
    for held, kept in zip(cut.held_out, cut.learned(len(labels)), strict=True):
        assert not set(groups[held]) & set(groups[kept])
        assert not set(sources[held]) & set(sources[kept])
        assert taught[held].tolist() == [label in set(labels[kept]) for label in labels[held]]


def test_the_same_seed_gives_the_same_cut() -> None:
    labels, groups = np.arange(40) % 4, np.array([f"artist {n // 2}" for n in range(40)])
    first, again, other = (cut_folds(labels, groups, 4, seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first.held_out, again.held_out))
    assert not all(map(np.array_equal, first.held_out, other.held_out))


def test_a_cut_as_it_should_be_gives_no_warning() -> None:
    cut = cut_folds(np.arange(40) % 4, np.array([f"artist {n // 2}" for n in range(40)]), 5, 0)
    assert (cut.method, cut.warnings) == ("5 folds, by group, stratified", ())


def test_a_class_by_one_artist_is_told() -> None:
    labels, groups = np.repeat([0, 1, 2], 10), np.array(["a", "b", "c", "d"] * 5 + ["titian"] * 10)
    assert "1 of 3 classes" in cut_folds(labels, groups, 3, 0).warnings[0]


def test_a_single_artist_is_held_out_at_random_and_that_is_told() -> None:
    cut = cut_folds(np.arange(20) % 2, np.array(["monet"] * 20), 5, 0)
    assert cut.method == "5 folds, at random, stratified"
    assert "flatter" in cut.warnings[0]


def test_fewer_artists_than_parts_make_fewer_parts() -> None:
    cut = cut_folds(np.arange(20) % 2, np.array(["a", "b"] * 10), 5, 0)
    assert len(cut.held_out) == 2
    assert "2 held-out parts instead of 5" in cut.warnings[-1]
