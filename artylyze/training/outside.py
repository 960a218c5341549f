"""Fits how far an image lies from what a model learned (`artylyze.models.outside`), on features of its training images.

It needs neither labels nor pictures of anything else. What else was tried: docs/benchmarks/quality.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from artylyze.datasets.folds import cut_folds
from artylyze.models.outside import SHARE, Outside

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST = 100
"""Images without which there is no saying how far away is far."""

COMPONENTS, FOLDS = 64, 5


def fit_outside(features: NDArray[np.float32], groups: NDArray[np.str_], seed: int = 0) -> Outside | None:
    """Fit how far an image lies from what was learned; None for fewer than LEAST images.

    The limit is the distance that SHARE of the images exceed, each measured by a fit without the fold of its group.

    Args:
        features: float32 (n, F), of the training images.
        groups: str (n,), what must not be on both sides, such as artists.
        seed: of the folds and the components.
    """
    if len(features) < LEAST:
        return None
    distances = np.zeros(len(features), np.float32)
    for held in cut_folds(np.zeros(len(features), np.int64), groups, FOLDS, seed).held_out:
        kept = np.setdiff1d(np.arange(len(features)), held)
        distances[held] = _fit(features[kept], seed).distance(features[held])
    fitted, limit = _fit(features, seed), np.quantile(distances, 1 - SHARE).astype(np.float32)
    return Outside(fitted.mean, fitted.scale / limit, fitted.components)


def _fit(features: NDArray[np.float32], seed: int) -> Outside:
    """The length itself, in standard deviations; a feature that never changes counts nothing."""
    from sklearn.decomposition import PCA

    exact = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    mean, deviation = (statistic.astype(np.float32) for statistic in exact)
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6 * np.abs(mean) + 1e-6)
    few = min(COMPONENTS, len(features) // 4, features.shape[1] // 4)
    components = PCA(few, svd_solver="randomized", random_state=seed).fit((features - mean) * scale).components_
    return Outside(mean, scale, components.astype(np.float32))
