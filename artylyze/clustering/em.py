"""Fits Gaussian mixtures: scikit-learn's GaussianMixture, seeded with a KMeans clustering; on a GPU by the Array API.

It is fitted in float32 on principal components that are scaled to a mean variance of 1, so that `REGULARISATION` means
the same for any features and keeps covariances invertible in float32.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.clustering.kmeans import SAMPLE, nearest
from artylyze.clustering.mixture import Covariance, Mixture, Projection
from artylyze.extraction.vectors import sampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

REGULARISATION = 1e-4
TOLERANCE = 5e-4
"""Gain in mean log-likelihood at which EM ends, relative to the number of dimensions."""
STEPS = 100
PROBE = 4_000
"""Rows on which the cost of a step is measured."""


@dataclass(frozen=True, eq=False)
class MixtureFit:
    """A mixture, its Bayesian information criterion, the mean log-likelihood of a row, and how EM went."""

    mixture: Mixture
    bic: float
    log_likelihood: float
    steps: int
    converged: bool


def reduce(matrix: Matrix, variance: float, seed: int, most: int | None = None) -> Projection:
    """The principal components that hold a share of the variance, but at most `most`, scaled to a mean variance of 1.

    The components are those of at most SAMPLE rows, or of three times as many rows as columns if that is more.
    """
    sample = matrix[sampled(len(matrix), max(SAMPLE, 3 * matrix.shape[1]), seed)].astype(np.float64)
    mean = sample.mean(axis=0)
    sample -= mean
    variances, axes = np.linalg.eigh(sample.T @ sample / max(1, len(sample) - 1))
    variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
    total = variances.sum()
    count = int(np.searchsorted(np.cumsum(variances), variance * total * (1 - 1e-9))) + 1 if total > 0 else 1
    count = min(count, len(sample), most or count)
    scale = np.sqrt(variances[:count].mean() or 1.0)
    return Projection(mean.astype(np.float32), np.ascontiguousarray((axes[:, :count] / scale).T, np.float32))


def fit_mixture(
    points: Matrix,
    projection: Projection,
    labels: NDArray[np.int32],
    covariance: Covariance,
    seed: int,
    device: str,
    most: int = STEPS,
) -> MixtureFit:
    """Fit a mixture to projected rows, float32 (n, p), beginning with clusters 0..m-1 in `labels`, in `most` steps."""
    from sklearn import config_context
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    weights, means, precisions = starting_parameters(points, labels, covariance)
    model = GaussianMixture(
        len(weights),
        covariance_type=covariance,
        tol=TOLERANCE * points.shape[1],
        reg_covar=REGULARISATION,
        max_iter=most,
        init_params="random_from_data",  # not used, for all is given; the only kind that the Array API takes
        random_state=seed,
        weights_init=on_device(weights, device),
        means_init=on_device(means, device),
        precisions_init=on_device(precisions, device),
    )
    if device != "cpu":
        os.environ["SCIPY_ARRAY_API"] = "1"  # scikit-learn refuses to dispatch without; its mixture calls no SciPy then
    with config_context(array_api_dispatch=device != "cpu"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        data = on_device(points, device)
        model.fit(data)
        likelihood = float(model.score(data))
    weights, means, precisions = map(_plain, (model.weights_, model.means_, model.precisions_cholesky_))
    mixture = Mixture(covariance, weights, means, precisions, projection)
    (rows, p), m = points.shape, len(weights)
    chol = mixture.precisions_cholesky
    covariances = chol.size if covariance == "diag" else chol.size * (p + 1) // (2 * p)  # a triangle of each
    bic = (m - 1 + m * p + covariances) * math.log(rows) - 2 * likelihood * rows
    return MixtureFit(mixture, bic, likelihood, int(model.n_iter_), bool(model.converged_))


def dense(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Cluster numbers without gaps: a sample, or a fit, may miss a cluster."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int32)


def starting_parameters(
    points: Matrix, labels: NDArray[np.int32], covariance: Covariance
) -> tuple[Matrix, Matrix, Matrix]:
    """Weights (m,), means (m, p) and precisions of the clusters, all float32.

    Each cluster's covariance is drawn towards the variance of all rows as if it had p more rows of that kind: a cluster
    of fewer rows than dimensions has no covariance of its own. With scikit-learn's start a fit took 1.6 to 4.3 times as
    long; with the same variances for all clusters, full covariances lost 0.2% of the log-likelihood.
    """
    p, counts = points.shape[1], np.bincount(labels)
    common = p * (points.var(axis=0, dtype=np.float64) + REGULARISATION)
    means, covariances = [], []
    for cluster, count in enumerate(counts):
        rows = points[labels == cluster]
        means.append(rows.mean(axis=0))
        away = rows - means[-1]
        scatter = np.diag(np.einsum("ij,ij->j", away, away)) if covariance == "diag" else away.T @ away
        covariances.append((scatter + np.diag(common)) / (count + p))
    if covariance == "diag":
        precisions = 1 / np.stack([np.diagonal(own) for own in covariances])
    else:
        pooled = np.average(covariances, axis=0, weights=counts) if covariance == "tied" else np.stack(covariances)
        precisions = np.linalg.inv(pooled)
        precisions = (precisions + precisions.swapaxes(-1, -2)) / 2
    weights = (counts / counts.sum()).astype(np.float32)
    return weights / weights.sum(), np.stack(means).astype(np.float32), precisions.astype(np.float32)


def seconds_per_step(
    points: Matrix, projection: Projection, k: int, covariance: Covariance, seed: int, device: str
) -> float:
    """What a step of EM takes on these rows, measured on PROBE of them."""
    rows = points[sampled(len(points), PROBE, seed)]
    labels = dense(nearest(rows, rows[sampled(len(rows), k, seed)]).labels)
    taken, steps = [], []
    for most in (1, 1, 4):  # the first warms up
        began = time.perf_counter()
        steps.append(fit_mixture(rows, projection, labels, covariance, seed, device, most).steps)
        taken.append(time.perf_counter() - began)
    more, longer = steps[2] - steps[1], taken[2] - taken[1]
    return (longer / more if more > 0 and longer > 0 else taken[1]) * len(points) / len(rows)


def on_device(array: Matrix, device: str) -> Any:
    """The array as GaussianMixture takes it: numpy on the CPU, torch on `cuda` (and on `torch`, the CPU for tests)."""
    if device == "cpu":
        return array
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to("cpu" if device == "torch" else device)


def _plain(array: Any) -> Matrix:
    return np.asarray(array if isinstance(array, np.ndarray) else array.cpu(), np.float32)
