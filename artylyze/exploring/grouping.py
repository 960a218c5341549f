"""Clusters, influences and near-duplicates of the works of an explorer, where folders of them are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.clustering.store import read_clusters, read_responsibilities
from artylyze.duplication.store import read_groups
from artylyze.errors import InputError
from artylyze.exploring.facets import Facet, fitting
from artylyze.exploring.works import Works
from artylyze.profiling.columns import Column
from artylyze.profiling.profiles import profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLD, MOST = 0.05, 5
"""Responsibility from which a cluster is an influence on a work, and influences that are named of each."""

TYPICAL = 12
"""Typical works that are named of each cluster."""


@dataclass(frozen=True, eq=False)
class Influences:
    """The clusters that answer for n works.

    Attributes:
        clusters: int16 (n, MOST), the largest responsibility first, -1 where there are fewer.
        shares: float32 (n, MOST), their responsibilities.
    """

    clusters: NDArray[np.int16]
    shares: NDArray[np.float32]

    def on(self, row: int) -> list[tuple[int, float]]:
        """Return the clusters that answer for a work, with their responsibilities."""
        return [
            (int(one), float(share))
            for one, share in zip(self.clusters[row], self.shares[row], strict=True)
            if one >= 0 and share >= THRESHOLD
        ]


@dataclass(frozen=True, eq=False)
class Grouped:
    """The clusters of n works.

    Attributes:
        facet: the cluster of each work.
        summary: what index.json says: k, names, sizes and the rows of typical works.
        influences: on each work, None where responsibilities are not known.
    """

    facet: Facet
    summary: Mapping[str, Any]
    influences: Influences | None


def clusters_of(works: Works, folder: str, columns: Sequence[Column]) -> Grouped:
    """Read the clusters of a catalog: those of the mixture, which have responsibilities, else those of KMeans.

    A cluster is named by the two terms that mark it best, what people said before what a model predicted.

    Args:
        works: of the catalog.
        folder: of the clusters.
        columns: what is said of the works, to name the clusters.

    Raises:
        InputError: if there are no clusters, or they are of other images.
    """
    found = read_clusters(folder, responsibilities=False)
    mixture = found.mixture is not None
    table = found.assignments
    there = pc.index_in(table.column("image_id").combine_chunks(), value_set=works.ids)
    if table.num_rows and there.null_count == len(there):
        raise InputError(f"{folder} are clusters of other images than those of {works.catalog}: give its own.")
    rows = pc.fill_null(there, -1).to_numpy()
    kept = rows >= 0
    members = np.full(len(works), -1, np.int32)
    given = pc.fill_null(table.column("gmm" if mixture else "kmeans"), -1).to_numpy()
    members[rows[kept]] = given[kept]
    distance = np.zeros(len(works), np.float32)
    if not mixture:
        distance[rows[kept]] = pc.fill_null(table.column("distance"), 0.0).to_numpy()[kept]
    influences = None
    if mixture:
        influences = Influences(np.full((len(works), MOST), -1, np.int16), np.zeros((len(works), MOST), np.float32))
        for some, shares in read_responsibilities(folder):
            _take_shares(rows[some], shares, influences, distance)
    k = int(found.scores["chosen"])
    records = pa.array(works.rows.records.to_pylist()) if len(works) else pa.array([], pa.string())
    profiles = profile(members, k, distance, records.to_pylist(), columns, (TYPICAL, 0))
    names = _names([[mark.share.term for mark in one.marks] for one in profiles])
    summary = {
        "k": k,
        "algorithm": "gmm" if mixture else "kmeans",
        "names": names,
        "sizes": [one.images for one in profiles],
        "typical": [list(one.typical) for one in profiles],
    }
    facet = Facet("cluster", "cluster", "cluster", tuple(names), fitting(members + 1, k))
    return Grouped(facet, summary, influences)


def duplicates_of(works: Works, folder: str) -> Mapping[int, Sequence[tuple[int, str, float]]]:
    """Read the near-duplicates of a catalog: work -> the others of its group, their reasons and scores.

    Raises:
        InputError: if there are none in the folder, or they are of other images.
    """
    table = read_groups(folder)
    rows = pc.fill_null(pc.index_in(table.column("image_id").combine_chunks(), value_set=works.ids), -1).to_numpy()
    if len(rows) and not (rows >= 0).any():
        raise InputError(f"{folder} are near-duplicates of other images than those of {works.catalog}: give its own.")
    groups: dict[int, list[tuple[int, str, float]]] = {}
    reasons, scores = table.column("reason").to_pylist(), table.column("score").to_pylist()
    for row, group, reason, score in zip(rows, table.column("group").to_pylist(), reasons, scores, strict=True):
        if row >= 0:
            groups.setdefault(group, []).append((int(row), reason or "", float(score or 0.0)))
    related = {}
    for members in groups.values():
        for number, (row, reason, score) in enumerate(members):
            others = [one for place, one in enumerate(members) if place != number]
            # The reason of a group's first work, which the others are like, is that of the pair.
            related[row] = [(other, why or reason, how or score) for other, why, how in others]
    return related


def _take_shares(
    rows: NDArray[np.int64], shares: NDArray[np.float32], influences: Influences, distance: NDArray[np.float32]
) -> None:
    """Note the influences on some works (-1: not in the catalog), and how far each is from being of one cluster."""
    kept = rows >= 0
    rows, shares = rows[kept], shares[kept]
    order = np.argsort(-shares, axis=1, kind="stable")[:, :MOST]
    largest = np.take_along_axis(shares, order, axis=1)
    influences.clusters[rows, : order.shape[1]] = order
    influences.shares[rows, : order.shape[1]] = largest
    distance[rows] = 1 - largest[:, 0]


def _names(marks: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each cluster, of the terms that mark it: no two the same."""
    names: list[str] = []
    for number, terms in enumerate(marks):
        name = ", ".join(dict.fromkeys(terms[:2])) or f"Cluster {number + 1}"
        names.append(name if name not in names else f"{name} ({number + 1})")
    return names
