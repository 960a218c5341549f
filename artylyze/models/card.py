"""CARD.md: what a bundle is, for the people who decide whether to use it. What nobody stated is left out.

Of a bundle's `training` (JSON) the card knows these; whatever else is in it becomes a row of the table of settings:

- `data`: a sentence, or a list of them: what the images are, where from, under which terms
- `images`: task -> term -> number of images that the head learned from
- `held_out`: task -> how the images were chosen that temperature and review threshold were fitted on
- `precision_target`: share of right answers that the review thresholds were chosen for
- `traps`, `intended_use`, `not_for`, `limits`, `notes`: lists of sentences

`metrics` is task -> split -> figures, or task -> figures: numbers, or {"mean": m, "spread": s} over folds, under the
names of `artylyze.training.metrics`. Splits come in the order of `_SPLITS`, then as the trainer gave them. `per_class`
(a list of figures with their `term`), `coverage`, `unflagged` ({"coverage": c, "accuracy": a}) and what `notes_on`
reads are known too; what has another form is printed as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from artylyze.models.outside import SHARE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from artylyze.models.bundle import Bundle, Task

_FIGURES = {
    "n": "images",
    "accuracy": "accuracy",
    "precision": "precision, macro",
    "recall": "recall, macro",
    "f1": "F1, macro",
    "top5": "top-5 accuracy",
    "ece": "expected calibration error",
    "accuracy_at_80": "accuracy, most certain 80%",
    "f1, all folds together": "F1, macro, all folds together",
    "ece, all folds together": "expected calibration error, all folds together",
}
_SPLITS = {  # the honest figures first
    "artist-disjoint": "artist-disjoint",
    "artist- and source-disjoint": "artist- and source-disjoint",
    "random": "random split",
    "test": "test split",
    "held_out": "held out of training",
}
_DETAILS = (  # what else metrics may hold of a split
    "per_class",
    "reliability",
    "coverage",
    "confusion",
    "unflagged",
    "well taught",
    "not_measurable",
    "flatters",
    "small_classes",
    "macro_without_small_classes",
)
_UNKNOWN = "not measurable"
_KNOWN = ("data", "images", "held_out", "precision_target", "traps", "intended_use", "not_for", "limits", "notes")
_SURE = 0.8  # the coverage of which the card tells the accuracy
_SETTING = 200  # characters; what is longer stays in bundle.json

_INTENDED = (
    "Suggestions that people check, and finding images in a collection that nobody has described yet. An image marked "
    "for review needs a person; one that is not marked may still be wrong.",
)
_NOT_FOR = (
    "Attribution, authentication, dating or valuation of a work.",
    "Statements about the people that an image shows.",
    "Replacing what a curator recorded.",
)
_CLOSED = "A score compares the terms of its task only: a work that is none of them still gets one."
_OUTSIDE = (
    f"An image that lies farther from those learned from than all but {SHARE:.0%} of held-out ones is tagged "
    "`none of these`. That finds what is no such picture, such as pages of text and textures, and some photographs; it "
    "does not find a picture of a kind that is like those learned from, such as another genre."
)
_MEASURED = (
    "The figures hold for images like those of the data: other media, periods, regions and ways of photographing were "
    "not measured."
)


def render_card(bundle: Bundle) -> str:
    """The model card of `bundle`, in Markdown."""
    metrics = {task.name: _splits(bundle.metrics.get(task.name)) for task in bundle.tasks}
    unknown = {name: value for name, value in bundle.metrics.items() if not metrics.get(name)}
    parts = [_head(bundle), *_data(bundle)]
    for task in bundle.tasks:
        parts += _task(task, metrics[task.name], bundle.training)
    if unknown:
        parts += ["## Other metrics", f"```json\n{json.dumps(unknown, indent=2, ensure_ascii=False)}\n```"]
    parts += _use(bundle) + _settings(bundle.training)
    return "\n\n".join(parts) + "\n"


def _head(bundle: Bundle) -> str:
    preprocessing, size = bundle.preprocessing, bundle.preprocessing.size
    stages = ", ".join(map(str, bundle.taps))
    places = "the means of three bands and of the centre, and the deviation"
    pooled = f": what it pools, then of each channel of its stages {stages} {places}"
    taps = pooled if stages else ""
    whole = bundle.embedding_dim == bundle.feature_dim
    lines = [
        f"# artylyze model {bundle.model_id}",
        "",
        f"- Answers: {', '.join(task.name for task in bundle.tasks) or 'none; it gives embeddings only'}",
        f"- Backbone: `{bundle.backbone}`, {bundle.feature_dim:,} features{taps}",
        f"- Embedding: {bundle.embedding_dim:,} numbers, {'all features' if whole else 'the pooled features'}",
        f"- Input: RGB squares of {size} x {size} pixels, 8 bits a channel",
        f"- Normalisation, inside the model: mean {preprocessing.mean}, std {preprocessing.std}",
    ]
    return "\n".join(lines)


def _data(bundle: Bundle) -> list[str]:
    sentences = _sentences(bundle.training.get("data"))
    if bundle.training_data is not None:
        sentences.append(f"Digest of the data set: `{bundle.training_data}`.")
    elif not bundle.training:
        sentences.append("No training is recorded: the weights are as they were given.")
    traps = _list("Known traps in the labels", bundle.training.get("traps"))
    return [*(["## Data", " ".join(sentences)] if sentences else []), *traps]


def _task(task: Task, splits: Mapping[str, Mapping[str, Any]], training: Mapping[str, Any]) -> list[str]:
    return [
        f"## {task.name}",
        _classes(task, splits, _of(training, "images", task) or {}),
        _scores(task, training),
        *([_figures(splits)] if splits else []),
        *notes_on(splits),
    ]


def notes_on(splits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sentences on what the figures of a task, by their split, do not say."""
    notes = []
    for split, figures in splits.items():
        if lost := figures.get("not_measurable"):
            named = ", ".join(f"{term} ({count:,})" for term, count in lost.items())
            notes.append(
                f"Not measurable, with the number of images {_SPLITS.get(split, split)}: {named}. All images of such a "
                "class are held out together, so that nothing teaches it then: they are in none of these figures."
            )
        if small := figures.get("small_classes"):
            named = ", ".join(f"{term} ({count:,})" for term, count in small.items())
            notes.append(
                f"Few images, {_SPLITS.get(split, split)}: {named}. Figures of such a class are uncertain, yet macro "
                "figures weigh it as much as any other."
            )
        if taught := figures.get("well taught"):
            accuracies = taught["accuracy"].items()
            compared = ", ".join(f"{_SPLITS.get(name, name)} {_number(value)}" for name, value in accuracies)
            notes.append(
                f"While a source is held out, few images of some classes are left. Accuracy on the {taught['n']:,} "
                f"images of whose class {taught['least']} were left to learn from: {compared}."
            )
        if reason := figures.get("flatters"):
            notes.append(f"The figures of images {_SPLITS.get(split, split)} flatter: {reason}.")
    return notes


def _scores(task: Task, training: Mapping[str, Any]) -> str:
    """What a score means, and when it is flagged."""
    held_out, target = _of(training, "held_out", task), training.get("precision_target")
    if task.temperature is None:
        return "Terms are ranked by their likeness to the image and have no scores. Every image is marked for review."
    sentences = [
        f"Scores are softmax(logits / {task.temperature:.4g}): the temperature is there so that of the answers with "
        "score 0.7 some 70% are right."
        if task.temperature != 1
        else "Scores are softmax(logits), not calibrated: a score need not say how often it is right.",
        f"An image whose best score lies below {task.review_threshold:.4g} is marked for review."
        if task.review_threshold > 0
        else "No image is marked for review.",
    ]
    if target is not None and task.review_threshold > 0:
        sentences.append(f"The aim: {target:.0%} of the answers above the threshold are right.")
    wide = ", ".join(f"{term} {threshold:.4g}" for term, threshold in task.term_thresholds.items())
    if wide:
        sentences.append(f"Answers of these terms need more: {wide} (1: all are marked).")
    if held_out is not None:
        sentences.append(f"Fitted on images held out of training: {held_out}.")
    return " ".join(sentences)


def _classes(task: Task, splits: Mapping[str, Mapping[str, Any]], counts: Mapping[str, int]) -> str:
    """The terms: a table where anything is known of each (of the first split that tells), else a sentence."""
    columns: dict[str, Mapping[str, Any]] = {"images in training": counts} if counts else {}
    split, figures = next(((split, figures) for split, figures in splits.items() if "per_class" in figures), ("", {}))
    for name in ("precision", "recall", "f1"):
        rows = [row for row in figures.get("per_class", ()) if name in row]
        values = {row["term"]: _UNKNOWN if row[name] is None else row[name] for row in rows}
        if values:
            columns[f"{name}, {split}" if split else name] = values
    if not columns:
        return f"Terms ({len(task.terms)}): {', '.join(task.terms)}."
    rows_of = ((term, *(_number(values.get(term)) for values in columns.values())) for term in task.terms)
    return _table(("term", *columns), rows_of)


def _figures(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """One column for each split; a row for each figure that any of them has."""
    rows = [
        (_FIGURES.get(name, name), *(_number(figures.get(name)) for figures in splits.values()))
        for name in dict.fromkeys([*_FIGURES, *(name for figures in splits.values() for name in figures)])
        if name not in _DETAILS and any(name in figures for figures in splits.values())
    ]
    sure = [_accuracy_at(figures.get("coverage", ()), _SURE) for figures in splits.values()]
    unflagged = [figures.get("unflagged", {}) for figures in splits.values()]
    for label, values in (
        (f"accuracy on the most certain {_SURE:.0%}", sure),
        ("share not marked for review", [kept.get("coverage") for kept in unflagged]),
        ("accuracy on those", [kept.get("accuracy") for kept in unflagged]),
    ):
        if any(value is not None for value in values):
            rows.append((label, *map(_number, values)))
    return _table(("figure", *(split or "measured" for split in splits)), rows)


def _use(bundle: Bundle) -> list[str]:
    training = bundle.training
    intended = _list("Intended use", [*_INTENDED, *_sentences(training.get("intended_use"))])
    not_for = _list("What it must not be used for", [*_NOT_FOR, *_sentences(training.get("not_for"))])
    closed = [_CLOSED, *([_OUTSIDE] if bundle.outside else [])]
    limits = _list("Limits", [*closed, *([_MEASURED] if bundle.metrics else []), *_sentences(training.get("limits"))])
    return [*(intended + not_for + limits if bundle.tasks else ()), *_list("Notes", training.get("notes"))]


def _settings(training: Mapping[str, Any]) -> list[str]:
    rows = [(name, _plain(value)) for name, value in training.items() if name not in _KNOWN and value is not None]
    return ["## How it was trained", _table(("setting", "value"), rows)] if rows else []


def _splits(measured: object) -> dict[str, Mapping[str, Any]]:
    """The figures of a task by the name of their split ("": the trainer named none), or nothing if they are not so."""
    if not (isinstance(measured, Mapping) and measured):
        return {}
    if measured.keys() & {*_FIGURES, *_DETAILS}:
        return {"": measured}
    if not all(isinstance(figures, Mapping) for figures in measured.values()):
        return {}
    ordered = sorted(measured, key=lambda split: list(_SPLITS).index(split) if split in _SPLITS else len(_SPLITS))
    return {_SPLITS.get(split, split): measured[split] for split in ordered}


def _accuracy_at(coverage: Sequence[Mapping[str, Any]], share: float) -> float | None:
    return next((kept.get("accuracy") for kept in coverage if abs(kept.get("coverage", 0) - share) < 1e-9), None)


def _of(training: Mapping[str, Any], name: str, task: Task) -> Any:
    value = training.get(name)
    return value.get(task.name) if isinstance(value, Mapping) else None


def _list(title: str, lines: str | Sequence[str] | None) -> list[str]:
    sentences = _sentences(lines)
    return [f"## {title}", "\n".join(f"- {line}" for line in sentences)] if sentences else []


def _sentences(lines: object) -> list[str]:
    if not lines:
        return []
    return (
        [lines] if isinstance(lines, str) else [str(line) for line in lines] if isinstance(lines, list | tuple) else []
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _number(value: object) -> str:
    if isinstance(value, Mapping) and "mean" in value:
        spread = value.get("spread")
        return _number(value["mean"]) + (f" ± {_number(spread)}" if spread is not None else "")
    if isinstance(value, float):
        return f"{value:.3f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SETTING else "see bundle.json"
