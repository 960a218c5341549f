"""Tables for spreadsheets and for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV in which no cell is a formula.

    A cell that a spreadsheet would execute gets an apostrophe before it (OWASP, "CSV Injection").
    """
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


def columns(rows: Iterable[Sequence[str]], *, left: Sequence[int] = (0,)) -> Table:
    """Return rows of as many cells each as a table without lines; the columns at `left` are aligned to the left."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    for row in rows:
        while len(table.columns) < len(row):
            table.add_column(justify="left" if len(table.columns) in left else "right", no_wrap=True)
        table.add_row(*row)
    return table


def rendered(parts: Iterable[RenderableType], width: int = 10_000) -> str:
    """Return sentences and tables as text; tables are at most `width` characters wide, sentences are not broken."""
    from rich.console import Console

    file = io.StringIO()
    console = Console(file=file, width=width, highlight=False, markup=False, soft_wrap=True)
    for part in parts:
        console.print(part)
    return "\n".join(map(str.rstrip, file.getvalue().rstrip().split("\n")))
