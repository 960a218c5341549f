"""Bundles that the tests share. The small one has timm's own test architecture and random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from artylyze.models.backbones import Backbone, load_backbone
from artylyze.models.build import build_bundle
from artylyze.models.bundle import Bundle, Task
from artylyze.models.resolve import EMBEDDINGS_ONLY, resolve_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

# "type" and "keys" are names that torch's own containers cannot hold.
TASKS = (
    Task("type", ("painting", "drawing", "print"), temperature=1.7, review_threshold=0.4),
    Task("keys", ("Impressionism", "Ukiyo-e"), temperature=0.8, review_threshold=0.6),
)


@pytest.fixture(scope="session")
def small_backbone() -> Backbone:
    torch.manual_seed(0)
    return load_backbone("test_efficientnet", pretrained=False, size=64)


@pytest.fixture(scope="session")
def small_bundle(small_backbone: Backbone) -> Bundle:
    heads = random_heads(small_backbone)
    return build_bundle(small_backbone, TASKS, heads, training_data="abc", metrics={"type": {"f1": 0.5}})


@pytest.fixture(scope="session")
def tapped_backbone() -> Backbone:
    torch.manual_seed(0)
    return load_backbone("test_efficientnet", pretrained=False, size=64, taps=(1, 3))


@pytest.fixture(scope="session")
def tapped_bundle(tapped_backbone: Backbone) -> Bundle:
    """Its heads act on all features, its embedding is the pooled ones."""
    return build_bundle(tapped_backbone, TASKS, random_heads(tapped_backbone), training={"mode": "frozen"})


@pytest.fixture(scope="session")
def offline_bundle() -> Bundle:
    return resolve_model(EMBEDDINGS_ONLY)


def random_heads(backbone: Backbone) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    random = np.random.default_rng(0)
    return {
        task.name: (random.normal(size=(len(task.terms), backbone.feature_dim)), random.normal(size=len(task.terms)))
        for task in TASKS
    }
