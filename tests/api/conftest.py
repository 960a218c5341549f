"""A small collection with everything that can be made of it: what the examples of the API work on."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from tests.small import kinds, paint

IMAGES = 24


def collection(folder: Path) -> None:
    """Write `scans` with one broken image among them, and `objects.csv`, which describes all but that one."""
    (folder / "scans").mkdir()
    with (folder / "objects.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["number", "file", "title", "artist", "genre", "style"])
        for number in range(IMAGES - 1):
            paint(folder / "scans" / f"{number:03d}.png", number)
            genre, style = kinds(number)
            rows.writerow(
                [f"{number:03d}", f"{number:03d}.png", f"Work {number}", f"Artist {number // 4}", genre, style]
            )
        rows.writerow(["broken", "broken.jpg", "Lost", "Nobody", "portrait", "Cubism"])
    (folder / "scans" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no JPEG")


@pytest.fixture(scope="session")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the collection: scans, objects.csv, bundle, manifest, dataset, catalog and clusters."""
    import artylyze

    folder = tmp_path_factory.mktemp("museum")
    collection(folder)
    shutil.copytree(model, folder / "bundle")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        manifest = artylyze.scan(
            "scans", "manifest.parquet", metadata="objects.csv", id_column="number", file_column="file"
        )
        artylyze.curate("objects.csv", "dataset.parquet", images="scans", balance="none", split=(0.5, 0.5))
        catalog = artylyze.tag(manifest, "catalog", model="bundle")
        artylyze.cluster(catalog, "clusters", k=3)
    return folder


@pytest.fixture
def museum(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, as the current one."""
    folder = tmp_path / "museum"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder
