"""One trial of a sweep, in plain Python: it trains, and leaves its figures and a bundle in its folder.

A trial that finds its own figures there has been run before, and is not run again.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artylyze.errors import ArtylyzeError, InputError, StorageError, UsageError
from artylyze.tuning.sweep import RANDOM

if TYPE_CHECKING:
    from artylyze.progress import Watcher
    from artylyze.training.learned import Learned
    from artylyze.training.request import TrainRequest
    from artylyze.training.train import Trained
    from artylyze.tuning.sweep import Trial, TuneRequest

RESULT, PROGRESS, FAILED, BUNDLE = "result.json", "progress.json", "failed.json", "bundle"

FIGURES = ("n", "accuracy", "precision", "recall", "f1", "top5", "ece")

OnScore = Callable[[int, float], None]


def run(request: TuneRequest, trial: Trial, watcher: Watcher, on_score: OnScore, cores: int | None) -> None:
    """Run a trial to its end, or go on with it.

    Args:
        request: the sweep.
        trial: of it.
        watcher: receives progress.
        on_score: is given the epoch and the held-out score, after each epoch but the last in finetune mode, and once
            at the end.
        cores: of the cluster that fine-tuning may use; None: all.

    Raises:
        ArtylyzeError: for what stops it; the folder then tells so too.
    """
    trial.folder.mkdir(parents=True, exist_ok=True)
    (trial.folder / FAILED).unlink(missing_ok=True)
    try:
        if read(trial.folder / RESULT) is None:
            training = request.training(trial)
            _begin(training, trial)
            if request.mode == "frozen":
                rows = _frozen(training, trial, watcher)
            else:
                rows = _finetune(training, trial, watcher, on_score, cores)
            _write(trial.folder / RESULT, rows)
    except ArtylyzeError as error:
        _write(trial.folder / FAILED, {"exit_code": error.exit_code, "message": str(error)})
        raise
    done = read(trial.folder / RESULT) or []
    on_score(request.training(trial).epoch_count, max((row["score"] for row in done if row["score"]), default=0.0))


def read(path: Path) -> Any:
    """What a trial wrote; None if it has not."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def error_of(folder: Path) -> ArtylyzeError | None:
    """What stopped the trial that left this folder."""
    failure = read(folder / FAILED)
    if failure is None:
        return None
    kinds = {kind.exit_code: kind for kind in (UsageError, InputError, StorageError)}
    return kinds.get(failure["exit_code"], ArtylyzeError)(failure["message"])


def score_of(metrics: Mapping[str, Any]) -> float:
    """The held-out score: the accuracy on images that were held out of training, the mean over the tasks.

    Tasks of which nothing is measurable count for nothing. Raises InputError where there is no other.
    """
    known = [score for parts in metrics.values() if (score := parts["held_out"]["accuracy"]) is not None]
    if not known:
        raise InputError(
            f"There is nothing to compare learning rates by: no class of {' or '.join(metrics)} has training images by "
            "two artists, so none is measurable on held-out images. Curate with more images of fewer classes, or train "
            "at one learning rate: artylyze train."
        )
    return float(sum(known) / len(known))


def merit(rate: float, score: float | None, metrics: Mapping[str, Any]) -> tuple[float, float, float]:
    """What trials are ordered by: the greater the better. Of equal scores the better calibrated one, then the slower.

    On easy data the accuracies hardly differ after the first step; calibration still does.
    """
    given = (parts["held_out"].get("ece", 1.0) for parts in metrics.values())
    errors = [error for error in given if error is not None]
    return (-math.inf if score is None else score), -sum(errors) / max(1, len(errors)), -rate


def _begin(training: TrainRequest, trial: Trial) -> None:
    """Remove what was left behind by a trial that was killed; make random weights where they are asked for."""
    import shutil

    shutil.rmtree(training.output, ignore_errors=True)
    if trial.weights == RANDOM:
        import safetensors.torch
        import torch

        from artylyze.models.backbones import create_module

        torch.manual_seed(training.seed)
        module = create_module(trial.model, training.image_size)
        tensors = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
        safetensors.torch.save_file(tensors, str(training.weights))


def _frozen(training: TrainRequest, trial: Trial, watcher: Watcher) -> list[dict[str, Any]]:
    """Embed once, train at all rates in one pass, and write the bundle of the best."""
    from artylyze.datasets.dataset import read_dataset
    from artylyze.datasets.examples import examples_of
    from artylyze.training.frozen import learn_many
    from artylyze.training.train import calibrate_and_measure, finish

    dataset = read_dataset(training.dataset)
    examples = examples_of(dataset, training.tasks)
    rows: list[dict[str, Any]] = []
    kept: list[tuple[tuple[float, float, float], TrainRequest, Learned]] = []
    for rate, learned in zip(trial.rates, learn_many(training, examples, watcher, trial.rates), strict=True):
        at = replace(training, lr=rate)
        try:
            _, metrics = calibrate_and_measure(at, examples, learned)
        except InputError as error:  # this rate is too high; others may do
            rows.append({"learning_rate": rate, "score": None, "error": str(error)})
            continue
        rows.append(_row(at, metrics, learned.curves))
        kept.append((merit(rate, score_of(metrics), metrics), at, learned))
    if not kept:
        raise InputError(rows[0]["error"])
    (score, *_), best, learned = max(kept, key=lambda candidate: candidate[0])
    watcher.say(f"The best learning rate is {best.learning_rate:g}: held-out accuracy {score:.3f}")
    finish(best, dataset, examples, learned, watcher)
    return rows


def _finetune(
    training: TrainRequest, trial: Trial, watcher: Watcher, on_score: OnScore, cores: int | None
) -> list[dict[str, Any]]:
    """Fine-tune, with word of each epoch, and write the bundle."""
    from artylyze.training.train import train

    series = " accuracy, held out"

    def on_epoch(values: Mapping[str, float]) -> None:
        accuracies = {name.removesuffix(series): value for name, value in values.items() if name.endswith(series)}
        epoch, score = int(values["epoch"]), sum(accuracies.values()) / max(1, len(accuracies))
        progress = {
            "learning_rate": training.learning_rate,
            "epochs": epoch,
            "score": score,
            "metrics": {task: {"held_out": {"accuracy": accuracy}} for task, accuracy in accuracies.items()},
            "curves": _longer(read(trial.folder / PROGRESS), epoch, values),
        }
        _write(trial.folder / PROGRESS, progress)
        if epoch < training.epoch_count:  # a trial that ends its last epoch is not stopped before its bundle is there
            on_score(epoch, score)

    trained: Trained = train(training, watcher, on_epoch=on_epoch, cores=cores)
    return [_row(training, trained.metrics, trained.curves)]


def _longer(before: Mapping[str, Any] | None, epoch: int, values: Mapping[str, float]) -> dict[str, list[float]]:
    """The curves after an epoch: those before it and one value more; none where epochs before it are not known."""
    known = {} if before is None or epoch == 1 else before.get("curves", {})
    longer = {name: [*known.get(name, []), value] for name, value in values.items() if name not in ("epoch", "score")}
    return {name: curve for name, curve in longer.items() if len(curve) == epoch}


def _row(training: TrainRequest, metrics: Mapping[str, Any], curves: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    brief = {
        task: {part: {name: figures[name] for name in FIGURES} for part, figures in parts.items()}
        for task, parts in metrics.items()
    }
    return {
        "learning_rate": training.learning_rate,
        "epochs": training.epoch_count,
        "score": score_of(metrics),
        "metrics": brief,
        "curves": {name: [round(value, 5) for value in values] for name, values in curves.items()},
    }


def _write(path: Path, value: Any) -> None:
    """Write JSON that is there whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(value, ensure_ascii=False))
    unfinished.replace(path)
