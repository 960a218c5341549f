"""The table of a sweep: one row for each model, mode and learning rate, the best held-out score first."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artylyze.drawing.table import write_csv
from artylyze.storage import open_store
from artylyze.tuning import trials
from artylyze.tuning.sweep import RANDOM

if TYPE_CHECKING:
    from rich.table import Table

    from artylyze.drawing.plots import History
    from artylyze.tuning.sweep import Trial, TuneRequest

JSON, CSV, PLOT, CURVES = "sweep.json", "sweep.csv", "sweep.png", "curves.png"

COMPLETE, STOPPED, FAILED = "complete", "stopped", "failed"

COLUMNS = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1", "top5": "top-5"}
"""The figures of the study's table, by their names in the metrics."""

PARTS = ("test", "held_out")
"""What the figures were measured on: first the images that chose nothing."""


@dataclass(frozen=True)
class Row:
    """A model at one learning rate.

    Attributes:
        trial: that it comes from.
        mode: frozen or finetune.
        learning_rate: of the trial, or one of them.
        state: complete; stopped (by the scheduler); failed.
        epochs: that were trained.
        score: held-out accuracy, the mean over the tasks, of the last epoch where it was stopped; None where it failed.
        metrics: task -> part (held_out, test) -> figures; of a stopped one the held-out accuracy only.
        curves: loss and accuracy per epoch, by series (`artylyze.drawing.plots.curves` names them).
        error: why it failed.
        rank: 1 is the best; None where it is not complete, or began with random weights.
    """

    trial: Trial
    mode: str
    learning_rate: float
    state: str
    epochs: int = 0
    score: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    error: str | None = None
    rank: int | None = None

    @property
    def rankable(self) -> bool:
        """Whether its score says anything about the model."""
        return self.state == COMPLETE and self.trial.weights != RANDOM

    @property
    def label(self) -> str:
        """The model, and how it began if that was with nothing."""
        return f"{self.trial.model} (random weights)" if self.trial.weights == RANDOM else self.trial.model

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "rank": self.rank,
            "model": self.trial.model,
            "weights": self.trial.weights,
            "mode": self.mode,
            "learning_rate": self.learning_rate,
            "epochs": self.epochs,
            "state": self.state,
            "score": self.score,
            "metrics": self.metrics,
            "curves": self.curves,
            "error": self.error,
        }


@dataclass(frozen=True)
class Board:
    """All rows of a sweep, those with a rank first.

    Attributes:
        rows: in the order of the table.
        tasks: that have figures.
    """

    rows: tuple[Row, ...]
    tasks: tuple[str, ...]

    @property
    def best(self) -> Row | None:
        """The row of rank 1."""
        return next((row for row in self.rows if row.rank == 1), None)

    @property
    def complete(self) -> bool:
        """Whether any trial came to its end."""
        return any(row.state == COMPLETE for row in self.rows)


def leaderboard(request: TuneRequest, plan: Sequence[Trial], lost: Mapping[int, str]) -> Board:
    """The table, from what the trials left in their folders; `lost` says what befell trials that could not tell."""
    rows = [row for trial in plan for row in _rows(trial, request.mode, lost.get(trial.number))]
    rows.sort(key=_order)
    ranked = [replace(row, rank=number) for number, row in _numbered(rows)]
    tasks = dict.fromkeys(task for row in ranked for task in row.metrics)
    return Board(tuple(ranked), tuple(tasks))


def _numbered(rows: Sequence[Row]) -> Iterator[tuple[int | None, Row]]:
    for number, row in enumerate(rows, 1):  # those with a rank are first
        yield (number if row.rankable else None), row


def _order(row: Row) -> tuple[Any, ...]:
    merit = trials.merit(row.learning_rate, row.score, row.metrics)
    return not row.rankable, row.state != STOPPED, *(-value for value in merit)


def _rows(trial: Trial, mode: str, lost: str | None) -> Iterator[Row]:
    results = trials.read(trial.folder / trials.RESULT)
    error = trials.error_of(trial.folder)
    if results is not None:
        for result in results:
            yield Row(trial, mode, state=FAILED if result.get("error") else COMPLETE, **result)
    elif error is not None or lost is not None:
        for rate in trial.rates:
            yield Row(trial, mode, rate, FAILED, error=lost if error is None else str(error))
    else:
        seen = trials.read(trial.folder / trials.PROGRESS) or {"learning_rate": trial.rates[0]}
        yield Row(trial, mode, state=STOPPED, **seen)


def write_board(board: Board, folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the table as JSON and CSV, the plot of the rates and the curves of all into the folder of the sweep."""
    about = {"settings": settings, "rows": [row.as_dict() for row in board.rows]}
    store = open_store(folder)
    flat = [_flat(row, board.tasks) for row in board.rows]
    text = io.StringIO(newline="")
    write_csv(text, list(flat[0]), flat)
    store.put(CSV, text.getvalue().encode("utf-8-sig"))
    series: dict[str, list[tuple[float, float, float]]] = {}
    for row in board.rows:
        if row.state == COMPLETE and row.score is not None:
            point = (row.learning_rate, row.score, standard_error(row.metrics))
            series.setdefault(f"{row.label}, {row.mode}", []).append(point)
    from artylyze.drawing.plots import histories, sweep

    mean = f", mean of {' and '.join(board.tasks)}" if len(board.tasks) > 1 else ""
    store.put(PLOT, sweep(f"Sweep of {', '.join(board.tasks)}", series, f"held-out accuracy{mean}"))
    store.put(CURVES, histories(f"Curves of all models{mean}", list(_histories(board))))
    store.put(JSON, (json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode())  # last: a sweep with it is done


def standard_error(metrics: Mapping[str, Any]) -> float:
    """Standard error of the mean over the tasks of held-out accuracies, as if every image were drawn by itself."""
    parts = [parts["held_out"] for parts in metrics.values()]
    known = [(part["accuracy"], part["n"]) for part in parts if part["accuracy"] is not None]
    return math.sqrt(sum(share * (1 - share) / max(1, count) for share, count in known)) / max(1, len(known))


def _histories(board: Board) -> Iterator[History]:
    """The held-out curves of each row that has any, means over the tasks; of each model the first row is the best."""
    from artylyze.drawing.plots import History

    seen: set[str] = set()
    for row in board.rows:
        means = {}
        for figure in ("loss", "accuracy"):
            of_tasks = [
                row.curves[name] for task in board.tasks if (name := f"{task} {figure}, held out") in row.curves
            ]
            means[figure] = [sum(values) / len(values) for values in zip(*of_tasks, strict=True)]
        if means["accuracy"]:
            model = f"{row.label}, {row.mode}"
            note = f", stopped after epoch {row.epochs}" if row.state == STOPPED else ""
            label = f"{model} at {row.learning_rate:g}{note}"
            yield History(model, label, means["loss"], means["accuracy"], best=model not in seen)
            seen.add(model)


def _flat(row: Row, tasks: Sequence[str]) -> dict[str, Any]:
    names = ("rank", "model", "weights", "mode", "learning_rate", "epochs", "state", "score")
    flat = {name: value for name, value in row.as_dict().items() if name in names}
    for task in tasks:
        for part in PARTS:
            figures = row.metrics.get(task, {}).get(part, {})
            for name in COLUMNS:
                flat[f"{task}_{part}_{name}"] = figures.get(name)
    return {**flat, "error": row.error}


def as_table(board: Board) -> Table:
    """The table for a terminal: a line for the test split and one for held-out images, with the study's figures."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE,
        padding=(0, 0, 0, 1),
        pad_edge=False,
        caption="Ranked by the score: held-out accuracy, the mean over the tasks. The best was chosen by it, so its "
        "held-out figures flatter; the test split chose nothing.",
    )
    left = ("model", "task", "images")
    for name in ("", "model", "learning rate", "score", "task", "images", *COLUMNS.values()):
        table.add_column(name, justify="left" if name in left else "right", no_wrap=name != "model")
    for row in board.rows:
        note = f" after epoch {row.epochs}: stopped" if row.state == STOPPED else ""
        head = ("-" if row.rank is None else str(row.rank), f"{row.label}, {row.mode}{note}", f"{row.learning_rate:g}")
        if row.state == FAILED:
            table.add_row(*head, "failed", end_section=True)
            continue
        score = _share(row.score) + (f" ±{standard_error(row.metrics):.3f}" if row.state == COMPLETE else "")
        lines = [
            (task if part == PARTS[0] else "", part.replace("_", "-"), *_figures(row.metrics[task].get(part, {})))
            for task in board.tasks
            if task in row.metrics
            for part in PARTS
        ]
        for place, line in enumerate(lines):
            table.add_row(*((*head, score) if not place else [""] * 4), *line, end_section=place == len(lines) - 1)
    return table


def _figures(part: Mapping[str, Any]) -> list[str]:
    return [_share(part.get(name)) for name in COLUMNS]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def describe(board: Board, output: str) -> Iterator[str]:
    """The sentences below the table."""
    for row in board.rows:
        if row.state == FAILED:
            yield f"{row.label} at {row.learning_rate:g} failed: {row.error}"
    if board.best is not None:
        yield f"Best: {board.best.label} at {board.best.learning_rate:g}, bundle {output.rstrip('/')}/best"
    table, rows, *plots = (f"{output.rstrip('/')}/{name}" for name in (CSV, JSON, PLOT, CURVES))
    yield f"Table: {table}, {rows}; plots: {', '.join(plots)}"
