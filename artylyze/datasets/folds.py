"""Held-out parts of the training data: groups (artists) stay together, classes stay as even as that allows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from artylyze.datasets.examples import Examples


@dataclass(frozen=True)
class Folds:
    """A cut into parts, each held out once.

    Attributes:
        held_out: for each fold the positions that are held out, int64, ascending; together every position once.
        method: how they were cut, in words, for the bundle's description.
        warnings: sentences that say what could not be kept.
        left_out: for each fold the positions that are not learned from either, int64, ascending; none for a plain cut.
    """

    held_out: tuple[NDArray[np.int64], ...]
    method: str
    warnings: tuple[str, ...] = ()
    left_out: tuple[NDArray[np.int64], ...] = ()

    def learned(self, images: int) -> Iterator[NDArray[np.int64]]:
        """For each fold the positions among `images` images that are learned from, ascending."""
        nothing = np.zeros(0, np.int64)
        for held, left in zip(self.held_out, self.left_out or [nothing] * len(self.held_out), strict=True):
            yield np.delete(np.arange(images), np.concatenate([held, left]))

    def measurable(self, labels: NDArray[np.int64], least: int = 1) -> NDArray[np.bool_]:
        """Return for n images of the classes `labels`, (n,), whether `least` others of the class were learned from.

        A head that never saw a class gets all its images wrong, which says nothing about a head that did.
        """
        taught = np.zeros(len(labels), bool)
        for held, kept in zip(self.held_out, self.learned(len(labels)), strict=True):
            taught[held] = np.bincount(labels[kept], minlength=int(labels.max()) + 1)[labels[held]] >= least
        return taught


DISJOINT, SOURCES, RANDOM = "artist-disjoint", "artist- and source-disjoint", "random"
"""Names of the ways to cut folds: by artist, by source of the photograph and artist, and by image."""

HALF = 20
"""Images of a task with which a half of what is held out can choose or calibrate: as many as a threshold takes."""


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


def cut_sources(labels: NDArray[np.int64], groups: NDArray[np.str_], sources: NDArray[np.str_], folds: int) -> Folds:
    """Cut n images by source into at most `folds` parts of even size; no work by an artist held out is learned from.

    Artists and sources cannot both be kept together: works photographed twice would join nearly all into one group.

    Args:
        labels: class of each image, int64 (n,), none of them -1.
        groups: artist of each image, str (n,).
        sources: source of each image, str (n,), two or more.
        folds: parts wished for; fewer are made where there are fewer sources.
    """
    from sklearn.model_selection import GroupKFold

    codes = np.unique(sources, return_inverse=True)[1]
    held_out = _cut(GroupKFold(min(folds, int(codes.max()) + 1)), labels, codes)
    left_out = [np.setdiff1d(np.flatnonzero(np.isin(groups, groups[held])), held) for held in held_out]
    return Folds(tuple(held_out), f"{len(held_out)} folds, by source and artist", (), tuple(left_out))


def classes_untaught(labels: NDArray[np.int64], held_out: Sequence[NDArray[np.int64]]) -> tuple[int, ...]:
    """The classes, ascending, that lie whole in one held-out part: who learns from the rest knows nothing of them.

    What such a learner says of their images is bound to be wrong, and says nothing of one that learns from all.

    Args:
        labels: class of each image, int64 (n,), none of them -1.
        held_out: for each part the positions that are held out.
    """
    whole = [np.setdiff1d(labels[part], np.delete(labels, part)) for part in held_out]
    return tuple(np.unique(np.concatenate(whole)).tolist()) if whole else ()


def hold_out(examples: Examples, rows: NDArray[np.int64], folds: int, seed: int) -> tuple[NDArray[np.int64], Folds]:
    """Those of `rows`, images of the train split with a label, that are held out, and the cut they come from.

    Of the parts of the cut the one is taken that leaves every task something to learn from and to be judged by, then
    most classes to learn from, then is closest to its share. Groups are cut where no part leaves a task that much.
    """
    mine = {task: labels[rows] for task, labels in examples.labels.items()}
    leading = max(mine.values(), key=lambda labels: int((labels >= 0).sum()))
    # Images without a label of the task that most have one of are one more class: they spread evenly too.
    classes = np.unique(leading, return_inverse=True)[1]
    for groups in (examples.groups[rows], np.array([f"image {row}" for row in rows])):
        cut = cut_folds(classes, groups, folds, seed)
        best = max(cut.held_out, key=lambda held: tuple(_merits(list(mine.values()), held, len(rows) / folds)))
        if all(_usable(labels, best) for labels in mine.values()):
            break
    return rows[best], cut


def halve(
    examples: Examples, held_out: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """Split held-out rows into those that choose the epoch and those that scores are calibrated and reported on.

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
    yield sum(_usable(codes, held) for codes in labels)
    yield sum(len(np.unique(np.delete(codes, held))) for codes in labels)
    yield -abs(len(held) - wished)


def _cut(splitter: Any, labels: NDArray[np.int64], codes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes smaller than the number of parts: `_notes` says it
        return [np.asarray(held, np.int64) for _, held in splitter.split(np.zeros(len(labels)), labels, codes)]


def _notes(labels: NDArray[np.int64], codes: NDArray[np.int64], parts: int, wished: int, method: str) -> Iterator[str]:
    if "group" in method:
        lonely = sum(len(np.unique(codes[labels == label])) == 1 for label in np.unique(labels))
        if lonely:
            yield (
                f"{lonely} of {len(np.unique(labels))} classes come from one group (artist) each: while that is held "
                "out nothing teaches them, so held-out figures leave them out."
            )
    else:
        yield "images are held out at random, because groups (artists) cannot be kept apart: their scores flatter."
    if parts < wished:
        yield f"{parts} held-out parts instead of {wished}: this data cannot be cut into more."
