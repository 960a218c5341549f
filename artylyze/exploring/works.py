"""The works of an explorer: every image of a catalog in the order of image ids, and its numbers in arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.catalog.snapshot import Snapshot, read_parts
from artylyze.profiling.rows import Rows, locate

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_SIDE = 65_535
"""Of a picture in the explorer: larger ones are scaled to it, since only their shape matters there."""


@dataclass(frozen=True, eq=False)
class Task:
    """The tags of one task.

    Attributes:
        name: of the task.
        terms: that occur, sorted.
        codes: uint16 (n,), 0 for none, else the place of the term among `terms`, from 1.
        scores: uint8 (n,), the calibrated score times 255.
        review: uint8 (n,), 1 where a person should look.
    """

    name: str
    terms: tuple[str, ...]
    codes: NDArray[np.uint16]
    scores: NDArray[np.uint8]
    review: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Works:
    """The n images of a catalog, in the order of their ids (bytes of UTF-8).

    Attributes:
        catalog: its address.
        snapshot: that is shown.
        ids: image ids, (n,).
        rows: theirs in the catalog.
        width: uint16 (n,), pixels as displayed, 0 where the image could not be read.
        height: likewise.
        status: uint8 (n,), 0 ok, else the place of the error code among `errors`, from 1.
        errors: error codes that occur, sorted.
        warned: unsigned integers (n,), 0 without warnings, else the place of the warnings among `warnings`, from 1.
        warnings: those that occur, of each work as one text (`animated, upscaled`), sorted.
        tasks: the tags, by task.
        models: ids of the models that made the rows.
    """

    catalog: str
    snapshot: Snapshot
    ids: pa.StringArray
    rows: Rows
    width: NDArray[np.uint16]
    height: NDArray[np.uint16]
    status: NDArray[np.uint8]
    errors: tuple[str, ...]
    warned: NDArray[np.int32]
    warnings: tuple[str, ...]
    tasks: tuple[Task, ...]
    models: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Bool (n,), the works with an embedding."""
        readable: NDArray[np.bool_] = self.status == 0
        return readable

    def blocks(self, size: int) -> Iterator[range]:
        """Yield the works in ranges of `size`, the last perhaps shorter."""
        return (range(start, min(start + size, len(self))) for start in range(0, len(self), size))


def read_works(catalog: str, snapshot: Snapshot) -> Works:
    """Read the numbers of every image of a catalog, part by part: some 30 bytes of memory each, and its ids.

    Raises:
        InputError: if a part is damaged.
    """
    ids = pa.concat_arrays(
        [pa.array([], pa.string())]
        + [c for _, table in read_parts(catalog, snapshot.parts, ["image_id"]) for c in table.column(0).chunks]
    )
    ids = ids.take(pc.array_sort_indices(ids))
    rows = locate(catalog, snapshot, pa.chunked_array([ids]))
    target = np.empty(len(ids), np.int64)
    target[rows.places] = np.arange(len(ids))
    filling = _Filling(len(ids), snapshot.tasks)
    start = 0
    columns = ["status", "error_code", "warnings", "width", "height", "model_id"]
    columns += [name for task in snapshot.tasks for name in (task, f"{task}_score", f"{task}_review")]
    for part, table in read_parts(catalog, snapshot.parts, columns):
        filling.take(target[start : start + part.rows], table)
        start += part.rows
    return filling.works(catalog, snapshot, ids, rows)


class _Codes:
    """Terms of one column as they come, and the place of each row's among them; 0 for none."""

    def __init__(self, count: int) -> None:
        self._places: dict[str, int] = {}
        self._codes = np.zeros(count, np.int32)

    def take(self, rows: NDArray[np.int64], column: pa.ChunkedArray) -> None:
        coded = column.combine_chunks().dictionary_encode()
        places = [self._places.setdefault(term, len(self._places) + 1) for term in coded.dictionary.to_pylist()]
        codes = pc.fill_null(coded.indices, -1).to_numpy()
        self._codes[rows] = np.array([*places, 0], np.int32)[codes]

    def sorted(self) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """Return the terms, sorted, and the codes of the rows among them, from 1."""
        terms = sorted(self._places)
        order = np.zeros(len(terms) + 1, np.int32)
        order[[self._places[term] for term in terms]] = np.arange(1, len(terms) + 1)
        return tuple(terms), order[self._codes]


class _Filling:
    """The arrays of `Works` while parts are read."""

    def __init__(self, count: int, tasks: Sequence[str]) -> None:
        self._sides = np.zeros((2, count), np.int32)
        self._errors, self._warnings, self._models = _Codes(count), _Codes(count), set[str]()
        self._terms = {task: _Codes(count) for task in tasks}
        self._scores = {task: np.zeros(count, np.uint8) for task in tasks}
        self._review = {task: np.zeros(count, np.uint8) for task in tasks}

    def take(self, rows: NDArray[np.int64], table: pa.Table) -> None:
        """Take the rows of a part, which are those works."""
        failed = pc.equal(table.column("status"), "error")
        self._errors.take(rows, pc.if_else(failed, pc.coalesce(table.column("error_code"), pa.scalar("corrupt")), None))
        if "warnings" in table.column_names:  # not in parts of an earlier version
            names = pc.binary_join(table.column("warnings"), ", ")
            self._warnings.take(rows, pc.if_else(pc.equal(names, ""), None, names))
        for number, name in enumerate(("width", "height")):
            self._sides[number, rows] = pc.fill_null(table.column(name), 0).to_numpy()
        self._models |= set(pc.unique(table.column("model_id")).to_pylist())
        for task in self._terms:
            self._terms[task].take(rows, table.column(task))
            scores = pc.fill_null(table.column(f"{task}_score"), 0.0).to_numpy()
            self._scores[task][rows] = np.round(np.clip(np.nan_to_num(scores), 0, 1) * 255)
            self._review[task][rows] = pc.fill_null(table.column(f"{task}_review"), False).to_numpy()

    def works(self, catalog: str, snapshot: Snapshot, ids: pa.StringArray, rows: Rows) -> Works:
        """Return what was taken."""
        errors, status = self._errors.sorted()
        warnings, warned = self._warnings.sorted()
        longest = np.maximum(1, self._sides.max(axis=0))
        scale = np.minimum(1.0, LARGEST_SIDE / longest)
        least = (self._sides > 0).astype(np.int64)
        width, height = np.maximum(least, np.round(self._sides * scale)).astype(np.uint16)
        tasks = []
        for task, codes in self._terms.items():
            terms, places = codes.sorted()
            tasks.append(Task(task, terms, places.astype(np.uint16), self._scores[task], self._review[task]))
        models = tuple(sorted(self._models - {None}))
        kinds = status.astype(np.uint8)
        return Works(catalog, snapshot, ids, rows, width, height, kinds, errors, warned, warnings, tuple(tasks), models)
