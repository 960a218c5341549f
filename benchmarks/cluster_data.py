"""Embeddings of any number, with the spectrum and the cluster structure of real ones.

The real embeddings, here those of EfficientNet-Lite0 for 3,017 paintings, are split by KMeans into `GROUPS` groups. A
row that is drawn has a group by the groups' shares, and lies at the group's mean plus a Gaussian deviation along the
principal axes of the deviations of all real rows from their groups' means, with their variances, times the group's own
spread. A check of both spectra stands in the result of the benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

GROUPS = 60
IN_GROUP = 5
"""Real rows for each group, at least: of fewer of them there are fewer groups."""
BLOCK = 10_000


@dataclass(frozen=True, eq=False)
class Model:
    """What real embeddings are like: shares (g,), means (g, d), spreads (g,), axes (r, d) with their deviations."""

    shares: NDArray[np.float64]
    means: Matrix
    spreads: Matrix
    axes: Matrix

    def draw(self, rows: int, seed: int = 0) -> Matrix:
        """Draw rows, float32 (rows, d)."""
        random = np.random.default_rng(seed)
        drawn = np.empty((rows, self.means.shape[1]), np.float32)
        for start in range(0, rows, BLOCK):
            count = min(BLOCK, rows - start)
            group = random.choice(len(self.shares), count, p=self.shares)
            deviations = random.standard_normal((count, len(self.axes)), np.float32) * self.spreads[group, None]
            drawn[start : start + count] = self.means[group] + deviations @ self.axes
        return drawn


def model_of(real: Matrix, seed: int = 0) -> Model:
    """Learn from real embeddings, float32 (n, d)."""
    from sklearn.cluster import KMeans

    groups = min(GROUPS, len(real) // IN_GROUP)
    found = KMeans(groups, n_init=3, random_state=seed).fit(real)
    deviations = real - found.cluster_centers_[found.labels_]
    _, scale, axes = np.linalg.svd(deviations, full_matrices=False)
    overall = float(np.sqrt((deviations**2).sum(axis=1).mean()))
    spreads = [np.sqrt((deviations[found.labels_ == g] ** 2).sum(axis=1).mean()) / overall for g in range(groups)]
    shares = np.bincount(found.labels_, minlength=groups) / len(real)
    scaled = axes * (scale / np.sqrt(len(real)))[:, None]
    return Model(shares, found.cluster_centers_, np.asarray(spreads, np.float32), scaled.astype(np.float32))


def spectrum(matrix: Matrix, counts: Sequence[int] = (8, 32, 128, 512)) -> dict[str, Any]:
    """Share of the variance that the first principal components hold, by their number."""
    sample = matrix[np.random.default_rng(0).choice(len(matrix), min(len(matrix), 3_017), replace=False)]
    variances = np.linalg.svd(sample - sample.mean(axis=0), compute_uv=False) ** 2
    return {str(count): round(float(variances[:count].sum() / variances.sum()), 4) for count in counts}
