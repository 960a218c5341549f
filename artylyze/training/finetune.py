"""Fine-tune mode in Ray Train: a backbone and its heads learn together, in one worker or several.

Each epoch ends with a checkpoint in a folder beside the output. A worker that dies is replaced and training goes on
from there; so does the same command after an interruption.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.datasets.examples import check_classes
from artylyze.errors import ArtylyzeError, UsageError
from artylyze.training.checkpoints import Progress, read_progress, restore, resume, save
from artylyze.training.job import Job, alone, part_of, prepare, run_folder, threads_of
from artylyze.training.loop import BALANCE, Loop, Part, gathered
from artylyze.training.messages import Listener, Sender, relayed
from artylyze.training.student import Student
from artylyze.workers.supervision import end_with_parent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.datasets.dataset import Dataset
    from artylyze.models.backbones import Backbone
    from artylyze.progress import Watcher
    from artylyze.training.heads import Head
    from artylyze.training.messages import OnEpoch
    from artylyze.training.request import TrainRequest

RETRIES = 3
"""Times that lost workers are replaced before a run gives up; the same command then goes on."""

PATIENCE = 86_400
"""Seconds that workers wait for each other: one may still decode when another has found its images decoded."""

MOST_THREADS = 16
"""Cores that a worker with a GPU is given at most: it decodes on them, once."""

ENVIRONMENT = {
    # glibc gives large blocks back to the system when they are freed, and every step pays again for 330,000 zeroed
    # pages: an epoch took 1.5 times the CPU time (EfficientNet-Lite0, batches of 32 of 180 pixels).
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_ARENA_MAX": "1",
    # Threads that wait for each other must not spin: beside other work on the same two cores two threads then did 1.5
    # images/s together, and 8.0 asleep.
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Of the workers."""


@dataclass(frozen=True, eq=False)
class Finetuned:
    """A tuned model.

    Attributes:
        backbone: float32, on the CPU, in evaluation mode, as it was after its best epoch.
        heads: for each task, on all features of the backbone, of the same epoch.
        curves: per epoch, by series (`artylyze.drawing.plots.curves` names them), over all epochs.
        validation: rows of the dataset's table that nothing was learned from, but that chose the epoch, int64.
        held_out: rows that scores are to be calibrated on: apart from the others, or the same where they are too few.
        failed: image_id -> error code of the images of the train split that could not be read.
        settings: JSON values that describe how it was trained.
        epochs_done: number of epochs.
        folder: what would let the training go on; to be removed when the bundle is written.
    """

    backbone: Backbone
    heads: Mapping[str, Head]
    curves: Mapping[str, Sequence[float]]
    validation: NDArray[np.int64]
    held_out: NDArray[np.int64]
    failed: Mapping[str, str]
    settings: Mapping[str, Any]
    epochs_done: int
    folder: Path


def finetune(
    request: TrainRequest,
    dataset: Dataset,
    reporter: Watcher,
    *,
    on_epoch: OnEpoch | None = None,
    cores: int | None = None,
) -> Finetuned:
    """Train as `request` says, and return the model of the epoch that was right most often on held-out images.

    Args:
        request: with mode finetune.
        dataset: that it names.
        reporter: receives each epoch's figures.
        on_epoch: is given `epoch`, `score` and the last value of each curve after each epoch, in another thread.
        cores: of the cluster that the workers may use together; None: all.

    Raises:
        UsageError: for more workers than the cluster has room for, or a training that runs already.
        InputError: for data, weights or a device that cannot be used.
        StorageError: if decoded images cannot be kept, or the storage refuses everything.
        ArtylyzeError: if workers are lost again and again; the same command goes on.
    """
    job = prepare(request, dataset, reporter)
    folder = run_folder(request, dataset, job.backbone)
    with alone(folder):
        before = _progress(folder)
        if before is None:
            _empty(folder)
        if before is None or before.epochs < job.recipe.epochs:
            done = 0 if before is None else before.epochs
            steps = (len(job.train) + len(job.validation)) * (1 + job.recipe.epochs - done)
            reporter.start(steps, 0, "Training")
            listener = Listener(list(job.examples.tasks), (done, job.recipe.epochs), reporter, on_epoch)
            _fit(request, job, folder, listener, cores)
        return _finetuned(job, folder)


def _progress(folder: Path) -> Progress | None:
    """How far an earlier run came; None if there is none, or none that can be read."""
    with suppress(Exception):  # Ray's own kinds, of any sort: its state was not written whole
        return read_progress(_checkpoints(folder)[0])
    return None


def _checkpoints(folder: Path) -> tuple[Path, Path]:
    """Where the latest and the best checkpoint lie."""
    from ray.train import Result

    result = Result.from_path(str(folder))
    latest, best = result.checkpoint, result.get_best_checkpoint("score", "max")
    if latest is None or best is None:
        raise FileNotFoundError(folder)
    return Path(latest.path), Path(best.path)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


def _finetuned(job: Job, folder: Path) -> Finetuned:
    latest, best = _checkpoints(folder)
    progress = read_progress(latest)
    student = Student(job.backbone, job.sizes)
    restore(best, student)
    backbone, heads = student.trained()
    return Finetuned(
        backbone=backbone,
        heads=dict(zip(job.examples.tasks, heads, strict=True)),
        curves=progress.curves,
        validation=job.validation,
        held_out=job.held_out,
        failed=progress.failed,
        settings={
            "held_out": dict.fromkeys(job.examples.tasks, job.method),
            "best_epoch": read_progress(best).epochs,
            "class_balance": BALANCE,
        },
        epochs_done=progress.epochs,
        folder=folder,
    )


def _fit(request: TrainRequest, job: Job, folder: Path, listener: Listener, cores: int | None) -> None:
    """Let Ray Train do the epochs that are left."""
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")  # also the pace at which reports are taken
    import ray
    from ray.train import LoggingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig

    # What ray.train gives too, but to type checkers only in its first version, which is another class.
    from ray.train.v2.api.config import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.torch.torch_trainer import TorchTrainer
    from ray.util.queue import Queue

    from artylyze.ray_session import connect, reporting_waits

    listener.watcher.say(f"Ray's own logs: {connect(listener.watcher)}")
    device, threads = _room(request, cores)
    channel = Queue(actor_options={"num_cpus": 0})
    recipe = replace(job.recipe, half=device == "cuda")
    trainer = TorchTrainer(
        _work,
        train_loop_config={"job": ray.put(replace(job, recipe=recipe)), "channel": channel, "threads": threads},
        torch_config=TorchConfig(timeout_s=PATIENCE),
        scaling_config=ScalingConfig(
            num_workers=request.workers, use_gpu=device == "cuda", resources_per_worker={"CPU": threads}
        ),
        run_config=RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            checkpoint_config=CheckpointConfig(num_to_keep=1, checkpoint_score_attribute="score"),
            failure_config=FailureConfig(max_failures=RETRIES),
            logging_config=LoggingConfig(log_level="ERROR"),
            worker_runtime_env={"env_vars": ENVIRONMENT},
        ),
    )
    try:
        # Ray prints the death of a worker on stdout, which belongs to the command's answer.
        waits = reporting_waits(listener.watcher.say)
        with relayed(channel, listener), _interruptible(), redirect_stdout(sys.stderr), waits:
            trainer.fit()
    except TrainingFailedError as error:
        raise ArtylyzeError(
            f"Fine-tuning lost its workers {RETRIES + 1} times, at last to: {_cause(error)}. Mend that, and run the "
            f"same command: it goes on after epoch {listener.epochs}."
        ) from error


def _room(request: TrainRequest, cores: int | None) -> tuple[str, int]:
    """The device to train on, and the cores of each worker."""
    import ray

    from artylyze.ray_session import may_grow

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    nodes = [(float(resources.get("CPU", 0)), float(resources.get("GPU", 0))) for resources in alive]
    gpus = sum(count for _, count in nodes)
    gpu = request.device == "cuda" or (request.device == "auto" and gpus >= request.workers)
    threads = threads_of(nodes, request.workers, gpu=gpu)
    if not threads and may_grow():
        threads = max(1, (cores or 1) // request.workers)
    if not threads:
        has = f"{sum(count for count, _ in nodes):g} cores" + (f" and {gpus:g} GPUs" if gpu else "")
        raise UsageError(f"`workers={request.workers}`: this Ray has {has}; ask for fewer.")
    if gpu:
        threads = min(threads, MOST_THREADS)
    if cores is not None:
        threads = max(1, min(threads, cores // request.workers))
    return ("cuda" if gpu else "cpu"), threads


def _cause(error: BaseException) -> str:
    """What the worker that failed first said, in one line."""
    failures = getattr(error, "worker_failures", None)
    if failures:
        error = failures[min(failures)]
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a run as it ends others: Ray Train's handler stops the workers, and then exits with status 0."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


def _work(config: dict[str, Any]) -> None:
    """What each worker does, from the beginning or from the last checkpoint on."""
    import ray
    import ray.train
    import ray.train.torch
    import torch

    end_with_parent()
    torch.set_num_threads(config["threads"])
    torch.backends.cudnn.benchmark = True
    job, sender = ray.get(config["job"]), Sender(config["channel"])
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    part, failed, failure = _images(job, rank, world, config["threads"], sender)
    if part is None or failure is not None:
        if rank == 0:
            sender.send("fail", failure)
        return
    recipe = replace(job.recipe, batch_size=max(1, round(job.recipe.batch_size / world)))
    torch.manual_seed(recipe.seed)  # of the heads' first values
    loop = Loop(Student(job.backbone, job.sizes), part, recipe, ray.train.torch.get_device())
    progress = _start(loop, recipe.from_scratch, failed)
    if rank == 0:
        sender.send("begin", progress.epochs)
    while progress.epochs < recipe.epochs:
        began = time.monotonic()
        train = loop.train(progress.epochs, sender.advance)
        pace = len(job.train) / (time.monotonic() - began)
        progress.note(list(job.examples.tasks), train, loop.evaluate(sender.advance))
        metrics = {"epoch": progress.epochs, "score": progress.score[-1]}
        with TemporaryDirectory() as folder:
            checkpoint = None
            if rank == 0:
                save(Path(folder), loop, progress)
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            ray.train.report(metrics, checkpoint=checkpoint)
        if rank == 0:
            last = {name: values[-1] for name, values in progress.curves.items()}
            sender.send("epoch", {**metrics, **last}, pace)


def _images(
    job: Job, rank: int, world: int, decoders: int, sender: Sender
) -> tuple[Part | None, dict[str, str], ArtylyzeError | None]:
    """The images of this worker, what no worker could read, and what is wrong with any of them."""
    part, failure = None, None
    mine: Mapping[str, str] = {}
    try:
        part, mine = part_of(job, rank, world, decoders, sender.advance)
    except ArtylyzeError as error:
        failure = error
    reports = gathered((mine, failure))  # all go on, or none: one that waits for another would wait in vain
    failed = {name: code for codes, _ in reports for name, code in codes.items()}
    wrong = next((error for _, error in reports if error is not None), None)
    if wrong is None:
        ids = job.examples.table.column("image_id")
        read = np.array([row for row in job.train if ids[int(row)].as_py() not in failed], np.int64)
        try:
            check_classes(job.examples, read)
        except ArtylyzeError as error:
            wrong = error
    return part, failed, wrong


def _start(loop: Loop, from_scratch: bool, failed: dict[str, str]) -> Progress:
    """Begin at the last checkpoint, or at the beginning."""
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            return resume(Path(folder), loop)
    if not from_scratch:
        loop.measure()
    return Progress(failed=failed)
