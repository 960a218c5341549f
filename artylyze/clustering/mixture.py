"""A Gaussian mixture as it is kept: plain arrays, and what follows from them. Fitting is `artylyze.clustering.em`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import logsumexp

from artylyze.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

Covariance = Literal["full", "tied", "diag"]
CHUNK = 8_192
"""Rows that are judged together."""
CACHED = 512
"""Rows that are centred, or added up in float64, together: with 1,280 columns they stay in the cache."""


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map into fewer dimensions: mean float32 (d,), components float32 (p, d)."""

    mean: Matrix
    components: Matrix

    def apply(self, matrix: Matrix) -> Matrix:
        """(n, d) -> float32 (n, p), centred a block at a time."""
        projected = np.empty((len(matrix), len(self.components)), np.float32)
        for start in range(0, len(matrix), CACHED):
            projected[start : start + CACHED] = (matrix[start : start + CACHED] - self.mean) @ self.components.T
        return projected


@dataclass(frozen=True, eq=False)
class Mixture:
    """A fitted mixture of m Gaussians on p projected dimensions. Raises InputError for shapes that do not fit.

    Attributes:
        covariance: `full`, `tied` or `diag`.
        weights: float32 (m,), they make 1.
        means: float32 (m, p), in projected dimensions.
        precisions_cholesky: float32 (m, p, p) for full, (p, p) for tied, (m, p) for diag; as scikit-learn has them: of
            the precision matrix, `P = C @ C.T`, C upper triangular, or the inverse standard deviations.
        projection: from features to projected dimensions.
    """

    covariance: Covariance
    weights: Matrix
    means: Matrix
    precisions_cholesky: Matrix
    projection: Projection

    def __post_init__(self) -> None:
        (m, p), d = self.means.shape, len(self.projection.mean)
        shapes = {"full": (m, p, p), "tied": (p, p), "diag": (m, p)}
        fits = self.precisions_cholesky.shape == shapes[self.covariance] and self.weights.shape == (m,)
        if not fits or self.projection.components.shape != (p, d):
            raise InputError("The parts of the mixture do not fit together: cluster again.")

    def log_densities(self, matrix: Matrix) -> NDArray[np.float64]:
        """Log of weight times density of each component at features (n, d): float64 (n, m).

        The density is that of scikit-learn's `_estimate_log_gaussian_prob`.
        """
        points = self.projection.apply(matrix)
        found = np.empty((len(points), len(self.weights)))
        p = points.shape[1]
        for number, mean in enumerate(self.means):
            chol = self.precisions_cholesky if self.covariance == "tied" else self.precisions_cholesky[number]
            diagonal = chol if self.covariance == "diag" else np.diagonal(chol)
            whitened = (points - mean) * chol if self.covariance == "diag" else (points - mean) @ chol
            log_det = float(np.log(diagonal, dtype=np.float64).sum())
            found[:, number] = log_det - 0.5 * np.einsum("ij,ij->i", whitened, whitened)
        found += np.log(self.weights, dtype=np.float64) - 0.5 * p * math.log(2 * math.pi)
        return found

    def responsibilities(self, matrix: Matrix) -> Matrix:
        """Share of each component in each row of features (n, d): float32 (n, m), rows make 1."""
        shares = np.empty((len(matrix), len(self.weights)), np.float32)
        for start in range(0, len(matrix), CHUNK):
            logs = self.log_densities(matrix[start : start + CHUNK])
            shares[start : start + CHUNK] = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
        return shares
