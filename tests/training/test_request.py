from __future__ import annotations

from typing import Any

import pytest

from artylyze.datasets.classes import name_tasks
from artylyze.datasets.curate import CurateRequest
from artylyze.errors import UsageError
from artylyze.training.request import EPOCHS, LEARNING_RATES, TrainRequest, parse_taps


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"output": ""}, "`output`"),
        ({"mode": "half"}, "`mode"),
        ({"device": "tpu"}, "`device"),
        ({"tasks": ()}, "`tasks"),
        ({"tasks": ("genre", "genre")}, "`tasks"),
        ({"weights": "w.pth", "init_from": "bundle"}, "`init_from"),
        ({"backbone": "cnn3"}, "`mode='finetune'`"),
        ({"lr": 0.0}, "`lr"),
        ({"lr": float("nan")}, "`lr"),
        ({"epochs": 0}, "`epochs"),
        ({"batch_size": 0}, "`batch_size"),
        ({"image_size": 0}, "`image_size"),
        ({"workers": 0}, "`workers"),
        ({"precision_target": 0.0}, "`precision"),
        ({"precision_target": 1.01}, "`precision"),
        ({"label_smoothing": 1.0}, "`label_smoothing"),
        ({"weight_decay": -0.1}, "`weight_decay"),
        ({"folds": 1}, "folds"),
        ({"taps": (-1,)}, "`taps"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_name_of_the_option(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TrainRequest(**{"dataset": "d.parquet", "output": "bundle", **wrong})


def test_defaults_depend_on_the_mode() -> None:
    frozen, tuned = TrainRequest("d", "o"), TrainRequest("d", "o", mode="finetune", lr=0.5)
    assert (frozen.learning_rate, frozen.epoch_count) == (LEARNING_RATES["frozen"], EPOCHS["frozen"])
    assert (tuned.learning_rate, tuned.epoch_count) == (0.5, EPOCHS["finetune"])


def test_cnn3_may_be_frozen_once_it_has_learned_something() -> None:
    TrainRequest("d", "o", backbone="cnn3", init_from="bundle")
    TrainRequest("d", "o", backbone="cnn3", weights="cnn3.safetensors")


def test_lists_of_the_command_line() -> None:
    assert parse_taps("1,2, 3") == (1, 2, 3)
    assert parse_taps(None) == ()
    with pytest.raises(UsageError, match="`taps"):
        parse_taps("a")


@pytest.mark.parametrize("task", ["format", "status", "embedding", "metadata", "image_id", "error_code", "style_score"])
def test_a_task_named_like_a_column_is_refused_with_the_names_that_are_taken(task: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be a task.*NAME=COLUMN.*Taken are"):
        CurateRequest(("labels.csv",), None, "dataset.parquet", (task, "style"))


def test_any_other_name_of_a_column_is_made_one_of_a_task() -> None:
    assert name_tasks(["Object Name", "genre", "kind=Format", "19th c.", "\u6750\u8cea"]) == {
        "object_name": "Object Name",
        "genre": "genre",
        "kind": "Format",
        "task_19th_c": "19th c.",
        "task_5": "\u6750\u8cea",
    }
