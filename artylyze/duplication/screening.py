"""Which of the proposed pairs are worth reading the images: their small maps are aligned.

That costs a thousandth of a second for a pair, a hundredth of what the comparison of the images takes, and leaves few
pairs but those that show one work.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from artylyze.duplication.alignment import COARSE, SMALL, align, averages, fitting
from artylyze.duplication.hashes import TRANSFORMS, turned
from artylyze.duplication.proposals import Pairs
from artylyze.duplication.signatures import Signatures, decoders

CORRELATION = 0.6
"""Correlation of the details of maps from which the images are compared. Of 1,500 pairs of paintings and variants above
0.5 (`benchmarks/duplicate_images.py`) it keeps 99.5% of those that show one work and a third of the others."""

_TOGETHER = 192


def screen(pairs: Pairs, signatures: Signatures) -> npt.NDArray[np.bool_]:
    """Return which of the pairs look alike enough to be compared, bool (m,)."""
    maps, aspects = signatures.maps, signatures.aspects()
    alike = np.zeros(len(pairs), bool)
    known = signatures.read[pairs.first] & signatures.read[pairs.second]

    weights = averages(COARSE, SMALL)

    def look(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        transform = int(pairs.transform[rows[0]])
        first, second = maps[pairs.first[rows]], maps[pairs.second[rows]]
        other = np.stack([turned(one, transform) for one in second])
        aspect = aspects[pairs.second[rows]]
        ratios = (1 / aspect if transform % 2 else aspect) / aspects[pairs.first[rows]]
        alike = (first == other).all(axis=(1, 2))
        alike |= fitting(first.astype(np.float32), other.astype(np.float32)) >= CORRELATION
        if len(rest := np.flatnonzero(~alike)):
            small, other_small = ((weights @ whole[rest] @ weights.T).astype(np.float32) for whole in (first, other))
            alike[rest] = align(small, other_small, ratios[rest].astype(np.float32)).correlation >= CORRELATION
        return np.asarray(alike, bool)

    blocks = []
    for transform in range(len(TRANSFORMS)):
        rows = np.flatnonzero(known & (pairs.transform == transform))
        blocks += [rows[start : start + _TOGETHER] for start in range(0, len(rows), _TOGETHER)]
    with threadpool_limits(1), ThreadPoolExecutor(decoders()) as pool:  # these matrices are small
        for rows, found in zip(blocks, pool.map(look, blocks), strict=True):
            alike[rows] = found
    return alike
