"""What holds of every catalog at any time, whatever has happened to the processes that write it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from artylyze.catalog.parts import read_receipt, read_receipts
from artylyze.catalog.run import read_spec, read_success, run_store
from artylyze.catalog.snapshot import Part, read_catalog, read_snapshot
from artylyze.storage import open_store

Rows = Mapping[str, Mapping[str, Any]]
"""The rows of a catalog by image id."""

_OF_THE_RUN = ("run_id", "embedding")
_SCORES = ("genre_score", "genre_top", "style_score", "style_top")


def rows_of(catalog: str) -> Rows:
    """Return the rows of a catalog; fail if an image has two."""
    rows = read_catalog(catalog).to_pylist()
    found = {row["image_id"]: row for row in rows}
    assert len(found) == len(rows), "an image has two rows"
    return found


def ids_in(manifest: str) -> list[str]:
    return pq.read_table(manifest, columns=["image_id"]).column("image_id").to_pylist()  # type: ignore[no-any-return]


def check(catalog: str, ids: Iterable[str] = (), clean: Rows | None = None, *, complete: bool = True) -> Rows:
    """Fail unless a catalog keeps its promises; return its rows.

    Every visible part is readable, and is one of its run's plan unless `gc` has begun to remove that run. The snapshot
    agrees with the parts that it lists, and the success marker of its run with those of them that are the run's. There
    is a row for each image of the manifest and no other, and the rows of images that could be read are those of a
    clean run.

    Args:
        catalog: its address.
        ids: images of the manifest; none: not compared.
        clean: rows of a run that nothing happened to.
        complete: whether there must be a snapshot.
    """
    store = open_store(catalog)
    keys = [entry.key for entry in store.list()]
    visible: dict[str, Part] = {}
    for run_id in sorted({key.split("/")[1] for key in keys if key.startswith("runs/")}):
        runs = run_store(catalog, run_id)
        if (spec := read_spec(runs)) is not None:
            read_receipts(runs, run_id, spec.shards)
        for key in [key for key in keys if key.startswith(f"runs/{run_id}/parts/part-")]:
            receipt = read_receipt(store, key)
            assert receipt is not None, f"{key} is no part"
            with store.open(key) as file:
                assert pq.ParquetFile(file).read().num_rows == receipt.rows, key
            visible[key] = Part.committed(run_id, receipt)
    if not complete and "catalog.json" not in keys:
        return {}
    snapshot, rows = read_snapshot(catalog), rows_of(catalog)
    assert all(visible[part.path] == part for part in snapshot.parts), "the snapshot lists what is not committed"
    own = [part for part in snapshot.parts if part.path.startswith(f"runs/{snapshot.run_id}/")]
    success = read_success(run_store(catalog, snapshot.run_id)) or {}
    assert (success["rows"], success["ok"]) == (sum(part.rows for part in own), sum(part.ok for part in own))
    codes = Counter(row["error_code"] for row in rows.values() if row["status"] == "error")
    assert (snapshot.rows, snapshot.ok) == (len(rows), len(rows) - codes.total())
    assert dict(snapshot.errors) == dict(codes)
    if ids:
        assert sorted(rows) == sorted(ids)
    if clean is not None:
        for image_id, row in rows.items():
            if row["status"] == "ok":
                compare(row, clean[image_id])
    return rows


def compare(row: Mapping[str, Any], clean: Mapping[str, Any]) -> None:
    """Fail unless two rows say the same of an image, to the accuracy of float32."""
    exact = [name for name in clean if name not in (*_OF_THE_RUN, *_SCORES)]
    assert {name: row[name] for name in exact} == {name: clean[name] for name in exact}
    np.testing.assert_allclose(row["embedding"], clean["embedding"], atol=1e-5)
