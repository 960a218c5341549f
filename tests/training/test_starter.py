"""The starter's heads: linear in the features as they are, and judged on works by artists they did not learn from."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from artylyze.datasets.folds import DISJOINT, RANDOM, SOURCES
from artylyze.models.bundle import Task
from artylyze.training.calibration import FLAG_ALL
from artylyze.training.learned import Scored
from artylyze.training.starter import ABSENT, TASKS, cross_validate, fit, with_wide_thresholds

COUNT, WIDTH, CLASSES, ARTISTS = 240, 12, 3, 24


@pytest.fixture
def works() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_]]:
    """Features in which class and artist can both be seen, far from 0 and on different scales."""
    random = np.random.default_rng(0)
    artists = random.integers(0, ARTISTS, COUNT)
    labels = artists % CLASSES
    features = random.normal(size=(COUNT, WIDTH)) + 3 * np.eye(CLASSES, WIDTH)[labels]
    features += 2 * random.normal(size=(ARTISTS, WIDTH))[artists] * (np.arange(WIDTH) >= CLASSES)
    return (100 + features * np.geomspace(0.1, 10, WIDTH)).astype(np.float32), labels, artists.astype(str)


@pytest.mark.parametrize("task", TASKS)
def test_a_head_tells_classes_by_features_as_they_are(
    task: str, works: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_]]
) -> None:
    features, labels, groups = works
    head = fit(task, features, labels, groups, CLASSES)
    assert (head.logits(features).argmax(1) == labels).mean() > 0.8
    centred = head.logits(features).mean(axis=0)
    assert np.abs(centred).max() < 20  # the shift of 100 is taken back by the bias


@pytest.mark.parametrize("task", TASKS)
def test_a_class_that_has_no_image_is_never_the_answer(
    task: str, works: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_]]
) -> None:
    features, labels, groups = works
    kept = labels != 1
    head = fit(task, features[kept], labels[kept], groups[kept], CLASSES)
    assert head.bias[1] == ABSENT
    assert not (head.logits(features).argmax(1) == 1).any()


def test_each_kind_of_split_is_judged_and_every_image_is_held_out_once(
    works: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_]],
) -> None:
    features, labels, groups = works
    sources = np.array([f"source {int(artist) // CLASSES % 4}" for artist in groups])
    figures, held_out = cross_validate("genre", features, labels, groups, sources, ["a", "b", "c"])
    assert list(figures) == [DISJOINT, SOURCES, RANDOM]
    assert figures[SOURCES]["n"] == COUNT
    assert [row["term"] for row in figures[SOURCES]["per_class"]] == ["a", "b", "c"]
    assert held_out.logits.shape == (COUNT, CLASSES)
    assert np.isfinite(held_out.logits).all()
    pooled = (held_out.logits.argmax(1) == labels).mean()
    assert figures[DISJOINT]["accuracy"]["mean"] == pytest.approx(pooled, abs=0.05)
    # An artist can be recognised, so a random split flatters.
    assert figures[RANDOM]["accuracy"]["mean"] > figures[DISJOINT]["accuracy"]["mean"]


def test_a_class_by_few_artists_needs_a_score_that_is_sure_for_its_own_answers() -> None:
    labels, groups = np.repeat([0, 1, 2], 200), np.array([str(n % 10 if n < 400 else 10) for n in range(600)])
    logits = 5 * np.eye(3, dtype=np.float32)[labels]
    logits[200:400, 2] = 12  # all works of the second class are taken for the third, which one artist painted
    task = Task("style", ("many", "mistaken", "few"), review_threshold=0.4)
    assert with_wide_thresholds(task, Scored(logits, labels), groups).term_thresholds == {"few": FLAG_ALL}
    logits[200:400, 2] = 0
    (sure,) = with_wide_thresholds(task, Scored(logits, labels), groups).term_thresholds.values()
    assert 0.4 < sure < FLAG_ALL
