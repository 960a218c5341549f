"""Which part of the train split fine-tuning learns nothing from: one part for all tasks, whole groups (artists)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from artylyze.datasets.folds import Folds, cut_folds

HALF = 20
"""Images of a task with which a half of what is held out can choose or calibrate: as many as a threshold takes."""

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.datasets.examples import Examples


def hold_out(examples: Examples, rows: NDArray[np.int64], folds: int, seed: int) -> tuple[NDArray[np.int64], Folds]:
    """Those of `rows`, images of the train split with a label, that are held out, and the cut they come from.

    Of the parts of the cut the one is taken that leaves every task something to learn from and to be judged by, then
    most classes to learn from, then is closest to its share. Groups are cut where no part leaves a task that much.
    """
    mine = {task: found[rows] for task, found in examples.labels.items()}
    leading = max(mine.values(), key=lambda found: int((found >= 0).sum()))
    # Images without a label of the task that most have one of are one more class: they spread evenly too.
    classes = np.unique(leading, return_inverse=True)[1]
    for groups in (examples.groups[rows], np.array([f"image {row}" for row in rows])):
        cut = cut_folds(classes, groups, folds, seed)
        best = max(cut.held_out, key=lambda held: tuple(_merits(list(mine.values()), held, len(rows) / folds)))
        if all(_usable(found, best) for found in mine.values()):
            break
    return rows[best], cut


def halve(
    examples: Examples, held_out: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """Split rows that are held out into those that choose the epoch and those that scores are calibrated and told on.

    What is chosen by images flatters on them. Groups are kept apart. Where that leaves a half with fewer than `HALF`
    images of a task, all rows do both; the third value says whether the two are apart.
    """
    mine = [labels[held_out] for labels in examples.labels.values()]
    classes = np.unique(max(mine, key=lambda labels: int((labels >= 0).sum())), return_inverse=True)[1]
    groups = examples.groups[held_out]
    if len(np.unique(groups)) >= 2 and np.bincount(classes).max() >= 2:
        first, second = sorted(cut_folds(classes, groups, 2, seed).held_out, key=len)
        if all(int((labels[half] >= 0).sum()) >= HALF for labels in mine for half in (first, second)):
            return held_out[first], held_out[second], True
    return held_out, held_out, False


def _usable(labels: NDArray[np.int64], held: NDArray[np.int64]) -> bool:
    """Whether there are two classes to learn from, and an image to judge by."""
    left = np.delete(labels, held)
    return len(np.unique(left[left >= 0])) >= 2 and bool((labels[held] >= 0).any())


def _merits(labels: list[NDArray[np.int64]], held: NDArray[np.int64], wished: float) -> Iterator[float]:
    yield sum(_usable(found, held) for found in labels)
    yield sum(len(np.unique(np.delete(found, held))) for found in labels)
    yield -abs(len(held) - wished)
