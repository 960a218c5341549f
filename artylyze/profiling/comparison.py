"""Which features cluster best: KMeans and mixtures over several kinds of them, by scores and by known labels.

Silhouettes mislead: few dimensions flatter them, whatever they mean. So the rank is by agreement with known labels, and
by silhouette only where there are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.catalog.snapshot import read_catalog
from artylyze.clustering import em
from artylyze.clustering.kmeans import Fit, cluster_means, kmeans_for
from artylyze.clustering.request import COMPONENTS, check_covariance
from artylyze.clustering.scores import davies_bouldin, silhouettes
from artylyze.collection.known_columns import folded
from artylyze.collection.scan import is_table
from artylyze.errors import InputError, UsageError, check_seed
from artylyze.extraction.vectors import Vectors, read_vectors
from artylyze.profiling.columns import labels_of
from artylyze.profiling.works import join_descriptions
from artylyze.tables import DEFAULT_READING, Reading, check_options

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.clustering.mixture import Covariance
    from artylyze.collection.labels import Labels
    from artylyze.progress import Watcher


COLUMNS = ("genre", "style")
_RANKED = {"agreement": "agreement with the labels (mean AMI)", "silhouette": "silhouette, which misleads"}


@dataclass(frozen=True)
class CompareRequest:
    """One comparison. Raises UsageError for what does not go together.

    Attributes:
        sources: catalogs and features files of the same images.
        labels: a table of labels, or a catalog whose metadata labels the images; None: the catalog of the first source
            which has one.
        id_column: the table's column that identifies a record; None: it is found.
        columns: labels to compare with, which must be there; None: those of `COLUMNS` that are.
        k: number of clusters.
        covariance: of the mixtures.
        variance: share of it that the mixtures' components keep, `request.COMPONENTS` at most.
        seed: of every random choice.
        reading: how the table of labels is to be read.
    """

    sources: tuple[str, ...]
    labels: str | None = None
    id_column: str | None = None
    columns: tuple[str, ...] | None = None
    k: int = 25
    covariance: Covariance = "diag"
    variance: float = 0.95
    seed: int = 0
    reading: Reading = DEFAULT_READING

    def __post_init__(self) -> None:
        if not self.sources:
            raise UsageError("Name catalogs or features files to compare.")
        if self.k < 2:
            raise UsageError(f"`k={self.k}`: compare at least 2 clusters.")
        check_covariance(self.covariance)
        check_seed(self.seed)
        labelled = self.labels is not None and is_table(self.labels)
        check_options("`labels=TABLE`", labelled, self.reading, self.id_column)


@dataclass(frozen=True)
class Agreement:
    """With one label: images that have it, adjusted mutual information (Vinh et al. 2010), purity."""

    images: int
    adjusted_mutual_information: float
    purity: float


@dataclass(frozen=True)
class Row:
    """One kind of features with one algorithm.

    `rank` is by the mean adjusted mutual information with the labels where there are any, else by silhouette, as
    `ranked_by` says; None for random weights.
    """

    source: str
    method: str
    algorithm: str
    random_weights: bool
    rows: int
    dim: int
    silhouette: float
    davies_bouldin: float
    agreement: dict[str, Agreement]
    ranked_by: Literal["agreement", "silhouette"]
    rank: int | None = None


def compare(request: CompareRequest, watcher: Watcher) -> list[Row]:
    """Cluster each source's images that all sources have; return the rows of both tables, the best first.

    Raises:
        InputError: sources that share too few images, labels that are not there.
    """
    found = [read_vectors(source) for source in request.sources]
    shared = sorted(set.intersection(*(set(one.ids.to_pylist()) for one in found)))
    if len(shared) <= request.k:
        raise InputError(f"The sources share {len(shared):,} images: too few for `k={request.k}`.")
    if any(len(one.ids) > len(shared) for one in found):
        theirs = ", ".join(f"{one.source} {len(one.ids):,}" for one in found)
        watcher.say(f"Comparing the {len(shared):,} images that all sources have ({theirs})")
    ids = pa.array(shared, pa.string())
    labels = _labels(request, found, ids, watcher)
    rows = []
    for one in found:
        watcher.say(f"Clustering {one.source} ({one.method})")
        matrix = one.matrix[pc.index_in(ids, value_set=one.ids).to_numpy()]
        for algorithm, fit in _fits(request, matrix).items():
            rows.append(_row(one, algorithm, matrix, fit, labels, request.seed))
    return _ranked(rows)


def _fits(request: CompareRequest, matrix: NDArray[np.float32]) -> dict[str, Fit]:
    fit = kmeans_for(matrix, request.seed, "cpu").fit(request.k)
    projection = em.reduce(matrix, request.variance, request.seed, COMPONENTS)
    labels = em.dense(fit.labels)
    points = projection.apply(matrix)
    mixture = em.fit_mixture(points, projection, labels, request.covariance, request.seed, "cpu").mixture
    likeliest = mixture.responsibilities(matrix).argmax(axis=1).astype(np.int32)
    return {"kmeans": fit, "gmm": Fit(cluster_means(matrix, likeliest, len(mixture.weights)), likeliest, 0.0)}


def _row(
    one: Vectors, algorithm: str, matrix: NDArray[np.float32], fit: Fit, labels: Mapping[str, Labels], seed: int
) -> Row:
    (silhouette,) = silhouettes(matrix, [fit.labels], seed)
    agreement = {name: agree(fit.labels, known.codes) for name, known in labels.items()}
    return Row(
        one.source,
        one.method,
        algorithm,
        one.random_weights,
        len(matrix),
        matrix.shape[1],
        silhouette.value,
        davies_bouldin(matrix, fit),
        agreement,
        "agreement" if any(pair.images for pair in agreement.values()) else "silhouette",
    )


def agree(clusters: NDArray[np.int32], labels: NDArray[np.int64]) -> Agreement:
    """Agreement of clusters with labels, -1 where an image has none."""
    from sklearn.metrics import adjusted_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    some = labels >= 0
    if not some.any():
        return Agreement(0, 0.0, 0.0)
    mine, known = clusters[some], labels[some]
    purity = contingency_matrix(known, mine).max(axis=0).sum() / some.sum()
    return Agreement(int(some.sum()), float(adjusted_mutual_info_score(known, mine)), float(purity))


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """The rows by algorithm, the best first; random weights after all others, without a rank."""
    ordered = []
    for algorithm in ("kmeans", "gmm"):
        mine = [row for row in rows if row.algorithm == algorithm]
        ranked = sorted((row for row in mine if not row.random_weights), key=_merit, reverse=True)
        ordered += [replace(row, rank=place) for place, row in enumerate(ranked, 1)]
        ordered += [row for row in mine if row.random_weights]
    return ordered


def _merit(row: Row) -> float:
    if row.ranked_by == "silhouette":
        return row.silhouette
    return float(np.mean([one.adjusted_mutual_information for one in row.agreement.values() if one.images]))


def _labels(request: CompareRequest, found: Sequence[Vectors], ids: pa.Array, watcher: Watcher) -> dict[str, Labels]:
    """The labels of the images by column. What a model says of them would only agree with itself, and is none."""
    table = request.labels if request.labels and is_table(request.labels) else None
    catalog = request.labels if table is None else None
    rows = _rows(catalog or next((one.catalog for one in found if one.catalog), None), found[0], ids)
    tables, notes = join_descriptions(rows, [table] if table else [], request.id_column, request.reading)
    for note in notes:
        watcher.say(note)
    there = {folded(own) for one in tables for own in one.column_names}
    names = request.columns or COLUMNS
    absent = [name for name in names if folded(name) not in there]
    if absent and (request.columns or (request.labels and len(absent) == len(names))):
        has = ", ".join(own for one in tables for own in one.column_names) or "none"
        raise InputError(
            f"Nothing says the {', '.join(absent)} of these images; columns: {has}. Name some by `columns`."
        )
    return {name: labels_of(name, tables, len(ids)) for name in names if name not in absent}


def _rows(catalog: str | None, one: Vectors, ids: pa.Array) -> pa.Table:
    """Catalog rows of images; their ids stand for their addresses where there is no catalog."""
    records = one.records.take(pc.index_in(ids, value_set=one.ids))
    rows = pa.table({"image_id": ids, "record_id": records, "uri": ids, "validator": pa.nulls(len(ids), pa.string())})
    if catalog is None:
        return rows
    known = read_catalog(catalog, ["image_id", "uri", "metadata"])  # without metadata there is no such column
    places = pc.index_in(ids, value_set=known.column("image_id").combine_chunks())
    rows = rows.set_column(2, "uri", pc.coalesce(known.column("uri").take(places), ids))
    if "metadata" in known.column_names:
        rows = rows.append_column("metadata", known.column("metadata").take(places))
    return rows


def as_dicts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as JSON values."""
    return [asdict(row) for row in rows]


def tables(rows: Sequence[Row]) -> str:
    """Both tables as text, for a terminal or a page."""
    names = list(rows[0].agreement)
    agreement = [f"{name} {what}" for name in names for what in ("AMI", "purity")]
    heads = ["rank", "features", "dim", "silhouette", "Davies-Bouldin", *agreement]
    parts = []
    for algorithm, title in (("kmeans", "KMeans"), ("gmm", "Gaussian mixture")):
        lines = [heads, ["---"] * len(heads), *(_cells(row, names) for row in rows if row.algorithm == algorithm)]
        parts.append(
            f"{title}, ranked by {_RANKED[rows[0].ranked_by]}\n"
            + "\n".join(f"| {' | '.join(line)} |" for line in lines)
        )
    known = ", ".join(f"{name} of {rows[0].agreement[name].images:,}" for name in names)
    parts.append(f"Of {rows[0].rows:,} images; " + (f"known are {known}." if known else "no labels are known."))
    return "\n\n".join(parts)


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    label = f"{row.method} (random weights, not ranked)" if row.random_weights else row.method
    agreements = [row.agreement[name] for name in names]
    figures = [
        f"{figure:.3f}" if pair.images else "-"
        for pair in agreements
        for figure in (pair.adjusted_mutual_information, pair.purity)
    ]
    rank = "" if row.rank is None else str(row.rank)
    return [rank, label, f"{row.dim:,}", f"{row.silhouette:.3f}", f"{row.davies_bouldin:.3f}", *figures]
