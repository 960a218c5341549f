"""The study's table: what a sweep's board becomes, and what is said of the order of the networks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import timm
from safetensors.torch import save_file

from artylyze.datasets.dataset import Dataset, schema, write_dataset
from artylyze.sample import write_sample
from artylyze.tuning.leaderboard import COMPLETE, FAILED, Board, Row
from artylyze.tuning.sweep import TuneRequest
from benchmarks import study, study_table

TINY = "test_efficientnet"
"""A network of timm for tests."""


def figures(accuracy: float, n: int = 400) -> dict[str, Any]:
    return {"n": n, "accuracy": accuracy, "precision": 0.5, "recall": 0.4, "f1": 0.45, "top5": 0.9, "ece": 0.1}


def line(contestant: str, test: float, held_out: float = 0.5, n: int = 400) -> dict[str, Any]:
    shown = {"learning_rate": 1e-3, "epochs": 3}
    return {"contestant": contestant, "test": figures(test, n), "held_out": figures(held_out, n), **shown}


def board(request: TuneRequest, *states: str) -> Board:
    metrics = {"genre": {"held_out": figures(0.61), "test": figures(0.52)}}
    trial = request.plan()[0]
    rates = sorted(trial.rates, reverse=True)  # a board has the best first, whatever its rate
    found = [
        Row(trial, "frozen", rate, state, 20, 0.61, metrics, error=None if state == COMPLETE else "it broke")
        for rate, state in zip(rates, states, strict=True)
    ]
    return Board(tuple(found), ("genre",))


@pytest.fixture
def frozen(tmp_path: Path) -> TuneRequest:
    one = next(one for one in study.CONTESTANTS if one.name == "lite0-frozen")
    return study.tuning(one, tmp_path / "genre.parquet", tmp_path / "sweep")


def test_every_contestant_is_trained_at_the_studys_size_to_its_end() -> None:
    asked = {one.name: study.tuning(one, Path("dataset.parquet"), Path("out")) for one in study.CONTESTANTS}

    assert {request.image_size for request in asked.values()} == {180}
    assert not any(request.halving for request in asked.values())
    assert asked["vgg16-frozen"].learning_rates == (1e-4, 5e-4, 1e-3)
    assert asked["cnn3"].plan()[0].weights == "from scratch"
    assert {"cnn3", "mobilenet-frozen", "densenet121-finetune", "vgg16-finetune", "lite2-frozen"} <= set(asked)
    assert set(asked) == set(study_table.NAMES), "each has a name in the table"


def test_every_backbone_is_one_that_timm_has() -> None:
    assert all(one.backbone == "cnn3" or timm.is_model(one.backbone) for one in study.CONTESTANTS)


def test_weights_and_fewer_epochs_go_to_the_contestant_that_they_are_for() -> None:
    asked = {
        one.name: study.tuning(one, Path("d.parquet"), Path("out"), {"vgg16": "vgg16.pth"}, 1)
        for one in study.CONTESTANTS
    }
    assert dict(asked["vgg16-frozen"].weights) == dict(asked["vgg16-finetune"].weights) == {"vgg16": "vgg16.pth"}
    assert dict(asked["mobilenet-frozen"].weights) == {}
    assert (asked["vgg16-frozen"].epochs, asked["vgg16-finetune"].epochs, asked["cnn3"].epochs) == (20, 1, 1)


def test_rows_have_the_figures_of_the_test_split_by_learning_rate(frozen: TuneRequest) -> None:
    found = study.rows(board(frozen, COMPLETE, COMPLETE, COMPLETE), "genre", "lite0-frozen")

    assert [row["learning_rate"] for row in found] == [1e-4, 5e-4, 1e-3]
    assert found[0]["test"] == {"n": 400, "accuracy": 0.52, "precision": 0.5, "recall": 0.4, "f1": 0.45, "top5": 0.9}
    assert found[0]["held_out"]["accuracy"] == 0.61


def test_a_training_that_did_not_end_is_no_row(frozen: TuneRequest) -> None:
    with pytest.raises(ValueError, match="lite0-frozen did not end: it broke"):
        study.rows(board(frozen, COMPLETE, FAILED, COMPLETE), "genre", "lite0-frozen")


def dataset_of(folder: Path, labels: list[tuple[str, str, str]]) -> Dataset:
    rows = [
        {"image_id": str(place), "record_id": str(place), "group": artist, "split": side, "genre": term}
        for place, (artist, side, term) in enumerate(labels)
    ]
    table = pa.Table.from_pylist(rows, schema=schema(["genre"]))
    return write_dataset(str(folder / "d.parquet"), table, {"genre": tuple({term for *_, term in labels})}, {})


LABELS = [
    ("a", "train", "portrait"),
    ("a", "train", "landscape"),
    ("b", "train", "portrait"),
    ("c", "test", "portrait"),
]


def test_sides_count_images_and_artists_of_each_class(tmp_path: Path) -> None:
    found = study.sides(dataset_of(tmp_path, LABELS), "genre")

    assert found["train"] == {"images": 3, "artists": 2, "classes": {"portrait": 2, "landscape": 1}}
    assert found["test"] == {"images": 1, "artists": 1, "classes": {"portrait": 1}}


def test_fewer_images_are_taken_of_both_sides(tmp_path: Path) -> None:
    whole = dataset_of(tmp_path, [*LABELS * 3, ("d", "test", "landscape")])
    found = study.limited(whole, 6, tmp_path / "limited.parquet")

    assert [study.sides(found, "genre")[side]["images"] for side in ("train", "test")] == [6, 2]
    assert found.tasks == whole.tasks


@pytest.mark.parametrize(
    ("first", "second", "n", "expected"),
    [(0.7, 0.5, 400, "above"), (0.5, 0.7, 400, "below"), (0.52, 0.5, 400, "level"), (0.52, 0.5, 10_000, "above")],
)
def test_a_difference_counts_where_chance_does_not_explain_it(
    first: float, second: float, n: int, expected: str
) -> None:
    difference, found = study_table.compare(line("lite0-frozen", first, n=n), line("cnn3", second, n=n))

    assert difference == pytest.approx(first - second)
    assert found == expected


def test_the_held_out_part_chooses_the_learning_rate_and_not_the_test_split() -> None:
    rows = [line("vgg16-frozen", 0.9, held_out=0.5), line("vgg16-frozen", 0.6, held_out=0.7), line("cnn3", 0.3)]

    assert study_table.best(rows, "vgg16-frozen") is rows[1]
    assert study_table.best(rows, "vgg16-finetune") is None


def test_verdicts_say_where_the_order_holds_and_where_not() -> None:
    rows = [line("cnn3", 0.5), line("lite0-frozen", 0.7), line("lite0-finetune", 0.4)]

    assert list(study_table.verdicts("genre", rows)) == [
        "genre, EfficientNet-Lite0, frozen over three-layer CNN: the order of the study holds (+20.0 points).",
        "genre, EfficientNet-Lite0, fine-tuned over three-layer CNN: the order of the study does not hold "
        "(-10.0 points).",
        "genre, EfficientNet-Lite0 fine-tuned over frozen: worse (-30.0 points).",
    ]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the study was run on drawn pictures, with two small networks: one has a file of weights."""
    root = tmp_path_factory.mktemp("study")
    write_sample(root / "drawn", 120)
    (root / "data").mkdir()
    rows = list(csv.DictReader((root / "drawn" / "metadata.csv").open(encoding="utf-8")))
    for place, name in enumerate(study.SETS):
        with (root / "data" / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows[place::2])
        (root / "data" / name).symlink_to(root / "drawn")
    weights = str(root / "weights.safetensors")
    save_file(timm.create_model(TINY, num_classes=0).state_dict(), weights)
    contestants = (
        study.Contestant("lite0-frozen", TINY, "frozen", (1e-3, 1e-2), 3),
        study.Contestant("vgg16-frozen", "resnet10t", "frozen", (1e-3,), 3),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "CONTESTANTS", contestants)
        given = ["--weights", f"{TINY}={weights}", "--weights", f"resnet10t={root / 'absent.pth'}", "--tasks", "genre"]
        study.main(["--data", str(root / "data"), "--work", str(root / "work"), "--out", str(root), *given])
    return root


@pytest.mark.slow
def test_a_network_runs_from_a_file_and_one_without_weights_is_named_with_the_reason(ran: Path) -> None:
    found = json.loads((ran / study.RESULT).read_text())["tasks"]["genre"]

    assert [(row["contestant"], row["weights"], row["learning_rate"]) for row in found["rows"]] == [
        ("lite0-frozen", "file", 1e-3),
        ("lite0-frozen", "file", 1e-2),
    ]
    assert found["not_run"] == {"vgg16-frozen": f"there is no weights file {ran / 'absent.pth'}"}
    assert sum("classes" in row for row in found["rows"]) == 1, "the best rate alone is judged by class"
    assert set(found["train"]["classes"]) | set(found["absent"]) == set(study.CLASSES["genre"])


@pytest.mark.slow
def test_the_best_and_the_worst_classes_are_shown(ran: Path) -> None:
    pictures = {path.name for path in (ran / "work" / "genre-lite0-frozen" / "evaluation").glob("*.png")}
    assert {"genre-best.png", "genre-worst.png", "genre-confusion.png"} <= pictures
    assert (ran / "work" / "genre-lite0-frozen" / "curves.png").exists()
    assert (ran / "work" / "genre.samples.png").exists()


@pytest.mark.slow
def test_the_section_has_figures_of_each_class_and_a_line_for_what_was_not_run(ran: Path) -> None:
    text = study_table.section(json.loads((ran / study.RESULT).read_text()))

    assert "- VGG16, frozen: there is no weights file" in text
    assert "| EfficientNet-Lite0, frozen |" in text
    assert "F1 of each class of genre" in text
