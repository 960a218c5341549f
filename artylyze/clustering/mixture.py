"""A fitted Gaussian mixture as plain arrays, evaluated by scikit-learn; `artylyze.clustering.em` fits it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from artylyze.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.mixture import GaussianMixture

    Matrix = NDArray[np.float32]

Covariance = Literal["full", "tied", "diag"]
CHUNK = 8_192
"""Rows that are evaluated together."""
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
        weights: float32 (m,), their sum is 1.
        means: float32 (m, p), in projected dimensions.
        precisions_cholesky: float32 (m, p, p) for full, (p, p) for tied, (m, p) for diag: of precision matrices
            `P = C @ C.T`, C upper triangular, or the inverse standard deviations.
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

    def log_densities(self, matrix: Matrix, components: NDArray[np.int32]) -> NDArray[np.float64]:
        """Log of weight times density of one component for each row of features (n, d): float64 (n,)."""
        densities = np.empty(len(matrix))
        for block, points, model in self._blocks(matrix):
            with np.errstate(divide="ignore"):  # a share of 0
                shares = np.log(model.predict_proba(points)[np.arange(len(points)), components[block]])
            densities[block] = model.score_samples(points) + shares
        return densities

    def responsibilities(self, matrix: Matrix) -> Matrix:
        """Share of each component in each row of features (n, d): float32 (n, m), the sum of a row is 1."""
        shares = np.empty((len(matrix), len(self.weights)), np.float32)
        for block, points, model in self._blocks(matrix):
            shares[block] = model.predict_proba(points)
        return shares

    def _blocks(self, matrix: Matrix) -> Iterator[tuple[slice, Matrix, GaussianMixture]]:
        """Yield blocks of the rows, their points in projected dimensions, and the mixture as scikit-learn's."""
        from sklearn.mixture import GaussianMixture

        model = GaussianMixture(len(self.weights), covariance_type=self.covariance)
        for name in ("weights", "means", "precisions_cholesky"):
            setattr(model, f"{name}_", getattr(self, name))
        for start in range(0, len(matrix), CHUNK):
            block = slice(start, start + CHUNK)
            yield block, self.projection.apply(matrix[block]), model
