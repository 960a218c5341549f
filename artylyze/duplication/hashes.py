"""Perceptual hashes of pictures, also turned and mirrored, and the pairs whose hashes differ in few bits.

The hash is Zauner's DCT hash ("Implementation and Benchmarking of Perceptual Image Hash Functions", 2010): the signs,
against their median, of the 8 x 8 lowest frequencies of a 32 x 32 luminance image. Turning and mirroring a picture
swaps and negates its frequencies, so the eight hashes need one transform.

Pairs are looked up by multi-index hashing (Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index
Hashing", 2012): two hashes that differ in at most 7 bits of 64 differ in at most one bit of some quarter.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

TRANSFORMS = (
    "none",
    "rotated 90",
    "rotated 180",
    "rotated 270",
    "mirrored",
    "mirrored, rotated 90",
    "mirrored, rotated 180",
    "mirrored, rotated 270",
)
"""What is done to a picture, by the number of the transform: mirrored left to right, then turned anticlockwise."""

RADIUS = 7
"""Bits in which hashes differ at most that are found."""

CROWD = 64
"""Hashes with one quarter in common above which only those next to a hash in order of all its bits are compared: a
hundred thousand cards of one form would else be five thousand million pairs."""

_QUARTERS, _WIDTH = 4, 16
_REST = np.uint64(64 - _WIDTH)
_LOW = 8
_TOGETHER = 1 << 22  # pairs that are compared at once


def turned(picture: npt.NDArray[np.uint8], transform: int) -> npt.NDArray[np.uint8]:
    """Return a picture, (size, size) or (size, size, 3), after a transform of TRANSFORMS."""
    mirrored = picture[:, ::-1] if transform >= 4 else picture
    return np.ascontiguousarray(np.rot90(mirrored, transform % 4))


def perceptual_hash(picture: Floats) -> npt.NDArray[np.bool_]:
    """Return the hash of a picture, float32 (32, 32): bool (64,)."""
    signs: npt.NDArray[np.bool_] = _signs(_frequencies(picture[None]))[0]
    return signs


def perceptual_hashes(pictures: Floats) -> Hashes:
    """Return the hashes of n pictures, float32 (n, 32, 32), after each transform: uint64 (n, 8)."""
    low = _frequencies(pictures)
    signs = np.where(np.arange(_LOW) % 2, -1.0, 1.0).astype(np.float32)
    hashes = np.empty((len(pictures), len(TRANSFORMS)), np.uint64)
    for transform in range(len(TRANSFORMS)):
        turned_low = low * signs if transform >= 4 else low
        for _ in range(transform % 4):  # a quarter turn: transposed, then upside down
            turned_low = turned_low.swapaxes(1, 2) * signs[:, None]
        hashes[:, transform] = np.packbits(_signs(turned_low), axis=1).view(">u8").ravel()
    return hashes


def differing_bits(first: Hashes, second: Hashes) -> npt.NDArray[np.uint8]:
    """Return in how many bits hashes differ."""
    bits: npt.NDArray[np.uint8] = np.bitwise_count(first ^ second)
    return bits


def similar(hashes: Hashes, usable: npt.NDArray[np.bool_]) -> Iterator[tuple[Numbers, Numbers, Numbers, Numbers]]:
    """Yield pairs of pictures whose hashes differ in at most RADIUS bits: first, second, transform of the second, bits.

    The first comes before the second; a pair may come more than once.

    Args:
        hashes: uint64 (n, 8), of `perceptual_hashes`.
        usable: bool (n,), which of them say something: those of blank pictures do not.
    """
    rows = np.flatnonzero(usable)
    for quarter in range(_QUARTERS):
        plain = _first(hashes[rows, 0], quarter)
        order = np.lexsort((rows, plain))
        table, numbers = plain[order], rows[order]
        starts = np.searchsorted(table >> _REST, np.arange((1 << _WIDTH) + 1, dtype=np.uint64))
        for transform in range(len(TRANSFORMS)):
            plain = _first(hashes[rows, transform], quarter)
            for flip in (0, *(1 << bit for bit in range(_WIDTH))):
                queries = plain ^ (np.uint64(flip) << _REST)
                keys = (queries >> _REST).astype(np.int64)
                begin, end = starts[keys], starts[keys + 1]
                _narrow(begin, end, queries, table)
                for query, place in _expanded(begin, end):
                    bits = differing_bits(plain[query], table[place])
                    first, second = numbers[place], rows[query]
                    close = (bits <= RADIUS) & (first < second)
                    if close.any():
                        turn = np.full(int(close.sum()), transform, np.int64)
                        yield first[close], second[close], turn, bits[close].astype(np.int64)


def _narrow(begin: Numbers, end: Numbers, queries: Hashes, table: Hashes) -> None:
    """Narrow large ranges of the sorted table to those next to the query, in place."""
    crowded = end - begin > CROWD
    if crowded.any():
        place = np.searchsorted(table, queries[crowded])
        begin[crowded] = np.maximum(begin[crowded], place - CROWD // 2)
        end[crowded] = np.minimum(end[crowded], place + CROWD // 2)


def _expanded(begin: Numbers, end: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield numbers of queries, each beside all places from its `begin` to its `end`, some millions at a time."""
    counts = np.maximum(end - begin, 0)
    totals = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = int(totals[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(totals, done + _TOGETHER, side="right")))
        count = counts[start:stop]
        query = np.repeat(np.arange(start, stop), count)
        yield query, np.arange(len(query)) + np.repeat(begin[start:stop] - np.cumsum(count) + count, count)
        start = stop


def _first(hashes: Hashes, quarter: int) -> Hashes:
    """Hashes turned so that a quarter of their bits comes first."""
    shift = np.uint64(_WIDTH * quarter)
    return hashes if quarter == 0 else (hashes << shift) | (hashes >> (np.uint64(64) - shift))


def _frequencies(pictures: Floats) -> Floats:
    from scipy.fft import dctn

    low: Floats = dctn(pictures, type=2, norm="ortho", axes=(1, 2))[:, :_LOW, :_LOW]
    return low


def _signs(low: Floats) -> npt.NDArray[np.bool_]:
    """Signs of frequencies (n, 8, 8) against the median of all but the first: bool (n, 64)."""
    flat = low.reshape(len(low), -1)
    signs: npt.NDArray[np.bool_] = flat > np.median(flat[:, 1:], axis=1, keepdims=True)
    return signs
