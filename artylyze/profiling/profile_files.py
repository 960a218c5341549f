"""What profiles leave behind: tables, plots and contact sheets in CLUSTERS/profiles/ALGORITHM/."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artylyze.clustering.store import PROFILE_FILES
from artylyze.drawing.contact_sheet import contact_sheet
from artylyze.drawing.table import write_csv
from artylyze.drawing.thumbnails import Thumbnail
from artylyze.profiling.columns import Column
from artylyze.profiling.profile_plots import cluster_plot, column_plot
from artylyze.profiling.profiles import EVIDENCE, LEAST, LIFT, Profile, counts, log_likelihood_ratio
from artylyze.profiling.profiling import (
    Profiled,
    bars_of,
    make_profiles,
    marks_in_words,
    thumbnails_of,
    tile_of,
    work_of,
)
from artylyze.storage import open_store

if TYPE_CHECKING:
    from artylyze.clustering.store import Clusters
    from artylyze.progress import Watcher

PROFILES = "profiles.json"
_HEAT = 20  # terms of a column that are drawn for all clusters


def write_profiles(found: Profiled, watcher: Watcher) -> list[str]:
    """Write profiles into CLUSTERS/profiles/ALGORITHM/, and return the names of the files.

    `profiles.json` is removed first and written last: with it, the folder is complete. Pictures that earlier profiles
    left there, of other columns or of clusters that there are no more, go.
    """
    store, folder = open_store(found.clusters.folder), f"profiles/{found.algorithm}/"
    earlier = {entry.key for entry in store.list(folder) if PROFILE_FILES.fullmatch(entry.key)}
    said = f"{folder}{PROFILES}"
    store.delete(said)
    written = []
    for name, data in _files(found, watcher):
        store.put(f"{folder}{name}", data)
        written.append(f"{folder}{name}")
    for key in sorted(earlier.difference(written)):
        store.delete(key)
    store.put(said, (json.dumps(found.as_dict(), indent=1, ensure_ascii=False) + "\n").encode())
    return [said, *written]


def profile_if_there(clusters: Clusters, watcher: Watcher) -> None:
    """Write profiles of clusters that were just made, unless the catalog that they name has been moved."""
    catalog = clusters.run["catalog"]
    if catalog is None:
        return
    if open_store(catalog).version("catalog.json") is None:
        watcher.say(f"No profiles: the catalog {catalog} is not there. Give its place to `artylyze profiles`.")
    else:
        write_profiles(make_profiles(clusters.folder), watcher)


def describe(found: Profiled, files: Sequence[str]) -> str:
    """Return the clusters in a line each, and where their files are."""
    lines = [
        f"cluster {one.cluster:>3}  {one.images:>8,} works  {marks_in_words(one)}".rstrip() for one in found.profiles
    ]
    where = f"{found.clusters.folder}/profiles/{found.algorithm}"
    return "\n".join([*lines, *([found.note] if found.note else []), f"Wrote {len(files)} files to {where}."])


def _files(found: Profiled, watcher: Watcher) -> Iterator[tuple[str, bytes]]:
    for name, columns, rows in _tables(found):
        yield f"{name}.csv", _csv(columns, rows)
        yield f"{name}.parquet", _parquet(columns, rows)
    for number, column in enumerate(found.works.said.columns, 1):
        watcher.say(f"Drawing {column.name}")
        yield f"column-{number:02d}-{_slug(column.name)}.png", _column_plot(found, column)
    rows_shown = [row for one in found.profiles for row in (*one.typical, *one.marginal)]
    watcher.say(f"Reading {len(set(rows_shown)):,} works for the contact sheets of {len(found.profiles):,} clusters")
    pictures = thumbnails_of(found.works, rows_shown)
    for one in found.profiles:
        yield f"cluster-{one.cluster:03d}-works.png", _sheet(found, one, pictures)
        if one.distributions:
            title = f"Cluster {one.cluster}: {one.images:,} works ({one.share:.1%} of all)"
            yield f"cluster-{one.cluster:03d}-columns.png", cluster_plot(title, bars_of(one))


def _tables(found: Profiled) -> Iterator[tuple[str, dict[str, pa.DataType], list[dict[str, Any]]]]:
    """The tables: name, columns with their types, rows. Names of a museum's columns are values here, never columns."""
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    rows = [
        {
            "cluster": one.cluster,
            "images": one.images,
            "share": one.share,
            "marks": marks_in_words(one),
            "most_typical": work_of(found.works, one.typical[0])["record_id"] if one.typical else None,
        }
        for one in found.profiles
    ]
    yield "clusters", {"cluster": whole, "images": whole, "share": real, "marks": text, "most_typical": text}, rows
    terms = [
        {
            "cluster": one.cluster,
            "column": each.column,
            "kind": each.kind,
            "term": term.term,
            "images": term.images,
            "share": term.share,
            "overall": term.overall,
            "lift": term.lift,
            "evidence": term.evidence,
            "marks": term.marks,
        }
        for one in found.profiles
        for each in one.distributions
        for term in each.terms
    ] + [
        {
            "cluster": one.cluster,
            "column": each.column,
            "kind": each.kind,
            "term": None,
            "images": each.other,
            "share": each.other / each.said,
            "overall": None,
            "lift": None,
            "evidence": None,
            "marks": False,
        }
        for one in found.profiles
        for each in one.distributions
        if each.other
    ]
    yield (
        "distributions",
        {
            "cluster": whole,
            "column": text,
            "kind": text,
            "term": text,
            "images": whole,
            "share": real,
            "overall": real,
            "lift": real,
            "evidence": real,
            "marks": pa.bool_(),
        },
        terms,
    )
    works = [
        {"cluster": one.cluster, "kind": kind, "rank": rank, **work_of(found.works, row)}
        for one in found.profiles
        for kind in ("typical", "marginal")
        for rank, row in enumerate(getattr(one, kind), 1)
    ]
    yield (
        "works",
        {
            "cluster": whole,
            "kind": text,
            "rank": whole,
            "image_id": text,
            "record_id": text,
            "title": text,
            "artist": text,
        },
        works,
    )


def _column_plot(found: Profiled, column: Column) -> bytes:
    k = len(found.profiles)
    table = counts(found.members, k, column)
    evidence = log_likelihood_ratio(table)
    said = np.maximum(table.sum(axis=1, keepdims=True), 1)
    shares = table / said
    overall = np.maximum(table.sum(axis=0), 1) / max(1, int(table.sum()))
    marks = (table >= LEAST) & (shares >= LIFT * overall) & (evidence >= EVIDENCE)
    chosen = np.argsort(-table.sum(axis=0), kind="stable")[:_HEAT]
    names = [column.terms[term] for term in chosen]
    drawn, squares = shares[:, chosen], marks[:, chosen]
    if len(column.terms) > len(chosen):
        names.append(f"{len(column.terms) - len(chosen):,} others")
        drawn = np.column_stack([drawn, (1 - drawn.sum(axis=1)) * (table.sum(axis=1) > 0)])
        squares = np.column_stack([squares, np.zeros(k, bool)])
    title = f"{column.name}: share of each cluster's works that have a value; a frame: the term marks the cluster"
    labels = [f"cluster {one.cluster} ({one.images:,})" for one in found.profiles]
    return column_plot(title, labels, names, drawn, squares)


def _sheet(found: Profiled, one: Profile, pictures: Mapping[int, Thumbnail]) -> bytes:
    few = f"the {len(one.marginal)} last its most marginal" if one.marginal else "none marginal"
    title = f"Cluster {one.cluster}: {one.images:,} works; the {len(one.typical)} most typical, then {few}"
    tiles = [tile_of(found.works, row, pictures[row], "typical") for row in one.typical]
    tiles += [tile_of(found.works, row, pictures[row], "marginal") for row in one.marginal]
    out = io.BytesIO()
    contact_sheet(title, tiles).save(out, "PNG")
    return out.getvalue()


def _slug(name: str) -> str:
    """A file name of a column's name, which may be anything."""
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:40] or "column"


def _csv(columns: Mapping[str, pa.DataType], rows: Sequence[Mapping[str, Any]]) -> bytes:
    file = io.StringIO(newline="")
    write_csv(file, list(columns), ({name: _rounded(value) for name, value in row.items()} for row in rows))
    return file.getvalue().encode("utf-8-sig")  # with the mark by which Excel knows UTF-8


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _parquet(columns: Mapping[str, pa.DataType], rows: Sequence[Mapping[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), pa.schema(list(columns.items()))), out)
    return out.getvalue()
