from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.catalog.schema import build_rows, catalog_schema
from artylyze.collection.manifest import COLUMNS
from artylyze.errors import ErrorCode, ImageError
from artylyze.workers.protocol import Seen

SEEN = Seen(640, 480, "JPEG")
BAD = ImageError(ErrorCode.CORRUPT, "no good")
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@dataclass(frozen=True)
class Top:
    answers: npt.NDArray[np.object_]
    terms: npt.NDArray[np.object_]
    scores: npt.NDArray[np.float32]
    review: npt.NDArray[np.bool_]


def manifest_rows(ids: list[str], metadata: list[Any] | None = None) -> pa.Table:
    rows = [{"image_id": i, "record_id": i, "uri": f"s3://b/{i}", "size": 1, "validator": None} for i in ids]
    table = pa.Table.from_pylist(rows, pa.schema(COLUMNS))
    return table if metadata is None else table.append_column("metadata", pa.array(metadata))


def rows(
    table: pa.Table, seen: list[Seen | ImageError], scores: dict[str, Top] | None = None, *, thumbnails: bool = False
) -> list[dict[str, Any]]:
    good = sum(isinstance(one, Seen) for one in seen)
    vectors = np.arange(good * 2, dtype=np.float32).reshape(good, 2)
    metadata = table.schema.field("metadata").type if "metadata" in table.column_names else None
    schema = catalog_schema(sorted(scores or {}), metadata, thumbnails=thumbnails)
    built = build_rows(schema, table, seen, vectors, scores or {}, model_id="m", run_id="r")
    assert built.schema == schema
    built.validate(full=True)
    found: list[dict[str, Any]] = built.to_pylist()
    return found


def test_the_columns_are_those_of_the_design() -> None:
    schema = catalog_schema(["genre"], pa.struct([("title", pa.string())]))
    assert schema.names == [
        *("image_id", "record_id", "uri", "validator", "status", "error_code", "error_detail", "warning", "warnings"),
        *("width", "height", "format", "colors", "embedding", "genre", "genre_score", "genre_review", "genre_top"),
        *("model_id", "run_id", "metadata"),
    ]
    assert schema.field("embedding").type == pa.list_(pa.float32())


def test_there_are_thumbnails_where_they_were_asked_for() -> None:
    names = catalog_schema(["genre"], None, thumbnails=True).names
    assert names[names.index("thumbnail") :] == ["thumbnail", *catalog_schema(["genre"], None).names[13:]]


def test_there_is_no_metadata_column_without_metadata() -> None:
    assert "metadata" not in catalog_schema([], None).names


def test_an_image_that_was_read_is_ok() -> None:
    (row,) = rows(manifest_rows(["a"]), [SEEN])
    assert row["status"] == "ok"
    assert (row["width"], row["height"], row["format"]) == (640, 480, "JPEG")
    assert row["embedding"] == [0, 1]
    assert (row["error_code"], row["error_detail"]) == (None, None)
    assert row["warnings"] == []


def test_the_warnings_of_an_image_are_a_list_and_those_of_an_error_unknown() -> None:
    seen = Seen(1, 9, "GIF", warnings=("animated", "extreme-aspect"))
    first, second = rows(manifest_rows(["a", "b"]), [seen, ImageError(ErrorCode.EMPTY, "0 bytes")])
    assert first["warnings"] == ["animated", "extreme-aspect"]
    assert second["warnings"] is None


@given(st.lists(st.integers(-1, 5), max_size=8))
def test_each_row_has_the_colors_and_the_thumbnail_of_its_image(numbers: list[int]) -> None:
    """-1: an image that could not be read; 0: one of which no colours are known."""
    palettes = [np.arange(4 * max(0, n), dtype=np.float32).reshape(-1, 4) + i for i, n in enumerate(numbers)]
    seen: list[Seen | ImageError] = [
        BAD if n < 0 else SEEN._replace(colors=palette.tobytes(), thumbnail=b"jpeg" * n)
        for n, palette in zip(numbers, palettes, strict=True)
    ]
    found = rows(manifest_rows([f"{n:02d}" for n in range(len(numbers))]), seen, thumbnails=True)
    for row, n, palette in zip(found, numbers, palettes, strict=True):
        expected = [dict(zip(("l", "a", "b", "share"), color, strict=True)) for color in palette.tolist()]
        assert row["colors"] == (expected if n > 0 else None)
        assert row["thumbnail"] == (b"jpeg" * n if n > 0 else None)


def test_an_image_that_was_not_read_says_why() -> None:
    (row,) = rows(manifest_rows(["a"]), [BAD])
    assert (row["status"], row["error_code"], row["error_detail"]) == ("error", "corrupt", "no good")
    assert (row["width"], row["height"], row["format"], row["embedding"]) == (None, None, None, None)


@given(st.lists(st.booleans(), max_size=12))
def test_each_embedding_is_in_the_row_of_its_image(good: list[bool]) -> None:
    found = rows(manifest_rows([f"{n:02d}" for n in range(len(good))]), [SEEN if one else BAD for one in good])
    vectors = [row["embedding"] for row in found if row["status"] == "ok"]
    assert [row["status"] == "ok" for row in found] == good
    assert vectors == [[2 * n, 2 * n + 1] for n in range(sum(good))]
    assert all(row["embedding"] is None for row in found if row["status"] == "error")


def test_no_rows_are_a_table_of_no_rows() -> None:
    assert rows(manifest_rows([]), []) == []


def test_each_task_has_its_best_term_and_its_best_terms() -> None:
    top = Top(
        np.array(["portrait", "none of these"], dtype=object),
        np.array([["portrait", "landscape"], ["landscape", "portrait"]], dtype=object),
        np.array([[0.75, 0.25], [0.5, 0.5]], np.float32),
        np.array([False, True]),
    )
    first, failed, second = rows(manifest_rows(["a", "b", "c"]), [SEEN, BAD, SEEN], {"genre": top})
    assert (first["genre"], first["genre_score"], first["genre_review"]) == ("portrait", 0.75, False)
    assert first["genre_top"] == [{"term": "portrait", "score": 0.75}, {"term": "landscape", "score": 0.25}]
    assert (second["genre"], second["genre_score"], second["genre_review"]) == ("none of these", None, True)
    assert second["genre_top"][0] == {"term": "landscape", "score": 0.5}
    assert [failed[name] for name in ("genre", "genre_score", "genre_review", "genre_top")] == [None] * 4


def test_tasks_of_images_that_all_failed_are_null() -> None:
    top = Top(np.empty(0, object), np.empty((0, 2), object), np.empty((0, 2), np.float32), np.empty(0, bool))
    (row,) = rows(manifest_rows(["a"]), [BAD], {"genre": top})
    assert row["genre_top"] is None


@given(st.lists(st.fixed_dictionaries({"status": text, "embedding": st.none() | text}), min_size=1, max_size=5))
def test_the_users_columns_are_untouched_and_never_collide_with_ours(metadata: list[dict[str, Any]]) -> None:
    found = rows(manifest_rows([str(n) for n in range(len(metadata))], metadata), [SEEN] * len(metadata))
    assert [row["metadata"] for row in found] == metadata
    assert {row["status"] for row in found} == {"ok"}


def test_embeddings_of_half_precision_are_taken() -> None:
    built = build_rows(
        catalog_schema([], None),
        manifest_rows(["a"]),
        [SEEN],
        np.ones((2, 2), np.float16)[::2],  # type: ignore[arg-type]
        {},
        model_id="m",
        run_id="r",
    )
    assert built.column("embedding").to_pylist() == [[1, 1]]


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_reason_is_written_as_its_word(code: ErrorCode) -> None:
    (row,) = rows(manifest_rows(["a"]), [ImageError(code, "")])
    assert row["error_code"] == code.value
