"""Catalogs of given embeddings, without images or models."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from artylyze.catalog.schema import catalog_schema
from artylyze.catalog.snapshot import Part, Snapshot, write_snapshot

GROUP = 700
"""Rows of a row group: it does not divide the parts of the tests."""


def blobs(count: int, dim: int, seed: int = 0) -> NDArray[np.float32]:
    """Draw embeddings, float32 (count, dim), in loose groups, as those of paintings are: none is negative."""
    random = np.random.default_rng(seed)
    centres = np.maximum(random.normal(size=(12, dim)), 0)
    spread = random.normal(size=(min(dim, 40), dim)) / 6
    rows = centres[random.integers(0, 12, count)] + random.normal(size=(count, len(spread))) @ spread
    return np.maximum(rows, 0).astype(np.float32) + np.float32(0.01)


def write_catalog(
    folder: Path,
    matrix: NDArray[np.float32],
    *,
    ends: Sequence[int] = (),
    errors: Collection[int] = (),
    only: int | None = None,
    run_id: str | None = None,
    model_id: str = "model",
    metadata: Sequence[Mapping[str, Any]] | None = None,
    colors: pa.Array | None = None,
    thumbnails: pa.Array | None = None,
    warnings: Mapping[int, list[str]] | None = None,
) -> str:
    """Write a catalog of embeddings (n, d) into a folder and return its address.

    Args:
        folder: of the catalog.
        matrix: the embeddings; row i is the image `i.jpg` of the record `i`, six digits each.
        ends: where its parts end, besides at the last row.
        errors: numbers of the images that could not be read.
        only: number of parts that are written, None for all.
        run_id: of the snapshot.
        model_id: of the rows that are written now.
        metadata: of each row, None for none.
        colors: the column of that name; None leaves it out, as earlier versions did.
        thumbnails: JPEG files; None leaves the column out.
        warnings: of some images, by number.
    """
    count, dim = matrix.shape
    kind = None if metadata is None else pa.array(metadata).type
    schema = catalog_schema(["genre"], kind, thumbnails=thumbnails is not None)
    rows = []
    for number in range(count):
        bad = number in errors
        rows.append(
            {
                "image_id": f"{number:06}.jpg",
                "record_id": f"{number:06}",
                "uri": f"/nowhere/{number:06}.jpg",
                "status": "error" if bad else "ok",
                "error_code": "missing" if bad else None,
                "width": None if bad else 300,
                "height": None if bad else 200,
                "embedding": None if bad else matrix[number],
                "warnings": None if bad else (warnings or {}).get(number, []),
                "genre": None if bad else ("portrait", "landscape")[number % 2],
                "genre_score": None if bad else (number % 10) / 10,
                "model_id": model_id,
                "run_id": "run0",
                **({} if metadata is None else {"metadata": metadata[number]}),
            }
        )
    table = pa.Table.from_pylist(rows, schema)
    place = schema.get_field_index("colors")
    table = table.remove_column(place) if colors is None else table.set_column(place, "colors", colors)
    if thumbnails is not None:
        table = table.set_column(table.schema.get_field_index("thumbnail"), "thumbnail", thumbnails)
    parts = []
    for start, stop in list(itertools.pairwise([0, *ends, count]))[:only]:
        path = folder / "runs" / "run0" / "parts" / f"part-{start:05}-{stop:05}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        piece = table.slice(start, stop - start)
        if not path.exists():
            pq.write_table(piece, path, row_group_size=GROUP)
        ok = piece.column("status").to_pylist().count("ok")
        parts.append(
            Part(str(path.relative_to(folder)), len(piece), ok, {"missing": len(piece) - ok} if ok < len(piece) else {})
        )
    snapshot = Snapshot(run_id or f"run{len(parts)}", "tag", model_id, ("genre",), dim, {}, tuple(parts))
    write_snapshot(str(folder), snapshot)
    return str(folder)
