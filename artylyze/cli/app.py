"""The commands. Each is one short function; what it needs is imported inside, so that `--help` answers at once."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from artylyze import __version__
from artylyze.cli.bench import commands as bench_commands
from artylyze.cli.cache import commands as cache_commands
from artylyze.cli.catalog import commands as catalog_commands
from artylyze.cli.clustering import commands as clustering
from artylyze.cli.flags import in_flags, reporter
from artylyze.cli.groups import Grouped
from artylyze.cli.interruption import Interruption, over_echo
from artylyze.cli.options import (
    Encoding,
    FileColumn,
    FileSeparator,
    IdColumn,
    Metadata,
    Sheet,
    SkipBadRows,
    reading,
    separator,
    tell,
)
from artylyze.cli.publish import commands as publish_commands
from artylyze.cli.training import commands
from artylyze.errors import ArtylyzeError, InterruptedRunError, StorageError

if TYPE_CHECKING:
    from artylyze.tagging.request import TagRequest

app = typer.Typer(
    name="artylyze",
    help="Read a digitized art collection and write a Parquet catalog of it.",
    cls=Grouped,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(catalog_commands)
app.add_typer(commands)
app.add_typer(clustering)
app.add_typer(publish_commands)
app.add_typer(bench_commands)
app.add_typer(cache_commands)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for machines.")]
Exclude = Annotated[
    list[str] | None,
    typer.Option(help="Pass over keys, files or folders that match, e.g. '*_thumb.jpg'. May be repeated."),
]
Catalog = Annotated[str, typer.Argument(help="A catalog: a folder, or s3://, gs://, az://bucket/prefix.")]


def main() -> NoReturn:
    """Run the command line: a user's mistake ends in one sentence and its exit code, never in a traceback."""
    try:
        with Interruption(f"interrupted. The same command {_next_time(sys.argv[1:])}."):
            app()
    except ArtylyzeError as error:
        before = over_echo(2) if isinstance(error, InterruptedRunError) else ""
        sys.stderr.write(f"{before}artylyze: {in_flags(str(error))}\n")
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, a folder that cannot be written, a Ray address that does not answer
        sys.stderr.write(f"artylyze: {error}\n")
        sys.exit(StorageError.exit_code)
    sys.exit(0)


def _next_time(arguments: list[str]) -> str:
    """What a command does when it is given again after an interruption."""
    kept = {
        "tag": "resumes where it stopped",
        "train": "goes on from what is kept: images and features that were read, epochs that ended",
        "tune": "goes on from what is kept: trials that ended, and epochs of the others",
        "demo": "goes on with the step that was interrupted",
        "sample": "goes on with the images that are not there yet",
    }
    command = next((one for one in arguments if not one.startswith("-")), "")
    return "begins anew" if "--dry-run" in arguments else kept.get(command, "begins anew")


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def sample(
    folder: Annotated[str, typer.Argument(help="Where it goes; a folder with other files in it is refused.")],
    count: Annotated[int, typer.Option(help="Number of images.")] = 300,
    size: Annotated[
        str, typer.Option(help="WIDTHxHEIGHT in pixels, or `mixed` with a share of large ones.")
    ] = "640x480",
    seed: Annotated[int, typer.Option(help="Another seed, other images.")] = 0,
    awkward: Annotated[bool, typer.Option("--awkward", help="Add broken and unusual files.")] = False,
    as_json: Json = False,
) -> None:
    """Draw a labelled sample collection.

    Of any size; the same seed draws the same pictures.

    Example: artylyze sample pictures --count 1000 --size mixed
    """
    from dataclasses import asdict

    from artylyze.sample import write_sample
    from artylyze.storage.staging import local_path

    summary = asdict(write_sample(local_path(folder, "FOLDER"), count, size=size, seed=seed, awkward=awkward))
    tell(summary, as_json, f"Wrote {count:,} generated images with their metadata.csv to {folder}.")


@app.command()
def scan(
    source: Annotated[
        str,
        typer.Argument(help="A folder, s3://bucket/prefix (gs, az), or a table with a `uri` column."),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="The manifest to write, a .parquet file.")],
    metadata: Metadata = None,
    id_column: IdColumn = None,
    file_column: FileColumn = None,
    file_separator: FileSeparator = None,
    glob: Annotated[str | None, typer.Option(help="Take the keys that match, whatever their extension.")] = None,
    exclude: Exclude = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    skip_bad_rows: SkipBadRows = False,
    as_json: Json = False,
) -> None:
    """List the images and join your catalogue.

    The manifest has one row for each image, with your own columns beside it; `tag` takes it as its source.

    Example: artylyze scan scans/ -o manifest.parquet --metadata objects.csv --id-column number --file-column file
    """
    from dataclasses import asdict

    from artylyze.collection import scan as collection

    report = collection.scan(
        source,
        output,
        metadata=metadata,
        id_column=id_column,
        file_column=file_column,
        file_separator=separator(file_separator),
        glob=glob,
        exclude=exclude or (),
        reading=reading(encoding, sheet, skip_bad_rows),
    )
    for note in report.notes:
        typer.echo(f"artylyze: {in_flags(note)}", err=True)
    text = f"{collection.describe(report, metadata)}\nManifest: {output}"
    tell(asdict(report) | {"manifest": output}, as_json, text)


@app.command()
def tag(
    source: Annotated[
        str | None, typer.Argument(help="A folder, s3://bucket/prefix, a table with a `uri` column, or a manifest.")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="The catalog: a folder or s3://, gs://, az://bucket/prefix.")
    ] = "",
    model: Annotated[
        str | None,
        typer.Option(help="A bundle (folder or address), or timm:NAME. Default: EfficientNet-Lite0, offline."),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Weights for timm:NAME: a .safetensors or .pth file.")] = None,
    metadata: Metadata = None,
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
        int | None, typer.Option(help="Workers that hold the model. Default: one per GPU, or per core.")
    ] = None,
    readers: Annotated[
        int | None, typer.Option(help="Workers that fetch and decode for GPUs. Default: one per core.")
    ] = None,
    shard_size: Annotated[
        int | None, typer.Option(help="Images that are committed together. Default: by the size of the collection.")
    ] = None,
    top_k: Annotated[int, typer.Option(help="Terms kept for each task.")] = 5,
    max_error_rate: Annotated[
        float, typer.Option(help="Share of images that may fail before the exit code is 5.")
    ] = 0.05,
    limit: Annotated[int | None, typer.Option(help="Tag the first N images only.")] = None,
    exclude: Exclude = None,
    update: Annotated[
        bool, typer.Option("--update", help="Tag only what is new or changed since the catalog was made.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Tag again what failed for a reason that can pass.")
    ] = False,
    force: Annotated[
        list[str] | None,
        typer.Option(
            "--force", metavar="GLOB", help="With --update: read again what matches, '*' for all. Repeatable."
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Make the catalog anew, whatever it holds, reading every image.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would do and take, from a short probe.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tag every image and write the catalog.

    Each image becomes one row of the catalog, also one that cannot be read: its row says why.

    A run that was stopped is resumed by the same command. What a catalog holds already is not read again; a run that
    would drop images of it, or change its model, is refused without --replace.

    Example: artylyze tag s3://museum/scans -o s3://museum/catalog
    """
    from artylyze.collection.scan import Metadata as Catalogue
    from artylyze.errors import UsageError
    from artylyze.tagging.request import TagRequest

    if not output:
        raise UsageError("Say where the catalog goes: -o CATALOG.")
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
        max_error_rate=max_error_rate,
        limit=limit,
        update=update,
        retry_failed=retry_failed,
        exclude=tuple(exclude or ()),
        metadata=Catalogue.of(
            metadata, id_column, file_column, separator(file_separator), reading(encoding, sheet, skip_bad_rows)
        ),
        reading=reading(encoding, sheet, skip_bad_rows),
        force=tuple(force or ()),
        replace=replace,
    )
    if dry_run:
        _dry_run(request, as_json)
    else:
        _tag(request, as_json)


def _tag(request: TagRequest, as_json: bool) -> None:
    from artylyze.tagging.job import describe, judge, run

    with reporter() as watcher:
        outcome = run(request, watcher)
    snapshot = outcome.snapshot
    found = {
        "catalog": request.output,
        "run_id": outcome.run_id,
        "rows": snapshot.rows,
        "ok": snapshot.ok,
        "errors": dict(snapshot.errors),
        "committed": outcome.committed,
        "resumed": outcome.resumed,
        "seconds": round(outcome.seconds, 2),
    }
    tell(found, as_json, describe(request, outcome))
    judge(request, outcome)


def _dry_run(request: TagRequest, as_json: bool) -> None:
    from dataclasses import asdict

    from artylyze.tagging.dryrun import describe, dry_run
    from artylyze.tagging.planning import nothing_to_do

    with reporter() as watcher:
        found = dry_run(request, watcher)
    if found is None:
        tell({"images": 0}, as_json, nothing_to_do(request))
        return
    tell(asdict(found), as_json, describe(found))


@app.command()
def status(catalog: Catalog, as_json: Json = False) -> None:
    """Show where the runs of a catalog stand.

    Counted from the parts that are committed.

    Example: artylyze status s3://museum/catalog
    """
    from artylyze.catalog.status import describe, run_states

    states = run_states(catalog)
    tell({"catalog": catalog, "runs": [state.as_dict() for state in states]}, as_json, describe(catalog, states))


@app.command()
def failures(
    catalog: Catalog,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="A CSV file to write instead of the screen.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List images that could not be read, and why.

    Example: artylyze failures catalog -o failures.csv
    """
    from artylyze.catalog.snapshot import failures as listed
    from artylyze.drawing.table import write_csv
    from artylyze.storage import check_output
    from artylyze.storage.staging import local_file

    columns = ("image_id", "record_id", "uri", "error_code", "error_detail")
    if output is not None:
        check_output(output)
    rows = listed(catalog)
    if as_json:
        typer.echo(json.dumps({"catalog": catalog, "failures": list(rows)}, ensure_ascii=False))
    elif output is not None:
        with local_file(output) as path, path.open("w", encoding="utf-8-sig", newline="") as file:
            write_csv(file, columns, rows)
        typer.echo(f"Wrote {output}.", err=True)
    else:
        write_csv(sys.stdout, columns, rows)


@app.command()
def paths(catalog: Catalog, as_json: Json = False) -> None:
    """Print the Parquet files of a catalog.

    One on a line, for DuckDB, pandas or anything else.

    Example: artylyze paths s3://museum/catalog
    """
    from artylyze.catalog.snapshot import part_paths, read_snapshot

    found = part_paths(catalog, read_snapshot(catalog))
    typer.echo(json.dumps({"catalog": catalog, "paths": found}) if as_json else "\n".join(found))


@app.command()
def demo(
    folder: Annotated[str, typer.Argument(help="Where sample and catalog go.")] = "demo",
    count: Annotated[int, typer.Option(help="Number of generated images.")] = 600,
    as_json: Json = False,
) -> None:
    """Try it all on a drawn sample collection.

    Draws it, trains a model on part of it, tags it, clusters it, and writes a report.

    Example: artylyze demo
    """
    from artylyze.demo import describe, run_demo
    from artylyze.storage.staging import local_path

    here = local_path(folder, "FOLDER")
    with reporter() as watcher:
        result = run_demo(here, count, watcher)
    tell(result.as_dict(), as_json, describe(result))
