"""The command that shows a catalog in a browser. Nothing heavy is imported before it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from artylyze.cli.flags import reporter
from artylyze.cli.options import CatalogArgument, Json, tell

commands = typer.Typer()


@commands.command()
def explore(
    catalog: CatalogArgument,
    clusters: Annotated[str | None, typer.Option(help="What `cluster` wrote.")] = None,
    duplicates: Annotated[str | None, typer.Option(help="What `duplicates` wrote.")] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Write static files into this folder or address instead.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page. Default: the catalog's folder.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to serve on. Default: the first free from 8765 on.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    as_json: Json = False,
) -> None:
    """Look through a catalog in a browser.

    Gallery, map, facets, near-duplicates, and tags to review, served on this machine until you press Ctrl-C. With -o
    the same as files for any web server, from which decisions are exported as a file.

    Example: artylyze explore catalog --clusters clusters
    """
    from artylyze.api import exploring as api

    with reporter() as watcher:
        explorer = api.explore(
            catalog,
            output,
            clusters=clusters,
            duplicates=duplicates,
            title=title,
            port=port,
            browser=not no_browser,
            progress=watcher,
        )
    with explorer:
        tell(explorer.figures, as_json, explorer.text)
        explorer.wait()
