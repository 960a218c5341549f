"""One part of the train split is held out for all tasks at once: whole groups, with something left on both sides."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from artylyze.datasets.examples import Examples
from artylyze.datasets.folds import HALF, halve, hold_out


def examples(groups: list[str], **labels: list[int]) -> Examples:
    found: dict[str, NDArray[np.int64]] = {task: np.array(one) for task, one in labels.items()}
    return Examples(
        table=pa.table({"image_id": [str(number) for number in range(len(groups))]}),
        tasks={task: tuple("abcdef") for task in labels},
        labels=found,
        groups=np.array(groups),
        train=np.ones(len(groups), bool),
    )


@given(seed=st.integers(0, 1000), artists=st.integers(4, 12), folds=st.integers(2, 6))
def test_no_group_is_on_both_sides_and_every_task_has_both(seed: int, artists: int, folds: int) -> None:
    random = np.random.default_rng(seed)
    count = 20 * artists
    groups = [f"artist {number % artists}" for number in range(count)]
    genre, style = random.integers(0, 3, count), random.integers(-1, 2, count)
    found = examples(groups, genre=genre.tolist(), style=style.tolist())
    held, cut = hold_out(found, np.arange(count), folds, seed)
    left = np.setdiff1d(np.arange(count), held)
    assert not set(found.groups[held]) & set(found.groups[left])
    assert "by group" in cut.method
    for labels in found.labels.values():
        assert (labels[held] >= 0).any()
        assert len(np.unique(labels[left][labels[left] >= 0])) >= 2


def test_the_part_is_taken_that_leaves_every_class_something_to_learn_from() -> None:
    # The third class is one artist's alone.
    groups = ["a"] * 8 + ["b"] * 8 + ["c"] * 8 + ["d"] * 8
    genre = [0, 1] * 12 + [2] * 8
    for seed in range(5):
        found = examples(groups, genre=genre)
        held, _ = hold_out(found, np.arange(32), 4, seed)
        assert "d" not in found.groups[held]


def test_groups_are_cut_where_keeping_them_leaves_a_task_nothing_to_learn_from() -> None:
    found = examples(["a"] * 10 + ["b"] * 10, genre=[0] * 10 + [1] * 10)
    held, cut = hold_out(found, np.arange(20), 2, 0)
    assert len(held) == 10
    assert len(cut.held_out) == 2
    left = np.setdiff1d(np.arange(20), held)
    assert set(found.labels["genre"][left]) == {0, 1}


@given(seed=st.integers(0, 1000))
def test_what_chooses_the_epoch_and_what_calibrates_share_no_artist(seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = [f"artist {number % 24}" for number in range(240)]
    found = examples(groups, genre=random.integers(0, 3, 240).tolist(), style=random.integers(0, 2, 240).tolist())
    held, _ = hold_out(found, np.arange(240), 3, seed)
    first, second, apart = halve(found, held, seed)
    assert apart
    assert np.array_equal(np.union1d(first, second), held)
    assert not set(found.groups[first]) & set(found.groups[second])
    assert min(len(first), len(second)) >= HALF


@given(count=st.integers(2, 2 * HALF - 1), artists=st.integers(1, 5))
def test_too_few_images_do_both_and_that_is_said(count: int, artists: int) -> None:
    found = examples([f"artist {n % artists}" for n in range(count)], genre=[n % 2 for n in range(count)])
    first, second, apart = halve(found, np.arange(count), 0)
    assert not apart
    assert len(first) == len(second) == count


def test_rows_are_those_of_the_table() -> None:
    found = examples([str(number // 2) for number in range(40)], genre=[number // 2 % 2 for number in range(40)])
    rows = np.arange(1, 40, 3)
    held, _ = hold_out(found, rows, 3, 0)
    assert set(held) < set(rows)
