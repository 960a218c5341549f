"""The three-layer CNN that studies compare with: small, and trained from scratch.

The network of TensorFlow's tutorial on image classification (tensorflow.org/tutorials/images/classification), without
its last layer: three blocks of convolution and max-pooling, dropout, a dense layer. It has the interface of timm's
models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from artylyze.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "cnn3"
_SIZE, _CHANNELS, _DIM, _DROPOUT = 180, (16, 32, 64), 128, 0.2
_LEAST = 2 ** len(_CHANNELS)  # pixels a side that leave one after the last pooling


class Cnn3(nn.Module):
    """float32 (n, 3, size, size), 0 to 1, -> (n, 128): the input of the study's classifier. Random weights."""

    def __init__(self, size: int | None = None) -> None:
        super().__init__()
        size = size or _SIZE
        if size < _LEAST:
            raise InputError(f"{NAME} cannot take images of {size} pixels a side: use {_SIZE}.")
        self.pretrained_cfg: dict[str, Any] = {
            "input_size": (3, size, size),
            "mean": (0.0, 0.0, 0.0),
            "std": (1.0, 1.0, 1.0),
        }
        self.feature_info = [
            {"num_chs": channels, "reduction": 2 ** (stage + 1), "module": f"blocks.{stage}"}
            for stage, channels in enumerate(_CHANNELS)
        ]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
            for before, channels in zip((3, *_CHANNELS), _CHANNELS, strict=False)
        )
        self.dropout = nn.Dropout(_DROPOUT)
        self.dense = nn.Linear(_CHANNELS[-1] * (size // _LEAST) ** 2, _DIM)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features of the dense layer."""
        return self.forward_head(self.forward_intermediates(images)[0])

    def forward_intermediates(
        self, images: torch.Tensor, indices: Sequence[int] = ()
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the outputs of the last block, and of the blocks `indices`."""
        outputs = []
        for index, block in enumerate(self.blocks):
            images = block(images)
            if index in indices:
                outputs.append(images)
        return images, outputs

    def forward_head(self, final: torch.Tensor) -> torch.Tensor:
        """Apply the dense layer to the output of the last block."""
        features: torch.Tensor = torch.relu(self.dense(self.dropout(final).flatten(1)))
        return features
