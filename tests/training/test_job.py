"""What fine-tuning plans before Ray starts, and how images and cores are shared out among workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.datasets.dataset import Dataset
from artylyze.errors import InputError, UsageError
from artylyze.training.job import alone, part_of, prepare, run_folder, threads_of
from artylyze.training.request import TrainRequest
from tests.small import Listener, collection


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return collection(tmp_path_factory.mktemp("collection"), 48, unreadable=[10])


@pytest.fixture
def request_(model: Path, tmp_path: Path) -> TrainRequest:
    return TrainRequest("d.parquet", str(tmp_path / "bundle"), mode="finetune", init_from=str(model), folds=3)


def test_train_and_held_out_rows_share_no_artist_and_leave_the_test_split_alone(
    request_: TrainRequest, dataset: Dataset
) -> None:
    job = prepare(request_, dataset, Listener())
    groups, apart = job.examples.groups, np.union1d(job.validation, job.held_out)
    assert not set(groups[job.train]) & set(groups[apart])
    assert sorted(np.concatenate([job.train, apart])) == np.flatnonzero(job.examples.train).tolist()
    assert job.sizes == [2, 2]
    assert "by group" in job.method


def test_what_chooses_the_epoch_is_apart_from_what_is_told_where_there_is_enough_of_both(
    request_: TrainRequest, dataset: Dataset, tmp_path: Path
) -> None:
    more = collection(tmp_path / "many", 240, artists=60)
    few, many = (prepare(replace(request_, folds=2), one, Listener()) for one in (dataset, more))
    assert np.array_equal(few.validation, few.held_out)
    assert few.method.endswith("; it chose the epoch")
    assert not set(many.examples.groups[many.validation]) & set(many.examples.groups[many.held_out])
    assert many.method.endswith("; the other half chose the epoch")
    parts = [part for part, _ in (part_of(many, rank, 2, 1, lambda *_: None) for rank in range(2))]
    assert sum(len(part.train) for part in parts) == len(many.train)
    assert sum(len(part.held_out) for part in parts) == len(many.validation)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_parts_of_workers_hold_every_readable_image_once(
    request_: TrainRequest, dataset: Dataset, workers: int
) -> None:
    job = prepare(request_, dataset, Listener())
    parts = [part_of(job, rank, workers, 1, lambda *_: None) for rank in range(workers)]
    assert sum(len(part.train) for part, _ in parts) == len(job.train) - sum(row == 10 for row in job.train)
    validation = len(job.validation) - sum(row == 10 for row in job.validation)
    assert sum(len(part.held_out) for part, _ in parts) == validation
    assert {name: code for _, failed in parts for name, code in failed.items()} == {"010.png": "truncated"}
    for task, (labels, known) in enumerate(zip(parts[0][0].labels, job.examples.labels.values(), strict=True)):
        assert sorted(np.concatenate([part.labels[task] for part, _ in parts])) == sorted(
            known[np.concatenate([job.train, job.validation])]
        )
        assert len(labels) == len(parts[0][0].pixels)


def test_the_folder_of_a_run_is_its_own(request_: TrainRequest, dataset: Dataset) -> None:
    backbone = prepare(request_, dataset, Listener()).backbone
    first = run_folder(request_, dataset, backbone)
    assert first == run_folder(replace(request_, workers=2, device="cpu"), dataset, backbone)
    assert first != run_folder(replace(request_, lr=0.5), dataset, backbone)
    assert first != run_folder(replace(request_, output=request_.output + "2"), dataset, backbone)
    next(iter(backbone.module.parameters())).data += 1
    assert first != run_folder(request_, dataset, backbone)
    assert first.parent == Path(request_.output).parent


def test_a_training_that_runs_already_is_refused(tmp_path: Path) -> None:
    with alone(tmp_path / "run"), pytest.raises(UsageError, match="runs already"), alone(tmp_path / "run"):
        pass
    with alone(tmp_path / "run"):
        pass


def test_more_workers_than_images_are_refused(request_: TrainRequest, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="`workers=500`"):
        prepare(replace(request_, workers=500), dataset, Listener())


def test_a_gpu_that_is_not_there_is_told_before_ray_starts(
    request_: TrainRequest, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artylyze.models.runtimes._cuda_is_available", lambda: False)
    with pytest.raises(InputError, match="finds no GPU"):
        prepare(replace(request_, device="cuda"), dataset, Listener())


def test_a_dataset_without_images_is_refused(request_: TrainRequest, dataset: Dataset) -> None:
    nowhere = dataset.table.set_column(2, "uri", [[None] * len(dataset.table)])
    nowhere = nowhere.cast(dataset.table.schema)
    with pytest.raises(InputError, match="names no images"):
        prepare(request_, Dataset(nowhere, dataset.tasks, {}, dataset.digest), Listener())


@given(
    nodes=st.lists(st.tuples(st.integers(0, 32), st.integers(0, 4)), max_size=5),
    workers=st.integers(1, 8),
    gpu=st.booleans(),
)
def test_all_workers_find_room_with_the_cores_they_are_given_and_not_with_one_more(
    nodes: list[tuple[int, int]], workers: int, gpu: bool
) -> None:
    def room(threads: int) -> int:
        return sum(min(cores // threads, gpus) if gpu else cores // threads for cores, gpus in nodes)

    threads = threads_of(nodes, workers, gpu=gpu)
    assert threads == 0 or room(threads) >= workers
    assert room(threads + 1) < workers
