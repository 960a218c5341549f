from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import safetensors.torch
import torch

from artylyze.errors import InputError
from artylyze.models.backbones import create_module, load_backbone
from artylyze.models.resolve import resolve_model

if TYPE_CHECKING:
    from pathlib import Path


def test_it_takes_values_from_0_to_1_at_180_pixels() -> None:
    preprocessing = load_backbone("cnn3").preprocessing

    assert (preprocessing.size, preprocessing.mean, preprocessing.std) == (180, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_its_layers_are_those_of_the_baseline() -> None:
    layers = [type(layer).__name__ for layer in create_module("cnn3").modules() if not list(layer.children())]

    assert layers == ["Conv2d", "ReLU", "MaxPool2d"] * 3 + ["Dropout", "Linear"]


@pytest.mark.parametrize("size", [8, 64, 180, 183])
def test_any_size_that_leaves_something_after_three_poolings_will_do(size: int) -> None:
    backbone = load_backbone("cnn3", pretrained=False, size=size)

    assert backbone.module(torch.rand(2, 3, size, size)).shape == (2, backbone.dim)


def test_a_smaller_one_is_refused() -> None:
    with pytest.raises(InputError, match="cannot take images of 7 pixels a side: use 180"):
        load_backbone("cnn3", size=7)


def test_dropout_acts_in_training_only() -> None:
    module, image = create_module("cnn3", 32), torch.rand(1, 3, 32, 32)

    assert torch.equal(module(image), module(image))
    module.train()
    assert not torch.equal(module(image), module(image))


def test_it_learns_from_nothing() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(create_module("cnn3", 32), torch.nn.Linear(128, 2)).train()
    images, labels = torch.rand(16, 3, 32, 32), torch.arange(16) % 2
    images[labels == 1, 0] *= 0.2  # the second class has little red
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)

    losses = []
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < losses[0] / 4


def test_trained_weights_come_from_a_file(tmp_path: Path) -> None:
    trained = create_module("cnn3", 32).state_dict()
    safetensors.torch.save_file(trained, tmp_path / "cnn3.safetensors")

    loaded = load_backbone("cnn3", weights=tmp_path / "cnn3.safetensors", size=32).module.state_dict()

    assert all(torch.equal(loaded[name], tensor) for name, tensor in trained.items())


def test_without_weights_it_is_no_model_to_tag_with() -> None:
    with pytest.raises(InputError, match=r"cnn3 has no published weights.*train it first"):
        resolve_model("timm:cnn3")


def test_a_misspelled_name_is_answered_with_it() -> None:
    with pytest.raises(InputError, match="cnn3"):
        load_backbone("cnn_3")
