from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from artylyze.errors import InputError
from artylyze.models.build import build_bundle
from artylyze.models.bundle import Bundle, Task, load, save
from artylyze.models.runtimes import OnnxRuntime
from artylyze.models.scores import score

if TYPE_CHECKING:
    from pathlib import Path

    from artylyze.models.backbones import Backbone


def test_a_head_trained_on_embeddings_tags_the_same_inside_the_bundle(small_backbone: Backbone) -> None:
    random = np.random.default_rng(0)
    level = np.repeat([40, 128, 215], 8)
    pixels = (level[:, None, None, None] + random.integers(-30, 30, (24, 64, 64, 3))).astype(np.uint8)
    embedding = OnnxRuntime(build_bundle(small_backbone)).run(pixels).embedding
    trained = LogisticRegression(C=1e6, max_iter=2000).fit(embedding, level)
    task = Task("tone", ("dark", "middle", "bright"))

    bundle = build_bundle(small_backbone, [task], {"tone": (trained.coef_, trained.intercept_)})

    tagged = score(OnnxRuntime(bundle).run(pixels).logits["tone"], task, k=1)
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
