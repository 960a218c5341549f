"""The command that finds near-duplicates. Nothing heavy is imported before it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from artylyze.cli.flags import reporter
from artylyze.cli.options import CatalogArgument, Json, tell

commands = typer.Typer()


@commands.command()
def duplicates(
    catalog: CatalogArgument,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where pairs, groups and a contact sheet go: a folder or an address.")
    ],
    update: Annotated[
        bool, typer.Option("--update", help="Compare only pairs with images that are new or changed since.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Find images that show the same work.

    The same file, the same photograph encoded anew, turned, mirrored or in other light, crops and details, recto and
    verso, and perhaps copies: each pair with a reason and a score, and groups to count each work once.

    Example: artylyze duplicates catalog -o duplicates
    """
    from artylyze.api import duplicates as api

    with reporter() as watcher:
        found = api.duplicates(catalog, output, update=update, progress=watcher)
    tell(found.figures, as_json, found.text)
