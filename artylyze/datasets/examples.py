"""A dataset as arrays: which class each image is of, in which split, and whose work it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from artylyze.datasets.dataset import Dataset, labels
from artylyze.errors import InputError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Examples:
    """The rows of a dataset's table as some tasks see them.

    Attributes:
        table: of the dataset, whole.
        tasks: those chosen, each with its terms.
        labels: for each task the class of each row, int64 (rows,), -1 where it has none.
        groups: for each row what must not be on both sides, str (rows,); a record of nobody is a group of its own.
        train: bool (rows,), whether a row is in the train split.
    """

    table: pa.Table
    tasks: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, NDArray[np.int64]]
    groups: NDArray[np.str_]
    train: NDArray[np.bool_]

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Rows with a label of one of the tasks at least, ascending."""
        has = np.logical_or.reduce([labels >= 0 for labels in self.labels.values()])
        rows: NDArray[np.int64] = np.flatnonzero(has)
        return rows

    def of(self, task: str, rows: NDArray[np.int64], *, train: bool) -> NDArray[np.int64]:
        """Those of `rows` that have a label of `task` and are in the train split, or in the test split."""
        mine: NDArray[np.bool_] = (self.labels[task][rows] >= 0) & (self.train[rows] == train)
        return rows[mine]

    def counts(self, task: str, rows: NDArray[np.int64]) -> dict[str, int]:
        """How many of `rows`, which have a label of `task`, are of each of its terms."""
        terms = self.tasks[task]
        return dict(zip(terms, np.bincount(self.labels[task][rows], minlength=len(terms)).tolist(), strict=True))


def examples_of(dataset: Dataset, tasks: Sequence[str] | None) -> Examples:
    """The rows of `dataset` for `tasks` (None: all it has).

    Raises UsageError for a task that the dataset does not have, InputError where it has nothing to tell apart.
    """
    chosen = tuple(dataset.tasks) if tasks is None else tuple(tasks)
    if unknown := [task for task in chosen if task not in dataset.tasks]:
        raise UsageError(f"The dataset has no task {unknown[0]!r}: it has {', '.join(dataset.tasks)}.")
    table = dataset.table
    known = zip(table.column("group").to_pylist(), table.column("record_id").to_pylist(), strict=True)
    owners = [f"record {record}" if group is None else f"group {group}" for group, record in known]
    examples = Examples(
        table=table,
        tasks={task: dataset.tasks[task] for task in chosen},
        labels={task: labels(table, task, dataset.tasks[task]) for task in chosen},
        groups=np.array(owners, dtype=str),
        train=np.array(table.column("split").to_pylist(), dtype=object) == "train",
    )
    check_classes(examples, examples.labelled)
    return examples


def check_classes(examples: Examples, rows: NDArray[np.int64]) -> None:
    """Raise InputError where `rows` of the train split leave a task fewer than two classes to tell apart."""
    for task in examples.tasks:
        counts = examples.counts(task, examples.of(task, rows, train=True))
        left = [term for term, count in counts.items() if count]
        if len(left) < 2:
            has = f"only {left[0]!r}" if left else "no class"
            raise InputError(
                f"The task {task} has {has} left to learn from: curate the dataset with more classes, or leave it out."
            )
