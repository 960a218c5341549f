"""Rows of a spreadsheet (XLSX, XLS, XLSB, ODS).

Formats of cells are not read: a number that is shown as 0042 becomes 42, unless it is text.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Sequence
from dataclasses import dataclass

from artylyze.errors import InputError, UsageError
from artylyze.wording import counted

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@dataclass(frozen=True)
class Sheet:
    """One sheet: its name, its rows of text, and the names of others that are not empty."""

    name: str
    rows: list[list[str]]
    others: tuple[str, ...]


def is_spreadsheet(data: bytes, name: str = "") -> bool:
    """Whether data are a workbook, by their content; a damaged workbook is also recognised by its name."""
    if data.startswith(_OLE):
        return True
    if data.startswith(b"PK\x03\x04") and name.lower().endswith((".xlsx", ".xlsm", ".xlsb", ".ods")):
        return True
    names = (b"xl/workbook", b"opendocument.spreadsheet")
    return data.startswith(b"PK\x03\x04") and any(name in data[:4096] or name in data[-65536:] for name in names)


def read_sheet(data: bytes, name: str, sheet: str | None = None) -> Sheet:
    """Read a sheet of a workbook.

    Args:
        data: the file.
        name: of the file, for messages.
        sheet: the sheet's name; None: the first that holds a table (two rows and two columns, or more), hidden ones
            last; else the first that is not empty.

    Raises:
        UsageError: there is no such sheet.
        InputError: a workbook that is empty or cannot be read.
    """
    from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        known = [each for each in book.sheets_metadata if each.typ == SheetTypeEnum.WorkSheet]
        names = [each.name for each in sorted(known, key=lambda each: each.visible != SheetVisibleEnum.Visible)]
        if sheet is not None:
            chosen = next((each for each in names if each.casefold() == sheet.strip().casefold()), None)
            if chosen is None:
                raise UsageError(f"`sheet={sheet!r}`: {name} has no sheet of that name (it has: {', '.join(names)}).")
            return Sheet(chosen, _rows(book.get_sheet_by_name(chosen).to_python()), ())
        full = [(each, rows) for each in names if (rows := _rows(book.get_sheet_by_name(each).to_python()))]
    except CalamineError as error:
        why = "it is protected by a password" if "assword" in str(error) else f"damaged, or not a workbook: {error}"
        raise InputError(f"{name} cannot be read as a spreadsheet ({why}). Save it again or as CSV (UTF-8).") from error
    if not full:
        raise InputError(f"{name} is empty: there is nothing in its {counted(len(names), 'sheet')}.")
    chosen, rows = next((each for each in full if len(each[1]) > 1 and max(map(_width, each[1])) > 1), full[0])
    return Sheet(chosen, rows, others=tuple(each for each, _ in full if each != chosen))


def _rows(cells: Sequence[Sequence[object]]) -> list[list[str]]:
    rows = [[_text(cell) for cell in row] for row in cells]
    return [row for row in rows if any(cell.strip() for cell in row)]


def _width(row: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in row)


def _text(cell: object) -> str:
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else f"{cell:.15g}"  # the digits that Excel has
    if isinstance(cell, datetime.datetime):
        at = cell.replace(microsecond=0)
        return at.date().isoformat() if at.time() == datetime.time() else at.isoformat(" ")
    return "" if cell is None else str(cell)
