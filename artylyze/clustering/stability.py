"""Whether a clustering would come out again: refits on subsamples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import adjusted_rand_score

from artylyze.clustering.draws import Starts, drawn, uniform
from artylyze.clustering.kmeans import COARSE, principal
from artylyze.extraction.vectors import in_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.clustering.draws import Keys

    Matrix = NDArray[np.float32]

ROWS, REFITS, SHARE = 4_000, 5, 0.8


@dataclass(frozen=True)
class Stability:
    """Agreement of refits on subsamples with the clusters: adjusted Rand indices (Hubert and Arabie 1985).

    1 is the same clusters again, 0 as alike as by chance.

    Attributes:
        mean: of the refits.
        low: the least of them.
        refits: their number.
        rows: of each.
    """

    mean: float
    low: float
    refits: int
    rows: int


def stability(matrix: Matrix, labels: NDArray[np.int32], k: int, keys: Keys, seed: int) -> Stability | None:
    """Fit k clusters again on `SHARE` of at most `ROWS` rows, `REFITS` times, on principal components.

    None where that says nothing: one cluster, or no more rows than clusters.
    """
    from sklearn.cluster import KMeans

    rows = drawn(keys, ROWS, seed)
    labels, keys, count = labels[rows], keys[rows], int(SHARE * len(rows))
    if k < 2 or count <= k:
        return None
    sample, _ = in_units(matrix[rows])
    if min(sample.shape) > 2 * COARSE:
        sample = principal(sample, COARSE, seed, keys).apply(sample)
    points, indices = sample.astype(np.float64), []
    for refit in range(REFITS):
        part = np.sort(np.argsort(uniform(keys, seed, refit, 1), kind="stable")[:count])
        start = points[part][Starts(points[part], keys[part], seed, refit + 1).first(k)]
        again = KMeans(k, init=start, n_init=1, random_state=seed).fit_predict(points[part])
        indices.append(float(adjusted_rand_score(labels[part], again)))
    return Stability(float(np.mean(indices)), min(indices), REFITS, count)
