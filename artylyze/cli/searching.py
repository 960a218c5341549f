"""The commands that find works and show them, one short function each. Nothing heavy is imported before one runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from artylyze.cli.options import CatalogArgument, Json, call, call_and_tell, tell

commands = typer.Typer()


@commands.command()
def search(
    catalog: CatalogArgument,
    like: Annotated[
        str | None, typer.Option(help="A record or image of the catalog, or the file or address of any image.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Words of titles, artists and all your own columns; spelling may be a bit off.")
    ] = None,
    color: Annotated[list[str] | None, typer.Option(help="A colour such as '#7a5c2e'. May be repeated.")] = None,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="A condition, such as \"metadata.date < '1700'\" (DuckDB).")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of works.")] = 20,
    model: Annotated[
        str | None,
        typer.Option(help="Model that tagged the catalog, for an image not in it. Default: looked for here."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="A file to write: a contact sheet (.png), .csv, .json or .parquet."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")] = False,
    as_json: Json = False,
) -> None:
    """Find works by likeness, words or colour.

    Several conditions combine: --where leaves works out, the others rank those that stay, by their ranks if there are
    several. The first search makes an index of the catalog.

    Example: artylyze search catalog --color '#5a3a22' --where "genre = 'portrait'" -o portraits.png
    """
    works = call("search", locals())
    if as_csv:
        works.print_csv(sys.stdout)
        return
    lines = [str(works), *([f"Wrote {' and '.join(works.files)}."] if works.files else [])]
    tell({"catalog": catalog, **works.as_dict()}, as_json, "\n".join(lines))


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
    call_and_tell("duplicates", locals())


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
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser, or only print.")] = True,
    as_json: Json = False,
) -> None:
    """Look through a catalog in a browser.

    Gallery, map, facets, near-duplicates, and tags to review, served on this machine until you press Ctrl-C. With -o
    the same as files for any web server, from which decisions are exported as a file.

    Example: artylyze explore catalog --clusters clusters
    """
    explorer = call("explore", locals())
    with explorer:
        tell(explorer.figures, as_json, explorer.text)
        explorer.wait()


@commands.command()
def index(
    catalog: CatalogArgument,
    to: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="lance ADDRESS", help="Write a LanceDB table into a folder or object storage instead."),
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make it anew, whatever is there.")] = False,
    as_json: Json = False,
) -> None:
    """Index the embeddings of a catalog.

    The first search does so too. The index lies in the catalog; after an update only new parts are read.

    Example: artylyze index s3://museum/catalog
    """
    call_and_tell("index", locals())
