"""Which part of the train split fine-tuning learns nothing from: one part for all tasks, whole groups (artists)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from artylyze.training.folds import Folds, cut_folds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.training.examples import Examples


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


def _usable(labels: NDArray[np.int64], held: NDArray[np.int64]) -> bool:
    """Whether there are two classes to learn from, and an image to judge by."""
    left = np.delete(labels, held)
    return len(np.unique(left[left >= 0])) >= 2 and bool((labels[held] >= 0).any())


def _merits(labels: list[NDArray[np.int64]], held: NDArray[np.int64], wished: float) -> Iterator[float]:
    yield sum(_usable(found, held) for found in labels)
    yield sum(len(np.unique(np.delete(found, held))) for found in labels)
    yield -abs(len(held) - wished)
