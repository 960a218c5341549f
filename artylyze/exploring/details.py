"""What an explorer shows of a single work, in files of 250 works, and what is searched by words, in files of 20,000."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from artylyze.collection.taxonomy import normalise
from artylyze.exploring.facets import FacetSet
from artylyze.exploring.folder import to_json
from artylyze.exploring.grouping import Influences
from artylyze.exploring.works import Works
from artylyze.images.quality import WARNINGS
from artylyze.searching.words import fold
from artylyze.storage import is_url

WORKS, TEXTS = 250, 20_000
"""Works of a file of details, and of a file of texts: the one is a part of the other."""

BLOCK = TEXTS

LONGEST_TEXT = 2_000
"""Letters of a work that are searched: a column may hold an essay."""

_SHOWN = frozenset({"JPEG", "PNG", "GIF", "WEBP", "AVIF", "MPO"})
"""Formats, by Pillow's names, that browsers show."""

_IIIF = re.compile(r"(https?://.+)/(?:full|square|(?:pct:)?[\d.,]+)/[^/]+/!?[\d.]+/[a-z]+\.[a-z0-9]+(?:\?.*)?", re.I)
"""An address of the IIIF Image API 2 or 3: identifier/region/size/rotation/quality.format."""


@dataclass(frozen=True, eq=False)
class Related:
    """What is known of works besides their rows.

    Attributes:
        influences: on each work, None where they are not known.
        duplicates: work -> near-duplicates: work, reason, score.
    """

    influences: Influences | None = None
    duplicates: Mapping[int, Sequence[tuple[int, str, float]]] = field(default_factory=dict)


def detail_files(works: Works, facet_set: FacetSet, related: Related, block: range) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a block of works: their details, then their texts."""
    tasks = [task.name for task in works.tasks]
    columns = ["image_id", "record_id", "uri", "status", "error_code", "error_detail", "warning", "warnings", "width"]
    columns += ["height", "format", "metadata"]
    columns += [name for task in tasks for name in (task, f"{task}_review", f"{task}_top")]
    table = works.rows.take(block, columns)
    texts: list[str] = []
    for start in range(0, len(block), WORKS):
        rows = table.slice(start, WORKS).to_pylist()
        numbers = block[start : start + WORKS]
        found = [_work(row, number, facet_set, tasks, related) for number, row in zip(numbers, rows, strict=True)]
        texts += [_searched(one, facet_set) for one in found]
        yield f"data/works/{numbers.start // WORKS}.json", to_json(found)
    yield f"data/text/{block.start // TEXTS}.json", to_json(fold(pa.array(texts, pa.string())).to_pylist())


def keys(count: int) -> Iterator[str]:
    """Yield the keys of the files of so many works."""
    yield from (f"data/works/{number}.json" for number in range(-(-count // WORKS)))
    yield from (f"data/text/{number}.json" for number in range(-(-count // TEXTS)))


def iiif_info(uri: str) -> str | None:
    """Return the address of the IIIF description of an image that is served so; None for any other."""
    match = _IIIF.fullmatch(uri)
    return f"{match[1]}/info.json" if match else None


def _work(
    row: Mapping[str, Any], number: int, facet_set: FacetSet, tasks: Sequence[str], related: Related
) -> dict[str, Any]:
    metadata = {
        name: plain for name, value in (row.get("metadata") or {}).items() if (plain := _plain(value)) is not None
    }
    uri, web = row["uri"], row["uri"].lower().startswith(("http://", "https://"))
    work = {
        "id": row["image_id"],
        "record": row["record_id"],
        "uri": uri,
        "title": facet_set.described.titles[number],
        "artist": facet_set.described.artists[number],
        "date": None if facet_set.dates is None else _text(metadata.get(facet_set.dates)),
        "width": row["width"],
        "height": row["height"],
        "format": row["format"],
        "status": row["status"],
        "error": _reason(row),
        "warning": _warnings(row),
        "tags": {task: _tags(row, task) for task in tasks},
        "review": {task: bool(row.get(f"{task}_review")) for task in tasks},
        "metadata": metadata,
        "image": uri if web and row["format"] in _SHOWN else None,
        "iiif": iiif_info(uri) if is_url(uri) else None,
    }
    if related.influences is not None:
        work["influences"] = [[cluster, round(share, 3)] for cluster, share in related.influences.on(number)]
    if number in related.duplicates:
        work["duplicates"] = [[other, why, round(score, 3)] for other, why, score in related.duplicates[number]]
    return work


def _tags(row: Mapping[str, Any], task: str) -> list[list[Any]]:
    """The answer to a task, then the best terms: term, score (None where it has none), address in the AAT."""
    pairs = [(best["term"], best["score"]) for best in row.get(f"{task}_top") or []]
    if row[task] is not None and (not pairs or pairs[0][0] != row[task]):
        pairs.insert(0, (row[task], None))
    return [
        [term, None if score is None else round(score, 4), _vocabulary(task, term)]
        for term, score in pairs
        if score is None or math.isfinite(score)
    ]


@functools.cache
def _vocabulary(task: str, term: str) -> str | None:
    """The address of a term in the AAT, None where it is not known."""
    known = normalise(task, term)
    return None if known is None else known.uri


def _reason(row: Mapping[str, Any]) -> str | None:
    if row["status"] == "ok":
        return None
    return ": ".join(text for text in (row["error_code"], row["error_detail"]) if text)


def _warnings(row: Mapping[str, Any]) -> str | None:
    sentences = [WARNINGS.get(name, name) for name in row.get("warnings") or [] if name != "truncated"]
    return "; ".join(text for text in (row.get("warning"), *sentences) if text) or None


def _plain(value: Any) -> Any:
    """A value of the metadata for JSON: numbers stay numbers, all else becomes text; None for no value."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return "; ".join(text for one in value if (text := _text(_plain(one))) is not None) or None
    return str(value).strip() or None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _searched(work: Mapping[str, Any], facet_set: FacetSet) -> str:
    """The text of a work: title, artist, then its other columns that hold text."""
    shown = [work["title"], work["artist"]]
    others = [
        value for name in facet_set.texts if isinstance(value := work["metadata"].get(name), str) and value not in shown
    ]
    texts = [" ".join(text.split()) for text in (*shown, work["record"], *others) if text]
    return " | ".join(texts)[:LONGEST_TEXT]
