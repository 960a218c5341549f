"""The split: which groups judge the model and which ones teach it, so that every class has its share on both sides.

A group (an artist, or a record) is never cut. scikit-learn's StratifiedGroupKFold stratifies by one label, gives folds
of one size and may leave a class on one side: on real catalogues its shares lie three times as far from the wanted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from artylyze.collection.labels import Labels
from artylyze.datasets.classes import random_order
from artylyze.datasets.selection import Mask, Selection, Units
from artylyze.errors import InputError

STARTS = 8
"""Beginnings from which the search goes downhill; the best end is taken."""

_ROWS_WEIGHT = 4.0  # the share of all rows counts as much as the shares of four classes
_ABSENT = 10.0  # a class absent from a side costs more than any deviation of shares
_PAIRS = 48  # first moves for which a second one is sought when no single move helps
_MOVES = 2_000


def split_selection(selection: Selection, share: float, seed: int) -> Mask:
    """Choose the images of the test side.

    Args:
        selection: the images, their labels, and the units that are never cut; each image that is in has a unit.
        share: of the test side, between 0 and 1.
        seed: of what the labels leave open.

    Returns:
        (images,) True on the test side; False too for images that are out.

    Raises:
        InputError: if a class cannot be on both sides.
    """
    units, kept = selection.units, np.flatnonzero(selection.kept)
    there, of_row = np.unique(units.codes[kept], return_inverse=True)
    columns = [_counts(labels, kept, of_row, len(there)) for labels in selection.labels.values()]
    order = random_order(seed, [units.names[code] for code in there])
    chosen = split_groups(np.hstack(columns), share, order)
    test = np.zeros(len(units.codes), bool)
    test[kept] = chosen[of_row]
    one_sided: list[tuple[str, str]] = []
    for task, labels in selection.labels.items():
        sides = [labels.without(test != side).counts() > 0 for side in (False, True)]
        one_sided += [(task, labels.terms[code]) for code in np.flatnonzero(sides[0] != sides[1])]
    if one_sided:
        raise InputError(
            f"No split was found that has {_named(one_sided)} on both sides, for their {units.what}s make other "
            f"classes too. {_leave_out(one_sided)}"
        )
    return test


def split_by_source(selection: Selection, sources: Units, share: float, seed: int) -> tuple[Selection, Mask]:
    """Choose whole sources for the test side, and drop from the training side all works by the artists who are there.

    To keep artists and sources together at once would leave one group: where a work is photographed twice, artists
    join sources and sources artists.

    Args:
        selection: the images, whose units are artists; each image that is in has a source.
        sources: the source of each image.
        share: of the test side, between 0 and 1.
        seed: of what the labels leave open.

    Returns:
        The selection that is left, and (images,) True on the test side.

    Raises:
        InputError: if a class cannot be on both sides.
    """
    test = split_selection(replace(selection, units=sources), share, seed)
    shown = np.isin(selection.units.codes, selection.units.codes[test])
    left = selection.drop(~test & shown, "by artists who are on the test side with another source")
    lost = [
        (task, labels.terms[code])
        for task, labels in left.labels.items()
        for code in np.flatnonzero((selection.labels[task].counts() > 0) & (labels.without(test).counts() == 0))
    ]
    if lost:
        raise InputError(
            f"Without the artists on the test side nobody on the training side has {_named(lost)}. {_leave_out(lost)}"
        )
    return left, test


def _named(classes: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{task} {term!r}" for task, term in classes)


def _leave_out(classes: Sequence[tuple[str, str]]) -> str:
    line = f"`leave_out={[f'{task}={term}' for task, term in classes]}`"
    return f"Keep fewer classes, or leave these out by adding this:\n  {line}"


def _counts(
    labels: Labels, rows: npt.NDArray[np.int64], of_row: npt.NDArray[np.int64], groups: int
) -> npt.NDArray[np.int64]:
    counts = np.zeros((groups, len(labels.terms)), np.int64)
    codes = labels.codes[rows]
    np.add.at(counts, (of_row[codes >= 0], codes[codes >= 0]), 1)
    return counts


def split_groups(counts: npt.NDArray[np.int64], share: float, order: npt.NDArray[np.float64]) -> Mask:
    """Choose the groups of the test side.

    Downhill search over moves of one group, or of two at once: the cost is the squared distance of each class's share
    on the test side from `share`, summed over classes. It is deterministic.

    Args:
        counts: (groups, classes), labels of each class in each group; the classes of all tasks side by side.
        share: of the test side, between 0 and 1.
        order: (groups,) random numbers in [0, 1) that are the groups' own: they decide what the counts leave open.

    Returns:
        (groups,) True on the test side.
    """
    totals = counts.sum(axis=0)
    rows = counts.sum(axis=1, keepdims=True) / counts.sum()
    parts = np.hstack([counts[:, totals > 0] / totals[totals > 0], rows])
    # Groups with equal counts are interchangeable: each kind sends its share of them, rounded down or up.
    kinds, of_kind = np.unique(parts, axis=0, return_inverse=True)
    number = np.bincount(of_kind)
    sent = np.floor(number * share).astype(np.int64)
    cost = _Cost(kinds, sent @ kinds, share)
    ranked = np.lexsort((order, of_kind))
    first = np.cumsum(number) - number
    sent += _best_end(cost, order[ranked][first], float(sent @ kinds[:, -1]))
    test = np.zeros(len(counts), bool)
    test[ranked] = np.arange(len(counts)) - np.repeat(first, number) < np.repeat(sent, number)
    return test


def _best_end(cost: _Cost, order: npt.NDArray[np.float64], sent: float) -> Mask:
    rows = cost.parts[:, -1]
    starts = [_systematic(order, rows, cost.share - sent, start / STARTS) for start in range(STARTS)]
    ends = [_downhill(cost, start) for start in starts]
    return ends[min(range(STARTS), key=lambda n: (cost.of(ends[n]), n))]


class _Cost:
    """The cost of a split, and of all the splits that are one move away.

    Args:
        parts: (groups, classes + 1), each group's part of each class, then of all rows.
        sent: (classes + 1,), parts that are on the test side in any case.
        share: what each class should have there.
    """

    def __init__(self, parts: npt.NDArray[np.float64], sent: npt.NDArray[np.float64], share: float) -> None:
        self.parts = parts
        self.sent = sent
        self.share = share
        self.weights = np.ones(parts.shape[1])
        self.weights[-1] = _ROWS_WEIGHT
        self.half = np.where(parts > 0, parts, np.inf).min(axis=0) / 2

    def of(self, test: Mask) -> float:
        """Return the cost of a split."""
        return float(self._of_shares((self.sent + self.parts[test].sum(axis=0))[None])[0])

    def after_moves(self, test: Mask) -> npt.NDArray[np.float64]:
        """Return for each group the cost if it alone changed sides."""
        shares = self.sent + self.parts[test].sum(axis=0) + np.where(test, -1.0, 1.0)[:, None] * self.parts
        return self._of_shares(shares)

    def _of_shares(self, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        absent = (shares < self.half) | (shares > 1 - self.half)
        costs: npt.NDArray[np.float64] = ((shares - self.share) ** 2 + _ABSENT * absent) @ self.weights
        return costs


def _systematic(order: npt.NDArray[np.float64], rows: npt.NDArray[np.float64], share: float, start: float) -> Mask:
    """Take groups in their random order, shifted by `start`, until the test side has its share of rows."""
    ranked = np.argsort((order + start) % 1.0, kind="stable")
    test = np.zeros(len(order), bool)
    test[ranked[np.cumsum(rows[ranked]) <= share]] = True
    return test


def _downhill(cost: _Cost, test: Mask) -> Mask:
    now = cost.of(test)
    for _ in range(_MOVES):
        after = cost.after_moves(test)
        best = int(after.argmin())
        moves: tuple[int, ...] = (best,)
        lowest = float(after[best])
        if lowest >= now - 1e-12:
            moves, lowest = _pair(cost, test, after)
        if lowest >= now - 1e-12:
            break
        test = _moved(test, *moves)
        now = lowest
    return test


def _pair(cost: _Cost, test: Mask, after: npt.NDArray[np.float64]) -> tuple[tuple[int, int], float]:
    best = ((0, 0), np.inf)
    for first in np.argsort(after, kind="stable")[:_PAIRS]:
        then = cost.after_moves(_moved(test, int(first)))
        second = int(then.argmin())
        if then[second] < best[1]:
            best = ((int(first), second), float(then[second]))
    return best


def _moved(test: Mask, *groups: int) -> Mask:
    test = test.copy()
    for group in groups:
        test[group] = not test[group]
    return test
