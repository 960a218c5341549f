"""The commands that present results: profiles, influences, report."""

from __future__ import annotations

from typing import Annotated

import typer

from artylyze.cli.options import CatalogArgument, Encoding, Json, Sheet, SkipBadRows, call_and_tell

commands = typer.Typer()

_Clusters = Annotated[str, typer.Argument(help="Output of `cluster`: a folder or an address.")]
_Catalog = Annotated[str | None, typer.Option(help="The catalog that was clustered. Default: as recorded there.")]
_Labels = Annotated[
    list[str] | None,
    typer.Option(help="A table with more columns on the images: CSV, XLSX, ODS or Parquet. May be repeated."),
]
_Artists = Annotated[str | None, typer.Option(help="A table of artists: name, nationality, years.")]
_Columns = Annotated[
    str | None, typer.Option(help="Columns to describe, separated by commas. Default: all categorical ones.")
]
_Duplicates = Annotated[str | None, typer.Option(help="What `duplicates` wrote: count one image of each group.")]
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
    duplicates: _Duplicates = None,
    artists: _Artists = None,
    algorithm: Annotated[str | None, typer.Option(help="kmeans or gmm. Default: kmeans if it was run.")] = None,
    columns: _Columns = None,
    as_json: Json = False,
) -> None:
    """Describe the content of each cluster.

    Its terms and their lift, its typical and marginal works, with plots and contact sheets.

    Example: artylyze profiles clusters --labels objects.csv --artists artists.csv
    """
    call_and_tell("profiles", locals())


@commands.command()
def influences(
    clusters: _Clusters,
    record_id: Annotated[str, typer.Argument(metavar="RECORD_ID", help="Record id or image id of the painting.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Folder for picture and JSON. Default: CLUSTERS/influences."),
    ] = None,
    threshold: Annotated[float, typer.Option(help="Least responsibility of a cluster that is an influence.")] = 0.05,
    catalog: _Catalog = None,
    labels: _Labels = None,
    id_column: _IdColumn = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    skip_bad_rows: SkipBadRows = False,
    duplicates: _Duplicates = None,
    artists: _Artists = None,
    columns: _Columns = None,
    as_json: Json = False,
) -> None:
    """Show which clusters influence a painting.

    Also lists pictures that may show the same work.

    Example: artylyze influences clusters 1975.1.3 -o influences
    """
    call_and_tell("influences", locals())


@commands.command()
def report(
    catalog: CatalogArgument,
    output: Annotated[str, typer.Option("--output", "-o", help="The page to write, an .html file.")] = "report.html",
    clusters: Annotated[str | None, typer.Option(help="Output of `cluster`.")] = None,
    model: Annotated[str | None, typer.Option(help="The model bundle that made the catalog.")] = None,
    evaluation: Annotated[str | None, typer.Option(help="Output of `evaluate`.")] = None,
    labels: _Labels = None,
    id_column: _IdColumn = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    skip_bad_rows: SkipBadRows = False,
    duplicates: _Duplicates = None,
    artists: _Artists = None,
    columns: _Columns = None,
    record: Annotated[
        str | None, typer.Option(help="The record whose influences are shown. Default: the most mixed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page to share.

    Works, tags, failures and review queue; also the model, clusters and an influence if they are given.

    Example: artylyze report catalog --clusters clusters --model bundle --evaluation evaluation -o report.html
    """
    call_and_tell("report", locals())
