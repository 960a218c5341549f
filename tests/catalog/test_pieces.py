"""What reads and writes a catalog in pieces says the same wherever parts, batches and row groups end."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.catalog.snapshot import (
    Part,
    Snapshot,
    embedding_pieces,
    embeddings,
    failures,
    read_catalog,
    read_snapshot,
    write_snapshot,
)
from artylyze.drawing.table import write_csv
from artylyze.reporting.catalog import QUEUE, reviews, tags
from tests.pieces import DIM, Cut, catalogs, few_examples

if TYPE_CHECKING:
    from tests.catalog.conftest import Library


@few_examples
@given(catalogs())
def test_a_catalog_is_read_alike_however_it_is_cut(cut: Cut) -> None:
    with TemporaryDirectory() as folder:
        catalog = cut.write(Path(folder))
        good = cut.good()
        wanted = np.array([row["embedding"] for row in good], np.float32).reshape(-1, DIM)
        assert read_catalog(catalog).equals(cut.rows)
        ids, matrix = embeddings(catalog)
        assert ids == [row["image_id"] for row in good]
        assert np.array_equal(matrix, wanted)
        pieces = list(embedding_pieces(catalog))
        assert [name for names, _ in pieces for name in names.to_pylist()] == ids
        assert np.array_equal(np.concatenate([vectors for _, vectors in pieces]), matrix)


@few_examples
@given(catalogs())
def test_failures_are_listed_alike_however_a_catalog_is_cut(cut: Cut) -> None:
    columns = ("image_id", "record_id", "uri", "error_code", "error_detail")
    with TemporaryDirectory() as folder:
        written = io.StringIO()
        write_csv(written, columns, failures(cut.write(Path(folder))))
    rows = [row for row in cut.rows.to_pylist() if row["status"] == "error"]
    expected = [[row[name] or "" for name in columns] for row in rows]
    assert list(csv.reader(io.StringIO(written.getvalue()))) == [list(columns), *expected]


@few_examples
@given(catalogs())
def test_the_report_counts_alike_however_a_catalog_is_cut(cut: Cut) -> None:
    with TemporaryDirectory() as folder:
        catalog = cut.write(Path(folder))
        snapshot = read_snapshot(catalog)
        (counted,), (queue,) = tags(catalog, snapshot), reviews(catalog, snapshot)
    terms = [row["genre"] for row in cut.good()]
    assert {row.name: row.count for row in counted.rows} == {term: terms.count(term) for term in terms}
    waiting = sorted(
        (row["genre_score"], row["image_id"], row["record_id"]) for row in cut.good() if row["genre_review"]
    )
    assert queue.images == len(waiting)
    assert [work.title for work in queue.works] == [record for _, _, record in waiting[:QUEUE]]


def test_parts_whose_metadata_differ_are_read_together(tmp_path: Path) -> None:
    said: list[dict[str, Any]] = [{}, {"metadata": {"title": "a"}}, {"metadata": {"title": "b", "artist": "c"}}]
    for number, row in enumerate(said):
        pq.write_table(pa.Table.from_pylist([{"image_id": str(number), **row}]), tmp_path / f"{number}.parquet")
    parts = tuple(Part(f"{number}.parquet", 1, 1) for number in range(3))
    write_snapshot(str(tmp_path), Snapshot("run0", "tag", "model", (), 1, {}, parts))
    found = read_catalog(str(tmp_path), ["image_id", "metadata"]).column("metadata").to_pylist()
    assert found == [None, {"title": "a", "artist": None}, {"title": "b", "artist": "c"}]


@few_examples
@given(
    before=st.dictionaries(st.integers(0, 25), st.integers(-2, 3), min_size=1),
    after=st.dictionaries(st.integers(0, 25), st.integers(-2, 3), min_size=1),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    group=st.integers(1, 7),
    titles=st.booleans(),
)
def test_an_updated_catalog_is_a_fresh_one_whatever_the_sizes_of_its_pieces(
    before: dict[int, int],
    after: dict[int, int],
    sizes: tuple[int, int],
    group: int,
    titles: bool,
    new_library: Callable[..., Library],
) -> None:
    updated, fresh = new_library(), new_library()
    with pytest.MonkeyPatch.context() as patch:
        for module in ("artylyze.collection.manifest", "artylyze.catalog.update"):
            patch.setattr(f"{module}.ROW_GROUP", group)
        old, new = (
            updated.titled(
                {f"{n:02}": (content, f"title {content}" if content else None) for n, content in one.items()}
            )
            for one in (before, after)
        )
        updated.size = sizes[0]
        updated.tag(updated.manifest(old, titles=titles))
        updated.size = sizes[1]
        changes = updated.update(updated.manifest(new, titles=titles))
        fresh.tag(fresh.manifest(new, titles=titles))
    assert updated.rows() == fresh.rows()
    assert changes.removed == len(before.keys() - after.keys())
    assert changes.tagged == sum(before.get(n) != content for n, content in after.items())


def test_an_update_works_below_a_temporary_folder_with_a_quote_in_its_name(
    new_library: Callable[..., Library], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "it's odd"
    odd.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(odd))
    library = new_library()
    library.tag(library.manifest(library.titled({"a": (1, None)})))
    assert library.update(library.manifest(library.titled({"a": (1, None), "b": (2, None)}))).tagged == 1
