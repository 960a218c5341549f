"""From what was learned to a bundle on disk: calibrated, measured, proven equal in both runtimes, written whole."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.errors import ArtylyzeError, InputError
from artylyze.models.bundle import Bundle, Task, save
from artylyze.models.runtimes import OnnxRuntime, TorchRuntime
from artylyze.models.scores import probabilities
from artylyze.training.calibration import FLAG_ALL, fit_temperature, review_threshold
from artylyze.training.metrics import TaskMetrics, scores_of, unflagged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.training.learned import Scored

CURVES = "curves.png"

LEAST = 20
"""Images that a review threshold must leave to the machine: fewer say nothing about its precision."""

TOLERANCE = 1e-4
"""How far ONNX Runtime and torch may differ, as a share of the largest value (or of 1, where all are smaller)."""


def calibrated(name: str, terms: Sequence[str], held_out: Scored, precision: float) -> Task:
    """The task with the temperature and the review threshold that fit scores of held-out images.

    The threshold is `FLAG_ALL` where no other meets `precision`. Raises InputError where training has diverged.
    """
    if not np.isfinite(held_out.logits).all():
        raise InputError(f"The training of {name} diverged: choose a smaller learning rate with --lr.")
    temperature = fit_temperature(held_out.logits, held_out.labels)
    scores = probabilities(held_out.logits, temperature)
    correct = scores.argmax(axis=1) == held_out.labels
    least = min(LEAST, len(correct))
    threshold = review_threshold(scores.max(axis=1), correct, precision, least=least)
    return Task(name, tuple(terms), temperature, FLAG_ALL if threshold is None else threshold)


def measured(task: Task, parts: Mapping[str, Scored]) -> dict[str, Any]:
    """The metrics of a task as JSON values: for each part (`held_out`, `test`) its figures.

    Each has those of `TaskMetrics.summary()`, `per_class`, `coverage`, and `unflagged`: share and accuracy of what the
    task's review threshold does not flag.
    """
    found = {}
    for name, part in parts.items():
        scores = probabilities(part.logits, task.temperature)
        best, correct = scores.max(axis=1), scores.argmax(axis=1) == part.labels
        metrics: TaskMetrics = scores_of(scores, part.labels, task.terms)
        kept = unflagged(best, correct, task.review_threshold)
        found[name] = {
            **metrics.summary(),
            "unflagged": asdict(kept),
            "coverage": [asdict(one) for one in metrics.coverage],
            "per_class": [asdict(one) for one in metrics.per_class],
        }
    return found


def check_equal(bundle: Bundle, pixels: NDArray[np.uint8]) -> float:
    """Run `pixels`, uint8 (n, size, size, 3), through both runtimes on the CPU, and return how far they differ.

    Raises ArtylyzeError where that is more than `TOLERANCE`.
    """
    onnx, torch = OnnxRuntime(bundle).run(pixels), TorchRuntime(bundle, "cpu", "float32").run(pixels)
    pairs = [(onnx.embedding, torch.embedding), *((onnx.logits[name], torch.logits[name]) for name in torch.logits)]
    gap = max(float(np.abs(one - other).max() / max(1.0, np.abs(other).max())) for one, other in pairs)
    if not gap <= TOLERANCE:
        raise ArtylyzeError(
            f"The exported model differs from the trained one by {gap:.2g} (allowed: {TOLERANCE:g}), so no bundle was "
            f"written: train with another backbone than {bundle.backbone}, or report this with the versions of torch "
            "and onnxruntime."
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


def write(folder: Path, bundle: Bundle, picture: bytes) -> None:
    """Write `bundle` with its curves as `folder`, which appears whole or not at all."""
    unfinished = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    save(unfinished, bundle)
    try:
        (unfinished / CURVES).write_bytes(picture)
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except OSError as error:
        raise InputError(f"The bundle {folder} cannot be written: {error.strerror or error}.") from error
