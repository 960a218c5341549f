"""From a dataset to a bundle that tags: the steps of a training, in order."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.datasets.dataset import MEASURABLE, Dataset, read_dataset
from artylyze.datasets.examples import Examples, examples_of
from artylyze.drawing.plots import curves
from artylyze.drawing.table import columns, rendered
from artylyze.extraction.cached import embed
from artylyze.models.build import build_bundle, features_bundle
from artylyze.models.bundle import DESCRIPTION
from artylyze.models.card import notes_on
from artylyze.progress import Watcher
from artylyze.storage.staging import local_output, refuse_cluster
from artylyze.training.bundling import AUGMENTATION, CURVES, calibrated, check_equal, check_folder, measured, write
from artylyze.training.calibration import FLAG_ALL
from artylyze.training.frozen import learn_frozen, scored
from artylyze.training.learned import Learned, Scored
from artylyze.training.outside import fit_outside
from artylyze.training.request import TrainRequest
from artylyze.wording import counted
from artylyze.workers.fetching import Source
from artylyze.workers.reading import Reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.models.bundle import Bundle, Task
    from artylyze.training.messages import OnEpoch

__all__ = ["TrainRequest", "Trained", "train"]

NAMED = 5
"""Images that could not be read and are named in a message; the bundle's description has more."""

RECORDED = 100
"""Images that could not be read and are named in the bundle's description."""

COMPARED = 4
"""Images that the two runtimes are compared on."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training made.

    Attributes:
        bundle: the bundle that was written.
        metrics: for each task `test`, where the dataset has a test split, and `held_out`: see `bundling.measured`.
        curves: loss and accuracy per epoch, by series.
        failed: image_id -> error code of the images that could not be read.
    """

    bundle: Bundle
    metrics: Mapping[str, Any]
    curves: Mapping[str, Sequence[float]]
    failed: Mapping[str, str]


def train(
    request: TrainRequest, reporter: Watcher, *, on_epoch: OnEpoch | None = None, cores: int | None = None
) -> Trained:
    """Train as `request` says, and write the bundle's folder, or the address of one, with its curves.png.

    Where images are varied, augmentation.png shows how.

    `on_epoch` and `cores` are for finetune mode: see `artylyze.training.finetune.finetune`.

    Raises:
        UsageError: for what does not go together, such as a task that the dataset does not have.
        InputError: for a dataset, weights, a bundle or images that cannot be used.
        ArtylyzeError: if the exported model does not equal the trained one.
    """
    if request.mode == "finetune":
        refuse_cluster(request.output)
    with local_output(request.output, marker=DESCRIPTION) as folder:
        return _train(replace(request, output=folder), reporter, on_epoch, cores)


def _train(request: TrainRequest, reporter: Watcher, on_epoch: OnEpoch | None, cores: int | None) -> Trained:
    check_folder(Path(request.output))
    dataset = read_dataset(request.dataset)
    examples = examples_of(dataset, request.tasks)
    leftovers: Path | None = None
    if request.mode == "frozen":
        learned = learn_frozen(request, examples, reporter)
    else:
        learned, leftovers = _finetuned(request, dataset, examples, reporter, on_epoch, cores)
    trained = finish(request, dataset, examples, learned, reporter)
    if leftovers is not None:
        shutil.rmtree(leftovers, ignore_errors=True)
    return trained


def calibrate_and_measure(
    request: TrainRequest, examples: Examples, learned: Learned
) -> tuple[list[Task], dict[str, Any]]:
    """The calibrated tasks of what was learned, and for each its metrics. Raises InputError where it has diverged."""
    tasks = [
        calibrated(name, terms, learned.held_out[name], request.precision_target)
        for name, terms in examples.tasks.items()
    ]
    metrics = {task.name: measured(task, _parts(learned, task.name)) for task in tasks}
    if learned.flatters:
        for parts in metrics.values():
            parts["held_out"]["flatters"] = learned.flatters
    return tasks, metrics


def finish(request: TrainRequest, dataset: Dataset, examples: Examples, learned: Learned, reporter: Watcher) -> Trained:
    """Calibrate and measure what was learned, and write its bundle. Raises as `train` does."""
    _report_failed(learned.failed, reporter)
    tasks, metrics = calibrate_and_measure(request, examples, learned)
    for sentence in _review_notes(tasks, learned, request.precision_target):
        reporter.say(sentence)
    reporter.say("Exporting the model, and comparing it with the trained one on real images")
    bundle = build_bundle(
        learned.backbone,
        tasks,
        {name: (head.weight, head.bias) for name, head in learned.heads.items()},
        outside=learned.outside,
        training_data=dataset.digest,
        metrics=metrics,
        training=_described(request, dataset, learned),
    )
    pixels = _some_pixels(examples, learned.failed, bundle.preprocessing.size)
    check_equal(bundle, pixels)
    pictures = {CURVES: curves(f"Training of {', '.join(examples.tasks)}: {bundle.backbone}", learned.curves)}
    if request.augment or request.mode == "finetune":
        from artylyze.training.augment import augmentation_sheet

        frozen = request.mode == "frozen"
        pictures[AUGMENTATION] = augmentation_sheet(pixels, bundle.preprocessing, frozen=frozen)
    write(Path(request.output), bundle, pictures)
    return Trained(bundle, metrics, learned.curves, learned.failed)


def describe(trained: Trained, output: str) -> str:
    """What a training made, in words for a terminal."""
    names = ("accuracy", "precision", "recall", "f1", "top5", "ece")
    rows: list[tuple[str, ...]] = [
        ("", "images", "accuracy", "precision", "recall", "F1", "top-5", "ECE", "unflagged", "accuracy there")
    ]
    for task, parts in trained.metrics.items():
        for part, figures in parts.items():
            shares = [
                *(figures[name] for name in names),
                *(figures["unflagged"][name] for name in ("coverage", "accuracy")),
            ]
            cells = ("-" if share is None else f"{share:.3f}" for share in shares)
            rows.append((f"{task}, {part.replace('_', ' ')}", f"{figures['n']:,}", *cells))
    skipped = f" {counted(len(trained.failed), 'image')} could not be read." if trained.failed else ""
    notes = [f"{task}: {note}" for task, parts in trained.metrics.items() for note in notes_on(parts)]
    return rendered([columns(rows), *notes, f"Bundle: {output} (model {trained.bundle.model_id}).{skipped}"])


def _finetuned(
    request: TrainRequest,
    dataset: Dataset,
    examples: Examples,
    reporter: Watcher,
    on_epoch: OnEpoch | None,
    cores: int | None,
) -> tuple[Learned, Path]:
    """Fine-tune, then ask the tuned model about what it did not learn from: the held-out part and the test split.

    With it comes the folder that lets the same command go on after an interruption, until the bundle is written.
    """
    from artylyze.training.finetune import finetune

    tuned = finetune(request, dataset, reporter, on_epoch=on_epoch, cores=cores)
    held_out = np.intersect1d(tuned.held_out, examples.labelled)
    rows = np.union1d(held_out, examples.labelled[~examples.train[examples.labelled]])
    reporter.say(f"Asking the tuned model about {len(rows):,} images that it did not learn from")
    features = embed(examples.table.take(rows), features_bundle(tuned.backbone), device=request.device)
    ids = examples.table.column("image_id")
    learned_from = np.setdiff1d(examples.labelled, np.union1d(held_out, tuned.validation))
    learned_from = np.array([row for row in learned_from if ids[int(row)].as_py() not in tuned.failed], np.int64)
    counts = {task: examples.counts(task, examples.of(task, learned_from, train=True)) for task in examples.tasks}
    answers = scored(examples, features, rows, tuned.heads, train=True)
    apart = np.isin(rows[features.rows], held_out)  # of what a tuned network learned from the features lie too near
    learned = Learned(
        backbone=tuned.backbone,
        heads=tuned.heads,
        curves=tuned.curves,
        held_out={task: replace(scores, untaught=_untaught(scores, counts[task])) for task, scores in answers.items()},
        test=scored(examples, features, rows, tuned.heads, train=False),
        failed={**tuned.failed, **features.failed},
        counts=counts,
        about=dict(tuned.settings),
        outside=fit_outside(features.matrix[apart], examples.groups[rows[features.rows[apart]]], request.seed),
        flatters="they chose the epoch too" if np.isin(held_out, tuned.validation).any() else None,
    )
    return learned, tuned.folder


def _untaught(scores: Scored, counts: Mapping[str, int]) -> tuple[int, ...]:
    """The classes of held-out images that no image learned from has; `counts` are in the order of the classes."""
    none = np.flatnonzero(np.array(list(counts.values())) == 0)
    return tuple(np.intersect1d(none, scores.labels).tolist())


def _parts(learned: Learned, task: str) -> dict[str, Scored]:
    """The figures that nothing was chosen by first."""
    parts = {"test": learned.test[task]} if task in learned.test else {}
    return parts | {"held_out": learned.held_out[task]}


def _described(request: TrainRequest, dataset: Dataset, learned: Learned) -> dict[str, Any]:
    """How the model was trained and on what, as JSON values."""
    return {
        "mode": request.mode,
        "backbone": learned.backbone.name,
        "init_from": request.init_from,
        "weights": request.weights,
        "learning_rate": request.learning_rate,
        "epochs": request.epoch_count,
        "batch_size": request.batch_size,
        "label_smoothing": request.label_smoothing,
        "weight_decay": request.weight_decay,
        "precision_target": request.precision_target,
        "seed": request.seed,
        **learned.about,
        "images": {task: dict(counts) for task, counts in learned.counts.items()},
        "dataset": dict(dataset.settings),
        "skipped": {
            "images": len(learned.failed),
            "by_reason": dict(Counter(learned.failed.values())),
            "named": dict(list(learned.failed.items())[:RECORDED]),
        },
    }


def _report_failed(failed: Mapping[str, str], reporter: Watcher) -> None:
    if failed:
        named = ", ".join(f"{image} ({code})" for image, code in list(failed.items())[:NAMED])
        more = f" and {len(failed) - NAMED:,} more" if len(failed) > NAMED else ""
        reporter.say(f"Skipped {counted(len(failed), 'image')} that could not be read: {named}{more}.")


def _review_notes(tasks: Sequence[Task], learned: Learned, precision: float) -> Iterator[str]:
    """Why every image of a task will be flagged for review."""
    for task in tasks:
        if task.review_threshold < FLAG_ALL:
            continue
        images = len(learned.held_out[task.name].taught().labels)
        if images < MEASURABLE:
            few = f"only {counted(images, 'held-out image')} can be measured"
            yield (
                f"{task.name}: every image will be flagged for review, because {few}, and a threshold takes "
                f"{MEASURABLE}: train on more labelled images."
            )
        else:
            yield (
                f"{task.name}: every image will be flagged for review, because on {images:,} held-out images no "
                f"threshold is sure to reach a precision of {precision:g}: lower it with `precision`, or train on more "
                "labelled images."
            )


def _some_pixels(examples: Examples, failed: Mapping[str, str], size: int) -> NDArray[np.uint8]:
    """A few images of the dataset that can be read, uint8 (n, size, size, 3)."""
    ids, uris = examples.table.column("image_id"), examples.table.column("uri")
    good = (int(row) for row in examples.labelled if ids[int(row)].as_py() not in failed)
    sources = [Source(uris[row].as_py()) for row, _ in zip(good, range(COMPARED), strict=False)]
    with Reader(size) as reader:
        return np.concatenate([batch.filled.copy() for batch in reader.read(sources, [None] * len(sources), COMPARED)])
