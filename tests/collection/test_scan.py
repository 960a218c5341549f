from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artylyze.collection.manifest import open_manifest
from artylyze.collection.scan import ScanReport, is_table, scan
from artylyze.errors import InputError, StorageError, UsageError
from artylyze.storage import fetch, open_store

if TYPE_CHECKING:
    from tests.conftest import S3

NFC, NFD = "caf\u00e9", "cafe\u0301"
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: not name.startswith(".")
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def fill(folder: Path, *keys: str) -> str:
    for key in keys:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key.encode("utf-8", "surrogateescape"))
    return str(folder)


def table(tmp_path: Path, content: str | bytes, name: str = "metadata.csv") -> str:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def scanned(source: str, tmp_path: Path, **options: Any) -> tuple[ScanReport, list[dict[str, Any]]]:
    target = str(tmp_path / "manifest.parquet")
    report = scan(source, target, **options)
    assert open_manifest(target).rows == report.images
    return report, pq.read_table(target).to_pylist()


class TestFolders:
    def test_each_image_is_a_row_in_order(self, images: Path, tmp_path: Path) -> None:
        report, rows = scanned(fill(images, "b/2.tif", "a.jpg", "b/1.JPG"), tmp_path)
        assert [(row["image_id"], row["record_id"]) for row in rows] == [
            ("a.jpg", "a"),
            ("b/1.JPG", "b/1"),
            ("b/2.tif", "b/2"),
        ]
        assert (report.images, report.bytes, report.passed_over) == (3, 19, 0)

    def test_there_is_no_metadata_column_without_metadata(self, images: Path, tmp_path: Path) -> None:
        _, rows = scanned(fill(images, "a.jpg"), tmp_path)
        assert list(rows[0]) == ["image_id", "record_id", "uri", "size", "validator"]

    def test_every_address_leads_to_the_image_that_was_scanned(self, images: Path, tmp_path: Path) -> None:
        keys = [
            "<script>.jpg",
            "=1+1.jpg",
            f"{NFC}.jpg",
            f"{NFD}.jpg",
            'it\'s "q"\n.jpg',
            "😀.jpg",
            "a%20b.jpg",
            "..x.jpg",
        ]
        _, rows = scanned(fill(images, *keys), tmp_path)
        assert {row["image_id"]: bytes(fetch(row["uri"], row["validator"])).decode() for row in rows} == {
            key: key for key in keys
        }

    @settings(deadline=None, max_examples=20)
    @given(st.lists(names.map(lambda name: f"{name[:50]}.jpg"), min_size=1, max_size=5, unique=True))
    def test_any_name_goes_through_the_manifest(self, keys: list[str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _, rows = scanned(fill(Path(folder) / "images", *keys), Path(folder))
            assert {bytes(fetch(row["uri"])).decode() for row in rows} == set(keys)
            assert [row["image_id"] for row in rows] == sorted(keys, key=str.encode)

    def test_a_name_that_is_not_utf8_is_text_in_the_manifest(self, images: Path, tmp_path: Path) -> None:
        (images / os.fsdecode(b"M\xfcller.jpg")).write_bytes(b"image")
        _, (row,) = scanned(str(images), tmp_path)
        assert row["image_id"] == "M\\xfcller.jpg"
        assert bytes(fetch(row["uri"], row["validator"])) == b"image"

    def test_other_files_are_counted(self, images: Path, tmp_path: Path) -> None:
        report, _ = scanned(fill(images, "a.jpg", "a.xml", "README", "._a.jpg", ".jpg"), tmp_path)
        assert (report.images, report.passed_over) == (1, 4)

    def test_what_is_no_file_is_no_image(self, images: Path, tmp_path: Path) -> None:
        fill(images, "a.jpg")
        os.mkfifo(images / "pipe.jpg")
        (images / "folder.jpg").mkdir()
        (images / "dangling.jpg").symlink_to("nowhere")
        (images / "loop.jpg").symlink_to("loop.jpg")
        (images / "link.jpg").symlink_to("a.jpg")
        _, rows = scanned(str(images), tmp_path)
        assert [row["image_id"] for row in rows] == ["a.jpg", "link.jpg"]

    @pytest.mark.parametrize(
        ("glob", "found"),
        [("*.dat", ["a.dat", "b/c.dat"]), ("b/*", ["b/c.dat", "b/d.jpg"]), ("[ab].dat", ["a.dat"]), ("*", None)],
    )
    def test_a_glob_chooses_among_keys_and_names(
        self, images: Path, tmp_path: Path, glob: str, found: list[str] | None
    ) -> None:
        keys = ["a.dat", "b/c.dat", "b/d.jpg"]
        report, rows = scanned(fill(images, *keys), tmp_path, glob=glob)
        assert [row["image_id"] for row in rows] == (found or keys)
        assert report.passed_over == len(keys) - len(rows)

    def test_no_images_are_told(self, images: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"There are no images in .* \(1 other file skipped\)"):
            scan(fill(images, "a.txt"), str(tmp_path / "m.parquet"))
        assert not (tmp_path / "m.parquet").exists()

    def test_no_such_folder_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="There is no folder or file"):
            scan(str(tmp_path / "nowhere"), str(tmp_path / "m.parquet"))

    def test_the_manifest_may_lie_among_the_images(self, images: Path, tmp_path: Path) -> None:
        scan(fill(images, "a.jpg"), str(images / "manifest.parquet"))
        report, _ = scanned(str(images), tmp_path)
        assert (report.images, report.passed_over) == (1, 1)

    def test_a_folder_may_be_named_like_a_table(self, tmp_path: Path) -> None:
        folder = tmp_path / "scans.csv"
        folder.mkdir()
        assert not is_table(str(folder))
        assert is_table("s3://bucket/list.CSV.gz")


class TestBuckets:
    def test_keys_are_data(self, s3: S3, aws: Callable[[S3], None], tmp_path: Path) -> None:
        aws(s3)
        bucket = s3.bucket("collection-keys")
        keys = ["<script>/a.jpg", "=1+1.jpg", f"{NFC}.jpg", f"{NFD}.jpg", 'it\'s "q".jpg', "😀.jpg", "a%20b.jpg"]
        keys += ["../up.jpg", "a//b.jpg", "/lead.jpg"] if s3.conditional else []
        client = s3.client()
        for key in keys:
            client.put_object(Bucket=bucket[5:], Key=key, Body=key.encode())
        report, rows = scanned(bucket, tmp_path)
        assert report.images == len(keys)
        found = {row["image_id"]: bytes(fetch(row["uri"], row["validator"])).decode() for row in rows}
        assert found == {key: key for key in keys}

    def test_ids_are_keys_below_the_prefix(self, s3: S3, aws: Callable[[S3], None], tmp_path: Path) -> None:
        aws(s3)
        bucket = s3.bucket("collection-prefix")
        for key in ("scans/a.jpg", "scans-old/b.jpg"):
            open_store(bucket).put(key, b"")
        _, (row,) = scanned(f"{bucket}/scans", tmp_path)
        assert (row["image_id"], row["uri"]) == ("a.jpg", f"{bucket}/scans/a.jpg")

    def test_source_metadata_and_target_may_all_lie_in_a_bucket(self, s3: S3, aws: Callable[[S3], None]) -> None:
        aws(s3)
        bucket = s3.bucket("collection-whole")
        store = open_store(bucket)
        store.put("scans/a.jpg", b"")
        store.put("metadata.csv", b"id,title\na,Ophelia\n")
        scan(f"{bucket}/scans", f"{bucket}/m.parquet", metadata=f"{bucket}/metadata.csv", id_column="id")
        assert open_manifest(f"{bucket}/m.parquet").rows == 1

    def test_no_such_bucket_is_told(self, moto_server: S3, aws: Callable[[S3], None], tmp_path: Path) -> None:
        aws(moto_server)
        with pytest.raises(StorageError, match="There is no bucket s3://not-there"):
            scan("s3://not-there/scans", str(tmp_path / "m.parquet"))


def described(tmp_path: Path, content: str | bytes, name: str = "metadata.csv", **options: Any) -> list[dict[str, Any]]:
    """Scan `a.jpg` and `b.jpg` with a catalogue, and return their metadata."""
    images = fill(tmp_path / "images", "a.jpg", "b.jpg")
    _, rows = scanned(images, tmp_path, **({"metadata": table(tmp_path, content, name), "id_column": "id"} | options))
    return [row["metadata"] for row in rows]


class TestMetadataFiles:
    EXPECTED = ({"id": "a", "title": f"{NFC} noir"}, {"id": "b", "title": None})
    TEXT = f"id,title\na,{NFC} noir\nb,\n"

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
    def test_what_spreadsheets_export_is_read(self, tmp_path: Path, encoding: str) -> None:
        assert described(tmp_path, self.TEXT.encode(encoding)) == list(self.EXPECTED)

    @pytest.mark.parametrize("bom", [b"\xfe\xff", b"\xff\xfe"], ids=["big endian", "little endian"])
    def test_both_orders_of_utf16_are_read(self, tmp_path: Path, bom: bytes) -> None:
        data = self.TEXT.encode("utf-16-be" if bom == b"\xfe\xff" else "utf-16-le")
        assert described(tmp_path, bom + data) == list(self.EXPECTED)

    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    def test_any_usual_separator_is_read(self, tmp_path: Path, separator: str) -> None:
        assert described(tmp_path, self.TEXT.replace(",", separator)) == list(self.EXPECTED)

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_any_line_end_is_read(self, tmp_path: Path, end: str) -> None:
        assert described(tmp_path, self.TEXT.replace("\n", end)) == list(self.EXPECTED)

    @pytest.mark.parametrize("name", ["m.csv.gz", "m.tsv.gz", "m.csv"])
    def test_a_compressed_file_is_read_whatever_its_name(self, tmp_path: Path, name: str) -> None:
        assert described(tmp_path, gzip.compress(self.TEXT.encode()), name) == list(self.EXPECTED)

    def test_a_parquet_table_keeps_its_types(self, tmp_path: Path) -> None:
        path = tmp_path / "m.parquet"
        pq.write_table(pa.table({"id": ["a", "b"], "year": [1852, None], "tags": [["x"], []]}), path)
        assert described(tmp_path, path.read_bytes(), "n.parquet") == [
            {"id": "a", "year": 1852, "tags": ["x"]},
            {"id": "b", "year": None, "tags": []},
        ]

    def test_a_parquet_id_may_be_a_number(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"number": [7]}), tmp_path / "m.parquet")
        images = fill(tmp_path / "images", "7.jpg")
        _, (row,) = scanned(images, tmp_path, metadata=str(tmp_path / "m.parquet"), id_column="number")
        assert (row["record_id"], row["metadata"]) == ("7", {"number": 7})

    def test_a_cell_may_hold_lines_quotes_and_separators(self, tmp_path: Path) -> None:
        text = 'id,title\na,"one\ntwo, ""three"";\r\nfour"\nb,"=1+1"\n'
        assert [row["title"] for row in described(tmp_path, text)] == ['one\ntwo, "three";\r\nfour', "=1+1"]

    def test_text_stays_text(self, tmp_path: Path) -> None:
        text = "id,number,date,flag,nothing\na,007,1852-01-02,true,NULL\n"
        assert described(tmp_path, text)[0] == {
            "id": "a",
            "number": "007",
            "date": "1852-01-02",
            "flag": "true",
            "nothing": "NULL",
        }

    def test_columns_may_have_any_name(self, tmp_path: Path) -> None:
        names = [
            "select",
            "two words",
            'a "quoted"',
            "it's",
            "row",
            "uri",
            "image_id",
            "metadata",
            "x.y",
            "été",
            "t",
            "--",
        ]
        header = ",".join('"' + name.replace('"', '""') + '"' for name in ["id", *names])
        (first, _) = described(tmp_path, f"{header}\na,{','.join(names_of(names))}\n")
        assert first == {"id": "a"} | dict(zip(names, names_of(names), strict=True))

    @pytest.mark.parametrize("column", ["row", "uri", "image_id", "metadata", "select", "a b", 'a"b', "it's", "name"])
    def test_the_id_may_be_in_a_column_of_any_name(self, tmp_path: Path, column: str) -> None:
        header = '"' + column.replace('"', '""') + '"'
        rows = described(tmp_path, f"{header},title\na,Ophelia\n", id_column=column)
        assert rows == [{column: "a", "title": "Ophelia"}, None]

    def test_columns_of_one_name_are_all_kept(self, tmp_path: Path) -> None:
        (row, _) = described(tmp_path, "id,note,Note,\na,1,2,3\n")
        assert list(row.values()) == ["a", "1", "2", "3"]

    def test_one_column_is_enough(self, tmp_path: Path) -> None:
        assert described(tmp_path, "id\na\nb;c\n") == [{"id": "a"}, None]

    def test_a_header_alone_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"it has a header \(id, title\) and no rows"):
            described(tmp_path, "id,title\n")

    def test_blank_lines_are_passed_over(self, tmp_path: Path) -> None:
        assert described(tmp_path, f"\r\n{self.TEXT}\n\n") == list(self.EXPECTED)

    @pytest.mark.parametrize("content", ["", "\n"])
    def test_an_empty_file_is_told(self, tmp_path: Path, content: str) -> None:
        with pytest.raises(InputError, match="cannot be read as a table: it has no header"):
            described(tmp_path, content)

    def test_a_row_of_another_length_is_shown(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"line 3 has 3 cells where the header has 2.*b,c,d.*`skip_bad_rows`"):
            described(tmp_path, "id,title\na,b\nb,c,d\n")

    @pytest.mark.parametrize(
        ("content", "name"),
        [
            (b"\x1f\x8bgarbage", "m.csv.gz"),
            (gzip.compress(b"id,title\n" * 1000)[:-20], "m.csv.gz"),
            (b"not parquet", "m.parquet"),
            (b'id,title\na,"never closed', "m.csv"),
        ],
        ids=["no gzip", "cut gzip", "no parquet", "open quote"],
    )
    def test_a_damaged_file_is_told(self, tmp_path: Path, content: bytes, name: str) -> None:
        with pytest.raises(InputError, match="cannot be read as a table"):
            described(tmp_path, content, name)

    def test_a_file_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="There is no file"):
            described(tmp_path, "", metadata=str(tmp_path / "nowhere.csv"))

    @pytest.mark.parametrize("option", ["id_column", "file_column"])
    def test_a_column_that_is_not_there_is_told(self, tmp_path: Path, option: str) -> None:
        with pytest.raises(InputError, match=r"has no column 'x' \(it has: id, title\)"):
            described(tmp_path, self.TEXT, **{option: "x"})

    def test_metadata_needs_its_id_column(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="`metadata` needs `id_column`"):
            described(tmp_path, self.TEXT, id_column=None)


def names_of(names: list[str]) -> list[str]:
    return [f"value {number}" for number in range(len(names))]


class TestJoin:
    def join(self, tmp_path: Path, keys: list[str], values: list[str], **options: Any) -> tuple[ScanReport, list[Any]]:
        cells = ['"' + value.replace('"', '""') + '"' for value in values]
        metadata = table(tmp_path, "id,n\n" + "".join(f"{cell},{n}\n" for n, cell in enumerate(cells)))
        images = fill(tmp_path / "images", *keys)
        report, rows = scanned(images, tmp_path, metadata=metadata, id_column="id", **options)
        return report, [row["metadata"] and int(row["metadata"]["n"]) for row in rows]

    @pytest.mark.parametrize(
        "value",
        [
            "maps/1.tif",
            "maps/1",
            "1.tif",
            "1",
            "/maps/1.tif",
            "./maps/1.tif",
            "C:\\scans\\1.tif",
            "maps\\1.tif",
            "//server/share/1.tif",
        ],
    )
    def test_a_value_names_an_image_in_many_ways(self, tmp_path: Path, value: str) -> None:
        report, found = self.join(tmp_path, ["maps/1.tif"], [value])
        assert found == [0]
        assert (report.without_metadata, report.unused_metadata) == (0, 0)

    def test_the_most_exact_name_wins(self, tmp_path: Path) -> None:
        _, found = self.join(tmp_path, ["m/1.tif", "n/1.tif", "o/1.tif"], ["1", "1.tif", "m/1", "m/1.tif", "n/1"])
        assert found == [3, 4, 1]

    @pytest.mark.parametrize(("key", "value"), [(NFC, NFD), (NFD, NFC)])
    def test_normal_forms_are_alike(self, tmp_path: Path, key: str, value: str) -> None:
        _, found = self.join(tmp_path, [f"{key}.jpg"], [value])
        assert found == [0]

    def test_leading_zeros_count(self, tmp_path: Path) -> None:
        _, found = self.join(tmp_path, ["007.jpg", "7.jpg"], ["7", "007"])
        assert found == [1, 0]

    def test_a_dot_in_a_name_is_no_extension_of_the_value(self, tmp_path: Path) -> None:
        _, found = self.join(tmp_path, ["1999.12.jpg"], ["1999.12", "1999"])
        assert found == [0]

    def test_odd_values_are_data(self, tmp_path: Path) -> None:
        odd = ["it's", 'say "hi"', "%", "=1+1", "<b>", "a*", "[x]"]
        _, found = self.join(tmp_path, [f"{value}.jpg" for value in sorted(odd)], sorted(odd))
        assert found == list(range(len(odd)))

    def test_images_of_one_record_share_it(self, tmp_path: Path) -> None:
        report, found = self.join(tmp_path, ["1.jpg", "1.tif", "2.jpg"], ["1", "2"])
        assert found == [0, 0, 1]
        assert report.shared_records == 1

    def test_recto_and_verso_share_a_record_by_a_column_of_file_names(self, tmp_path: Path) -> None:
        metadata = table(tmp_path, "id,file\nA1,a_recto.jpg\nA1,a_verso.jpg\n,b.jpg\n")
        images = fill(tmp_path / "images", "a_recto.jpg", "a_verso.jpg", "b.jpg")
        report, rows = scanned(images, tmp_path, metadata=metadata, id_column="id", file_column="file")
        assert [row["record_id"] for row in rows] == ["A1", "A1", "b"]
        assert (report.shared_records, report.repeated_ids) == (1, 0)

    def test_the_first_of_repeated_ids_counts(self, tmp_path: Path) -> None:
        report, found = self.join(tmp_path, ["a.jpg"], ["a", "a", "a"])
        assert found == [0]
        assert (report.repeated_ids, report.unused_metadata) == (2, 2)

    def test_what_found_no_counterpart_is_counted(self, tmp_path: Path) -> None:
        report, found = self.join(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], ["a", "x", ""])
        assert found == [0, None, None]
        assert (report.without_metadata, report.unused_metadata) == (2, 2)

    def test_the_id_becomes_the_record(self, tmp_path: Path) -> None:
        metadata = table(tmp_path, "accession,file\n1936.12/3,a.jpg\n")
        images = fill(tmp_path / "images", "a.jpg", "sub/b.jpg")
        _, rows = scanned(images, tmp_path, metadata=metadata, id_column="accession", file_column="file")
        assert [row["record_id"] for row in rows] == ["1936.12/3", "sub/b"]


class TestAddresses:
    def test_each_row_is_an_image(self, tmp_path: Path) -> None:
        source = table(tmp_path, "uri,title\ns3://b/2.jpg,two\nhttps://host/1.jpg?x=1,one\n/abs/3.jpg,three\n", "l.csv")
        _, rows = scanned(source, tmp_path)
        assert [(row["image_id"], row["uri"]) for row in rows] == [
            ("/abs/3.jpg", "/abs/3.jpg"),
            ("https://host/1.jpg?x=1", "https://host/1.jpg?x=1"),
            ("s3://b/2.jpg", "s3://b/2.jpg"),
        ]
        assert rows[2]["metadata"] == {"uri": "s3://b/2.jpg", "title": "two"}
        assert {(row["size"], row["validator"]) for row in rows} == {(None, None)}

    def test_relative_addresses_start_at_the_list(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(tmp_path, "images/a.jpg", "b.jpg")
        table(tmp_path, "uri\nimages/a.jpg\n../" + tmp_path.name + "/b.jpg\n", "list.csv")
        monkeypatch.chdir(tmp_path)
        _, rows = scanned("list.csv", tmp_path)
        assert {bytes(fetch(row["uri"])) for row in rows} == {b"images/a.jpg", b"b.jpg"}

    def test_relative_addresses_start_at_the_list_in_a_bucket(
        self, moto_server: S3, aws: Callable[[S3], None], tmp_path: Path
    ) -> None:
        aws(moto_server)
        bucket = moto_server.bucket("addresses")
        store = open_store(bucket)
        store.put("lists/images/a.jpg", b"image")
        store.put("lists/list.csv", b"uri\nimages/a.jpg\n")
        _, (row,) = scanned(f"{bucket}/lists/list.csv", tmp_path)
        assert (row["image_id"], bytes(fetch(row["uri"]))) == ("images/a.jpg", b"image")

    @pytest.mark.parametrize("uri", ["a;b.jpg", "a|b.jpg", "a b.jpg", "#a.jpg", "a'b.jpg", f"{NFD}.jpg"])
    def test_an_address_may_hold_any_separator(self, tmp_path: Path, uri: str) -> None:
        _, (row,) = scanned(table(tmp_path, f"uri\n{uri}\n", "l.csv"), tmp_path)
        assert row["image_id"] == uri

    def test_ids_and_records_may_be_columns_of_the_list(self, tmp_path: Path) -> None:
        source = table(tmp_path, "uri,image_id,record_id\n/1.jpg,x,A\n/2.jpg,w,A\n/3.jpg,y,\n", "l.csv")
        report, rows = scanned(source, tmp_path)
        assert [(row["image_id"], row["record_id"]) for row in rows] == [("w", "A"), ("x", "A"), ("y", "y")]
        assert report.shared_records == 1

    def test_the_record_may_be_any_column(self, tmp_path: Path) -> None:
        source = table(tmp_path, "uri,row\n/1.jpg,A\n", "l.csv")
        _, (row,) = scanned(source, tmp_path, id_column="row")
        assert row["record_id"] == "A"

    def test_a_parquet_list_may_hold_numbers_for_ids(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"uri": ["/b.jpg", "/a.jpg"], "image_id": [10, 9]}), tmp_path / "l.parquet")
        _, rows = scanned(str(tmp_path / "l.parquet"), tmp_path)
        assert [row["image_id"] for row in rows] == ["10", "9"]

    @pytest.mark.parametrize("uris", [["/a.jpg", None], ["/a.jpg", " "], ["/a.jpg", "\u00a0"], [1, None]])
    def test_rows_without_an_address_are_passed_over_and_counted(self, tmp_path: Path, uris: list[Any]) -> None:
        pq.write_table(pa.table({"uri": uris}), tmp_path / "l.parquet")
        report, rows = scanned(str(tmp_path / "l.parquet"), tmp_path)
        assert (len(rows), report.without_address) == (1, 1)

    def test_spaces_around_an_address_are_no_part_of_it(self, tmp_path: Path) -> None:
        fill(tmp_path, "a.jpg", "b.jpg")
        _, rows = scanned(table(tmp_path, "uri,title\n a.jpg ,x\nb.jpg\t, y\n", "l.csv"), tmp_path)
        assert [bytes(fetch(row["uri"])) for row in rows] == [b"a.jpg", b"b.jpg"]
        assert [row["metadata"]["title"] for row in rows] == ["x", " y"]

    @pytest.mark.parametrize("header", ["URI", "Uri", " uri ", '"u\nri"'.replace("\n", "")])
    def test_the_letter_case_of_the_header_does_not_matter(self, tmp_path: Path, header: str) -> None:
        _, (row,) = scanned(table(tmp_path, f"{header},Image_ID,RECORD_ID\n/1.jpg,x,R\n", "l.csv"), tmp_path)
        assert (row["image_id"], row["uri"], row["record_id"]) == ("x", "/1.jpg", "R")

    @pytest.mark.parametrize(("ids", "verb"), [(",", "1 row of .* has"), (",,", "2 rows of .* have")])
    def test_rows_without_an_image_id_are_counted(self, tmp_path: Path, ids: str, verb: str) -> None:
        rows = "".join(f"/{number}.jpg,{value}\n" for number, value in enumerate(ids.split(",")[1:]))
        with pytest.raises(InputError, match=f"{verb} no image_id"):
            scanned(table(tmp_path, f"uri,image_id\n/a.jpg,x\n{rows}", "l.csv"), tmp_path)

    def test_an_image_that_is_listed_twice_with_the_same_words_is_one(self, tmp_path: Path) -> None:
        source = table(tmp_path, "uri,title\n/1.jpg,a\n/2.jpg,b\n/1.jpg,a\n/1.jpg ,a\n/1.jpg,a\n", "l.csv")
        with pytest.raises(InputError, match=r"'/1\.jpg' in 2 rows"):  # a space more is another row
            scanned(source, tmp_path)
        report, rows = scanned(table(tmp_path, "uri,title\n/1.jpg,a\n/2.jpg,b\n/1.jpg,a\n", "l.csv"), tmp_path)
        assert (len(rows), report.images, report.listed_again) == (2, 2, 1)

    def test_an_image_that_is_listed_twice_with_different_words_ends_in_the_way_out(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"'/1\.jpg' in 2 rows.*add a column `image_id`"):
            scanned(table(tmp_path, "uri,title\n/1.jpg,a\n/2.jpg,b\n/1.jpg,c\n", "l.csv"), tmp_path)

    def test_an_address_may_come_twice_under_two_ids(self, tmp_path: Path) -> None:
        report, _ = scanned(table(tmp_path, "uri,image_id\n/1.jpg,x\n/1.jpg,y\n", "l.csv"), tmp_path)
        assert report.images == 2

    def test_a_list_without_addresses_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no column `uri` \(it has: url, title\).*scan FOLDER --metadata"):
            scanned(table(tmp_path, "url,title\n/1.jpg,x\n", "l.csv"), tmp_path)

    def test_a_list_of_nothing_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no rows"):
            scanned(table(tmp_path, "uri,title\n", "l.csv"), tmp_path)
        with pytest.raises(InputError, match="There are no images in"):
            scanned(table(tmp_path, "uri,title\n,x\n", "l.csv"), tmp_path)

    @pytest.mark.parametrize("option", [{"glob": "*"}, {"metadata": "m.csv", "id_column": "id"}])
    def test_a_list_brings_its_own_metadata(self, tmp_path: Path, option: dict[str, str]) -> None:
        with pytest.raises(UsageError, match="has its own metadata"):
            scanned(table(tmp_path, "uri\n/1.jpg\n", "l.csv"), tmp_path, **option)
