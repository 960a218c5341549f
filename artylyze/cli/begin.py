"""The commands to begin with: a drawn collection, and all of it in one command."""

from __future__ import annotations

from typing import Annotated

import typer

from artylyze.cli.flags import reporter
from artylyze.cli.options import Json, tell

commands = typer.Typer()


@commands.command()
def sample(
    folder: Annotated[str, typer.Argument(help="Folder to write; refused if it holds other files.")],
    count: Annotated[int, typer.Option(help="Number of images.")] = 300,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels, or `mixed` (some are large).")] = "640x480",
    seed: Annotated[int, typer.Option(help="Random seed: the same seed draws the same images.")] = 0,
    awkward: Annotated[bool, typer.Option("--awkward", help="Add broken and unusual files.")] = False,
    as_json: Json = False,
) -> None:
    """Draw a labelled sample collection.

    The same seed draws the same pictures.

    Example: artylyze sample pictures --count 1000 --size mixed
    """
    from dataclasses import asdict

    from artylyze.sample import write_sample
    from artylyze.storage.staging import local_path

    summary = write_sample(local_path(folder, "FOLDER"), count, size=size, seed=seed, awkward=awkward)
    text = f"Wrote {count:,} generated images with their metadata.csv to {folder}."
    tell(asdict(summary) | {"folder": str(summary.folder)}, as_json, text)


@commands.command()
def demo(
    folder: Annotated[str, typer.Argument(help="Folder to write.")] = "demo",
    count: Annotated[int, typer.Option(help="Number of generated images.")] = 600,
    as_json: Json = False,
) -> None:
    """Try it all on a drawn sample collection.

    Draws it, trains a model on part of it, tags it, clusters it, and writes a report and an explorer.

    Example: artylyze demo
    """
    from artylyze.demo import describe, run_demo
    from artylyze.storage.staging import local_path

    path = local_path(folder, "FOLDER")
    with reporter() as watcher:
        result = run_demo(path, count, watcher)
    tell(result.as_dict(), as_json, describe(result))
