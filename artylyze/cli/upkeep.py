"""The commands that look after catalogs and disks: compact, gc, cache, bench."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from artylyze.cli.flags import reporter
from artylyze.cli.options import CatalogArgument, Json, tell
from artylyze.errors import InputError, UsageError
from artylyze.wording import counted

if TYPE_CHECKING:
    from types import ModuleType

commands = typer.Typer()


@commands.command()
def compact(
    catalog: CatalogArgument,
    part_mb: Annotated[int, typer.Option(min=1, help="Approximate size of a part, MB.")] = 128,
    as_json: Json = False,
) -> None:
    """Rewrite a catalog into few large parts.

    Readers then open hundreds of files instead of thousands. The old parts stay until `artylyze gc`. The same command
    resumes an interrupted compaction.

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
            f" for {counted(result.snapshot.rows, 'row')}, sorted by image_id; before it had {result.before:,}. "
            f"The old parts stay until `artylyze gc {catalog}`."
        )
    else:
        text += ": there is nothing to compact."
    tell(summary, as_json, text)


@commands.command()
def gc(
    catalog: CatalogArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed; remove nothing.")] = False,
    interrupted: Annotated[
        bool, typer.Option("--interrupted", help="Also remove interrupted runs that could be resumed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove replaced parts.

    Updates and compactions keep the parts that they replace, for readers that still use them. Parts that the catalog
    lists, and runs in progress, are never removed.

    Example: artylyze gc s3://museum/catalog --dry-run
    """
    from rich.filesize import decimal

    from artylyze.catalog.garbage import find_garbage, remove_garbage

    garbage = find_garbage(catalog, interrupted=interrupted)
    if not dry_run:
        remove_garbage(catalog, garbage)
    text = (
        f"{'Would remove' if dry_run else 'Removed'} {counted(len(garbage.keys), 'object')} "
        f"({decimal(garbage.bytes)}) of {catalog}: {counted(garbage.parts, 'replaced part')}, "
        f"{counted(len(garbage.runs), 'whole run')}."
    )
    if garbage.resumable:
        text += (
            f"\nKept: {', '.join(garbage.resumable)}, interrupted, which the same command can resume "
            "(`interrupted` removes them too)."
        )
    tell({"catalog": catalog, "removed": not dry_run, **asdict(garbage)}, as_json, text)


@commands.command()
def cache(
    kind: Annotated[str | None, typer.Argument(help="bundles, features, images or outputs. Default: all.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all that no running process uses.")] = False,
    as_json: Json = False,
) -> None:
    """Show or clear cached models, features and images.

    Later commands reuse them. Above ARTYLYZE_CACHE_GB (default: 10 GB, or a tenth of the disk if that is less), the
    least recently used are removed. The cache also holds unfinished outputs for an address, which the same command
    resumes: only --clear removes these.

    Example: artylyze cache --clear images
    """
    from datetime import datetime

    from rich.filesize import decimal

    from artylyze.cache import BOUNDED, KINDS, bound, cache_folder, entries, remove

    if kind is not None and kind not in KINDS:
        raise UsageError(f"There is no {kind!r} in the cache: it keeps {', '.join(KINDS)}.")
    before = entries(KINDS if kind is None else [kind])
    kept = [entry for entry in before if not (clear and remove(entry))]
    removed, total = len(before) - len(kept), sum(entry.bytes for entry in kept)
    bounded = sum(entry.bytes for entry in kept if entry.kind in BOUNDED)
    summary = {
        "folder": str(cache_folder("")),
        "bytes": bounded,
        "bound": bound(),
        "output_bytes": total - bounded,
        "removed": removed,
        "entries": [asdict(entry) | {"path": str(entry.path)} for entry in kept],
    }
    lines = []
    if clear:
        freed = decimal(sum(entry.bytes for entry in before) - total)
        lines.append(f"Removed {counted(removed, 'entry', 'entries')}, {freed}.")
    for entry in kept:
        used = datetime.fromtimestamp(entry.used).astimezone().strftime("%Y-%m-%d %H:%M")
        files, mark = counted(entry.files, "file"), "  in use" if entry.in_use else ""
        lines.append(f"{entry.kind:<8}  {decimal(entry.bytes):>9}  {files:>8}  {used}  {entry.path}{mark}")
    lines.append(f"{decimal(bounded)} of at most {decimal(bound())} in {cache_folder('')}")
    if total > bounded:
        lines.append(f"{decimal(total - bounded)} of outputs that are not uploaded yet")
    tell(summary, as_json, "\n".join(lines))


@commands.command()
def bench(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="tag, train, cluster, memory, startup, scale, scaling, or all. Default: all."),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where the results go: a folder or s3://, gs://, az://bucket/prefix.")
    ] = "",
    images: Annotated[
        str | None, typer.Option(help="Your images: what `tag` takes, or a manifest. Default: drawn ones.")
    ] = None,
    count: Annotated[int, typer.Option(help="Number of images, taken evenly from the collection.")] = 300,
    repeats: Annotated[int, typer.Option(help="Runs of each tool in `tag`; the median counts.")] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only check that everything runs; figures mean nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure artylyze against its peers on this machine.

    Each benchmark takes some minutes and writes its figures as JSON, a plot and a Markdown table. Peers that are not
    installed are skipped.

    Example: artylyze bench tag startup --images scans/ -o benchmarks
    """
    if not output:
        raise UsageError("Say where the results go: -o FOLDER.")
    suite = _suite()
    request = suite.SuiteRequest(tuple(what or ["all"]), output, images, count, repeats, quick)
    with reporter() as watcher:
        written = suite.run_suite(request, watcher)
    tell(written, as_json, suite.describe(written))


def _suite() -> ModuleType:
    """Import the benchmarks: beside this package in a checkout or a submitted folder, else inside it."""
    package = Path(__file__).resolve().parents[1]
    for root in (package.parent, package / "_bench"):
        if (root / "benchmarks" / "suite.py").is_file():
            sys.path.insert(0, str(root))
            from benchmarks import suite

            return suite
    raise InputError(
        f"The benchmarks are not installed: {package} has none. Install artylyze again, or run in a checkout."
    )
