"""Assigning a features file of any number of rows: how it is made, and what is measured of it.

The rows are those of the benchmark, written over and over under other ids: what is measured is the memory and the time
of the stream, not what comes out.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = (100_000, 1_000_000)
K = 25


class Silent:
    """A watcher that says nothing."""

    def say(self, message: str) -> None: ...

    def start(self, rows: int, done: int, what: str) -> None: ...

    def advance(self, rows: int, errors: int) -> None: ...


def write(path: Path, drawn: NDArray[np.float32], rows: int) -> None:
    """Write rows as `artylyze features` does, in its row groups."""
    from artylyze.extraction.vectors import GROUP, METADATA

    about = json.dumps({"method": "embedding", "model_id": "drawn"})
    fields = [("image_id", pa.string()), ("record_id", pa.string()), ("features", pa.list_(pa.float32()))]
    schema = pa.schema(fields, {METADATA: about})
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, rows, GROUP):
            numbers = np.arange(start, min(start + GROUP, rows))
            part = drawn[numbers % len(drawn)]
            offsets = pa.array(np.arange(len(part) + 1, dtype=np.int32) * part.shape[1])
            ids = pa.array([f"{number:08}" for number in numbers])
            lists = pa.ListArray.from_arrays(offsets, pa.array(part.ravel()))
            writer.write_table(pa.table([ids, ids, lists], schema=schema))


def fit(source: Path, folder: Path) -> None:
    """Fit both algorithms on a sample of the rows."""
    from artylyze.clustering.cluster import cluster
    from artylyze.clustering.request import ClusterRequest

    cluster(ClusterRequest(str(source), str(folder), k=K, sample=10_000, device="cpu"), Silent())


def assign(source: Path) -> dict[str, Any]:
    """Assign the rows of a file to the clusters that lie beside it."""
    from artylyze.clustering.assign import assign as run

    with tempfile.TemporaryDirectory(prefix="artylyze-assigned-") as output:
        began = time.perf_counter()
        done = run(str(source.parent / "clusters"), str(source), output, Silent(), by_ray=False)
    return {"rows": done["rows"], "seconds": round(time.perf_counter() - began, 2)}
