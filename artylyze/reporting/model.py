"""The report's part on a model: what it is, how it learned, how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from artylyze.errors import InputError
from artylyze.models.card import notes_on
from artylyze.models.folder import load
from artylyze.reporting.content import Figures, Model, facts, figure, plot
from artylyze.storage import open_store
from artylyze.storage.nearest import did_you_mean

_FIGURES = {
    "n": "images",
    "accuracy": "accuracy",
    "precision": "macro precision",
    "recall": "macro recall",
    "f1": "macro F1",
    "top5": "top-5",
    "ece": "calibration error (ECE)",
    "accuracy_at_80": "accuracy, most certain 80 %",
}
_PICTURES = {
    "confusion.png": "confusion matrix: labels in rows, answers in columns",
    "reliability.png": "reliability diagram: accuracy against score",
}


def model(bundle: str | None, evaluation: str | None) -> Model | None:
    """Describe a bundle and an evaluation of it; None where neither is given.

    Raises InputError for a folder that is neither.
    """
    if bundle is None and evaluation is None:
        return None
    described, figures, pictures, notes = None, [], [], []
    if bundle is not None:
        loaded = load(bundle)
        training = [(name, loaded.training.get(name)) for name in ("mode", "learning_rate", "epochs", "seed")]
        described = facts(
            "The model",
            [
                ("bundle", bundle),
                ("model", loaded.model_id),
                ("backbone", loaded.backbone),
                *((f"terms of {task.name}", task.terms) for task in loaded.tasks),
                *training,
            ],
        )
        measured = {task: splits for task, splits in loaded.metrics.items() if _splits(splits)}
        figures += [_of_training(task, splits) for task, splits in measured.items()]
        notes += [
            f"{task}, as measured in training: {note}" for task, splits in measured.items() for note in notes_on(splits)
        ]
        curves = plot(bundle, "curves.png", "Training curves: loss and accuracy of each epoch")
        pictures += [curves] if curves else []
    if evaluation is not None:
        found = _read(evaluation)
        notes += [str(note) for note in found.get("notes", ())]
        for task, of_task in found["tasks"].items():
            figures.append(_of_evaluation(task, of_task, str(found.get("kind", "images"))))
            drawn = (plot(evaluation, f"{task}-{name}", f"{task}, {what}") for name, what in _PICTURES.items())
            pictures += [one for one in drawn if one is not None]
    return Model(described, tuple(figures), tuple(pictures), tuple(notes))


def _read(evaluation: str) -> dict[str, Any]:
    data = open_store(evaluation).read("metrics.json")
    if data is None:
        raise InputError(
            f"There is no evaluation in {evaluation}.{did_you_mean(evaluation)} Make one with `artylyze evaluate`."
        )
    try:
        found: dict[str, Any] = json.loads(data)
        found["tasks"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{evaluation}/metrics.json is not an evaluation ({error}).") from error
    return found


def _splits(metrics: object) -> bool:
    return isinstance(metrics, Mapping) and bool(metrics) and all(isinstance(one, Mapping) for one in metrics.values())


def _of_training(task: str, metrics: Mapping[str, Mapping[str, Any]]) -> Figures:
    rows = _rows(list(metrics.values()))
    return Figures(f"{task}, as measured in training", ("figure", *(name.replace("_", " ") for name in metrics)), rows)


def _of_evaluation(task: str, measured: Mapping[str, Any], kind: str) -> Figures:
    sides = [one for one in measured.get("splits", ()) if isinstance(one, Mapping)]
    columns = [*({"n": side.get("images"), **side.get("mean", {})} for side in sides), measured]
    names = [*(str(side.get("name")) for side in sides), "the bundle"]
    return Figures(f"{task}, evaluated on {kind}", ("figure", *names), _rows(columns))


def _rows(columns: list[Mapping[str, Any]]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (label, *(figure(column.get(name)) for column in columns))
        for name, label in _FIGURES.items()
        if any(column.get(name) is not None for column in columns)
    )
