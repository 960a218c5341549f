"""The study's table: what a sweep's board becomes, and what is said of the order of the networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from artylyze.datasets.dataset import schema, write_dataset
from artylyze.tuning.leaderboard import COMPLETE, FAILED, Board, Row
from artylyze.tuning.sweep import TuneRequest
from benchmarks import study, study_table


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
        Row(trial, "frozen", rate, state, 20, 0.61, metrics, None if state == COMPLETE else "it broke")
        for rate, state in zip(rates, states, strict=True)
    ]
    return Board(tuple(found), ("genre",))


@pytest.fixture
def frozen(tmp_path: Path) -> TuneRequest:
    one = next(one for one in study.CONTESTANTS if one.name == "frozen")
    return study.tuning(one, tmp_path / "genre.parquet", tmp_path / "sweep")


def test_every_contestant_is_trained_at_the_studys_size_to_its_end() -> None:
    asked = {one.name: study.tuning(one, Path("dataset.parquet"), Path("out")) for one in study.CONTESTANTS}

    assert {request.image_size for request in asked.values()} == {180}
    assert not any(request.halving for request in asked.values())
    assert asked["frozen"].learning_rates == (1e-4, 5e-4, 1e-3)
    assert asked["cnn3"].plan()[0].weights == "from scratch"


def test_rows_have_the_figures_of_the_test_split_by_learning_rate(frozen: TuneRequest) -> None:
    found = study.rows(board(frozen, COMPLETE, COMPLETE, COMPLETE), "genre", "frozen")

    assert [row["learning_rate"] for row in found] == [1e-4, 5e-4, 1e-3]
    assert found[0]["test"] == {"n": 400, "accuracy": 0.52, "precision": 0.5, "recall": 0.4, "f1": 0.45, "top5": 0.9}
    assert found[0]["held_out"]["accuracy"] == 0.61


def test_a_training_that_did_not_end_is_no_row(frozen: TuneRequest) -> None:
    with pytest.raises(ValueError, match="frozen did not end: it broke"):
        study.rows(board(frozen, COMPLETE, FAILED, COMPLETE), "genre", "frozen")


def test_sides_count_images_and_artists_of_each_class(tmp_path: Path) -> None:
    labels = [
        ("a", "train", "portrait"),
        ("a", "train", "landscape"),
        ("b", "train", "portrait"),
        ("c", "test", "portrait"),
    ]
    rows = [
        {"image_id": str(place), "record_id": str(place), "group": artist, "split": side, "genre": term}
        for place, (artist, side, term) in enumerate(labels)
    ]
    table = pa.Table.from_pylist(rows, schema=schema(["genre"]))
    dataset = write_dataset(str(tmp_path / "d.parquet"), table, {"genre": ("landscape", "portrait")}, {})

    found = study.sides(dataset, "genre")

    assert found["train"] == {"images": 3, "artists": 2, "classes": {"portrait": 2, "landscape": 1}}
    assert found["test"] == {"images": 1, "artists": 1, "classes": {"portrait": 1}}


@pytest.mark.parametrize(
    ("first", "second", "n", "expected"),
    [(0.7, 0.5, 400, "above"), (0.5, 0.7, 400, "below"), (0.52, 0.5, 400, "level"), (0.52, 0.5, 10_000, "above")],
)
def test_a_difference_counts_where_chance_does_not_explain_it(
    first: float, second: float, n: int, expected: str
) -> None:
    difference, found = study_table.compare(line("frozen", first, n=n), line("cnn3", second, n=n))

    assert difference == pytest.approx(first - second)
    assert found == expected


def test_the_held_out_part_chooses_the_learning_rate_and_not_the_test_split() -> None:
    rows = [line("frozen", 0.9, held_out=0.5), line("frozen", 0.6, held_out=0.7), line("cnn3", 0.3)]

    assert study_table.best(rows, "frozen") is rows[1]


def test_verdicts_say_where_the_order_holds_and_where_not() -> None:
    found = list(study_table.verdicts("genre", [line("cnn3", 0.5), line("frozen", 0.7), line("finetune", 0.4)]))

    assert found == [
        f"genre, {study_table.NAMES['frozen']} over three-layer CNN: the order of the study holds (+20.0 points).",
        f"genre, {study_table.NAMES['finetune']} over three-layer CNN: the order of the study does not hold "
        "(-10.0 points).",
        "genre, fine-tuned over frozen: worse (-30.0 points).",
    ]
