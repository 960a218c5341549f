"""Vision transformers of timm as backbones, with random weights: DINOv2, DINOv3 and SigLIP."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from artylyze.models.backbones import load_backbone
from artylyze.models.build import features_bundle
from artylyze.models.runtimes import CpuRuntime, TorchRuntime

TOWERS = {
    "vit_small_patch14_dinov2": (518, (0.485, 0.456, 0.406), 56),
    "vit_small_patch16_dinov3": (256, (0.485, 0.456, 0.406), 64),
    "vit_base_patch32_siglip_256": (256, (0.5, 0.5, 0.5), 64),
}


@pytest.mark.parametrize("name", TOWERS)
def test_a_tower_has_its_own_size_and_normalisation(name: str) -> None:
    size, mean, _ = TOWERS[name]
    torch.manual_seed(0)
    backbone = load_backbone(name, pretrained=False)
    assert (backbone.preprocessing.size, backbone.preprocessing.mean) == (size, mean)
    assert backbone.dim == backbone.feature_dim == timm.create_model(name, num_classes=0).num_features


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TOWERS if "small" in name])
def test_a_tower_is_the_same_in_both_runtimes(name: str) -> None:
    size = TOWERS[name][2]
    torch.manual_seed(0)
    bundle = features_bundle(load_backbone(name, pretrained=False, size=size))
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    onnx, reference = CpuRuntime(bundle).run(pixels), TorchRuntime(bundle, "cpu", "float32").run(pixels)
    gap = np.abs(onnx.embedding - reference.embedding).max()
    assert gap < 1e-5
    assert np.abs(onnx.embedding[0] - onnx.embedding[1]).max() > 10 * gap  # their layers begin scaled by 1e-5
