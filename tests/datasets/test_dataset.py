from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.datasets.dataset import Dataset, digest, labels, read_dataset, schema, write_dataset
from artylyze.errors import InputError, UsageError

if TYPE_CHECKING:
    from tests.conftest import S3

TASKS = {"style": ("Cubism", "Baroque"), "genre": ("portrait",)}


def row(name: str, **changes: Any) -> dict[str, Any]:
    plain = {
        "image_id": name,
        "record_id": name,
        "uri": f"/scans/{name}",
        "size": 1,
        "validator": "etag:1",
        "artist": "Titian",
        "group": "titian",
        "split": "train",
        "nationality": None,
        "period": None,
        "style": "Baroque",
        "genre": "portrait",
    }
    return plain | changes


def rows(*given: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(given), pa.schema([field.with_nullable(True) for field in schema(list(TASKS))]))


THREE = (
    row("c.jpg", style=None),
    row("a.jpg", uri=None, size=None, validator=None, artist=None, group=None, split="test"),
    row("b.jpg", style="Cubism", genre=None, nationality="Italian", period="1500-1549"),
)


@pytest.fixture
def target(tmp_path: Path) -> str:
    return str(tmp_path / "new" / "dataset.parquet")


def test_what_is_written_is_read(target: str) -> None:
    written = write_dataset(target, rows(*THREE), TASKS, {"seed": 0, "split": (0.75, 0.25)})
    read = read_dataset(target)
    assert read.table.equals(written.table)
    assert read.table.column("image_id").to_pylist() == ["a.jpg", "b.jpg", "c.jpg"]
    assert read.tasks == written.tasks == {"style": ("Baroque", "Cubism"), "genre": ("portrait",)}
    assert read.settings == written.settings == {"seed": 0, "split": [0.75, 0.25]}
    assert read.digest == written.digest


def test_a_dataset_from_before_there_were_sources_is_read(target: str) -> None:
    written = write_dataset(target, rows(*THREE), TASKS, {})
    pq.write_table(pq.read_table(target).drop_columns("source"), target)
    read = read_dataset(target)
    assert (read.digest, read.table.schema.names) == (written.digest, written.table.schema.names)
    assert read.table.column("source").null_count == len(THREE)


def test_labels_are_places_among_the_terms(target: str) -> None:
    dataset = write_dataset(target, rows(*THREE), TASKS, {})
    found = labels(dataset.table, "style", dataset.tasks["style"])
    assert found.dtype == np.int64
    assert found.tolist() == [0, 1, -1]
    assert labels(dataset.table, "style", ("Cubism",)).tolist() == [-1, 0, -1]


def test_a_task_may_be_nationality(target: str) -> None:
    table = pa.Table.from_pylist([row("a", nationality="Dutch")], schema(["nationality"]))
    dataset = write_dataset(target, table, {"nationality": ["Dutch"]}, {})
    assert dataset.table.column_names.count("nationality") == 1
    assert read_dataset(target).tasks == {"nationality": ("Dutch",)}


@given(st.permutations(THREE))
def test_the_digest_does_not_depend_on_the_order_of_rows(order: list[dict[str, Any]]) -> None:
    table = rows(*order).sort_by("image_id")
    assert digest(table, TASKS) == digest(rows(*sorted(THREE, key=lambda one: str(one["image_id"]))), TASKS)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("image_id", "z"),
        ("validator", "etag:2"),
        ("style", "Cubism"),
        ("genre", None),
        ("group", "x"),
        ("split", "test"),
    ],
)
def test_the_digest_tells_what_matters_to_training(column: str, value: str | None) -> None:
    assert digest(rows(row("a") | {column: value}), TASKS) != digest(rows(row("a")), TASKS)


@pytest.mark.parametrize(("column", "value"), [("uri", "/elsewhere"), ("artist", "Tiziano"), ("period", "1500-1549")])
def test_the_digest_leaves_out_what_does_not(column: str, value: str) -> None:
    assert digest(rows(row("a") | {column: value}), TASKS) == digest(rows(row("a")), TASKS)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ([row("a"), row("a")], "repeated"),
        ([row("a", style=None, genre=None)], "1 of its rows have no label"),
        ([row("a", style="Pop Art")], "none of its terms"),
        ([row("a", split="validation")], "'validation'"),
        ([row("a", record_id=None)], "record_id"),
    ],
)
def test_unsound_rows_are_not_written(bad: list[dict[str, Any]], says: str, target: str) -> None:
    with pytest.raises(ValueError, match=says):
        write_dataset(target, rows(*bad), TASKS, {})
    assert not Path(target).exists()


def test_a_dataset_has_a_task() -> None:
    with pytest.raises(ValueError, match="no task"):
        Dataset(pa.Table.from_pylist([], schema([])), {}, {}, "")


@pytest.mark.parametrize("task", ["split", "image_id", "group"])
def test_a_task_cannot_take_a_column_s_name(task: str) -> None:
    with pytest.raises(UsageError, match=f"'{task}' cannot"):
        schema([task])


def test_a_dataset_is_named_parquet(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.parquet"):
        write_dataset(str(tmp_path / "dataset.csv"), rows(*THREE), TASKS, {})


def test_it_may_lie_in_a_bucket(moto_server: S3, aws: Callable[[S3], None]) -> None:
    aws(moto_server)
    target = f"{moto_server.bucket('datasets')}/new/dataset.parquet"
    written = write_dataset(target, rows(*THREE), TASKS, {})
    assert read_dataset(target).digest == written.digest


class TestWhatIsNoDataset:
    def test_nothing(self, target: str) -> None:
        with pytest.raises(InputError, match="There is no dataset"):
            read_dataset(target)

    def test_no_parquet(self, tmp_path: Path) -> None:
        path = tmp_path / "dataset.parquet"
        path.write_text("image_id,style\n")
        with pytest.raises(InputError, match="artylyze curate"):
            read_dataset(str(path))

    def test_another_parquet_file(self, tmp_path: Path) -> None:
        path = tmp_path / "dataset.parquet"
        pq.write_table(rows(*THREE), path)
        with pytest.raises(InputError, match="is not a dataset"):
            read_dataset(str(path))

    def test_rows_that_were_changed(self, target: str) -> None:
        write_dataset(target, rows(*THREE), TASKS, {})
        table = pq.read_table(target)
        changed = table.slice(1)
        pq.write_table(changed, target)
        with pytest.raises(InputError, match="not those that were curated"):
            read_dataset(target)
