"""Reading features files: whatever pieces they come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from artylyze.clustering.vectors import read_vectors
from artylyze.errors import InputError

Write = Callable[[Any], str]


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artylyze.clustering.vectors.GROUP", 4)


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("missing", [[], [0, 1, 2, 3], [5, 11], [*range(8)], [*range(4, 10)]])
def test_rows_keep_their_ids_whatever_is_missing_between_them(written: Write, missing: list[int]) -> None:
    matrix = np.arange(33, dtype=np.float32).reshape(11, 3)
    found = read_vectors(written([None if row in missing else vector for row, vector in enumerate(matrix)]))
    there = [row for row in range(11) if row not in missing]
    assert found.ids.to_pylist() == [f"{row:06}" for row in there]
    assert np.array_equal(found.matrix, matrix[there])
    assert found.left_out == ({"without_features": 11 - len(there)} if len(there) < 11 else {})


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("odd", [1, 9])
def test_vectors_of_several_lengths_are_refused(written: Write, odd: int) -> None:
    with pytest.raises(InputError, match="several lengths"):
        read_vectors(written([[1.0] * (2 if row == odd else 3) for row in range(11)]))


def test_a_file_without_any_vector_is_refused(written: Write) -> None:
    with pytest.raises(InputError, match="no features"):
        read_vectors(written([None, None]))
