"""Where a training begins: the backbone with the weights it starts from, for both modes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from artylyze.errors import UsageError
from artylyze.models.backbones import OFFLINE_BACKBONE, Backbone, load_backbone, measured
from artylyze.models.folder import load
from artylyze.models.network import build_backbone

if TYPE_CHECKING:
    from artylyze.training.request import TrainRequest

STUDY_SIZE = 180
"""Side of the images that fine-tuning sees by default, pixels: that of the study this follows."""


def starting_backbone(request: TrainRequest) -> Backbone:
    """The backbone that `request` begins with: in evaluation mode, float32, on the CPU, at the size that it asks for.

    Raises InputError for weights or a bundle that cannot be used, UsageError for a bundle of another architecture.
    """
    torch.manual_seed(request.seed)  # weights that no file has are random: cnn3's
    if request.init_from is not None:
        return _of_bundle(request, request.init_from)
    size = request.image_size or (STUDY_SIZE if request.mode == "finetune" else None)
    weights = None if request.weights is None else Path(request.weights)
    return load_backbone(request.backbone or OFFLINE_BACKBONE, weights=weights, size=size, taps=request.taps)


def _of_bundle(request: TrainRequest, folder: str) -> Backbone:
    bundle = load(folder)
    if request.backbone not in (None, bundle.backbone):
        raise UsageError(
            f"The bundle {folder} has the backbone {bundle.backbone}, not {request.backbone}: "
            "give `init_from` alone, and its own is used."
        )
    before = build_backbone(bundle)
    wanted = replace(before.preprocessing, size=request.image_size or before.preprocessing.size)
    return measured(before.name, before.module, wanted, request.taps or before.taps)
