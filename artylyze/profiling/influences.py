"""The influences of a record: the clusters of the mixture that are responsible for it, and what they hold.

Another photograph of the same work is a near-duplicate: that two pictures of one object lie close together is no
influence.
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
from artylyze.duplication.likeness import Likeness, likeness
from artylyze.errors import InputError, UsageError
from artylyze.profiling.profiles import Profile
from artylyze.profiling.profiling import Profiled, describe_marks, identify, profiled, read_pictures
from artylyze.profiling.works import Works

THRESHOLD = 0.05
"""Responsibility from which a cluster counts as an influence."""

NEAREST = 16
"""Works nearest by their embeddings that are compared with the record to find near-duplicates."""

ALONE = 0.99
"""Responsibility from which a cluster has a work to itself: no other runs through it."""

SHOWN = 6
"""Typical works shown of each cluster."""


@dataclass(frozen=True, eq=False)
class Influence:
    """One cluster of the mixture: its share in a record (0 to 1), its profile, rows of its typical works."""

    share: float
    profile: Profile
    typical: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Influences:
    """The influences of a record.

    Attributes:
        record: its id.
        works: of the clustering.
        rows: of the record's images.
        shares: float64 (images, clusters), the responsibilities of each image; the record's are their mean.
        threshold: below which a cluster is no influence.
        undivided: share of all clustered images of which one cluster has ALONE or more.
        found: the influences, the strongest first.
        duplicates: row of another record's image -> how alike it is to an image of this record.
        unread: row of a work that could not be compared with the record -> why it could not be read.
        pictures: of every work that is shown, by row.
    """

    record: str
    works: Works
    rows: tuple[int, ...]
    shares: npt.NDArray[np.float64]
    threshold: float
    undivided: float
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
        which, unread = ("its own images", own) if own else ("the works like it", self.unread)
        reasons = ", ".join(sorted(set(unread.values())))
        return f"Near-duplicates may be missing: of {which} {len(unread):,} could not be compared ({reasons})."

    @property
    def alone(self) -> str | None:
        """A sentence where one cluster has the record to itself, else None: so it is with how many, and what to do."""
        if not self.found or self.found[0].share < ALONE:
            return None
        return (
            f"One cluster has this work to itself, as it is with {self.undivided:.0%} of the works of this mixture. "
            "With fewer principal components more works lie between clusters: `artylyze cluster --components 8`."
        )

    @property
    def rest(self) -> float:
        """What clusters below the threshold share."""
        return max(0.0, 1.0 - sum(influence.share for influence in self.found))

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, works by their ids."""
        return {
            "record_id": self.record,
            "catalog": self.works.catalog,
            "threshold": self.threshold,
            "images": [
                identify(self.works, row) | {"responsibilities": own.tolist()}
                for row, own in zip(self.rows, self.shares, strict=True)
            ],
            "influences": [
                {
                    "cluster": influence.profile.cluster,
                    "responsibility": influence.share,
                    "images": influence.profile.images,
                    "marks": [asdict(mark) for mark in influence.profile.marks],
                    "distributions": [asdict(each) for each in influence.profile.distributions],
                    "typical": [identify(self.works, row) for row in influence.typical],
                }
                for influence in self.found
            ],
            "below_threshold": self.rest,
            "undivided": self.undivided,
            "note": self.alone,
            "near_duplicates": [identify(self.works, row) | asdict(how) for row, how in self.duplicates.items()],
            "not_compared": [identify(self.works, row) | {"why": why} for row, why in self.unread.items()],
        }


def influences(clusters: Clusters, works: Works, record: str, threshold: float = THRESHOLD) -> Influences:
    """Find the clusters of the mixture that influence a record.

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
            f"{clusters.folder} has no mixture, which gives the share of each cluster in a work: cluster again with "
            "both algorithms, `artylyze cluster --algorithm kmeans,gmm`."
        )
    if not 0 <= threshold <= 1:
        raise UsageError(f"`threshold={threshold:g}`: give a share between 0 and 1.")


def of_record(mixture: Profiled, record: str, threshold: float) -> Influences:
    """Find the influences of a record among profiled clusters of a mixture; raise InputError if it is not there."""
    works, clusters = mixture.works, mixture.clusters
    rows = _rows_of(works, record, clusters.folder)
    shares, undivided = _responsibilities(clusters.folder, rows)
    mean = shares.mean(axis=0)
    strongest = [int(cluster) for cluster in np.argsort(-mean, kind="stable") if mean[cluster] >= threshold]
    near = _nearest(works, rows)
    typical = {cluster: _others(mixture.profiles[cluster].typical, rows, works) for cluster in strongest}
    compared = [*rows, *near, *(row for some in typical.values() for row in some)]
    pictures = read_pictures(works, compared)
    duplicates = _duplicates(rows, compared, pictures)
    found = tuple(
        Influence(
            float(mean[cluster]),
            mixture.profiles[cluster],
            tuple(row for row in typical[cluster] if row not in duplicates)[:SHOWN],
        )
        for cluster in strongest
    )
    unread = {row: why for row in dict.fromkeys(compared) if (why := pictures[row].why)}
    shown = {*rows, *duplicates, *(row for influence in found for row in influence.typical)}
    return Influences(
        record,
        works,
        rows,
        shares,
        threshold,
        undivided,
        found,
        duplicates,
        unread,
        {row: pictures[row] for row in sorted(shown)},
    )


def describe(influences: Influences) -> str:
    """Describe the influences in words, for a terminal."""
    lines = [f"Record {influences.record}: {shorten(_named(influences.works, influences.rows[0]), 120)}"]
    for influence in influences.found:
        profile = influence.profile
        lines.append(f"  {influence.share:6.1%}  mixture cluster {profile.cluster}  {describe_marks(profile)}".rstrip())
    if influences.rest >= 0.0005:
        lines.append(f"  {influences.rest:6.1%}  clusters below {influences.threshold:.0%} each")
    for row, how in influences.duplicates.items():
        other = influences.works.table.column("record_id")[row].as_py()
        lines.append(
            f"  Near-duplicate, perhaps the same work photographed twice: {other}, "
            f"{shorten(_named(influences.works, row), 120)} (correlation {how.correlation:.2f})"
        )
    if influences.alone:
        lines.append(influences.alone)
    if influences.blind:
        lines.append(influences.blind)
    return "\n".join(lines)


def _named(works: Works, row: int) -> str:
    names = filter(None, (works.described.titles[row], works.described.artists[row]))
    return ", ".join(names) or str(works.table.column("image_id")[row].as_py())


def _rows_of(works: Works, record: str, folder: str) -> tuple[int, ...]:
    for name in ("record_id", "image_id"):
        rows = np.flatnonzero(pc.equal(works.table.column(name), record).to_numpy(zero_copy_only=False))
        if len(rows):
            return tuple(rows.tolist())
    raise InputError(
        f"No image of a record {record!r} is in {folder}: ids are like {works.table.column('record_id')[0].as_py()!r}. "
        "An image that could not be read is not clustered (`artylyze failures`)."
    )


def _responsibilities(folder: str, rows: Sequence[int]) -> tuple[npt.NDArray[np.float64], float]:
    """Of some images, float64 (images, clusters); and the share of all images that one cluster has to itself."""
    of_row: dict[int, npt.NDArray[np.float32]] = {}
    undivided, images = 0, 0
    for there, shares in read_responsibilities(folder):
        of_row |= {int(there[place]): shares[place] for place in np.flatnonzero(np.isin(there, rows))}
        undivided, images = undivided + int((shares.max(axis=1) >= ALONE).sum()), images + len(there)
    return np.array([of_row[row] for row in rows], np.float64), undivided / max(1, images)


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
    duplicates: dict[int, Likeness] = {}
    for row in dict.fromkeys(candidates):
        if row in rows or pictures[row].why:
            continue
        pairs = [likeness(pictures[own].pixels, pictures[row].pixels) for own in rows if not pictures[own].why]
        best = max((pair for pair in pairs if pair.same), key=lambda pair: pair.correlation, default=None)
        if best is not None:
            duplicates[row] = best
    return dict(sorted(duplicates.items(), key=lambda item: -item[1].correlation))
