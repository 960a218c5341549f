"""Workbooks as people have them, through the same door as every other table."""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from artylyze.collection.scan import scan
from artylyze.errors import InputError, UsageError
from artylyze.tables import Reading
from artylyze.tables.spreadsheets import is_spreadsheet, read_sheet

ROWS = [["number", "title"], ["1", "Sea"], ["2", "Wood"]]


def xlsx(sheets: dict[str, Sequence[Sequence[Any]]], hidden: Sequence[str] = ()) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        sheet.sheet_state = "hidden" if name in hidden else "visible"
        for row in rows:
            sheet.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def ods(sheets: dict[str, Sequence[Sequence[str]]]) -> bytes:
    """As LibreOffice writes it, no more than what is read."""
    spaces = " ".join(
        f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for short, name in (("office", "office"), ("table", "table"), ("text", "text"))
    )
    tables = "".join(
        f'<table:table table:name="{name}">'
        + "".join(
            "<table:table-row>"
            + "".join(
                f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>'
                for cell in row
            )
            + "</table:table-row>"
            for row in rows
        )
        + "</table:table>"
        for name, rows in sheets.items()
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr(
            "content.xml",
            f"<office:document-content {spaces}><office:body><office:spreadsheet>{tables}</office:spreadsheet>"
            "</office:body></office:document-content>",
        )
        archive.writestr(
            "META-INF/manifest.xml",
            f'<manifest:manifest xmlns:manifest="{manifest}"><manifest:file-entry manifest:full-path="/" '
            f'manifest:media-type="{kind}"/></manifest:manifest>',
        )
    return out.getvalue()


def described(folder: Path, data: bytes, name: str, **options: Any) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """What a scan of 1.jpg and 2.jpg writes as their metadata, and what it notes."""
    images = folder / "images"
    images.mkdir(exist_ok=True)
    for number in (1, 2):
        (images / f"{number}.jpg").write_bytes(b"image")
    (folder / name).write_bytes(data)
    target = str(folder / "manifest.parquet")
    options.setdefault("id_column", "number")
    report = scan(str(images), target, metadata=str(folder / name), **options)
    return [row["metadata"] for row in pq.read_table(target).to_pylist()], report.notes


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (xlsx({"Objects": ROWS}), "objects.xlsx"),
        (ods({"Objects": ROWS}), "objects.ods"),
        (xlsx({"Objects": ROWS}), "objects.csv"),
        (ods({"Objects": ROWS}), "objects"),
        (xlsx({"Empty": [], "Objects": ROWS}), "objects.xlsx"),
        (xlsx({"Lists": [["a", "b"], ["c", "d"]], "Objects": ROWS}, hidden=["Lists"]), "objects.xlsx"),
        (xlsx({"Notes": [["Exported for you"], ["by the registrar"]], "Objects": ROWS}), "objects.xlsx"),
        (xlsx({"Objects": [["Inventory of the museum"], ["as of 2024"], *ROWS, ["", ""]]}), "objects.xlsx"),
        (xlsx({"Objects": [["", *row] for row in [[], *ROWS]]}), "objects.xlsx"),
    ],
    ids=[
        "xlsx",
        "ods",
        "a wrong name",
        "no extension",
        "an empty sheet",
        "a hidden sheet",
        "a sheet of notes",
        "titles",
        "a margin",
    ],
)
def test_workbooks_are_read(data: bytes, name: str, tmp_path: Path) -> None:
    rows, _ = described(tmp_path, data, name)
    assert [row["title"] for row in rows] == ["Sea", "Wood"]


def test_cells_are_read_as_the_program_shows_them(tmp_path: Path) -> None:
    cells = {
        "price": (12.5, "12.5"),
        "year": (1889.0, "1889"),
        "acquired": (datetime.datetime(1936, 2, 5), "1936-02-05"),
        "photographed": (datetime.datetime(2020, 1, 2, 3, 4, 5), "2020-01-02 03:04:05"),
        "shown": (True, "TRUE"),
        "sum": (0.1 + 0.2, "0.3"),
        "barcode": (123456789012345, "123456789012345"),
        "inventory": ("0012", "0012"),
        "nothing": (None, None),
        "lines": ("oil\non canvas", "oil\non canvas"),
    }
    header, values = ["number", *cells], [cell for cell, _ in cells.values()]
    rows, _ = described(tmp_path, xlsx({"Objects": [header, [1, *values], [2.0, *values]]}), "objects.xlsx")
    for number, row in enumerate(rows, 1):
        assert row == {"number": str(number), **{name: shown for name, (_, shown) in cells.items()}}


def test_which_sheet_was_read_is_said_and_can_be_chosen(tmp_path: Path) -> None:
    data = xlsx({"Loans": [["number", "title"], ["1", "away"], ["2", "here"]], "Objects": ROWS})
    rows, notes = described(tmp_path, data, "objects.xlsx")
    assert [row["title"] for row in rows] == ["away", "here"]
    assert any("the sheet 'Loans' was read; `sheet=NAME` selects another ('Objects')" in note for note in notes)
    rows, notes = described(tmp_path, data, "objects.xlsx", reading=Reading(sheet="objects "))
    assert [row["title"] for row in rows] == ["Sea", "Wood"]
    assert not notes
    with pytest.raises(UsageError, match=r"`sheet='Images'`: .* has no sheet of that name \(it has: Loans, Objects\)"):
        described(tmp_path, data, "objects.xlsx", reading=Reading(sheet="Images"))


def test_a_workbook_in_which_nothing_is_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty: there is nothing in its 2 sheets"):
        described(tmp_path, xlsx({"A": [], "B": []}), "objects.xlsx")


def test_a_damaged_workbook_is_an_error(tmp_path: Path) -> None:
    whole = xlsx({"Objects": ROWS})
    with pytest.raises(InputError, match="cannot be read as a spreadsheet"):
        described(tmp_path, whole[: len(whole) // 2], "objects.xlsx")


def test_other_archives_are_no_spreadsheets() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    assert not is_spreadsheet(out.getvalue())
    assert not is_spreadsheet(b"number,title\n1,xl\n")


def test_hidden_sheets_are_read_where_there_is_no_other() -> None:
    sheet = read_sheet(xlsx({"Cover": [], "Objects": ROWS}, hidden=["Objects"]), "objects.xlsx")
    assert (sheet.name, sheet.rows) == ("Objects", ROWS)
