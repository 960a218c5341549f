"""How good a bundle is: on the images that its training left for it, on other labelled images, or on a catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from artylyze.datasets.dataset import read_dataset
from artylyze.errors import InputError, UsageError
from artylyze.evaluation.comparison import Side, apart, refit, review_of, training_groups
from artylyze.evaluation.predictions import (
    Answers,
    Predictions,
    labelled_rows,
    labels_of,
    limits,
    of_catalog,
    of_dataset,
    snapshot_of,
)
from artylyze.models.resolve import resolve_model
from artylyze.models.runtimes import resolve_device
from artylyze.storage import check_output
from artylyze.tables import DEFAULT_READING, Reading, check_options
from artylyze.training.metrics import SMALL, Kept, TaskMetrics, scores_of

if TYPE_CHECKING:
    import pyarrow as pa

    from artylyze.datasets.dataset import Dataset
    from artylyze.models.bundle import Bundle, Task
    from artylyze.progress import Watcher

FOLDS = 4


@dataclass(frozen=True)
class EvaluateRequest:
    """One evaluation. Raises UsageError for what does not go together.

    Attributes:
        bundle: folder of the bundle.
        source: a dataset (a .parquet file), or a catalog that the bundle made.
        output: the folder for figures, tables and pictures.
        labels: tables that label the images of a catalog, whose own metadata is the last of them.
        tasks: which to evaluate; None: all that the bundle and the source have.
        folds: parts for the refit of a frozen bundle, 0 for none.
        device: auto, cpu or cuda.
        id_column: of a table of labels, that identifies a record; None: it is found.
        reading: how tables of labels are to be read.
    """

    bundle: str
    source: str
    output: str
    labels: tuple[str, ...] = ()
    tasks: tuple[str, ...] | None = None
    folds: int = FOLDS
    device: str = "auto"
    id_column: str | None = None
    reading: Reading = DEFAULT_READING

    def __post_init__(self) -> None:
        if not self.output:
            raise UsageError("Say where figures and pictures go: `output`.")
        check_output(self.output)
        if self.folds < 0 or self.folds == 1:
            raise UsageError(f"`folds={self.folds}`: give 2 or more, or 0 for none.")
        if self.labels and not self.of_catalog:
            raise UsageError("A dataset has its own labels: leave `labels` away.")
        check_options("`labels=TABLE`", bool(self.labels), self.reading, self.id_column)

    @property
    def of_catalog(self) -> bool:
        """Whether the source is a catalog."""
        return not self.source.lower().endswith(".parquet")


@dataclass(frozen=True)
class Measured:
    """One task: the answers, their figures, what the review threshold leaves, and both kinds of split."""

    answers: Answers
    metrics: TaskMetrics
    review: Kept
    sides: Sequence[Side]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            **self.metrics.summary(),
            "accuracy_at_80": self.metrics.at_coverage(0.8),
            "review": {"threshold": self.answers.task.review_threshold, **asdict(self.review)},
            "splits": [asdict(side) for side in self.sides],
            "unknown_terms": dict(self.answers.unknown),
            **self.metrics.as_dict(),
        }


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        model_id: of the bundle.
        source: where the images are from.
        kind: what they are: `test images`, `images` or `catalog images`.
        predictions: with the answers.
        tasks: by name.
        notes: sentences on what the figures do not say.
    """

    model_id: str
    source: str
    kind: str
    predictions: Predictions
    tasks: Mapping[str, Measured]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "model_id": self.model_id,
            "source": self.source,
            "kind": self.kind,
            "images": self.predictions.table.num_rows,
            "failed": dict(self.predictions.failed),
            "notes": list(self.notes),
            "tasks": {name: measured.as_dict() for name, measured in self.tasks.items()},
        }


def evaluate(request: EvaluateRequest, watcher: Watcher) -> Evaluation:
    """Judge a bundle; `artylyze.evaluation.figures` writes what comes out.

    Raises:
        InputError: a bundle or a source that cannot be used, or that have no task in common.
        StorageError: storage that refuses.
    """
    bundle = resolve_model(request.bundle)
    if request.of_catalog:
        return _of_catalog(request, bundle)
    return _of_dataset(request, bundle, read_dataset(request.source), watcher)


def _of_dataset(request: EvaluateRequest, bundle: Bundle, dataset: Dataset, watcher: Watcher) -> Evaluation:
    tasks = _tasks(request, bundle, tuple(dataset.tasks))
    trained_on_it = dataset.digest == bundle.training_data
    frozen = bundle.training.get("mode") == "frozen"
    whole = frozen and request.folds > 0
    rows = labelled_rows(dataset.table, tasks)
    test = pc.equal(dataset.table.column("split"), "test").to_numpy()
    evaluated = rows[test[rows]] if trained_on_it else rows
    if not len(evaluated):
        raise InputError(f"{request.source} has no test rows: make it with `artylyze curate --split 0.75,0.25`.")
    notes = [_shared(dataset.table.take(evaluated), dataset.table)] if trained_on_it else [_overlap(request.source)]
    if whole and (before := bundle.training.get("init_from")):
        notes.append(f"The backbone began as that of {before}: if it has seen these images, both splits flatter.")
    embedded = rows if whole else evaluated
    watcher.start(len(embedded), 0, "Embedding")
    predictions = of_dataset(
        bundle, dataset.table.take(embedded), tasks, np.isin(embedded, evaluated), request.device, watcher.advance
    )
    measured = {}
    for task in tasks:
        answers, sides = predictions.answers[task.name], []
        if trained_on_it and not frozen:
            sides = apart(answers, predictions.table.column("group").to_pylist(), training_groups(dataset.table))
        elif whole:
            table, device = dataset.table.take(embedded), resolve_device(request.device)
            sides, more = refit(predictions.features, table, bundle, task, request.folds, device, watcher.say)
            notes += more
        measured[task.name] = _measure(answers, sides)
    kind = "test images" if trained_on_it else "images"
    return Evaluation(
        bundle.model_id, request.source, kind, predictions, measured, (*notes, *_gaps(predictions, measured))
    )


def _of_catalog(request: EvaluateRequest, bundle: Bundle) -> Evaluation:
    snapshot = snapshot_of(request.source, bundle)
    answered = [task.name for task in bundle.tasks]
    named = [task for task in request.tasks or () if task in answered]
    rows, labels, unjoined = labels_of(
        request.source, request.labels, answered, named, request.id_column, request.reading
    )
    tasks = _tasks(request, bundle, tuple(labels))
    predictions = of_catalog(rows, labels, tasks)
    measured = {task.name: _measure(predictions.answers[task.name], ()) for task in tasks}
    notes = (
        _overlap(f"The catalog {request.source}"),
        *unjoined,
        *limits(snapshot, tasks),
        *_gaps(predictions, measured),
    )
    return Evaluation(bundle.model_id, request.source, "catalog images", predictions, measured, notes)


def _measure(answers: Answers, sides: Sequence[Side]) -> Measured:
    metrics = scores_of(answers.scores, answers.labels, answers.task.terms)
    return Measured(answers, metrics, review_of(answers.scores, answers.labels, answers.task), sides)


def _tasks(request: EvaluateRequest, bundle: Bundle, offered: Sequence[str]) -> list[Task]:
    """The tasks to judge; InputError where the bundle or the source lacks what was asked for."""
    has = {task.name: task for task in bundle.tasks}
    wanted = request.tasks or tuple(name for name in offered if name in has)
    if not wanted or not set(wanted) <= has.keys() & set(offered):
        raise InputError(
            f"The bundle {request.bundle} answers {_list(has)}, {request.source} has labels for {_list(offered)}: "
            f"{_advice(request)}."
        )
    ranked = [name for name in wanted if has[name].temperature is None]
    if ranked:
        raise InputError(
            f"{_list(ranked)}: the terms are ranked and have no scores to judge: tag with a labelled `sample` that "
            "calibrates them, or name other tasks."
        )
    return [has[name] for name in wanted]


def _advice(request: EvaluateRequest) -> str:
    if request.of_catalog and not request.labels:
        return "give tables that label its images, `labels=FILE`"
    return "name tasks of both" if request.tasks else "they have no task in common"


def _gaps(predictions: Predictions, measured: Mapping[str, Measured]) -> list[str]:
    notes = []
    if predictions.failed:
        notes.append(f"{len(predictions.failed):,} labelled images have no answer: they could not be read.")
    for answers in predictions.answers.values():
        metrics = measured[answers.task.name].metrics
        if metrics.small:
            named = ", ".join(f"{term} ({count:,})" for term, count in metrics.small.items())
            others = metrics.macro_of_others
            without = (
                f"Without such classes precision is {others['precision']:.3f}, recall {others['recall']:.3f} and F1 "
                f"{others['f1']:.3f}."
                if others
                else "All classes are as small."
            )
            notes.append(
                f"{answers.task.name}: fewer than {SMALL} images have {named}: their figures are uncertain, yet macro "
                f"figures weigh them as much as any other class. {without}"
            )
        if answers.unknown:
            images = sum(answers.unknown.values())
            terms = ", ".join(answers.unknown)
            notes.append(
                f"{answers.task.name}: {images:,} images have labels that the bundle does not know ({terms}); they "
                "are counted here and not judged."
            )
    return notes


def _overlap(source: str) -> str:
    return f"{source} is not the dataset that the bundle was trained on: whether images of it were is unknown."


def _shared(evaluated: pa.Table, dataset: pa.Table) -> str:
    """Say how many of the evaluated images are by artists who are in the training images."""
    groups, training = evaluated.column("group").to_pylist(), training_groups(dataset)
    shared = sum(group is not None and group in training for group in groups)
    unknown = sum(group is None for group in groups)
    none = f"; the artist of {unknown:,} is unknown" if unknown else ""
    return f"{shared:,} of the {len(groups):,} test images are by artists who are in the training images too{none}."


def _list(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(names) or "nothing"
