from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from artylyze.errors import ArtylyzeError, InputError
from artylyze.models.folder import load
from artylyze.models.scores import probabilities
from artylyze.training.bundling import CURVES, calibrated, check_equal, check_folder, measured, write
from artylyze.training.calibration import FLAG_ALL
from artylyze.training.learned import Scored

TERMS = ("landscape", "portrait", "still life")


def guesses(count: int = 300, sure: float = 3.0) -> Scored:
    """Answers that are more often right the surer they are."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, count)
    strength = random.random(count) * sure
    logits = random.normal(size=(count, 3)) + strength[:, None] * np.eye(3)[labels]
    return Scored(logits.astype(np.float32), labels)


def test_what_is_not_flagged_meets_the_precision_on_held_out_images() -> None:
    held_out = guesses()
    task = calibrated("genre", TERMS, held_out, 0.9)
    scores = probabilities(held_out.logits, task.temperature)
    kept = scores.max(axis=1) >= task.review_threshold
    assert 0 < kept.sum() < 300
    assert (scores.argmax(axis=1) == held_out.labels)[kept].mean() >= 0.9


def test_everything_is_flagged_where_no_threshold_meets_the_precision() -> None:
    nonsense = Scored(guesses(sure=0).logits, np.random.default_rng(1).integers(0, 3, 300))
    assert calibrated("genre", TERMS, nonsense, 0.99).review_threshold == FLAG_ALL


def test_classes_that_nothing_taught_change_neither_temperature_nor_threshold() -> None:
    held_out = guesses()
    lost = np.full((90, 3), -9.0, np.float32)
    lost[:, 0] = 9  # sure, and wrong
    together = Scored(
        np.concatenate([held_out.logits, lost]), np.concatenate([held_out.labels, np.full(90, 3)]), untaught=(3,)
    )
    together = replace(together, logits=np.pad(together.logits, ((0, 0), (0, 1)), constant_values=-20))
    known = replace(together, logits=together.logits[:300], labels=together.labels[:300])
    terms = (*TERMS, "interior")
    task = calibrated("genre", terms, together, 0.8)
    assert task == calibrated("genre", terms, known, 0.8)
    figures = measured(task, {"held_out": together})["held_out"]
    assert figures["n"] == 300
    assert figures["not_measurable"] == {"interior": 90}
    assert figures["accuracy"] == measured(task, {"held_out": replace(known, untaught=())})["held_out"]["accuracy"]
    assert [row["recall"] for row in figures["per_class"]][3] is None


def test_where_nothing_is_measurable_there_are_no_figures_and_everything_is_flagged() -> None:
    held_out = Scored(np.eye(3, dtype=np.float32) * 9, np.arange(3), untaught=(0, 1, 2))
    task = calibrated("genre", TERMS, held_out, 0.85)
    assert (task.temperature, task.review_threshold) == (1.0, FLAG_ALL)
    figures = measured(task, {"held_out": held_out})["held_out"]
    assert (figures["n"], figures["accuracy"], figures["f1"]) == (0, None, None)
    assert figures["not_measurable"] == dict.fromkeys(TERMS, 1)


def test_a_threshold_is_not_chosen_by_eight_images() -> None:
    few = Scored(np.eye(3, dtype=np.float32)[np.arange(8) % 3] * 9, np.arange(8) % 3)
    assert calibrated("genre", TERMS, few, 0.85).review_threshold == FLAG_ALL


def test_a_training_that_diverged_is_refused() -> None:
    held_out = guesses()
    broken = replace(held_out, logits=np.where(held_out.labels[:, None] == 1, np.nan, held_out.logits))
    with pytest.raises(InputError, match=r"genre diverged: .* `lr`"):
        calibrated("genre", TERMS, broken, 0.9)


def test_metrics_of_each_part() -> None:
    task = calibrated("genre", TERMS, guesses(), 0.9)
    found = measured(task, {"held_out": guesses(), "test": guesses(30)})
    assert found["test"]["n"] == 30
    assert found["held_out"]["unflagged"]["accuracy"] >= 0.9
    assert [one["term"] for one in found["test"]["per_class"]] == list(TERMS)


def test_both_runtimes_agree(model: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    assert check_equal(load(model), pixels) < 1e-4


def test_an_export_that_is_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    from artylyze.models.build import build_bundle
    from artylyze.models.network import build_backbone

    bundle = load(model)
    heads = {
        task.name: (np.ones((len(task.terms), bundle.feature_dim)), np.arange(len(task.terms), dtype=float))
        for task in bundle.tasks
    }
    other = build_bundle(build_backbone(bundle), bundle.tasks, heads)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    with pytest.raises(ArtylyzeError, match="differs from the trained one"):
        check_equal(replace(bundle, onnx=other.onnx), pixels)


def test_a_folder_appears_whole_with_its_curves(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "bundle"
    check_folder(folder)
    write(folder, load(model), {CURVES: b"picture"})
    assert (folder / "curves.png").read_bytes() == b"picture"
    assert load(folder).model_id == load(model).model_id
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_a_folder_that_holds_something_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        check_folder(tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        check_folder(tmp_path / "note.txt" / "bundle")
