"""Random draws of rows by keys of their own: which other rows there are, and in which order, changes none of them.

That is why k-means++ is written here: scikit-learn's draws by the number of a row, so that an image that cannot be read
would change the clusters of all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from artylyze.errors import InputError
from artylyze.extraction.vectors import Pieces, Vectors, read_piece, select, sorted_by_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Keys = NDArray[np.uint64]

TRIALS = 5
"""Candidates of each step of k-means++, of which the best is taken: scikit-learn tries 2 + ln k, 5 at k = 25."""


def row_keys(names: Sequence[str]) -> Keys:
    """Hash each row's name to a key, uint64 (n,)."""
    digests = (hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digests), np.uint64)


def uniform(keys: Keys, *numbers: int) -> NDArray[np.float64]:
    """Random numbers in (0, 1), (n,), one for each key; others for other `numbers`, such as the seed and the step.

    Splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 16) of the key.
    """
    state = keys ^ np.uint64(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    state ^= state >> np.uint64(31)
    return ((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def drawn(keys: Keys, most: int, seed: int) -> NDArray[np.int64]:
    """Numbers of at most `most` rows, ascending: those of the smallest random numbers."""
    return _smallest(uniform(keys, seed), most)


def read_sample(pieces: Pieces, most: int, seed: int) -> Vectors:
    """Read the vectors that `drawn` would draw from all usable ones, in image_id order.

    At most twice as many vectors are held, and a block.

    Raises:
        InputError: if no vector is usable.
    """
    blocks: list[Vectors] = []
    chances: list[NDArray[np.float64]] = []
    bound = 1.0
    for block in (block for number in range(len(pieces.sizes)) for block in read_piece(pieces, number)):
        own = uniform(row_keys(block.ids.to_pylist()), seed)
        rows = np.flatnonzero(own < bound)
        blocks.append(select(block, rows))
        chances.append(own[rows])
        if sum(map(len, chances)) > 2 * most:
            held, kept = _joined(blocks, chances, most)
            blocks, chances, bound = [held], [kept], kept.max()
    if not sum(map(len, chances)):
        raise InputError(f"{pieces.source} has no usable vectors: make it again.")
    held, kept = _joined(blocks, chances, most)
    return sorted_by_id(held, np.arange(len(kept)))


def _joined(
    blocks: Sequence[Vectors], chances: Sequence[NDArray[np.float64]], most: int
) -> tuple[Vectors, NDArray[np.float64]]:
    """Join blocks of vectors and keep the `most` with the smallest numbers, with these numbers."""
    numbers = np.concatenate(chances)
    rows = _smallest(numbers, most)
    ids, records = (pa.concat_arrays([getattr(block, name) for block in blocks]) for name in ("ids", "records"))
    joined = replace(blocks[0], ids=ids, records=records, matrix=np.concatenate([block.matrix for block in blocks]))
    return select(joined, rows), numbers[rows]


def _smallest(numbers: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Places of the `most` smallest numbers, ascending."""
    places = np.argpartition(numbers, most)[:most] if len(numbers) > most else np.arange(len(numbers))
    return np.sort(places)


class Starts:
    """Rows to start KMeans from, by greedy k-means++ (Arthur and Vassilvitskii 2007): those of fewer clusters first.

    A row is drawn in proportion to its squared distance from those before: the first to ring of alarms that ring at
    that rate, each by its row's own random numbers.

    Args:
        points: float64 (n, p).
        keys: of the rows, (n,).
        seed: another seed, another draw; as does another `number`.
        number: of the start.
    """

    def __init__(self, points: NDArray[np.float64], keys: Keys, seed: int, number: int) -> None:
        self._points, self._keys, self._seeds = points, keys, (seed, number)
        self._lengths = np.einsum("ij,ij->i", points, points)
        first = int(uniform(keys, *self._seeds, 0).argmin())
        self._chosen, self._left = [first], self._squares([first])[:, 0]

    def first(self, k: int) -> NDArray[np.int64]:
        """Numbers of the first k rows."""
        while len(self._chosen) < k:
            self._add()
        return np.array(self._chosen[:k])

    def _add(self) -> None:
        step = len(self._chosen)
        with np.errstate(divide="ignore"):
            alarms = [-np.log(uniform(self._keys, *self._seeds, step, trial)) / self._left for trial in range(TRIALS)]
        candidates = sorted({int(times.argmin()) for times in alarms})
        left = np.minimum(self._left[:, None], self._squares(candidates))
        best = int(left.sum(axis=0).argmin())
        self._chosen.append(candidates[best])
        self._left = left[:, best]

    def _squares(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """Squared distances to some rows, (n, len(rows))."""
        distances = self._lengths[:, None] + self._lengths[rows] - 2 * (self._points @ self._points[rows].T)
        distances[rows, np.arange(len(rows))] = 0
        squares: NDArray[np.float64] = np.maximum(distances, 0)
        return squares
