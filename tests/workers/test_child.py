"""A child without a model: answers as in-process decoding does, and survives what an image can do to it."""

from __future__ import annotations

import importlib.util
import io
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest
from PIL import Image

from artylyze.errors import ErrorCode, ImageError
from artylyze.images import decode
from artylyze.images.palette import dominant_colors
from artylyze.images.thumbnail import thumbnail
from artylyze.workers.fetching import Fetches, FetchThreads, Refusals, Source
from artylyze.workers.process import ImageProcess
from artylyze.workers.protocol import Seen
from artylyze.workers.supervision import ChildStartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from numpy.typing import NDArray

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


class Decoder:
    """A child without a model, which is asked for one image after the other."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.process = ImageProcess(SIZE, **options)
        self._file = folder / "image"
        self._threads = FetchThreads(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.close()
        self.process.close()

    def decode(self, data: bytes) -> tuple[Seen, NDArray[np.uint8]]:
        """Return what was seen of an image and its pixels, uint8 (SIZE, SIZE, 3). Raises ImageError."""
        self._file.write_bytes(data)
        outcomes: list[Seen | ImageError | None] = [None]
        rows: list[NDArray[np.uint8]] = []
        fetches = Fetches(self._threads, [Source(str(self._file))])
        self.process.run(fetches, outcomes, Refusals(None), lambda _, pixels: rows.extend(pixels))
        (outcome,) = outcomes
        if isinstance(outcome, ImageError):
            assert not rows
            raise outcome
        assert outcome is not None
        (pixels,) = rows
        return outcome, pixels

    def refusal(self, data: bytes) -> ImageError:
        """Return why an image cannot be read."""
        with pytest.raises(ImageError) as caught:
            self.decode(data)
        return caught.value

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """The process that runs."""
        child = self.process.child.process
        assert child is not None
        return child


def test_the_header_has_colors_and_a_thumbnail_where_they_are_asked_for(tmp_path: Path) -> None:
    with Decoder(tmp_path, colors=True, thumbnails=True) as decoder:
        seen, pixels = decoder.decode(picture())
        error = decoder.refusal(b"no image")
    assert seen == Seen(65, 64, "PNG", None, dominant_colors(pixels).tobytes(), thumbnail(pixels, 65, 64))
    assert error.code is ErrorCode.UNSUPPORTED


def test_the_header_has_neither_where_they_are_not(tmp_path: Path) -> None:
    with Decoder(tmp_path) as decoder:
        assert decoder.decode(picture())[0] == Seen(65, 64, "PNG")


@pytest.fixture
def decoder(tmp_path: Path) -> Iterator[Decoder]:
    with Decoder(tmp_path) as made:
        yield made


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(poison.PLUGINS), prepend=os.pathsep)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "JPEG2000", "GIF"])
def test_answers_what_decoding_in_process_answers(decoder: Decoder, kind: str) -> None:
    data = picture(kind=kind)
    expected = decode(data, SIZE)
    seen, pixels = decoder.decode(data)
    assert seen == Seen(expected.width, expected.height, expected.format)
    assert seen[:3] == (65, 64, kind)
    assert np.array_equal(pixels, expected.pixels)


def test_a_warning_arrives(decoder: Decoder) -> None:
    data = picture(side=640)
    data = data[: len(data) * 3 // 4]
    seen, _ = decoder.decode(data)
    assert (seen.warning, seen.warnings) == (decode(data, SIZE).warning, ("truncated",))
    assert seen.warning is not None


def test_a_file_larger_than_any_socket_buffer_arrives_whole(decoder: Decoder) -> None:
    data = picture(side=1500)
    assert len(data) > 6_000_000
    _, pixels = decoder.decode(data)
    assert np.array_equal(pixels, decode(data, SIZE).pixels)


@pytest.mark.parametrize("data", [b"hello world, not an image", picture()[:400]])
def test_refusals_arrive_as_they_are(decoder: Decoder, data: bytes) -> None:
    with pytest.raises(ImageError) as expected:
        decode(data, SIZE)
    error = decoder.refusal(data)
    assert (error.code, error.detail) == (expected.value.code, expected.value.detail)
    decoder.decode(picture())


def test_the_pixel_limit_holds_in_the_child(tmp_path: Path) -> None:
    with Decoder(tmp_path, max_pixels=1000) as decoder:
        assert decoder.refusal(picture()).code is ErrorCode.TOO_LARGE


def test_a_file_that_a_child_could_not_hold_is_not_sent(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artylyze.workers.process.LARGEST_FILE", 100)
    assert decoder.refusal(picture()).code is ErrorCode.TOO_LARGE


@pytest.mark.usefixtures("faulty")
def test_an_image_that_crashes_the_child_costs_its_neighbours_nothing(decoder: Decoder) -> None:
    decoder.decode(picture(1))
    error = decoder.refusal(poison.segv_jpeg())
    assert (error.code, error.detail) == (ErrorCode.CRASHED_DECODER, "killed by SIGSEGV")
    _, pixels = decoder.decode(picture(2))
    assert np.array_equal(pixels, decode(picture(2), SIZE).pixels)


@pytest.mark.usefixtures("faulty")
def test_an_image_that_hangs_the_child_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    with Decoder(tmp_path, deadline=1.0) as decoder:
        error = decoder.refusal(poison.hang_jpeg())
        assert (error.code, error.detail) == (ErrorCode.TIMEOUT, "not decoded within 1 s")
    with Decoder(tmp_path) as decoder:
        _, pixels = decoder.decode(picture(3))
    assert np.array_equal(pixels, decode(picture(3), SIZE).pixels)


def test_a_child_that_stops_reading_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    with Decoder(tmp_path, deadline=1.0) as decoder:
        decoder.decode(picture())
        os.kill(decoder.child.pid, signal.SIGSTOP)
        assert decoder.refusal(bytes(50_000_000)).code is ErrorCode.TIMEOUT


def test_a_child_killed_between_images_is_blamed_on_none_of_them(decoder: Decoder) -> None:
    decoder.decode(picture())
    decoder.child.kill()
    decoder.child.wait()
    decoder.decode(picture())


def test_poison_is_harmless_outside_the_child() -> None:
    assert decode(poison.segv_jpeg(), SIZE).format == decode(poison.hang_jpeg(), SIZE).format == "JPEG"


def test_an_installation_that_cannot_start_the_child_is_not_an_image_error(
    decoder: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('this numpy is broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ChildStartError, match="this numpy is broken"):
        decoder.decode(picture())


def test_closing_ends_the_child_for_good(decoder: Decoder) -> None:
    decoder.decode(picture())
    child = decoder.child
    decoder.process.close()
    assert child.returncode is not None
    with pytest.raises(ChildStartError):
        decoder.decode(picture())


@pytest.mark.usefixtures("faulty")
def test_closing_ends_what_goes_on_in_another_thread(tmp_path: Path) -> None:
    with Decoder(tmp_path) as decoder, ThreadPoolExecutor(1) as pool:
        decoder.decode(picture())
        hanging = pool.submit(decoder.decode, poison.hang_jpeg())
        decoder.process.stop()
        with pytest.raises((ImageError, ChildStartError)):
            hanging.result(timeout=30)


def test_the_child_ends_when_its_parent_is_killed() -> None:
    code = (
        "import os, signal; from artylyze.workers.process import ImageProcess\n"
        f"p = ImageProcess({SIZE}); p.start()\n"
        "os.write(1, str(p.child.process.pid).encode()); os.kill(os.getpid(), signal.SIGKILL)"
    )
    parent = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
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


def test_the_child_ignores_the_interrupt_that_its_parent_gets(decoder: Decoder) -> None:
    decoder.decode(picture())
    before = decoder.child
    os.kill(before.pid, signal.SIGINT)
    decoder.decode(picture())
    assert decoder.child is before


def test_the_child_imports_neither_ray_nor_a_model_runtime() -> None:
    code = "import artylyze.workers.child, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"ray", "torch", "openvino", "pyarrow", "PIL.ImageCms", "scipy", "tifffile"})
    ours = {name for name in loaded if name.startswith("artylyze.")}
    assert ours == {
        f"artylyze.{name}"
        for name in (
            "errors",
            "images",
            "images.colour",
            "images.formats",
            "images.jpeg2000",
            "images.levels",
            "images.palette",
            "images.quality",
            "images.salvage",
            "images.scaled",
            "images.second",
            "images.thumbnail",
            "workers",
            "workers.child",
            "workers.protocol",
            "workers.supervision",
        )
    }
