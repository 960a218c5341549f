"""The child that decodes and tags: the same rows as step by step, and one row lost for each image that kills it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artylyze.errors import ImageError, StorageError
from artylyze.images import decode
from artylyze.models.bundle import Bundle
from artylyze.models.folder import load
from artylyze.models.runtimes import CpuRuntime
from artylyze.workers.fetching import Source
from artylyze.workers.process import BATCH, TaggerProcess
from artylyze.workers.protocol import Seen
from artylyze.workers.supervision import ChildStartError
from tests.faults.poison import PLUGINS, hang_jpeg, segv_jpeg
from tests.tagging.conftest import fill, picture


@pytest.fixture(scope="module")
def bundle(model: Path) -> Bundle:
    return load(model).for_device("cpu")


@pytest.fixture
def process(bundle: Bundle) -> Iterator[TaggerProcess]:
    found = TaggerProcess(lambda: bundle, bundle.tasks, bundle.embedding_dim, bundle.preprocessing.size)
    yield found
    found.close()


def codes(outcomes: list[Seen | ImageError]) -> list[str]:
    return [str(one.code) if isinstance(one, ImageError) else "ok" for one in outcomes]


def in_folder(folder: Path, count: int) -> list[Source]:
    return [Source(str(folder / f"{n:04d}.jpg"), size=2000) for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, BATCH - 1, BATCH, 2 * BATCH + 1])
def test_gives_what_decoding_and_the_model_give(
    process: TaggerProcess, bundle: Bundle, tmp_path: Path, count: int
) -> None:
    fill(tmp_path, count)
    outcomes, outputs = process.read_and_tag(in_folder(tmp_path, count))
    assert codes(outcomes) == ["ok"] * count
    assert outputs.embedding.shape == (count, bundle.embedding_dim)
    if count:
        expected = CpuRuntime(bundle).run(
            np.stack([decode(picture(n), bundle.preprocessing.size).pixels for n in range(count)])
        )
        np.testing.assert_allclose(outputs.embedding, expected.embedding, atol=1e-5)
        for task in bundle.tasks:
            np.testing.assert_allclose(outputs.logits[task.name], expected.logits[task.name], atol=1e-5)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(st.sampled_from([*["ok"] * 9, "empty", "missing", "corrupt", "segv"]), max_size=2 * BATCH + 3))
def test_every_image_has_its_own_outcome_whatever_its_neighbours_are(
    bundle: Bundle, tmp_path_factory: pytest.TempPathFactory, kinds: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("mixed")
    data = {"ok": picture(3), "empty": b"", "corrupt": picture(3)[:40], "segv": segv_jpeg()}
    for n, kind in enumerate(kinds):
        if kind != "missing":
            (folder / f"{n:04d}.jpg").write_bytes(data[kind])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PLUGINS))
        process = TaggerProcess(lambda: bundle, bundle.tasks, bundle.embedding_dim, bundle.preprocessing.size)
        outcomes, outputs = process.read_and_tag(in_folder(folder, len(kinds)))
        process.close()
    said = {"segv": {"crashed_decoder"}, "corrupt": {"corrupt", "truncated", "unsupported"}}
    assert all(code in said.get(kind, {kind}) for kind, code in zip(kinds, codes(outcomes), strict=True))
    assert len(outputs.embedding) == kinds.count("ok")
    assert len(np.unique(outputs.embedding.round(4), axis=0)) <= 1  # of the same picture, in whatever batch


def test_an_image_that_hangs_is_given_up_at_the_deadline(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    fill(tmp_path, 7)
    (tmp_path / "0005.jpg").write_bytes(hang_jpeg())
    process = TaggerProcess(lambda: bundle, bundle.tasks, bundle.embedding_dim, bundle.preprocessing.size, deadline=2.0)
    outcomes, outputs = process.read_and_tag(in_folder(tmp_path, 7))
    process.close()
    assert codes(outcomes) == ["ok"] * 5 + ["timeout", "ok"]
    assert len(outputs.embedding) == 6


@pytest.mark.slow
def test_the_image_that_kills_or_hangs_is_blamed_though_a_huge_one_is_on_its_way(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    fill(tmp_path, 12)
    for n in (3, 4, 8, 9):
        (tmp_path / f"{n:04d}.jpg").write_bytes(picture(n) + bytes(9_000_000))
    (tmp_path / "0002.jpg").write_bytes(segv_jpeg())
    (tmp_path / "0007.jpg").write_bytes(hang_jpeg())
    process = TaggerProcess(lambda: bundle, bundle.tasks, bundle.embedding_dim, bundle.preprocessing.size, deadline=2.0)
    outcomes, outputs = process.read_and_tag(in_folder(tmp_path, 12))
    process.close()
    assert codes(outcomes) == ["ok"] * 2 + ["crashed_decoder"] + ["ok"] * 4 + ["timeout"] + ["ok"] * 4
    assert len(outputs.embedding) == 10


def test_an_answer_is_that_of_its_image_whenever_the_child_dies(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    kinds = ["segv" if n % 7 == 0 else "corrupt" if n % 5 == 0 else "ok" for n in range(70)]
    for n, kind in enumerate(kinds):
        data = {"ok": picture(n), "corrupt": picture(n)[:40], "segv": segv_jpeg()}[kind]
        (tmp_path / f"{n:04d}.jpg").write_bytes(data)
    process = TaggerProcess(lambda: bundle, bundle.tasks, bundle.embedding_dim, bundle.preprocessing.size, deadline=5.0)
    outcomes, outputs = process.read_and_tag(in_folder(tmp_path, 70))
    process.close()
    said = {"segv": "crashed_decoder", "corrupt": "truncated"}
    assert codes(outcomes) == [said.get(kind, kind) for kind in kinds]
    assert len(outputs.embedding) == kinds.count("ok")


def test_a_child_killed_between_shards_costs_nothing(process: TaggerProcess, tmp_path: Path) -> None:
    fill(tmp_path, 6)
    before = process.read_and_tag(in_folder(tmp_path, 6))[1]
    assert process.process.child.process is not None
    process.process.child.process.kill()
    process.process.child.process.wait()
    outcomes, after = process.read_and_tag(in_folder(tmp_path, 6))
    assert codes(outcomes) == ["ok"] * 6
    np.testing.assert_array_equal(before.embedding, after.embedding)


def test_a_child_killed_while_it_works_costs_no_image(process: TaggerProcess, tmp_path: Path) -> None:
    fill(tmp_path, 60)
    process.start()
    assert process.process.child.process is not None
    timer = threading.Timer(0.1, os.kill, (process.process.child.process.pid, signal.SIGKILL))
    timer.start()
    outcomes, outputs = process.read_and_tag(in_folder(tmp_path, 60))
    timer.join()
    assert codes(outcomes) == ["ok"] * len(outputs.embedding) == ["ok"] * 60


def test_a_large_file_among_small_ones_arrives_whole(process: TaggerProcess, tmp_path: Path) -> None:
    fill(tmp_path, 9)
    (tmp_path / "0004.jpg").write_bytes(picture(4) + bytes(9_000_000))
    outcomes, _ = process.read_and_tag(in_folder(tmp_path, 9))
    assert codes(outcomes) == ["ok"] * 9


def test_a_model_that_cannot_be_loaded_is_an_error_of_the_run(bundle: Bundle) -> None:
    from dataclasses import replace

    broken = replace(bundle, onnx=b"not a graph")
    process = TaggerProcess(lambda: broken, broken.tasks, broken.embedding_dim, bundle.preprocessing.size)
    with pytest.raises(ChildStartError, match="InputError: OpenVINO cannot load the model"):
        process.start()


@pytest.mark.slow
def test_storage_that_refuses_everybody_stops_the_run(bundle: Bundle) -> None:
    sources = [Source(f"http://127.0.0.1:9/{n}.jpg") for n in range(2)]
    process = TaggerProcess(
        lambda: bundle, bundle.tasks, bundle.embedding_dim, bundle.preprocessing.size, canary=sources[0].uri
    )
    with pytest.raises(StorageError, match="refuses every image"):
        process.read_and_tag(sources)
    process.close()
