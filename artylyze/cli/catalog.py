"""The commands that keep a catalog in order, one short function each. Nothing heavy is imported before one runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from artylyze.cli.flags import reporter
from artylyze.wording import counted

commands = typer.Typer()

_Catalog = Annotated[str, typer.Argument(help="A catalog: a folder, or s3://, gs://, az://bucket/prefix.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for machines.")]


@commands.command()
def compact(
    catalog: _Catalog,
    part_mb: Annotated[int, typer.Option(min=1, help="Megabytes of a part, about.")] = 128,
    as_json: _Json = False,
) -> None:
    """Rewrite a catalog into few large parts.

    Readers then open hundreds of files and not thousands. The old parts stay until `artylyze gc`; a compaction that was
    interrupted goes on when the same command is given again.

    Example: artylyze compact s3://museum/catalog
    """
    from artylyze.catalog.compaction import compact as run

    with reporter() as watcher:
        result = run(catalog, watcher, part_bytes=part_mb * 10**6)
    parts = len(result.snapshot.parts)
    summary = {
        "catalog": catalog,
        "run_id": result.snapshot.run_id,
        "rows": result.snapshot.rows,
        "parts_before": result.before,
        "parts": parts,
        "written": result.written,
    }
    text = f"{catalog} has {counted(parts, 'part')}"
    if result.written:
        text += (
            f", sorted by image_id, for {counted(result.snapshot.rows, 'row')}; before it had {result.before:,}. "
            f"The old parts stay until `artylyze gc {catalog}`."
        )
    else:
        text += ": there is nothing to compact."
    typer.echo(json.dumps(summary, ensure_ascii=False) if as_json else text)


@commands.command()
def gc(
    catalog: _Catalog,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    interrupted: Annotated[
        bool, typer.Option("--interrupted", help="Also remove runs that stopped and could still be resumed.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Remove parts that were replaced.

    Updates and compactions leave the parts that they replace, for readers that still use them. What the catalog lists,
    and runs that are being driven, are never removed.

    Example: artylyze gc s3://museum/catalog --dry-run
    """
    from rich.filesize import decimal

    from artylyze.catalog.garbage import find_garbage, remove_garbage

    garbage = find_garbage(catalog, interrupted=interrupted)
    if not dry_run:
        remove_garbage(catalog, garbage)
    if as_json:
        summary = {"catalog": catalog, "removed": not dry_run, **asdict(garbage)}
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    typer.echo(
        f"{'Would remove' if dry_run else 'Removed'} {counted(len(garbage.keys), 'object')} "
        f"({decimal(garbage.bytes)}) of {catalog}: {counted(garbage.parts, 'replaced part')}, "
        f"{counted(len(garbage.runs), 'whole run')}."
    )
    if garbage.resumable:
        typer.echo(
            f"Left: {', '.join(garbage.resumable)}, which stopped and can be resumed by the same command "
            "(--interrupted removes them too)."
        )
