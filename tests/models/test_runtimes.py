from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from artylyze.errors import InputError, UsageError
from artylyze.models import runtimes
from artylyze.models.build import features_bundle
from artylyze.models.bundle import Bundle
from artylyze.models.runtimes import (
    CpuRuntime,
    Outputs,
    TorchRuntime,
    load_runtime,
    resolve_device,
    resolve_precision,
)

if TYPE_CHECKING:
    from artylyze.models.backbones import Backbone

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def images(count: int, size: int = 64) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def assert_close(one: Outputs, other: Outputs, atol: float) -> None:
    np.testing.assert_allclose(one.embedding, other.embedding, atol=atol, rtol=atol)
    assert one.logits.keys() == other.logits.keys()
    for task, logits in one.logits.items():
        np.testing.assert_allclose(logits, other.logits[task], atol=atol, rtol=atol)


def test_both_runtimes_agree(small_bundle: Bundle) -> None:
    pixels = images(5)

    assert_close(
        CpuRuntime(small_bundle).run(pixels), TorchRuntime(small_bundle, "cpu", "float32").run(pixels), atol=1e-4
    )


@pytest.mark.slow
def test_both_runtimes_agree_on_the_offline_model(offline_bundle: Bundle) -> None:
    pixels = images(2, 224)

    assert_close(
        CpuRuntime(offline_bundle).run(pixels), TorchRuntime(offline_bundle, "cpu", "float32").run(pixels), atol=1e-4
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_neighbours_and_threads_do_not_show_in_the_outputs(small_bundle: Bundle, threads: int) -> None:
    pixels, alone = images(7), CpuRuntime(small_bundle)

    together = CpuRuntime(small_bundle, threads).run(pixels)

    for row, image in enumerate(pixels):
        outputs = alone.run(image[None])
        assert np.array_equal(together.embedding[row], outputs.embedding[0])
        assert all(np.array_equal(together.logits[task][row], outputs.logits[task][0]) for task in together.logits)


def test_a_runtime_serves_several_threads_at_once(small_bundle: Bundle) -> None:
    runtime, batches = CpuRuntime(small_bundle, 2), [images(count) for count in range(1, 9)]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(runtime.run, batches))

    for pixels, outputs in zip(batches, answers, strict=True):
        assert_close(outputs, runtime.run(pixels), atol=0)


def test_threads_that_are_the_first_to_infer_do_not_wait_for_each_other(small_bundle: Bundle, tmp_path: Path) -> None:
    script = f"""
import os, pickle, signal, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from artylyze.models.runtimes import CpuRuntime

bundle = pickle.load(open({str(tmp_path / "bundle")!r}, "rb"))
pixels = np.zeros((1, 64, 64, 3), np.uint8)
sys.setswitchinterval(1e-6)
for _ in range(12):  # without a lock every second process hung
    if (child := os.fork()) == 0:
        signal.alarm(60)
        runtime = CpuRuntime(bundle, 4)
        list(ThreadPoolExecutor(8).map(lambda _: runtime.run(pixels), range(16)))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    (tmp_path / "bundle").write_bytes(pickle.dumps(small_bundle))

    subprocess.run([sys.executable, "-c", script], check=True)


def test_openvino_is_imported_without_what_reports_to_google(small_bundle: Bundle, tmp_path: Path) -> None:
    script = f"""
import pickle, sys, time
from concurrent.futures import ThreadPoolExecutor
from artylyze.models.runtimes import CpuRuntime

class Slow:  # so that all threads begin before the first has the module
    @staticmethod
    def find_spec(name, path=None, target=None):
        time.sleep(0.5 * (name == "openvino"))

sys.meta_path.insert(0, Slow)
bundle = pickle.load(open({str(tmp_path / "bundle")!r}, "rb"))
list(ThreadPoolExecutor(4).map(CpuRuntime, [bundle] * 4))
print([name for name in sys.modules if "telemetry" in name or name.startswith("openvino.tools")])
"""
    (tmp_path / "bundle").write_bytes(pickle.dumps(small_bundle))

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_outputs_are_float32_for_each_image_and_task(small_bundle: Bundle, kind: str) -> None:
    runtime = CpuRuntime(small_bundle) if kind == "openvino" else TorchRuntime(small_bundle, "cpu", "float32")
    pixels = images(3)
    pixels.setflags(write=False)  # as arrays from Ray's object store are

    outputs = runtime.run(pixels)

    arrays = {"embedding": outputs.embedding, **outputs.logits}
    assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
        "embedding": ("float32", (3, small_bundle.embedding_dim)),
        "type": ("float32", (3, 3)),
        "keys": ("float32", (3, 2)),
    }


@pytest.mark.parametrize(
    "pixels", [images(0), images(2, 32), images(2).astype(np.float32), images(2)[..., :1], images(1)[0]]
)
def test_other_arrays_are_refused(
    small_bundle: Bundle, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        CpuRuntime(small_bundle).run(pixels)


def test_a_graph_that_cannot_be_loaded_is_the_users_to_mend(small_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="build the bundle again"):
        CpuRuntime(replace(small_bundle, onnx=b"no graph"))


def test_a_bundle_cut_for_another_device_is_refused(small_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="cut down for GPUs"):
        CpuRuntime(small_bundle.for_device("cuda"))


def test_asking_for_a_gpu_where_there_is_none_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "_cuda_is_available", lambda: False)

    with pytest.raises(InputError, match="`device='cpu'`"):
        resolve_device("cuda")


@pytest.mark.parametrize(("there", "device"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_the_gpu_that_is_there(monkeypatch: pytest.MonkeyPatch, there: bool, device: str) -> None:
    monkeypatch.setattr(runtimes, "_cuda_is_available", lambda: there)

    assert resolve_device("auto") == device


def test_another_device_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="auto, cpu or cuda"):
        resolve_device("tpu")


def test_auto_precision_is_bfloat16_on_a_gpu_only() -> None:
    assert (resolve_precision("auto", "cuda"), resolve_precision("auto", "cpu")) == ("bfloat16", "float32")


def test_bfloat16_on_a_cpu_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="float32"):
        resolve_precision("bfloat16", "cpu")


def test_the_cpu_gets_openvino(small_bundle: Bundle) -> None:
    assert isinstance(load_runtime(small_bundle, "cpu"), CpuRuntime)


@needs_gpu
def test_a_gpu_in_float32_agrees_with_the_cpu(small_bundle: Bundle) -> None:
    pixels = images(11)

    assert_close(
        TorchRuntime(small_bundle, "cuda", "float32", batch=3).run(pixels), CpuRuntime(small_bundle).run(pixels), 1e-3
    )


@needs_gpu
def test_the_taps_of_a_gpu_in_bfloat16_say_what_those_of_the_cpu_say(tapped_backbone: Backbone) -> None:
    bundle, pixels = features_bundle(tapped_backbone), images(11)

    one, other = TorchRuntime(bundle, "cuda", "bfloat16").run(pixels), CpuRuntime(bundle).run(pixels)

    assert np.corrcoef(one.embedding.ravel(), other.embedding.ravel())[0, 1] > 0.99


@needs_gpu
def test_a_gpu_in_bfloat16_points_the_same_way_as_the_cpu(offline_bundle: Bundle) -> None:
    pixels = images(11, 224)

    one = TorchRuntime(offline_bundle, "cuda", "bfloat16", batch=4).run(pixels).embedding
    other = CpuRuntime(offline_bundle).run(pixels).embedding

    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosine.min() > 0.99
