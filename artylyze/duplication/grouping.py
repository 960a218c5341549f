"""Groups of images that show one work, each around a representative with which every member makes a sure pair.

Pairs are not followed further: where a shows what b shows, and b what c shows, a and c may be two details of one work
that have nothing in common, or b a sheet of many works. So c is of the group of a only if the two are a pair
themselves.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from artylyze.duplication.reasons import Reason


@dataclass(frozen=True)
class Pair:
    """Two images that were taken for one work, or perhaps are: their rows, the first before the second.

    Attributes:
        first: row of an image.
        second: row of another.
        reason: why.
        score: 0 to 1: 1 where bytes or names say it, else how well the pixels agree.
        transform: of the second, by its number in TRANSFORMS, after which it looks as the first.
    """

    first: int
    second: int
    reason: Reason
    score: float
    transform: int = 0


@dataclass(frozen=True)
class Group:
    """Images of one work: the row of the representative, and each member with the pair that it makes with it."""

    representative: int
    members: tuple[tuple[int, Pair], ...]


def group(pairs: Sequence[Pair], pixels: Mapping[int, int]) -> list[Group]:
    """Group images by their sure pairs, the largest group first.

    The representative is the image with the most pairs left, of several the one with the most pixels, then the first.
    Its partners become its members, and the rest is grouped likewise. So no image is in two groups, and the order of
    pairs does not matter.

    Args:
        pairs: of images, each once.
        pixels: of each image that is in a pair.
    """
    partners: dict[int, dict[int, Pair]] = {}
    for pair in pairs:
        if pair.reason.sure:
            partners.setdefault(pair.first, {})[pair.second] = pair
            partners.setdefault(pair.second, {})[pair.first] = pair
    order = _Order({row: len(others) for row, others in partners.items()}, pixels)
    groups = []
    while (chosen := order.next()) is not None:
        members = {row: pair for row, pair in partners[chosen].items() if row in partners}
        for row in (chosen, *members):
            for other in partners.pop(row):
                if other in partners:
                    partners[other].pop(row, None)
                    order.put(other, len(partners[other]))
        order.drop((chosen, *members))
        groups.append(Group(chosen, tuple(sorted(members.items()))))
    return sorted(groups, key=lambda one: (-len(one.members), one.representative))


class _Order:
    """Images by the number of their pairs, which shrinks while groups are made; those without a pair are not in it."""

    def __init__(self, degrees: Mapping[int, int], pixels: Mapping[int, int]) -> None:
        self._pixels = pixels
        self._degrees = dict(degrees)
        self._heap = [(-degree, -pixels[row], row) for row, degree in degrees.items()]
        heapq.heapify(self._heap)

    def put(self, row: int, degree: int) -> None:
        self._degrees[row] = degree
        heapq.heappush(self._heap, (-degree, -self._pixels[row], row))

    def drop(self, rows: Sequence[int]) -> None:
        for row in rows:
            self._degrees.pop(row, None)

    def next(self) -> int | None:
        while self._heap:
            degree, _, row = heapq.heappop(self._heap)
            if degree < 0 and self._degrees.get(row) == -degree:
                return row
        return None
