"""From a backbone and heads to a bundle."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch

from artylyze.errors import InputError
from artylyze.models.bundle import Bundle, Task, model_id
from artylyze.models.export import export_onnx
from artylyze.models.network import build_network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from artylyze.models.backbones import Backbone
    from artylyze.models.outside import Outside

    Head = tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]


def build_bundle(
    backbone: Backbone,
    tasks: Sequence[Task] = (),
    heads: Mapping[str, Head] | None = None,
    *,
    outside: Outside | None = None,
    training_data: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Bundle:
    """Return a bundle of `backbone` with a head for each task; the embedding is the pooled features.

    `heads[task.name]` is (weight (terms, backbone.feature_dim), bias (terms,)); `outside` acts on the same features;
    `training_data` is the digest of the training data; `metrics` and `training` are JSON values. Raises InputError for
    a head that is missing, unknown, or does not fit its task.
    """
    bundle = assemble(backbone, tasks, heads or {}, embedding_dim=backbone.dim, outside=outside)
    described = replace(bundle, training_data=training_data, metrics=dict(metrics or {}), training=dict(training or {}))
    return with_graph(described)


def features_bundle(backbone: Backbone) -> Bundle:
    """Return a bundle of `backbone` without tasks, whose embedding is all its features: heads are trained on them."""
    return with_graph(assemble(backbone, (), {}, embedding_dim=backbone.feature_dim))


def assemble(
    backbone: Backbone,
    tasks: Sequence[Task],
    heads: Mapping[str, Head],
    *,
    embedding_dim: int,
    outside: Outside | None = None,
) -> Bundle:
    """Return the bundle of `build_bundle` without its ONNX graph, for GPUs only. Raises the same errors."""
    if set(heads) != {task.name for task in tasks}:
        raise InputError(f"there are heads for {sorted(heads)}, not for {sorted(task.name for task in tasks)}")
    tensors = {f"backbone.{name}": tensor.detach().cpu() for name, tensor in backbone.module.state_dict().items()}
    for name, (weight, bias) in heads.items():
        tensors[f"heads.{name}.weight"] = torch.from_numpy(np.array(weight, dtype=np.float32))
        tensors[f"heads.{name}.bias"] = torch.from_numpy(np.array(bias, dtype=np.float32))
    if outside is not None:
        tensors |= {name: torch.from_numpy(np.array(tensor)) for name, tensor in outside.tensors().items()}
    # Copies: safetensors refuses tensors that share memory or have gaps.
    stored = safetensors.torch.save({name: tensor.clone().contiguous() for name, tensor in tensors.items()})
    identity = model_id(
        backbone.name, backbone.preprocessing, tasks, stored, embedding_dim=embedding_dim, taps=backbone.taps
    )
    return Bundle(
        model_id=identity,
        backbone=backbone.name,
        preprocessing=backbone.preprocessing,
        embedding_dim=embedding_dim,
        feature_dim=backbone.feature_dim,
        tasks=tuple(tasks),
        tensors=stored,
        onnx=b"",
        taps=backbone.taps,
        outside=outside is not None,
    )


def with_graph(bundle: Bundle) -> Bundle:
    """Return the bundle with its ONNX graph for CPUs, built from the stored tensors, so that the two agree."""
    graph = export_onnx(build_network(bundle), bundle.preprocessing, [task.name for task in bundle.tasks])
    return replace(bundle, onnx=graph)
