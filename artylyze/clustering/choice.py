"""The number of clusters: the elbow of inertia, with other scores beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from artylyze.clustering.scores import Silhouette, calinski_harabasz, davies_bouldin, silhouettes, total_squares

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artylyze.clustering.kmeans import Fit

    Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """What is known of one number of clusters; the lower the better for Davies-Bouldin and the BIC."""

    inertia: float
    silhouette: Silhouette | None
    davies_bouldin: float
    calinski_harabasz: float
    bic: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def judge(matrix: Matrix, fits: Mapping[int, Fit], bics: Mapping[int, float], seed: int) -> dict[int, Scores]:
    """Score clusterings of the rows of a matrix, by their number of clusters."""
    total = total_squares(matrix)
    found = silhouettes(matrix, [fit.labels for fit in fits.values()], seed)
    return {
        k: Scores(
            fit.inertia,
            silhouette if k > 1 else None,
            davies_bouldin(matrix, fit) if k > 1 else 0.0,
            calinski_harabasz(total, fit),
            bics.get(k),
        )
        for (k, fit), silhouette in zip(fits.items(), found, strict=True)
    }


def elbow(ks: Sequence[int], inertias: Sequence[float]) -> tuple[int, str]:
    """The k at the elbow of a falling, convex curve (Satopaa et al. 2011, by kneed), and why it was chosen."""
    from kneed import KneeLocator

    if len(ks) > 2:
        found = KneeLocator(list(ks), list(inertias), curve="convex", direction="decreasing").knee
        if found is not None:
            return int(found), f"elbow of inertia over k = {ks[0]} to {ks[-1]} (kneed)"
    return ks[len(ks) // 2], f"no elbow of inertia over k = {ks[0]} to {ks[-1]}: the middle"
