"""The nearest works of every work: all pairs where they are few, else within cells of works that lie close together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAREST = 24
"""Works that are kept of each."""

BLOCK = 4096
"""Works of a file of neighbours."""

NONE = 0xFFFFFFFF
"""Where a work has fewer neighbours, or no embedding."""

PAIRS = 20_000
"""Works up to which all pairs are compared."""

PROBES = 24
"""Cells that are searched for the works of one, its own among them."""

_SAMPLE = 50_000
_AT_ONCE = 2**25  # similarities that are held, 128 MiB


def nearest(vectors: NDArray[np.float32], seed: int = 0) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return for each vector the rows of the most similar others by their inner product, the most similar first.

    Above PAIRS vectors they are sought among those of the PROBES cells of KMeans nearest to the own: see
    `benchmarks/explorer.py` for the share that is missed.

    Args:
        vectors: float32 (n, c), of length 1, so that inner products are cosines.
        seed: of the cells.

    Returns:
        Rows, int32 (n, NEAREST), -1 where there are fewer, and inner products, float32 likewise, -inf where fewer.
    """
    count = len(vectors)
    rows = np.full((count, NEAREST), -1, np.int32)
    scores = np.full((count, NEAREST), -np.inf, np.float32)
    for queries, candidates in _groups(vectors, seed):
        step = max(1, _AT_ONCE // max(1, len(candidates)))
        for start in range(0, len(queries), step):
            some = queries[start : start + step]
            rows[some], scores[some] = _best(vectors, some, candidates)
    return rows, scores


def _groups(vectors: NDArray[np.float32], seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield rows, and the rows among which their neighbours are sought, ascending."""
    count = len(vectors)
    if count <= PAIRS:
        yield np.arange(count), np.arange(count)
        return
    from sklearn.cluster import MiniBatchKMeans

    drawn = np.random.default_rng(seed)
    sample = vectors[np.sort(drawn.choice(count, min(count, _SAMPLE), replace=False))]
    cells = round(count**0.5)
    fitted = MiniBatchKMeans(cells, batch_size=4096, n_init=1, max_iter=10, random_state=seed).fit(sample)
    centres = fitted.cluster_centers_.astype(np.float32)
    member = _closest(vectors, centres)
    order = np.argsort(member, kind="stable")
    ends = np.searchsorted(member[order], np.arange(cells + 1))
    apart = _distances(centres, centres)
    for cell in range(cells):
        own = order[ends[cell] : ends[cell + 1]]
        if len(own):
            near = np.argsort(apart[cell], kind="stable")[:PROBES]
            yield own, np.sort(np.concatenate([order[ends[one] : ends[one + 1]] for one in near]))


def _closest(vectors: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    found = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), 16_384):
        found[start : start + 16_384] = _distances(vectors[start : start + 16_384], centres).argmin(axis=1)
    return found


def _distances(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared Euclidean distances but for a constant of each row of `one`."""
    found: NDArray[np.float32] = np.einsum("ij,ij->i", other, other) - 2 * one @ other.T
    return found


def _best(
    vectors: NDArray[np.float32], queries: NDArray[np.int64], candidates: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    similar = vectors[queries] @ vectors[candidates].T
    similar[np.arange(len(queries)), np.searchsorted(candidates, queries)] = -np.inf  # a work is not its own neighbour
    kept = min(NEAREST, len(candidates) - 1)
    rows = np.full((len(queries), NEAREST), -1, np.int32)
    scores = np.full((len(queries), NEAREST), -np.inf, np.float32)
    if kept > 0:
        places = np.argpartition(-similar, kept - 1, axis=1)[:, :kept]
        found = np.take_along_axis(similar, places, axis=1)
        order = np.lexsort((candidates[places], -found), axis=1)  # of equals the first: the same each time
        rows[:, :kept] = candidates[np.take_along_axis(places, order, axis=1)]
        scores[:, :kept] = np.take_along_axis(found, order, axis=1)
    return rows, scores
