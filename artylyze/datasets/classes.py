"""Classes: which terms a task keeps, and evening them out."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from artylyze.collection.labels import Labels
from artylyze.collection.taxonomy import normalise
from artylyze.datasets.selection import Selection
from artylyze.errors import InputError, UsageError


def random_order(seed: int, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) for each name, which depends on nothing but the seed and that name.

    So neither the order of rows nor the rows around it decide what becomes of a row.
    """
    drawn = [hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).digest()[:8] for name in names]
    return np.frombuffer(b"".join(drawn), ">u8").astype(np.float64) / 2.0**64


def choose_classes(
    selection: Selection, task: str, number: int | None, left_out: Sequence[str], min_units: int = 1
) -> Selection:
    """Keep the classes of a task that most images have.

    Args:
        selection: the images that are in.
        task: the task.
        number: of classes; None for all, more than there are for all.
        left_out: terms that are not kept in any case, in any spelling that the taxonomy knows.
        min_units: artists (or records) that a class needs to be kept.

    Raises:
        UsageError: a term to leave out that no image has.
        InputError: fewer than two classes.
    """
    labels = selection.labels[task]
    counts = labels.counts()
    for term in left_out:
        known = normalise(task, term)
        name = term if known is None else known.name
        if name not in labels.terms:
            raise UsageError(f"`leave_out={[f'{task}={term}']}`: no image has that term.")
        counts[labels.terms.index(name)] = 0
    if min_units > 1:
        units = [selection.units.number(labels.codes == code) for code in range(len(counts))]
        counts[np.array(units) < min_units] = 0
    ranked = [int(code) for code in np.argsort(-counts, kind="stable") if counts[code]]
    kept = ranked[:number]
    _check_several(task, [labels.terms[code] for code in kept], selection)
    return selection.with_codes({task: np.where(np.isin(labels.codes, kept), labels.codes, -1)})


def _check_several(task: str, terms: Sequence[str], selection: Selection) -> None:
    if len(terms) > 1:
        return
    lost = ", ".join(f"{count:,} {reason}" for reason, count in selection.dropped().items())
    left = f"Task {task} has no label" if not terms else f"Task {task} has one class, {terms[0]!r}"
    raise InputError(
        f"{left}, so there is nothing to tell apart"
        + (f" (images dropped before: {lost})" if lost else "")
        + ". Give catalogues with other labels, or another of `tasks`."
    )


def check_units(selection: Selection, tasks: Sequence[str]) -> None:
    """Raise InputError where the only artist (or record) of a kept class would have to be on both sides of a split.

    It names every such class of every task, and ends in what to add to the command.
    """
    lonely = [(task, code) for task in tasks for code in _lonely(selection, task)]
    if not lonely:
        return
    what = selection.units.what
    named = "\n".join(f"  {task} {_single(selection.labels[task], selection, code)}" for task, code in lonely)
    line = "`min_artists=2`"
    if what != "artist":
        line = f"`leave_out={[f'{task}={selection.labels[task].terms[code]}' for task, code in lonely]}`"
    other = ", or split without regard to artists with `group='none'`" if what == "artist" else ""
    raise InputError(
        f"A class with one {what} cannot be on both sides of a split:\n{named}\n"
        f"Leave such classes out{other}. To leave them out, add this:\n  {line}"
    )


def _lonely(selection: Selection, task: str) -> list[int]:
    """The classes of one unit, the best represented first."""
    labels = selection.labels[task]
    counts = labels.counts()
    ranked = [int(code) for code in np.argsort(-counts, kind="stable") if counts[code]]
    return [code for code in ranked if selection.units.number(labels.codes == code) < 2]


def _single(labels: Labels, selection: Selection, code: int) -> str:
    unit = selection.units.names[selection.units.codes[labels.codes == code][0]]
    return f"{labels.terms[code]!r} ({selection.units.shown.get(unit, unit)})"


def undersample(
    codes: npt.NDArray[np.int64],
    test: npt.NDArray[np.bool_],
    groups: npt.NDArray[np.int64],
    order: npt.NDArray[np.float64],
    share: float,
) -> npt.NDArray[np.int64]:
    """Take labels away until every class has as many as the least of them, split by `share`.

    Within a class and a side the groups give in turn, one image each, so that as many artists stay as can and none
    of them fills a class. Where a side has too few images for its share, the other side gives more.

    Args:
        codes: (n,) classes, -1 for none.
        test: (n,) which images are on the test side.
        groups: (n,) the group of each image.
        order: (n,) random numbers of the images.
        share: of the test side.

    Returns:
        (n,) the classes that are left.
    """
    labelled = np.flatnonzero(codes >= 0)
    size = int(codes.max(initial=-1)) + 1
    there = np.zeros((size, 2), np.int64)
    np.add.at(there, (codes[labelled], test[labelled].astype(int)), 1)
    quotas = _quotas(there, share)
    side = codes[labelled] * 2 + test[labelled]
    turn = _place_within(np.lexsort((order[labelled], groups[labelled], side)), side, groups[labelled])
    place = _place_within(np.lexsort((order[labelled], turn, side)), side)
    kept = np.full_like(codes, -1)
    taken = labelled[place < quotas.reshape(-1)[side]]
    kept[taken] = codes[taken]
    return kept


def _quotas(there: npt.NDArray[np.int64], share: float) -> npt.NDArray[np.int64]:
    """Return how many images of each class each side keeps, int (classes, 2)."""
    totals = there.sum(axis=1)
    least = int(totals[totals > 0].min(initial=np.iinfo(np.int64).max)) if totals.any() else 0
    wanted = min(max(round(least * share), 1), max(least - 1, 1))
    test = np.minimum(there[:, 1], wanted)
    train = np.minimum(there[:, 0], least - test)
    return np.stack([train, np.minimum(there[:, 1], least - train)], axis=1)


def _place_within(ranked: npt.NDArray[np.int64], *keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the place of each row among those with equal keys, when `ranked` puts equal keys side by side."""
    new = np.zeros(len(ranked), bool)
    new[:1] = True
    for key in keys:
        new[1:] |= key[ranked[1:]] != key[ranked[:-1]]
    positions = np.arange(len(ranked))
    starts = np.maximum.accumulate(np.where(new, positions, 0))
    places = np.empty(len(ranked), np.int64)
    places[ranked] = positions - starts
    return places


def name_tasks(given: Sequence[str]) -> dict[str, str]:
    """Return name -> column of tasks that the command line gives as COLUMN or NAME=COLUMN.

    A name becomes part of names of columns and tensors: small letters, digits and underscores, a letter first.
    """
    tasks: dict[str, str] = {}
    for text in given:
        name, _, column = (part.strip() for part in text.partition("="))
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        valid = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
        valid = valid if valid[:1].isalpha() else f"task_{valid or len(tasks) + 1}"
        if valid in tasks:
            raise UsageError(
                f"`tasks`: '{tasks[valid]}' and '{column or name}' would both be called {valid}: give NAME=COLUMN."
            )
        tasks[valid] = column or name
    return tasks
