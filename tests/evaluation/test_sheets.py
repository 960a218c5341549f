"""Which images come onto which sheet, and what is written below them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from artylyze.drawing.contact_sheet import TILE
from artylyze.evaluation.predictions import Answers
from artylyze.evaluation.sheets import CLASSES, COLUMNS, MISTAKES, Sheet, draw_sheets, plan_sheets
from artylyze.models.bundle import Task
from artylyze.training.metrics import scores_of


def answers(labels: list[int], said: list[int], scores: list[float], terms: int = 3) -> Answers:
    table = np.zeros((len(labels), terms), np.float32)
    table[np.arange(len(labels)), said] = scores
    task = Task("genre", tuple(f"term {number}" for number in range(terms)))
    return Answers(task, table, np.array(labels), {})


def planned(found: Answers) -> dict[str, Sheet]:
    return plan_sheets(found, scores_of(found.scores, found.labels, found.task.terms))


def test_mistakes_come_by_their_score() -> None:
    found = planned(answers([0, 0, 1, 1, -1], [0, 1, 0, 2, 2], [0.9, 0.4, 0.8, 0.6, 1.0]))
    assert found["mistakes"].rows == [2, 3, 1]
    assert "the 3 most certain mistakes of 4 images" in found["mistakes"].title


def test_one_mistake_is_not_mistakes() -> None:
    found = planned(answers([0, 0, 1, 1], [0, 1, 1, 1], [0.9, 0.4, 0.8, 0.6]))
    assert "the only mistake of 4 images" in found["mistakes"].title


def test_the_best_show_what_was_right_and_the_worst_what_was_wrong() -> None:
    found = planned(answers([0, 0, 1, 1, 1], [0, 0, 1, 0, 2], [0.7, 0.9, 0.99, 0.5, 0.6]))
    blank = [None] * COLUMNS
    assert found["best"].rows == [1, 0, *blank[2:]]
    assert found["worst"].rows == [4, 3, 2, *blank[3:]]


def test_without_mistakes_there_is_no_sheet_of_them() -> None:
    found = planned(answers([0, 1, 2], [0, 1, 2], [0.9, 0.9, 0.9]))
    assert set(found) == {"best", "worst"}
    assert set(planned(answers([1, 1], [1, 1], [0.9, 0.9]))) == {"best"}


@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(2, 14))
def test_a_sheet_has_rows_of_one_class_and_no_class_is_best_and_worst(seed: int, count: int, terms: int) -> None:
    random = np.random.default_rng(seed)
    labels, said = random.integers(0, terms, (2, count))
    found = answers(labels.tolist(), said.tolist(), random.uniform(0.1, 1, count).tolist(), terms)
    sheets = planned(found)
    classes = {}
    for name in {"best", "worst"} & set(sheets):
        rows = sheets[name].rows
        assert len(rows) % COLUMNS == 0
        strips = [rows[start : start + COLUMNS] for start in range(0, len(rows), COLUMNS)]
        shown = [{int(labels[row]) for row in strip if row is not None} for strip in strips]
        assert all(len(one) == 1 for one in shown)
        classes[name] = set.union(*shown)
        assert len(classes[name]) == len(shown) <= CLASSES
    assert not classes.get("best", set()) & classes.get("worst", set())
    assert ("mistakes" in sheets) == bool((labels != said).any())
    assert len(sheets["mistakes"].rows if "mistakes" in sheets else ()) <= MISTAKES


@pytest.fixture
def table(tmp_path: Path) -> pa.Table:
    for number, colour in enumerate(("red", "green")):
        Image.new("RGB", (200, 100), colour).save(tmp_path / f"{number}.png")
    uris = [*(str(tmp_path / f"{number}.png") for number in range(2)), str(tmp_path / "gone.png")]
    nothing = pa.nulls(3)
    return pa.table(
        {
            "record_id": ["a", "<i>b</i>", "c"],
            "uri": uris,
            "validator": nothing.cast(pa.string()),
            "size": nothing.cast(pa.int64()),
        }
    )


def test_an_image_that_has_gone_is_a_grey_field(table: pa.Table) -> None:
    found = answers([0, 1, 1], [0, 1, 0], [0.9, 0.9, 0.9])
    sheets = {"one": Sheet("a sheet", [0, None, 2, 1])}
    pixels = np.asarray(draw_sheets(sheets, found, table)["one"])
    red, green, grey = ((pixels == colour).all(axis=2).sum() for colour in ([255, 0, 0], [0, 128, 0], [214] * 3))
    assert red == green > TILE * TILE // 2 * 0.9
    assert grey > TILE * TILE * 0.9
