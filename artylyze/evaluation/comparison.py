"""How much of a score is the artists: the same figures with no artist on both sides, and on a random split.

For a frozen backbone, heads are fitted again in folds cut both ways: its features know nothing of the labels. A
fine-tuned backbone has learned from its training images, so there the test images are compared instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from artylyze.datasets.folds import DISJOINT, RANDOM, SOURCES, cut_folds, cut_sources
from artylyze.evaluation.predictions import Answers, known_labels
from artylyze.models.scores import probabilities, thresholds
from artylyze.training.heads import HeadSettings, cross_fit
from artylyze.training.metrics import Kept, TaskMetrics, scores_of, unflagged

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from artylyze.extraction.cached import Features
    from artylyze.models.bundle import Bundle, Task

FIGURES = ("accuracy", "precision", "recall", "f1", "top5", "ece", "accuracy_at_80", "unflagged", "unflagged_accuracy")


@dataclass(frozen=True)
class Side:
    """One way to split: mean and standard deviation over the folds, or the figures of one part (spread None).

    Attributes:
        name: what it is.
        images: that were judged.
        mean: by figure; a figure that could not be computed is absent.
        spread: standard deviation over the folds.
        folds: their number, 0 for one part.
        not_measurable: classes with images that are not judged, because the head that would judge them had nothing to
            learn the class from, and how many.
    """

    name: str
    images: int
    mean: Mapping[str, float]
    spread: Mapping[str, float] | None = None
    folds: int = 0
    not_measurable: Mapping[str, int] = field(default_factory=dict)


def refit(
    features: Features,
    table: pa.Table,
    bundle: Bundle,
    task: Task,
    folds: int,
    device: str,
    say: Callable[[str], None],
) -> tuple[list[Side], list[str]]:
    """Fit the head of a task again in folds, as `bundle.training` says: artists apart, sources too, and at random.

    `features` are those of `table`; temperature and threshold are the bundle's. Returns those ways that can be
    had, and what to know of them.
    """
    classes, _ = known_labels(table.take(features.rows), task)
    known = np.flatnonzero(classes >= 0)
    labels, judged = classes[known], table.take(features.rows[known])
    groups, sources = groups_of(judged), judged.column("source")
    settings = settings_of(bundle.training, device)
    cuts, sides, notes = {}, [], []
    if (artists := len(np.unique(groups))) < folds:
        notes.append(f"{task.name}: {artists} artists are too few for {folds} artist-disjoint folds.")
    else:
        cuts[DISJOINT] = cut_folds(labels, groups, folds, seed=0)
    if len(sources.unique()) > 1:
        cuts[SOURCES] = cut_sources(labels, groups, np.array(sources.fill_null("").to_pylist(), str), folds)
    cuts[RANDOM] = cut_folds(labels, np.full(len(known), "all"), folds, seed=0)
    for name, cut in cuts.items():
        say(f"Fitting {task.name} in {len(cut.held_out)} folds, {name}")
        (fitted,) = cross_fit(
            features.matrix,
            classes,
            len(task.terms),
            settings,
            [settings.learning_rate],
            cut.held_out,
            left_out=cut.left_out,
            varied=features.varied,
        )
        scores, taught = probabilities(fitted.logits, task.temperature), cut.measurable(labels)
        measurable = [held[taught[held]] for held in cut.held_out]
        figures = [_of(scores[held], labels[held], task)[1] for held in measurable if len(held)]
        counts = {task.terms[code]: int((~taught & (labels == code)).sum()) for code in np.unique(labels[~taught])}
        sides.append(replace(_over_folds(name, figures, sum(map(len, measurable)), counts), folds=len(cut.held_out)))
        if counts:
            named = ", ".join(f"{term} ({count:,})" for term, count in counts.items())
            notes.append(
                f"{task.name}, {name}: not measurable, with the number of images: {named}. While they are held out no "
                "image of their class is left to learn from."
            )
        notes += [f"{task.name}, {name}: {note}" for note in cut.warnings] if name == DISJOINT else []
    return sides, notes


def apart(answers: Answers, groups: Sequence[str | None], training: set[str | None]) -> list[Side]:
    """Tell test images by artists who are not in the training images from those by artists who are."""
    artists = np.array([group in training for group in groups], bool)
    nobody = np.array([group is None for group in groups], bool)
    parts = {
        "artists not in training": ~artists & ~nobody,
        "artists in training": artists & ~nobody,
        "artist unknown": nobody,
    }
    sides = []
    for name, part in parts.items():
        if (answers.labels[part] >= 0).any():
            images, figures = _of(answers.scores[part], answers.labels[part], answers.task)
            sides.append(Side(name, images, figures))
    return sides


def review_of(scores: NDArray[np.float32], labels: NDArray[np.int64], task: Task) -> Kept:
    """Return what the review threshold of a task leaves to the machine, of the images that have a label."""
    known = labels >= 0
    best = scores[known].argmax(axis=1)
    return unflagged(scores[known].max(axis=1), best == labels[known], thresholds(task)[best])


def figures_of(metrics: TaskMetrics, review: Kept) -> dict[str, float]:
    """Return the figures of `FIGURES`; `unflagged_accuracy` is absent where all images are flagged."""
    figures = {name: value for name, value in metrics.summary().items() if name != "n"}
    figures |= {"accuracy_at_80": metrics.at_coverage(0.8), "unflagged": review.coverage}
    return figures if review.accuracy is None else figures | {"unflagged_accuracy": review.accuracy}


def groups_of(table: pa.Table) -> NDArray[np.str_]:
    """Return the artist of each row, str (rows,); where none is known, its record stands for one."""
    rows = zip(table.column("group").to_pylist(), table.column("record_id").to_pylist(), strict=True)
    return np.array([f"record {record}" if group is None else f"artist {group}" for group, record in rows], str)


def settings_of(training: Mapping[str, Any], device: str = "cpu") -> HeadSettings:
    """Return the settings that heads were trained with; what a bundle does not tell is as by default."""
    named = {**training, "balance": training["class_balance"]} if "class_balance" in training else training
    known = {setting.name: named[setting.name] for setting in fields(HeadSettings) if setting.name in named}
    return HeadSettings(**{**known, "device": device})


def _of(scores: NDArray[np.float32], labels: NDArray[np.int64], task: Task) -> tuple[int, dict[str, float]]:
    metrics = scores_of(scores, labels, task.terms)
    return metrics.n, figures_of(metrics, review_of(scores, labels, task))


def _over_folds(
    name: str, figures: Sequence[Mapping[str, float]], images: int, not_measurable: Mapping[str, int]
) -> Side:
    shared = [name for name in FIGURES if figures and all(name in fold for fold in figures)]
    values = {name: [fold[name] for fold in figures] for name in shared}
    mean = {figure: float(np.mean(each)) for figure, each in values.items()}
    spread = {figure: float(np.std(each, ddof=min(1, len(each) - 1))) for figure, each in values.items()}
    return Side(name, images, mean, spread, not_measurable=not_measurable)


def training_groups(table: pa.Table) -> set[str | None]:
    """Return the artists of a dataset's training rows."""
    return set(table.filter(pc.equal(table.column("split"), "train")).column("group").to_pylist())
