"""The commands that tag a collection and show what came of it: scan, tag, status, failures, paths."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from artylyze.cli.flags import reporter
from artylyze.cli.options import (
    CatalogArgument,
    Encoding,
    FileColumn,
    FileSeparator,
    IdColumn,
    Json,
    MetadataOption,
    Sheet,
    SkipBadRows,
    call_and_tell,
    reading,
    separator,
    tell,
)

if TYPE_CHECKING:
    from artylyze.tagging.request import TagRequest

commands = typer.Typer()

Exclude = Annotated[
    list[str] | None,
    typer.Option(help="Skip keys, files or folders that match, e.g. '*_thumb.jpg'. May be repeated."),
]


@commands.command()
def scan(
    source: Annotated[
        str,
        typer.Argument(help="A folder, s3://bucket/prefix (gs, az), or a table with a `uri` column."),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="The manifest to write, a .parquet file.")],
    metadata: MetadataOption = None,
    id_column: IdColumn = None,
    file_column: FileColumn = None,
    file_separator: FileSeparator = None,
    glob: Annotated[str | None, typer.Option(help="Take all keys that match, whatever their extension.")] = None,
    exclude: Exclude = None,
    pages: Annotated[
        bool, typer.Option("--pages", help="Make a row for each page of a TIFF or PDF. Reads every TIFF and PDF.")
    ] = False,
    encoding: Encoding = None,
    sheet: Sheet = None,
    skip_bad_rows: SkipBadRows = False,
    as_json: Json = False,
) -> None:
    """List the images and join your catalogue.

    Writes a manifest: one row for each image, with your own columns. `tag` takes it as its source.

    Example: artylyze scan scans/ -o manifest.parquet --metadata objects.csv --id-column number --file-column file
    """
    call_and_tell("scan", locals(), file_separator=separator(file_separator))


@commands.command()
def tag(
    source: Annotated[
        str | None, typer.Argument(help="A folder, s3://bucket/prefix, a table with a `uri` column, or a manifest.")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="The catalog: a folder or s3://, gs://, az://bucket/prefix.")
    ] = "",
    model: Annotated[
        str | None,
        typer.Option(
            help="A bundle (folder or address), timm:NAME or open_clip:NAME. Default: EfficientNet-Lite0, offline."
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Weights for timm:NAME: a .safetensors or .pth file.")] = None,
    terms: Annotated[
        str | None,
        typer.Option(help="With open_clip:NAME: a table of terms (column `term`; also `task`, `uri`, `prompt`)."),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="Text of a term, such as 'a painting of {}'. May be repeated: several are averaged."),
    ] = None,
    calibrate_on: Annotated[
        str | None,
        typer.Option(help="A dataset of `curate` with such terms, to calibrate scores. Without, terms are ranked."),
    ] = None,
    metadata: MetadataOption = None,
    id_column: IdColumn = None,
    file_column: FileColumn = None,
    file_separator: FileSeparator = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    skip_bad_rows: SkipBadRows = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    engine: Annotated[
        str, typer.Option(help="local (this machine), ray, or auto: Ray where RAY_ADDRESS names a cluster.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Workers that run the model. Default: one per GPU, or per core.")
    ] = None,
    readers: Annotated[
        int | None, typer.Option(help="Workers that fetch and decode for GPUs. Default: one per core.")
    ] = None,
    shard_size: Annotated[
        int | None, typer.Option(help="Images committed together. Default: by the size of the collection.")
    ] = None,
    top_k: Annotated[int, typer.Option(help="Terms kept for each task.")] = 5,
    thumbnails: Annotated[
        bool, typer.Option("--thumbnails", help="Keep a small JPEG of each image in the catalog, about 4 KB each.")
    ] = False,
    max_error_rate: Annotated[
        float, typer.Option(help="Share of images that may fail before the exit code is 5.")
    ] = 0.05,
    limit: Annotated[int | None, typer.Option(help="Tag the first N images only.")] = None,
    exclude: Exclude = None,
    update: Annotated[
        bool, typer.Option("--update", help="Tag only images that are new or changed since the last run.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Tag images again that failed with a transient error.")
    ] = False,
    force: Annotated[
        list[str] | None,
        typer.Option(
            "--force", metavar="GLOB", help="With --update: read matching images again, '*' for all. Repeatable."
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Rebuild the catalog from scratch, reading every image.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan with an estimate of time and memory; tag nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tag every image and write the catalog.

    Each image becomes one row of the catalog. An image that cannot be read gets a row with the reason.

    The same command resumes an interrupted run. Images that the catalog has already are not read again. A run that
    would drop images from the catalog, or change its model, is refused without --replace.

    Example: artylyze tag s3://museum/scans -o s3://museum/catalog
    """
    from artylyze.api.collection import vocabulary
    from artylyze.collection.scan import MetadataTable
    from artylyze.errors import UsageError
    from artylyze.tagging.request import TagRequest

    if not output:
        raise UsageError("Say where the catalog goes: -o CATALOG.")
    options = reading(encoding, sheet, skip_bad_rows)
    bundle = None
    if terms is not None or prompt or calibrate_on is not None:
        with reporter() as watcher:
            bundle = vocabulary(model, terms, prompt or (), calibrate_on, options, device, watcher)
    request = TagRequest(
        source=source,
        output=output,
        model=model,
        weights=weights,
        device=device,
        engine=engine,
        workers=workers,
        readers=readers,
        shard_size=shard_size,
        top_k=top_k,
        thumbnails=thumbnails,
        max_error_rate=max_error_rate,
        limit=limit,
        update=update,
        retry_failed=retry_failed,
        exclude=tuple(exclude or ()),
        metadata=MetadataTable.from_options(metadata, id_column, file_column, separator(file_separator), options),
        reading=options,
        force=tuple(force or ()),
        replace=replace,
        bundle=bundle,
    )
    (_dry_run if dry_run else _tag)(request, as_json)


def _tag(request: TagRequest, as_json: bool) -> None:
    from artylyze.tagging.job import check_error_rate, describe, run

    with reporter() as watcher:
        outcome = run(request, watcher)
    snapshot = outcome.snapshot
    summary = {
        "catalog": request.output,
        "run_id": outcome.run_id,
        "rows": snapshot.rows,
        "ok": snapshot.ok,
        "errors": dict(snapshot.errors),
        "outside": snapshot.outside,
        "committed": outcome.committed,
        "resumed": outcome.resumed,
        "seconds": round(outcome.seconds, 2),
    }
    tell(summary, as_json, describe(request, outcome))
    check_error_rate(request, outcome)


def _dry_run(request: TagRequest, as_json: bool) -> None:
    from dataclasses import asdict

    from artylyze.tagging.dryrun import describe, dry_run
    from artylyze.tagging.planning import nothing_to_do

    with reporter() as watcher:
        forecast = dry_run(request, watcher)
    if forecast is None:
        tell({"images": 0}, as_json, nothing_to_do(request))
    else:
        tell(asdict(forecast), as_json, describe(forecast))


@commands.command()
def status(catalog: CatalogArgument, as_json: Json = False) -> None:
    """Show each run's progress.

    Counts the committed parts of every run of a catalog.

    Example: artylyze status s3://museum/catalog
    """
    from artylyze.catalog.status import describe, run_states

    states = run_states(catalog)
    tell({"catalog": catalog, "runs": [state.as_dict() for state in states]}, as_json, describe(catalog, states))


@commands.command()
def failures(
    catalog: CatalogArgument,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="A CSV file to write, instead of printing.")
    ] = None,
    warnings: Annotated[
        bool, typer.Option("--warnings", help="List images that were read with warnings instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List images that could not be read, and why.

    With --warnings, list those whose tags deserve a look: cut files, several pages, tiny, uniform, colour charts.

    Example: artylyze failures catalog -o failures.csv
    """
    from artylyze.catalog.snapshot import FAILED, WARNED
    from artylyze.catalog.snapshot import failures as read_failures
    from artylyze.drawing.table import write_csv
    from artylyze.storage import check_output
    from artylyze.storage.staging import local_file

    columns = WARNED if warnings else FAILED
    if output is not None:
        check_output(output)
    rows = read_failures(catalog, warnings=warnings)
    if as_json:
        name = "warnings" if warnings else "failures"
        typer.echo(json.dumps({"catalog": catalog, name: list(rows)}, ensure_ascii=False))
        return
    if warnings:
        rows = (row | {"warnings": ";".join(row["warnings"])} for row in rows)
    if output is not None:
        with local_file(output) as path, path.open("w", encoding="utf-8-sig", newline="") as file:
            write_csv(file, columns, rows)
        typer.echo(f"Wrote {output}.", err=True)
    else:
        write_csv(sys.stdout, columns, rows)


@commands.command()
def paths(catalog: CatalogArgument, as_json: Json = False) -> None:
    """Print the Parquet files of a catalog.

    One per line, for DuckDB, pandas or other readers.

    Example: artylyze paths s3://museum/catalog
    """
    from artylyze.catalog.snapshot import part_paths, read_snapshot

    files = part_paths(catalog, read_snapshot(catalog))
    typer.echo(json.dumps({"catalog": catalog, "paths": files}, ensure_ascii=False) if as_json else "\n".join(files))
