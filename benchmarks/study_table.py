"""The section about the study, from what study.py measured; `python benchmarks/report.py` writes it into docs/."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.report import markdown

STUDY = {"genre": (0.64, 12), "style": (0.51, 13)}
"""Accuracy and number of classes in the study, on other data, split at random."""

NAMES = {
    "cnn3": "three-layer CNN",
    "frozen": "EfficientNet-Lite0, frozen",
    "finetune": "EfficientNet-Lite0, fine-tuned",
}
HEADINGS = ["", "learning rate", "epochs", "accuracy", "precision", "recall", "F1", "top-5"]
FIGURES = ("accuracy", "precision", "recall", "f1", "top5")

ORDER = {"above": "holds", "below": "does not hold", "level": "cannot be told, chance explains the difference"}
AMONG = {"above": "better", "below": "worse", "level": "level, chance explains the difference"}

SURE = 1.96
"""Standard errors that a difference must exceed, for chance to make one so large in less than 1 of 20 cases."""

Row = Mapping[str, Any]


def compare(first: Row, second: Row) -> tuple[float, str]:
    """The difference of two rows' test accuracies, and `above`, `below` or, where chance explains it, `level`.

    Both answered the same images, which makes the difference surer than two independent ones: the error is too large
    rather than too small.
    """
    shares = [(row["test"]["accuracy"], row["test"]["n"]) for row in (first, second)]
    difference = shares[0][0] - shares[1][0]
    error = math.sqrt(sum(share * (1 - share) / count for share, count in shares))
    if abs(difference) <= SURE * error:
        return difference, "level"
    return difference, "above" if difference > 0 else "below"


def best(rows: Sequence[Row], contestant: str) -> Row:
    """The row of a contestant with the best cross-validated accuracy: the test split chooses nothing."""
    return max((row for row in rows if row["contestant"] == contestant), key=lambda row: row["held_out"]["accuracy"])


def verdicts(task: str, rows: Sequence[Row]) -> Iterator[str]:
    """Sentences on where the study's order holds."""
    scratch = best(rows, "cnn3")
    for name in ("frozen", "finetune"):
        difference, found = compare(best(rows, name), scratch)
        pair = f"{NAMES[name]} over {NAMES['cnn3']}"
        yield f"{task}, {pair}: the order of the study {ORDER[found]} ({_points(difference)})."
    difference, found = compare(best(rows, "finetune"), best(rows, "frozen"))
    yield f"{task}, fine-tuned over frozen: {AMONG[found]} ({_points(difference)})."


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points"


def section(result: Mapping[str, Any]) -> str:
    """The Markdown of the tables and the verdicts."""
    settings = result["settings"]
    parts = [
        f"Our paintings at {settings['pixels']} pixels, no artist on both sides of the split; figures of the test "
        "part. Where a whole network is trained, a fifth of what it could learn from is held out, and chooses the "
        "epoch. Of several learning rates the one with the best cross-validated accuracy on the training part is "
        "compared below: the test part chooses nothing. The study's own figures come from other images, other classes "
        "and a random split: they are no yardstick for these, only its order of networks is asked about. MobileNet, "
        "DenseNet121 and VGG16 are not ranked: their ImageNet weights could not be had here."
    ]
    for task, found in result["tasks"].items():
        train, test = found["train"], found["test"]
        accuracy, classes = STUDY[task]
        parts.append(
            f"**{task}**: {train['images']:,} images to learn from, {test['images']:,} to judge by "
            f"({len(train['classes'])} classes). The study: accuracy {accuracy:.2f} on {classes} classes."
        )
        parts.append(markdown(HEADINGS, [_cells(row) for row in found["rows"]]))
        parts.append("\n".join(f"- {sentence}" for sentence in verdicts(task, found["rows"])))
    return "\n\n".join(parts)


def _cells(row: Row) -> list[str]:
    figures = [f"{row['test'][name]:.3f}" for name in FIGURES]
    return [NAMES[row["contestant"]], f"{row['learning_rate']:g}", str(row["epochs"]), *figures]
