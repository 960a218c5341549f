"""Contact sheets of an evaluation: the classes that a model knows best and worst, and where it was sure and wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from artylyze.drawing.contact_sheet import Tile, contact_sheet
from artylyze.drawing.thumbnails import read_thumbnails
from artylyze.wording import counted
from artylyze.workers.fetching import Source

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

    from artylyze.evaluation.predictions import Answers
    from artylyze.training.metrics import TaskMetrics

CLASSES = 4
"""Classes on a sheet, one in a row."""

COLUMNS = 6
MISTAKES = 24

_BLANK = np.full((8, 8, 3), (250, 249, 246), np.uint8)  # the paper of a sheet


@dataclass(frozen=True)
class Sheet:
    """A sheet to be drawn: rows of a table, None for an empty place."""

    title: str
    rows: Sequence[int | None]


def plan_sheets(answers: Answers, metrics: TaskMetrics) -> dict[str, Sheet]:
    """Choose the images of each sheet of a task; a sheet that would be empty is absent.

    Best classes show their most certain right answers, worst classes their most certain wrong ones first.
    """
    name, sheets = answers.task.name, {}
    seen = [(row.f1, number) for number, row in enumerate(metrics.per_class) if row.support]
    ranked = [number for _, number in sorted(seen, key=lambda pair: (-pair[0], pair[1]))]
    best = ranked[: min(CLASSES, max(1, len(ranked) // 2))]
    worst = [number for number in reversed(ranked) if number not in best][:CLASSES]
    for key, chosen, wrong_first in (("best", best, False), ("worst", worst, True)):
        rows = [row for number in chosen for row in _class_row(answers, number, wrong_first)]
        if rows:
            count = "class" if len(chosen) == 1 else f"{len(chosen)} classes"
            order = f"the most certain {'mistakes' if wrong_first else 'answers'} first"
            sheets[key] = Sheet(f"{name}: the {key} {count} by F1, {order} (label; score, answer; record)", rows)
    wrong = mistakes(answers)[:MISTAKES]
    if wrong:
        shown = "only mistake" if len(wrong) == 1 else f"{len(wrong)} most certain mistakes"
        title = f"{name}: the {shown} of {counted(metrics.n, 'image')}"
        sheets["mistakes"] = Sheet(f"{title} (label; score, answer; record)", wrong)
    return sheets


def draw_sheets(sheets: Mapping[str, Sheet], answers: Answers, table: pa.Table) -> dict[str, Image.Image]:
    """Read the images of the sheets, and draw them. An image that cannot be read is a grey field that says why."""
    wanted = sorted({row for sheet in sheets.values() for row in sheet.rows if row is not None})
    tiles: dict[int | None, Tile] = dict(zip(wanted, _tiles(answers, table, wanted), strict=True))
    tiles[None] = Tile(_BLANK, 1.0, ())
    return {
        name: contact_sheet(sheet.title, [tiles[row] for row in sheet.rows], COLUMNS) for name, sheet in sheets.items()
    }


def mistakes(answers: Answers) -> list[int]:
    """Return the rows whose answer is not their label, the most certain first."""
    wrong = np.flatnonzero((answers.labels >= 0) & (answers.scores.argmax(axis=1) != answers.labels))
    rows: list[int] = wrong[np.argsort(-answers.scores[wrong].max(axis=1), kind="stable")].tolist()
    return rows


def _class_row(answers: Answers, number: int, wrong_first: bool) -> list[int | None]:
    rows = np.flatnonzero(answers.labels == number)
    right = answers.scores[rows].argmax(axis=1) == number
    order = np.lexsort((-answers.scores[rows].max(axis=1), right if wrong_first else ~right))
    chosen: list[int | None] = rows[order][:COLUMNS].tolist()
    return chosen + [None] * (COLUMNS - len(chosen))


def _tiles(answers: Answers, table: pa.Table, rows: Sequence[int]) -> list[Tile]:
    chosen = table.take(rows)
    columns = (chosen.column(name).to_pylist() for name in ("uri", "validator", "size"))
    pictures = read_thumbnails([Source(*row) for row in zip(*columns, strict=True)])
    records = chosen.column("record_id").to_pylist()
    return [
        Tile(picture.pixels, picture.aspect, (*_caption(answers, row), picture.why or str(record)))
        for row, record, picture in zip(rows, records, pictures, strict=True)
    ]


def _caption(answers: Answers, row: int) -> tuple[str, str]:
    terms, best = answers.task.terms, int(answers.scores[row].argmax())
    right = best == answers.labels[row]
    answer = "right" if right else terms[best]
    return terms[answers.labels[row]], f"{answers.scores[row, best]:.2f} {answer}"
