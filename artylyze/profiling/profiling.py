"""Profiles of a stored clustering: its works joined to their metadata and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from artylyze.clustering.store import Clusters, read_clusters, read_responsibilities
from artylyze.drawing.thumbnails import Thumbnail, read_thumbnails
from artylyze.errors import UsageError
from artylyze.profiling.columns import Texts
from artylyze.profiling.profile_plots import Bar, Panel
from artylyze.profiling.profiles import Profile, profile
from artylyze.profiling.works import Works, read_works
from artylyze.tables import DEFAULT_READING, Reading
from artylyze.workers.fetching import Source

Algorithm = Literal["kmeans", "gmm"]
NO_DESCRIPTION = (
    "The works have no metadata by which the clusters could be described: give `labels=FILE`, or scan with "
    "metadata, `artylyze scan --metadata FILE`. The typical and marginal works are shown."
)

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
    def members(self) -> npt.NDArray[np.int32]:
        """The cluster of each image, -1 for none, or where another image of the same work counts."""
        return counted_clusters(self.clusters, self.algorithm, self.works)

    @property
    def note(self) -> str | None:
        """A sentence where the works have no descriptions, else None."""
        return None if self.works.described.columns else NO_DESCRIPTION

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, works by their ids."""
        return {
            "clusters": self.clusters.folder,
            "catalog": self.works.catalog,
            "algorithm": self.algorithm,
            "columns": [column.name for column in self.works.described.columns],
            "left_out": dict(self.works.described.left_out),
            "note": self.note,
            "profiles": [
                asdict(of_cluster)
                | {
                    kind: [identify(self.works, row) for row in getattr(of_cluster, kind)]
                    for kind in ("typical", "marginal")
                }
                for of_cluster in self.profiles
            ],
        }


def make_profiles(
    folder: str,
    catalog: str | None = None,
    labels: Sequence[str] = (),
    artists: str | None = None,
    algorithm: str | None = None,
    columns: Sequence[str] = (),
    id_column: str | None = None,
    reading: Reading = DEFAULT_READING,
    duplicates: str | None = None,
) -> Profiled:
    """Profile the clusters of a folder.

    Args:
        folder: of the clustering.
        catalog: that was clustered; None: the one that the clustering names.
        labels: tables that say more of its images.
        artists: a table of artists with nationality and years.
        algorithm: kmeans or gmm; None: kmeans where it was run.
        columns: those to profile; none: all that are categorical.
        id_column: of a table of labels, that names an image or its record; None: it is found.
        reading: how tables of labels are to be read.
        duplicates: a folder of near-duplicates, of each group of which one image counts; None: each image counts.

    Raises:
        UsageError: no catalog is known, the algorithm was not run, or a column is not there or not categorical.
        InputError: a clustering, catalog or table that cannot be used.
    """
    clusters = read_clusters(folder, responsibilities=False)
    works = read_works(clusters, catalog, labels, artists, columns, id_column, reading, duplicates)
    return profiled(clusters, works, _chosen(clusters, algorithm))


def profiled(clusters: Clusters, works: Works, algorithm: Algorithm) -> Profiled:
    """Profile clusters whose works were read."""
    k = len(clusters.centroids) if algorithm == "kmeans" and clusters.centroids is not None else 0
    if clusters.mixture is not None and algorithm == "gmm":
        k = len(clusters.mixture.weights)
    records = Texts(works.table.column("record_id"))
    members, distance = counted_clusters(clusters, algorithm, works), _distance(clusters, works, algorithm)
    profiles = profile(members, k, distance, records, works.described.columns, (_TYPICAL, _MARGINAL))
    return Profiled(clusters, algorithm, works, profiles)


def counted_clusters(clusters: Clusters, algorithm: Algorithm, works: Works) -> npt.NDArray[np.int32]:
    """The cluster of each image, -1 for none, or where another image of the same work counts."""
    members = np.array(pc.fill_null(clusters.assignments.column(algorithm), -1).to_numpy(), np.int32)
    if works.repeated is not None:
        members[works.repeated] = -1
    return members


def identify(works: Works, row: int) -> dict[str, Any]:
    """Return the ids, title and artist of a work, as JSON values."""
    ids = {name: works.table.column(name)[row].as_py() for name in ("image_id", "record_id")}
    return ids | {"title": works.described.titles[row], "artist": works.described.artists[row]}


def read_pictures(works: Works, rows: Sequence[int]) -> dict[int, Thumbnail]:
    """Read the pictures of some works, by their rows."""
    wanted = sorted(set(rows))
    sources = [Source(**row) for row in works.rows.take(wanted, ["uri", "validator"]).to_pylist()]
    return dict(zip(wanted, read_thumbnails(sources), strict=True))


def caption(works: Works, row: int, picture: Thumbnail, *lines: str) -> list[str]:
    """Return the lines below a work: its title (or its record), its artist, further ones, why it could not be read."""
    title = works.described.titles[row] or works.table.column("record_id")[row].as_py()
    return [title, works.described.artists[row] or "", *lines] + ([picture.why] if picture.why else [])


def describe_marks(profile: Profile) -> str:
    """Return the terms that mark a cluster, with their lift."""
    return "; ".join(f"{mark.column}: {mark.share.term} (x {mark.share.lift:.1f})" for mark in profile.marks)


def panels(profile: Profile) -> list[Panel]:
    """Return the distributions of a cluster as they are drawn."""
    return [
        Panel(
            column.column,
            column.images,
            profile.images,
            [
                Bar(share.term, share.images, share.share, share.overall, share.lift_shown, share.marks)
                for share in column.terms
            ],
        )
        for column in profile.distributions
    ]


def _chosen(clusters: Clusters, algorithm: str | None) -> Algorithm:
    run = [name for name, there in (("kmeans", clusters.centroids), ("gmm", clusters.mixture)) if there is not None]
    if algorithm not in (None, "kmeans", "gmm"):
        raise UsageError(f"`algorithm={algorithm!r}`: give kmeans or gmm.")
    if not run or (algorithm is not None and algorithm not in run):
        raise UsageError(
            f"{clusters.folder} has no clusters of {algorithm or 'any algorithm'}: run `artylyze cluster`."
        )
    return cast("Algorithm", algorithm or run[0])


def _distance(
    clusters: Clusters, works: Works, algorithm: Algorithm
) -> npt.NDArray[np.float32] | npt.NDArray[np.float64]:
    """How far each image is from the middle of its cluster, (n,).

    For KMeans the Euclidean distance to the centroid; for the mixture the negative log density of the image in its
    component, where the features are the catalog's embeddings, else what the component's responsibility lacks to 1.
    """
    table = clusters.assignments
    if algorithm == "kmeans":
        return np.asarray(pc.fill_null(table.column("distance"), np.inf).to_numpy(), np.float32)
    members = pc.fill_null(table.column("gmm"), 0).to_numpy()
    mixture, embeddings = clusters.mixture, clusters.run.get("method") == "embedding"
    distance = np.full(len(members), np.inf)  # of an image that has no embedding any more
    if mixture is not None and embeddings and works.rows.snapshot.dim == len(mixture.projection.mean):
        for images, matrix in works.rows.vectors():
            distance[images] = -mixture.log_densities(matrix, members[images])
        return distance
    for rows, shares in read_responsibilities(clusters.folder):
        distance[rows] = 1.0 - shares[np.arange(len(rows)), members[rows]]
    return distance
