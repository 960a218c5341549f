"""`artylyze curate` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from artylyze.training.dataset import read_dataset
from tests.test_cli import artylyze, refused
from tests.training.catalogues import pictures, table, works

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
    refused(result, 3, "'Pop Art' (Andy Warhol). Give --leave-out 'style=Pop Art' or --classes 2 or --group none.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "d.csv"], "-o"),
        (["-o", "d.parquet", "--split", "0.9,0.2"], "--split 0.9,0.2"),
        (["-o", "d.parquet", "--tasks", "mood"], "No catalogue has a column `mood`"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], says: str, labels: str) -> None:
    refused(artylyze("curate", labels, *arguments), 2, says)
