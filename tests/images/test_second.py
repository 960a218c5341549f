"""The second decoder: what Pillow does not read is read within the same limits; what it reads never comes there."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from artylyze.errors import ErrorCode
from artylyze.images import decode, second
from artylyze.images.second import jxl_size, load_second
from tests.images.test_decode import CORNERS, SIZE, assert_shows, encoded, failure, quarters

RGB = np.asarray(quarters(480, 360))
GRAY = np.asarray(quarters(480, 360).convert("L"))
GRAYS = np.asarray(Image.fromarray(CORNERS).convert("L"))[..., None].repeat(3, axis=2)
OPAQUE = np.full_like(GRAY, 255)
HEIC = Path(__file__).parent / "quarters.heic"  # 480 x 360 pixels, by pillow-heif; pi-heif does not write

KINDS: dict[str, tuple[bytes, Any]] = {
    "JXL": (bytes(imagecodecs.jpegxl_encode(RGB)), CORNERS),
    "JXL, gray": (bytes(imagecodecs.jpegxl_encode(GRAY)), GRAYS),
    "JXL, 16 bits": (bytes(imagecodecs.jpegxl_encode(RGB.astype(np.uint16) * 257)), CORNERS),
    "JXL, alpha": (bytes(imagecodecs.jpegxl_encode(np.dstack([RGB, OPAQUE]))), CORNERS),
    "JXL, in boxes": (bytes(imagecodecs.jpegxl_encode(RGB, usecontainer=True)), CORNERS),
    "JXR": (bytes(imagecodecs.jpegxr_encode(RGB)), CORNERS),
    "JPEG-LS": (bytes(imagecodecs.jpegls_encode(RGB)), CORNERS),
    "JPEG-LS, gray": (bytes(imagecodecs.jpegls_encode(GRAY)), GRAYS),
    "JPEG, 12 bits": (bytes(imagecodecs.jpeg8_encode(RGB.astype(np.uint16) * 16, bitspersample=12, level=95)), CORNERS),
    "JPEG, 12 bits, gray": (
        bytes(imagecodecs.jpeg8_encode(GRAY.astype(np.uint16) * 16, bitspersample=12, level=95)),
        GRAYS,
    ),
    "HEIF": (HEIC.read_bytes(), CORNERS),
    "PDF": (encoded(quarters(480, 360), "PDF", quality=95), CORNERS),
}


def raw_file(values: Any) -> bytes:
    """A digital negative of a mosaic of red, green, green, blue (uint16), as cameras write it, with neutral balance."""
    same = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)
    tags = [
        *[(33421, "H", 2, (2, 2), True), (33422, "B", 4, (0, 1, 1, 2), True), (50706, "B", 4, (1, 4, 0, 0), True)],
        *[(50721, "2i", 9, same, True), (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True), (50708, "s", 0, "Test", True)],
        *[(271, "s", 0, "Test", True), (272, "s", 0, "Test", True)],
    ]
    out = io.BytesIO()
    tifffile.imwrite(out, values, photometric="cfa", metadata=None, extratags=tags)
    return out.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_what_pillow_does_not_read_is_shown(kind: str) -> None:
    data, expected = KINDS[kind]
    decoded = decode(data, SIZE)
    assert_shows(decoded.pixels, expected)
    if kind == "PDF":  # 480 points, at 200 dots per inch
        assert (decoded.width, decoded.height) == (1333, 1000)
    else:
        assert (decoded.width, decoded.height) == (480, 360)
    assert decoded.warnings == ()


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_of_pixels_holds_before_anything_is_decoded(kind: str) -> None:
    error = failure(KINDS[kind][0], max_pixels=1000)
    assert error.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_is_an_error_or_shows_its_beginning(kind: str) -> None:
    data, _ = KINDS[kind]
    error = failure(data[: len(data) // 20])
    assert error.code in {ErrorCode.TRUNCATED, ErrorCode.CORRUPT, ErrorCode.UNSUPPORTED}


def test_a_camera_raw_file_is_developed() -> None:
    mosaic = np.full((480, 640), 12_000, np.uint16)
    mosaic[:, :320] = 2_000
    decoded = decode(raw_file(mosaic), SIZE)
    assert (decoded.format, decoded.width, decoded.height) == ("RAW", 640, 480)
    left, right = decoded.pixels[:, : SIZE // 3].mean(), decoded.pixels[:, -SIZE // 3 :].mean()
    assert left < right - 60


@pytest.mark.parametrize(
    "size", [(1, 1), (8, 8), (256, 256), (257, 255), (640, 480), (300, 451), (1920, 1080), (9, 600)]
)
def test_the_size_of_a_jpeg_xl_is_read_from_its_head(size: tuple[int, int]) -> None:
    width, height = size
    assert jxl_size(bytes(imagecodecs.jpegxl_encode(np.zeros((height, width, 3), np.uint8)))) == size


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("profile", [False, True])
def test_jpeg_2000_with_alpha_or_a_profile_is_read(mode: str, profile: bool) -> None:
    data = encoded(quarters(480, 360).convert(mode), "JPEG2000")
    if profile:
        data = with_profile(data, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert_shows(decode(data, SIZE).pixels, GRAYS if mode.startswith("L") else CORNERS)


@pytest.mark.parametrize("bits", [9, 12, 16])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_white_of_a_deep_jpeg_2000_is_white_and_alpha_is_alpha(channels: int, bits: int) -> None:
    """Pillow 13 rounds the highest values up to 256, and so to 0."""
    white = (1 << bits) - 1
    samples = np.full((360, 480, channels), white, np.uint16)
    samples[:, 240:, 0] = white // 2
    if channels in {2, 4}:
        samples[180:, 240:, -1] = 0
    data = bytes(imagecodecs.jpeg2k_encode(samples, level=0, codecformat="jp2", bitspersample=bits))
    decoded = decode(data, SIZE)
    assert (decoded.format, decoded.width, decoded.height) == ("JPEG2000", 480, 360)
    half = (127, 127, 127) if channels == 2 else (127, 255, 255)
    hidden = (255, 255, 255) if channels in {2, 4} else half
    corners = np.array([[(255, 255, 255), half], [(255, 255, 255), hidden]], np.uint8)
    assert_shows(decoded.pixels, corners)
    assert failure(data, max_pixels=1000).code is ErrorCode.TOO_LARGE
    assert failure(data[: len(data) // 2]).code is ErrorCode.TRUNCATED


def test_a_dim_jpeg_2000_of_12_bits_stays_dim() -> None:
    samples = np.full((64, 64, 3), 400, np.uint16)
    data = bytes(imagecodecs.jpeg2k_encode(samples, level=0, codecformat="jp2", bitspersample=12))
    assert np.abs(decode(data, SIZE).pixels.astype(int) - 25).max() <= 1


def test_deep_jpeg_2000_that_imagecodecs_refuses_is_read_by_pillow() -> None:
    """An alpha of 8 bits beside colours of 16: what is encoded is shifted, for the decoder shifts by its own depth."""
    samples = np.dstack([RGB.astype(np.uint16) * 250, np.full_like(GRAY, 255, np.uint16) + (1 << 15) - (1 << 7)])
    data = bytes(imagecodecs.jpeg2k_encode(samples, level=0, codecformat="jp2", mct=False))
    alpha = data.index(b"\xff\x4f\xff\x51") + 4 + 38 + 3 * 3
    assert data[alpha] == 15
    assert_shows(decode(data[:alpha] + b"\7" + data[alpha + 1 :], SIZE).pixels, CORNERS)


@pytest.mark.parametrize("rows", [1, 5])
def test_samples_are_converted_the_same_however_many_at_a_time(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    samples = np.random.default_rng(0).integers(0, 1 << 16, (37, 23, 4), np.uint16)
    whole = second._in_8_bits(samples, None)
    monkeypatch.setattr(second, "_AT_ONCE", rows * 23 * 4)
    assert np.array_equal(second._in_8_bits(samples, None), whole)
    assert np.abs(whole - samples / 257).max() <= 0.5 + 1e-3


def test_jpeg_2000_in_ycc_is_shown_in_its_colours() -> None:
    ycc = np.asarray(quarters(480, 360).convert("YCbCr"))
    data = encoded(Image.fromarray(ycc), "JPEG2000")
    at = data.index(b"colr\x01") + 7
    declared = data[:at] + struct.pack(">I", 24) + data[at + 4 :]  # e-sYCC
    shown = load_second(declared, "JPEG2000", SIZE, 1 << 20, None).image.convert("RGB")
    assert_shows(np.asarray(shown.resize((SIZE, SIZE))), CORNERS)


def with_profile(data: bytes, profile: bytes) -> bytes:
    """A JPEG 2000 file with an ICC profile in place of its enumerated colour space."""
    start, head = data.index(b"colr") - 4, data.index(b"jp2h") - 4
    length, whole = (int.from_bytes(data[at : at + 4], "big") for at in (start, head))
    box = struct.pack(">I", 11 + len(profile)) + b"colr\2\0\0" + profile
    grown = struct.pack(">I", whole - length + len(box))
    return data[:head] + grown + data[head + 4 : start] + box + data[start + length :]


@pytest.mark.parametrize(("module", "kind", "what"), [("pi_heif", "HEIF", "HEIC"), ("pypdfium2", "PDF", "PDF")])
def test_without_its_library_a_row_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, module: str, kind: str, what: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as where it is not installed
    error = failure(KINDS[kind][0])
    assert error.code is ErrorCode.UNSUPPORTED
    assert error.detail == f"{what}: to read it, pip install 'artylyze[formats]'"


def test_without_its_library_a_camera_raw_file_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    error = failure(raw_file(np.full((48, 64), 9_000, np.uint16)))
    assert (error.code, error.detail) == (
        ErrorCode.UNSUPPORTED,
        "a camera raw file: to read it, pip install 'artylyze[formats]'",
    )


def test_what_pillow_reads_never_comes_to_the_second_decoder() -> None:
    """Its pixels are those of the first decoder alone, whatever is installed."""
    code = (
        "import artylyze.images as images\n"
        "from tests.faults.fuzz import pictures\n"
        "def refuse(data, name, *_):\n"
        "    raise AssertionError(name)\n"
        "images.load_second = refuse\n"
        "print(sum(images.decode(data, 64).pixels.shape == (64, 64, 3) for data in pictures().values()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert int(done.stdout) >= 28, done.stderr
