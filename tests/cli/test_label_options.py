"""Tables of labels that must be read as the user says: another sheet, an encoding, rows that are broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
from typer.testing import CliRunner

from artylyze.cli.app import app
from artylyze.errors import InputError, UsageError
from tests.pictures import Gallery, paintings

MOODS = [(f"k0-{number}", "gläubig" if number % 2 else "heiter") for number in range(1, 7)]
HEADER = ("number", "Stimmung")


def spreadsheet(folder: Path) -> list[str]:
    book = openpyxl.Workbook()
    book.active.append(["loan", "until"])
    book.active.append(["L1", "2024"])
    sheet = book.create_sheet("Objects")
    for row in (HEADER, *MOODS):
        sheet.append(row)
    book.save(folder / "objects.xlsx")
    return ["--labels", str(folder / "objects.xlsx"), "--sheet", "Objects"]


def old_export(folder: Path) -> list[str]:
    lines = [",".join(row) for row in (HEADER, *MOODS)]
    lines.insert(3, "k0-9,a,cell,too,many")
    (folder / "objects.csv").write_bytes("\n".join(lines).encode("mac_roman"))
    return ["--labels", str(folder / "objects.csv"), "--encoding", "mac_roman", "--skip-bad-rows"]


COMMANDS: dict[str, Callable[[Gallery, Path], list[str]]] = {
    "profiles": lambda gallery, _: ["profiles", gallery.clusters, "--columns", "Stimmung"],
    "influences": lambda gallery, out: [
        *("influences", gallery.clusters, "k0-1", "-o", str(out / "influences"), "--columns", "Stimmung")
    ],
    "report": lambda gallery, out: [
        *("report", gallery.catalog, "--clusters", gallery.clusters, "-o", str(out / "report.html")),
        *("--columns", "Stimmung"),
    ],
    "compare": lambda gallery, _: ["compare-features", gallery.catalog, "--k", "3", "--columns", "Stimmung"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.parametrize("written", [spreadsheet, old_export])
def test_a_table_of_labels_is_read_as_the_user_says(
    gallery: Gallery,
    tmp_path: Path,
    command: Callable[[Gallery, Path], list[str]],
    written: Callable[[Path], list[str]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert {name for name, _ in MOODS} <= {Path(name).stem for name in paintings()}
    line = [*command(gallery, tmp_path), *written(tmp_path)]
    done = CliRunner().invoke(app, [*line, "--json"])
    assert done.exit_code == 0, done.output
    page = tmp_path / "report.html"
    assert "gläubig" in (page.read_text() if page.exists() else done.output) or '"images": 6' in done.output
    if written is old_export:
        assert "1 row skipped, which cannot be read (line 4)" in capfd.readouterr().err
    for option in ("--sheet", "--skip-bad-rows"):
        if option in line:
            place = line.index(option)
            without = line[:place] + line[place + (2 if option == "--sheet" else 1) :]
            assert isinstance(CliRunner().invoke(app, without).exception, InputError)


OPTIONS = (["--id-column", "number"], ["--encoding", "latin-1"], ["--sheet", "Objects"], ["--skip-bad-rows"])


@pytest.mark.parametrize("command", [*COMMANDS, "evaluate", "report alone", "compare with a catalog"])
@pytest.mark.parametrize("option", OPTIONS, ids=[option[0] for option in OPTIONS])
def test_options_of_a_table_of_labels_are_refused_where_there_is_none(
    gallery: Gallery, tmp_path: Path, command: str, option: list[str]
) -> None:
    """Somebody who forgets --labels would take the catalog's own metadata for the table's."""
    out = str(tmp_path / "evaluation")
    others = {
        "evaluate": ["evaluate", "bundle", gallery.catalog, "-o", out],
        "report alone": ["report", gallery.catalog, "-o", str(tmp_path / "report.html")],
        "compare with a catalog": ["compare-features", gallery.catalog, "--k", "3", "--labels", gallery.catalog],
    }
    line = others[command] if command in others else COMMANDS[command](gallery, tmp_path)
    refused = CliRunner().invoke(app, [*line, *option]).exception
    assert isinstance(refused, UsageError)
    assert f"`{option[0].removeprefix('--').replace('-', '_')}`" in str(refused)
    assert "give `labels=TABLE` too" in str(refused)
    assert not list(tmp_path.iterdir())
