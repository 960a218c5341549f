"""Reading features files: whatever pieces they come in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artylyze.clustering.draws import read_sample
from artylyze.errors import InputError
from artylyze.extraction.vectors import open_pieces, read_vectors

Write = Callable[[Any], str]


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artylyze.extraction.vectors.GROUP", 4)


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
    with pytest.raises(InputError, match="no usable vectors"):
        read_vectors(written([None, None]))


def odd(path: Path, about: object, **columns: Any) -> str:
    """Write a features file as another tool might."""
    table = pa.table(columns).replace_schema_metadata({b"artylyze": json.dumps(about)})
    pq.write_table(table, path, row_group_size=3)
    return str(path)


LISTS = [[1.0, 2.0], [3.0, 4.0], None, [5.0, 6.0], [7.0, 8.0]]


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 2), pa.list_(pa.int64())]
)
@pytest.mark.parametrize("ids", [[4, 3, 2, 10, 0], pa.array(list("dcbka"), pa.large_string())])
def test_the_types_of_other_writers_serve(tmp_path: Path, kind: pa.DataType, ids: Any) -> None:
    fixed = isinstance(kind, pa.FixedSizeListType)  # pyarrow does not read those with nulls among them
    lists = pa.array([[9.0, 9.0] if fixed and one is None else one for one in LISTS], kind)
    address = odd(tmp_path / "f.parquet", {"method": "m"}, image_id=ids, record_id=ids, features=lists)
    found, pieces = read_vectors(address), open_pieces(address)
    assert found.ids.to_pylist() == sorted(found.ids.to_pylist())
    assert sorted(found.matrix[:, 0].tolist()) == ([1.0, 3.0, 5.0, 7.0, 9.0] if fixed else [1.0, 3.0, 5.0, 7.0])
    assert found.left_out == ({} if fixed else {"without_features": 1})
    sample = read_sample(pieces, 5, 0)
    assert sample.ids.equals(found.ids)
    assert np.array_equal(sample.matrix, found.matrix)


def test_an_image_without_a_record_is_its_own(tmp_path: Path) -> None:
    found = read_vectors(
        odd(tmp_path / "f.parquet", {}, image_id=["a", "b"], record_id=[None, "r"], features=[[1.0], [2.0]])
    )
    assert found.records.to_pylist() == ["a", "r"]


@pytest.mark.parametrize(
    ("about", "columns", "says"),
    [
        ({}, {"image_id": ["a", "a"], "features": [[1.0], [2.0]]}, "several rows of one image_id"),
        ({}, {"image_id": ["a", None], "features": [[1.0], [2.0]]}, "without an image_id"),
        ({}, {"image_id": ["a", "b"], "features": ["1", "2"]}, "lists of numbers"),
        ({}, {"image_id": ["a", "b"], "features": [[], []]}, "several lengths, or of none"),
        ([1], {"image_id": ["a", "b"], "features": [[1.0], [2.0]]}, "not a features file"),
        (
            {},
            {"image_id": ["a", "b"], "features": pa.array([[1.0], None], pa.list_(pa.float32(), 1))},
            "cannot be read",
        ),
        ("x", {"image_id": ["a", "b"], "features": [[1.0], [2.0]]}, "not a features file"),
    ],
)
def test_what_is_no_features_file_is_refused(tmp_path: Path, about: Any, columns: Any, says: str) -> None:
    address = odd(tmp_path / "f.parquet", about, **columns, record_id=["r", "s"])
    with pytest.raises(InputError, match=says):
        read_vectors(address)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e25])
def test_a_row_without_a_finite_length_is_left_out(written: Write, value: float) -> None:
    found = read_vectors(written([[1.0, 2.0], [value, 1.0], [3.0, 4.0]]))
    assert found.left_out == {"not_finite": 1}
    assert found.ids.to_pylist() == ["000000", "000002"]
    assert read_sample(open_pieces(found.source), 3, 0).ids.equals(found.ids)


def test_a_sample_is_drawn_from_all_rows_whatever_blocks_they_are_read_in(
    written: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = np.arange(100, dtype=np.float32).reshape(50, 2)
    pieces = open_pieces(written(matrix))
    first = read_sample(pieces, 20, 1)
    monkeypatch.setattr("artylyze.extraction.vectors.GROUP", 7)
    again, other = read_sample(pieces, 20, 1), read_sample(pieces, 20, 2)
    assert again.ids.equals(first.ids)
    assert np.array_equal(again.matrix, matrix[[int(one) for one in first.ids.to_pylist()]])
    assert len(set(first.ids.to_pylist())) == 20
    assert not other.ids.equals(first.ids)
