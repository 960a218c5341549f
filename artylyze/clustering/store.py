"""CLUSTERS, the folder of a clustering: what is in it, how it is written, and how it is read back.

run.json (what was clustered and how) is removed first and written last: with it, the folder is complete.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artylyze.clustering.mixture import Mixture, Projection
from artylyze.errors import InputError, UsageError
from artylyze.storage import is_url, open_store
from artylyze.storage.nearest import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
RUN, ASSIGNMENTS, SCORES, ELBOW = "run.json", "assignments.parquet", "scores.json", "elbow.png"
KMEANS, MIXTURE = "kmeans.safetensors", "mixture.safetensors"
PROFILE_FILES = re.compile(
    r"profiles/(kmeans|gmm)/(profiles\.json|(clusters|distributions|works)\.(csv|parquet)|column-\d\d-[^/]*\.png"
    r"|cluster-\d+-(works|columns)\.png)|influences/influences-[^/]*\.(png|json)"
)
"""What `profiles` and `influences` call their files."""
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("kmeans", pa.int32()),
        pa.field("distance", pa.float32()),
        pa.field("gmm", pa.int32()),
        pa.field("responsibilities", pa.list_(pa.float32())),
    ]
)
"""Columns of the assignments, in image_id order: null where an algorithm was not run. `distance` is Euclidean, to the
own centroid, in feature space."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """A clustering as it is kept.

    Attributes:
        folder: where it lies: a folder or an address.
        run: run.json. source, catalog (None if unknown), method, model_id, random_weights, rows, dim, left_out
            {reason: count}, settings (algorithms, k, covariance, seed, variance, ...), versions, device, seconds;
            assigned_from: the folder of the fit, where these images were assigned to clusters of others.
        assignments: a row for each image, see SCHEMA.
        centroids: float32 (k, d), None if KMeans was not run.
        mixture: None if the mixture was not run.
        scores: scores.json: see `artylyze.clustering.cluster`.
    """

    folder: str
    run: Mapping[str, Any]
    assignments: pa.Table
    centroids: NDArray[np.float32] | None
    mixture: Mixture | None
    scores: Mapping[str, Any]


def read_clusters(folder: str, *, assignments: bool = True, responsibilities: bool = True) -> Clusters:
    """Read a clustering, without its assignments if they are not needed: they grow with the collection.

    Without responsibilities, which are k numbers for each image, they can be read by `read_responsibilities`.

    Raises:
        InputError: if there is none, it is of another format, or a part of it is missing or damaged.
    """
    store = open_store(folder)
    found = store.read(RUN)
    if found is None:
        raise InputError(f"There are no clusters in {folder}.{did_you_mean(folder)} Make them with `artylyze cluster`.")
    try:
        run = json.loads(found)
        if run["format"] != FORMAT:
            raise ValueError("its format is not ours")
        algorithms = run["settings"]["algorithms"]
        table = SCHEMA.empty_table()
        if assignments:
            schema = SCHEMA if responsibilities else SCHEMA.remove(SCHEMA.get_field_index("responsibilities"))
            with _open_assignments(folder) as file:
                table = file.read(columns=schema.names).select(schema.names).cast(schema)
        scores = json.loads(_needed(folder, SCORES))
        centroids = _tensors(folder, KMEANS)["centroids"] if "kmeans" in algorithms else None
        mixture = _mixture(_tensors(folder, MIXTURE), run["settings"]["covariance"]) if "gmm" in algorithms else None
    except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise InputError(f"{folder} is not a clustering that this version reads ({error}): cluster again.") from error
    return Clusters(folder, run, table, centroids, mixture, scores)


def read_responsibilities(folder: str) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Read the responsibilities of a mixture piece by piece: rows of the assignments, (m,), and theirs, (m, k).

    Raises:
        InputError: while it is read, if the assignments are missing or damaged.
    """
    start = 0
    try:
        with _open_assignments(folder) as file:
            for batch in file.iter_batches(65_536, columns=["responsibilities"]):
                shares = batch.column(0)
                rows = np.flatnonzero(shares.is_valid().to_numpy(zero_copy_only=False)) + start
                start += len(shares)
                if len(rows):
                    yield rows, shares.flatten().to_numpy(zero_copy_only=False).reshape(len(rows), -1)
    except (ValueError, pa.ArrowException) as error:
        raise InputError(f"{folder}/{ASSIGNMENTS} is damaged ({error}): cluster again.") from error


def _open_assignments(folder: str) -> pq.ParquetFile:
    store = open_store(folder)
    if store.version(ASSIGNMENTS) is None:
        raise _missing(folder, ASSIGNMENTS)
    return pq.ParquetFile(store.open(ASSIGNMENTS))


def check_folder(folder: str) -> None:
    """Raise UsageError where clusters should not be written: at a file, or into a catalog."""
    if not is_url(folder) and Path(folder).is_file():
        raise UsageError(f"`output={folder!r}` is a file: clusters are a folder.")
    if open_store(folder).version("catalog.json") is not None:
        raise UsageError(f"`output={folder!r}` is a catalog: name another folder for its clusters.")


def same_folder(one: str, other: str) -> bool:
    """Whether two addresses are of one folder, however they are spelled."""
    if is_url(one) or is_url(other):
        return one.rstrip("/") == other.rstrip("/")
    return Path(one).resolve() == Path(other).resolve()


def write_clusters(clusters: Clusters, elbow: bytes | None = None, assignments: Path | None = None) -> None:
    """Write a clustering into its folder, with the picture of how k was chosen where it was.

    A file of assignments takes the place of those in `clusters`, where they were too many for memory. What lies there
    of an earlier clustering goes, with its profiles and influences: cluster 3 of the one is not cluster 3 of the other.
    """
    from safetensors.numpy import save

    store = open_store(clusters.folder)
    store.delete(RUN)
    described = [entry.key for under in ("profiles/", "influences/") for entry in store.list(under)]
    for name in (KMEANS, MIXTURE, ELBOW, *filter(PROFILE_FILES.fullmatch, described)):
        store.delete(name)
    if clusters.centroids is not None:
        store.put(KMEANS, save({"centroids": np.ascontiguousarray(clusters.centroids)}))
    if (mixture := clusters.mixture) is not None:
        tensors = {
            "weights": mixture.weights,
            "means": mixture.means,
            "precisions_cholesky": mixture.precisions_cholesky,
            "projection.mean": mixture.projection.mean,
            "projection.components": mixture.projection.components,
        }
        store.put(MIXTURE, save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}))
    if assignments is not None:
        store.upload(ASSIGNMENTS, assignments)
    else:
        table = io.BytesIO()
        pq.write_table(clusters.assignments.cast(SCHEMA), table, compression="zstd")
        store.put(ASSIGNMENTS, table.getvalue())
    store.put(SCORES, _json(clusters.scores))
    if elbow is not None:
        store.put(ELBOW, elbow)
    store.put(RUN, _json({"format": FORMAT, **clusters.run}))


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _needed(folder: str, name: str) -> bytes:
    data = open_store(folder).read(name)
    if data is None:
        raise _missing(folder, name)
    return data


def _missing(folder: str, name: str) -> InputError:
    return InputError(f"{folder}/{name} is missing: cluster again.")


def _tensors(folder: str, name: str) -> dict[str, NDArray[np.float32]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found: dict[str, NDArray[np.float32]] = load(_needed(folder, name))
    except SafetensorError as error:
        raise InputError(f"{folder}/{name} is damaged ({error}): cluster again.") from error
    return found


def _mixture(tensors: Mapping[str, NDArray[np.float32]], covariance: Any) -> Mixture:
    projection = Projection(tensors["projection.mean"], tensors["projection.components"])
    return Mixture(covariance, tensors["weights"], tensors["means"], tensors["precisions_cholesky"], projection)
