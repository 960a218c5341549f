"""Which currents run through a painting: the clusters of the mixture that answer for it, and what those hold.

A work of which the collection has another photograph is told as a near-duplicate: that two pictures of one object lie
close together is no influence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from textwrap import shorten
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from artylyze.clustering.store import Clusters, read_responsibilities
from artylyze.drawing.thumbnails import Thumbnail
from artylyze.errors import InputError, UsageError
from artylyze.profiling.duplicates import Likeness, likeness
from artylyze.profiling.profiles import Profile
from artylyze.profiling.profiling import Profiled, marks_in_words, profiled, thumbnails_of, work_of
from artylyze.profiling.works import Works

THRESHOLD = 0.05
"""Responsibility from which a cluster counts as an influence."""

NEAREST = 16
"""Works nearest by their embeddings that are looked at for near-duplicates."""

SHOWN = 6
"""Typical works shown of each cluster."""


@dataclass(frozen=True, eq=False)
class Influence:
    """One cluster that runs through a painting: its share (0 to 1), its profile, rows of its typical works."""

    share: float
    profile: Profile
    typical: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Influences:
    """The currents in a record.

    Attributes:
        record: its id.
        works: of the clustering.
        rows: of the record's images.
        shares: float64 (images, clusters), the responsibilities of each image; the record's are their mean.
        threshold: below which a cluster is no influence.
        found: the influences, the strongest first.
        duplicates: row of another record's image -> how alike it is to one of this record's.
        unread: row of a work that should be looked at for near-duplicates -> why it could not be read.
        pictures: of every work that is shown, by row.
    """

    record: str
    works: Works
    rows: tuple[int, ...]
    shares: npt.NDArray[np.float64]
    threshold: float
    found: tuple[Influence, ...]
    duplicates: Mapping[int, Likeness]
    unread: Mapping[int, str]
    pictures: Mapping[int, Thumbnail]

    @property
    def blind(self) -> str | None:
        """A sentence where near-duplicates may have been missed, since works could not be read."""
        if not self.unread:
            return None
        own = {row: why for row, why in self.unread.items() if row in self.rows}
        whose, some = ("its own images", own) if own else ("works like it", self.unread)
        why = ", ".join(sorted(set(some.values())))
        return f"Near-duplicates may be missing: of {whose} {len(some):,} could not be looked at ({why})."

    @property
    def rest(self) -> float:
        """What clusters below the threshold share."""
        return max(0.0, 1.0 - sum(one.share for one in self.found))

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, works by their ids."""
        return {
            "record_id": self.record,
            "catalog": self.works.catalog,
            "threshold": self.threshold,
            "images": [
                work_of(self.works, row) | {"responsibilities": [float(one) for one in own]}
                for row, own in zip(self.rows, self.shares, strict=True)
            ],
            "influences": [
                {
                    "cluster": one.profile.cluster,
                    "responsibility": one.share,
                    "images": one.profile.images,
                    "marks": [asdict(mark) for mark in one.profile.marks],
                    "distributions": [asdict(each) for each in one.profile.distributions],
                    "typical": [work_of(self.works, row) for row in one.typical],
                }
                for one in self.found
            ],
            "below_threshold": self.rest,
            "near_duplicates": [work_of(self.works, row) | asdict(how) for row, how in self.duplicates.items()],
            "not_compared": [work_of(self.works, row) | {"why": why} for row, why in self.unread.items()],
        }


def influences(clusters: Clusters, works: Works, record: str, threshold: float = THRESHOLD) -> Influences:
    """Find the clusters of the mixture that run through a record.

    Raises:
        UsageError: the clusters have no mixture, or the threshold is not a share.
        InputError: no clustered image is of this record.
    """
    check(clusters, threshold)
    return of_record(profiled(clusters, works, "gmm"), record, threshold)


def check(clusters: Clusters, threshold: float) -> None:
    """Raise UsageError where the clusters have no mixture, or the threshold is not a share."""
    if clusters.mixture is None:
        raise UsageError(
            f"{clusters.folder} has no mixture, which tells how much of a work is of which cluster: cluster again with "
            "both algorithms, `artylyze cluster --algorithm kmeans,gmm`."
        )
    if not 0 <= threshold <= 1:
        raise UsageError(f"`threshold={threshold:g}`: give a share between 0 and 1.")


def of_record(mixture: Profiled, record: str, threshold: float) -> Influences:
    """Find the currents in a record among profiled clusters of a mixture; raise InputError if it is not there."""
    works, clusters = mixture.works, mixture.clusters
    rows = _rows_of(works, record, clusters.folder)
    shares = _responsibilities(clusters.folder, rows)
    mean = shares.mean(axis=0)
    strongest = [int(one) for one in np.argsort(-mean, kind="stable") if mean[one] >= threshold]
    near = _nearest(works, rows)
    offered = {one: _others(mixture.profiles[one].typical, rows, works) for one in strongest}
    looked_at = [*rows, *near, *(row for some in offered.values() for row in some)]
    pictures = thumbnails_of(works, looked_at)
    duplicates = _duplicates(rows, looked_at, pictures)
    found = tuple(
        Influence(
            float(mean[one]),
            mixture.profiles[one],
            tuple(row for row in offered[one] if row not in duplicates)[:SHOWN],
        )
        for one in strongest
    )
    unread = {row: why for row in dict.fromkeys(looked_at) if (why := pictures[row].why)}
    shown = {*rows, *duplicates, *(row for one in found for row in one.typical)}
    return Influences(
        record, works, rows, shares, threshold, found, duplicates, unread, {row: pictures[row] for row in sorted(shown)}
    )


def describe(found: Influences) -> str:
    """Return the currents in words for a terminal."""
    lines = [f"Record {found.record}: {shorten(_named(found.works, found.rows[0]), 120)}"]
    lines += [
        f"  {one.share:6.1%}  mixture cluster {one.profile.cluster}  {marks_in_words(one.profile)}".rstrip()
        for one in found.found
    ]
    if found.rest >= 0.0005:
        lines.append(f"  {found.rest:6.1%}  clusters below {found.threshold:.0%} each")
    for row, how in found.duplicates.items():
        other = found.works.table.column("record_id")[row].as_py()
        lines.append(
            f"  Near-duplicate, perhaps the same work photographed twice: {other}, "
            f"{shorten(_named(found.works, row), 120)} (correlation {how.correlation:.2f})"
        )
    if found.blind:
        lines.append(found.blind)
    return "\n".join(lines)


def _named(works: Works, row: int) -> str:
    said = [one for one in (works.said.titles[row], works.said.artists[row]) if one]
    return ", ".join(said) or str(works.table.column("image_id")[row].as_py())


def _rows_of(works: Works, record: str, folder: str) -> tuple[int, ...]:
    records = works.table.column("record_id")
    found = np.flatnonzero(pc.equal(records, record).to_numpy(zero_copy_only=False))
    if not len(found):  # an image's own id serves as well
        found = np.flatnonzero(pc.equal(works.table.column("image_id"), record).to_numpy(zero_copy_only=False))
    if not len(found):
        raise InputError(
            f"No image of a record {record!r} is in {folder}: ids are like {records[0].as_py()!r}. An image that could "
            "not be read is not clustered (`artylyze failures`)."
        )
    return tuple(int(row) for row in found)


def _responsibilities(folder: str, rows: Sequence[int]) -> npt.NDArray[np.float64]:
    """Of some images, float64 (images, clusters)."""
    of_row: dict[int, npt.NDArray[np.float32]] = {}
    for there, shares in read_responsibilities(folder):
        found = np.flatnonzero(np.isin(there, rows))
        of_row |= {int(there[place]): shares[place] for place in found}
    return np.array([of_row[row] for row in rows], np.float64)


def _nearest(works: Works, rows: Sequence[int]) -> list[int]:
    """Rows of the works most like the record's by the cosine of their embeddings, the record's own left out."""
    vectors = works.rows.take(rows, ["embedding"]).column("embedding").drop_null().to_pylist()
    own = np.array(vectors, np.float32).reshape(len(vectors), works.rows.snapshot.dim)
    own /= np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
    alike = np.full(works.table.num_rows, -np.inf, np.float32)
    for images, matrix in works.rows.vectors():
        norms = np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
        alike[images] = (matrix @ own.T / norms).max(axis=1, initial=-1)
    order = [int(row) for row in np.argsort(-alike, kind="stable")[: NEAREST + len(rows)]]
    return _others(order, rows, works)[:NEAREST]


def _others(typical: Sequence[int], rows: Sequence[int], works: Works) -> list[int]:
    records = works.table.column("record_id")
    own = {records[row].as_py() for row in rows}
    return [row for row in typical if records[row].as_py() not in own]


def _duplicates(
    rows: Sequence[int], candidates: Sequence[int], pictures: Mapping[int, Thumbnail]
) -> dict[int, Likeness]:
    """Those of the candidates that show the same object as one of the record's images, the most alike first."""
    found: dict[int, Likeness] = {}
    for row in dict.fromkeys(candidates):
        if row in rows or pictures[row].why:
            continue
        pairs = [likeness(pictures[own].pixels, pictures[row].pixels) for own in rows if not pictures[own].why]
        best = max((pair for pair in pairs if pair.same), key=lambda pair: pair.correlation, default=None)
        if best is not None:
            found[row] = best
    return dict(sorted(found.items(), key=lambda item: -item[1].correlation))
