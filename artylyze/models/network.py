"""The torch side of a model: a backbone, linear heads, and the normalisation before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import safetensors.torch
import torch

from artylyze.errors import InputError
from artylyze.models.backbones import Backbone, create_module, measured
from artylyze.models.taps import extract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from artylyze.models.bundle import Bundle, Preprocessing


class Network(torch.nn.Module):
    """uint8 (n, 3, size, size) -> float32 embedding and, for each head in order, float32 logits (n, terms).

    The heads act on all features; the embedding is the first `embedding_dim` of them (None: all). The backbone runs in
    the dtype it has; the heads and what leaves the network are float32, because a softmax over bfloat16 logits has
    steps of half a percent.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        backbone: torch.nn.Module,
        heads: Sequence[torch.nn.Linear],
        preprocessing: Preprocessing,
        *,
        taps: Sequence[int] = (),
        embedding_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.taps, self.embedding_dim = tuple(taps), embedding_dim
        self.heads = torch.nn.ModuleList(heads)
        mean = torch.tensor(preprocessing.mean, dtype=torch.float64)
        std = torch.tensor(preprocessing.std, dtype=torch.float64)
        # (pixel / 255 - mean) / std as one multiplication and one addition.
        self.register_buffer("scale", (1 / (255 * std)).float().view(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).float().view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The embedding, then the logits of each head."""
        dtype = next(self.backbone.parameters()).dtype
        normalised = (pixels.float() * self.scale + self.shift).to(dtype)
        features = extract(self.backbone, normalised, self.taps)
        return (features[:, : self.embedding_dim], *(head(features) for head in self.heads))


def network_of(bundle: Bundle) -> Network:
    """The network that `bundle.tensors` describes, float32, on the CPU, in evaluation mode."""
    tensors = safetensors.torch.load(bundle.tensors)
    heads = [linear(tensors[f"heads.{task.name}.weight"], tensors[f"heads.{task.name}.bias"]) for task in bundle.tasks]
    # A slice that keeps everything would still be a step of the exported graph.
    dim = bundle.embedding_dim if bundle.embedding_dim < bundle.feature_dim else None
    return Network(_module(bundle, tensors), heads, bundle.preprocessing, taps=bundle.taps, embedding_dim=dim).eval()


def backbone_of(bundle: Bundle) -> Backbone:
    """The backbone that `bundle.tensors` holds, to train on or to put other heads on.

    Raises InputError where the bundle was cut down by `for_device`.
    """
    if not bundle.tensors:
        raise InputError("the bundle was cut down for the CPU; load the whole one")
    module = _module(bundle, safetensors.torch.load(bundle.tensors))
    return measured(bundle.backbone, module, bundle.preprocessing, bundle.taps)


def linear(weight: torch.Tensor, bias: torch.Tensor) -> torch.nn.Linear:
    """A linear layer with these values: weight (terms, features), bias (terms,)."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def _module(bundle: Bundle, tensors: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    module = create_module(bundle.backbone, bundle.preprocessing.size)
    module.load_state_dict(
        {name.removeprefix("backbone."): tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    )
    return module
