"""Gives the images of a catalog clusters that were fitted before: streams through Ray Data.

Each task reads one part of the catalog and sends back its assignments; DuckDB brings them into order, on disk above
memory. So memory does not grow with the rows of the catalog.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.catalog.snapshot import Part, read_parts, read_snapshot
from artylyze.clustering.cluster import assignments
from artylyze.clustering.kmeans import Fit
from artylyze.clustering.kmeans import assign as nearest
from artylyze.clustering.store import ASSIGNMENTS, SCHEMA, Clusters, read_clusters
from artylyze.clustering.vectors import Vectors
from artylyze.errors import InputError
from artylyze.storage import open_store

if TYPE_CHECKING:
    from artylyze.progress import Watcher

WITHOUT = "without a usable embedding"


def assign(folder: str, catalog: str, output: str, watcher: Watcher) -> dict[str, Any]:
    """Write `assignments.parquet` of a catalog's images into `output`; return what was done.

    Raises:
        InputError: if the clusters are of another model than the catalog, or of features that a catalog does not hold.
    """
    clusters, snapshot = read_clusters(folder), read_snapshot(catalog)
    if clusters.run["method"] != "embedding" or clusters.run["model_id"] != snapshot.model_id:
        raise InputError(
            f"The clusters {folder} are of {clusters.run['method']} features of the model {clusters.run['model_id']}, "
            f"{catalog} holds embeddings of {snapshot.model_id}: give a catalog of the same model."
        )
    watcher.start(snapshot.rows, 0, "Assigning")
    done = 0
    with TemporaryDirectory(prefix="artylyze-") as temporary:
        path = Path(temporary, "rows.parquet")
        with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
            for table in _stream(catalog, snapshot.parts, clusters):
                writer.write_table(table)
                watcher.advance(table.num_rows, 0)
                done += table.num_rows
        sorted_rows = Path(temporary, ASSIGNMENTS)
        _sort(path, sorted_rows)
        open_store(output).upload(ASSIGNMENTS, sorted_rows)
    left_out = snapshot.rows - done
    return {
        "output": output,
        "clusters": folder,
        "catalog": catalog,
        "rows": done,
        "left_out": {WITHOUT: left_out} if left_out else {},
    }


def _stream(catalog: str, parts: tuple[Part, ...], clusters: Clusters) -> Any:
    """Yield the assignments of each part, by Ray Data, the order of the parts kept."""
    import ray

    from artylyze.ray_session import connect

    connect()
    held = ray.put((clusters.run["dim"], clusters.centroids, clusters.mixture))

    def work(batch: dict[str, Any]) -> pa.Table:
        dim, centroids, mixture = ray.get(held)
        found = [assign_part(catalog, parts[int(number)], dim, centroids, mixture) for number in batch["number"]]
        return pa.concat_tables(found)

    rows = ray.data.from_items([{"number": number} for number in range(len(parts))], override_num_blocks=len(parts))
    tables: Any = rows.map_batches(work, batch_size=1).iter_batches(batch_size=None, batch_format="pyarrow")
    for table in tables:
        if table.num_rows:
            yield table.select(SCHEMA.names).cast(SCHEMA)


def assign_part(catalog: str, part: Part, dim: int, centroids: Any, mixture: Any) -> pa.Table:
    """Assignments of one part's usable rows."""
    ((_, table),) = read_parts(catalog, [part], ["image_id", "record_id", "status", "embedding"])
    good = table.filter(pc.equal(table.column("status"), "ok")).combine_chunks()
    values = good.column("embedding").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    matrix = np.ascontiguousarray(values.reshape(-1, dim), np.float32)
    finite = np.isfinite(matrix).all(axis=1)
    ids, records = (good.column(name).combine_chunks().filter(pa.array(finite)) for name in ("image_id", "record_id"))
    vectors = Vectors(ids, records, matrix[finite], catalog, "embedding")
    fit = None if centroids is None else Fit(centroids, nearest(vectors.matrix, centroids)[0], 0.0)
    return assignments(vectors, fit, mixture)


def _sort(path: Path, target: Path) -> None:
    from artylyze.tables import open_database

    with open_database() as database:
        database.execute("SET memory_limit = '1GB'")
        database.execute(
            f"COPY (SELECT * FROM read_parquet('{path}') ORDER BY image_id) TO '{target}' (FORMAT parquet, "
            "COMPRESSION zstd)"
        )
