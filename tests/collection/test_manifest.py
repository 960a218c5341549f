from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artylyze.collection import manifest
from artylyze.collection.manifest import (
    COLUMNS,
    ROW_GROUP,
    copy_manifest,
    looks_like_manifest,
    open_manifest,
    open_rows,
    read_rows,
    write_manifest,
)
from artylyze.errors import InputError, StorageError
from artylyze.storage import open_store, split_target

if TYPE_CHECKING:
    from tests.conftest import S3

SCHEMA = pa.schema(COLUMNS)
ODD = ["../c", "a//b", "<script>", "=1+1", "caf\u00e9", "cafe\u0301", 'it\'s "quoted"\n', "😀", "\\xff", "/lead", " "]
METADATA = pa.struct([("title", pa.string()), ("year", pa.int16()), ("on_view", pa.bool_())])
ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def table(keys: list[str], **columns: list[Any]) -> pa.Table:
    made = {"image_id": keys, "record_id": keys, "uri": keys, "size": [1] * len(keys), "validator": [None] * len(keys)}
    return pa.Table.from_pydict(made | columns, SCHEMA)


@st.composite
def rows_in_batches(draw: st.DrawFn) -> tuple[pa.Table, list[pa.RecordBatch], int]:
    """Rows with and without nulls and metadata, cut anywhere as a database hands them on, and rows of a row group."""
    count = draw(st.integers(0, 40))
    keys = [f"{n:02d}" for n in range(count)]

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(st.none() | values, min_size=count, max_size=count))

    rows = table(keys, size=column(st.integers(0, 9)), validator=column(st.sampled_from(["etag:x", "mtime:1:1"])))
    if draw(st.booleans()):
        values = {"title": ids, "year": st.integers(1400, 2000), "on_view": st.booleans()}
        own = st.fixed_dictionaries({name: st.none() | value for name, value in values.items()})
        described = pa.array(column(own), METADATA)
        rows = rows.append_column(pa.field("metadata", METADATA), described)
    loose = rows.cast(pa.schema([field.with_nullable(True) for field in rows.schema]))
    cuts = sorted(draw(st.lists(st.integers(0, count), max_size=8)))
    pieces = [loose.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, count], strict=True)]
    empty = pa.RecordBatch.from_pylist([], loose.schema)
    batches = [batch for piece in pieces for batch in (piece.to_batches() or [empty])]
    return rows, batches, draw(st.integers(1, 12))


def sorted_keys(keys: list[str]) -> list[str]:
    return sorted(set(keys), key=str.encode)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "manifest.parquet")


class TestRoundTrip:
    @settings(deadline=None, max_examples=50)
    @given(st.lists(ids, max_size=20).map(sorted_keys))
    def test_any_keys_are_read_as_they_were_written(self, keys: list[str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            target = f"{folder}/manifest.parquet"
            assert write_manifest(table(keys).to_batches(), SCHEMA, target) == len(keys)
            assert open_manifest(target).rows == len(keys)
            with open_rows(target) as file:
                assert read_rows(file, 0, len(keys)).column("image_id").to_pylist() == keys

    def test_a_manifest_may_lie_in_a_bucket(self, s3: S3, aws: Callable[[S3], None]) -> None:
        aws(s3)
        target = f"{s3.bucket('manifest')}/some/folder/manifest.parquet"
        keys = sorted_keys(ODD)
        write_manifest(table(keys).to_batches(), SCHEMA, target)
        assert open_manifest(target).rows == len(keys)
        with open_rows(target) as file:
            assert read_rows(file, 2, 4).column("image_id").to_pylist() == keys[2:4]

    def test_a_manifest_replaces_another_whole(self, path: str, tmp_path: Path) -> None:
        for keys in (["a"], ["b", "c"]):
            write_manifest(table(keys).to_batches(), SCHEMA, path)
        assert open_manifest(path).rows == 2
        assert [found.name for found in tmp_path.iterdir()] == ["manifest.parquet"]

    def test_nothing_is_left_of_a_scan_that_fails(self, path: str, tmp_path: Path) -> None:
        def batches() -> Any:
            yield from table(["a"]).to_batches()
            raise StorageError("the network is gone")

        with pytest.raises(StorageError):
            write_manifest(batches(), SCHEMA, path)
        assert list(tmp_path.iterdir()) == []


class TestRowGroups:
    @pytest.mark.parametrize("rows", [0, 1, ROW_GROUP - 1, ROW_GROUP, ROW_GROUP + 1, 2 * ROW_GROUP])
    @pytest.mark.parametrize("batch", [1000, 100_000])
    def test_each_but_the_last_is_full(self, path: str, rows: int, batch: int) -> None:
        write_manifest(table([f"{n:08d}" for n in range(rows)]).to_batches(batch), SCHEMA, path)
        metadata = pq.read_metadata(path)
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        assert sizes == [ROW_GROUP] * (rows // ROW_GROUP) + ([rows % ROW_GROUP] if rows % ROW_GROUP else [])

    @given(drawn=rows_in_batches(), start=st.integers(0, 40), count=st.integers(0, 40))
    @settings(deadline=None, max_examples=80)
    def test_batches_of_any_size_fill_groups_of_any_size(
        self, drawn: tuple[pa.Table, list[pa.RecordBatch], int], start: int, count: int
    ) -> None:
        rows, batches, group = drawn
        stop = min(rows.num_rows, start + count)
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setattr(manifest, "ROW_GROUP", group)
            target, other = f"{folder}/manifest.parquet", f"{folder}/other.parquet"
            assert write_manifest(batches, rows.schema, target) == rows.num_rows
            assert pq.read_table(target).equals(rows)
            sizes = [pq.read_metadata(target).row_group(n).num_rows for n in range(-(-rows.num_rows // group))]
            assert all(size == group for size in sizes[:-1])
            pq.write_table(rows, other, row_group_size=7)
            whole = open_manifest(target)
            assert (whole.digest, whole.sizes) == (open_manifest(other).digest, rows["size"].combine_chunks())
            for path in (target, other):
                with open_rows(path) as file:
                    assert read_rows(file, min(start, stop), stop).equals(rows.slice(start, max(0, stop - start)))

    @pytest.mark.parametrize("given", [100, 1_000_000])
    def test_a_copy_has_groups_that_a_worker_can_read_at_once(self, path: str, tmp_path: Path, given: int) -> None:
        rows = table([f"{n:08d}" for n in range(ROW_GROUP + 10)])
        pq.write_table(rows, path, row_group_size=given)
        copy_manifest(path, str(tmp_path / "run" / "manifest.parquet"))
        copy = pq.ParquetFile(tmp_path / "run" / "manifest.parquet")
        assert copy.read().equals(rows)
        assert max(copy.metadata.row_group(n).num_rows for n in range(copy.metadata.num_row_groups)) <= ROW_GROUP

    def test_metadata_that_pyarrow_cannot_read_is_told(self, path: str) -> None:
        rows = table(["a", "b", "c"])
        words = pa.StructArray.from_arrays([pa.array(["x", "y", "x"]).dictionary_encode()], ["kind"])
        pq.write_table(rows.append_column("metadata", words), path, row_group_size=1)
        with pytest.raises(InputError, match="cannot be read as a Parquet file"):
            open_manifest(path)

    @given(start=st.integers(0, 30), count=st.integers(0, 30), group=st.integers(1, 12))
    @settings(deadline=None, max_examples=50)
    def test_any_range_of_rows_is_read_from_the_groups_that_hold_it(self, start: int, count: int, group: int) -> None:
        keys = [f"{n:02d}" for n in range(31)]
        sink = pa.BufferOutputStream()
        pq.write_table(table(keys), sink, row_group_size=group)
        stop = min(31, start + count)
        file = pq.ParquetFile(pa.BufferReader(sink.getvalue()))
        assert read_rows(file, start, stop).column("image_id").to_pylist() == keys[start:stop]


class TestChecks:
    def test_bytes_of_unknown_size_count_with_the_mean(self, path: str) -> None:
        write_manifest(table(["a", "b", "c"], size=[10, None, 20]).to_batches(), SCHEMA, path)
        assert (open_manifest(path).rows, open_manifest(path).bytes) == (3, 45)

    def test_all_sizes_may_be_unknown(self, path: str) -> None:
        write_manifest(table(["a"], size=[None]).to_batches(), SCHEMA, path)
        assert open_manifest(path).bytes == 0

    def test_a_repeated_image_is_named(self, path: str) -> None:
        pq.write_table(table(["a", "b", "b", "c"]), path)
        with pytest.raises(InputError, match=r"repeats the image_id 'b'.*make the manifest again with `artylyze scan`"):
            open_manifest(path)

    def test_an_image_repeated_across_row_groups_is_named(self, path: str) -> None:
        keys = [f"{n:08d}" for n in range(ROW_GROUP)]
        pq.write_table(table([*keys, keys[-1]]), path)
        with pytest.raises(InputError, match=f"repeats the image_id '{keys[-1]}'"):
            open_manifest(path)

    @pytest.mark.parametrize(
        "keys", [["b", "a"], ["a", "c", "b"], ["a", "B"], ["caf\u00e9", "cafe\u0301"], ["😀", "z"]]
    )
    def test_another_order_is_told(self, path: str, keys: list[str]) -> None:
        pq.write_table(table(keys), path)
        with pytest.raises(InputError, match="is not sorted by image_id"):
            open_manifest(path)

    def test_order_is_that_of_bytes_not_of_utf16(self, path: str) -> None:
        pq.write_table(table(["B", "a", "\uffff", "😀"]), path)
        assert open_manifest(path).rows == 4

    def test_the_manifest_of_a_run_has_an_order_of_its_own(self, path: str) -> None:
        pq.write_table(table(["b", "a"]), path)
        assert open_manifest(path, ordered=False).rows == 2

    @pytest.mark.parametrize("name", ["image_id", "record_id", "uri"])
    @pytest.mark.parametrize("ordered", [True, False])
    def test_a_row_that_lacks_what_each_row_must_have_is_told(self, path: str, name: str, ordered: bool) -> None:
        rows = pa.table({**table(["a", "b"]).to_pydict(), name: ["a", None]})
        pq.write_table(rows.cast(pa.schema([field.with_nullable(True) for field in SCHEMA])), path)
        with pytest.raises(InputError, match=f"has rows without `{name}`"):
            open_manifest(path, ordered=ordered)

    @pytest.mark.parametrize("name", SCHEMA.names)
    def test_a_column_that_is_not_there_is_named(self, path: str, name: str) -> None:
        pq.write_table(table(["a"]).drop_columns(name), path)
        with pytest.raises(InputError, match=f"no column `{name}` of type .*Make one with `artylyze scan`"):
            open_manifest(path)

    def test_a_column_of_another_type_is_named(self, path: str) -> None:
        pq.write_table(pa.table({**table(["a"]).to_pydict(), "image_id": [1]}), path)
        with pytest.raises(InputError, match="no column `image_id` of type string"):
            open_manifest(path)

    def test_another_parquet_file_is_no_manifest(self, path: str) -> None:
        pq.write_table(pa.table({"uri": ["a"]}), path)
        assert not looks_like_manifest(path)

    def test_a_manifest_looks_like_one(self, path: str) -> None:
        pq.write_table(table(["a"]), path)
        assert looks_like_manifest(path)

    @pytest.mark.parametrize("content", [b"", b"image_id,uri\n", b"PAR1", b"PAR1" + bytes(50) + b"PAR1"], ids=len)
    def test_what_is_not_parquet_is_told(self, path: str, content: bytes) -> None:
        Path(path).write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as a Parquet file"):
            open_manifest(path)

    @pytest.mark.parametrize("content", [b"", b"image_id,uri\n"], ids=len)
    def test_what_is_not_parquet_in_a_bucket_is_told(self, s3: S3, aws: Callable[[S3], None], content: bytes) -> None:
        aws(s3)
        folder = s3.bucket(f"garbage-{len(content)}")
        open_store(folder).put("a.parquet", content)
        with pytest.raises(InputError, match="cannot be read as a Parquet file"):
            open_manifest(f"{folder}/a.parquet")

    def test_a_file_that_is_not_there_is_told(self, path: str) -> None:
        with pytest.raises(InputError, match="There is no file"):
            open_manifest(path)

    def test_a_damaged_row_group_is_told(self, path: str) -> None:
        pq.write_table(table([f"{n:04d}" for n in range(5000)]), path)
        whole = Path(path).read_bytes()
        Path(path).write_bytes(whole[:4] + b"\xff" * 2000 + whole[2004:])
        with pytest.raises(InputError, match="cannot be read as a Parquet file"):
            open_manifest(path)


class TestDigest:
    def digest(self, path: str, rows: pa.Table, **options: Any) -> str:
        pq.write_table(rows, path, **options)
        return open_manifest(path).digest

    def test_equal_rows_have_an_equal_digest_whoever_wrote_them(self, path: str) -> None:
        rows = table([f"{n:05d}" for n in range(ROW_GROUP + 100)])
        ways: list[dict[str, Any]] = [
            {},
            {"row_group_size": 1000},
            {"compression": "gzip"},
            {"use_dictionary": False},
            {"data_page_version": "2.0"},
        ]
        assert len({self.digest(path, rows, **way) for way in ways}) == 1

    def test_nulls_have_one_form(self, path: str) -> None:
        rows = table(["a", "b"], size=[None, 2], validator=[None, "etag:x"])
        assert self.digest(path, rows) == self.digest(path, rows, use_dictionary=False)

    @pytest.mark.parametrize("column", ["record_id", "uri", "validator"])
    def test_any_other_value_has_another_digest(self, path: str, column: str) -> None:
        assert self.digest(path, table(["a", "b"])) != self.digest(path, table(["a", "b"], **{column: ["a", "x"]}))

    def test_other_metadata_has_another_digest(self, path: str) -> None:
        one, other = (table(["a"]).append_column("metadata", pa.array([{"title": title}])) for title in "xy")
        assert self.digest(path, one) != self.digest(path, other)


class TestAddresses:
    @pytest.mark.parametrize(
        ("target", "parts"),
        [
            ("s3://bucket/m.parquet", ("s3://bucket", "m.parquet")),
            ("s3://bucket/a/b/m.parquet", ("s3://bucket/a/b", "m.parquet")),
            ("/a/m.parquet", ("/a", "m.parquet")),
            ("m.parquet", (".", "m.parquet")),
            ("../m.parquet", ("..", "m.parquet")),
        ],
    )
    def test_a_target_is_a_folder_and_a_name(self, target: str, parts: tuple[str, str]) -> None:
        assert split_target(target) == parts

    def test_a_bucket_is_no_file(self) -> None:
        with pytest.raises(InputError, match="s3://bucket names no file"):
            split_target("s3://bucket")
