"""Files that end early: tagged with a warning where most of the picture is there, `truncated` where it is not."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from artylyze.errors import ErrorCode
from artylyze.images import decode
from tests.images.test_decode import CORNERS, SIZE, assert_shows, encoded, failure, quarters

END = b"\xff\xd9"


def noise(width: int = 320, height: int = 320) -> Image.Image:
    """A picture whose lines take equal shares of a file."""
    return Image.fromarray(np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("lost", [1, 2, 6, 40])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_its_last_bytes_is_read_with_a_warning(lost: int, progressive: bool) -> None:
    data = encoded(quarters(640, 640), "JPEG", quality=95, progressive=progressive)
    decoded = decode(data[:-lost], SIZE)
    assert (decoded.width, decoded.height) == (640, 640)
    assert decoded.warning is not None
    assert decoded.warning.startswith("the file ends early: ")
    assert_shows(decoded.pixels, CORNERS)
    assert decode(data, SIZE).warning is None


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {"quality": 90}), ("PNG", {}), ("BMP", {}), ("PPM", {}), ("TIFF", {})]
)
def test_half_the_lines_decide(kind: str, options: dict[str, int]) -> None:
    data = encoded(noise(), kind, **options)
    decoded = decode(data[: len(data) * 8 // 10], SIZE)
    whole = decode(data, SIZE)
    assert decoded.warning is not None
    share = int(decoded.warning.removeprefix("the file ends early: up to ").split("%")[0])
    assert 20 <= share <= 27  # a JPEG's decoder holds some lines back
    there = SIZE * 7 // 10
    assert np.abs(decoded.pixels[:there].astype(int) - whole.pixels[:there]).mean() < 3
    error = failure(data[: len(data) * 4 // 10])
    assert error.code is ErrorCode.TRUNCATED
    assert "% is missing" in error.detail


def test_a_progressive_jpeg_needs_its_first_pass() -> None:
    data = encoded(noise(), "JPEG", quality=90, progressive=True)
    warning = decode(data[: len(data) // 2], SIZE).warning
    assert warning == "the file ends early: details may be missing"
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 1)
    assert failure(data[: second - 200]).code is ErrorCode.TRUNCATED


def test_an_end_put_on_a_cut_jpeg_does_not_hide_the_cut() -> None:
    data = encoded(quarters(640, 640), "JPEG", quality=95)
    assert failure(data[: len(data) * 3 // 10] + END).code is ErrorCode.TRUNCATED
    tall = bytearray(data)
    struct.pack_into(">H", tall, data.index(b"\xff\xc0") + 5, 2000)
    assert failure(bytes(tall)).code is ErrorCode.TRUNCATED


def test_a_whole_jpeg_of_one_colour_at_the_bottom_has_no_warning() -> None:
    image = quarters(640, 640)
    image.paste("white", (0, 320, 640, 640))
    assert decode(encoded(image, "JPEG", quality=95), SIZE).warning is None
    assert decode(encoded(image.convert("L"), "JPEG", quality=95), SIZE).warning is None
    assert decode(encoded(Image.new("RGB", (300, 300), "white"), "JPEG"), SIZE).warning is None


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "I;16", "1"])
def test_a_cut_png_of_any_mode_keeps_its_colours(mode: str) -> None:
    image = noise().convert("L" if mode == "I;16" else mode)
    image = image.convert("I").convert("I;16") if mode == "I;16" else image
    data = encoded(image, "PNG")
    there = SIZE // 2
    cut, whole = (decode(content, SIZE).pixels[:there].astype(int) for content in (data[: len(data) * 9 // 10], data))
    assert np.abs(cut - whole).mean() < 3


@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_a_cut_tiff_keeps_the_strips_that_are_there(tile: tuple[int, int] | None) -> None:
    buffer = io.BytesIO()
    rows = None if tile else 16
    tifffile.imwrite(
        buffer, np.asarray(noise()), photometric="rgb", compression="lzw", tile=tile, rowsperstrip=rows, metadata=None
    )
    data = buffer.getvalue()
    warning = decode(data[: len(data) * 8 // 10], SIZE).warning
    assert warning is not None
    assert 20 <= int(warning.removeprefix("the file ends early: up to ").split("%")[0]) <= 30
    assert failure(data[: len(data) * 3 // 10]).code is ErrorCode.TRUNCATED


def test_the_limit_of_pixels_holds_for_cut_files_too() -> None:
    data = encoded(noise(), "PNG")
    assert failure(data[: len(data) * 9 // 10], max_pixels=1000).code is ErrorCode.TOO_LARGE
