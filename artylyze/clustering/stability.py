"""Whether a clustering would come out again: refits on subsamples, and what other criteria say of k."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from artylyze.clustering.kmeans import COARSE, principal
from artylyze.clustering.starts import Starts, drawn, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.clustering.choice import Scores
    from artylyze.clustering.starts import Keys

    Matrix = NDArray[np.float32]

ROWS, REFITS, SHARE = 4_000, 5, 0.8


@dataclass(frozen=True)
class Stability:
    """How much refits on subsamples agree with the clusters: adjusted Rand indices (Hubert and Arabie 1985).

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

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def stability(matrix: Matrix, labels: NDArray[np.int32], k: int, keys: Keys, seed: int) -> Stability | None:
    """Fit k clusters again on `SHARE` of at most `ROWS` rows, `REFITS` times, on principal components.

    None where that says nothing: one cluster, or no more rows than clusters.
    """
    from sklearn.cluster import KMeans

    rows = drawn(keys, ROWS, seed)
    count = int(SHARE * len(rows))
    if k < 2 or count <= k:
        return None
    points = matrix[rows].astype(np.float64)
    if min(points.shape) > 2 * COARSE:
        points = principal(matrix[rows], COARSE, seed, keys[rows]).apply(matrix[rows]).astype(np.float64)
    found = []
    for refit in range(REFITS):
        part = np.sort(np.argsort(uniform(keys[rows], seed, refit, 1), kind="stable")[:count])
        start = points[part][Starts(points[part], keys[rows[part]], seed, refit + 1).first(k)]
        again = KMeans(k, init=start, n_init=1, random_state=seed).fit_predict(points[part])
        found.append(float(adjusted_rand_score(labels[rows[part]], again)))
    return Stability(float(np.mean(found)), min(found), REFITS, count)


def preferred(tried: Mapping[int, Scores], elbow: int) -> dict[str, int]:
    """The k that each criterion prefers among those that were tried: the elbow of inertia, and the best of others."""
    found = {"elbow": elbow}
    silhouettes = {k: one.silhouette.value for k, one in tried.items() if one.silhouette is not None}
    if silhouettes:
        found["silhouette"] = max(silhouettes, key=silhouettes.__getitem__)
    spreads = {k: one.davies_bouldin for k, one in tried.items() if k > 1}
    if spreads:
        found["davies_bouldin"] = min(spreads, key=spreads.__getitem__)
    bics = {k: one.bic for k, one in tried.items() if one.bic is not None}
    if bics:
        found["bic"] = min(bics, key=bics.__getitem__)
    return found


def in_words(scores: Mapping[str, Any]) -> list[str]:
    """What a clustering's scores say of stability and of k, in sentences."""
    said = []
    if (found := scores.get("stability")) is not None:
        said.append(
            f"Stability: {found['refits']} refits on {found['rows']:,} of the images agree with these clusters with an "
            f"adjusted Rand index of {found['mean']:.2f} on average, {found['low']:.2f} at least (1: the same clusters "
            "again, 0: as by chance)."
        )
    names = {"elbow": "the elbow", "silhouette": "silhouette", "davies_bouldin": "Davies-Bouldin", "bic": "BIC"}
    wanted = scores.get("preferred") or {}
    if len(set(wanted.values())) > 1:
        told = ", ".join(f"{names.get(name, name)} {k}" for name, k in wanted.items())
        said.append(f"Criteria disagree on k: {told}. Other numbers of clusters are as defensible as this one.")
    return said
