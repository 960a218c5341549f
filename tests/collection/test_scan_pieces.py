"""A scan writes the same manifest however its listing falls into batches and row groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.collection.manifest import open_manifest
from artylyze.collection.scan import scan
from artylyze.storage import Entry
from artylyze.storage.contract import Survey
from artylyze.tables import open_database
from tests.pieces import few_examples


@dataclass(frozen=True)
class Listing:
    """A store that lists entries and holds nothing."""

    entries: list[Entry]

    def uri(self, key: str) -> str:
        return f"/collection/{key}"

    def survey(self, _: Survey) -> Iterator[Entry]:
        return iter(self.entries)


@few_examples
@given(
    entries=st.lists(
        st.builds(
            Entry,
            key=st.builds(
                "{}/{:03}{}".format, st.sampled_from("ab"), st.integers(0, 99), st.sampled_from([".jpg", ".txt"])
            ),
            size=st.integers(0, 9),
            validator=st.sampled_from([None, "etag:x", "mtime:1:1"]),
        ),
        unique_by=lambda entry: entry.key,
        max_size=40,
    ).filter(lambda entries: any(entry.key.endswith(".jpg") for entry in entries)),
    group=st.integers(1, 9),
    batch=st.integers(1, 9),
    described=st.booleans(),
)
def test_a_listing_is_scanned_alike_in_batches_of_any_size(
    entries: list[Entry], group: int, batch: int, described: bool
) -> None:
    images = sorted((entry for entry in entries if entry.key.endswith(".jpg")), key=lambda entry: entry.key)
    named = [entry.key for number, entry in enumerate(images) if number % 3 != 1]
    described = described and bool(named)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("artylyze.collection.scan.open_store", lambda _: Listing(entries))
        patch.setattr("artylyze.collection.scan.ROW_GROUP", batch)
        patch.setattr("artylyze.collection.manifest.ROW_GROUP", group)
        options: dict[str, Any] = {}
        if described:
            options = {"metadata": f"{folder}/objects.csv", "id_column": "number", "file_column": "file"}
            lines = [f"{key},{key[2:5]},{key if key[4] != '7' else ''}" for key in reversed(named)]
            with open(options["metadata"], "w") as file:
                file.write("\n".join(["file,number,title", *lines]) + "\n")
        report = scan(folder, f"{folder}/manifest.parquet", **options)
        assert (report.images, report.passed_over) == (len(images), len(entries) - len(images))
        assert open_manifest(f"{folder}/manifest.parquet").rows == len(images)
        rows = pq.read_table(f"{folder}/manifest.parquet").to_pylist()
    expected = [(one.key, f"/collection/{one.key}", one.size, one.validator) for one in images]
    assert [(row["image_id"], row["uri"], row["size"], row["validator"]) for row in rows] == expected
    if described:
        titles = [
            {"file": k, "number": k[2:5], "title": k if k[4] != "7" else None} if k in named else None
            for k, *_ in expected
        ]
        assert [row["metadata"] for row in rows] == titles


def test_a_database_leaves_memory_to_others() -> None:
    with open_database() as database:
        (limit,) = database.execute("SELECT current_setting('memory_limit')").fetchall()[0]
    assert limit == "1.8 GiB"
