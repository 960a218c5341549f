"""Which mixture suits real embeddings: BIC and seconds by covariance and number of principal components.

A BIC of few components is not to be compared with one of many: they are of other data. So the components that a mixture
leaves out are counted as one Gaussian with a variance for each, the same for all clusters (Raftery and Dean 2006 choose
variables so): every figure is of all components, in the units of the embeddings.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

COUNTS = (8, 16, 32, 64, 128, 256)
"""Components that are tried, besides those that hold 95% of the variance."""
COVARIANCES = ("diag", "tied", "full")
VARIANCE = 0.95


def table(matrix: Matrix, k: int, seed: int) -> dict[str, Any]:
    """Fit every mixture to the embeddings, from the same KMeans clusters."""
    from artylyze.clustering.kmeans import kmeans_for

    labels = kmeans_for(matrix, seed, "cpu").fit(k).labels
    centred = matrix - matrix.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    variances = singular.astype(np.float64) ** 2 / len(matrix)
    kept = variances > 1e-9 * variances[0]
    points, variances = centred @ axes[kept].T, variances[kept]
    held = np.cumsum(variances) / variances.sum()
    counts = (*COUNTS, int(np.searchsorted(held, VARIANCE)) + 1)
    rows = [_one(points, variances, labels, count, covariance, seed) for count in counts for covariance in COVARIANCES]
    best = min(rows, key=lambda row: float(row["bic_per_row"]))
    return {"k": k, "rows": len(matrix), "held": {str(n): round(float(held[n - 1]), 4) for n in counts}, "best": best,
            "mixtures": rows}  # fmt: skip


def _one(points: Matrix, variances: Any, labels: Any, count: int, covariance: Any, seed: int) -> dict[str, Any]:
    from artylyze.clustering.em import fit_mixture, seconds_per_step
    from artylyze.clustering.mixture import Projection

    scale = math.sqrt(variances[:count].mean())
    mine = np.ascontiguousarray(points[:, :count] / scale, np.float32)
    same = Projection(np.zeros(count, np.float32), np.eye(count, dtype=np.float32))
    began = time.perf_counter()
    found = fit_mixture(mine, same, labels, covariance, seed, "cpu")
    seconds = time.perf_counter() - began
    told = seconds_per_step(mine, same, int(labels.max()) + 1, covariance, seed, "cpu")
    rest = variances[count:]
    likelihood = found.log_likelihood - count * math.log(scale) - 0.5 * float((np.log(2 * math.pi * rest) + 1).sum())
    n = len(points)
    own = (found.bic + 2 * found.log_likelihood * n) / math.log(n)
    parameters = round(own) + 2 * len(rest)
    return {
        "components": count,
        "covariance": covariance,
        "bic_per_row": round((parameters * math.log(n) - 2 * likelihood * n) / n, 2),
        "log_likelihood": round(likelihood, 2),
        "parameters": parameters,
        "seconds": round(seconds, 2),
        "steps": found.steps,
        "dry_run_seconds_per_step": round(told, 3),
    }
