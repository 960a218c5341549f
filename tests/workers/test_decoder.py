"""The decoder child: answers as in-process decoding does, and survives what an image can do to it."""

from __future__ import annotations

import importlib.util
import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from artylyze.errors import ErrorCode, ImageError
from artylyze.images import decode
from artylyze.workers.decoder import DecoderProcess
from artylyze.workers.supervision import ChildStartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import numpy.typing as npt

SIZE = 32


def _poison() -> ModuleType:
    spec = importlib.util.spec_from_file_location("poison", Path(__file__).parents[1] / "faults" / "poison.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


poison = _poison()


def picture(seed: int = 0, side: int = 64, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 1, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def out() -> npt.NDArray[np.uint8]:
    return np.zeros((SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def child() -> Iterator[DecoderProcess]:
    with DecoderProcess(SIZE) as process:
        yield process


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(poison.PLUGINS), prepend=os.pathsep)


def refusal(process: DecoderProcess, data: bytes, out: npt.NDArray[np.uint8]) -> ImageError:
    with pytest.raises(ImageError) as caught:
        process.decode(data, out)
    return caught.value


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "JPEG2000", "GIF"])
def test_answers_what_decoding_in_process_answers(child: DecoderProcess, out: npt.NDArray[np.uint8], kind: str) -> None:
    data = picture(kind=kind)
    expected = decode(data, SIZE)
    header = child.decode(data, out)
    assert header == (expected.width, expected.height, expected.format, None)
    assert header[:3] == (65, 64, kind)
    assert np.array_equal(out, expected.pixels)


def test_a_warning_arrives(child: DecoderProcess, out: npt.NDArray[np.uint8]) -> None:
    data = picture(side=640)
    data = data[: len(data) * 3 // 4]
    assert child.decode(data, out).warning == decode(data, SIZE).warning
    assert child.decode(data, out).warning is not None


def test_writes_into_one_slot_of_a_batch_only(child: DecoderProcess) -> None:
    batch = np.full((3, SIZE, SIZE, 3), 7, np.uint8)
    child.decode(memoryview(picture()), batch[1])
    assert (batch[[0, 2]] == 7).all()
    assert np.array_equal(batch[1], decode(picture(), SIZE).pixels)


def test_a_file_larger_than_any_socket_buffer_arrives_whole(child: DecoderProcess, out: npt.NDArray[np.uint8]) -> None:
    data = picture(side=1500)
    assert len(data) > 6_000_000
    child.decode(data, out)
    assert np.array_equal(out, decode(data, SIZE).pixels)


@pytest.mark.parametrize("data", [b"", b"hello world, not an image", picture()[:400]])
def test_refusals_arrive_as_they_are(child: DecoderProcess, out: npt.NDArray[np.uint8], data: bytes) -> None:
    with pytest.raises(ImageError) as expected:
        decode(data, SIZE)
    error = refusal(child, data, out)
    assert (error.code, error.detail) == (expected.value.code, expected.value.detail)
    child.decode(picture(), out)


def test_the_pixel_limit_holds_in_the_child(out: npt.NDArray[np.uint8]) -> None:
    with DecoderProcess(SIZE, max_pixels=1000) as process:
        assert refusal(process, picture(), out).code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((SIZE, SIZE, 4), np.uint8),
        np.zeros((SIZE, SIZE, 3), np.float32),
        np.zeros((SIZE, SIZE * 2, 3), np.uint8)[:, ::2],
    ],
)
def test_an_output_of_another_shape_is_a_mistake_of_the_caller(
    child: DecoderProcess, wrong: npt.NDArray[np.uint8]
) -> None:
    with pytest.raises(ValueError, match="contiguous uint8"):
        child.decode(picture(), wrong)


@pytest.mark.usefixtures("faulty")
def test_an_image_that_crashes_the_child_costs_its_neighbours_nothing(
    child: DecoderProcess, out: npt.NDArray[np.uint8]
) -> None:
    child.decode(picture(1), out)
    error = refusal(child, poison.segv_jpeg(), out)
    assert (error.code, error.detail) == (ErrorCode.CRASHED_DECODER, "killed by SIGSEGV")
    child.decode(picture(2), out)
    assert np.array_equal(out, decode(picture(2), SIZE).pixels)


@pytest.mark.usefixtures("faulty")
def test_an_image_that_hangs_the_child_is_given_up_at_the_deadline(out: npt.NDArray[np.uint8]) -> None:
    with DecoderProcess(SIZE, deadline=1.0) as process:
        error = refusal(process, poison.hang_jpeg(), out)
        assert (error.code, error.detail) == (ErrorCode.TIMEOUT, "not decoded within 1 s")
    with DecoderProcess(SIZE) as process:
        process.decode(picture(3), out)
    assert np.array_equal(out, decode(picture(3), SIZE).pixels)


def test_a_child_that_stops_reading_is_given_up_at_the_deadline(out: npt.NDArray[np.uint8]) -> None:
    with DecoderProcess(SIZE, deadline=1.0) as process:
        process.decode(picture(), out)
        assert process._child.process is not None
        os.kill(process._child.process.pid, signal.SIGSTOP)
        assert refusal(process, bytes(50_000_000), out).code is ErrorCode.TIMEOUT


def test_a_child_killed_between_images_is_blamed_on_none_of_them(
    child: DecoderProcess, out: npt.NDArray[np.uint8]
) -> None:
    child.decode(picture(), out)
    assert child._child.process is not None
    child._child.process.kill()
    child._child.process.wait()
    child.decode(picture(), out)


def test_poison_is_harmless_outside_the_child(out: npt.NDArray[np.uint8]) -> None:
    assert decode(poison.segv_jpeg(), SIZE).format == decode(poison.hang_jpeg(), SIZE).format == "JPEG"


def test_an_installation_that_cannot_start_the_child_is_not_an_image_error(
    out: npt.NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('this numpy is broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with DecoderProcess(SIZE) as process, pytest.raises(ChildStartError, match="this numpy is broken"):
        process.decode(picture(), out)


def test_closing_ends_the_child(out: npt.NDArray[np.uint8]) -> None:
    with DecoderProcess(SIZE) as process:
        process.decode(picture(), out)
        child = process._child.process
    assert child is not None
    assert child.returncode is not None


def test_the_child_ends_when_its_parent_is_killed() -> None:
    code = (
        "import numpy as np, os, signal, sys; from artylyze.workers.decoder import DecoderProcess\n"
        f"p = DecoderProcess({SIZE}); p.decode(sys.stdin.buffer.read(), np.zeros(({SIZE}, {SIZE}, 3), np.uint8))\n"
        "os.write(1, str(p._child.process.pid).encode()); os.kill(os.getpid(), signal.SIGKILL)"
    )
    parent = subprocess.run([sys.executable, "-c", code], input=picture(), capture_output=True, check=False)
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    pid = int(parent.stdout)
    gone = threading.Event()
    for _ in range(600):
        if not _runs(pid):
            gone.set()
            break
        gone.wait(0.05)
    assert gone.is_set()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_the_child_ignores_the_interrupt_that_its_parent_gets(
    child: DecoderProcess, out: npt.NDArray[np.uint8]
) -> None:
    child.decode(picture(), out)
    before = child._child.process
    assert before is not None
    os.kill(before.pid, signal.SIGINT)
    child.decode(picture(), out)
    assert child._child.process is before


def test_the_child_imports_neither_ray_nor_a_model_runtime() -> None:
    code = "import artylyze.workers.decoder, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"ray", "torch", "onnxruntime", "pyarrow", "PIL.ImageCms", "scipy", "tifffile"})
    ours = {name for name in loaded if name.startswith("artylyze.")}
    assert ours == {
        f"artylyze.{name}"
        for name in (
            "decoder",
            "errors",
            "images",
            "images.colour",
            "images.formats",
            "images.jpeg2000",
            "images.levels",
            "images.salvage",
            "images.scaled",
            "supervision",
        )
    }
