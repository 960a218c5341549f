"""A tiny CLIP model of random weights in a folder, as open_clip saves one."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import safetensors.torch
import torch

MEAN, STD = (0.4, 0.5, 0.6), (0.25, 0.3, 0.2)
CONFIG = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def write_clip(folder: Path) -> Path:
    """Write the model, and return its folder."""
    folder.mkdir()
    torch.manual_seed(0)
    tensors = open_clip.CLIP(**CONFIG).state_dict()
    safetensors.torch.save_file(tensors, folder / "open_clip_model.safetensors")
    described = {"model_cfg": CONFIG, "preprocess_cfg": {"mean": MEAN, "std": STD}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    return folder
