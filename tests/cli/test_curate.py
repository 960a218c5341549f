"""`artylyze curate` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from artylyze.datasets.dataset import read_dataset
from tests.catalogues import pictures, table, works
from tests.cli.test_cli import artylyze, refused

ROWS = works(
    {("Monet, Claude", "Impressionism"): 8, ("Berthe Morisot", "Impressionism"): 4}
    | {("Gustave Courbet", "Realism"): 6, ("Rosa Bonheur", "Realism"): 3, ("Andy Warhol", "Pop_Art"): 2}
)


@pytest.fixture
def labels(tmp_path: Path) -> str:
    return table(tmp_path / "labels.csv", ROWS)


def test_a_dataset_is_written_and_the_account_printed(labels: str, tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", *(row["file"] for row in ROWS))
    target = str(tmp_path / "dataset.parquet")
    arguments = [labels, "--images", images, "-o", target, "--tasks", "style", "--classes", "2", "--split", "0.7,0.3"]
    arguments += ["--balance", "undersample"]
    result = artylyze("curate", *arguments)
    assert result.returncode == 0, result.stderr
    assert "of classes that are not kept" in result.stdout
    assert Path(tmp_path / "dataset.before.png").is_file()
    dataset = read_dataset(target)
    assert dataset.tasks == {"style": ("Impressionism", "Realism")}
    machine = artylyze("curate", *arguments, "--json")
    found = json.loads(machine.stdout)
    assert found["digest"] == dataset.digest
    assert found["rows"]["train"] + found["rows"]["test"] == dataset.table.num_rows == 18
    assert found["dropped"] == {"of classes that are not kept": 2, "beyond the least class's count": 3}


def test_a_class_with_one_artist_is_refused_with_ways_out(labels: str, tmp_path: Path) -> None:
    result = artylyze("curate", labels, "-o", tmp_path / "d.parquet", "--tasks", "style")
    refused(result, 3, "'Pop Art' (Andy Warhol)\n")
    assert result.stderr.rstrip().splitlines()[-1].strip() == "--min-artists 2"


def test_a_task_with_one_class_is_refused(tmp_path: Path) -> None:
    labels = table(tmp_path / "labels.csv", works({("Claude Monet", "Impressionism"): 3, ("Berthe Morisot", ""): 2}))
    result = artylyze("curate", labels, "-o", tmp_path / "d.parquet", "--tasks", "style")
    refused(result, 3, "Task style has one class, 'Impressionism', so there is nothing to tell apart")
    assert not (tmp_path / "d.parquet").exists()


def test_labels_that_match_no_image_are_refused_with_an_example_of_both(labels: str, tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "recto.jpg", "verso.jpg")
    result = artylyze("curate", labels, "--images", images, "-o", tmp_path / "d.parquet", "--tasks", "style")
    refused(result, 3, "No row of")
    assert "000.jpg" in result.stderr
    assert "recto.jpg" in result.stderr


def test_a_term_outside_the_taxonomy_is_kept_as_given_and_told(tmp_path: Path) -> None:
    rows = works({(f"Artist {name}", style): 2 for style in ("Realism", "Vorticism") for name in f"{style[0]}ab"})
    target = tmp_path / "d.parquet"
    result = artylyze("curate", table(tmp_path / "labels.csv", rows), "-o", target, "--tasks", "style")
    assert result.returncode == 0, result.stderr
    assert "Outside the taxonomy of style, kept as given: Vorticism 6." in result.stdout
    assert read_dataset(str(target)).tasks == {"style": ("Realism", "Vorticism")}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "d.csv"], "-o"),
        (["-o", "d.parquet", "--split", "0.9,0.2"], "--split 0.9,0.2"),
        (["-o", "d.parquet", "--tasks", "mood"], "No catalogue has a column 'mood'"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], says: str, labels: str) -> None:
    refused(artylyze("curate", labels, *arguments), 2, says)
