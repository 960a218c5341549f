"""A map of the works: two coordinates for each, such that works that look alike lie side by side."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.errors import StorageError
from artylyze.exploring.works import Works
from artylyze.models.runtimes import resolve_device
from artylyze.searching.neighbours import Vectors, nearest
from artylyze.storage import open_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY = "explorer/map.parquet"
"""Where a catalog keeps its map, so that an update places new works in the old one."""

LARGEST = 65_535
"""Of a coordinate as it is written, uint16."""

FITTED = 50_000
"""Works that the map is fitted to, at most: more are placed among them."""

FEW = 30
"""Works below which the map is their first two principal components."""

STALE = 0.3
"""Share of works that the old map lacks from which it is fitted anew."""

CLOSE = 10
"""Works of the map among which another is placed."""

_METADATA = b"artylyze.map"
_VERSION = 1
_JUDGED = 3_000  # works that trustworthiness is measured on: it takes their square in memory


@dataclass(frozen=True, eq=False)
class Map:
    """Where m works lie.

    Attributes:
        places: float32 (m, 2).
        method: how they were placed, in words.
        trustworthiness: share of works close on the map that are close by their embeddings, in a measure of 0.5 for a
            random map and 1 for a perfect one (Venna and Kaski 2001, with 12 neighbours, on a sample); None where there
            are too few.
    """

    places: NDArray[np.float32]
    method: str
    trustworthiness: float | None


def map_of(works: Works, vectors: Vectors, near: NDArray[np.int32], *, seed: int = 0, keep: bool = True) -> Map:
    """Return the map of works: the one that the catalog keeps, with new works placed in it, or a new one.

    Args:
        works: of the catalog.
        vectors: m of them.
        near: int32 (m, k), the nearest of each, as `nearest` returns them.
        seed: of a new map.
        keep: whether the catalog may keep the map; one that cannot be written keeps none.
    """
    model = works.snapshot.model_id
    validators = works.rows.column("validator").take(pa.array(vectors.rows)) if len(vectors) else None
    ids = works.ids.take(pa.array(vectors.rows))
    known, before = _read(works.catalog, model, seed, ids, validators)
    there = np.isfinite(known[:, 0])
    if before is not None and there.all():
        return Map(known, before["method"], before["trustworthiness"])
    if before is not None and len(vectors) >= FEW and (~there).mean() <= STALE:
        places, method = _placed(vectors, known), before["method"]
    else:
        places, method = fit(vectors, near, seed=seed)
    made = Map(places, method, trustworthiness(vectors, places))
    if keep:
        _write(works.catalog, model, seed, ids, validators, made)
    return made


def fit(vectors: Vectors, near: NDArray[np.int32], *, seed: int = 0) -> tuple[NDArray[np.float32], str]:
    """Lay works out anew, and return their places, float32 (m, 2), and how that was done."""
    count = len(vectors)
    if count < FEW:
        flat = np.zeros((count, 2), np.float32)
        kept = min(2, vectors.coordinates.shape[1])
        flat[:, :kept] = vectors.coordinates[:, :kept]
        return flat, "PCA"
    if find_spec("cuml") and resolve_device("auto") == "cuda":
        return _umap(vectors, near, seed), "UMAP"
    if count <= FITTED:
        return _tsne(vectors, near, seed), "t-SNE"
    sample = np.sort(np.random.default_rng(seed).choice(count, FITTED, replace=False))
    drawn = vectors.take(sample)
    places = np.full((count, 2), np.nan, np.float32)
    places[sample] = _tsne(drawn, nearest(drawn, near.shape[1], seed=seed), seed)
    return _placed(vectors, places), f"t-SNE of {FITTED:,} works, the others placed among them"


def _distances(vectors: Vectors, near: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the nearest of each work, the first again where there are fewer, and how far they are: (m, k) each."""
    filled: NDArray[np.int64] = np.where(near >= 0, near, near[:, :1]).astype(np.int64)
    rows = vectors.coordinates
    return filled, np.stack([np.linalg.norm(rows - rows[column], axis=1) for column in filled.T], axis=1)


def _start(vectors: Vectors, deviation: float) -> NDArray[np.float64]:
    """Return the first two components of works, the first with this standard deviation: float64 (m, 2)."""
    start = vectors.coordinates[:, :2].astype(np.float64)
    return start / (max(float(start[:, 0].std()), 1e-12) / deviation)


def _umap(vectors: Vectors, near: NDArray[np.int32], seed: int) -> NDArray[np.float32]:
    """Lay all works out on a GPU: cuML's t-SNE takes no given start, and is not the same each time."""
    from cuml.manifold import UMAP

    made = UMAP(**cuml_arguments(vectors, near, seed)).fit_transform(vectors.coordinates)
    return np.asarray(made, np.float32)


def cuml_arguments(vectors: Vectors, near: NDArray[np.int32], seed: int) -> dict[str, Any]:
    """Arguments of cuML's UMAP; a test compares them with the signature in cuML's own wheel."""
    others, distances = _distances(vectors, near)
    itself = np.arange(len(others))[:, None]
    return {
        "n_neighbors": others.shape[1] + 1,
        "precomputed_knn": (np.hstack([itself, others]), np.hstack([np.zeros_like(distances[:, :1]), distances])),
        "init": _start(vectors, 1.0).astype(np.float32),
        "random_state": seed,
        "output_type": "numpy",
    }


def _tsne(vectors: Vectors, near: NDArray[np.int32], seed: int) -> NDArray[np.float32]:
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    others, distances = _distances(vectors, near)
    kinds = PerplexityBasedNN(perplexity=near.shape[1] / 3, knn_index=PrecomputedNeighbors(others, distances), n_jobs=1)
    places = TSNEEmbedding(_start(vectors, 1e-4), kinds, random_state=seed, n_jobs=1)
    places.optimize(250, exaggeration=12, momentum=0.5, inplace=True)
    places.optimize(500, momentum=0.8, inplace=True)
    return np.asarray(places, np.float32)


def _placed(vectors: Vectors, places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return places in which those that are NaN lie amid the CLOSE nearest works that have one."""
    there = np.isfinite(places[:, 0])
    new = np.flatnonzero(~there)
    near = nearest(vectors, CLOSE, queries=new, among=there)
    filled = places.copy()
    # The median, so that a work lies with most of those like it, and not between two crowds.
    filled[new] = np.median(places[near], axis=1)
    # A little aside, the same each time, so that no two lie on each other.
    spread = np.nanstd(places, axis=0) / max(1.0, len(places) ** 0.5)
    filled[new] += np.random.default_rng(0).normal(0, 1, (len(new), 2)).astype(np.float32) * spread
    return filled


def trustworthiness(vectors: Vectors, places: NDArray[np.float32], neighbours: int = 12) -> float | None:
    """Measure a map on a sample of its works; None for too few."""
    from sklearn.manifold import trustworthiness as measure

    if len(vectors) < FEW:
        return None
    sample = np.random.default_rng(0).permutation(len(vectors))[:_JUDGED]
    return round(float(measure(vectors.coordinates[sample], places[sample], n_neighbors=neighbours)), 4)


def quantised(places: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return places as uint16 from 0 to LARGEST, both coordinates in one scale, the map in the middle."""
    if not len(places):
        return np.zeros((0, 2), np.uint16)
    low, high = places.min(axis=0), places.max(axis=0)
    span = max(float((high - low).max()), 1e-9)
    middle = (low + high) / 2
    scaled: NDArray[np.uint16] = np.clip(np.round((places - middle) / span * LARGEST + LARGEST / 2), 0, LARGEST).astype(
        np.uint16
    )
    return scaled


def _read(
    catalog: str, model: str, seed: int, ids: pa.Array, validators: pa.ChunkedArray | None
) -> tuple[NDArray[np.float32], Mapping[str, Any] | None]:
    """Return where a kept map has works, NaN for those that are new or changed, and what it says of itself."""
    places = np.full((len(ids), 2), np.nan, np.float32)
    data = None
    with suppress(StorageError):
        data = open_store(catalog).read(KEY)
    if data is None or validators is None:
        return places, None
    try:
        table = pq.read_table(io.BytesIO(data))
        about = json.loads(table.schema.metadata[_METADATA])
        if (about["version"], about["model_id"], about["seed"]) != (_VERSION, model, seed):
            return places, None
        at = pc.index_in(ids, value_set=table.column("image_id").combine_chunks())
        same = pc.equal(
            pc.fill_null(validators.cast(pa.string()), ""),
            pc.fill_null(table.column("validator").take(at), ""),
        )
        there = pc.fill_null(pc.and_(same, pc.is_valid(at)), False).to_numpy()
        xy = np.stack([table.column(name).to_numpy() for name in ("x", "y")], axis=1)
        places[there] = xy[pc.fill_null(at, 0).to_numpy()[there]]
    except (pa.ArrowException, ValueError, KeyError, TypeError):  # damaged, or of another version: a new one is made
        return np.full((len(ids), 2), np.nan, np.float32), None
    return places, about


def _write(catalog: str, model: str, seed: int, ids: pa.Array, validators: pa.ChunkedArray | None, made: Map) -> None:
    about = {"version": _VERSION, "model_id": model, "seed": seed, "method": made.method}
    about["trustworthiness"] = made.trustworthiness
    columns = {"image_id": ids, "x": made.places[:, 0], "y": made.places[:, 1]}
    if validators is not None:
        columns["validator"] = validators.cast(pa.string())
    table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(about)})
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    with suppress(StorageError):  # a catalog that may only be read keeps no map
        open_store(catalog).put(KEY, out.getvalue())
