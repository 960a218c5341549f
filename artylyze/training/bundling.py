"""From what was learned to a bundle on disk: calibrated, measured, proven equal in both runtimes, written whole."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.errors import ArtylyzeError, InputError
from artylyze.models.bundle import Bundle, Task
from artylyze.models.folder import save
from artylyze.models.runtimes import CpuRuntime, TorchRuntime
from artylyze.models.scores import probabilities, thresholds
from artylyze.training.calibration import FLAG_ALL, fit_temperature, review_threshold
from artylyze.training.metrics import ClassMetrics, TaskMetrics, scores_of, unflagged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.training.learned import Scored

CURVES, AUGMENTATION = "curves.png", "augmentation.png"

TOLERANCE = 1e-4
"""How far OpenVINO and torch may differ, as a share of the largest value (or of 1, where all are smaller)."""


def calibrated(name: str, terms: Sequence[str], held_out: Scored, precision: float) -> Task:
    """The task with the temperature and the review threshold that fit scores of held-out images.

    Images of classes that were not taught say nothing of either: they would make a model look too sure that is not. The
    threshold is `FLAG_ALL` where none is sure to meet `precision`, the temperature 1 where no image is left. Raises
    InputError where training has diverged.
    """
    if not np.isfinite(held_out.logits).all():
        raise InputError(f"The training of {name} diverged: choose a smaller learning rate with `lr`.")
    known = held_out.taught()
    if not len(known.labels):
        return Task(name, tuple(terms), 1.0, FLAG_ALL)
    temperature = fit_temperature(known.logits, known.labels)
    scores = probabilities(known.logits, temperature)
    threshold = review_threshold(scores.max(axis=1), scores.argmax(axis=1) == known.labels, precision)
    return Task(name, tuple(terms), temperature, FLAG_ALL if threshold is None else threshold)


def measured(task: Task, parts: Mapping[str, Scored]) -> dict[str, Any]:
    """The metrics of a task as JSON values: for each part (`test`, `held_out`) its figures.

    Each has those of `TaskMetrics.summary()`, `per_class`, `coverage`, `unflagged`: share and accuracy of what the
    task's review threshold does not flag; and `not_measurable`: the classes that were not taught, and how many images
    have them. These images are left out of all figures. A figure of which nothing is known is None.
    """
    return {name: _figures(task, part) for name, part in parts.items()}


def _figures(task: Task, part: Scored) -> dict[str, Any]:
    lost = {task.terms[code]: int((part.labels == code).sum()) for code in part.untaught}
    known = part.taught()
    if not len(known.labels):
        nothing = dict.fromkeys(("precision", "recall", "f1"))
        return {
            "n": 0,
            **dict.fromkeys(("accuracy", *nothing, "top5", "ece")),
            "unflagged": {"coverage": None, "accuracy": None},
            "coverage": [],
            "per_class": [{"term": term, "support": 0, "predicted": 0, **nothing} for term in task.terms],
            "not_measurable": lost,
        }
    scores = probabilities(known.logits, task.temperature)
    metrics: TaskMetrics = scores_of(scores, known.labels, task.terms, untaught=part.untaught)
    best = scores.argmax(axis=1)
    kept = unflagged(scores.max(axis=1), best == known.labels, thresholds(task)[best])
    return {
        **metrics.summary(),
        "unflagged": asdict(kept),
        "coverage": [asdict(point) for point in metrics.coverage],
        "per_class": [_row(row) for row in metrics.per_class],
        "not_measurable": lost,
        "small_classes": metrics.small,
        "macro_without_small_classes": metrics.macro_of_others,
    }


def _row(row: ClassMetrics) -> dict[str, Any]:
    """A class as JSON values; of one without images nothing is known."""
    return asdict(row) if row.support else {**asdict(row), "precision": None, "recall": None, "f1": None}


def check_equal(bundle: Bundle, pixels: NDArray[np.uint8]) -> float:
    """Run `pixels`, uint8 (n, size, size, 3), through both runtimes on the CPU, and return how far they differ.

    Raises ArtylyzeError where that is more than `TOLERANCE`.
    """
    onnx, torch = CpuRuntime(bundle).run(pixels), TorchRuntime(bundle, "cpu", "float32").run(pixels)
    pairs = [(onnx.embedding, torch.embedding), *((onnx.logits[name], torch.logits[name]) for name in torch.logits)]
    pairs += [(onnx.outside, torch.outside)] if onnx.outside is not None and torch.outside is not None else []
    gap = max(float(np.abs(exported - trained).max() / max(1.0, np.abs(trained).max())) for exported, trained in pairs)
    if not gap <= TOLERANCE:
        raise ArtylyzeError(
            f"The exported model differs from the trained one by {gap:.2g} (allowed: {TOLERANCE:g}), so no bundle was "
            f"written: train with another backbone than {bundle.backbone}, or report this with the versions of torch "
            "and openvino."
        )
    return gap


def check_folder(folder: Path) -> None:
    """Raise InputError where a bundle could not be written as `folder`: better before a training than after it."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} exists already: remove it or choose another folder for the bundle.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        probe = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise InputError(f"The bundle {folder} cannot be written: {error.strerror or error}.") from error


def write(folder: Path, bundle: Bundle, pictures: Mapping[str, bytes]) -> None:
    """Write `bundle` and pictures, by their names, as `folder`, which appears whole or not at all."""
    unfinished = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    save(unfinished, bundle)
    try:
        for name, picture in pictures.items():
            (unfinished / name).write_bytes(picture)
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except OSError as error:
        raise InputError(f"The bundle {folder} cannot be written: {error.strerror or error}.") from error
