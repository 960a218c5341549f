"""Vectors are read and assigned alike wherever parts, row groups and blocks of rows end."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from artylyze.clustering.assign import assign_pieces, left_out
from artylyze.clustering.draws import read_sample, row_keys, uniform
from artylyze.clustering.store import Clusters, read_clusters, write_clusters
from artylyze.extraction import vectors as vectors_module
from artylyze.extraction.vectors import METADATA, Pieces, open_pieces, read_piece, read_vectors
from tests.fixtures import Quiet
from tests.pieces import Cut, catalogs, few_examples

CENTRES = np.array([[0, 0], [10, 2], [25, 1]], np.float32)


@st.composite
def features(draw: st.DrawFn) -> tuple[pa.Table, int, int]:
    """Draw a features file, its rows in any order, some without features or a record, and two sizes of its pieces."""
    count = draw(st.integers(1, 30))
    order = draw(st.permutations(range(count)))
    there = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    lists = [[float(number), float("inf") if draw(st.integers(0, 9)) == 0 else 1.0] for number in order]
    text = draw(st.sampled_from([pa.string(), pa.large_string()]))
    columns = {
        "image_id": pa.array([f"{number:03}" for number in order], text),
        "record_id": pa.array([None if number % 5 == 0 else f"r{number}" for number in order], text),
        "features": pa.array(
            [one if ok else None for one, ok in zip(lists, there, strict=True)], pa.list_(pa.float32())
        ),
    }
    return pa.table(columns), draw(st.integers(1, 9)), draw(st.integers(1, 9))


def check(source: str, expected: dict[str, tuple[str, list[float]]], folder: Path) -> None:
    """Compare all that reads `source` in pieces with its rows: image_id -> record_id and vector."""
    pieces = open_pieces(source)
    ids = sorted(expected)
    records, vectors = [expected[name][0] for name in ids], np.array([expected[name][1] for name in ids], np.float32)
    found: dict[str, Any] = {}
    for number in range(len(pieces.sizes)):
        for block in read_piece(pieces, number):
            rows = zip(block.records.to_pylist(), block.matrix.tolist(), strict=True)
            found |= dict(zip(block.ids.to_pylist(), rows, strict=True))
    assert found == {name: (record, vector) for name, (record, vector) in expected.items()}
    for one in (read_vectors(source), read_sample(pieces, pieces.rows, 0)):
        assert (one.ids.to_pylist(), one.records.to_pylist()) == (ids, records)
        assert np.array_equal(one.matrix, vectors)
    for most in (1, 4):
        sample, drawn = read_sample(pieces, most, 0), np.sort(np.argsort(uniform(row_keys(ids), 0))[:most])
        assert sample.ids.to_pylist() == [ids[row] for row in drawn], "drawn from usable rows, by numbers of their own"
        assert np.array_equal(sample.matrix, vectors[drawn])
    _check_assigned(pieces, ids, records, vectors, folder)


def _check_assigned(pieces: Pieces, ids: list[str], records: list[str], vectors: Any, folder: Path) -> None:
    path = folder / "assignments.parquet"
    assert assign_pieces(pieces, CENTRES, None, path, Quiet(), by_ray=False) == len(ids)
    assert sum(left_out(pieces, len(ids)).values()) == sum(pieces.left_out.values()) + pieces.vectors - len(ids)
    run = {"settings": {"algorithms": ["kmeans"]}}
    write_clusters(Clusters(str(folder / "clusters"), run, pa.table({}), CENTRES, None, {}), assignments=path)
    found = read_clusters(str(folder / "clusters")).assignments
    distances = np.linalg.norm(vectors[:, None] - CENTRES[None], axis=2)
    assert (found["image_id"].to_pylist(), found["record_id"].to_pylist()) == (ids, records)
    assert found["kmeans"].to_pylist() == distances.argmin(axis=1).tolist()
    assert np.allclose(found["distance"].to_numpy(), distances.min(axis=1), atol=1e-4)


@few_examples
@given(catalogs())
def test_a_catalog_is_clustered_alike_however_it_is_cut(cut: Cut) -> None:
    expected = {row["image_id"]: (row["record_id"], row["embedding"]) for row in cut.good()}
    assume(expected)
    with TemporaryDirectory() as folder:
        check(cut.write(Path(folder, "catalog")), expected, Path(folder))


@few_examples
@given(features())
def test_a_features_file_is_clustered_alike_however_it_is_cut(drawn: tuple[pa.Table, int, int]) -> None:
    table, group, block = drawn
    expected = {
        row["image_id"]: (row["record_id"] or row["image_id"], row["features"])
        for row in table.to_pylist()
        if row["features"] is not None and np.isfinite(row["features"]).all()
    }
    assume(expected)
    about = {"method": "embedding", "model_id": "model"}
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors_module, "GROUP", block)
        path = f"{folder}/features.parquet"
        pq.write_table(table.replace_schema_metadata({METADATA: json.dumps(about)}), path, row_group_size=group)
        check(path, expected, Path(folder))
