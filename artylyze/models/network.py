"""The torch side of a model: a backbone, linear heads, and the normalisation before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import safetensors.torch
import torch

from artylyze.errors import InputError
from artylyze.models.backbones import Backbone, create_module, measured
from artylyze.models.bundle import OUTSIDE
from artylyze.models.open_clip import PREFIX, create_vision_tower
from artylyze.models.taps import extract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from artylyze.models.bundle import Bundle, Preprocessing


class Network(torch.nn.Module):
    """uint8 (n, 3, size, size) -> float32 embedding and, for each head in order, float32 logits (n, terms).

    With `outside`, which takes all features, its float32 (n,) follows. The heads use all features; the embedding is the
    first `embedding_dim` of them (None: all). The backbone runs in its own dtype; heads and outputs are float32,
    because a softmax of bfloat16 logits has steps of half a percent.
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
        outside: torch.nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.taps, self.embedding_dim = tuple(taps), embedding_dim
        self.heads, self.outside = torch.nn.ModuleList(heads), outside
        mean = torch.tensor(preprocessing.mean, dtype=torch.float64)
        std = torch.tensor(preprocessing.std, dtype=torch.float64)
        # (pixel / 255 - mean) / std as one multiplication and one addition.
        self.register_buffer("scale", (1 / (255 * std)).float().view(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).float().view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the embedding, the logits of each head, and how far each image lies outside."""
        dtype = next(self.backbone.parameters()).dtype
        normalised = (pixels.float() * self.scale + self.shift).to(dtype)
        features = extract(self.backbone, normalised, self.taps)
        answers = [head(features) for head in self.heads] + ([] if self.outside is None else [self.outside(features)])
        return (features[:, : self.embedding_dim], *answers)


class OutsideLayer(torch.nn.Module):
    """Features (n, F) -> float32 (n,), as `artylyze.models.outside.Outside.distance` gives it."""

    mean: torch.Tensor
    scale: torch.Tensor
    components: torch.Tensor

    def __init__(self, mean: torch.Tensor, scale: torch.Tensor, components: torch.Tensor) -> None:
        super().__init__()
        for name, tensor in zip(OUTSIDE, (mean, scale, components), strict=True):
            self.register_buffer(name, tensor)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the distances."""
        standard = (features - self.mean) * self.scale
        rest = standard - standard @ self.components.T @ self.components
        return rest.square().sum(1).sqrt()


def build_network(bundle: Bundle) -> Network:
    """Return the network of `bundle.tensors`, float32, on the CPU, in evaluation mode."""
    tensors = safetensors.torch.load(bundle.tensors)
    heads = [linear(tensors[f"heads.{task.name}.weight"], tensors[f"heads.{task.name}.bias"]) for task in bundle.tasks]
    # Even a slice of everything would be a step of the exported graph.
    dim = bundle.embedding_dim if bundle.embedding_dim < bundle.feature_dim else None
    outside = OutsideLayer(*(tensors[f"outside.{name}"] for name in OUTSIDE)) if bundle.outside else None
    return Network(
        _module(bundle, tensors), heads, bundle.preprocessing, taps=bundle.taps, embedding_dim=dim, outside=outside
    ).eval()


def build_backbone(bundle: Bundle) -> Backbone:
    """Return the backbone of `bundle.tensors`, for further training or other heads.

    Raises InputError if the bundle was reduced by `for_device`.
    """
    if not bundle.tensors:
        raise InputError("the bundle was reduced for the CPU: load the complete one")
    module = _module(bundle, safetensors.torch.load(bundle.tensors))
    return measured(bundle.backbone, module, bundle.preprocessing, bundle.taps)


def linear(weight: torch.Tensor, bias: torch.Tensor) -> torch.nn.Linear:
    """Return a linear layer: weight (terms, features), bias (terms,)."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def _module(bundle: Bundle, tensors: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    create = create_vision_tower if bundle.backbone.startswith(PREFIX) else create_module
    module = create(bundle.backbone, bundle.preprocessing.size)
    module.load_state_dict(
        {name.removeprefix("backbone."): tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    )
    return module
