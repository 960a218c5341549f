"""The commands that show what was found, one short function each. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from artylyze.cli.options import Encoding, Sheet, SkipBadRows, reading

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
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for machines.")]


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
    as_json: _Json = False,
) -> None:
    """Describe what each cluster holds.

    Its terms and their lift, its typical and marginal works, with plots and contact sheets.

    Example: artylyze profiles clusters --labels objects.csv --artists artists.csv
    """
    from artylyze.profiling.profile_files import write_profiles
    from artylyze.profiling.profiling import make_profiles, marks_in_words
    from artylyze.progress import Reporter

    with Reporter() as reporter:
        found = make_profiles(
            clusters,
            catalog,
            labels or (),
            artists,
            algorithm,
            _names(columns),
            id_column,
            reading(encoding, sheet, skip_bad_rows),
        )
        for note in found.works.notes:
            reporter.say(note)
        files = write_profiles(found, reporter)
    if as_json:
        typer.echo(json.dumps({"files": files, **found.as_dict()}, ensure_ascii=False))
        return
    for one in found.profiles:
        typer.echo(f"cluster {one.cluster:>3}  {one.images:>8,} works  {marks_in_words(one)}".rstrip())
    if found.note:
        typer.echo(found.note)
    typer.echo(f"Wrote {len(files)} files to {clusters}/profiles/{found.algorithm}.")


@commands.command()
def influences(
    clusters: _Clusters,
    record: Annotated[str, typer.Argument(metavar="RECORD_ID", help="Of the painting: a record's or an image's id.")],
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
    as_json: _Json = False,
) -> None:
    """Show which clusters influence a painting.

    And which pictures are perhaps the same work photographed twice.

    Example: artylyze influences clusters 1975.1.3 -o influences
    """
    from artylyze.clustering.store import read_clusters
    from artylyze.profiling.influence_files import write_influences
    from artylyze.profiling.influences import check, describe
    from artylyze.profiling.influences import influences as run
    from artylyze.profiling.works import read_works
    from artylyze.progress import Reporter
    from artylyze.storage import check_output

    where = output or f"{clusters.rstrip('/')}/influences"
    check_output(where)
    with Reporter() as reporter:
        stored = read_clusters(clusters, responsibilities=False)
        check(stored, threshold)
        reporter.say(f"Joining the works of {clusters} to what is said of them")
        how = reading(encoding, sheet, skip_bad_rows)
        works = read_works(stored, catalog, labels or (), artists, _names(columns), id_column, how)
        for note in works.notes:
            reporter.say(note)
        found = run(stored, works, record, threshold)
        files = write_influences(found, where)
    if as_json:
        typer.echo(json.dumps({"output": where, "files": files, **found.as_dict()}, ensure_ascii=False))
    else:
        typer.echo(f"{describe(found)}\nWrote {' and '.join(files)} to {where}.")


@commands.command()
def report(
    catalog: Annotated[str, typer.Argument(help="A catalog: a folder, or s3://, gs://, az://bucket/prefix.")],
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
    as_json: _Json = False,
) -> None:
    """Write one HTML page to share.

    Works, tags, failures and review queue; the model, clusters and an influence where they are given.

    Example: artylyze report catalog --clusters clusters --model bundle --evaluation evaluation -o report.html
    """
    from artylyze.progress import Reporter
    from artylyze.reporting.page import ReportRequest, write_report

    request = ReportRequest(
        catalog,
        output,
        clusters,
        model,
        evaluation,
        tuple(labels or ()),
        artists,
        _names(columns),
        record,
        id_column,
        reading(encoding, sheet, skip_bad_rows),
    )
    with Reporter() as reporter:
        size = write_report(request, reporter)
    if as_json:
        typer.echo(json.dumps({"report": output, "bytes": size}, ensure_ascii=False))
    else:
        typer.echo(f"Wrote {output} ({size / 2**20:.1f} MiB): one file, to be opened in any browser or sent on.")


def _names(columns: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (columns or "").split(",") if name.strip())
