"""Neighbours are those of brute force; sides are told by names."""

from __future__ import annotations

import numpy as np
import pytest

from artylyze.duplication.proposals import neighbours, sides
from artylyze.searching import neighbours as searching_neighbours


@pytest.mark.parametrize("at_once", [7, 2**24])
def test_neighbours_do_not_depend_on_how_matrices_are_cut(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(0).integers(-127, 128, (90, 16)).astype(np.int8)
    monkeypatch.setattr(searching_neighbours, "_AT_ONCE", at_once)

    first, second, rank = neighbours(codes, k=3, least=-1.0)

    units = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    alike = units @ units.T
    np.fill_diagonal(alike, -2)
    order = np.argsort(-alike, axis=1)[:, :3]
    expected: dict[tuple[int, int], int] = {}
    for row, near in enumerate(order.tolist()):
        for place, other in enumerate(near):
            key = (min(row, other), max(row, other))
            expected[key] = min(place, expected.get(key, 9))
    found = dict(zip(zip(first.tolist(), second.tolist(), strict=True), rank.tolist(), strict=True))
    assert found == expected


def test_one_image_has_no_neighbours() -> None:
    assert [len(some) for some in neighbours(np.ones((1, 4), np.int8))] == [0, 0, 0]


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["a/12r", "a/12v"], [(0, 1)]),
        (["a/12_verso", "a/12_recto"], [(1, 0)]),
        (["a/12", "a/12-verso"], [(0, 1)]),
        (["1975.1 (verso)", "1975.1"], [(1, 0)]),
        (["A/12 Back", "A/12 Front"], [(1, 0)]),
        (["a/12r", "b/12v"], []),
        (["river", "river-v"], [(0, 1)]),
        (["background", "foreground"], []),
        (["12r", "12v", "12v"], []),
    ],
)
def test_sides_are_told_by_names(names: list[str], pairs: list[tuple[int, int]]) -> None:
    assert sides(names) == pairs
