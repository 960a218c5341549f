"""The commands that show what was found, one short function each. Nothing heavy is imported before a command runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from artylyze.cli.flags import reporter
from artylyze.cli.options import CatalogArgument, Encoding, Json, Sheet, SkipBadRows, tell

if TYPE_CHECKING:
    from artylyze.profiling.profiling import Algorithm

commands = typer.Typer()

_Clusters = Annotated[str, typer.Argument(help="What `cluster` wrote: a folder or an address.")]
_Catalog = Annotated[str | None, typer.Option(help="The catalog that was clustered. Default: as the clusters say.")]
_Labels = Annotated[
    list[str] | None,
    typer.Option(help="A table that says more of the images: CSV, TSV, XLSX, XLS, ODS or Parquet. May be repeated."),
]
_Artists = Annotated[str | None, typer.Option(help="A table of artists: name, nationality, years.")]
_Columns = Annotated[
    str | None, typer.Option(help="Columns to tell of, with commas between. Default: all that are categorical.")
]
_IdColumn = Annotated[str | None, typer.Option(help="The column of --labels that identifies a record.")]


@commands.command()
def profiles(
    clusters: _Clusters,
    catalog: _Catalog = None,
    labels: _Labels = None,
    id_column: _IdColumn = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    skip_bad_rows: SkipBadRows = False,
    artists: _Artists = None,
    algorithm: Annotated[str | None, typer.Option(help="kmeans or gmm. Default: kmeans, if it was run.")] = None,
    columns: _Columns = None,
    as_json: Json = False,
) -> None:
    """Describe what each cluster holds.

    Its terms and their lift, its typical and marginal works, with plots and contact sheets.

    Example: artylyze profiles clusters --labels objects.csv --artists artists.csv
    """
    from artylyze.api import clustering as api

    with reporter() as watcher:
        result = api.profiles(
            clusters,
            catalog=catalog,
            labels=labels or (),
            id_column=id_column,
            encoding=encoding,
            sheet=sheet,
            skip_bad_rows=skip_bad_rows,
            artists=artists,
            algorithm=cast("Algorithm | None", algorithm),
            columns=columns or (),
            progress=watcher,
        )
    tell(result.figures, as_json, result.text)


@commands.command()
def influences(
    clusters: _Clusters,
    record_id: Annotated[
        str, typer.Argument(metavar="RECORD_ID", help="Of the painting: a record's or an image's id.")
    ],
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Where picture and JSON go. Default: CLUSTERS/influences.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Responsibility from which a cluster is an influence.")] = 0.05,
    catalog: _Catalog = None,
    labels: _Labels = None,
    id_column: _IdColumn = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    skip_bad_rows: SkipBadRows = False,
    artists: _Artists = None,
    columns: _Columns = None,
    as_json: Json = False,
) -> None:
    """Show which clusters influence a painting.

    And which pictures are perhaps the same work photographed twice.

    Example: artylyze influences clusters 1975.1.3 -o influences
    """
    from artylyze.api import clustering as api

    with reporter() as watcher:
        result = api.influences(
            clusters,
            record_id,
            output,
            threshold=threshold,
            catalog=catalog,
            labels=labels or (),
            id_column=id_column,
            encoding=encoding,
            sheet=sheet,
            skip_bad_rows=skip_bad_rows,
            artists=artists,
            columns=columns or (),
            progress=watcher,
        )
    tell(result.figures, as_json, result.text)


@commands.command()
def report(
    catalog: CatalogArgument,
    output: Annotated[str, typer.Option("--output", "-o", help="The page to write, an .html file.")] = "report.html",
    clusters: Annotated[str | None, typer.Option(help="What `cluster` wrote.")] = None,
    model: Annotated[str | None, typer.Option(help="The model bundle that made the catalog.")] = None,
    evaluation: Annotated[str | None, typer.Option(help="What `evaluate` wrote.")] = None,
    labels: _Labels = None,
    id_column: _IdColumn = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    skip_bad_rows: SkipBadRows = False,
    artists: _Artists = None,
    columns: _Columns = None,
    record: Annotated[
        str | None, typer.Option(help="The record whose influences are shown. Default: the most mixed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page to share.

    Works, tags, failures and review queue; the model, clusters and an influence where they are given.

    Example: artylyze report catalog --clusters clusters --model bundle --evaluation evaluation -o report.html
    """
    from artylyze.api import clustering as api

    with reporter() as watcher:
        result = api.report(
            catalog,
            output,
            clusters=clusters,
            model=model,
            evaluation=evaluation,
            labels=labels or (),
            id_column=id_column,
            encoding=encoding,
            sheet=sheet,
            skip_bad_rows=skip_bad_rows,
            artists=artists,
            columns=columns or (),
            record=record,
            progress=watcher,
        )
    tell(result.figures, as_json, result.text)
