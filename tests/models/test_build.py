from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from artylyze.errors import InputError
from artylyze.models.build import assemble, build_bundle, features_bundle
from artylyze.models.bundle import Bundle, Task
from artylyze.models.folder import load, save
from artylyze.models.network import build_backbone
from artylyze.models.runtimes import CpuRuntime
from artylyze.models.scores import score
from tests.models.conftest import random_heads

if TYPE_CHECKING:
    from pathlib import Path

    from artylyze.models.backbones import Backbone
    from artylyze.models.runtimes import Pixels


@pytest.fixture(scope="module")
def all_features(tapped_backbone: Backbone) -> Bundle:
    return features_bundle(tapped_backbone)


@pytest.fixture
def images() -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


def test_a_head_trained_on_embeddings_tags_the_same_inside_the_bundle(small_backbone: Backbone) -> None:
    random = np.random.default_rng(0)
    level = np.repeat([40, 128, 215], 8)
    pixels = (level[:, None, None, None] + random.integers(-30, 30, (24, 64, 64, 3))).astype(np.uint8)
    embedding = CpuRuntime(build_bundle(small_backbone)).run(pixels).embedding
    trained = LogisticRegression(C=1e6, max_iter=2000).fit(embedding, level)
    task = Task("tone", ("dark", "middle", "bright"))

    bundle = build_bundle(small_backbone, [task], {"tone": (trained.coef_, trained.intercept_)})

    tagged = score(CpuRuntime(bundle).run(pixels).logits["tone"], task, k=1)
    assert tagged.terms[:, 0].tolist() == [task.terms[i] for i in np.searchsorted([40, 128, 215], level)]


def test_a_built_bundle_survives_save_and_load(small_bundle: Bundle, tmp_path: Path) -> None:
    save(tmp_path / "bundle", small_bundle)

    assert load(tmp_path / "bundle") == small_bundle


def test_a_head_without_its_task_is_refused(small_backbone: Backbone) -> None:
    with pytest.raises(InputError, match="style"):
        build_bundle(small_backbone, [], {"style": (np.ones((2, small_backbone.dim)), np.ones(2))})


def test_a_head_of_another_width_is_refused(small_backbone: Backbone) -> None:
    with pytest.raises(InputError, match="do not fit"):
        build_bundle(small_backbone, [Task("style", ("a", "b"))], {"style": (np.ones((2, 7)), np.ones(2))})


def test_the_embedding_of_a_tapped_bundle_is_what_the_backbone_pools(
    tapped_bundle: Bundle, small_bundle: Bundle, images: Pixels
) -> None:
    tapped, small = CpuRuntime(tapped_bundle).run(images), CpuRuntime(small_bundle).run(images)

    np.testing.assert_allclose(tapped.embedding, small.embedding, atol=1e-4, rtol=1e-4)


def test_heads_act_on_all_features(
    tapped_backbone: Backbone, tapped_bundle: Bundle, all_features: Bundle, images: Pixels
) -> None:
    everything = CpuRuntime(all_features).run(images).embedding
    weight, bias = random_heads(tapped_backbone)["type"]

    logits = CpuRuntime(tapped_bundle).run(images).logits["type"]

    np.testing.assert_allclose(logits, everything @ weight.T + bias, atol=1e-3, rtol=1e-4)


def test_a_features_bundle_gives_every_feature_and_no_answer(
    tapped_backbone: Backbone, all_features: Bundle, images: Pixels
) -> None:
    outputs = CpuRuntime(all_features).run(images)

    assert (all_features.embedding_dim, all_features.feature_dim) == (tapped_backbone.feature_dim,) * 2
    assert (outputs.embedding.shape, outputs.logits) == ((len(images), tapped_backbone.feature_dim), {})


def test_features_and_embeddings_are_different_models(tapped_backbone: Backbone, all_features: Bundle) -> None:
    embeddings = assemble(tapped_backbone, (), {}, embedding_dim=tapped_backbone.dim)

    assert embeddings.model_id != all_features.model_id


def test_the_backbone_of_a_bundle_can_be_had_back(
    tapped_backbone: Backbone, tapped_bundle: Bundle, all_features: Bundle
) -> None:
    again = build_backbone(tapped_bundle)

    described = [(b.name, b.preprocessing, b.dim, b.feature_dim, b.taps) for b in (again, tapped_backbone)]
    assert described[0] == described[1]
    assert assemble(again, (), {}, embedding_dim=again.feature_dim).model_id == all_features.model_id


def test_a_bundle_cut_for_the_cpu_has_no_backbone_to_give(tapped_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="load the complete one"):
        build_backbone(tapped_bundle.for_device("cpu"))


def test_a_tapped_bundle_survives_save_and_load(tapped_bundle: Bundle, tmp_path: Path) -> None:
    save(tmp_path / "bundle", tapped_bundle)

    assert load(tmp_path / "bundle") == tapped_bundle
