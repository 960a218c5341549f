"""From a catalog to features, clusters, what they hold, and a page to share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from artylyze.api.arguments import Output, StrPath, addresses, names, optional
from artylyze.progress import Watcher, watching
from artylyze.tables import Reading

if TYPE_CHECKING:
    import pyarrow as pa

    from artylyze.clustering.request import ClusterRequest


@dataclass(frozen=True)
class Clusters(Output):
    """Clusters that `cluster` wrote.

    Attributes:
        k: Number of clusters.
    """

    k: int

    def to_arrow(self) -> pa.Table:
        """Read which image is in which cluster.

        Returns:
            A table with image_id, record_id, kmeans, distance, gmm and responsibilities; null for an algorithm that was
            not run.

        Examples:
            >>> import artylyze
            >>> clusters = artylyze.cluster("catalog", "clusters", k=3)
            >>> clusters.to_arrow().column_names[:3]
            ['image_id', 'record_id', 'kmeans']
        """
        from artylyze.clustering.store import read_clusters

        return read_clusters(self.path).assignments


def features(
    source: StrPath,
    output: StrPath,
    *,
    method: str = "embedding",
    variance: float = 0.95,
    image_size: int = 180,
    weights: StrPath | None = None,
    random_weights: bool = False,
    transform: StrPath | None = None,
    seed: int = 0,
    progress: bool | Watcher = True,
) -> Output:
    """Compute features of images to cluster by.

    Args:
        source: A catalog, a manifest, or a folder, bucket or table of images.
        output: The features file to write, .parquet.
        method: pca or kernel_pca of pixels, embedding, or timm:NAME.
        variance: Share of the variance, above 0 and at most 1, that PCA and kernel PCA keep.
        image_size: Pixels a side for PCA and kernel PCA.
        weights: Weights for timm:NAME: a .safetensors or .pth file.
        random_weights: Let timm:NAME go untrained; labelled so, never ranked.
        transform: Apply this fitted transform (.transform.safetensors) in place of fitting one.
        seed: Of every random choice.
        progress: True shows a bar on a terminal or in a notebook, False nothing.

    Returns:
        The features file, for `cluster`.

    Raises:
        UsageError: For arguments that do not go together.
        InputError: For a source, weights or a transform that cannot be used.

    Examples:
        >>> import artylyze
        >>> pca = artylyze.features("catalog", "pca.parquet", method="pca", image_size=32)
        >>> pca.figures["rows"]
        23
    """
    from artylyze.extraction.features import FeaturesRequest
    from artylyze.extraction.features import features as run
    from artylyze.extraction.vectors import describe_left_out

    request = FeaturesRequest(
        source=os.fspath(source),
        output=os.fspath(output),
        method=method,
        variance=variance,
        image_size=image_size,
        weights=optional(weights),
        random_weights=random_weights,
        transform=optional(transform),
        seed=seed,
    )
    with watching(progress) as watcher:
        found = run(request, watcher)
    text = f"{found['rows']:,} images with {found['dim']:,} features ({method}): {request.output}"
    if found["left_out"]:
        text += f"\nLeft out: {describe_left_out(found['left_out'])}"
    return Output(request.output, found, text)


def cluster(
    source: StrPath,
    output: StrPath,
    *,
    algorithm: str | Sequence[str] = ("kmeans", "gmm"),
    k: int | Literal["auto"] | None = None,
    k_range: tuple[int, int] = (5, 60),
    covariance: Literal["diag", "full", "tied"] = "diag",
    variance: float = 0.95,
    components: int = 32,
    device: str = "auto",
    seed: int = 0,
    sample: int | None = None,
    assign: StrPath | None = None,
    progress: bool | Watcher = True,
) -> Clusters:
    """Group works that look alike, and describe each group if the catalog is there.

    Args:
        source: A catalog, or a features file.
        output: Where the clusters go: a folder or an address.
        algorithm: kmeans, gmm, or both.
        k: Number of clusters; auto: the elbow of inertia over `k_range`; None: 25, or what fits.
        k_range: Lowest and highest k that auto tries.
        covariance: Of the mixture: diag, full or tied.
        variance: Share of the variance, above 0 and at most 1, that the mixture's components keep.
        components: Principal components that the mixture works on, at most.
        device: auto, cpu or cuda.
        seed: Of every random choice: same seed, same result.
        sample: Fit on this many rows, drawn at random, and assign all: for more than memory.
        assign: Give the images the clusters of this folder, without fitting.
        progress: True shows a bar on a terminal or in a notebook, False nothing.

    Returns:
        The clusters, for `profiles`, `influences` and `report`.

    Raises:
        UsageError: For arguments that do not go together.
        InputError: For a source that cannot be clustered.

    Examples:
        >>> import artylyze
        >>> clusters = artylyze.cluster("catalog", "clusters", k=3)
        >>> clusters.k
        3
    """
    from artylyze.clustering.request import DEFAULT_K, ClusterRequest

    request = ClusterRequest(
        source=os.fspath(source),
        output=os.fspath(output),
        algorithms=names(algorithm),
        k=None if k == "auto" else DEFAULT_K if k is None else k,
        k_range=k_range,
        covariance=covariance,
        variance=variance,
        components=components,
        device=device,
        seed=seed,
        sample=sample,
        few_rows=k is None,
    )
    with watching(progress) as watcher:
        return run_cluster(request, optional(assign), watcher)


def run_cluster(request: ClusterRequest, assign: str | None, watcher: Watcher) -> Clusters:
    """Fit and profile clusters, or assign images to those of the folder `assign`."""
    from artylyze.clustering import assign as assigning
    from artylyze.clustering.cluster import cluster, describe
    from artylyze.clustering.store import read_clusters
    from artylyze.profiling.profile_files import profile_if_there

    if assign is not None:
        request.check_assigns()
        run = assigning.assign(assign, request.source, request.output, watcher)
        chosen = read_clusters(request.output, assignments=False).scores["chosen"]
        figures = {"clusters": request.output, **run}
        return Clusters(request.output, figures, assigning.describe(run, request.output), int(chosen))
    found = cluster(request, watcher)
    profile_if_there(found, watcher)
    figures = {"clusters": request.output, **found.run, "scores": found.scores}
    return Clusters(request.output, figures, describe(found), found.scores["chosen"])


def profiles(
    clusters: StrPath,
    *,
    catalog: StrPath | None = None,
    labels: StrPath | Sequence[StrPath] = (),
    id_column: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad_rows: bool = False,
    duplicates: StrPath | None = None,
    artists: StrPath | None = None,
    algorithm: Literal["kmeans", "gmm"] | None = None,
    columns: str | Sequence[str] = (),
    progress: bool | Watcher = True,
) -> Output:
    """Describe what each cluster holds: its terms and their lift, its typical and marginal works.

    Args:
        clusters: What `cluster` wrote.
        catalog: The catalog that was clustered; None takes the one that the clusters name.
        labels: Tables that say more of the images.
        id_column: The column of `labels` that identifies a record.
        encoding: Encoding of CSV tables; None recognises it.
        sheet: Sheet of a spreadsheet; None takes the first that holds a table.
        skip_bad_rows: Leave out and count rows that cannot be read, instead of refusing the table.
        duplicates: What `duplicates` wrote: of each group one image counts. None counts each image.
        artists: A table of artists: name, nationality, years.
        algorithm: kmeans or gmm; None is kmeans if it was run.
        columns: Columns to describe; none takes all that are categorical.
        progress: True shows progress on a terminal or in a notebook, False nothing.

    Returns:
        The folder of the profiles: `figures["profiles"]` has one for each cluster.

    Raises:
        UsageError: If no catalog is known, the algorithm was not run, or there is no such column.
        InputError: For clusters, a catalog or a table that cannot be used.

    Examples:
        >>> import artylyze
        >>> found = artylyze.profiles("clusters", columns=["genre"])
        >>> len(found.figures["profiles"])
        3
    """
    from artylyze.profiling.profile_files import describe, write_profiles
    from artylyze.profiling.profiling import make_profiles

    with watching(progress) as watcher:
        found = make_profiles(
            os.fspath(clusters),
            optional(catalog),
            addresses(labels),
            optional(artists),
            algorithm,
            names(columns),
            id_column,
            Reading(encoding, sheet, skip_bad_rows),
            optional(duplicates),
        )
        for note in found.works.notes:
            watcher.say(note)
        files = write_profiles(found, watcher)
    where = f"{found.clusters.folder.rstrip('/')}/profiles/{found.algorithm}"
    return Output(where, {"files": files, **found.as_dict()}, describe(found, files))


def influences(
    clusters: StrPath,
    record_id: str,
    output: StrPath | None = None,
    *,
    threshold: float = 0.05,
    catalog: StrPath | None = None,
    labels: StrPath | Sequence[StrPath] = (),
    id_column: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad_rows: bool = False,
    duplicates: StrPath | None = None,
    artists: StrPath | None = None,
    columns: str | Sequence[str] = (),
    progress: bool | Watcher = True,
) -> Output:
    """Show which clusters influence a painting, and which pictures are perhaps the same work photographed twice.

    Args:
        clusters: What `cluster` wrote, with a mixture.
        record_id: Of the painting: a record's or an image's id.
        output: Where picture and JSON go; None is CLUSTERS/influences.
        threshold: Responsibility, 0 to 1, from which a cluster is an influence.
        catalog: The catalog that was clustered; None takes the one that the clusters name.
        labels: Tables that say more of the images.
        id_column: The column of `labels` that identifies a record.
        encoding: Encoding of CSV tables; None recognises it.
        sheet: Sheet of a spreadsheet; None takes the first that holds a table.
        skip_bad_rows: Leave out and count rows that cannot be read, instead of refusing the table.
        duplicates: What `duplicates` wrote: of each group one image counts. None counts each image.
        artists: A table of artists: name, nationality, years.
        columns: Columns to describe; none takes all that are categorical.
        progress: True shows progress on a terminal or in a notebook, False nothing.

    Returns:
        The folder: `figures["influences"]` has the clusters with their responsibilities, the strongest first.

    Raises:
        UsageError: If the clusters have no mixture, or the threshold is not a share.
        InputError: If no clustered image is of this record.

    Examples:
        >>> import artylyze
        >>> found = artylyze.influences("clusters", "000")
        >>> shares = [one["responsibility"] for one in found.figures["influences"]]
        >>> shares == sorted(shares, reverse=True)
        True
    """
    from artylyze.clustering.store import read_clusters
    from artylyze.profiling.influence_files import write_influences
    from artylyze.profiling.influences import check, describe
    from artylyze.profiling.influences import influences as run
    from artylyze.profiling.works import read_works
    from artylyze.storage import check_output

    folder = os.fspath(clusters)
    where = f"{folder.rstrip('/')}/influences" if output is None else os.fspath(output)
    check_output(where)
    with watching(progress) as watcher:
        stored = read_clusters(folder, responsibilities=False)
        check(stored, threshold)
        watcher.say(f"Joining the works of {folder} to what is said of them")
        reading = Reading(encoding, sheet, skip_bad_rows)
        works = read_works(
            stored,
            optional(catalog),
            addresses(labels),
            optional(artists),
            names(columns),
            id_column,
            reading,
            optional(duplicates),
        )
        for note in works.notes:
            watcher.say(note)
        found = run(stored, works, record_id, threshold)
        files = write_influences(found, where)
    text = f"{describe(found)}\nWrote {' and '.join(files)} to {where}."
    return Output(where, {"output": where, "files": files, **found.as_dict()}, text)


def report(
    catalog: StrPath,
    output: StrPath = "report.html",
    *,
    clusters: StrPath | None = None,
    model: StrPath | None = None,
    evaluation: StrPath | None = None,
    labels: StrPath | Sequence[StrPath] = (),
    id_column: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    skip_bad_rows: bool = False,
    duplicates: StrPath | None = None,
    artists: StrPath | None = None,
    columns: str | Sequence[str] = (),
    record: str | None = None,
    progress: bool | Watcher = True,
) -> Output:
    """Write one HTML page to share: works, tags, failures, review queue, model, clusters and an influence.

    Args:
        catalog: The catalog.
        output: The page to write, an .html file.
        clusters: What `cluster` wrote.
        model: The model that made the catalog.
        evaluation: What `evaluate` wrote.
        labels: Tables that say more of the images.
        id_column: The column of `labels` that identifies a record.
        encoding: Encoding of CSV tables; None recognises it.
        sheet: Sheet of a spreadsheet; None takes the first that holds a table.
        skip_bad_rows: Leave out and count rows that cannot be read, instead of refusing the table.
        duplicates: What `duplicates` wrote: of each group one image counts. None counts each image.
        artists: A table of artists: name, nationality, years.
        columns: Columns to describe; none takes all that are categorical.
        record: The record whose influences are shown; None takes the most mixed.
        progress: True shows progress on a terminal or in a notebook, False nothing.

    Returns:
        The page.

    Raises:
        UsageError: For arguments that do not go together.
        InputError: For a catalog, clusters, a model or an evaluation that cannot be used.

    Examples:
        >>> import artylyze
        >>> page = artylyze.report("catalog", "report.html", clusters="clusters")
        >>> page.path
        'report.html'
    """
    from artylyze.reporting.page import ReportRequest, write_report

    request = ReportRequest(
        catalog=os.fspath(catalog),
        output=os.fspath(output),
        clusters=optional(clusters),
        bundle=optional(model),
        evaluation=optional(evaluation),
        labels=addresses(labels),
        artists=optional(artists),
        columns=names(columns),
        record=record,
        id_column=id_column,
        reading=Reading(encoding, sheet, skip_bad_rows),
        duplicates=optional(duplicates),
    )
    with watching(progress) as watcher:
        size = write_report(request, watcher)
    text = f"Wrote {request.output} ({size / 2**20:.1f} MiB): one file, to be opened in any browser or sent on."
    return Output(request.output, {"report": request.output, "bytes": size}, text)
