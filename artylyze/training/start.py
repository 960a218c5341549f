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
from artylyze.models.open_clip import PREFIX, resolve_reference
from artylyze.models.open_clip import load_backbone as load_vision_tower

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
    if request.backbone is not None and request.backbone.startswith(PREFIX):
        return _vision_tower(request, request.backbone)
    size = request.image_size or (STUDY_SIZE if request.mode == "finetune" else None)
    weights = None if request.weights is None else Path(request.weights)
    return load_backbone(request.backbone or OFFLINE_BACKBONE, weights=weights, size=size, taps=request.taps)


def text_encoder(request: TrainRequest) -> dict[str, str]:
    """Return what a bundle records of the text tower that goes with its backbone, if that stays as it is."""
    if request.init_from is not None:
        encoder = load(request.init_from).training.get("text_encoder")
        return {} if encoder is None else {"text_encoder": encoder}
    named = request.backbone is not None and request.backbone.startswith(PREFIX)
    return {"text_encoder": resolve_reference(str(request.backbone))} if named else {}


def _vision_tower(request: TrainRequest, reference: str) -> Backbone:
    if request.weights is not None or request.image_size is not None or request.taps:
        raise UsageError(
            f"{reference} has its own weights and image size, and no stages to tap: leave out `weights`, `image_size` "
            "and `taps`."
        )
    return load_vision_tower(resolve_reference(reference))


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
