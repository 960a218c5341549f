"""The command `bench`: where the benchmarks lie, and the options they share. What is measured, they know themselves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from artylyze.cli.flags import reporter
from artylyze.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

commands = typer.Typer()


@commands.command()
def bench(
    what: Annotated[
        list[str] | None, typer.Argument(help="tag, train, cluster, memory, startup, scale, or all. Default: all.")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where the results go: a folder or s3://, gs://, az://bucket/prefix.")
    ] = "",
    images: Annotated[
        str | None, typer.Option(help="Your images: what `tag` takes, or a manifest. Default: drawn ones.")
    ] = None,
    count: Annotated[int, typer.Option(help="How many of them are taken, evenly over the collection.")] = 300,
    repeats: Annotated[int, typer.Option(help="Runs of each contestant of `tag`; the median counts.")] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only see that everything runs; figures mean nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for machines.")] = False,
) -> None:
    """Measure artylyze against its peers on this machine.

    Some minutes for each benchmark. Each leaves its figures as JSON, a picture and a Markdown table; peers that are not
    installed are left out.

    Example: artylyze bench tag startup --images scans/ -o benchmarks
    """
    from artylyze.errors import UsageError

    if not output:
        raise UsageError("Say where the results go: -o FOLDER.")
    suite = _suite()
    request = suite.SuiteRequest(tuple(what or ["all"]), output, images, count, repeats, quick)
    with reporter() as watcher:
        written = suite.run_suite(request, watcher)
    typer.echo(json.dumps(written, ensure_ascii=False) if as_json else suite.describe(written))


def _suite() -> ModuleType:
    """Import the benchmarks that lie beside this package, in a checkout or a submitted folder, or those within it."""
    package = Path(__file__).resolve().parents[1]
    for root in (package.parent, package / "_bench"):
        if (root / "benchmarks" / "suite.py").is_file():
            sys.path.insert(0, str(root))
            from benchmarks import suite

            return suite
    raise InputError(
        f"The benchmarks are not installed: {package} has none. Install artylyze again, or run in a checkout."
    )
