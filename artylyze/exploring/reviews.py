"""What people decide on tags: files beside the catalog, one for each session, that are never changed by another.

A decision is about one image and one task. The latest counts; `undo` takes back what was decided before.
"""

from __future__ import annotations

import io
import math
import re
import secrets
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.errors import InputError
from artylyze.storage import open_store
from artylyze.storage.contract import first_line

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("validator", pa.string()),
        pa.field("model_id", pa.string()),
        pa.field("task", pa.string(), nullable=False),
        pa.field("suggestion", pa.string()),
        pa.field("score", pa.float32()),
        pa.field("decision", pa.string(), nullable=False),
        pa.field("term", pa.string()),
        pa.field("reviewer", pa.string()),
        pa.field("time", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("note", pa.string()),
    ]
)
"""Columns of a file of decisions. `suggestion` and `score` are the model's, `term` is what a person said instead."""

DECISIONS = ("accept", "correct", "reject", "unsure", "undo")

LONGEST = 2_000
"""Letters of a text in a decision."""

MOST = 10_000
"""Decisions that are taken at once."""

_FOLDER = "reviews/"
_FILE = re.compile(r"reviews/decisions-[^/]+\.parquet")


def read_decisions(catalog: str, *, history: bool = False) -> pa.Table:
    """Read the decisions on a catalog's tags.

    Args:
        catalog: its address.
        history: whether to return all that was ever decided, in the order of time, in place of what holds now: the
            latest decision on each image and task, without those that were undone.

    Returns:
        A table with the columns of SCHEMA.

    Raises:
        InputError: if a file of decisions is damaged.
    """
    store = open_store(catalog)
    names = sorted(entry.key for entry in store.list(_FOLDER) if _FILE.fullmatch(entry.key))
    tables = [SCHEMA.empty_table()]
    for name in names:
        try:
            with pq.ParquetFile(store.open(name)) as file:
                tables.append(file.read(columns=SCHEMA.names).cast(SCHEMA))
        except (pa.ArrowException, ValueError, KeyError, OSError) as error:
            raise InputError(f"{store.uri(name)} is damaged ({first_line(error)}): move it away.") from error
    table = pa.concat_tables(tables).combine_chunks()
    # Of the same time, what stands later in a file, and in the file that was begun later.
    table = table.append_column("row", pa.array(range(len(table)), pa.int64()))
    table = table.sort_by([("time", "ascending"), ("row", "ascending")])
    return table.drop_columns("row") if history else _latest(table).drop_columns("row")


def _latest(table: pa.Table) -> pa.Table:
    """Return the last row of each image and task, without those that undo; rows stay in the order of time."""
    numbered = table.append_column("place", pa.array(range(len(table)), pa.int64()))
    last = numbered.group_by(["image_id", "task"]).aggregate([("place", "max")]).column("place_max")
    kept = table.take(last.combine_chunks().sort() if len(last) else pa.array([], pa.int64()))
    return kept.filter(pc.not_equal(kept.column("decision"), "undo"))


def as_dicts(decisions: pa.Table) -> list[dict[str, Any]]:
    """Return decisions as JSON values, times in ISO 8601."""
    rows: list[dict[str, Any]] = decisions.to_pylist()
    for row in rows:
        row["score"] = None if row["score"] is None else round(row["score"], 4)
        row["time"] = row["time"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return rows


def check_decision(values: Any) -> dict[str, Any]:
    """Return a decision, as JSON has it, as a row of SCHEMA.

    Raises:
        InputError: if it is none.
    """
    if not isinstance(values, Mapping):
        raise InputError("A decision is a JSON object.")
    texts = {name: _text(values, name) for name in SCHEMA.names if name not in ("score", "time")}
    for name in ("image_id", "task", "decision"):
        if not texts[name]:
            raise InputError(f"A decision without {name}.")
    if texts["decision"] not in DECISIONS:
        raise InputError(f"decision={texts['decision']!r}: it is one of {', '.join(DECISIONS)}.")
    if texts["decision"] == "correct" and not texts["term"]:
        raise InputError("A decision that corrects a tag needs the term.")
    return {**texts, "score": _score(values.get("score")), "time": _time(values.get("time"))}


class Session:
    """The decisions of one session, kept in its own file of the catalog. It may be used by several threads.

    Args:
        catalog: its address.
    """

    def __init__(self, catalog: str) -> None:
        self._store = open_store(catalog)
        began = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self.key = f"{_FOLDER}decisions-{began}-{secrets.token_hex(4)}.parquet"
        self._rows: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def save(self, decisions: Iterable[Mapping[str, Any]]) -> int:
        """Add decisions, as `check_decision` returns them, to the file, which is replaced atomically; return how many.

        Raises:
            StorageError: if the catalog cannot be written; then none of them is kept.
        """
        added = [dict(one) for one in decisions]
        with self._lock:
            rows = self._rows + added
            out = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows, SCHEMA), out, compression="zstd")
            self._store.put(self.key, out.getvalue())
            self._rows = rows
        return len(added)


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > LONGEST:
        raise InputError(f"{name} of a decision is a text of at most {LONGEST:,} letters.")
    return value.encode("utf-8", "replace").decode()


def _score(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise InputError("score of a decision is a number from 0 to 1.")
    return float(value)


def _time(value: Any) -> datetime:
    """The time of a decision; now, where it is not given."""
    if value is None:
        return datetime.now(UTC)
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise InputError("time of a decision is written as ISO 8601, for example 2026-01-31T12:00:00Z.") from error
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
