"""The commands of clustering, one short function each. Nothing heavy is imported before a command runs."""

from __future__ import annotations

from typing import Annotated

import typer

from artylyze.cli.flags import reporter
from artylyze.cli.options import Encoding, Json, Sheet, SkipBadRows, call_and_tell, reading, tell
from artylyze.clustering.request import COMPONENTS, DEFAULT_K
from artylyze.errors import UsageError

commands = typer.Typer()


@commands.command()
def cluster(
    source: Annotated[str, typer.Argument(help="A catalog, or a features file (.parquet).")],
    output: Annotated[str, typer.Option("--output", "-o", help="Where the clusters go: a folder or an address.")] = "",
    algorithm: Annotated[str, typer.Option(help="kmeans, gmm, or both with a comma.")] = "kmeans,gmm",
    k: Annotated[
        str | None,
        typer.Option(help="Number of clusters; auto: the elbow of inertia over --k-range. Default: 25, or what fits."),
    ] = None,
    k_range: Annotated[str, typer.Option(help="Lowest and highest k that auto tries.")] = "5,60",
    covariance: Annotated[str, typer.Option(help="Of the mixture: diag, full or tied.")] = "diag",
    variance: Annotated[float, typer.Option(help="Share of the variance that the mixture's components keep.")] = 0.95,
    components: Annotated[
        int, typer.Option(help="Principal components that the mixture works on, at most.")
    ] = COMPONENTS,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of every random choice: same seed, same result.")] = 0,
    sample: Annotated[
        int | None, typer.Option(help="Fit on this many rows, drawn at random, and assign all: for more than memory.")
    ] = None,
    assign: Annotated[
        str | None, typer.Option(help="Give the source's images the clusters of this folder, without fitting.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do and cost.")] = False,
    as_json: Json = False,
) -> None:
    """Group works that look alike.

    By KMeans and a Gaussian mixture, over a number of clusters that it chooses or you give.

    Example: artylyze cluster catalog -o clusters --k auto
    """
    from artylyze.api import clustering as api
    from artylyze.clustering.request import ClusterRequest, parse_covariance, parse_k, parse_range

    if assign is not None and dry_run:
        raise UsageError("--dry-run tells what a fit would cost; with --assign there is none.")
    request = ClusterRequest(
        source=source,
        output=output,
        algorithms=tuple(part.strip() for part in algorithm.split(",") if part.strip()),
        k=parse_k(k or str(DEFAULT_K)),
        k_range=parse_range(k_range),
        covariance=parse_covariance(covariance),
        variance=variance,
        components=components,
        device=device,
        seed=seed,
        sample=sample,
        few_rows=k is None,
    )
    with reporter() as watcher:
        if dry_run:
            from dataclasses import asdict

            from artylyze.clustering.cluster import describe_plan, plan

            planned = plan(request, watcher)
            figures, text = asdict(planned), describe_plan(planned)
        else:
            clusters = api.run_cluster(request, assign, watcher)
            figures, text = dict(clusters.figures), clusters.text
    tell(figures, as_json, text)


@commands.command()
def features(
    source: Annotated[str, typer.Argument(help="A catalog, a manifest, or a folder, bucket or table of images.")],
    output: Annotated[str, typer.Option("--output", "-o", help="The features file to write, .parquet.")],
    method: Annotated[str, typer.Option(help="pca or kernel_pca of pixels, embedding, or timm:NAME.")] = "embedding",
    variance: Annotated[float, typer.Option(help="Share of the variance that PCA and kernel PCA keep.")] = 0.95,
    image_size: Annotated[int, typer.Option(help="Pixels a side for PCA and kernel PCA.")] = 180,
    weights: Annotated[str | None, typer.Option(help="Weights for timm:NAME: a .safetensors or .pth file.")] = None,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Let timm:NAME go untrained; labelled so, never ranked.")
    ] = False,
    transform: Annotated[
        str | None, typer.Option(help="Apply this fitted transform (.transform.safetensors) to other images.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    as_json: Json = False,
) -> None:
    """Compute features of images to cluster by.

    They are written as one Parquet file.

    Example: artylyze features catalog -o pca.parquet --method pca
    """
    call_and_tell("features", locals())


@commands.command("compare-features")
def compare_features(
    sources: Annotated[list[str], typer.Argument(help="Catalogs and features files of the same images.")],
    labels: Annotated[
        str | None,
        typer.Option(help="A table of labels, or a catalog with metadata. Default: the catalog of one of the sources."),
    ] = None,
    id_column: Annotated[str | None, typer.Option(help="The table's column that identifies a record.")] = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    skip_bad_rows: SkipBadRows = False,
    columns: Annotated[
        str | None, typer.Option(help="Columns with labels to compare with. Default: genre,style where they are.")
    ] = None,
    k: Annotated[int, typer.Option(help="Number of clusters.")] = 25,
    covariance: Annotated[str, typer.Option(help="Of the mixtures: diag, full or tied.")] = "diag",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    as_json: Json = False,
) -> None:
    """Rank features by how well they cluster.

    By how their clusters agree with known labels; where there are none, by scores without labels.

    Example: artylyze compare-features catalog pca.parquet vgg16.parquet --labels objects.csv --id-column number
    """
    from artylyze.clustering.request import parse_covariance
    from artylyze.profiling.comparison import CompareRequest, as_dicts, compare, tables

    wanted = None if columns is None else tuple(part.strip() for part in columns.split(",") if part.strip())
    request = CompareRequest(
        tuple(sources),
        labels,
        id_column,
        wanted,
        k,
        parse_covariance(covariance),
        seed=seed,
        reading=reading(encoding, sheet, skip_bad_rows),
    )
    with reporter() as watcher:
        rows = compare(request, watcher)
    tell({"rows": as_dicts(rows)}, as_json, tables(rows))
