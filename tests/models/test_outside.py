"""How far an image lies from what a model learned: the same in every runtime, in a bundle and in a catalog."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load as tensors_of

from artylyze.catalog.compaction import compact
from artylyze.catalog.snapshot import read_catalog, read_snapshot
from artylyze.catalog.status import describe, run_states
from artylyze.errors import InputError
from artylyze.images import decode
from artylyze.models.backbones import Backbone
from artylyze.models.build import build_bundle
from artylyze.models.bundle import Bundle
from artylyze.models.folder import load, save
from artylyze.models.outside import Outside
from artylyze.models.runtimes import CpuRuntime, TorchRuntime
from artylyze.models.scores import NONE, score
from artylyze.tagging import job
from artylyze.tagging.request import TagRequest
from artylyze.workers.fetching import Source
from artylyze.workers.process import TaggerProcess
from tests.models.conftest import TASKS, random_heads
from tests.tagging.conftest import Quiet, fill, picture

pytestmark = pytest.mark.slow

PIXELS = np.stack([decode(picture(number), 64).pixels for number in range(30)])


@pytest.fixture(scope="module")
def outside(tapped_backbone: Backbone, tapped_bundle: Bundle) -> Outside:
    """Random components; of PIXELS a few lie outside."""
    given = features(tapped_backbone)
    components = np.linalg.qr(np.random.default_rng(1).normal(size=(given.shape[1], 3)))[0].T.astype(np.float32)
    found = Outside(given.mean(axis=0), np.ones(given.shape[1], np.float32), components)
    return replace(found, scale=found.scale / np.median(found.distance(given)))


@pytest.fixture(scope="module")
def bundle(tapped_backbone: Backbone, outside: Outside) -> Bundle:
    return build_bundle(tapped_backbone, TASKS, random_heads(tapped_backbone), outside=outside)


def features(backbone: Backbone) -> NDArray[np.float32]:
    from artylyze.models.build import features_bundle

    return CpuRuntime(features_bundle(backbone)).run(PIXELS).embedding


def test_every_runtime_gives_the_distance(
    bundle: Bundle, tapped_bundle: Bundle, tapped_backbone: Backbone, outside: Outside
) -> None:
    expected = outside.distance(features(tapped_backbone))
    assert 0 < (expected > 1).sum() < len(PIXELS)
    onnx, torch = CpuRuntime(bundle).run(PIXELS), TorchRuntime(bundle, "cpu", "float32").run(PIXELS)
    assert onnx.outside is not None
    assert torch.outside is not None
    np.testing.assert_allclose(onnx.outside, expected, rtol=1e-3)
    np.testing.assert_allclose(torch.outside, expected, rtol=1e-3)
    without = CpuRuntime(tapped_bundle).run(PIXELS)
    assert without.outside is None
    for task in TASKS:
        np.testing.assert_allclose(onnx.logits[task.name], without.logits[task.name], atol=1e-4)


def test_a_bundle_keeps_it(bundle: Bundle, tapped_bundle: Bundle, outside: Outside, tmp_path: Path) -> None:
    save(tmp_path / "bundle", bundle)
    again = load(tmp_path / "bundle")
    assert again == bundle
    found = Outside.of(tensors_of(again.tensors))
    assert found is not None
    np.testing.assert_array_equal(found.components, outside.components)
    assert bundle.model_id != tapped_bundle.model_id
    assert Outside.of(tensors_of(tapped_bundle.tensors)) is None


def test_tensors_that_do_not_fit_are_refused(tapped_backbone: Backbone, bundle: Bundle, outside: Outside) -> None:
    with pytest.raises(InputError, match="do not fit"):
        build_bundle(tapped_backbone, outside=replace(outside, mean=np.zeros(4, np.float32)))
    with pytest.raises(InputError, match="have those of `outside`"):
        replace(bundle, outside=False)


def test_outside_there_is_no_answer_but_none_of_these(bundle: Bundle) -> None:
    outputs = CpuRuntime(bundle).run(PIXELS)
    assert outputs.outside is not None
    task = bundle.tasks[0]
    logits = outputs.logits[task.name]
    found, before = score(logits, task, 2, outputs.outside), score(logits, task, 2)
    beyond = outputs.outside > 1
    assert set(found.answers[beyond]) == {NONE}
    assert found.review[beyond].all()
    assert (found.answers[~beyond] == before.answers[~beyond]).all()
    np.testing.assert_array_equal(found.review[~beyond], before.review[~beyond])
    np.testing.assert_array_equal(found.terms, before.terms)


def test_a_child_hands_it_on(bundle: Bundle, tmp_path: Path) -> None:
    images = sorted(fill(tmp_path / "images", 6).iterdir())
    process = TaggerProcess(lambda: bundle, bundle.tasks, bundle.embedding_dim, 64, outside=True)
    try:
        _, outputs = process.read_and_tag([Source(str(path)) for path in images])
    finally:
        process.close()
    assert outputs.outside is not None
    assert outputs.outside.shape == (6,)
    assert outputs.logits["keys"].shape == (6, 2)


def test_a_catalog_says_how_much_of_it_lies_outside(bundle: Bundle, tmp_path: Path) -> None:
    images, output = fill(tmp_path / "images", 30), str(tmp_path / "catalog")
    (images / "broken.jpg").write_bytes(b"no image")
    save(tmp_path / "bundle", bundle)
    request = TagRequest(
        str(images), output, model=str(tmp_path / "bundle"), engine="local", workers=1, max_error_rate=1, shard_size=8
    )
    outcome = job.run(request, Quiet())
    rows = read_catalog(output).to_pylist()
    beyond = [row for row in rows if row["outside"] is not None and row["outside"] > 1]
    within = [row for row in rows if row["outside"] is not None and row["outside"] <= 1]
    assert beyond
    assert within
    assert len(beyond) + len(within) == 30
    for row in beyond:
        assert (row["type"], row["type_score"], row["type_review"]) == (NONE, None, True)
        assert row["type_top"][0]["score"] > 0
    for row in within:
        assert (row["type"], row["type_score"]) == tuple(row["type_top"][0].values())

    snapshot = read_snapshot(output)
    assert snapshot.outside == len(beyond)
    sentence = f"Outside what the model knows: {len(beyond)} of 30, which are tagged `{NONE}`."
    assert sentence in job.describe(request, outcome)
    assert f"outside what the model knows: {len(beyond)} of 30" in describe(output, run_states(output))

    fill(images, 2, start=30)
    job.run(replace(request, update=True), Quiet())
    compact(output, Quiet())
    after = read_catalog(output, ["image_id", "status", "embedding", "outside"]).to_pylist()
    assert read_snapshot(output).outside == sum((row["outside"] or 0) > 1 for row in after)
