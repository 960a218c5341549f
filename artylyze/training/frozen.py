"""Frozen mode: features once, then heads. Every training image is held out once, and the test split always."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import safetensors.torch

from artylyze.datasets.examples import check_classes
from artylyze.datasets.folds import cut_folds
from artylyze.extraction.cached import embed, features_folder
from artylyze.models.build import features_bundle
from artylyze.models.cache import cached
from artylyze.models.folder import load
from artylyze.models.runtimes import resolve_device
from artylyze.training.heads import HeadSettings, cross_fit
from artylyze.training.learned import Learned, Scored
from artylyze.training.outside import fit_outside
from artylyze.training.start import starting_backbone, text_encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.datasets.examples import Examples
    from artylyze.extraction.cached import Features
    from artylyze.models.backbones import Backbone
    from artylyze.models.bundle import Bundle
    from artylyze.progress import Watcher
    from artylyze.training.heads import Head
    from artylyze.training.request import TrainRequest


def head_settings(request: TrainRequest) -> HeadSettings:
    """How `request` wants heads to be trained."""
    return HeadSettings(
        learning_rate=request.learning_rate,
        epochs=request.epoch_count,
        batch_size=request.batch_size,
        weight_decay=request.weight_decay,
        label_smoothing=request.label_smoothing,
        seed=request.seed,
        device=resolve_device(request.device),
    )


def learn_frozen(request: TrainRequest, examples: Examples, watcher: Watcher) -> Learned:
    """Embed the images of `examples`, and train heads on their features.

    Raises InputError where no image can be read, or a task loses all but one of its classes.
    """
    return learn_many(request, examples, watcher, [request.learning_rate])[0]


def learn_many(request: TrainRequest, examples: Examples, watcher: Watcher, rates: Sequence[float]) -> list[Learned]:
    """Do the same for several learning rates, in place of that of `request`, in one pass; one result for each."""
    settings = head_settings(request)
    backbone, rows = starting_backbone(request), examples.labelled
    flatters, encoder = _flatters(request.init_from), text_encoder(request)
    bundle = _kept_bundle(backbone)
    watcher.start(len(rows), 0, "Embedding")
    features = embed(
        examples.table.take(rows),
        bundle,
        device=settings.device,
        augment=request.augment,
        cache=features_folder(),
        advance=lambda count: watcher.advance(count, 0),
    )
    read = rows[features.rows]
    check_classes(examples, read)
    heads: list[dict[str, Head]] = [{} for _ in rates]
    held_out: list[dict[str, Scored]] = [{} for _ in rates]
    curves: list[dict[str, list[float]]] = [{} for _ in rates]
    methods: dict[str, str] = {}
    for task, terms in examples.tasks.items():
        labels = np.where(examples.train[read], examples.labels[task][read], -1)
        mine = np.flatnonzero(labels >= 0)
        watcher.say(f"Training the head of {task}: {len(mine):,} images, {len(terms)} classes.")
        folds = cut_folds(labels[mine], examples.groups[read[mine]], request.folds, request.seed)
        for warning in folds.warnings:
            watcher.say(f"{task}: {warning}")
        fitted = cross_fit(features.matrix, labels, len(terms), settings, rates, folds.held_out, varied=features.varied)
        methods[task] = folds.method
        for place, result in enumerate(fitted):
            heads[place][task] = result.head
            held_out[place][task] = Scored(result.logits, labels[mine], result.untaught)
            curves[place] |= {f"{task} {series}": values for series, values in result.curves.items()}
    mine = np.flatnonzero(examples.train[read])
    outside = fit_outside(features.matrix[mine], examples.groups[read[mine]], request.seed)
    return [
        Learned(
            backbone=backbone,
            heads=of_rate,
            curves=drawn,
            held_out=logits,
            test=scored(examples, features, rows, of_rate, train=False),
            failed=features.failed,
            counts={task: examples.counts(task, examples.of(task, read, train=True)) for task in examples.tasks},
            about={"held_out": methods, "augment": request.augment, "class_balance": settings.balance} | encoder,
            outside=outside,
            flatters=flatters,
        )
        for of_rate, drawn, logits in zip(heads, curves, held_out, strict=True)
    ]


def _flatters(folder: str | None) -> str | None:
    """Why cross-validation may be too good with the backbone of a bundle: what was fine-tuned remembers its images."""
    if folder is None or load(folder).training.get("mode") != "finetune":
        return None
    return f"the backbone of {folder} was fine-tuned, perhaps on these images"


def _kept_bundle(backbone: Backbone) -> Bundle:
    """The features bundle of `backbone`, kept: exporting it takes longer than a second training does."""
    tensors = {name: tensor.contiguous() for name, tensor in backbone.module.state_dict().items()}
    ingredients = {
        "features": backbone.name,
        "preprocessing": asdict(backbone.preprocessing),
        "taps": backbone.taps,
        "tensors": hashlib.sha256(safetensors.torch.save(tensors)).hexdigest(),
    }
    return cached(f"features-{backbone.name}", ingredients, lambda: features_bundle(backbone))


def scored(
    examples: Examples, features: Features, rows: NDArray[np.int64], heads: Mapping[str, Head], *, train: bool
) -> dict[str, Scored]:
    """What `heads` say about those of the table's `rows`, which `features` are of, that are in the train or test split.

    A task without labelled images among them is left out.
    """
    read, scores = rows[features.rows], {}
    for task, head in heads.items():
        asked = np.isin(read, examples.of(task, read, train=train))
        if asked.any():
            scores[task] = Scored(head.logits(features.matrix[asked]), examples.labels[task][read[asked]])
    return scores
