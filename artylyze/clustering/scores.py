"""How good a clustering is without labels: silhouette, Davies-Bouldin, Calinski-Harabasz."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.metrics import pairwise_distances

from artylyze.clustering.kmeans import Fit, own_distances, squares
from artylyze.extraction.vectors import sampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

EXACT_ROWS = 4_000
"""Rows up to which silhouettes are exact."""
SAMPLED_ROWS = 1_000
"""Rows whose silhouettes are computed above: each exactly, against all rows, so that only their choice is random."""
BLOCK = 4_096


@dataclass(frozen=True)
class Silhouette:
    """Mean silhouette (Rousseeuw 1987), with the 95% interval of its sampling; the interval is a point if exact."""

    value: float
    low: float
    high: float
    exact: bool


def silhouettes(matrix: Matrix, labelings: Sequence[NDArray[np.int32]], seed: int) -> list[Silhouette]:
    """Mean silhouettes of several clusterings of the same rows: the distances are computed once for all."""
    rows = sampled(len(matrix), EXACT_ROWS if len(matrix) <= EXACT_ROWS else SAMPLED_ROWS, seed)
    sums = [np.zeros((len(rows), int(labels.max()) + 1)) for labels in labelings]
    for start in range(0, len(matrix), BLOCK):
        distances = pairwise_distances(matrix[rows], matrix[start : start + BLOCK])
        own = np.flatnonzero((rows >= start) & (rows < start + BLOCK))
        distances[own, rows[own] - start] = 0
        for labels, total in zip(labelings, sums, strict=True):
            part = labels[start : start + BLOCK]
            member = csr_matrix((np.ones(len(part)), (np.arange(len(part)), part)), shape=(len(part), total.shape[1]))
            total += distances @ member
    exact = len(rows) == len(matrix)
    return [_mean(labels, labels[rows], total, exact=exact) for labels, total in zip(labelings, sums, strict=True)]


def _mean(labels: NDArray[np.int32], mine: NDArray[np.int32], sums: NDArray[np.float64], *, exact: bool) -> Silhouette:
    counts = np.bincount(labels, minlength=sums.shape[1])
    place = np.arange(len(mine))
    within = sums[place, mine] / np.maximum(counts[mine] - 1, 1)
    others = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    others[place, mine] = np.inf
    between = others.min(axis=1)
    larger = np.maximum(within, between)
    with np.errstate(invalid="ignore"):
        values = np.where((counts[mine] > 1) & (larger > 0), (between - within) / larger, 0.0)
    values = np.nan_to_num(values)
    mean = float(values.mean())
    half = 0.0 if exact else float(1.96 * values.std(ddof=1) / np.sqrt(len(values)))
    return Silhouette(mean, mean - half, mean + half, exact)


def davies_bouldin(matrix: Matrix, fit: Fit) -> float:
    """Davies and Bouldin (1979) as scikit-learn has it, without its copies of the rows: lower is better."""
    k = len(fit.centroids)
    counts = np.bincount(fit.labels, minlength=k)
    spread = np.bincount(fit.labels, own_distances(matrix, fit.centroids, fit.labels), k) / np.maximum(counts, 1)
    some = counts > 0
    apart = pairwise_distances(fit.centroids[some].astype(np.float64))
    if np.allclose(spread, 0) or np.allclose(apart, 0):
        return 0.0
    apart[apart == 0] = np.inf  # to itself, and where two centroids are one
    return float(((spread[some][:, None] + spread[some]) / apart).max(axis=1).mean())


def calinski_harabasz(total: float, fit: Fit) -> float:
    """Calinski and Harabasz (1974), from the squares about the mean and the inertia: higher is better."""
    n, k = len(fit.labels), len(fit.centroids)
    if k < 2 or n <= k:
        return 0.0
    if fit.inertia <= 0:
        return 1.0  # as scikit-learn has it
    return float((total - fit.inertia) / (k - 1) / (fit.inertia / (n - k)))


def total_squares(matrix: Matrix) -> float:
    """Sum of squared distances to the mean."""
    mean = matrix.mean(axis=0, dtype=np.float64).astype(np.float32)
    return squares(own_distances(matrix, mean[None], np.zeros(len(matrix), np.int32)))
