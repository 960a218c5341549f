from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artylyze.catalog.compaction import compact
from artylyze.catalog.snapshot import (
    embeddings,
    failures,
    part_paths,
    read_catalog,
    read_parts,
    read_snapshot,
    write_snapshot,
)
from artylyze.errors import InputError, StorageError
from artylyze.storage import open_store
from tests.catalog.conftest import ANIMATED
from tests.catalog.test_compaction import Silent

if TYPE_CHECKING:
    from tests.catalog.conftest import Library
    from tests.conftest import S3


def make(library: Library, contents: dict[str, int], **options: Any) -> str:
    library.tag(library.manifest(library.pictures(contents), **options))
    return library.catalog


class TestSnapshot:
    def test_it_is_read_as_it_was_written(self, library: Library) -> None:
        made = library.tag(library.manifest(library.pictures({"a": 1, "b": -2, "c": 3, "d": 4})))
        assert read_snapshot(library.catalog) == made
        assert (made.rows, made.ok) == (4, 3)

    def test_it_is_replaced_whole(self, library: Library) -> None:
        catalog = make(library, {"a": 1})
        other = replace(read_snapshot(catalog), run_id="another")
        write_snapshot(catalog, other)
        assert read_snapshot(catalog) == other
        assert not [path for path in Path(catalog).iterdir() if path.name.startswith(".")]

    def test_without_one_it_says_how_to_make_one(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no complete catalog in .*Make one with `artylyze tag"):
            read_snapshot(str(tmp_path))

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "{",
            "[]",
            "null",
            '"text"',
            "{}",
            '{"format": 2}',
            '{"format": 1, "parts": [1]}',
            "\xff",
            '{"format": 1}',
        ],
    )
    def test_another_file_of_that_name_is_told(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "catalog.json").write_text(content, "latin-1")
        with pytest.raises(InputError, match="is not a catalog that this version reads"):
            read_snapshot(str(tmp_path))

    def test_fields_that_a_later_version_adds_are_passed_over(self, library: Library) -> None:
        catalog = make(library, {"a": 1})
        path = Path(catalog, "catalog.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"clusters": "later"}))
        assert read_snapshot(catalog).rows == 1


class TestReading:
    def test_every_image_is_there_once_in_order(self, library: Library) -> None:
        catalog = make(library, {f"{n:02d}": n for n in range(20)})
        assert read_catalog(catalog, ["image_id"]).column(0).to_pylist() == [f"{n:02d}" for n in range(20)]

    def test_the_paths_of_parts_are_for_any_reader(self, library: Library) -> None:
        catalog = make(library, {f"{n:02d}": n for n in range(20)})
        paths = part_paths(catalog, read_snapshot(catalog))
        assert duckdb.execute("SELECT count(*) FROM read_parquet(?)", [paths]).fetchall() == [(20,)]

    def test_a_catalog_may_lie_in_a_bucket(
        self, moto_server: S3, aws: Callable[[S3], None], new_library: Callable[..., Library]
    ) -> None:
        aws(moto_server)
        catalog = make(new_library(f"{moto_server.bucket('snapshot')}/catalog"), {"a": 1, "b": -2, "c": 3, "d": 4})
        assert embeddings(catalog)[0] == ["a", "c", "d"]
        assert [row["image_id"] for row in failures(catalog)] == ["b"]
        assert part_paths(catalog, read_snapshot(catalog))[0].startswith("s3://snapshot/catalog/runs/")

    def test_keys_are_data(self, library: Library) -> None:
        keys = ["../up", "<script>", "=1+1", "a//b", "caf\u00e9", "cafe\u0301", 'it\'s "quoted"\n', "😀", "\\xff", "/x"]
        catalog = make(library, dict.fromkeys(keys, 1))
        assert set(read_catalog(catalog, ["image_id"]).column(0).to_pylist()) == set(keys)

    @pytest.mark.parametrize("content", [b"", b"garbage", b"PAR1" + b"\0" * 100 + b"PAR1"], ids=len)
    def test_a_part_replaced_by_garbage_is_told(self, library: Library, content: bytes) -> None:
        catalog = make(library, {"a": 1})
        (path,) = part_paths(catalog, read_snapshot(catalog))
        Path(path).write_bytes(content)
        with pytest.raises(InputError, match=r"part-00000.parquet is damaged .*Delete it and repeat the command"):
            embeddings(catalog)

    def test_a_part_cut_short_is_told(self, library: Library) -> None:
        catalog = make(library, {"a": 1})
        (path,) = part_paths(catalog, read_snapshot(catalog))
        Path(path).write_bytes(Path(path).read_bytes()[:-20])
        with pytest.raises(InputError, match="is damaged"):
            read_catalog(catalog)

    def test_a_part_with_a_hole_is_told(self, library: Library) -> None:
        catalog = make(library, {f"{n:04d}": n for n in range(3)})
        (path,) = part_paths(catalog, read_snapshot(catalog))
        whole = Path(path).read_bytes()
        Path(path).write_bytes(whole[:4] + b"\xff" * 400 + whole[404:])
        with pytest.raises(InputError, match="is damaged"):
            read_catalog(catalog)

    def test_a_part_that_is_gone_is_told(self, library: Library) -> None:
        catalog = make(library, {"a": 1})
        open_store(catalog).delete(read_snapshot(catalog).parts[0].path)
        with pytest.raises(StorageError, match=r"part-00000.parquet: No such file"):
            embeddings(catalog)

    def test_a_part_with_other_rows_is_told(self, library: Library) -> None:
        catalog = make(library, {f"{n}": n for n in range(5)})
        first, second = part_paths(catalog, read_snapshot(catalog))
        Path(first).write_bytes(Path(second).read_bytes())
        with pytest.raises(InputError, match="holds 2 rows, not 3"):
            read_catalog(catalog)

    def test_parts_outside_the_catalog_are_not_read(self, library: Library) -> None:
        catalog = make(library, {"a": 1})
        snapshot = read_snapshot(catalog)
        outside = replace(snapshot.parts[0], path="../../elsewhere.parquet")
        with pytest.raises(StorageError, match="does not name a file below"):
            list(read_parts(catalog, [outside]))


class TestEmbeddings:
    def test_each_image_has_its_own(self, library: Library) -> None:
        ids, matrix = embeddings(make(library, {f"{n:02d}": n for n in range(10)}))
        assert ids == [f"{n:02d}" for n in range(10)]
        np.testing.assert_array_equal(matrix, np.arange(10)[:, None] * np.array([1, 10, 100]))
        assert matrix.dtype == np.float32

    def test_images_that_failed_are_left_out(self, library: Library) -> None:
        contents = {"a": -2, "b": 1, "c": -2, "d": 2, "e": 3, "f": -2, "g": -2}
        ids, matrix = embeddings(make(library, contents))
        assert ids == ["b", "d", "e"]
        assert matrix[:, 0].tolist() == [1, 2, 3]

    def test_parts_of_nothing_but_errors_add_nothing(self, library: Library) -> None:
        ids, matrix = embeddings(make(library, {"a": -2, "b": -2, "c": -2, "d": 7}))
        assert (ids, matrix.tolist()) == (["d"], [[7, 70, 700]])

    def test_a_catalog_of_nothing_but_errors_has_none(self, library: Library) -> None:
        ids, matrix = embeddings(make(library, {"a": -2}))
        assert (ids, matrix.shape) == ([], (0, 3))

    @pytest.mark.parametrize("ok", [0, 1, 3])
    def test_a_snapshot_that_miscounts_is_told(self, library: Library, ok: int) -> None:
        catalog = make(library, {"a": 1, "b": 2, "c": -2})
        snapshot = read_snapshot(catalog)
        write_snapshot(catalog, replace(snapshot, parts=(replace(snapshot.parts[0], ok=ok),)))
        with pytest.raises(InputError, match="embeddings"):
            embeddings(catalog)


class TestFailures:
    def test_each_image_that_failed_is_named_with_its_reason(self, library: Library) -> None:
        catalog = make(library, {"a.jpg": 1, "b.jpg": -1, "c.jpg": -2, "d.jpg": 4})
        assert [(row["image_id"], row["record_id"], row["error_code"]) for row in failures(catalog)] == [
            ("b.jpg", "b", "unreachable"),
            ("c.jpg", "c", "corrupt"),
        ]

    def test_there_are_none_where_all_went_well(self, library: Library) -> None:
        assert list(failures(make(library, {"a": 1}))) == []

    def test_warnings_are_listed_instead(self, library: Library) -> None:
        catalog = make(library, {"a.jpg": 1, "b.jpg": -1, "c.jpg": ANIMATED})
        assert read_snapshot(catalog).warnings == 1
        (row,) = failures(catalog, warnings=True)
        assert row == {
            "image_id": "c.jpg",
            "record_id": "c",
            "uri": row["uri"],
            "warnings": ["animated", "upscaled"],
            "warning": None,
        }

    def test_an_earlier_catalog_names_what_was_truncated(self, library: Library) -> None:
        catalog = make(library, {"a.jpg": 1, "c.jpg": ANIMATED})
        for path in part_paths(catalog, read_snapshot(catalog)):
            table = pq.read_table(path)
            told = pa.array([None, "the file ends early"], pa.string())
            pq.write_table(table.drop_columns("warnings").set_column(7, "warning", told), path)
        (row,) = failures(catalog, warnings=True)
        assert (row["image_id"], row["warnings"]) == ("c.jpg", ["truncated"])
        library.update(library.manifest(library.pictures({"a.jpg": 1, "b.jpg": ANIMATED, "c.jpg": ANIMATED})))
        assert read_snapshot(catalog).warnings == 2
        compact(catalog, Silent())
        found = {row["image_id"]: row["warnings"] for row in failures(catalog, warnings=True)}
        assert found == {"b.jpg": ["animated", "upscaled"], "c.jpg": ["truncated"]}
        assert read_catalog(catalog, ["image_id", "warnings"]).column("warnings").null_count == 2
