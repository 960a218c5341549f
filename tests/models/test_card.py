from __future__ import annotations

from typing import Any

from artylyze.models.bundle import Bundle, Preprocessing, Task
from artylyze.models.card import render_card

GENRE = Task("genre", ("portrait", "landscape"), temperature=1.25, review_threshold=0.55)


def card(*tasks: Task, taps: tuple[int, ...] = (), **described: Any) -> str:
    preprocessing = Preprocessing(224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return render_card(
        Bundle("0123456789abcdef", "net", preprocessing, 10, 10 + 4 * len(taps), tasks, b"", b"", taps, **described)
    )


def rows(text: str) -> list[list[str]]:
    """The cells of every table."""
    return [
        line.removeprefix("| ").removesuffix(" |").split(" | ") for line in text.splitlines() if line.startswith("| ")
    ]


def titles(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]


def test_it_says_what_the_model_is() -> None:
    text = card(GENRE, taps=(1, 3))

    assert text.startswith("# artylyze model 0123456789abcdef\n")
    for fact in ("Answers: genre", "`net`, 18 features", "stages 1, 3", "10 numbers, the pooled features", "224 x 224"):
        assert fact in text


def test_a_model_without_tasks_promises_embeddings_only() -> None:
    text = card()

    assert "embeddings only" in text
    assert "No training is recorded" in text
    assert titles(text) == ["# artylyze model 0123456789abcdef", "## Data"]


def test_nothing_is_invented() -> None:
    text = card(GENRE)

    assert titles(text) == [
        "# artylyze model 0123456789abcdef",
        "## Data",
        "## genre",
        "## Intended use",
        "## What it must not be used for",
        "## Limits",
    ]
    assert rows(text) == []
    assert "Terms (2): portrait, landscape." in text


def test_classes_come_with_their_counts_and_figures() -> None:
    per_class = [{"term": "landscape", "support": 9, "precision": 0.5, "recall": 0.25, "f1": 1 / 3}]

    text = card(
        GENRE,
        training={"images": {"genre": {"portrait": 1200, "landscape": 34}}},
        metrics={"genre": {"artist-disjoint": {"per_class": per_class}}},
    )

    assert rows(text)[:4] == [
        ["term", "images in training", *(f"{figure}, artist-disjoint" for figure in ("precision", "recall", "f1"))],
        ["---"] * 5,
        ["portrait", "1,200", "", "", ""],
        ["landscape", "34", "0.500", "0.250", "0.333"],
    ]


def test_splits_stand_side_by_side_the_artist_disjoint_one_first() -> None:
    metrics = {"genre": {"random": {"n": 3017, "accuracy": 0.75}, "artist-disjoint": {"accuracy": 0.7, "top5": 0.96}}}

    assert rows(card(GENRE, metrics=metrics)) == [
        ["figure", "artist-disjoint", "random split"],
        ["---"] * 3,
        ["images", "", "3,017"],
        ["accuracy", "0.700", "0.750"],
        ["top-5 accuracy", "0.960", ""],
    ]


def test_folds_give_a_mean_and_a_spread() -> None:
    metrics = {"genre": {"artist-disjoint": {"accuracy": {"mean": 0.7231, "spread": 0.0119}}}}

    assert ["accuracy", "0.723 ± 0.012"] in rows(card(GENRE, metrics=metrics))


def test_figures_without_a_split_are_shown_as_measured() -> None:
    assert rows(card(GENRE, metrics={"genre": {"f1": 0.5}}))[0] == ["figure", "measured"]


def test_the_card_tells_what_review_is_worth() -> None:
    figures = {
        "coverage": [{"coverage": 0.8, "accuracy": 0.81}, {"coverage": 1.0, "accuracy": 0.7}],
        "unflagged": {"coverage": 0.62, "accuracy": 0.86},
    }

    text = card(GENRE, metrics={"genre": {"test": figures}}, training={"precision_target": 0.85})

    assert "softmax(logits / 1.25)" in text
    assert "below 0.55 is marked for review. The aim: 85% of the answers above the threshold are right." in text
    assert rows(text)[2:] == [
        ["accuracy on the most certain 80%", "0.810"],
        ["share not marked for review", "0.620"],
        ["accuracy on those", "0.860"],
        *rows(text)[5:],
    ]


def test_scores_that_nobody_calibrated_are_said_to_be_so() -> None:
    text = card(Task("genre", ("portrait", "landscape")))

    assert "not calibrated" in text
    assert "No image is marked for review." in text


def test_the_trainers_sentences_and_settings_are_told() -> None:
    text = card(
        GENRE,
        training={
            "data": "3,017 paintings.",
            "held_out": {"genre": "5 folds, by artist"},
            "traps": ["Square means Baroque."],
            "not_for": ["Insurance."],
            "limits": ["Paintings only."],
            "notes": ["One.", "Two."],
            "mode": "frozen",
            "learning_rate": 0.001,
            "weights": None,
            "skipped": {"named": [f"image {number}" for number in range(100)]},
        },
        training_data="abc",
    )

    assert "3,017 paintings. Digest of the data set: `abc`." in text
    assert "held out of training: 5 folds, by artist." in text
    for line in ("Square means Baroque.", "Insurance.", "Paintings only.", "One.", "Two."):
        assert f"- {line}\n" in text
    assert rows(text)[-3:] == [["mode", "frozen"], ["learning_rate", "0.001"], ["skipped", "see bundle.json"]]


def test_metrics_of_another_form_are_printed_as_they_are() -> None:
    text = card(GENRE, metrics={"genre": 0.7, "seconds": 12})

    assert '"genre": 0.7' in text
    assert '"seconds": 12' in text


def test_a_bar_in_a_term_does_not_break_its_table() -> None:
    task = Task("type", ("recto | verso", "other"))

    assert "recto \\| verso" in card(task, training={"images": {"type": {"recto | verso": 3, "other": 4}}})


def test_what_cannot_be_measured_is_said_and_has_no_figure() -> None:
    row = {"term": "landscape", "support": 0, "precision": None, "recall": None, "f1": None}
    held_out = {"n": 0, "accuracy": None, "per_class": [row], "not_measurable": {"landscape": 46}, "flatters": "why"}
    text = card(GENRE, metrics={"genre": {"held_out": held_out}})

    assert ["landscape", *["not measurable"] * 3] in rows(text)
    assert "Not measurable, with the number of images held out of training: landscape (46)." in text
    assert "The figures of images held out of training flatter: why." in text
    assert "flatters" not in text
