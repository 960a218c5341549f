"""Which pairs of images are worth a look at their pixels: neighbours by embedding, by perceptual hash and by name.

Embeddings find crops, details and other light; hashes find what is turned or without colour, whose embedding is often
another. Both are compared in whole numbers, so that pairs do not depend on how matrices are cut into blocks.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artylyze.duplication.hashes import differing_bits, similar
from artylyze.searching.neighbours import Vectors, nearest

NEIGHBOURS = 10
"""Images nearest by embedding that are proposed for each image."""

COSINE = 0.3
"""Cosine of mean-centred embeddings below which no neighbour is proposed."""

CLOSEST = 16
"""Images nearest by hash that are proposed for each image: pairs of which either has nearer ones are left out."""

_SCALE = 2047  # whole numbers that the coordinates of unit vectors become: products of two stay exact in float32
_BLOCK = 65_536  # pairs whose products are computed at once
_REDUCED_AT = 1 << 22

Numbers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of images, m of them, the first before the second, in order, each once.

    Attributes:
        first: int64 (m,), numbers of images.
        second: likewise.
        bits: int64 (m,), in which their hashes differ after the best transform.
        transform: int64 (m,), of the second, by its number in TRANSFORMS.
    """

    first: Numbers
    second: Numbers
    bits: Numbers
    transform: Numbers

    def __len__(self) -> int:
        return len(self.first)

    def take(self, places: Numbers | npt.NDArray[np.bool_]) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.first[places], self.second[places], self.bits[places], self.transform[places])


def neighbours(
    codes: npt.NDArray[np.int8], k: int = NEIGHBOURS, least: float = COSINE
) -> tuple[Numbers, Numbers, Numbers]:
    """Return pairs of images of which one is among the k nearest of the other, and its rank there, 0 for the nearest.

    The first comes before the second; pairs are in order, each once, with the better of two ranks.

    Args:
        codes: int8 (n, c), embeddings but for a factor of each.
        k: neighbours of an image.
        least: cosine from which an image is a neighbour.
    """
    count = len(codes)
    units = codes.astype(np.float32)
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-6)
    whole = np.rint(units * _SCALE)
    near = nearest(Vectors(np.arange(count), whole, np.zeros(count, np.float32)), k)
    row, rank = np.nonzero(near >= 0)
    column = near[row, rank].astype(np.int64)
    alike = np.concatenate(
        [
            np.einsum("ij,ij->i", whole[row[some]], whole[column[some]]) >= least * _SCALE**2
            for some in (slice(start, start + _BLOCK) for start in range(0, len(row), _BLOCK))
        ]
        or [np.zeros(0, bool)]
    )
    row, column, rank = row[alike], column[alike], rank[alike]
    key = np.minimum(row, column) * count + np.maximum(row, column)
    order = np.lexsort((rank, key))
    key, places = np.unique(key[order], return_index=True)
    first, second = np.divmod(key, max(count, 1))
    return first, second, rank[order][places]


def hashed(hashes: Hashes, usable: npt.NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Return pairs of images with similar hashes, turned or not: first < second, in order, each once."""
    count = len(hashes)
    keys, bits = np.zeros(0, np.int64), np.zeros(0, np.int64)
    new_keys: list[Numbers] = []
    new_bits: list[Numbers] = []
    waiting = 0
    for first, second, _, apart in similar(hashes, usable):
        new_keys.append(first * count + second)
        new_bits.append(apart)
        waiting += len(first)
        if waiting > _REDUCED_AT:
            keys, bits = _closest([keys, *new_keys], [bits, *new_bits], count)
            new_keys, new_bits, waiting = [], [], 0
    keys, _ = _closest([keys, *new_keys], [bits, *new_bits], count)
    first, second = np.divmod(keys, max(count, 1))
    return first, second


def _closest(keys: Sequence[Numbers], bits: Sequence[Numbers], count: int) -> tuple[Numbers, Numbers]:
    """Each pair once, with its fewest bits, where each image is among the closest of the other."""
    key, bit = np.concatenate(keys), np.concatenate(bits)
    order = np.lexsort((bit, key))
    key, bit = key[order], bit[order]
    once = np.ones(len(key), bool)
    once[1:] = key[1:] != key[:-1]
    key, bit = key[once], bit[once]
    near = np.ones(len(key), bool)
    for image, other in (np.divmod(key, max(count, 1)), np.divmod(key, max(count, 1))[::-1]):
        order = np.lexsort((other, bit, image))
        sorted_images = image[order]
        rank = np.arange(len(key)) - np.searchsorted(sorted_images, sorted_images)
        near[order[rank >= CLOSEST]] = False
    return key[near], bit[near]


def matched(first: Numbers, second: Numbers, hashes: Hashes) -> Pairs:
    """Return pairs with the transform of the second by which their hashes differ least, the simplest of several."""
    bits = differing_bits(hashes[first, :1], hashes[second])
    transform = bits.argmin(axis=1)
    return Pairs(first, second, bits[np.arange(len(first)), transform].astype(np.int64), transform.astype(np.int64))


_SIDES = {
    "recto": "recto", "verso": "verso", "front": "recto", "back": "verso", "obverse": "recto", "reverse": "verso",
    "vorderseite": "recto", "rueckseite": "verso", "rückseite": "verso", "avers": "recto", "revers": "verso",
    "r": "recto", "v": "verso",
}  # fmt: skip
_WORDS = re.compile(
    r"(?:^|(?<=[^a-z]))(recto|verso|front|back|obverse|reverse|vorderseite|rueckseite|rückseite|avers|revers)(?=[^a-z]|$)"
)
_LETTERS = re.compile(r"(?<=[0-9_\-. ])([rv])$")


def sides(names: Iterable[str]) -> list[tuple[int, int]]:
    """Return pairs of a recto and a verso by names of files or records: their numbers, the recto first.

    A name ends in a letter (`12r`, `12v`) or holds a word (`12-verso`) that says which side it is; a verso without a
    recto belongs to the name that lacks the word. Where that is not unique, nothing is said.
    """
    whole: defaultdict[str, list[int]] = defaultdict(list)
    by_side: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, name in enumerate(names):
        text = name.casefold()
        if match := _WORDS.search(text) or _LETTERS.search(text):
            rest = f"{text[: match.start()].rstrip('-_. ([')}|{text[match.end() :].lstrip('-_. )]')}"
            by_side[rest][_SIDES[match[1]]].append(number)
        else:
            whole[f"{text}|"].append(number)
    pairs = []
    for rest, numbers in by_side.items():
        rectos = numbers["recto"] or whole.get(rest, [])
        if len(rectos) == len(numbers["verso"]) == 1:
            pairs.append((rectos[0], numbers["verso"][0]))
    return sorted(pairs)
