from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from artylyze.errors import InputError
from artylyze.models.backbones import load_backbone
from artylyze.models.runtimes import CpuRuntime, TorchRuntime
from artylyze.models.taps import STATISTICS, check_taps, extract, statistics

if TYPE_CHECKING:
    from artylyze.models.bundle import Bundle

stage_values = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)),
    elements=st.floats(-100, 100, width=32),
)


@given(stage_values)
def test_a_stage_adds_the_means_of_its_channels_by_place_then_their_deviations(stage: np.ndarray[Any, Any]) -> None:
    exact = stage.astype(np.float64)
    rows, columns = stage.shape[2:]
    bands = [range(math.floor(band * rows / 3), math.ceil((band + 1) * rows / 3)) for band in range(3)]

    found = statistics(torch.from_numpy(stage)).numpy()

    assert {row for band in bands for row in band} == set(range(rows))
    centre = exact[:, :, rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    means = [*(exact[:, :, band].mean((2, 3)) for band in bands), centre.mean((2, 3))]
    expected = np.concatenate([*means, exact.std((2, 3))], axis=1)
    np.testing.assert_allclose(found, expected, atol=2e-3, rtol=1e-4)  # a deviation is never below 0.001


def test_an_image_and_the_same_upside_down_differ() -> None:
    stage = torch.rand(1, 2, 7, 5, generator=torch.Generator().manual_seed(0))

    upright, turned = statistics(stage), statistics(stage.flip(2))

    torch.testing.assert_close(turned, upright[:, [4, 5, 2, 3, 0, 1, 6, 7, 8, 9]])
    assert not torch.allclose(turned, upright)


def test_a_flat_channel_has_a_gradient() -> None:
    flat = torch.ones(1, 2, 4, 4, requires_grad=True)

    (gradient,) = torch.autograd.grad(statistics(flat).sum(), flat)

    assert gradient.isfinite().all()


def test_statistics_of_bfloat16_are_float32() -> None:
    stage = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(statistics(stage.bfloat16()), statistics(stage), atol=1e-2, rtol=1e-2)
    assert statistics(stage.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_convnext", "test_vit", "cnn3"])
def test_features_are_the_pooled_ones_then_those_of_each_stage(name: str) -> None:
    torch.manual_seed(0)
    plain = load_backbone(name, pretrained=False, size=160)
    images = torch.rand(2, 3, 160, 160)

    with torch.inference_mode():
        pooled = plain.module(images)
        _, (first, last) = plain.module.forward_intermediates(images, indices=[0, 2])  # type: ignore[operator]
        features = extract(plain.module, images, (0, 2))

    assert plain.feature_dim == plain.dim
    torch.testing.assert_close(features, torch.cat([pooled, statistics(first), statistics(last)], dim=1))


def test_the_backbone_says_how_many_features_it_gives() -> None:
    backbone = load_backbone("test_efficientnet", pretrained=False, size=64, taps=(1, 3))

    stages: Any = timm.create_model("test_efficientnet").feature_info
    channels = [stage["num_chs"] for stage in stages]
    assert (backbone.taps, backbone.feature_dim) == ((1, 3), backbone.dim + STATISTICS * (channels[1] + channels[3]))


@pytest.mark.parametrize("taps", [(3, 1), (1, 1), (5,), (-1,)], ids=str)
def test_stages_that_are_not_there_are_refused_with_those_that_are(taps: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="stages 0 to 4"):
        load_backbone("test_efficientnet", pretrained=False, size=64, taps=taps)


def test_a_model_without_stages_can_be_had_untapped_only() -> None:
    check_taps("flat", torch.nn.Flatten(), ())

    with pytest.raises(InputError, match="no stages to tap"):
        check_taps("flat", torch.nn.Flatten(), (0,))


def test_both_runtimes_agree_on_flat_images(tapped_bundle: Bundle) -> None:
    pixels = np.stack([np.full((64, 64, 3), level, np.uint8) for level in (0, 128, 255)])

    one, other = CpuRuntime(tapped_bundle).run(pixels), TorchRuntime(tapped_bundle, "cpu", "float32").run(pixels)

    for task, logits in one.logits.items():
        np.testing.assert_allclose(logits, other.logits[task], atol=1e-4, rtol=1e-4)
