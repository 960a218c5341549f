"""Held-out parts of the training data: groups (artists) stay together, classes stay as even as that allows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Folds:
    """A cut into parts, each held out once.

    Attributes:
        held_out: for each fold the positions that are held out, int64, ascending; together every position once.
        method: how they were cut, in words, for the bundle's description.
        warnings: sentences that say what could not be kept.
    """

    held_out: tuple[NDArray[np.int64], ...]
    method: str
    warnings: tuple[str, ...] = ()


DISJOINT, RANDOM = "artist-disjoint", "random"
"""Names of the two ways to cut folds: by artist, and by image."""


def cut_folds(labels: NDArray[np.int64], groups: NDArray[np.str_], folds: int, seed: int) -> Folds:
    """Cut n labelled images into at most `folds` parts with no group in two of them.

    Args:
        labels: class of each image, int64 (n,), n >= 2, none of them -1.
        groups: what must not be on both sides, str (n,).
        folds: parts wished for; fewer are made where there are fewer groups.
        seed: which of the many cuts.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    names, codes = np.unique(groups, return_inverse=True)
    largest = int(np.bincount(labels).max())
    parts = min(folds, len(names), largest)
    if parts >= 2:
        method, splitters = (
            "by group, stratified",
            [
                StratifiedGroupKFold(parts, shuffle=True, random_state=seed),
                GroupKFold(parts, shuffle=True, random_state=seed),  # where the first leaves a part empty
            ],
        )
    elif largest >= 2:
        parts = min(folds, largest)
        method, splitters = "at random, stratified", [StratifiedKFold(parts, shuffle=True, random_state=seed)]
    else:
        parts = min(folds, len(labels))
        method, splitters = "at random", [KFold(parts, shuffle=True, random_state=seed)]
    held = next(cut for splitter in splitters if all(map(len, cut := _cut(splitter, labels, codes))))
    return Folds(tuple(held), f"{parts} folds, {method}", tuple(_notes(labels, codes, parts, folds, method)))


def classes_untaught(labels: NDArray[np.int64], held_out: Sequence[NDArray[np.int64]]) -> tuple[int, ...]:
    """The classes, ascending, that lie whole in one held-out part: who learns from the rest knows nothing of them.

    What such a learner says of their images is bound to be wrong, and says nothing of one that learns from all.

    Args:
        labels: class of each image, int64 (n,), none of them -1.
        held_out: for each part the positions that are held out.
    """
    whole = [np.setdiff1d(labels[part], np.delete(labels, part)) for part in held_out]
    return tuple(np.unique(np.concatenate(whole)).tolist()) if whole else ()


def _cut(splitter: Any, labels: NDArray[np.int64], codes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes smaller than the number of parts: `_notes` says it
        return [np.asarray(held, np.int64) for _, held in splitter.split(np.zeros(len(labels)), labels, codes)]


def _notes(labels: NDArray[np.int64], codes: NDArray[np.int64], parts: int, wished: int, method: str) -> Iterator[str]:
    if "group" in method:
        lonely = sum(len(np.unique(codes[labels == one])) == 1 for one in np.unique(labels))
        if lonely:
            yield (
                f"{lonely} of {len(np.unique(labels))} classes come from one group (artist) each: while that is held "
                "out nothing teaches them, so held-out figures leave them out."
            )
    else:
        yield "images are held out at random, because groups (artists) cannot be kept apart: their scores flatter."
    if parts < wished:
        yield f"{parts} held-out parts instead of {wished}: this data cannot be cut into more."
