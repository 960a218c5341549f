"""What a search returns, for people and machines: lines, JSON, CSV, Parquet, or a contact sheet."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, TextIO

import pyarrow.parquet as pq

from artylyze.drawing.contact_sheet import Tile, contact_sheet
from artylyze.drawing.table import write_csv
from artylyze.drawing.thumbnails import read_thumbnails
from artylyze.errors import UsageError
from artylyze.searching.search import SCORES, Hits, SearchRequest
from artylyze.storage import check_output, open_store, split_target
from artylyze.wording import counted, shortened
from artylyze.workers.fetching import Source

ENDINGS = (".png", ".csv", ".json", ".parquet")
"""Of the files that results are written to."""

_LEFT_OUT = ("validator", "model_id", "run_id", "colors")


def check_target(output: str) -> None:
    """Raise UsageError for a file of a kind that results are not written to, InputError for an address that is none."""
    if not output.lower().endswith(ENDINGS):
        raise UsageError(f"`output={output!r}`: results are written to a file that ends in {', '.join(ENDINGS)}.")
    check_output(output)


def write_results(hits: Hits, output: str) -> list[str]:
    """Write the rows to a file of the kind that its name says, and return the names of what was written.

    Beside a contact sheet lies a JSON file of what is on it: by that a later scan knows that the sheet is no image of
    the collection.
    """
    folder, name = split_target(output)
    store, stem, kind = open_store(folder), name.rpartition(".")[0], name.lower().rpartition(".")[2]
    if kind == "png":
        described = f"{stem}.json"
        sheet = draw_sheet(hits)
        store.put(described, as_json(hits).encode())
        store.put(name, sheet)
        return [output, output[: -len(name)] + described]
    if kind == "csv":
        out = io.StringIO(newline="")
        print_csv(hits, out)
        store.put(name, out.getvalue().encode("utf-8-sig"))
    elif kind == "json":
        store.put(name, as_json(hits).encode())
    else:
        sink = io.BytesIO()
        pq.write_table(hits.table, sink, compression="zstd")
        store.put(name, sink.getvalue())
    return [output]


def as_dict(hits: Hits) -> dict[str, Any]:
    """Return what was looked for and the rows, as JSON values."""
    asked = {name: value for name, value in asdict(hits.request).items() if value not in (None, ())}
    return {"search": asked, "searched": hits.searched, "hits": list(as_rows(hits))}


def as_json(hits: Hits) -> str:
    """Return the same as one JSON object, with a line for each row."""
    found = as_dict(hits)
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False, default=str) for row in found["hits"])
    head = json.dumps({name: found[name] for name in ("search", "searched")}, ensure_ascii=False)
    return f'{head[:-1]},\n "hits": [\n  {rows}\n ]}}\n'


def as_rows(hits: Hits) -> Iterator[dict[str, Any]]:
    """Yield each row: rank, scores, the columns of the catalog, and its title and artist."""
    for row, title, artist in zip(hits.table.to_pylist(), hits.titles, hits.artists, strict=True):
        kept = {name: value for name, value in row.items() if name not in _LEFT_OUT}
        for name in hits.scores:
            kept[name] = round(kept[name], 4) if math.isfinite(kept[name]) else None
        first = ("rank", *hits.scores, "image_id", "record_id")
        yield {name: kept[name] for name in first} | {"title": title, "artist": artist} | kept


def print_csv(hits: Hits, file: TextIO) -> None:
    """Write the rows as CSV, the fields of `metadata` as columns of their own."""
    rows = [_flat(row) for row in as_rows(hits)]
    schema = hits.table.schema
    fields = [f"metadata.{field.name}" for field in schema.field("metadata").type] if "metadata" in schema.names else []
    first = ["rank", *hits.scores, "image_id", "record_id", "title", "artist"]
    passed = {*first, *_LEFT_OUT, "metadata", *(name for name in schema.names if name.endswith("_top"))}
    columns = [*first, *(name for name in schema.names if name not in passed), *fields]
    write_csv(file, columns, [{name: row.get(name) for name in columns} for row in rows])


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    metadata = row.get("metadata") or {}
    return {**row, **{f"metadata.{name}": value for name, value in metadata.items()}}


def draw_sheet(hits: Hits) -> bytes:
    """Return a contact sheet of the rows as PNG: each with its rank, title, artist and scores."""
    sources = [Source(row["uri"], row["validator"]) for row in hits.table.select(["uri", "validator"]).to_pylist()]
    tiles = []
    for row, picture in zip(as_rows(hits), read_thumbnails(sources), strict=True):
        lines = [f"{row['rank']}. {row['title'] or row['record_id']}", row["artist"] or "", scores_in_words(row)]
        tiles.append(Tile(picture.pixels, picture.aspect, [*lines, *([picture.why] if picture.why else [])]))
    out = io.BytesIO()
    contact_sheet(in_words(hits.request), tiles, columns=max(1, min(6, len(tiles)))).save(out, "PNG")
    return out.getvalue()


def in_words(request: SearchRequest) -> str:
    """Return what was looked for, in one line."""
    asked = [
        f"like {request.like}" if request.like else "",
        f"text: {request.text}" if request.text else "",
        f"colour: {', '.join(request.color)}" if request.color else "",
        f"where {request.where}" if request.where else "",
    ]
    return shortened("; ".join(text for text in asked if text), 120)


def scores_in_words(row: Mapping[str, Any]) -> str:
    """Return the scores of a row, each with its name."""
    return ", ".join(f"{name} {row[name]:.2f}" for name in SCORES if row.get(name) is not None)


def describe(hits: Hits) -> str:
    """Return the rows in a line each, for a terminal."""
    rows = list(as_rows(hits))
    if not rows:
        return "No work matches."
    width = max(len(shortened(row["record_id"], 40)) for row in rows)
    lines = []
    for row in rows:
        text = ", ".join(shortened(part, 50) for part in (row["title"], row["artist"]) if part)
        error = f"not read: {row['error_code']}" if row["status"] == "error" else ""
        about = "  ".join(part for part in (scores_in_words(row), text, error) if part)
        lines.append(f"{row['rank']:>4}  {shortened(row['record_id'], 40):<{width}}  {about}".rstrip())
    return "\n".join([*lines, f"The best {len(rows):,} of {counted(hits.searched, 'work')}."])
