"""A map of the works: two coordinates for each, such that works that look alike lie side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 65_535
"""Of a coordinate as it is written, uint16."""


def place(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return coordinates, float32 (n, 2), of the first two principal components."""
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred[:20_000], full_matrices=False)
    return centred @ axes[:2].T


def quantised(places: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return coordinates as uint16 from 0 to LARGEST, both in one scale, the map in the middle."""
    low, high = places.min(axis=0), places.max(axis=0)
    span = max(float((high - low).max()), 1e-9)
    middle = (low + high) / 2
    return np.clip(np.round((places - middle) / span * LARGEST + LARGEST / 2), 0, LARGEST).astype(np.uint16)
