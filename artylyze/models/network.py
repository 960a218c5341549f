"""The torch side of a model: a backbone, linear heads, and the normalisation before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import safetensors.torch
import torch

from artylyze.models.backbones import create_module

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artylyze.models.bundle import Bundle, Preprocessing


class Network(torch.nn.Module):
    """uint8 (n, 3, size, size) -> float32 embedding (n, dim) and, for each head in order, float32 logits (n, terms).

    The backbone runs in the dtype it has; the heads and what leaves the network are float32, because a softmax over
    bfloat16 logits has steps of half a percent.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self, backbone: torch.nn.Module, heads: Sequence[torch.nn.Linear], preprocessing: Preprocessing
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = torch.nn.ModuleList(heads)
        mean = torch.tensor(preprocessing.mean, dtype=torch.float64)
        std = torch.tensor(preprocessing.std, dtype=torch.float64)
        # (pixel / 255 - mean) / std as one multiplication and one addition.
        self.register_buffer("scale", (1 / (255 * std)).float().view(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).float().view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The embedding, then the logits of each head."""
        dtype = next(self.backbone.parameters()).dtype
        embedding = self.backbone((pixels.float() * self.scale + self.shift).to(dtype)).float()
        return (embedding, *(head(embedding) for head in self.heads))


def network_of(bundle: Bundle) -> Network:
    """The network that `bundle.tensors` describes, float32, on the CPU, in evaluation mode."""
    tensors = safetensors.torch.load(bundle.tensors)
    backbone = create_module(bundle.backbone, bundle.preprocessing.size)
    backbone.load_state_dict(
        {name.removeprefix("backbone."): tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    )
    heads = [linear(tensors[f"heads.{task.name}.weight"], tensors[f"heads.{task.name}.bias"]) for task in bundle.tasks]
    return Network(backbone, heads, bundle.preprocessing).eval()


def linear(weight: torch.Tensor, bias: torch.Tensor) -> torch.nn.Linear:
    """A linear layer with these values: weight (terms, dim), bias (terms,)."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer
