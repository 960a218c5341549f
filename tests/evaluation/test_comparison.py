"""What the two kinds of split tell apart, on features whose secret is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from artylyze.errors import UsageError
from artylyze.evaluation.comparison import Side, apart, groups_of, refit, settings_of
from artylyze.evaluation.predictions import Answers
from artylyze.extraction.cached import Features
from artylyze.models.bundle import Bundle, Preprocessing, Task

TERMS = ("Baroque", "Cubism", "Rococo")
TASK = Task("style", TERMS, review_threshold=0.5)
ARTISTS, EACH = 24, 8
BUNDLE = Bundle(
    model_id="m",
    backbone="none",
    preprocessing=Preprocessing(8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    embedding_dim=ARTISTS,
    feature_dim=ARTISTS,
    tasks=(TASK,),
    tensors=b"",
    onnx=b"",
    training={"mode": "frozen", "learning_rate": 0.05, "epochs": 20},
)


def works(artist_of: NDArray[np.int64], style_of: NDArray[np.int64]) -> pa.Table:
    count = len(artist_of)
    return pa.table(
        {
            "image_id": [f"{number:03d}" for number in range(count)],
            "record_id": [f"r{number // 2}" for number in range(count)],
            "group": [f"artist {number}" for number in artist_of],
            "source": pa.nulls(count, pa.string()),
            "style": [TERMS[number] for number in style_of],
        }
    )


def sides_of(matrix: NDArray[np.float32], table: pa.Table, folds: int = 4) -> tuple[dict[str, Side], list[str]]:
    features = Features(matrix, np.arange(len(matrix)), {})
    sides, notes = refit(features, table, BUNDLE, TASK, folds, "cpu", lambda _: None)
    return {side.name: side for side in sides}, notes


def test_features_that_know_the_hand_and_not_the_style_shine_at_random_only() -> None:
    artists = np.repeat(np.arange(ARTISTS), EACH)
    hands = np.eye(ARTISTS, dtype=np.float32)[artists]
    sides, _ = sides_of(hands, works(artists, artists % 3))
    assert list(sides) == ["artist-disjoint", "random"]
    assert sides["random"].mean["accuracy"] == pytest.approx(1)
    assert sides["artist-disjoint"].mean["accuracy"] < 0.5


def test_features_that_know_the_style_are_as_good_either_way() -> None:
    artists = np.repeat(np.arange(ARTISTS), EACH)
    styles = np.eye(ARTISTS, dtype=np.float32)[artists % 3]
    sides, _ = sides_of(styles, works(artists, artists % 3))
    assert {side.mean["accuracy"] for side in sides.values()} == {1.0}
    assert {side.images for side in sides.values()} == {ARTISTS * EACH}
    assert all(side.spread is not None and side.spread["accuracy"] == 0 for side in sides.values())


def test_features_that_know_the_source_fail_on_other_sources() -> None:
    artists = np.repeat(np.arange(ARTISTS), EACH)
    sources = artists % 6  # a style has two sources each
    table = works(artists, sources % 3)
    table = table.set_column(table.column_names.index("source"), "source", pa.array([f"s{n}" for n in sources]))
    sides, _ = sides_of(np.eye(ARTISTS, dtype=np.float32)[sources], table)
    assert list(sides) == ["artist-disjoint", "artist- and source-disjoint", "random"]
    assert sides["artist-disjoint"].mean["accuracy"] == pytest.approx(1)
    assert sides["artist- and source-disjoint"].mean["accuracy"] < 0.5


def test_too_few_artists_leave_the_random_split_and_a_note() -> None:
    artists = np.repeat(np.arange(3), EACH)
    styles = np.eye(ARTISTS, dtype=np.float32)[artists]
    sides, notes = sides_of(styles, works(artists, artists))
    assert list(sides) == ["random"]
    assert notes == ["style: 3 artists are too few for 4 artist-disjoint folds."]


def test_a_class_that_lies_whole_in_a_fold_is_not_measurable() -> None:
    artists = np.repeat(np.arange(ARTISTS), EACH)
    styles = np.where(artists == 5, 2, artists % 2)
    table = works(artists, styles)
    sides, notes = sides_of(np.eye(3, ARTISTS, dtype=np.float32)[styles], table)
    assert sides["artist-disjoint"].not_measurable == {"Rococo": EACH}
    assert sides["artist-disjoint"].images == (ARTISTS - 1) * EACH
    assert sides["artist-disjoint"].mean["accuracy"] == 1
    assert sides["random"].not_measurable == {}
    assert any("artist-disjoint: not measurable, with the number of images: Rococo (8)." in note for note in notes)


@pytest.mark.parametrize("classes", [3, 1])
def test_labels_of_noise_are_no_better_than_chance_either_way(classes: int) -> None:
    random = np.random.default_rng(0)
    artists = np.repeat(np.arange(ARTISTS), EACH)
    styles = random.integers(0, 3, ARTISTS)[artists] if classes == 1 else random.integers(0, 3, ARTISTS * EACH)
    sides, _ = sides_of(random.normal(size=(len(artists), 200)).astype(np.float32), works(artists, styles))
    for name in ["artist-disjoint", "random"] if classes == 3 else ["artist-disjoint"]:
        images, chance = sides[name].images, np.bincount(styles).max() / len(styles)
        assert sides[name].mean["accuracy"] * images <= binom.ppf(1 - 1e-6, images, chance)


def test_images_that_were_not_read_and_labels_that_are_unknown_are_left_out() -> None:
    artists = np.repeat(np.arange(ARTISTS), EACH)
    table = works(artists, artists % 3)
    table = table.set_column(4, "style", pa.array(["Dada", None, *table.column("style").to_pylist()[2:]]))
    rows = np.arange(len(artists))[:-3]
    features = Features(np.eye(ARTISTS, dtype=np.float32)[artists % 3][rows], rows, {"189": "missing"})
    sides, _ = refit(features, table, BUNDLE, TASK, 4, "cpu", lambda _: None)
    assert {side.images for side in sides} == {ARTISTS * EACH - 5}


def test_where_no_artist_is_known_a_record_is_kept_together() -> None:
    table = works(np.zeros(4, np.int64), np.zeros(4, np.int64))
    table = table.set_column(2, "group", pa.array(["monet", None, None, None]))
    groups = groups_of(table)
    assert groups[0] == "artist monet"
    assert groups[2] == groups[3] != groups[1]


def test_the_heads_are_fitted_as_the_bundle_says() -> None:
    told = {
        "learning_rate": 0.02,
        "epochs": 7,
        "label_smoothing": 0.1,
        "class_balance": 0.0,
        "mode": "frozen",
        "seed": 3,
    }
    found = settings_of(told)
    assert (found.learning_rate, found.epochs, found.label_smoothing, found.balance, found.seed) == (0.02, 7, 0.1, 0, 3)
    with pytest.raises(UsageError):
        settings_of({**told, "learning_rate": -1.0})


def answers(labels: list[int], right: list[bool]) -> Answers:
    best = [label if fine else (label + 1) % 3 for label, fine in zip(labels, right, strict=True)]
    scores = np.where(np.eye(3)[best] == 1, 0.8, 0.1).astype(np.float32)
    return Answers(TASK, scores, np.array(labels), {})


def test_test_images_are_told_apart_by_whether_training_knew_the_artist() -> None:
    found = answers([0, 1, 2, 0, 1], [True, True, False, True, False])
    sides = apart(found, ["new", "known", "known", None, "new"], {"known", "other", None})
    figures = {side.name: (side.images, side.mean["accuracy"]) for side in sides}
    assert figures == {
        "artists not in training": (2, 0.5),
        "artists in training": (2, 0.5),
        "artist unknown": (1, 1.0),
    }
    assert [side.folds for side in sides] == [0, 0, 0]


def test_a_part_without_images_is_absent_and_one_that_is_all_flagged_has_no_accuracy_of_the_rest() -> None:
    found = answers([0, 1], [True, True])
    (side,) = apart(found, ["new", "new"], set())
    assert side.mean["unflagged_accuracy"] == 1
    (side,) = apart(replace(found, task=replace(TASK, review_threshold=1.0)), ["new", "new"], set())
    assert side.mean["unflagged"] == 0
    assert "unflagged_accuracy" not in side.mean
