"""What each cluster holds: the distribution of every column with its lift, the terms that mark it, its works."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artylyze.profiling.columns import Column, Kind, standing

Members = npt.NDArray[np.int32] | npt.NDArray[np.int64]

TOP = 12
"""Terms of a column that a distribution names, the most frequent; those that mark the cluster are named besides."""

MARKS = 6
"""Terms that mark a cluster, at most."""

LIFT = 1.5
"""Lift from which a term can mark a cluster."""

LEAST = 3
"""Works that a term needs in the cluster to mark it."""

EVIDENCE = 10.83
"""G² from which a term can mark a cluster: chance alone exceeds it once in 1,000 (chi-squared, one degree)."""


@dataclass(frozen=True)
class Share:
    """One term in one cluster.

    Attributes:
        term: of the column.
        images: of the cluster that have it.
        share: of the cluster's images of which the column says something.
        overall: the same share in the whole collection.
        lift: share / overall.
        evidence: G², how little chance explains the lift (Dunning 1993); negative where the term is rarer than overall.
    """

    term: str
    images: int
    share: float
    overall: float
    lift: float
    evidence: float

    @property
    def marks(self) -> bool:
        """Whether it marks the cluster."""
        return self.images >= LEAST and self.lift >= LIFT and self.evidence >= EVIDENCE

    @property
    def lift_shown(self) -> float | None:
        """The lift, None where fewer than LEAST works have the term: of two works any lift is chance."""
        return self.lift if self.images >= LEAST else None


@dataclass(frozen=True)
class Distribution:
    """One column in one cluster: `images` images have a value, of which `other` have one of `other_terms` not named."""

    column: str
    kind: Kind
    images: int
    terms: tuple[Share, ...]
    other: int
    other_terms: int


@dataclass(frozen=True)
class Mark:
    """A term that marks a cluster, and its column (of which `kind`)."""

    column: str
    kind: Kind
    share: Share


@dataclass(frozen=True)
class Profile:
    """One cluster.

    Attributes:
        cluster: its number.
        images: in it.
        share: of all clustered images.
        marks: terms that mark it, by the `standing` of their columns, then the best proven first.
        distributions: one for each column in which an image of the cluster has a value.
        typical: rows of its most typical works, one of each record.
        marginal: rows of its most marginal works, the farthest first.
    """

    cluster: int
    images: int
    share: float
    marks: tuple[Mark, ...]
    distributions: tuple[Distribution, ...]
    typical: tuple[int, ...]
    marginal: tuple[int, ...]


def profile(
    members: Members,
    k: int,
    distance: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    records: Sequence[str],
    columns: Sequence[Column],
    works: tuple[int, int] = (12, 6),
) -> list[Profile]:
    """Profile each cluster.

    Args:
        members: int32 (n,), the cluster of each image, -1 for none.
        k: number of clusters.
        distance: float (n,), how far each image is from the middle of its cluster.
        records: the record of each image: a record is shown once.
        columns: descriptions of the images.
        works: how many typical and how many marginal works are named.
    """
    found: list[list[Distribution]] = [[] for _ in range(k)]
    marks: list[list[Mark]] = [[] for _ in range(k)]
    for column in columns:
        for cluster, shares in enumerate(_shares(members, k, column)):
            distribution = _distribution(column, shares)
            if distribution.images:
                found[cluster].append(distribution)
            marks[cluster] += [Mark(column.name, column.kind, share) for share in shares if share.marks]
    sizes = np.bincount(members[members >= 0], minlength=k)
    total = max(1, int(sizes.sum()))
    profiles = []
    for cluster in range(k):
        rows = np.flatnonzero(members == cluster)
        order = rows[np.argsort(distance[rows], kind="stable")]
        typical = _of_different_records(order, records, works[0])
        shown = {records[row] for row in typical}
        rest = (row for row in reversed(order) if records[int(row)] not in shown)
        best = sorted(marks[cluster], key=_rank)[:MARKS]
        profiles.append(
            Profile(
                cluster,
                int(sizes[cluster]),
                int(sizes[cluster]) / total,
                tuple(best),
                tuple(found[cluster]),
                typical,
                _of_different_records(rest, records, works[1]),
            )
        )
    return profiles


def counts(members: Members, k: int, column: Column) -> npt.NDArray[np.int64]:
    """Return how many images of each cluster have each term, int64 (k, terms)."""
    some = (members >= 0) & (column.codes >= 0)
    terms = len(column.terms)
    cells = members[some].astype(np.int64) * terms + column.codes[some]
    return np.bincount(cells, minlength=k * terms).reshape(k, terms).astype(np.int64)


def log_likelihood_ratio(table: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return for each cell of a table of counts (k, terms) the signed G² of "this cluster, this term".

    It is 2 Σ O ln(O / E) over the four cells of the 2 x 2 table (Dunning, "Accurate Methods for the Statistics of
    Surprise and Coincidence", Computational Linguistics 19, 1993), negative where the count is below its expectation.
    """
    both = table.astype(np.float64)
    row, column, total = both.sum(1, keepdims=True), both.sum(0, keepdims=True), max(1.0, float(both.sum()))
    observed = np.stack([both, row - both, column - both, total - row - column + both])
    expected = np.stack(
        [row * column, row * (total - column), (total - row) * column, (total - row) * (total - column)]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(observed > 0, observed * np.log(observed * total / expected), 0.0)
    found: npt.NDArray[np.float64] = 2 * parts.sum(axis=0)
    return np.where(both * total >= row * column, found, -found)


def _shares(members: Members, k: int, column: Column) -> list[list[Share]]:
    """The terms that occur in each cluster, the most frequent first."""
    table = counts(members, k, column)
    evidence = log_likelihood_ratio(table)
    described = table.sum(axis=1)
    overall = table.sum(axis=0) / max(1, int(table.sum()))
    found = []
    for cluster in range(k):
        there = np.flatnonzero(table[cluster])
        there = there[np.argsort(-table[cluster, there], kind="stable")]
        found.append(
            [
                Share(
                    column.terms[term],
                    int(table[cluster, term]),
                    float(table[cluster, term] / described[cluster]),
                    float(overall[term]),
                    float(table[cluster, term] / described[cluster] / overall[term]),
                    float(evidence[cluster, term]),
                )
                for term in there
            ]
        )
    return found


def _distribution(column: Column, shares: Sequence[Share]) -> Distribution:
    proven = sorted((share for share in shares[TOP:] if share.marks), key=lambda share: -share.evidence)[:MARKS]
    named = [*shares[:TOP], *proven]
    images, in_named = (sum(share.images for share in some) for some in (shares, named))
    return Distribution(column.name, column.kind, images, tuple(named), images - in_named, len(shares) - len(named))


def _rank(mark: Mark) -> tuple[int, float, str, str]:
    return standing(mark.column, mark.kind), -mark.share.evidence, mark.column, mark.share.term


def _of_different_records(rows: Iterable[np.int64], records: Sequence[str], count: int) -> tuple[int, ...]:
    found: dict[str, int] = {}
    for row in rows:
        if len(found) == count:
            break
        found.setdefault(records[int(row)], int(row))
    return tuple(found.values())
