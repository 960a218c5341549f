"""The table of a sweep, from what its trials left in their folders."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from artylyze.tuning.leaderboard import Board, as_table, describe, leaderboard, write_board
from artylyze.tuning.sweep import Trial, TuneRequest
from artylyze.tuning.trials import FAILED, PROGRESS, RESULT, _longer

FIGURES = {"n": 10, "accuracy": 0.5, "precision": 0.4, "recall": 0.3, "f1": 0.2, "top5": 0.9, "ece": 0.1}


def result(rate: float, score: float) -> dict[str, Any]:
    parts = {"held_out": FIGURES | {"accuracy": score}, "test": FIGURES}
    curves = {"genre accuracy, held out": [0.1, score], "genre loss, held out": [2.0, 1.0]}
    return {"learning_rate": rate, "epochs": 10, "score": score, "metrics": {"genre": parts}, "curves": curves}


def leave(trial: Trial, files: Mapping[str, Any]) -> None:
    trial.folder.mkdir(parents=True)
    for name, value in files.items():
        (trial.folder / name).write_text(json.dumps(value))


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """Five rates and two backbones, one of them random: complete, stopped, failed, lost."""
    request = TuneRequest(
        "dataset.parquet",
        str(tmp_path),
        rates=(1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
        mode="finetune",
        backbones=("vgg16", "resnet18"),
        weights={"resnet18": "random"},
    )
    plan = [trial for trial in request.plan() if trial.model == "vgg16" or trial.rates == (1e-3,)]
    good = [trial for trial in plan if trial.model == "vgg16"]
    leave(good[0], {RESULT: [result(1e-5, 0.6)]})
    leave(good[1], {RESULT: [result(1e-4, 0.7)], PROGRESS: result(1e-4, 0.1)})
    metrics = {"genre": {"held_out": {"accuracy": 0.9}}}
    leave(good[2], {PROGRESS: {"learning_rate": 1e-3, "epochs": 2, "score": 0.9, "metrics": metrics}})
    leave(good[3], {FAILED: {"exit_code": 3, "message": "It diverged."}})
    leave(next(trial for trial in plan if trial.model == "resnet18"), {RESULT: [result(1e-3, 0.99)]})
    return leaderboard(request, plan, {good[4].number: "A worker was killed."})


def test_the_best_comes_first_and_only_what_is_complete_and_began_with_weights_is_ranked(board: Board) -> None:
    assert [(row.rank, row.trial.model, row.learning_rate, row.state) for row in board.rows] == [
        (1, "vgg16", 1e-4, "complete"),
        (2, "vgg16", 1e-5, "complete"),
        (None, "vgg16", 1e-3, "stopped"),
        (None, "resnet18", 1e-3, "complete"),
        (None, "vgg16", 1e-2, "failed"),
        (None, "vgg16", 1e-1, "failed"),
    ]
    assert board.best == board.rows[0]
    assert [row.error for row in board.rows[-2:]] == ["It diverged.", "A worker was killed."]


def test_it_is_written_for_spreadsheets_machines_and_eyes(board: Board, tmp_path: Path) -> None:
    write_board(board, tmp_path, {"seed": 0})
    rows = list(csv.DictReader((tmp_path / "sweep.csv").open(encoding="utf-8-sig")))
    assert [row["genre_held_out_accuracy"] for row in rows] == ["0.7", "0.6", "0.9", "0.99", "", ""]
    assert rows[0]["genre_test_top5"] == "0.9"
    assert list(rows[0]).index("genre_test_accuracy") < list(rows[0]).index("genre_held_out_accuracy")
    assert rows[3]["weights"] == "random"
    found = json.loads((tmp_path / "sweep.json").read_text())
    assert found["settings"] == {"seed": 0}
    assert found["rows"] == [row.as_dict() for row in board.rows]
    for picture in ("sweep.png", "curves.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_the_terminal_says_what_is_random_stopped_and_failed(board: Board) -> None:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(as_table(board))
    text = shown.get()
    for said in ("resnet18 (random weights)", "after epoch 2: stopped", "failed", "top-5", "0.700"):
        assert said in text
    assert text.index("test") < text.index("held-out"), "what chose nothing comes first"
    lines = text.splitlines()
    first = next(place for place, line in enumerate(lines) if "0.0001" in line)
    for line, part, accuracy in ((lines[first], "test", "0.500"), (lines[first + 1], "held-out", "0.700")):
        found = line.replace("│", " ").split()
        assert found[found.index(part) :] == [part, accuracy, "0.400", "0.300", "0.200", "0.900"]
    assert "0.700 ±0.145" in lines[first], "the standard error of 0.7 of 10 images"
    lines = list(describe(board, "sweep"))
    assert lines[0] == "vgg16 at 0.01 failed: It diverged."
    assert "Best: vgg16 at 0.0001, bundle sweep/best" in lines


def test_the_table_fits_a_terminal_of_100_columns(board: Board) -> None:
    console = Console(width=100)
    with console.capture() as shown:
        console.print(as_table(board))
    for heading in ("accuracy", "precision", "recall", "F1", "top-5"):
        assert heading in shown.get()


def test_curves_go_on_where_the_epochs_before_are_known() -> None:
    first = _longer(None, 1, {"epoch": 1, "score": 0.1, "genre loss, held out": 2.0})
    assert first == {"genre loss, held out": [2.0]}
    assert _longer({"curves": first}, 2, {"epoch": 2, "genre loss, held out": 1.0}) == {
        "genre loss, held out": [2.0, 1.0]
    }
    assert _longer({"curves": first}, 3, {"epoch": 3, "genre loss, held out": 1.0}) == {}, "epoch 2 is not known"
    assert _longer({"curves": {"genre loss, held out": [9.0, 8.0]}}, 1, {"genre loss, held out": 2.0}) == first
