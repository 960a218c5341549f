"""KMeans: on CPUs scikit-learn's, from coarse to fine; on a GPU cuML's, or Lloyd's steps in torch.

On CPUs most of the work is done on `COARSE` principal components of a sample, then on those of all rows, and the end in
full: Lloyd's steps in full cost d / COARSE times as much, and from there a few are enough. scikit-learn's PCA,
KMeans on all components and KMeans in full took 1.2 to 2.9 times as long on 30,000 and 100,000 rows of 256 and 1,280
dimensions, for an inertia between 0.4% less and 0.5% more, and held the matrix twice more.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from artylyze.clustering.draws import Starts, drawn
from artylyze.clustering.mixture import CACHED, Projection
from artylyze.extraction.vectors import in_units, magnitude, sampled

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from artylyze.clustering.draws import Keys

    Matrix = NDArray[np.float32]

COARSE = 64
SAMPLE = 10_000
"""Rows that starts are tried on, and from which principal components are computed; with fewer, the fit is in full."""
STARTS = 4
REFINEMENTS = 5
CHUNK = 8_192
STEPS, TOLERANCE = 300, 1e-4
"""Of Lloyd's on a GPU: at most so many, and the squared shift of the centroids, as a share of the rows' mean variance,
at which they end. scikit-learn's and cuML's own."""
SHARE = 0.4
"""Of a GPU's free memory, that the matrix may take: distances lie beside it."""
TOGETHER = 65_536
"""Rows whose distances are computed together on a GPU."""


@dataclass(frozen=True, eq=False)
class Fit:
    """Centroids float32 (k, d), the cluster of each row int32 (n,), and the sum of squared distances."""

    centroids: Matrix
    labels: NDArray[np.int32]
    inertia: float


class KMeans(Protocol):
    """Fits KMeans to one matrix, for one k after the other."""

    def fit(self, k: int) -> Fit:
        """Fit k clusters, as well as this way can."""

    def sketch(self, k: int) -> Fit:
        """Fit k clusters well enough to compare numbers of clusters; the inertia is exact for the labels."""
        return self.fit(k)


def kmeans_for(matrix: Matrix, seed: int, device: str, keys: Keys | None = None) -> KMeans:
    """Choose how to fit on a device, `cpu` or `cuda`.

    Args:
        matrix: float32 (n, d), numbers of any magnitude.
        seed: of every random choice.
        device: `cpu` or `cuda`.
        keys: of the rows (`draws.row_keys`), so that no row changes what is drawn of the others; None: their numbers.
    """
    if device == "cpu":
        return CpuKMeans(matrix, seed, keys)
    return CumlKMeans(matrix, seed) if find_spec("cuml") else TorchKMeans(matrix, seed, keys, device)


def principal(matrix: Matrix, count: int, seed: int, keys: Keys | None = None) -> Projection:
    """The first `count` principal components of a sample of the rows, by randomised SVD (Halko et al. 2011).

    scikit-learn's PCA takes the mean in float32: far from the origin it loses the digits that set rows apart.
    """
    from sklearn.utils.extmath import randomized_svd

    rows = sampled(len(matrix), SAMPLE, seed) if keys is None else drawn(keys, SAMPLE, seed)
    sample = matrix[rows]
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    _, _, components = randomized_svd(sample - mean, count, n_iter=2, random_state=seed)
    return Projection(mean, np.ascontiguousarray(components, np.float32))


class CpuKMeans(KMeans):
    """scikit-learn's KMeans, from coarse to fine."""

    def __init__(self, matrix: Matrix, seed: int, keys: Keys | None = None) -> None:
        self._matrix, self._seed = matrix, seed
        keys = np.arange(len(matrix), dtype=np.uint64) if keys is None else keys
        self._scaled, _ = in_units(matrix)
        self._coarse = self._scaled
        if min(matrix.shape) > 2 * COARSE:
            self._coarse = principal(self._scaled, COARSE, seed, keys).apply(self._scaled)
        self._rows = drawn(keys, SAMPLE, seed)
        self._sample = self._coarse[self._rows].astype(np.float64)
        self._starts = [Starts(self._sample, keys[self._rows], seed, number) for number in range(STARTS)]

    def sketch(self, k: int) -> Fit:
        """On the components of the sample with one start, then on those of all rows."""
        labels = self._coarse_labels(k, 1)
        centroids = cluster_means(self._matrix, labels, k)
        return Fit(centroids, labels, squares(own_distances(self._matrix, centroids, labels)))

    def fit(self, k: int) -> Fit:
        """As `sketch` with more starts, then in full; with few rows, from its starts on in full."""
        if len(self._rows) < len(self._matrix):
            return refine(self._matrix, self._coarse_labels(k, STARTS), k)
        fitted = self._best_fit(self._scaled, k, STARTS)
        # not its centroids: its threads add rows up in any order, so that the last bits vary
        return refine(self._matrix, fitted.labels_.astype(np.int32), k)

    def _coarse_labels(self, k: int, starts: int) -> NDArray[np.int32]:
        fitted = self._best_fit(self._sample, k, starts)
        if len(self._rows) < len(self._matrix):
            fitted = _sklearn(k, fitted.cluster_centers_.astype(np.float32), self._seed).fit(self._coarse)
        labels: NDArray[np.int32] = fitted.labels_.astype(np.int32)
        return labels

    def _best_fit(self, rows: Any, k: int, starts: int) -> Any:
        """The best fit of the sample's rows, in full or as components, from so many starts."""
        fits = (_sklearn(k, rows[start.first(k)], self._seed).fit(rows) for start in self._starts[:starts])
        return min(fits, key=lambda fitted: fitted.inertia_)


class CumlKMeans(KMeans):
    """cuML's KMeans; it has not run on a GPU yet.

    A matrix beyond the GPU's memory is fitted on a sample, and assigned chunk by chunk.
    """

    def __init__(self, matrix: Matrix, seed: int) -> None:
        import cupy

        self._matrix, self._seed = matrix, seed
        self._rows = sampled(len(matrix), rows_within(matrix, cupy.cuda.runtime.memGetInfo()[0]), seed)

    def fit(self, k: int) -> Fit:
        """Fit on what fits into memory, and assign all rows."""
        from cuml.cluster import KMeans

        sample, unit = in_units(self._matrix if len(self._rows) == len(self._matrix) else self._matrix[self._rows])
        fitted = KMeans(**cuml_arguments(k, self._seed)).fit(sample)
        return nearest(self._matrix, np.asarray(fitted.cluster_centers_, np.float32) * unit)


class TorchKMeans(KMeans):
    """Lloyd's steps on a GPU by torch: from the best of some starts on a sample, then on all rows.

    A matrix beyond the GPU's memory is fitted on a sample, and assigned chunk by chunk.
    """

    def __init__(self, matrix: Matrix, seed: int, keys: Keys | None = None, device: str = "cuda") -> None:
        import torch

        self._matrix = matrix
        keys = np.arange(len(matrix), dtype=np.uint64) if keys is None else keys
        scaled, self._unit = in_units(matrix)
        rows = drawn(keys, SAMPLE, seed)
        sample = scaled[rows].astype(np.float64)
        self._starts = [Starts(sample, keys[rows], seed, number) for number in range(STARTS)]
        fitting = len(matrix) if device == "cpu" else rows_within(matrix, torch.cuda.mem_get_info()[0])
        points = scaled if fitting >= len(matrix) else scaled[drawn(keys, fitting, seed)]
        self._points, self._sample = (torch.from_numpy(part).to(device) for part in (points, scaled[rows]))

    def fit(self, k: int) -> Fit:
        """Fit on what fits into memory, and assign all rows."""
        fits = [lloyd(self._sample, self._sample[start.first(k)]) for start in self._starts]
        _, centroids = min(fits, key=lambda fitted: fitted[0])
        _, centroids = lloyd(self._points, centroids)
        return nearest(self._matrix, np.asarray(centroids.cpu(), np.float32) * self._unit)


def lloyd(points: torch.Tensor, centroids: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Lloyd's steps until the centroids move by less than scikit-learn's tolerance, on whatever device.

    Args:
        points: float32 (n, d).
        centroids: float32 (k, d), where it begins.

    Returns:
        The sum of squared distances before the last step, but for a constant, and the centroids, float32 (k, d). An
        empty cluster keeps its centroid. Sums are products with indicators, so that the same input gives the same bits.
    """
    import torch

    middle = points.mean(dim=0)
    centroids = centroids - middle
    tolerance = TOLERANCE * float(points.var(dim=0, correction=0).mean())
    inertia = 0.0
    for _ in range(STEPS):
        sums, counts, inertia = torch.zeros_like(centroids), centroids.new_zeros(len(centroids)), 0.0
        lengths = centroids.square().sum(dim=1)
        for start in range(0, len(points), TOGETHER):
            rows = points[start : start + TOGETHER] - middle
            nearest = (lengths - 2 * (rows @ centroids.T)).min(dim=1)
            member = torch.nn.functional.one_hot(nearest.indices, len(centroids)).to(rows.dtype)
            sums += member.T @ rows
            counts += member.sum(dim=0)
            inertia += float(nearest.values.sum(dtype=torch.float64))
        means = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centroids)
        moved, centroids = float((means - centroids).square().sum()), means
        if moved <= tolerance:
            break
    return inertia, centroids + middle


def cuml_arguments(k: int, seed: int) -> dict[str, Any]:
    """Arguments of cuML's KMeans; a test compares them with the signature in cuML's own wheel."""
    return {
        "n_clusters": k,
        "max_iter": STEPS,
        "tol": TOLERANCE,
        "random_state": seed,
        "init": "k-means++",
        "n_init": STARTS,
        "output_type": "numpy",
    }


def rows_within(matrix: Matrix, free: int) -> int:
    """Rows of a matrix that fit into SHARE of the free bytes of a GPU; one at least."""
    return max(1, int(free * SHARE) // int(matrix.shape[1] * matrix.itemsize))


def refine(matrix: Matrix, labels: NDArray[np.int32], k: int) -> Fit:
    """At most REFINEMENTS of Lloyd's steps from labels.

    scikit-learn's would copy the matrix twice, and add rows up in another order each time.
    """
    for _ in range(REFINEMENTS):
        fit = nearest(matrix, cluster_means(matrix, labels, k))
        if np.array_equal(labels, fit.labels):
            break
        labels = fit.labels
    return fit


def squares(distances: Matrix) -> float:
    """Sum of squares, in float64."""
    return float(np.square(distances, dtype=np.float64).sum())


def cluster_means(matrix: Matrix, labels: NDArray[np.int32], k: int) -> Matrix:
    """Mean of each cluster's rows, float32 (k, d); an empty cluster gets the mean of all."""
    from scipy.sparse import csr_matrix

    sums = np.zeros((k, matrix.shape[1]))
    for start in range(0, len(matrix), CACHED):
        part = labels[start : start + CACHED]
        member = csr_matrix((np.ones(len(part)), (part, np.arange(len(part)))), shape=(k, len(part)))
        sums += member @ matrix[start : start + CACHED].astype(np.float64)
    counts = np.bincount(labels, minlength=k)
    means = sums / np.maximum(counts, 1)[:, None]
    means[counts == 0] = sums.sum(axis=0) / len(matrix)
    return means.astype(np.float32)


def nearest(matrix: Matrix, centroids: Matrix) -> Fit:
    """Give each row, float32 (n, d), the nearest of centroids, float32 (k, d)."""
    labels = np.empty(len(matrix), np.int32)
    middle = centroids.mean(axis=0, dtype=np.float64).astype(np.float32)
    unit = magnitude(centroids)  # squares of very large or small numbers are none in float32
    away = (centroids - middle) / unit  # what all rows share sets none apart, and would cost float32 its digits
    lengths = np.einsum("ij,ij->i", away, away)
    for start in range(0, len(matrix), CACHED):
        rows = (matrix[start : start + CACHED] - middle) / unit
        labels[start : start + CACHED] = (lengths - 2 * (rows @ away.T)).argmin(axis=1)
    return Fit(centroids, labels, squares(own_distances(matrix, centroids, labels)))


def own_distances(matrix: Matrix, centroids: Matrix, labels: NDArray[np.int32]) -> Matrix:
    """Euclidean distance of each row to its cluster's centroid, float32 (n,); from differences, so 0 is 0."""
    distances, unit = np.empty(len(matrix), np.float32), magnitude(centroids)
    for start in range(0, len(matrix), CHUNK):
        part = slice(start, start + CHUNK)
        away = (matrix[part] - centroids[labels[part]]) / unit
        distances[part] = np.sqrt(np.einsum("ij,ij->i", away, away)) * unit
    return distances


def _sklearn(k: int, init: Any, seed: int) -> Any:
    from sklearn.cluster import KMeans as SklearnKMeans
    from sklearn.exceptions import ConvergenceWarning

    warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn.cluster")
    return SklearnKMeans(k, init=init, n_init=1, random_state=seed)
