"""What an evaluation leaves behind: figures as JSON, tables as CSV, pictures, and a few lines for a terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.datasets.folds import DISJOINT, RANDOM, SOURCES
from artylyze.drawing import plots
from artylyze.drawing.table import write_csv
from artylyze.evaluation.comparison import figures_of
from artylyze.evaluation.sheets import draw_sheets, mistakes, plan_sheets
from artylyze.storage import open_store
from artylyze.training.metrics import SMALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from rich.console import RenderableType
    from rich.table import Table

    from artylyze.evaluation.comparison import Side
    from artylyze.evaluation.evaluate import Evaluation, Measured
    from artylyze.progress import Watcher

METRICS = "metrics.json"


def write_report(evaluation: Evaluation, output: str, watcher: Watcher) -> list[str]:
    """Write all files of an evaluation below `output`, a folder or an address, and return their names.

    `metrics.json` is written last: with it, the folder is complete.
    """
    store, written = open_store(output), []
    for name, measured in evaluation.tasks.items():
        watcher.say(f"Drawing {name}")
        for key, data in _files(evaluation, measured):
            store.put(f"{name}-{key}", data)
            written.append(f"{name}-{key}")
    store.put(METRICS, (json.dumps(evaluation.as_dict(), indent=1, ensure_ascii=False) + "\n").encode())
    return [METRICS, *written]


def describe(evaluation: Evaluation, output: str, files: Sequence[str]) -> Iterator[RenderableType]:
    """Tables and sentences for a terminal: the figures of each task with both splits, and the notes on them."""
    images = f"{evaluation.predictions.table.num_rows:,} {evaluation.kind}"
    yield f"Model {evaluation.model_id} on {images} of {evaluation.source}"
    for name, measured in evaluation.tasks.items():
        yield _figures(name, measured)
    folds = {side.folds for measured in evaluation.tasks.values() for side in measured.sides}
    if folds == {0}:
        yield (
            "Beside the bundle: the same images, by whether training had images of their artist. (A backbone that was "
            "fine-tuned cannot be fitted again in folds.)"
        )
    elif folds:
        yield (
            f"{', '.join((DISJOINT, SOURCES, RANDOM))}: heads fitted again in {max(folds)} folds on the same features; "
            "mean and standard deviation over the folds. Temperature and review threshold are the bundle's."
        )
    yield from (f"Note: {note}" for note in evaluation.notes)
    yield f"Wrote {METRICS} and {len(files) - 1} tables and pictures to {output}."


def _files(evaluation: Evaluation, measured: Measured) -> Iterator[tuple[str, bytes]]:
    metrics, task = measured.metrics, measured.answers.task
    images = f"{task.name}: {metrics.n:,} {evaluation.kind}"
    yield (
        "classes.csv",
        _csv(("term", "support", "predicted", "precision", "recall", "f1"), [asdict(row) for row in metrics.per_class]),
    )
    yield "confusion.csv", _csv(("label", "prediction", "images"), _confusions(measured))
    yield (
        "mistakes.csv",
        _csv(
            ("image_id", "record_id", "label", "prediction", "score"),
            _mistakes(measured, evaluation.predictions.table),
        ),
    )
    yield (
        "confusion.png",
        plots.confusion(
            f"{images}, answers against labels; accuracy {metrics.accuracy:.3f}", metrics.confusion, task.terms
        ),
    )
    yield (
        "reliability.png",
        plots.reliability(
            f"{images}, accuracy against score",
            [(bin_.low, bin_.high, bin_.count, bin_.confidence, bin_.accuracy) for bin_ in metrics.reliability],
            metrics.ece,
            SMALL,
        ),
    )
    yield (
        "coverage.png",
        plots.coverage(
            f"{images}, what can be left unchecked",
            [(kept.coverage, kept.accuracy) for kept in metrics.coverage if kept.accuracy is not None],
            _marks(measured),
        ),
    )
    yield (
        "classes.png",
        plots.classes(
            f"{images} by class (their number in brackets)",
            [plots.Score(row.term, row.support, row.precision, row.recall, row.f1) for row in metrics.per_class],
        ),
    )
    sheets = draw_sheets(plan_sheets(measured.answers, metrics), measured.answers, evaluation.predictions.table)
    for name, image in sheets.items():
        out = io.BytesIO()
        image.save(out, "PNG")
        yield f"{name}.png", out.getvalue()


def _marks(measured: Measured) -> dict[str, tuple[float, float]]:
    marks = {"the most certain": (0.8, measured.metrics.at_coverage(0.8))}
    if measured.review.accuracy is not None:
        threshold = f"not flagged for review, score from {measured.answers.task.review_threshold:.2f}"
        marks[threshold] = (measured.review.coverage, measured.review.accuracy)
    return marks


def _confusions(measured: Measured) -> list[dict[str, Any]]:
    """The cells of the confusion matrix that are not 0, one a row: class names are never column names."""
    matrix, terms = measured.metrics.confusion, measured.answers.task.terms
    return [
        {"label": terms[label], "prediction": terms[prediction], "images": int(matrix[label, prediction])}
        for label, prediction in zip(*np.nonzero(matrix), strict=True)
    ]


def _mistakes(measured: Measured, table: pa.Table) -> list[dict[str, Any]]:
    """Every wrong answer, the most certain first: an error of the model, or of the label."""
    answers, terms = measured.answers, measured.answers.task.terms
    rows = mistakes(answers)
    taken = np.array(rows, np.int64)  # typed, for a model that makes none
    named = zip(*(table.column(name).take(taken).to_pylist() for name in ("image_id", "record_id")), strict=True)
    return [
        {
            "image_id": image,
            "record_id": record,
            "label": terms[answers.labels[row]],
            "prediction": terms[int(answers.scores[row].argmax())],
            "score": f"{answers.scores[row].max():.4f}",
        }
        for row, (image, record) in zip(rows, named, strict=True)
    ]


def _csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    file = io.StringIO(newline="")
    write_csv(file, columns, rows)
    return file.getvalue().encode("utf-8-sig")  # with the mark by which Excel knows UTF-8


def _figures(name: str, measured: Measured) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.MARKDOWN)
    table.add_column(name, no_wrap=True)
    for column in ("the bundle", *(side.name for side in measured.sides)):
        table.add_column(column, justify="right")
    table.add_row("images", f"{measured.metrics.n:,}", *(f"{side.images:,}" for side in measured.sides))
    own = figures_of(measured.metrics, measured.review)
    for figure, label in _LABELS.items():
        cells = (_with_spread(side, figure) for side in measured.sides)
        table.add_row(label, f"{own[figure]:.3f}" if figure in own else "-", *cells)
    return table


def _with_spread(side: Side, figure: str) -> str:
    if figure not in side.mean:
        return "-"
    mean = f"{side.mean[figure]:.3f}"
    return mean if side.spread is None else f"{mean} ±{side.spread[figure]:.3f}"


_LABELS = {
    "accuracy": "accuracy",
    "precision": "macro precision",
    "recall": "macro recall",
    "f1": "macro F1",
    "top5": "top-5",
    "ece": "calibration error (ECE)",
    "accuracy_at_80": "accuracy, most certain 80 %",
    "unflagged": "not flagged for review",
    "unflagged_accuracy": "accuracy, not flagged",
}
