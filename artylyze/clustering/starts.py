"""Random draws of rows that belong to the rows: which others there are, and where, changes none of them.

Knows keys and points; knows neither images nor clusters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Keys = NDArray[np.uint64]

TRIALS = 5
"""Candidates of each step of k-means++, of which the best is taken: scikit-learn tries 2 + ln k, 5 at k = 25."""


def keys_of(names: Sequence[str]) -> Keys:
    """A number for each row that depends on nothing but its name, uint64 (n,)."""
    drawn = (hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(drawn), np.uint64)


def uniform(keys: Keys, *numbers: int) -> NDArray[np.float64]:
    """Random numbers in (0, 1), (n,), one for each key; others for other `numbers`, such as the seed and the step.

    Splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 16) of the key.
    """
    mixed = np.uint64(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    state = keys ^ mixed
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    state ^= state >> np.uint64(31)
    return ((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def drawn(keys: Keys, most: int, seed: int) -> NDArray[np.int64]:
    """Places of at most `most` rows, ascending: those of the smallest random numbers."""
    if len(keys) <= most:
        return np.arange(len(keys))
    found: NDArray[np.int64] = np.sort(np.argpartition(uniform(keys, seed), most)[:most])
    return found


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
        """Places of the first k rows."""
        while len(self._chosen) < k:
            self._add()
        return np.array(self._chosen[:k])

    def _add(self) -> None:
        step = len(self._chosen)
        with np.errstate(divide="ignore"):
            rings = [-np.log(uniform(self._keys, *self._seeds, step, trial)) / self._left for trial in range(TRIALS)]
        candidates = sorted({int(one.argmin()) for one in rings})
        left = np.minimum(self._left[:, None], self._squares(candidates))
        best = int(left.sum(axis=0).argmin())
        self._chosen.append(candidates[best])
        self._left = left[:, best]

    def _squares(self, places: Sequence[int]) -> NDArray[np.float64]:
        """Squared distances to some rows, (n, len(places))."""
        found = self._lengths[:, None] + self._lengths[places] - 2 * (self._points @ self._points[places].T)
        found[places, np.arange(len(places))] = 0
        squares: NDArray[np.float64] = np.maximum(found, 0)
        return squares
