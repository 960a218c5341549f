"""The nearest works of each, against a comparison of all pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from artylyze.searching import neighbours
from artylyze.searching.neighbours import Vectors, nearest
from tests.searching.catalogs import blobs


def vectors(count: int, dim: int = 16) -> Vectors:
    matrix = blobs(count, dim)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    mean = matrix.mean(axis=0)
    return Vectors(np.arange(count), matrix - mean, matrix @ mean)


def brute(some: Vectors, k: int) -> np.ndarray[Any, Any]:
    cosine = some.coordinates @ some.coordinates.T + some.offsets
    np.fill_diagonal(cosine, -np.inf)
    return np.argsort(-cosine, axis=1, kind="stable")[:, :k]


def test_all_pairs_are_compared_where_they_are_few() -> None:
    some = vectors(300)

    places = nearest(some, 5)

    assert (places == brute(some, 5)).mean() > 0.99  # equal scores may be in another order


def test_cells_find_nearly_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "PAIRS", 500)
    some = vectors(3000)

    places, true = nearest(some, 10), brute(some, 10)

    recall = np.mean([len({*row} & {*others}) / 10 for row, others in zip(places.tolist(), true.tolist(), strict=True)])
    assert recall > 0.9
    assert np.array_equal(places, nearest(some, 10))


def test_fewer_works_than_neighbours_leave_places_empty() -> None:
    assert nearest(vectors(3), 4).tolist() == [[*row, -1, -1] for row in nearest(vectors(3), 2).tolist()]
    assert nearest(vectors(1), 4).tolist() == [[-1, -1, -1, -1]]


def test_neighbours_among_some_of_the_works_alone() -> None:
    some, among = vectors(50), np.arange(50) < 10

    places = nearest(some, 3, queries=np.arange(20, 30), among=among)

    assert places.shape == (10, 3)
    assert places.max() < 10
