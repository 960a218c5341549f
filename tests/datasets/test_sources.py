from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artylyze.collection.scan import scan
from artylyze.datasets.sources import METADATA, Joined, Wanted, join
from artylyze.errors import InputError, UsageError
from tests.catalogues import pictures, table

COLUMNS = {"artist": ("artist", "creator"), "style": ("style",), "record_id": ("record_id",)}


def wanted(**changes: Any) -> Wanted:
    plain: dict[str, Any] = {"columns": COLUMNS, "required": {"style": "Do something."}}
    return Wanted(**plain | changes)


def said(joined: Joined, column: str = "style") -> dict[str, str | None]:
    """What the first catalogue says of each image."""
    values = joined.catalogues[0].table.column(column).to_pylist()
    return dict(zip(joined.images.column("image_id").to_pylist(), values, strict=True))


@pytest.fixture
def images(tmp_path: Path) -> str:
    return pictures(tmp_path / "images", "a/1.jpg", "a/2.jpg", "b/3.tif")


class TestNamingImages:
    @pytest.mark.parametrize(
        "names",
        [
            ("a/1.jpg", "b/3.tif"),
            ("a/1", "b/3"),
            ("1.jpg", "3.tif"),
            ("1", "3"),
            ("./a/1.jpg", "/elsewhere/scans/3.tif"),
            ("scans\\1.jpg", "scans\\3.tif"),
        ],
    )
    def test_a_row_names_an_image_in_many_ways(self, names: tuple[str, str], images: str, tmp_path: Path) -> None:
        rows = [{"no": "7", "where": name, "style": style} for name, style in zip(names, ("x", "y"), strict=True)]
        joined = join([table(tmp_path / "l.csv", rows)], images, wanted())
        assert said(joined) == {"a/1.jpg": "x", "a/2.jpg": None, "b/3.tif": "y"}
        (one,) = joined.catalogues
        assert (one.column, one.rows, one.joined, one.repeated, one.unnamed) == ("where", 2, 2, 0, 0)
        assert one.described.to_pylist() == [True, False, True]

    def test_or_by_its_address(self, images: str, tmp_path: Path) -> None:
        rows = [{"where": str(Path(images, "a/1.jpg").absolute()), "style": "x"}]
        assert said(join([table(tmp_path / "l.csv", rows)], images, wanted()))["a/1.jpg"] == "x"

    def test_or_by_the_record_id_of_a_manifest(self, images: str, tmp_path: Path) -> None:
        rows = [{"number": "1935.1", "file": "1.jpg"}, {"number": "1935.2", "file": "3.tif"}]
        manifest = str(tmp_path / "m.parquet")
        scan(images, manifest, metadata=table(tmp_path / "m.csv", rows), id_column="number", file_column="file")
        labels = table(tmp_path / "l.csv", [{"style": "x", "accession": "1935.2"}])
        joined = join([labels], manifest, wanted())
        assert said(joined)["b/3.tif"] == "x"
        assert joined.images.column("record_id").to_pylist() == ["1935.1", "a/2", "1935.2"]

    def test_the_column_that_names_most_images_is_taken(self, images: str, tmp_path: Path) -> None:
        rows = [{"n": "1", "file": "2.jpg", "style": "x"}, {"n": "9", "file": "3.tif", "style": "y"}]
        joined = join([table(tmp_path / "l.csv", rows)], images, wanted())
        assert said(joined) == {"a/1.jpg": None, "a/2.jpg": "x", "b/3.tif": "y"}

    def test_unless_the_user_says_which(self, images: str, tmp_path: Path) -> None:
        rows = [{"n": "1", "file": "2.jpg", "style": "x"}, {"n": "9", "file": "3.tif", "style": "y"}]
        joined = join([table(tmp_path / "l.csv", rows)], images, wanted(id_column="n"))
        assert said(joined) == {"a/1.jpg": "x", "a/2.jpg": None, "b/3.tif": None}
        assert joined.images.column("record_id").to_pylist() == ["1", "a/2", "b/3"]
        joined = join([table(tmp_path / "l.csv", rows)], images, wanted(id_column="n", file_column="file"))
        assert said(joined) == {"a/1.jpg": None, "a/2.jpg": "x", "b/3.tif": "y"}
        assert joined.images.column("record_id").to_pylist() == ["a/1", "1", "9"]


class TestRowsOfOneImage:
    def test_the_row_that_names_it_most_exactly_counts(self, images: str, tmp_path: Path) -> None:
        rows = [{"file": "1.jpg", "style": "by name"}, {"file": "a/1.jpg", "style": "by key"}]
        joined = join([table(tmp_path / "l.csv", rows)], images, wanted())
        assert said(joined)["a/1.jpg"] == "by key"
        assert (joined.catalogues[0].joined, joined.catalogues[0].repeated) == (1, 1)

    def test_then_the_one_that_says_most_whatever_their_order(self, images: str, tmp_path: Path) -> None:
        rows = [
            {"file": "1.jpg", "artist": "", "style": "a"},
            {"file": "1.jpg", "artist": "Titian", "style": "b"},
            {"file": "1.jpg", "artist": "Titian", "style": "c"},
            {"file": "none.jpg", "artist": "", "style": "d"},
        ]
        for order in (rows, rows[::-1]):
            joined = join([table(tmp_path / "l.csv", order)], images, wanted())
            assert said(joined)["a/1.jpg"] == "b"
            one = joined.catalogues[0]
            assert (one.rows, one.joined, one.repeated, one.unnamed) == (4, 1, 2, 1)


class TestTables:
    def test_several_are_joined_each_by_its_own_column(self, images: str, tmp_path: Path) -> None:
        one = table(tmp_path / "one.csv", [{"file": "1.jpg", "style": "x"}])
        other = table(tmp_path / "other.csv", [{"Creator": "Titian", "key": "a/2"}])
        joined = join([one, other], images, wanted())
        assert [c.column for c in joined.catalogues] == ["file", "key"]
        assert joined.catalogues[1].table.to_pylist() == [{"artist": None}, {"artist": "Titian"}, {"artist": None}]

    @pytest.mark.parametrize("kind", ["csv.gz", "tsv", "parquet"])
    def test_they_may_be_of_any_kind_that_a_scan_reads(self, kind: str, images: str, tmp_path: Path) -> None:
        path = tmp_path / f"labels.{kind}"
        if kind == "csv.gz":
            path.write_bytes(gzip.compress(b"file,style\n1.jpg,x\n"))
        elif kind == "tsv":
            path.write_text("file\tstyle\n1.jpg\tx\n")
        else:
            pq.write_table(pa.table({"file": ["1.jpg"], "style": ["x"]}), path)
        assert said(join([str(path)], images, wanted()))["a/1.jpg"] == "x"

    def test_a_manifest_s_metadata_say_what_no_table_does(self, images: str, tmp_path: Path) -> None:
        rows = [{"file": "1.jpg", "style": "in metadata", "artist": "Titian"}]
        manifest = str(tmp_path / "m.parquet")
        scan(images, manifest, metadata=table(tmp_path / "m.csv", rows), id_column="file")
        (alone,) = join([], manifest, wanted()).catalogues
        assert (alone.name, alone.column, alone.rows, alone.joined) == (METADATA, None, 1, 1)
        assert alone.table.to_pylist()[0] == {"artist": "Titian", "style": "in metadata"}
        labels = table(tmp_path / "l.csv", [{"file": "2.jpg", "style": "in a table"}])
        _, beside = join([labels], manifest, wanted()).catalogues
        assert beside.table.column_names == ["artist"]

    def test_a_list_of_addresses_brings_its_own_metadata(self, tmp_path: Path) -> None:
        source = table(tmp_path / "s.csv", [{"uri": "https://museum.example/1.jpg", "style": "x"}])
        (one,) = join([], source, wanted()).catalogues
        assert one.table.column("style").to_pylist() == ["x"]


class TestWithoutImages:
    def test_the_first_table_s_rows_stand_for_them(self, tmp_path: Path) -> None:
        rows = [{"style": "x", "path": "Cubism/b.jpg"}, {"style": "x", "path": "Cubism/a.jpg"}]
        joined = join([table(tmp_path / "l.csv", rows)], None, wanted())
        assert joined.images.column("image_id").to_pylist() == ["Cubism/a.jpg", "Cubism/b.jpg"]
        assert joined.images.column("uri").null_count == 2
        assert joined.catalogues[0].joined == 2

    def test_other_tables_are_joined_to_them(self, tmp_path: Path) -> None:
        one = table(tmp_path / "one.csv", [{"id": "1", "artist": "x"}, {"id": "2", "artist": "x"}])
        other = table(tmp_path / "other.csv", [{"style": "y", "object": "2"}, {"style": "y", "object": "3"}])
        joined = join([one, other], None, wanted())
        assert joined.catalogues[1].table.column("style").to_pylist() == [None, "y"]
        assert joined.catalogues[1].unnamed == 1

    def test_a_column_must_tell_rows_apart(self, tmp_path: Path) -> None:
        rows = [{"style": "x", "file": "1.jpg"}, {"style": "x", "file": "1.jpg"}]
        with pytest.raises(UsageError, match="`id_column`"):
            join([table(tmp_path / "l.csv", rows)], None, wanted())
        assert join([table(tmp_path / "l.csv", rows)], None, wanted(id_column="file")).images.num_rows == 1

    def test_there_must_be_a_table(self) -> None:
        with pytest.raises(UsageError, match="Give `labels`"):
            join([], None, wanted(required={}))


class TestMistakes:
    def test_labels_that_match_no_image(self, images: str, tmp_path: Path) -> None:
        labels = table(tmp_path / "l.csv", [{"file": "x.jpg", "style": "x"}])
        with pytest.raises(InputError, match=r"No row .*l\.csv names an image.*'file' is like 'x\.jpg'.*'a/1\.jpg'"):
            join([labels], images, wanted())

    def test_a_column_that_no_table_has(self, images: str, tmp_path: Path) -> None:
        labels = table(tmp_path / "l.csv", [{"file": "1.jpg", "artist": "Titian"}])
        with pytest.raises(UsageError, match=r"'style' \(l\.csv has: file, artist\)\. Do something\."):
            join([labels], images, wanted())

    def test_it_is_found_out_before_a_collection_is_listed(self, tmp_path: Path) -> None:
        labels = table(tmp_path / "l.csv", [{"file": "1.jpg", "artist": "Titian"}])
        with pytest.raises(UsageError, match="'style'"):
            join([labels], str(tmp_path / "nowhere"), wanted())

    def test_a_table_that_says_nothing(self, images: str, tmp_path: Path) -> None:
        labels = table(tmp_path / "l.csv", [{"file": "1.jpg", "title": "Noli me tangere"}])
        with pytest.raises(InputError, match=r"no column 'artist', 'style'"):
            join([labels], images, wanted())

    @pytest.mark.parametrize("option", ["id_column", "file_column"])
    def test_a_column_that_the_user_names(self, option: str, images: str, tmp_path: Path) -> None:
        labels = table(tmp_path / "l.csv", [{"file": "1.jpg", "style": "x"}])
        with pytest.raises(UsageError, match=f"'number', which `{option}` names"):
            join([labels], images, wanted(**{option: "number"}))
