"""The section about the study, from what study.py measured; `python benchmarks/report.py` writes it into docs/."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.report import markdown

STUDY = {"genre": (0.64, 12), "style": (0.51, 13)}
"""Accuracy and number of classes in the study, on other data, split at random."""

NETWORKS = {
    "mobilenet": "MobileNet",
    "densenet121": "DenseNet121",
    "vgg16": "VGG16",
    "lite0": "EfficientNet-Lite0",
    "lite1": "EfficientNet-Lite1",
    "lite2": "EfficientNet-Lite2",
}
SCRATCH = "cnn3"
NAMES = {SCRATCH: "three-layer CNN"} | {
    f"{key}-{mode}": f"{name}, {'frozen' if mode == 'frozen' else 'fine-tuned'}"
    for key, name in NETWORKS.items()
    for mode in ("frozen", "finetune")
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


def best(rows: Sequence[Row], contestant: str) -> Row | None:
    """The row of a contestant with the best cross-validated accuracy, if any: the test split chooses nothing."""
    mine = [row for row in rows if row["contestant"] == contestant]
    return max(mine, key=lambda row: row["held_out"]["accuracy"], default=None)


def verdicts(task: str, rows: Sequence[Row]) -> Iterator[str]:
    """Sentences on where the study's order holds: any network over the one from scratch, fine-tuned over frozen."""
    scratch = best(rows, SCRATCH)
    for network in NETWORKS:
        frozen, tuned = (best(rows, f"{network}-{mode}") for mode in ("frozen", "finetune"))
        for row in (frozen, tuned):
            if row is not None and scratch is not None:
                pair = f"{NAMES[row['contestant']]} over {NAMES[SCRATCH]}"
                difference, found = compare(row, scratch)
                yield f"{task}, {pair}: the order of the study {ORDER[found]} ({_points(difference)})."
        if frozen is not None and tuned is not None:
            difference, found = compare(tuned, frozen)
            pair = f"{NETWORKS[network]} fine-tuned over frozen"
            yield f"{task}, {pair}: {AMONG[found]} ({_points(difference)})."


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points"


def section(result: Mapping[str, Any]) -> str:
    """The Markdown of the tables, the figures of each class, the verdicts and what was not run."""
    settings = result["settings"]
    parts = [
        f"Both sets of paintings at {settings['pixels']} pixels, with those of the study's classes that have works by "
        "two artists, no artist on both sides of the split; figures of the test part. Where a whole network is "
        "trained, a fifth of what it could learn from is held out, and chooses the epoch. Of several learning rates "
        "the one with the best cross-validated accuracy on the training part is compared below: the test part chooses "
        "nothing. The study's own figures come from other images and a random split: they are no yardstick for these, "
        "only its order of networks is asked about."
    ]
    for task, found in result["tasks"].items():
        train, test = found["train"], found["test"]
        accuracy, classes = STUDY[task]
        absent = f"; without works by two artists: {', '.join(found['absent'])}" if found["absent"] else ""
        parts.append(
            f"**{task}**: {train['images']:,} images to learn from, {test['images']:,} to judge by "
            f"({len(train['classes'])} classes{absent}). The study: accuracy {accuracy:.2f} on {classes} classes."
        )
        parts.append(markdown(HEADINGS, [_cells(row) for row in found["rows"]]))
        parts.append("\n".join(f"- {sentence}" for sentence in verdicts(task, found["rows"])))
        parts.append(f"F1 of each class of {task}, at each network's best rate, with its test images:")
        parts.append(_classes(found["rows"]))
        if found["not_run"]:
            parts.append(f"Not run for {task}:")
            parts.append("\n".join(f"- {NAMES[name]}: {why}." for name, why in found["not_run"].items()))
    return "\n\n".join(parts)


def _cells(row: Row) -> list[str]:
    figures = [f"{row['test'][name]:.3f}" for name in FIGURES]
    return [NAMES[row["contestant"]], f"{row['learning_rate']:g}", str(row["epochs"]), *figures]


def _classes(rows: Sequence[Row]) -> str:
    """A line for each class, the one known best on top."""
    judged = {row["contestant"]: row["classes"] for row in rows if "classes" in row}
    counts = {term: each["images"] for classes in judged.values() for term, each in classes.items()}
    means = {term: sum(classes[term]["f1"] for classes in judged.values()) / len(judged) for term in counts}
    lines = [
        [f"{term} ({counts[term]:,})", *(f"{classes[term]['f1']:.2f}" for classes in judged.values())]
        for term in sorted(counts, key=lambda term: -means[term])
    ]
    return markdown(["", *(NAMES[name] for name in judged)], lines)
