"""TIFF as scanners, cameras and archives write it: right whatever the layout of its samples, or a row that says why."""

from __future__ import annotations

import io
import itertools
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artylyze.errors import ErrorCode
from artylyze.images import decode
from tests.images.test_decode import CORNERS, SIZE, assert_shows, encoded, failure, quarters

SHADES = np.array([[250, 10], [10, 130]], np.uint8)[..., None].repeat(3, axis=2)


def written(values: npt.NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, metadata=None, **options)
    return buffer.getvalue()


def samples(photometric: str, kind: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Four quarters of 150 x 110 pixels as samples of a kind (rows, columns, colours), and the colours to be seen."""
    gray = photometric in {"minisblack", "miniswhite"}
    colours: npt.NDArray[Any] = SHADES[..., :1] if gray else CORNERS
    shown = SHADES if gray else CORNERS
    if photometric == "separated":
        colours = np.asarray(Image.fromarray(CORNERS).convert("CMYK"))
    eight = colours.repeat(55, axis=0).repeat(75, axis=1).astype(np.uint64)
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        values = (eight / 255).astype(dtype)
    else:
        top = np.iinfo(dtype).max
        values = (eight * top // 255).astype(dtype)  # signed ones without negative values
    if photometric == "miniswhite":
        values = (np.asarray(1 if dtype.kind == "f" else np.iinfo(dtype).max, dtype) - values).astype(dtype)
    return values, shown


LAYOUTS = [
    dict(zip(("compression", "tile", "rowsperstrip", "byteorder", "predictor"), layout, strict=True))
    for layout in itertools.product(
        (None, "lzw", "deflate", "packbits", "zstd"), (None, (64, 64)), (None, 16), ("<", ">"), (None, True)
    )
    if not (layout[1] and layout[2]) and not (layout[4] and layout[0] in (None, "packbits"))
]


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb", "separated"])
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i1", "i2", "f2", "f4", "f8"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("extra", [None, "unspecified", "unassalpha"])
def test_samples_are_shown_right_whatever_their_layout(
    photometric: str, kind: str, planes: str, extra: str | None
) -> None:
    values, shown = samples(photometric, kind)
    if extra:
        opaque = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
        values = np.concatenate([values, np.full_like(values[..., :1], opaque)], axis=2)
    if planes == "separate" or values.shape[2] == 1:
        values = np.moveaxis(values, -1, 0)
    for layout in LAYOUTS[sum(map(ord, f"{photometric}{kind}{planes}{extra}")) % 7 :: 7]:  # all, over all the cases
        options = {"photometric": photometric, "planarconfig": planes, "extrasamples": [extra] if extra else None}
        if values.shape[0] == 1:
            options["planarconfig"] = None
        try:
            data = written(np.squeeze(values), **options, **layout)
        except (ValueError, TypeError, KeyError, NotImplementedError):
            continue  # tifffile has no such predictor
        assert_shows(decode(data, SIZE).pixels, shown)


@pytest.mark.parametrize("compression", ["jpeg2000", "jpegxl", "webp", "png", "jpeg", "lzma"])
@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_pictures_inside_tiff_are_read(compression: str, tile: tuple[int, int] | None) -> None:
    data = written(np.asarray(quarters(150, 110)), photometric="rgb", compression=compression, tile=tile)
    assert_shows(decode(data, SIZE).pixels, CORNERS)


@pytest.mark.parametrize(("bits", "top"), [(10, 1023), (12, 4095), (14, 16383)])
def test_packed_bits_are_read(bits: int, top: int) -> None:
    values = (SHADES[..., 0].repeat(40, axis=0).repeat(40, axis=1) / 255 * top).astype(np.uint16)
    packed = b"".join(
        int("".join(f"{value:0{bits}b}" for value in row), 2).to_bytes(len(row) * bits // 8, "big") for row in values
    )
    data = bytearray(written(np.zeros((80, 80), np.uint16)))
    assert_shows(decode(patched(bytes(data), packed, {258: bits, 279: len(packed)}), SIZE).pixels, SHADES)


def patched(data: bytes, content: bytes, tags: dict[int, int]) -> bytes:
    """A TIFF whose only strip becomes `content`, and whose tags with one value get others."""
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        page = tif.pages[0]
        offset = page.dataoffsets[0]
        places = {code: page.tags[code] for code in tags}  # type: ignore[union-attr]
    changed = bytearray(data[:offset] + content)
    for code, value in tags.items():
        struct.pack_into("<H" if places[code].dtype == 3 else "<I", changed, places[code].valueoffset, value)
    return bytes(changed)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(("top", "factor"), [(255, 1), (1023, 4), (4095, 16)])
def test_few_bits_in_sixteen_are_not_left_in_the_dark(top: int, factor: int, colour: bool) -> None:
    eight = np.asarray(quarters(120, 90)) if colour else SHADES.repeat(45, axis=0).repeat(60, axis=1)[..., 0]
    data = written(eight.astype(np.uint16) * factor, photometric="rgb" if colour else "minisblack")
    assert_shows(decode(data, SIZE).pixels, CORNERS if colour else SHADES)


def test_fourteen_bits_must_be_declared() -> None:
    values = SHADES[..., 0].repeat(40, axis=0).repeat(40, axis=1).astype(np.uint16) * 64
    assert_shows(decode(written(values, extratags=[(281, "H", 1, 16383, True)]), SIZE).pixels, SHADES)
    assert_shows(decode(written(values), SIZE).pixels, SHADES // 4)


def test_floats_a_little_above_white_are_clipped() -> None:
    values = (SHADES[..., 0].repeat(40, axis=0).repeat(40, axis=1) / 250).astype(np.float32)
    values[0, 0] = 1.004
    assert_shows(decode(written(values), SIZE).pixels, np.clip(SHADES / 250 * 255, 0, 255))


def test_negative_values_are_stretched() -> None:
    values = SHADES[..., 0].repeat(40, axis=0).repeat(40, axis=1).astype(np.int16) * 20 - 3000
    stretched = (SHADES.astype(float) - 10) / 240 * 255
    assert_shows(decode(written(values), SIZE).pixels, stretched)


def test_a_palette_of_sixteen_bits_is_looked_up() -> None:
    colormap = np.zeros((3, 65536), np.uint16)
    colormap[:, :4] = CORNERS.reshape(4, 3).T.astype(np.uint16) * 257
    indices = np.array([[0, 1], [2, 3]], np.uint16).repeat(40, axis=0).repeat(40, axis=1)
    assert_shows(decode(written(indices, photometric="palette", colormap=colormap), SIZE).pixels, CORNERS)


def test_cielab_of_sixteen_bits_is_like_that_of_eight() -> None:
    lab = np.stack([np.full((60, 60), value) for value in (60, 40, -50)], axis=2)
    eight = np.stack([lab[..., 0] * 2.55, lab[..., 1], lab[..., 2]], axis=2).astype(int).astype(np.uint8)
    sixteen = np.stack([lab[..., 0] * 655.35, lab[..., 1] * 256, lab[..., 2] * 256], axis=2).astype(np.int32)
    few, many = (
        decode(written(values, photometric="cielab"), SIZE).pixels.astype(int)
        for values in (eight, (sixteen & 0xFFFF).astype(np.uint16))
    )
    assert np.abs(few - many).max() <= 4
    assert many[0, 0, 2] > many[0, 0, 1] + 50  # blue


@pytest.mark.parametrize(
    ("tag", "value", "why"),
    [(259, 34676, "compression SGILOG"), (259, 60123, "compression 60123"), (262, 32803, "photometric interpretation")],
)
def test_what_cannot_be_read_is_named(tag: int, value: int, why: str) -> None:
    data = written(np.zeros((32, 32, 3), np.uint16), photometric="rgb")
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        content = data[tif.pages[0].dataoffsets[0] :]
    error = failure(patched(data, content, {tag: value}))
    assert error.code is ErrorCode.UNSUPPORTED
    assert why in error.detail


class TestPages:
    def write(self, *pages: tuple[tuple[int, int], dict[str, Any]]) -> bytes:
        """Pages of the quarters in a size; small ones are tinted dark."""
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as tif:
            for (width, height), options in pages:
                pixels = np.asarray(quarters(width, height))
                tif.write(pixels if width > 100 else pixels // 3, photometric="rgb", metadata=None, **options)
        return buffer.getvalue()

    @pytest.mark.parametrize("mark", [{"subfiletype": 1}, {"extratags": [(255, "H", 1, 2, True)]}, {}])
    def test_a_thumbnail_before_the_picture_is_passed_over(self, mark: dict[str, Any]) -> None:
        decoded = decode(self.write(((48, 36), mark), ((480, 360), {})), SIZE)
        assert (decoded.width, decoded.height) == (480, 360)
        assert_shows(decoded.pixels, CORNERS)

    def test_a_picture_below_its_thumbnail_is_found(self) -> None:
        decoded = decode(self.write(((48, 36), {"subifds": 1, "subfiletype": 1}), ((480, 360), {})), SIZE)
        assert (decoded.width, decoded.height) == (480, 360)
        assert_shows(decoded.pixels, CORNERS)

    def test_several_thumbnails_and_a_mask_are_passed_over(self) -> None:
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as tif:
            tif.write(np.zeros((36, 48, 3), np.uint8), photometric="rgb", subfiletype=1, metadata=None)
            tif.write(np.ones((360, 480), bool), photometric="mask", subfiletype=4, metadata=None)
            tif.write(np.zeros((40, 53, 3), np.uint8), photometric="rgb", subfiletype=1, metadata=None)
            tif.write(np.asarray(quarters(480, 360)), photometric="rgb", metadata=None)
        decoded = decode(buffer.getvalue(), SIZE)
        assert (decoded.width, decoded.height) == (480, 360)
        assert_shows(decoded.pixels, CORNERS)

    def test_a_document_keeps_its_first_page(self) -> None:
        assert decode(self.write(((90, 60), {}), ((480, 360), {})), SIZE).width == 90  # of another shape
        assert decode(self.write(((300, 225), {}), ((480, 360), {})), SIZE).width == 300  # not half as large

    def test_a_reduced_page_before_the_picture_is_decoded_for_it_where_large_enough(self) -> None:
        decoded = decode(self.write(((80, 60), {"subfiletype": 1}), ((480, 360), {})), SIZE)
        assert (decoded.width, decoded.height) == (480, 360)
        assert_shows(decoded.pixels, CORNERS // 3)

    def test_where_all_pages_are_marked_reduced_the_largest_is_the_picture(self) -> None:
        decoded = decode(self.write(((48, 36), {"subfiletype": 1}), ((480, 360), {"subfiletype": 1})), SIZE)
        assert decoded.width == 480


class TestLarge:
    @pytest.mark.parametrize(
        "options", [{}, {"compression": "lzw"}, {"tile": (128, 128)}, {"planarconfig": "separate"}, {"rowsperstrip": 7}]
    )
    def test_more_pixels_than_the_limit_are_decoded_in_strips(self, options: dict[str, Any]) -> None:
        pixels = np.asarray(quarters(1003, 777))
        pixels = np.moveaxis(pixels, -1, 0) if options.get("planarconfig") else pixels
        strips = {"rowsperstrip": 16} if not options.get("tile") else {}
        data = written(pixels, photometric="rgb", **(strips | options))
        decoded = decode(data, SIZE, max_pixels=300_000)
        assert (decoded.width, decoded.height) == (1003, 777)
        assert_shows(decoded.pixels, CORNERS)

    def test_a_compressed_strip_above_the_limit_is_too_large(self) -> None:
        data = written(np.asarray(quarters(1003, 777)), photometric="rgb", compression="lzw", rowsperstrip=777)
        error = failure(data, max_pixels=300_000)
        assert error.code is ErrorCode.TOO_LARGE
        assert error.detail == "TIFF: a strip of 1003 x 777 pixels, the limit is 0.3 million"

    @settings(max_examples=40, deadline=None)
    @given(
        width=st.integers(1, 400),
        height=st.integers(1, 400),
        rows=st.integers(1, 50),
        tiled=st.booleans(),
        seed=st.integers(0, 99),
    )
    def test_averaging_by_strips_agrees_with_averaging_the_whole(
        self, width: int, height: int, rows: int, tiled: bool, seed: int
    ) -> None:
        values = np.random.default_rng(seed).integers(0, 65536, (height, width), dtype=np.uint16)
        shape: dict[str, Any] = {"tile": (48, 32)} if tiled else {"rowsperstrip": rows}
        by_strips = decode(written(values, compression="lzw", **shape), 16).pixels.astype(int)
        image = Image.fromarray((np.clip(values / 65535 * 255 + 0.5, 0, 255)).astype(np.uint8))
        step = max(1, min(width, height) // 40)
        whole = np.asarray(image.reduce(step).resize((16, 16), Image.Resampling.BICUBIC, reducing_gap=2.0), int)
        assert np.abs(by_strips[..., 0] - whole).mean() < 4


def test_orientation_is_applied_to_what_tifffile_decodes() -> None:
    data = written(
        np.asarray(quarters(120, 80)).astype(np.uint16) * 257, photometric="rgb", extratags=[(274, "H", 1, 6, True)]
    )
    decoded = decode(data, SIZE)
    assert (decoded.width, decoded.height) == (80, 120)
    assert_shows(decoded.pixels, CORNERS.transpose(1, 0, 2)[:, ::-1])


def test_nothing_is_said_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    decode(encoded(quarters(64, 64), "TIFF")[:-40], SIZE)
    failure(b"II*\0\x08\0\0\0\xff\xff" + bytes(60))
    assert capfd.readouterr().err == ""
