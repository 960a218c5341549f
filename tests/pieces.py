"""Catalogs that are cut into parts anywhere, for what reads them piece by piece."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from artylyze.catalog.schema import catalog_schema
from artylyze.catalog.snapshot import Part, Snapshot, write_snapshot

DIM = 2
METADATA = pa.struct([("title", pa.string()), ("year", pa.int32())])
TERMS = ["icon", "=still life", "vedute"]
few_examples = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Cut:
    """The rows of a catalog, in image_id order, and where its parts end."""

    rows: pa.Table
    ends: list[int]

    def write(self, folder: Path) -> str:
        """Write the catalog into a folder; return its address."""
        parts = []
        for number, (start, stop) in enumerate(itertools.pairwise([0, *self.ends])):
            table = self.rows.slice(start, stop - start)
            path = folder / "runs" / "run0" / "parts" / f"part-{number:05}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, row_group_size=3)
            ok = table.column("status").to_pylist().count("ok")
            errors = {"missing": table.num_rows - ok} if ok < table.num_rows else {}
            parts.append(Part(str(path.relative_to(folder)), table.num_rows, ok, errors))
        write_snapshot(str(folder), Snapshot("run0", "tag", "model", ("genre",), DIM, {}, tuple(parts)))
        return str(folder)

    def good(self) -> list[dict[str, Any]]:
        """Return the rows of images that could be read."""
        return [row for row in self.rows.to_pylist() if row["status"] == "ok"]


@st.composite
def catalogs(draw: st.DrawFn) -> Cut:
    """Draw a catalog of 1 to 30 rows in parts of any size, with and without errors, nulls and metadata."""
    count = draw(st.integers(1, 30))
    described = draw(st.booleans())
    good = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    rows = [_row(draw, number, ok=ok, described=described) for number, ok in enumerate(good)]
    schema = catalog_schema(["genre"], METADATA if described else None)
    ends = sorted({*draw(st.lists(st.integers(1, count), max_size=6)), count})
    return Cut(pa.Table.from_pylist(rows, schema), ends)


def _row(draw: st.DrawFn, number: int, *, ok: bool, described: bool) -> dict[str, Any]:
    said = st.fixed_dictionaries({"title": st.none() | st.text(max_size=3), "year": st.none() | st.integers(1, 2000)})
    score = draw(st.integers(1, 4)) / 4
    row: dict[str, Any] = {
        "image_id": f"{number:03}.jpg",
        "record_id": f"{number // 2:03}",
        "uri": f"/nowhere/{number:03}.jpg",
        "validator": draw(st.sampled_from([None, "etag:x"])),
        "status": "ok" if ok else "error",
        "error_code": None if ok else "missing",
        "model_id": "model",
        "run_id": "run0",
    }
    if ok:
        term = draw(st.sampled_from(TERMS))
        row |= {"embedding": [number, draw(st.integers(0, 3))], "genre": term, "genre_score": score}
        row |= {"genre_review": score < 0.6, "genre_top": [{"term": term, "score": score}]}
    return row | ({"metadata": draw(st.none() | said)} if described else {})
