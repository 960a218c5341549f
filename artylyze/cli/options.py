"""What several commands share: common options, those on how a user's own tables are read and joined, and printing."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

import artylyze
from artylyze.cli.flags import in_flags, reporter

if TYPE_CHECKING:
    from artylyze.tables import Reading

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, for machines.")]
CatalogArgument = Annotated[str, typer.Argument(help="A catalog: a folder, or s3://, gs://, az://bucket/prefix.")]
MetadataOption = Annotated[
    str | None, typer.Option(help="Your catalogue of the collection: CSV, TSV, XLSX, XLS, ODS or Parquet.")
]
IdColumn = Annotated[str | None, typer.Option(help="Its column that identifies a record.")]
FileColumn = Annotated[str | None, typer.Option(help="Its column that names the image file, if that is another.")]
Encoding = Annotated[
    str | None,
    typer.Option(
        help="Encoding of CSV tables: utf-8, utf-16, windows-1252, mac_roman, shift_jis, ... Default: recognised."
    ),
]
Sheet = Annotated[
    str | None, typer.Option(help="Sheet of a spreadsheet, by its name. Default: the first that holds a table.")
]
SkipBadRows = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Skip and count unreadable rows, instead of refusing the table.")
]
FileSeparator = Annotated[str | None, typer.Option(help="Separator between several file names in a cell, e.g. ';'.")]


def call(name: str, options: Mapping[str, Any], **parsed: Any) -> Any:
    """Call `artylyze.NAME`, which has the arguments of the command of that name, and show its progress.

    Args:
        name: Of the function.
        options: The command's `locals()`: what is no argument is left out, and what was not given (None) is left to
            the function's default.
        parsed: Options that a command line gives in another form than the function takes.
    """
    function = getattr(artylyze, name)
    given = {**options, **parsed}
    arguments = [key for key in inspect.signature(function).parameters if given.get(key) is not None]
    with reporter() as watcher:
        return function(**{key: given[key] for key in arguments}, progress=watcher)


def call_and_tell(name: str, options: Mapping[str, Any], **parsed: Any) -> None:
    """Call `artylyze.NAME` as `call` does, and print the text or the figures of its output."""
    output = call(name, options, **parsed)
    tell(output.figures, options["as_json"], output.text)


def tell(values: Mapping[str, Any], as_json: bool, text: str) -> None:
    """Print a command's result: one JSON object, in which dates of the user's columns are text, or the text."""
    typer.echo(json.dumps(values, ensure_ascii=False, default=str) if as_json else in_flags(text))


def reading(encoding: str | None, sheet: str | None, skip_bad_rows: bool) -> Reading:
    """Return the options on how tables are read."""
    from artylyze.tables import Reading

    return Reading(encoding, sheet, skip_bad_rows)


def separator(text: str | None) -> str | None:
    r"""Return a separator as it is in cells: a line break is written `\n` on a command line."""
    return None if text is None else text.replace("\\n", "\n").replace("\\t", "\t")
