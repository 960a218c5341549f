"""Profiles of a clustering, made and written: tables, plots and contact sheets in CLUSTERS/profiles/ALGORITHM/."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.catalog.snapshot import embeddings, read_snapshot
from artylyze.clustering.columns import Column
from artylyze.clustering.profiles import EVIDENCE, LEAST, LIFT, Profile, counts, log_likelihood_ratio, profile
from artylyze.clustering.store import Clusters, read_clusters
from artylyze.clustering.works import Works, read_works
from artylyze.errors import UsageError
from artylyze.publish.contact_sheet import Tile, contact_sheet
from artylyze.publish.profile_plots import Bar, cluster_plot, column_plot
from artylyze.publish.table import write_csv
from artylyze.publish.thumbnails import Thumbnail, read_thumbnails
from artylyze.reading import Source
from artylyze.storage import open_store

if TYPE_CHECKING:
    from artylyze.progress import Watcher

Algorithm = Literal["kmeans", "gmm"]
PROFILES = "profiles.json"
NOTHING_SAID = (
    "Nothing is said of the works by which the clusters could be described: give --labels FILE, or scan with "
    "--metadata FILE. The typical and marginal works are shown."
)

_HEAT = 20  # terms of a column that are drawn for all clusters
_TYPICAL, _MARGINAL = 12, 6


@dataclass(frozen=True, eq=False)
class Profiled:
    """The profiles of a clustering.

    Attributes:
        clusters: the clustering.
        algorithm: whose clusters they are.
        works: its works.
        profiles: one for each cluster, by number.
    """

    clusters: Clusters
    algorithm: Algorithm
    works: Works
    profiles: Sequence[Profile]

    @property
    def note(self) -> str | None:
        """A sentence where nothing is said of the works, else None."""
        return None if self.works.said.columns else NOTHING_SAID

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, works by their ids."""
        return {
            "clusters": self.clusters.folder,
            "catalog": self.works.catalog,
            "algorithm": self.algorithm,
            "columns": [column.name for column in self.works.said.columns],
            "left_out": dict(self.works.said.left_out),
            "note": self.note,
            "profiles": [
                one.as_dict()
                | {kind: [work_of(self.works, row) for row in getattr(one, kind)] for kind in ("typical", "marginal")}
                for one in self.profiles
            ],
        }


def make_profiles(
    folder: str,
    catalog: str | None = None,
    labels: Sequence[str] = (),
    artists: str | None = None,
    algorithm: str | None = None,
) -> Profiled:
    """Profile the clusters of a folder.

    Args:
        folder: of the clustering.
        catalog: that was clustered; None: the one that the clustering names.
        labels: tables that say more of its images.
        artists: a table of artists with nationality and years.
        algorithm: kmeans or gmm; None: kmeans where it was run.

    Raises:
        UsageError: no catalog is known, or the algorithm was not run.
        InputError: a clustering, catalog or table that cannot be used.
    """
    clusters = read_clusters(folder)
    return profiled(clusters, read_works(clusters, catalog, labels, artists), _chosen(clusters, algorithm))


def profiled(clusters: Clusters, works: Works, algorithm: Algorithm) -> Profiled:
    """Profile clusters whose works are known."""
    members = clusters.assignments.column(algorithm)
    codes = pc.fill_null(members, -1).to_numpy().astype(np.int64)
    k = len(clusters.centroids) if algorithm == "kmeans" and clusters.centroids is not None else 0
    if clusters.mixture is not None and algorithm == "gmm":
        k = len(clusters.mixture.weights)
    records = works.table.column("record_id").to_pylist()
    found = profile(codes, k, _distance(clusters, works, algorithm), records, works.said.columns, (_TYPICAL, _MARGINAL))
    return Profiled(clusters, algorithm, works, found)


def write_profiles(found: Profiled, watcher: Watcher) -> list[str]:
    """Write profiles into CLUSTERS/profiles/ALGORITHM/, and return the names of the files.

    `profiles.json` is written last: with it, the folder is complete.
    """
    address = f"{found.clusters.folder.rstrip('/')}/profiles/{found.algorithm}"
    store, written = open_store(address), []
    for name, data in _files(found, watcher):
        store.put(name, data)
        written.append(f"profiles/{found.algorithm}/{name}")
    store.put(PROFILES, (json.dumps(found.as_dict(), indent=1, ensure_ascii=False) + "\n").encode())
    return [f"profiles/{found.algorithm}/{PROFILES}", *written]


def work_of(works: Works, row: int) -> dict[str, Any]:
    """Return what identifies a work, as JSON values."""
    ids = {name: works.table.column(name)[row].as_py() for name in ("image_id", "record_id")}
    return ids | {"title": works.said.titles[row], "artist": works.said.artists[row]}


def thumbnails_of(works: Works, rows: Sequence[int]) -> dict[int, Thumbnail]:
    """Read the pictures of some works, by their rows."""
    wanted = sorted(set(rows))
    chosen = works.table.take(wanted)
    pairs = zip(chosen.column("uri").to_pylist(), chosen.column("validator").to_pylist(), strict=True)
    return dict(zip(wanted, read_thumbnails([Source(*pair) for pair in pairs]), strict=True))


def tile_of(works: Works, row: int, picture: Thumbnail, *lines: str) -> Tile:
    """Return a work for a contact sheet: its title (or its record), its artist, and what else is to be said."""
    title = works.said.titles[row] or works.table.column("record_id")[row].as_py()
    said = [title, works.said.artists[row] or "", *lines] + ([picture.why] if picture.why else [])
    return Tile(picture.pixels, picture.aspect, said)


def marks_in_words(one: Profile) -> str:
    """Return the terms that mark a cluster, with their lift."""
    return "; ".join(f"{mark.column}: {mark.share.term} (x {mark.share.lift:.1f})" for mark in one.marks)


def bars_of(one: Profile) -> list[tuple[str, list[Bar]]]:
    """Return the distributions of a cluster as bars."""
    return [
        (each.column, [Bar(term.term, term.share, term.overall, term.lift, term.marks) for term in each.terms])
        for each in one.distributions
    ]


def _chosen(clusters: Clusters, algorithm: str | None) -> Algorithm:
    run = [name for name, there in (("kmeans", clusters.centroids), ("gmm", clusters.mixture)) if there is not None]
    if algorithm not in (None, "kmeans", "gmm"):
        raise UsageError(f"--algorithm {algorithm}: give kmeans or gmm.")
    if not run or (algorithm is not None and algorithm not in run):
        raise UsageError(
            f"{clusters.folder} has no clusters of {algorithm or 'any algorithm'}: run `artylyze cluster`."
        )
    return cast("Algorithm", algorithm or run[0])


def _distance(clusters: Clusters, works: Works, algorithm: Algorithm) -> npt.NDArray[np.float64]:
    """How far each image is from the middle of its cluster, float64 (n,).

    For KMeans the Euclidean distance to the centroid; for the mixture the negative log density of the image in its
    component, where the features are the catalog's embeddings, else what the component's responsibility lacks to 1.
    """
    table = clusters.assignments
    if algorithm == "kmeans":
        return np.asarray(pc.fill_null(table.column("distance"), np.inf).to_numpy(), np.float64)
    members = pc.fill_null(table.column("gmm"), 0).to_numpy()
    mixture = clusters.mixture
    same = clusters.run.get("method") == "embedding" and mixture is not None
    if same and mixture is not None and read_snapshot(works.catalog).dim == len(mixture.projection.mean):
        ids, matrix = embeddings(works.catalog)
        places = pc.index_in(table.column("image_id"), value_set=pa.array(ids)).to_numpy()
        found = np.empty(len(places))
        for start in range(0, len(places), 8192):
            rows = slice(start, start + 8192)
            logs = mixture.log_densities(matrix[places[rows]])
            found[rows] = -logs[np.arange(len(logs)), members[rows]]
        return found
    shares = table.column("responsibilities").to_pylist()
    return np.array([1.0 if own is None else 1 - own[member] for own, member in zip(shares, members, strict=True)])


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
    members = pc.fill_null(found.clusters.assignments.column(found.algorithm), -1).to_numpy().astype(np.int64)
    k = len(found.profiles)
    table = counts(members, k, column)
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
