"""Assigns images to clusters that were fitted before, piece by piece: memory does not grow with their number.

In a Ray job, or with RAY_ADDRESS set, Ray Data spreads the pieces over the cluster: a task reads its own piece from the
storage, and sends back nothing but its assignments. Elsewhere this process reads one piece after the other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.clustering.kmeans import nearest, own_distances
from artylyze.clustering.store import (
    ASSIGNMENTS,
    SCHEMA,
    Clusters,
    check_folder,
    read_clusters,
    same_folder,
    write_clusters,
)
from artylyze.errors import InputError, UsageError
from artylyze.extraction.vectors import Pieces, open_pieces, read_piece
from artylyze.ray_session import cluster_address
from artylyze.workers.supervision import end_with_parent

if TYPE_CHECKING:
    from artylyze.clustering.kmeans import Fit
    from artylyze.clustering.mixture import Mixture
    from artylyze.extraction.vectors import Vectors
    from artylyze.progress import Watcher

UNUSABLE = "without_usable_vector"
SORTING = "256MB"
"""Memory of DuckDB where pieces are not in image_id order; above it sorts on disk."""
_SENT = SCHEMA.append(pa.field("error", pa.string()))
ONLY_OF_A_FIT = ("em", "seconds", "fitted_rows")
"""Keys of run.json that describe a fit, and not what was assigned to it."""


def assign(folder: str, source: str, output: str, watcher: Watcher, *, by_ray: bool | None = None) -> dict[str, Any]:
    """Assign the images of a catalog or a features file to the clusters of a folder; return run.json of `output`.

    `output` is a folder of clusters like any other: profiles, influences and reports read it.

    Raises:
        InputError: if the source's vectors are not of the kind that the clusters were fitted on.
        UsageError: if the output is the folder of the fit, a file or a catalog.
    """
    began = time.monotonic()
    if same_folder(output, folder):
        raise UsageError(f"`output={output!r}` is the folder of the clusters: name another for what is assigned.")
    check_folder(output)
    clusters, pieces = read_clusters(folder, assignments=False), open_pieces(source)
    _check(clusters, pieces)
    with TemporaryDirectory(prefix="artylyze-") as temporary:
        path = Path(temporary, ASSIGNMENTS)
        rows = assign_pieces(pieces, clusters.centroids, clusters.mixture, path, watcher, by_ray=by_ray)
        run = {name: value for name, value in clusters.run.items() if name not in ONLY_OF_A_FIT} | {
            "source": source,
            "catalog": pieces.catalog,
            "rows": rows,
            "left_out": left_out(pieces, rows),
            "assigned_from": folder,
            "device": "cpu",
            "seconds": round(time.monotonic() - began, 2),
        }
        write_clusters(replace(clusters, folder=output, run=run), assignments=path)
    return run


def describe(run: dict[str, Any], output: str) -> str:
    """Say what was assigned, from run.json of `output`."""
    text = f"{run['rows']:,} images were assigned to the clusters of {run['assigned_from']}: {output}"
    left = sum(run["left_out"].values())
    return f"{text}\nLeft out: {left:,} without a usable vector" if left else text


def assign_pieces(
    pieces: Pieces,
    centroids: Any,
    mixture: Mixture | None,
    path: Path,
    watcher: Watcher,
    *,
    by_ray: bool | None = None,
) -> int:
    """Write the assignments of all usable vectors to a local file, in image_id order; return their number."""
    by_ray = cluster_address(watcher) is not None if by_ray is None else by_ray
    tables = (_assigned_by_ray if by_ray else _assigned_here)(pieces, centroids, mixture)
    watcher.start(pieces.rows, 0, "Assigning")
    rows, last, ordered = 0, "", True
    unsorted = path.with_name("rows.parquet")
    with pq.ParquetWriter(unsorted, SCHEMA, compression="zstd") as writer:
        for table in tables:
            if not table.num_rows:
                continue
            ids = table.column("image_id").combine_chunks().to_numpy(zero_copy_only=False)
            ordered = ordered and last < ids[0] and bool((ids[:-1] < ids[1:]).all())
            last = ids[-1]
            writer.write_table(table)
            rows += table.num_rows
            watcher.advance(table.num_rows, 0)
    if ordered:
        unsorted.rename(path)
    else:
        _sort(unsorted, path)
    return rows


def assignments(vectors: Vectors, fit: Fit | None, mixture: Mixture | None) -> pa.Table:
    """The table of assignments of vectors that were fitted or assigned."""
    n = len(vectors.ids)
    columns: list[Any] = [vectors.ids, vectors.records, *(pa.nulls(n, field.type) for field in list(SCHEMA)[2:])]
    if fit is not None:
        columns[2] = pa.array(fit.labels)
        columns[3] = pa.array(own_distances(vectors.matrix, fit.centroids, fit.labels))
    if mixture is not None:
        shares = mixture.responsibilities(vectors.matrix)
        columns[4] = pa.array(shares.argmax(axis=1).astype(np.int32))
        offsets = np.arange(n + 1, dtype=np.int32) * shares.shape[1]
        columns[5] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(shares.ravel()))
    return pa.table(columns, schema=SCHEMA)


def left_out(pieces: Pieces, rows: int) -> dict[str, int]:
    """Images of a source that were not assigned, by reason, where `rows` were."""
    unusable = pieces.vectors - rows
    return dict(pieces.left_out) | ({UNUSABLE: unusable} if unusable else {})


def _check(clusters: Clusters, pieces: Pieces) -> None:
    run = clusters.run
    fitted, given = (run["method"], run["model_id"], run["dim"]), (pieces.method, pieces.model_id, pieces.dim)
    if fitted != given or pieces.model_id is None:
        kinds = [f"{dim} {method} features of {model or 'an unknown origin'}" for method, model, dim in (fitted, given)]
        raise InputError(
            f"The clusters {clusters.folder} were fitted on {kinds[0]}, {pieces.source} holds {kinds[1]}: give a "
            "catalog of the same model, or features by the same transform (`artylyze features --transform`)."
        )


def _assigned_here(pieces: Pieces, centroids: Any, mixture: Mixture | None) -> Iterator[pa.Table]:
    for number in range(len(pieces.sizes)):
        yield from _assigned(pieces, number, centroids, mixture)


def _assigned_by_ray(pieces: Pieces, centroids: Any, mixture: Mixture | None) -> Iterator[pa.Table]:
    import ray

    from artylyze.ray_session import connect

    connect()
    held = ray.put((pieces, centroids, mixture))

    def work(batch: dict[str, Any]) -> pa.Table:
        end_with_parent()
        (number,) = batch["number"]
        return _sent(*ray.get(held), int(number))

    count = len(pieces.sizes)
    numbers = ray.data.from_items([{"number": number} for number in range(count)], override_num_blocks=count)
    numbers.context.execution_options.preserve_order = True
    tables: Any = numbers.map_batches(work, batch_size=1).iter_batches(batch_size=None, batch_format="pyarrow")
    for table in tables:
        if wrong := pc.unique(table.column("error").drop_null()).to_pylist():
            raise InputError(wrong[0])
        yield table.select(SCHEMA.names).cast(SCHEMA)


def _sent(pieces: Pieces, centroids: Any, mixture: Mixture | None, number: int) -> pa.Table:
    """A piece's assignments, or what is wrong with it: Ray would wrap an exception in its own."""
    try:
        table = pa.concat_tables([SCHEMA.empty_table(), *_assigned(pieces, number, centroids, mixture)])
    except InputError as error:
        return pa.Table.from_pylist([{"image_id": "", "record_id": "", "error": str(error)}], _SENT)
    return table.append_column(_SENT.field("error"), pa.nulls(table.num_rows, pa.string()))


def _assigned(pieces: Pieces, number: int, centroids: Any, mixture: Mixture | None) -> Iterator[pa.Table]:
    for vectors in read_piece(pieces, number):
        fit = None if centroids is None else nearest(vectors.matrix, centroids)
        yield assignments(vectors, fit, mixture)


def _sort(path: Path, target: Path) -> None:
    from artylyze.tables import literal, open_database

    with open_database() as database:
        database.execute(f"SET memory_limit = '{SORTING}'")
        database.execute(
            f"COPY (SELECT * FROM read_parquet({literal(path)}) ORDER BY image_id) TO {literal(target)} "
            "(FORMAT parquet, COMPRESSION zstd)"
        )
