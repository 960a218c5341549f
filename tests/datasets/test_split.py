from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from artylyze.collection.labels import Labels
from artylyze.datasets.classes import random_order
from artylyze.datasets.selection import Selection, Units
from artylyze.datasets.split import split_groups, split_selection
from artylyze.errors import InputError


def order(groups: int, seed: int = 0) -> NDArray[np.float64]:
    return random_order(seed, [f"g{n}" for n in range(groups)])


def catalogue(seed: int, artists: int = 60, classes: int = 8, tail: float = 1.0) -> NDArray[np.int64]:
    """Few artists with many works, many with few; most paint in one or two classes."""
    random = np.random.default_rng(seed)
    counts = np.zeros((artists, classes), np.int64)
    for artist in range(artists):
        for _ in range(random.integers(1, 3)):
            counts[artist, random.integers(classes)] += int(random.pareto(tail) * 4) + 1
    return counts


def shares(counts: NDArray[np.int64], test: NDArray[np.bool_]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = counts[test].sum(axis=0) / counts.sum(axis=0)
    return found


class TestGroups:
    @pytest.mark.parametrize("share", [0.1, 0.25, 0.3, 0.5])
    @pytest.mark.parametrize("seed", range(3))
    def test_classes_are_on_both_sides_in_about_their_share(self, seed: int, share: float) -> None:
        counts = catalogue(seed, tail=3.0)
        found = shares(counts, split_groups(counts, share, order(len(counts))))
        assert ((found > 0) & (found < 1)).all()
        assert np.median(np.abs(found - share)) < 0.03

    @pytest.mark.parametrize("seed", range(3))
    def test_every_class_is_on_both_sides_where_one_artist_has_most_of_it(self, seed: int) -> None:
        counts = catalogue(seed)
        found = shares(counts, split_groups(counts, 0.25, order(len(counts))))
        assert ((found > 0) & (found < 1)).all()

    @pytest.mark.parametrize("seed", range(3))
    def test_it_stratifies_several_tasks_better_than_folds_of_one_label(self, seed: int) -> None:
        counts = catalogue(seed)
        ours = shares(counts, split_groups(counts, 0.25, order(len(counts))))
        groups, labels = (np.repeat(places, counts.ravel()) for places in np.indices(counts.shape).reshape(2, -1))
        folds = StratifiedGroupKFold(4, shuffle=True, random_state=seed).split(labels, labels, groups)
        theirs = []
        for _, held in folds:
            test = np.zeros(len(counts), bool)
            test[groups[held]] = True
            theirs.append(((shares(counts, test) - 0.25) ** 2).sum())
        assert ((ours - 0.25) ** 2).sum() <= min(theirs)

    def test_images_of_their_own_are_split_to_the_share(self) -> None:
        counts = np.repeat(np.eye(3, dtype=np.int64), [400, 40, 8], axis=0)
        test = split_groups(counts, 0.25, order(len(counts)))
        assert counts[test].sum(axis=0).tolist() == [100, 10, 2]

    def test_a_class_of_two_has_one_on_each_side(self) -> None:
        counts = np.repeat(np.eye(2, dtype=np.int64), [100, 2], axis=0)
        assert counts[split_groups(counts, 0.1, order(102))].sum(axis=0)[1] == 1

    @given(st.integers(0, 100))
    @settings(max_examples=20)
    def test_the_order_of_groups_does_not_matter(self, seed: int) -> None:
        counts, random = catalogue(seed, artists=15, classes=3), order(15, seed)
        shuffled = np.random.default_rng(seed).permutation(15)
        test = split_groups(counts, 0.3, random)
        assert np.array_equal(split_groups(counts[shuffled], 0.3, random[shuffled]), test[shuffled])

    def test_another_seed_makes_another_split(self) -> None:
        counts = catalogue(0)
        splits = {split_groups(counts, 0.25, order(len(counts), seed)).tobytes() for seed in range(4)}
        assert len(splits) > 1


def selection(rows: list[tuple[str, str]], what: str = "artist") -> Selection:
    units = sorted({unit for unit, _ in rows})
    terms = sorted({term for _, term in rows})
    labels = Labels(tuple(terms), np.array([terms.index(term) for _, term in rows]), {}, 0)
    return Selection.of({"style": labels}, Units(what, tuple(units), np.array([units.index(unit) for unit, _ in rows])))


class TestImages:
    def test_no_unit_is_cut(self) -> None:
        rows = [(f"artist {n % 7}", "Cubism" if n % 2 else "Baroque") for n in range(70)]
        test = split_selection(selection(rows), 0.25, 0)
        sides = {unit: {bool(test[n]) for n, (one, _) in enumerate(rows) if one == unit} for unit, _ in rows}
        assert all(len(side) == 1 for side in sides.values())
        assert 0 < test.sum() < len(rows)

    def test_images_that_are_out_are_on_no_side(self) -> None:
        rows = [(f"a{n}", "Cubism" if n % 2 else "Baroque") for n in range(20)]
        out = np.arange(20) < 10
        test = split_selection(selection(rows).drop(out, "why"), 0.5, 0)
        assert not test[out].any()
        assert test.sum() == 5

    def test_classes_that_exclude_each_other_are_named(self) -> None:
        """Three classes, each of two of three artists: whoever stands alone, one class has both of its own opposite."""
        rows = [("a", "Cubism"), ("b", "Cubism"), ("b", "Dada"), ("c", "Dada"), ("a", "Fauvism"), ("c", "Fauvism")]
        with pytest.raises(
            InputError, match=r"(?s)No split was found that has style '.*' on both sides.*\n  `leave_out="
        ):
            split_selection(selection(rows), 0.25, 0)
