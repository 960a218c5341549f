"""The network that fine-tuning trains: what leaves it as backbone and heads computes what it computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from artylyze.models.backbones import Backbone, load_backbone
from artylyze.models.taps import extract
from artylyze.training.student import Student

IMAGES = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    return load_backbone("test_efficientnet", pretrained=False, size=64, taps=(1,))


def test_the_trained_heads_act_on_features_as_the_backbone_gives_them(backbone: Backbone) -> None:
    student = Student(backbone, [3, 2]).eval()
    features = student.features(IMAGES)
    student.standardise(features.mean(0), features.std(0))
    with torch.inference_mode():
        expected = student(IMAGES)
        trained, heads = student.trained()
        found = extract(trained.module, IMAGES, trained.taps).numpy()
    for head, logits in zip(heads, expected, strict=True):
        np.testing.assert_allclose(head.logits(found), logits.numpy(), rtol=1e-4, atol=1e-4)
    assert trained.taps == (1,)


def test_standardised_features_have_mean_0_and_deviation_1_unless_they_never_vary(backbone: Backbone) -> None:
    student = Student(backbone, [2])
    mean, std = torch.arange(float(backbone.feature_dim)), torch.full((backbone.feature_dim,), 2.0)
    std[3] = 0.0
    student.standardise(mean, std)
    assert student.mean[2] == 2
    assert student.std[2] == 2
    assert student.std[3] == 1


def test_frozen_norms_keep_their_statistics_and_free_ones_do_not(backbone: Backbone) -> None:
    student = Student(backbone, [2])
    norm = next(one for one in backbone.module.modules() if isinstance(one, torch.nn.BatchNorm2d))
    before = norm.running_mean.clone() if norm.running_mean is not None else torch.zeros(())
    student.learning(frozen_norms=True)
    student(IMAGES)
    torch.testing.assert_close(norm.running_mean, before, rtol=0, atol=0)
    student.learning(frozen_norms=False)
    student(IMAGES)
    assert not torch.equal(norm.running_mean if norm.running_mean is not None else before, before)


def test_the_three_layer_cnn_drops_out_while_it_learns_and_only_then() -> None:
    student = Student(load_backbone("cnn3", size=64), [2])
    student.learning(frozen_norms=True)
    assert not torch.equal(student(IMAGES)[0], student(IMAGES)[0])
    student.eval()
    assert torch.equal(student(IMAGES)[0], student(IMAGES)[0])


def test_logits_are_float32_in_mixed_precision(backbone: Backbone) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert Student(backbone, [2])(IMAGES)[0].dtype == torch.float32
