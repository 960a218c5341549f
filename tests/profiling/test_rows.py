"""Rows of clustered images: whatever parts a catalog is cut into, they are those of the whole catalog read at once."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from artylyze.catalog.snapshot import read_catalog, read_snapshot
from artylyze.clustering.store import read_clusters
from artylyze.profiling import rows as module
from artylyze.profiling.columns import describe
from artylyze.profiling.rows import locate
from artylyze.profiling.works import join_descriptions, read_works
from tests.pictures import Painted, clustered, collection, painting
from tests.pieces import Cut, catalogs, few_examples


@few_examples
@given(catalogs(), st.data(), st.sampled_from([1, 4, 100]), st.booleans())
def test_rows_read_in_pieces_are_those_of_the_whole(cut: Cut, data: st.DataObject, piece: int, ordered: bool) -> None:
    every = cut.rows.to_pylist()
    chosen = data.draw(st.lists(st.sampled_from(every), unique_by=lambda row: row["image_id"]))
    if ordered:
        chosen.sort(key=lambda row: row["image_id"])
    ids = pa.chunked_array(
        [pa.array([row["image_id"] for row in chosen[start:stop]], pa.string()) for start, stop in ((0, 3), (3, None))]
    )
    with TemporaryDirectory() as folder, patch.object(module, "PIECE", piece):
        catalog = cut.write(Path(folder))
        found = locate(catalog, read_snapshot(catalog), ids)
        assert [every[place]["image_id"] for place in found.places] == ids.to_pylist()
        assert found.records.to_pylist() == [row["record_id"] for row in chosen]
        assert found.column("genre").to_pylist() == [row["genre"] for row in chosen]
        vectors = {
            int(image): row.tolist()
            for images, matrix in found.vectors()
            for image, row in zip(images, matrix, strict=True)
        }
        assert vectors == {n: row["embedding"] for n, row in enumerate(chosen) if row["status"] == "ok"}
        some = data.draw(st.lists(st.integers(0, len(chosen) - 1))) if chosen else []
        expected = [{name: chosen[one][name] for name in ("uri", "validator")} for one in some]
        assert found.take(some, ["uri", "validator"]).to_pylist() == expected
        if found.metadata is None:
            return
        whole = read_catalog(catalog).take(pa.array(found.places))
        for table in join_descriptions(whole, ())[0]:  # the join that tables of labels go through
            for name in table.column_names:
                assert found.field(name).to_pylist() == table.column(name).to_pylist()


@few_examples
@given(
    st.lists(st.sampled_from([None, "", " icon", "icon", "vedute", "A. Ancher", "unknown"]), min_size=2, max_size=12)
)
def test_a_plain_column_and_a_coded_one_say_the_same(said: list[str | None]) -> None:
    plain = pa.table({name: pa.array(said, pa.string()) for name in ("artist", "genre", "date", "title", "other")})
    halves = [plain.slice(0, len(said) // 2), plain.slice(len(said) // 2)]
    coded = pa.concat_tables(
        [pa.table({name: half.column(name).dictionary_encode() for name in half.column_names}) for half in halves]
    )
    one, other = (describe([table], len(said), {}, None) for table in (plain, coded))
    assert one.left_out == other.left_out
    assert (list(one.titles), list(one.artists)) == (list(other.titles), list(other.artists))
    for mine, theirs in zip(one.columns, other.columns, strict=True):
        assert (mine.name, mine.terms, mine.codes.tolist()) == (theirs.name, theirs.terms, theirs.codes.tolist())


def test_images_that_are_not_in_the_catalog_have_no_place(tmp_path: Path) -> None:
    images = {f"{n}.png": Painted(painting(n), (0, 0, n)) for n in range(3)}
    catalog = collection(tmp_path, images)
    found = locate(catalog, read_snapshot(catalog), pa.chunked_array([["0.png", "00.png", "2.png", "9.png"]]))
    assert found.places.tolist() == [0, -1, 2, -1]
    assert found.records.to_pylist() == ["0", None, "2", None]


def test_columns_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    said = [{"genre": "icon", "owner": "a"}, {"genre": "vedute", "owner": "b"}]
    images = {f"{n}.png": Painted(painting(n), (0, 0, n), metadata=said[n % 2]) for n in range(4)}
    clusters = read_clusters(clustered(tmp_path, collection(tmp_path, images), images))
    read: list[str] = []

    def field(rows: module.Rows, name: str) -> pa.ChunkedArray:
        read.append(name)
        return whole(rows, name)

    whole = module.Rows.field
    with patch.object(module.Rows, "field", field):
        found = read_works(clusters, columns=["genre"]).described
    assert read == ["genre"]
    assert [column.name for column in found.columns] == ["genre"]
    assert found.left_out == {"owner": "it was not asked for"}
