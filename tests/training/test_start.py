from __future__ import annotations

from pathlib import Path

import pytest
import torch

from artylyze.errors import InputError, UsageError
from artylyze.models.folder import load
from artylyze.models.network import build_backbone
from artylyze.training.request import TrainRequest
from artylyze.training.start import STUDY_SIZE, starting_backbone


def test_training_begins_with_the_backbone_of_a_bundle(model: Path) -> None:
    backbone = starting_backbone(TrainRequest("d", "o", init_from=str(model)))
    expected = build_backbone(load(model))
    assert (backbone.name, backbone.preprocessing) == (expected.name, expected.preprocessing)
    for name, tensor in expected.module.state_dict().items():
        assert torch.equal(backbone.module.state_dict()[name], tensor)


def test_the_size_and_the_taps_may_be_others_than_those_of_the_bundle(model: Path) -> None:
    request = TrainRequest("d", "o", init_from=str(model), backbone="test_efficientnet", image_size=96, taps=(1,))
    backbone = starting_backbone(request)
    assert (backbone.preprocessing.size, backbone.taps) == (96, (1,))
    assert backbone.feature_dim > backbone.dim


def test_a_bundle_of_another_architecture_is_refused(model: Path) -> None:
    with pytest.raises(UsageError, match=r"has the backbone test_efficientnet, not vgg16"):
        starting_backbone(TrainRequest("d", "o", init_from=str(model), backbone="vgg16"))


def test_a_bundle_that_was_edited_is_refused(model: Path, tmp_path: Path) -> None:
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tensors = bytearray((tmp_path / "model.safetensors").read_bytes())
    tensors[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(tensors)
    with pytest.raises(InputError, match="edited or damaged"):
        starting_backbone(TrainRequest("d", "o", init_from=str(tmp_path)))


def test_weights_that_no_file_has_depend_on_the_seed_alone() -> None:
    def weights(seed: int) -> torch.Tensor:
        backbone = starting_backbone(TrainRequest("d", "o", backbone="cnn3", mode="finetune", seed=seed))
        return next(backbone.module.parameters())

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_fine_tuning_sees_images_of_the_size_of_the_study() -> None:
    backbone = starting_backbone(TrainRequest("d", "o", backbone="cnn3", mode="finetune"))
    assert backbone.preprocessing.size == STUDY_SIZE
