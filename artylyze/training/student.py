"""The network that fine-tuning trains: a backbone whose features are standardised, and a linear head for each task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from artylyze.models.backbones import Backbone
from artylyze.models.taps import extract
from artylyze.training.heads import Head, fold_standardisation


class Student(torch.nn.Module):
    """Normalised images (n, 3, size, size) -> float32 logits (n, classes) of each task, in the order of `sizes`.

    Args:
        backbone: the beginning; its module is trained, not a copy.
        sizes: number of classes of each task.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: Backbone, sizes: Sequence[int]) -> None:
        super().__init__()
        self._described = backbone
        self.sizes, self.preprocessing = tuple(sizes), backbone.preprocessing
        self.backbone = backbone.module
        self.heads = torch.nn.ModuleList(torch.nn.Linear(backbone.feature_dim, size) for size in sizes)
        self.register_buffer("mean", torch.zeros(backbone.feature_dim))
        self.register_buffer("std", torch.ones(backbone.feature_dim))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The logits of each task."""
        features = self.features(images)
        with torch.autocast(images.device.type, enabled=False):  # a softmax over bfloat16 logits has coarse steps
            standard = (features - self.mean) / self.std
            return [head(standard) for head in self.heads]

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """All features of the backbone, float32 (n, F), not standardised."""
        return extract(self.backbone, images, self._described.taps)

    def standardise(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Let heads see features with this mean and standard deviation, (F,), as if they were 0 and 1."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6 * mean.abs() + 1e-6, std, torch.ones_like(std)))

    def learning(self, *, frozen_norms: bool) -> None:
        """Go into training mode; with `frozen_norms` batch norms keep the statistics that they came with."""
        self.train()
        if frozen_norms:
            for module in self.backbone.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def trained(self) -> tuple[Backbone, list[Head]]:
        """The backbone, on the CPU in evaluation mode, and the heads on its features as they are."""
        self.eval().cpu()
        mean, std = self.mean.numpy(), self.std.numpy()
        heads = [
            fold_standardisation(head.weight.detach().numpy(), head.bias.detach().numpy(), mean, std)
            for head in self.heads
            if isinstance(head, torch.nn.Linear)
        ]
        module = self.backbone.to(memory_format=torch.contiguous_format)
        return replace(self._described, module=module), heads
