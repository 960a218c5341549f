"""The command of the cache."""

from __future__ import annotations

import json
from typing import Annotated

import typer

commands = typer.Typer()


@commands.command()
def cache(
    kind: Annotated[str | None, typer.Argument(help="bundles, features, images or outputs. Default: all.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove it, but for what a running process uses.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for machines.")] = False,
) -> None:
    """Show or clear what is kept to save time.

    Models, features and decoded images that a later command would need again. The least recently used goes by itself
    where they take more than ARTYLYZE_CACHE_GB (default: 10 GB, or a tenth of the disk if that is less). Outputs for
    an address, which an interrupted command left and the same command goes on with, go only by --clear.

    Example: artylyze cache --clear images
    """
    from dataclasses import asdict
    from datetime import datetime

    from rich.filesize import decimal

    from artylyze.cache import BOUNDED, KINDS, bound, cache_folder, entries, remove
    from artylyze.errors import UsageError

    if kind is not None and kind not in KINDS:
        raise UsageError(f"There is no {kind!r} in the cache: it keeps {', '.join(KINDS)}.")
    there = entries(KINDS if kind is None else [kind])
    kept = [entry for entry in there if not (clear and remove(entry))]
    total = sum(entry.bytes for entry in kept)
    bounded = sum(entry.bytes for entry in kept if entry.kind in BOUNDED)
    if as_json:
        rows = [asdict(entry) | {"path": str(entry.path)} for entry in kept]
        sizes = {"bytes": bounded, "bound": bound(), "output_bytes": total - bounded}
        about = {"folder": str(cache_folder("")), **sizes, "removed": len(there) - len(kept), "entries": rows}
        typer.echo(json.dumps(about, ensure_ascii=False))
        return
    if clear:
        freed = sum(entry.bytes for entry in there) - total
        gone = len(there) - len(kept)
        typer.echo(f"Removed {gone:,} {'entry' if gone == 1 else 'entries'}, {decimal(freed)}.")
    for entry in kept:
        used = datetime.fromtimestamp(entry.used).astimezone().strftime("%Y-%m-%d %H:%M")
        files = f"{entry.files:,} {'file' if entry.files == 1 else 'files'}"
        mark = "  in use" if entry.in_use else ""
        typer.echo(f"{entry.kind:<8}  {decimal(entry.bytes):>9}  {files:>8}  {used}  {entry.path}{mark}")
    typer.echo(f"{decimal(bounded)} of at most {decimal(bound())} in {cache_folder('')}")
    if total > bounded:
        typer.echo(f"{decimal(total - bounded)} of outputs that are not uploaded yet")
