"""Seeded damage to files of every kind: an answer or an error of artylyze's own, in bounded time and memory.

ARTYLYZE_FUZZ sets the number of images; of each other kind it is a fifth. `make faults` damages 10,000.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from artylyze.tagging.job import run
from tests.faults.conftest import Museum
from tests.faults.fuzz import KINDS
from tests.tagging.conftest import Quiet, fill

COUNT = int(os.environ.get("ARTYLYZE_FUZZ", "500"))
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def whole(museum: Museum, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of each kind: a catalog of two runs, one of which was interrupted, a table, a bundle."""
    folder = tmp_path_factory.mktemp("whole")
    rows = [{"id": f"{n:04d}.jpg", "title": f"Ölbild, {n}", "year": str(1800 + n)} for n in range(40)]
    for name, mark in (("csv", ","), ("tsv", "\t")):
        with (folder / f"table.{name}").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["id", "title", "year"], delimiter=mark)
            writer.writeheader()
            writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "table.parquet")
    book = Workbook()
    for row in (["id", "title", "year"], *(list(row.values()) for row in rows)):
        book.active.append(row)
    book.save(folder / "table.xlsx")
    shutil.copytree(model, folder / "bundle")
    images, catalog = str(fill(folder / "images", 20)), str(folder / "catalog")
    (folder / "images" / "0003.jpg").write_bytes(b"")
    run(museum.request(catalog, images), Quiet())
    fill(folder / "images", 10, start=20)
    later = run(museum.request(catalog, images, update=True), Quiet())
    shutil.copy(folder / "catalog" / "runs" / later.run_id / "manifest.parquet", folder / "update.parquet")
    first = next(path for path in (folder / "catalog" / "runs").iterdir() if path.name != later.run_id)
    shutil.copy(first / "manifest.parquet", folder / "manifest.parquet")
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_end_in_an_answer_or_an_error_of_our_own(whole: Path, tmp_path: Path, kind: str) -> None:
    folder = shutil.copytree(whole, tmp_path / "whole")
    command = [
        sys.executable,
        "-m",
        "tests.faults.fuzz",
        kind,
        str(COUNT if kind == "images" else COUNT // 5),
        str(folder),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr[-2000:]
