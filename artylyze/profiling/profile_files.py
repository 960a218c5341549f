"""Writes profiles: tables, plots and contact sheets in CLUSTERS/profiles/ALGORITHM/."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artylyze.clustering.store import PROFILE_FILES
from artylyze.drawing.contact_sheet import Tile, contact_sheet
from artylyze.drawing.table import write_csv
from artylyze.drawing.thumbnails import Thumbnail
from artylyze.profiling.columns import Column
from artylyze.profiling.profile_plots import cluster_plot, column_plot
from artylyze.profiling.profiles import EVIDENCE, LEAST, LIFT, Profile, counts, log_likelihood_ratio
from artylyze.profiling.profiling import (
    Profiled,
    caption,
    describe_marks,
    identify,
    make_profiles,
    panels,
    read_pictures,
)
from artylyze.storage import open_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.clustering.store import Clusters
    from artylyze.progress import Watcher

PROFILES = "profiles.json"
_HEAT = 20  # terms of a column that are drawn for all clusters
_PERIOD = re.compile(r"\d{1,4}-\d{1,4}")


def write_profiles(profiled: Profiled, watcher: Watcher) -> list[str]:
    """Write profiles into CLUSTERS/profiles/ALGORITHM/, and return the names of the files.

    `profiles.json` is removed first and written last: with it, the folder is complete. Pictures that earlier profiles
    left there, of other columns or of clusters that there are no more, go.
    """
    store, folder = open_store(profiled.clusters.folder), f"profiles/{profiled.algorithm}/"
    earlier = {entry.key for entry in store.list(folder) if PROFILE_FILES.fullmatch(entry.key)}
    marker = f"{folder}{PROFILES}"
    store.delete(marker)
    written = []
    for name, data in _files(profiled, watcher):
        store.put(f"{folder}{name}", data)
        written.append(f"{folder}{name}")
    for key in sorted(earlier.difference(written)):
        store.delete(key)
    store.put(marker, (json.dumps(profiled.as_dict(), indent=1, ensure_ascii=False) + "\n").encode())
    return [marker, *written]


def profile_if_there(clusters: Clusters, watcher: Watcher) -> None:
    """Write profiles of clusters that were just made, unless the catalog that they name has been moved."""
    catalog = clusters.run["catalog"]
    if catalog is None:
        return
    if open_store(catalog).version("catalog.json") is None:
        watcher.say(f"No profiles: the catalog {catalog} is not there. Give its place to `artylyze profiles`.")
    else:
        write_profiles(make_profiles(clusters.folder), watcher)


def describe(profiled: Profiled, files: Sequence[str]) -> str:
    """Describe each cluster in a line, and say where the files are."""
    lines = [
        f"cluster {profile.cluster:>3}  {profile.images:>8,} works  {describe_marks(profile)}".rstrip()
        for profile in profiled.profiles
    ]
    where = f"{profiled.clusters.folder}/profiles/{profiled.algorithm}"
    return "\n".join([*lines, *([profiled.note] if profiled.note else []), f"Wrote {len(files)} files to {where}."])


def _files(profiled: Profiled, watcher: Watcher) -> Iterator[tuple[str, bytes]]:
    for name, columns, rows in _tables(profiled):
        yield f"{name}.csv", _csv(columns, rows)
        yield f"{name}.parquet", _parquet(columns, rows)
    for number, column in enumerate(profiled.works.described.columns, 1):
        watcher.say(f"Drawing {column.name}")
        yield f"column-{number:02d}-{_slug(column.name)}.png", _column_plot(profiled, column)
    shown = [row for profile in profiled.profiles for row in (*profile.typical, *profile.marginal)]
    watcher.say(f"Reading {len(set(shown)):,} works for the contact sheets of {len(profiled.profiles):,} clusters")
    pictures = read_pictures(profiled.works, shown)
    for profile in profiled.profiles:
        yield f"cluster-{profile.cluster:03d}-works.png", _sheet(profiled, profile, pictures)
        if profile.distributions:
            title = f"Cluster {profile.cluster}: {profile.images:,} works ({profile.share:.1%} of all)"
            yield f"cluster-{profile.cluster:03d}-columns.png", cluster_plot(title, panels(profile))


def _tables(profiled: Profiled) -> Iterator[tuple[str, dict[str, pa.DataType], list[dict[str, Any]]]]:
    """The tables: name, columns with their types, rows. Names of a museum's columns are values here, never columns."""
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    columns = {"cluster": whole, "images": whole, "share": real, "marks": text, "most_typical": text}
    clusters: list[dict[str, Any]] = []
    terms: list[dict[str, Any]] = []
    works: list[dict[str, Any]] = []
    for profile in profiled.profiles:
        number = {"cluster": profile.cluster}
        typical = identify(profiled.works, profile.typical[0])["record_id"] if profile.typical else None
        size = {"images": profile.images, "share": profile.share}
        clusters.append({**number, **size, "marks": describe_marks(profile), "most_typical": typical})
        for column in profile.distributions:
            named = {**number, "column": column.column, "kind": column.kind}
            terms += [{**named, **asdict(share), "marks": share.marks} for share in column.terms]
            if column.other:
                share = column.other / column.images
                terms.append({**named, "images": column.other, "share": share, "marks": False})
        for kind in ("typical", "marginal"):
            for rank, row in enumerate(getattr(profile, kind), 1):
                works.append({**number, "kind": kind, "rank": rank, **identify(profiled.works, row)})
    yield "clusters", columns, clusters
    columns = {"cluster": whole, "column": text, "kind": text, "term": text, "images": whole, "share": real}
    columns |= {"overall": real, "lift": real, "evidence": real, "marks": pa.bool_()}
    yield "distributions", columns, sorted(terms, key=lambda term: term.get("term") is None)
    columns = {"cluster": whole, "kind": text, "rank": whole}
    yield "works", columns | dict.fromkeys(("image_id", "record_id", "title", "artist"), text), works


def _column_plot(profiled: Profiled, column: Column) -> bytes:
    k = len(profiled.profiles)
    table = counts(profiled.members, k, column)
    known = table.sum(axis=1, keepdims=True)
    shares = table / np.maximum(known, 1)
    overall = np.maximum(table.sum(axis=0), 1) / max(1, int(table.sum()))
    marks = (table >= LEAST) & (shares >= LIFT * overall) & (log_likelihood_ratio(table) >= EVIDENCE)
    chosen = drawn_terms(column.terms, table.sum(axis=0))
    names = [column.terms[term] for term in chosen]
    drawn, frames = shares[:, chosen], marks[:, chosen]
    if len(column.terms) > len(chosen):
        names.append(f"{len(column.terms) - len(chosen):,} others")
        drawn = np.column_stack([drawn, (1 - drawn.sum(axis=1)) * (known[:, 0] > 0)])
        frames = np.column_stack([frames, np.zeros(k, bool)])
    title = (
        f"{column.name}: shares of each cluster's works that have a value (n of all, in brackets); framed: the term "
        "marks the cluster"
    )
    labels = [
        f"cluster {profile.cluster} ({int(described):,} of {profile.images:,})"
        for profile, described in zip(profiled.profiles, known[:, 0], strict=True)
    ]
    return column_plot(title, labels, names, drawn, frames, known[:, 0])


def drawn_terms(terms: Sequence[str], works: NDArray[np.int64]) -> list[int]:
    """Return the positions of the _HEAT terms with the most works: periods in the order of time, others the most first.

    Args:
        terms: of a column.
        works: (terms,) number of works of each.
    """
    chosen: list[int] = np.argsort(-works, kind="stable")[:_HEAT].tolist()
    if all(_PERIOD.fullmatch(terms[term]) for term in chosen):
        chosen.sort(key=lambda term: int(terms[term].partition("-")[0]))
    return chosen


def _sheet(profiled: Profiled, profile: Profile, pictures: Mapping[int, Thumbnail]) -> bytes:
    few = f"the {len(profile.marginal)} last its most marginal" if profile.marginal else "none marginal"
    title = f"Cluster {profile.cluster}: {profile.images:,} works; the {len(profile.typical)} most typical, then {few}"
    tiles = [
        Tile(pictures[row].pixels, pictures[row].aspect, caption(profiled.works, row, pictures[row], kind))
        for kind in ("typical", "marginal")
        for row in getattr(profile, kind)
    ]
    out = io.BytesIO()
    contact_sheet(title, tiles).save(out, "PNG")
    return out.getvalue()


def _slug(name: str) -> str:
    """A file name of a column's name, which may be anything."""
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:40] or "column"


def _csv(columns: Mapping[str, pa.DataType], rows: Sequence[Mapping[str, Any]]) -> bytes:
    file = io.StringIO(newline="")
    write_csv(file, list(columns), ({name: _rounded(row.get(name)) for name in columns} for row in rows))
    return file.getvalue().encode("utf-8-sig")  # with the mark by which Excel knows UTF-8


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _parquet(columns: Mapping[str, pa.DataType], rows: Sequence[Mapping[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), pa.schema(list(columns.items()))), out)
    return out.getvalue()
