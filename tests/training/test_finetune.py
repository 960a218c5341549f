"""Fine-tuning in a real Ray: it outlives its workers and its own interruption, and its model is what it says."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
import torch

from artylyze.datasets.dataset import Dataset
from artylyze.errors import InputError, UsageError
from artylyze.extraction.pixels import read_images
from artylyze.models.bundle import Bundle
from artylyze.models.folder import load
from artylyze.models.taps import extract
from artylyze.training.finetune import _room, finetune
from artylyze.training.request import TrainRequest
from artylyze.training.train import train
from tests.small import Listener, collection

COUNT, BROKEN, GONE = 72, 10, 47
EPOCHS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("collection")


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    found = collection(folder, COUNT, unreadable=[BROKEN])
    (folder / f"{GONE:03d}.png").unlink()
    return found


@pytest.fixture
def request_(folder: Path, dataset: Dataset, model: Path, tmp_path: Path, ray_cluster: None) -> TrainRequest:
    return TrainRequest(
        str(folder / "dataset.parquet"),
        str(tmp_path / "bundle"),
        mode="finetune",
        init_from=str(model),
        taps=(1,),
        lr=3e-3,
        epochs=EPOCHS,
        batch_size=2,
        workers=2,
        folds=3,
    )


class Killer(Listener):
    """Kills a worker in the middle of the third epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.killed: list[int] = []

    def advance(self, rows: int, errors: int) -> None:
        super().advance(rows, errors)
        if self.said and self.said[-1].startswith("Epoch 2 ") and not self.killed:
            self.killed.append(one_worker())
            os.kill(self.killed[0], signal.SIGKILL)


def one_worker() -> int:
    """The process of one of this test's own Ray Train workers."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it may have ended meanwhile
            if "RayTrainWorker" in " ".join(process.cmdline()):
                return int(process.pid)
    raise AssertionError("there is no worker")


def epochs_said(listener: Listener) -> list[str]:
    return [" ".join(line.split()[:4]) for line in listener.said if line.startswith(("Epoch", "Going on"))]


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_training_goes_on_from_its_checkpoint(
    request_: TrainRequest, dataset: Dataset
) -> None:
    """Two workers; the second life begins after an epoch that the first one ended, not at the beginning."""
    listener, told = Killer(), []
    tuned = finetune(request_, dataset, listener, on_epoch=lambda found: told.append(found["epoch"]))
    assert listener.killed
    said = epochs_said(listener)
    after = int(next(line for line in listener.said if line.startswith("Going on")).split()[4])
    assert after in (1, 2)  # the second epoch's report may have died with the worker
    lines = [f"Epoch {number} of {EPOCHS}:" for number in range(1, EPOCHS + 1)]
    assert said == [*lines[:2], "Going on after epoch", *lines[after:]]
    assert told == [1, 2, *range(after + 1, EPOCHS + 1)]
    assert tuned.epochs_done == EPOCHS
    assert {len(values) for values in tuned.curves.values()} == {EPOCHS}
    check_model(tuned.backbone, tuned.heads, dataset, tuned.held_out)
    assert dict(tuned.failed) == {"010.png": "truncated", "047.png": "missing"}


def check_model(backbone, heads, dataset: Dataset, rows) -> None:  # type: ignore[no-untyped-def]
    """The model knows red from blue on images that it did not learn from."""
    from artylyze.datasets.dataset import labels
    from artylyze.training.augment import normalise
    from artylyze.workers.fetching import Source

    uris = dataset.table.column("uri").take(rows).to_pylist()
    images = read_images([Source(uri) for uri in uris], backbone.preprocessing.size, Path(uris[0]).parent / "cache")
    pixels = torch.from_numpy(images.pixels[images.read]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        features = extract(backbone.module, normalise(pixels, backbone.preprocessing), backbone.taps).numpy()
    known = labels(dataset.table, "genre", dataset.tasks["genre"])[rows][images.read]
    assert (heads["genre"].logits(features).argmax(1) == known).mean() > 0.9


class Interrupter(Listener):
    """Presses Ctrl-C after the second epoch: the worker, which knows nothing of it, may end another meanwhile."""

    def say(self, message: str) -> None:
        super().say(message)
        if message.startswith("Epoch 2 "):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_an_interrupted_training_goes_on_with_the_same_command_and_writes_its_bundle(
    request_: TrainRequest, dataset: Dataset, model: Path
) -> None:
    epochs = 12  # more than the worker can end before the signal reaches it
    request = replace(request_, workers=1, batch_size=8, epochs=epochs)
    before = signal.getsignal(signal.SIGINT)
    interrupter = Interrupter()
    with pytest.raises(KeyboardInterrupt):
        train(request, interrupter)
    assert signal.getsignal(signal.SIGINT) is before
    listener = Listener()
    trained = train(request, listener)
    lines = [f"Epoch {number} of {epochs}:" for number in range(1, epochs + 1)]
    after = epochs - len([line for line in listener.said if line.startswith("Epoch")])
    assert after >= 1  # the last epoch's report may have died with the worker, the one before it not
    assert epochs_said(interrupter) == lines[: len(epochs_said(interrupter))]
    assert [line for line in epochs_said(listener) if line.startswith("Epoch")] == lines[after:]
    assert {len(values) for values in trained.curves.values()} == {epochs}
    bundle = load(request.output)
    assert bundle.training["mode"] == "finetune"
    assert bundle.training["best_epoch"] <= epochs
    assert trained.metrics["genre"]["test"]["accuracy"] > 0.9
    assert bundle.tensors != load(model).tensors
    assert_two_are_skipped_counted_and_named(bundle, listener)


def assert_two_are_skipped_counted_and_named(bundle: Bundle, listener: Listener) -> None:
    found = {"010.png": "truncated", "047.png": "missing"}
    assert bundle.training["skipped"] == {
        "images": 2,
        "by_reason": {"truncated": 1, "missing": 1},
        "named": found,
    }
    (skipped,) = [line for line in listener.said if "could not be read" in line]
    assert skipped.startswith("Skipped 2 images that could not be read: ")
    assert all(f"{name} ({code})" in skipped for name, code in found.items())


@pytest.mark.slow
def test_a_training_whose_epochs_are_done_starts_no_worker(request_: TrainRequest, dataset: Dataset) -> None:
    request = replace(request_, workers=1, batch_size=8, epochs=1)
    first = finetune(request, dataset, Listener())
    listener = Listener()
    again = finetune(request, dataset, listener)
    assert not epochs_said(listener)
    assert again.curves == first.curves
    for one, other in zip(first.heads.values(), again.heads.values(), strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)


@pytest.mark.slow
def test_images_that_are_all_gone_end_it_without_another_try(
    request_: TrainRequest, tmp_path: Path, model: Path
) -> None:
    gone = collection(tmp_path / "gone", 48)
    for uri in gone.table.column("uri").to_pylist():
        Path(uri).unlink()
    listener = Listener()
    with pytest.raises(InputError, match="can be read"):
        finetune(replace(request_, workers=1), gone, listener)


def test_more_workers_than_the_cluster_has_room_for_are_refused(request_: TrainRequest, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="this Ray has 2 cores"):
        finetune(replace(request_, workers=3), dataset, Listener())


def test_workers_that_wait_for_a_cluster_to_grow_get_the_cores_that_were_asked_for(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = TrainRequest("dataset.parquet", "bundle", mode="finetune", workers=5, device="cpu")
    with pytest.raises(UsageError, match="ask for fewer"):
        _room(request, None)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert _room(request, None) == ("cpu", 1)
    assert _room(request, 20) == ("cpu", 4)
