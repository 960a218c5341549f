from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import safetensors.torch

from artylyze.errors import InputError, UsageError
from artylyze.models import backbones, starter
from artylyze.models.bundle import Bundle
from artylyze.models.cache import cache_folder
from artylyze.models.folder import load, save
from artylyze.models.resolve import resolve_model

if TYPE_CHECKING:
    from pathlib import Path

    from artylyze.models.backbones import Backbone


@pytest.fixture
def weights(small_backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(small_backbone.module.state_dict(), path)
    return path


def forbid_building(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object, **__: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(backbones, "load_backbone", build)


@pytest.mark.slow
def test_a_backbone_that_is_named_gives_embeddings_only(offline_bundle: Bundle) -> None:
    assert (offline_bundle.backbone, offline_bundle.tasks) == ("tf_efficientnet_lite0", ())


@pytest.mark.slow
def test_without_a_starter_nothing_given_means_the_offline_backbone(
    offline_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(starter, "FOLDER", tmp_path)
    forbid_building(monkeypatch)

    assert resolve_model() == offline_bundle


def test_a_bundle_is_built_once(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = resolve_model("timm:test_efficientnet", weights=weights, size=64)
    forbid_building(monkeypatch)

    assert resolve_model("timm:test_efficientnet", weights=weights, size=64) == first


@pytest.mark.slow
def test_other_weights_are_another_bundle(weights: Path, small_backbone: Backbone) -> None:
    first = resolve_model("timm:test_efficientnet", weights=weights, size=64)
    tensors = {name: tensor * 2 for name, tensor in small_backbone.module.state_dict().items()}
    safetensors.torch.save_file(tensors, weights)

    assert resolve_model("timm:test_efficientnet", weights=weights, size=64).model_id != first.model_id


@pytest.mark.slow
def test_a_damaged_cached_bundle_is_built_again(weights: Path) -> None:
    first = resolve_model("timm:test_efficientnet", weights=weights, size=64)
    (cached,) = (path for path in cache_folder().iterdir() if path.is_dir())
    (cached / "model.onnx").write_bytes(b"damaged")

    resolve_model("timm:test_efficientnet", weights=weights, size=64)

    assert load(cached).model_id == first.model_id


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_does_not_stop_anyone(weights: Path) -> None:
    (weights.parent / "cache").write_text("a file where the folder should be")

    assert resolve_model("timm:test_efficientnet", weights=weights, size=64).preprocessing.size == 64


def test_a_folder_is_loaded(small_bundle: Bundle, tmp_path: Path) -> None:
    save(tmp_path / "bundle", small_bundle)

    assert resolve_model(tmp_path / "bundle") == small_bundle


def test_a_folder_has_its_own_size(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="timm:NAME only"):
        resolve_model(tmp_path, size=128)


@pytest.mark.parametrize("spec", ["nowhere", "tf_efficientnet_lite0", ""])
def test_anything_else_is_answered_with_what_is_accepted(spec: str) -> None:
    with pytest.raises(InputError, match="folder or address of a bundle, timm:NAME"):
        resolve_model(spec)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.pth"):
        resolve_model("timm:test_efficientnet", weights=tmp_path / "absent.pth")
