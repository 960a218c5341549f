"""What `artylyze influences` leaves behind: one picture and one JSON file for a record."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from artylyze.profiling.influence_plot import Current, Shown, influence_plot
from artylyze.profiling.influences import Influence, Influences
from artylyze.profiling.profile_plots import Bar
from artylyze.profiling.profiling import bars_of
from artylyze.storage import open_store


def write_influences(found: Influences, output: str) -> list[str]:
    """Write picture and JSON below `output`, a folder or an address, and return their names, the JSON last."""
    name = file_name(found.record)
    store = open_store(output)
    store.put(f"{name}.png", picture(found))
    store.put(f"{name}.json", (json.dumps(found.as_dict(), indent=1, ensure_ascii=False) + "\n").encode())
    return [f"{name}.png", f"{name}.json"]


def file_name(record: str) -> str:
    """Return a file name of a record's id, which may be anything: the id itself where that is one."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", record):
        return f"influences-{record}"
    plain = re.sub(r"[^A-Za-z0-9]+", "-", record).strip("-")[:40]
    return f"influences-{plain}-{hashlib.sha256(record.encode()).hexdigest()[:8]}"


def picture(found: Influences) -> bytes:
    """Draw what runs through a record; return it as a PNG."""
    name = found.works.said.titles[found.rows[0]] or found.record
    title = f"What runs through {' '.join(name.split())[:80]} ({found.record})"
    doubles = [
        Shown(found.pictures[row], [*_lines(found, row), f"correlation {how.correlation:.2f}"])
        for row, how in found.duplicates.items()
    ]
    images = [Shown(found.pictures[row], _lines(found, row)) for row in found.rows]
    return influence_plot(title, images, [_current(found, one) for one in found.found], doubles)


def marked_columns(one: Influence) -> list[tuple[str, Sequence[Bar]]]:
    """Return the distributions of a cluster as bars, those that mark it first."""
    best: dict[str, int] = {}
    for place, mark in enumerate(one.profile.marks):
        best.setdefault(mark.column, place)
    return sorted(bars_of(one.profile), key=lambda column: best.get(column[0], len(best) + 99))


def _current(found: Influences, one: Influence) -> Current:
    marks = ", ".join(dict.fromkeys(mark.share.term for mark in one.profile.marks[:3]))
    name = f"mixture cluster {one.profile.cluster}" + (f": {marks}" if marks else "")
    works = [Shown(found.pictures[row], _lines(found, row)) for row in one.typical]
    return Current(one.share, name, works, marked_columns(one))


def _lines(found: Influences, row: int) -> list[str]:
    title = found.works.said.titles[row] or found.works.table.column("record_id")[row].as_py()
    why = found.pictures[row].why
    return [title, found.works.said.artists[row] or "", *([why] if why else [])]
