from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from artylyze.datasets.dataset import Dataset, write_dataset
from artylyze.datasets.examples import check_classes, examples_of
from artylyze.errors import InputError, UsageError
from tests.small import GENRES, collection


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return collection(tmp_path_factory.mktemp("examples"), 36)


def test_all_tasks_unless_some_are_chosen(dataset: Dataset) -> None:
    assert set(examples_of(dataset, None).tasks) == {"genre", "style"}
    assert list(examples_of(dataset, ["style"]).tasks) == ["style"]


def test_rows_with_a_label_of_the_chosen_tasks(dataset: Dataset) -> None:
    assert len(examples_of(dataset, None).labelled) == 36
    assert (examples_of(dataset, ["style"]).labelled % 5 != 0).all()


def test_splits_do_not_overlap_and_counts_are_by_term(dataset: Dataset) -> None:
    examples = examples_of(dataset, None)
    rows = np.arange(36)
    train, test = (examples.of("genre", rows, train=side) for side in (True, False))
    assert sorted([*train, *test]) == rows.tolist()
    assert examples.counts("genre", train) == dict.fromkeys(GENRES, len(train) // 2)


def test_an_image_of_nobody_is_a_group_of_its_own(dataset: Dataset, tmp_path: Path) -> None:
    names = dataset.table.column("group").to_pylist()
    orphaned = [None if row < 2 else name for row, name in enumerate(names)]
    table = dataset.table.set_column(6, "group", [orphaned])
    groups = examples_of(write_dataset(str(tmp_path / "d.parquet"), table, dataset.tasks, {}), None).groups
    assert groups[0] != groups[1]
    assert groups[2] == groups[3]


def test_a_task_that_the_dataset_does_not_have(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=r"no task 'period': it has genre, style"):
        examples_of(dataset, ["genre", "period"])


def test_a_task_with_one_class_left(dataset: Dataset) -> None:
    examples = examples_of(dataset, None)
    landscapes = np.flatnonzero(examples.labels["genre"] == 0)
    with pytest.raises(InputError, match=r"genre has only 'landscape' left"):
        check_classes(examples, landscapes)
    with pytest.raises(InputError, match=r"genre has no class left"):
        check_classes(examples, np.flatnonzero(~examples.train))
