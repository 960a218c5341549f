from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.collection.labels import Labels
from artylyze.datasets.classes import check_units, choose_classes, random_order, undersample
from artylyze.datasets.selection import Selection, Units
from artylyze.errors import InputError, UsageError

images = st.lists(st.tuples(st.integers(-1, 3), st.booleans(), st.integers(0, 4)), min_size=1, max_size=60)


def selection(terms: Sequence[str | None], units: Sequence[str], what: str = "artist") -> Selection:
    known = sorted({term for term in terms if term})
    names = sorted(set(units))
    codes = np.array([-1 if term is None else known.index(term) for term in terms])
    labels = Labels(tuple(known), codes, {}, 0)
    return Selection.of({"style": labels}, Units(what, tuple(names), np.array([names.index(one) for one in units])))


def kept(chosen: Selection) -> list[str | None]:
    labels = chosen.labels["style"]
    return [None if code < 0 else labels.terms[code] for code in labels.codes]


class TestChoosing:
    TERMS = ("Cubism", "Cubism", "Cubism", "Baroque", "Baroque", "Fauvism", "Fauvism", "Dada")
    UNITS = ("a", "b", "b", "c", "d", "a", "c", "d")

    def test_the_best_represented_are_kept_of_equals_the_first_by_name(self) -> None:
        chosen = choose_classes(selection(list(self.TERMS), list(self.UNITS)), "style", 2, [])
        assert kept(chosen) == ["Cubism"] * 3 + ["Baroque"] * 2 + [None] * 3

    def test_a_class_that_is_left_out_makes_room(self) -> None:
        chosen = choose_classes(selection(list(self.TERMS), list(self.UNITS)), "style", 2, ["CUBISM"])
        assert kept(chosen) == [None] * 3 + ["Baroque"] * 2 + ["Fauvism"] * 2 + [None]

    def test_a_class_to_leave_out_must_be_there(self) -> None:
        with pytest.raises(UsageError, match=r"`leave_out=\['style=Rococo'\]`"):
            choose_classes(selection(list(self.TERMS), list(self.UNITS)), "style", 2, ["Rococo"])

    def test_every_class_with_one_artist_is_named_with_a_line_to_paste(self) -> None:
        terms = [*self.TERMS, *(f"School {n}" for n in range(5))]
        chosen = choose_classes(selection(terms, [*self.UNITS, *"abcde"]), "style", None, [])
        with pytest.raises(InputError) as raised:
            check_units(chosen, ["style"])
        lines = str(raised.value).splitlines()
        assert lines[0] == "A class with one artist cannot be on both sides of a split:"
        assert lines[1:7] == ["  style 'Dada' (d)", *(f"  style 'School {n}' ({'abcde'[n]})" for n in range(5))]
        assert lines[-1] == "  `min_artists=2`"
        check_units(choose_classes(selection(terms, [*self.UNITS, *"abcde"]), "style", None, [], 2), ["style"])

    def test_a_class_with_one_record_too(self) -> None:
        chosen = choose_classes(selection([*self.TERMS, "Pop Art"], [*self.UNITS, "a"], "record"), "style", None, [])
        with pytest.raises(InputError) as raised:
            check_units(chosen, ["style"])
        assert str(raised.value).splitlines()[-1] == "  `leave_out=['style=Dada', 'style=Pop Art']`"
        check_units(choose_classes(chosen, "style", None, ["Dada", "Pop Art"]), ["style"])

    def test_a_class_of_too_few_artists_makes_room(self) -> None:
        terms, units = ["Dada"] * 5 + list(self.TERMS), ["d"] * 5 + list(self.UNITS)
        chosen = choose_classes(selection(terms, units), "style", 2, [], 2)
        assert set(kept(chosen)) == {"Cubism", "Baroque", None}

    @pytest.mark.parametrize(
        ("terms", "says"), [(["Dada", "Dada"], "has one class, 'Dada'"), ([None, None], "has no label")]
    )
    def test_a_task_with_fewer_than_two_classes_is_refused(self, terms: list[str | None], says: str) -> None:
        with pytest.raises(InputError, match=f"Task style {says}, so there is nothing to tell apart"):
            choose_classes(selection(terms, ["a", "b"]), "style", None, [])

    def test_it_says_where_the_labels_went(self) -> None:
        dropped = selection(["Dada", "Cubism"], ["a", "b"]).drop(np.array([False, True]), "without an artist")
        with pytest.raises(InputError, match="images dropped before: 1 without an artist"):
            choose_classes(dropped, "style", None, [])


class TestUndersampling:
    @staticmethod
    def sampled(rows: list[tuple[int, bool, int]], seed: int = 0, share: float = 0.25) -> tuple[np.ndarray, ...]:
        codes, test, groups = (np.array(column) for column in zip(*rows, strict=True))
        order = random_order(seed, [str(n) for n in range(len(rows))])
        return codes, test, undersample(codes, test, groups, order, share)

    @given(images)
    def test_every_class_keeps_as_many_as_the_least_had(self, rows: list[tuple[int, bool, int]]) -> None:
        codes, _, left = self.sampled(rows)
        classes, counts = np.unique(codes[codes >= 0], return_counts=True)
        assert np.array_equal(np.unique(left[left >= 0], return_counts=True)[0], classes)
        assert all((left == code).sum() == counts.min() for code in classes)

    @given(images)
    def test_labels_are_taken_away_and_never_changed(self, rows: list[tuple[int, bool, int]]) -> None:
        codes, _, left = self.sampled(rows)
        assert np.array_equal(left[left >= 0], codes[left >= 0])

    @given(images)
    def test_a_class_of_two_or_more_that_was_on_both_sides_stays_on_both(
        self, rows: list[tuple[int, bool, int]]
    ) -> None:
        codes, test, left = self.sampled(rows)
        counts = [(codes == code).sum() for code in np.unique(codes[codes >= 0])]
        for code in np.unique(codes[codes >= 0]):
            sides = set(test[codes == code].tolist())
            if min(counts) >= 2:
                assert set(test[left == code].tolist()) == sides

    def test_both_sides_keep_their_share_where_they_can(self) -> None:
        rows = [(0, False, n) for n in range(60)] + [(0, True, n) for n in range(60, 80)]
        rows += [(1, False, n) for n in range(6)] + [(1, True, n) for n in range(6, 8)]
        _, test, left = self.sampled(rows)
        assert [((left == 0) & (test == side)).sum() for side in (False, True)] == [6, 2]

    def test_artists_give_in_turn(self) -> None:
        """One painted 50 of a class, five others 2 each: all six stay, none with more than its turn."""
        groups = [0] * 50 + [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
        rows = [(0, False, group) for group in groups] + [(1, False, group) for group in range(12)]
        _, _, left = self.sampled(rows)
        assert np.bincount(np.array(groups)[left[:60] == 0]).tolist() == [2] * 6

    def test_another_seed_takes_others(self) -> None:
        rows = [(0, False, n) for n in range(40)] + [(1, False, n) for n in range(4)]
        assert not np.array_equal(self.sampled(rows, 0)[2], self.sampled(rows, 1)[2])


@given(st.lists(st.text(max_size=5), unique=True, max_size=8), st.integers(0, 5))
def test_a_random_number_is_the_name_s_own(names: list[str], seed: int) -> None:
    together = random_order(seed, names)
    assert all(random_order(seed, [name])[0] == number for name, number in zip(names, together, strict=True))
    assert all(0 <= number < 1 for number in together)
