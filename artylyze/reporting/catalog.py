"""The report's part on a catalog: its runs, its failures, its tags, what a person should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from artylyze.catalog.snapshot import Snapshot, read_parts
from artylyze.catalog.status import RunState
from artylyze.drawing.thumbnails import read_thumbnails
from artylyze.errors import ErrorCode
from artylyze.reporting.content import Counts, Figures, Review, Work, counted, facts, figure, picture_of, tag_of
from artylyze.workers.fetching import Source

QUEUE = 12
"""Works of a task's review queue that are shown, the least certain."""

_REASONS = {
    "missing": "no object under this key any more",
    "changed": "not the object that was scanned",
    "denied": "the storage refuses it",
    "archived": "in an archive tier: restore it first",
    "unreachable": "the storage did not answer",
    "empty": "no bytes",
    "truncated": "the file ends before the image does",
    "corrupt": "the format is known, the content is not valid",
    "unsupported": "not a format that is read",
    "too_large": "more pixels or bytes than the limit",
    "timeout": "decoding took too long",
    "crashed_decoder": "decoding killed its process",
}


def run_facts(catalog: str, snapshot: Snapshot) -> Figures:
    """Say what the catalog is."""
    pairs = [
        ("catalog", catalog),
        ("images", snapshot.rows),
        ("with an embedding and tags", snapshot.ok),
        ("that could not be read", snapshot.rows - snapshot.ok),
        ("with warnings", snapshot.warnings),
        ("outside what the model knows", snapshot.outside),
        ("model", snapshot.model_id),
        ("tasks", list(snapshot.tasks) or "none: embeddings only"),
        ("length of an embedding", snapshot.dim),
        ("snapshot made by", f"{snapshot.operation} {snapshot.run_id}"),
        *((f"setting {name}", value) for name, value in snapshot.settings.items()),
    ]
    return facts("The catalog", pairs)


def attempts(states: Sequence[RunState]) -> Figures:
    """Say where the catalog's runs stand."""
    header = ("run", "operation", "state", "images", "committed", "images a second", "current")
    rows = tuple(
        tuple(
            map(
                figure,
                (one.run_id, one.operation, one.state, one.rows, one.committed, one.images_per_second, one.current),
            )
        )
        for one in states
    )
    return Figures("Runs of the catalog", header, rows)


def failures(snapshot: Snapshot) -> Counts | None:
    """Count the images that could not be read by reason; None where all could."""
    if not snapshot.errors:
        return None
    notes = {
        code: f"{_REASONS.get(code, '')}{'; may pass with time' if _passes(code) else ''}" for code in snapshot.errors
    }
    return Counts(
        "Images that could not be read, by reason", "reason", "what it means", counted(snapshot.errors, notes)
    )


def tags(catalog: str, snapshot: Snapshot) -> tuple[Counts, ...]:
    """Count the terms of each task, part by part."""
    counts: dict[str, Counter[str]] = {task: Counter() for task in snapshot.tasks}
    for _, table in read_parts(catalog, snapshot.parts if snapshot.tasks else (), snapshot.tasks):
        for task, terms in counts.items():
            found = table.column(task).drop_null().value_counts()
            terms.update(dict(zip(*(column.to_pylist() for column in found.flatten()), strict=True)))
    what = "the best term of each image, as the model predicts it"
    return tuple(Counts(f"{task}: {what}", "term", "", counted(terms)) for task, terms in counts.items())


def reviews(catalog: str, snapshot: Snapshot) -> tuple[Review, ...]:
    """Find the review queue of each task, with the pictures of its least certain works, part by part."""
    extra = [f"{task}_{name}" for task in snapshot.tasks for name in ("score", "review")]
    columns = ["image_id", "record_id", "uri", "validator", *snapshot.tasks, *extra]
    images = dict.fromkeys(snapshot.tasks, 0)
    least: dict[str, pa.Table] = {}
    for _, table in read_parts(catalog, snapshot.parts if snapshot.tasks else (), columns):
        for task in snapshot.tasks:
            queue = table.filter(pc.fill_null(table.column(f"{task}_review"), False)).select(columns)
            images[task] += queue.num_rows
            so_far = [least[task]] if task in least else []
            order = [(f"{task}_score", "ascending"), ("image_id", "ascending")]
            least[task] = pa.concat_tables([*so_far, queue]).sort_by(order).slice(0, QUEUE)
    return tuple(_review(rows, task, images[task], snapshot.ok) for task, rows in least.items())


def _review(rows: pa.Table, task: str, waiting: int, images: int) -> Review:
    """Show the least certain works of a task, of so many that wait for a review."""
    least = rows.to_pylist()
    pictures = read_thumbnails([Source(row["uri"], row["validator"]) for row in least])
    works = []
    for row, thumbnail in zip(least, pictures, strict=True):
        alt = f"Work {row['record_id']}, {thumbnail.why or f'tagged {row[task]}'}"
        works.append(Work(picture_of(thumbnail, alt), row["record_id"], (tag_of(row, task),)))
    return Review(task, waiting, waiting / max(1, images), tuple(works))


def _passes(code: str) -> bool:
    return code in set(ErrorCode) and ErrorCode(code).is_transient
