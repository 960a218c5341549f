"""The principal components in which an index keeps embeddings, and the eight bits that it keeps of each coordinate.

It knows arrays only. Embeddings are compared by their cosine, so everything here is of vectors of length 1. For two of
them, x and q, with the mean m, cos(x, q) is p(x)·p(q) + m·x plus a number of q alone, if p(x) are the coordinates of
x - m and what the components leave out of both is left out. So a search needs of each row its coordinates, which are
kept in int8 with a scale for each row, and the one number m·x.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPONENTS = 128
"""Coordinates that are kept of an embedding, at most."""

LEVELS = 127
"""The largest code."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Principal components of embeddings of length 1.

    Attributes:
        mean: float32 (d,).
        components: float32 (c, d), orthonormal, c <= COMPONENTS.
        outside: mean squared length of what the components leave out.
        fitted: number of embeddings that they were fitted to.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    outside: float
    fitted: int

    @cached_property
    def digest(self) -> str:
        """A hash of its numbers: codes of one basis mean nothing in another."""
        return hashlib.sha256(self.mean.tobytes() + self.components.tobytes()).hexdigest()[:16]

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the coordinates of embeddings, float32 (n, d), of any length, as float32 (n, c)."""
        return self._coordinates(unit(embeddings))

    def encode(self, embeddings: NDArray[np.float32]) -> Encoded:
        """Return embeddings, float32 (n, d), finite and none of length 0, as an index keeps them."""
        rows = unit(embeddings)
        coordinates = self._coordinates(rows)
        scales = np.abs(coordinates).max(axis=1, initial=0.0) / LEVELS
        steps = np.where(scales > 0, scales, 1).astype(np.float32)
        codes = np.rint(coordinates / steps[:, None]).astype(np.int8)
        return Encoded(codes, scales.astype(np.float32), rows @ self.mean)

    def _coordinates(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return rows @ self.components.T - self.mean @ self.components.T


@dataclass(frozen=True, eq=False)
class Encoded:
    """What an index keeps of n embeddings.

    Attributes:
        codes: int8 (n, c); times the scale of its row they are the coordinates.
        scales: float32 (n,).
        offsets: float32 (n,), the product of each embedding of length 1 with the mean.
    """

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    offsets: NDArray[np.float32]


def unit(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return embeddings, float32 (n, d), divided by their lengths; those of length 0 stay as they are."""
    largest = np.abs(embeddings).max(axis=1, keepdims=True, initial=0.0)  # squares of 1e20 are infinite in float32
    with np.errstate(invalid="ignore"):  # rows that are not finite are in no index, whatever becomes of them
        rows = embeddings / np.where(largest > 0, largest, 1)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)


def comparable(embeddings: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which embeddings, float32 (n, d), have a direction: finite numbers that are not all 0."""
    return np.asarray(np.isfinite(embeddings).all(axis=1) & embeddings.any(axis=1))


def fit(pieces: Iterable[NDArray[np.float32]], dim: int, components: int = COMPONENTS) -> Basis:
    """Return the principal components of embeddings that come in pieces, float32 (n, d).

    Memory: three matrices (d, d) of float64 beside one piece. Without any embeddings the first axes are returned.
    """
    from scipy.linalg import eigh

    total, squares, count = np.zeros(dim), np.zeros((dim, dim)), 0
    for piece in pieces:
        rows = unit(piece)
        total += rows.sum(axis=0, dtype=np.float64)
        squares += rows.T @ rows
        count += len(rows)
    kept = min(components, dim)
    if not count:
        return Basis(np.zeros(dim, np.float32), np.eye(kept, dim, dtype=np.float32), 0.0, 0)
    mean = total / count
    covariance = squares / count - np.outer(mean, mean)
    values, vectors = eigh(covariance, subset_by_index=(dim - kept, dim - 1))
    outside = max(0.0, float(np.trace(covariance) - values.sum()))
    return Basis(mean.astype(np.float32), np.ascontiguousarray(vectors[:, ::-1].T, dtype=np.float32), outside, count)
