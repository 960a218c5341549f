"""Backbone + heads -> bundle."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch

from artylyze.errors import InputError
from artylyze.models.bundle import Bundle, Task, model_id
from artylyze.models.export import export_onnx
from artylyze.models.network import network_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from artylyze.models.backbones import Backbone

    Head = tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]


def build_bundle(
    backbone: Backbone,
    tasks: Sequence[Task] = (),
    heads: Mapping[str, Head] | None = None,
    *,
    training_data: str | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Bundle:
    """The bundle of `backbone` as it now is; `heads[task.name]` is weight (terms, dim), bias (terms,), for each task.

    `training_data` is the digest of what the heads saw, `metrics` JSON values. Raises InputError where a head is
    missing, unknown, or of a shape that does not fit its task.
    """
    heads = heads or {}
    if set(heads) != {task.name for task in tasks}:
        raise InputError(f"there are heads for {sorted(heads)} and tasks {sorted(task.name for task in tasks)}")
    tensors = {f"backbone.{name}": tensor.detach().cpu() for name, tensor in backbone.module.state_dict().items()}
    for name, (weight, bias) in heads.items():
        tensors[f"heads.{name}.weight"] = torch.from_numpy(np.array(weight, dtype=np.float32))
        tensors[f"heads.{name}.bias"] = torch.from_numpy(np.array(bias, dtype=np.float32))
    # Copies: safetensors refuses tensors that share memory or have gaps.
    stored = safetensors.torch.save({name: tensor.clone().contiguous() for name, tensor in tensors.items()})
    bundle = Bundle(
        model_id=model_id(backbone.name, backbone.preprocessing, tasks, stored),
        backbone=backbone.name,
        preprocessing=backbone.preprocessing,
        embedding_dim=backbone.dim,
        tasks=tuple(tasks),
        tensors=stored,
        onnx=b"",
        training_data=training_data,
        metrics=dict(metrics or {}),
    )
    # Built anew from what is stored: the two files cannot disagree, and the caller's module may live on a GPU.
    graph = export_onnx(network_of(bundle), backbone.preprocessing, [task.name for task in tasks])
    return replace(bundle, onnx=graph)
