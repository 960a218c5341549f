"""Bytes to a square: every mode the right way up and in its colours, no more decoded than needed, failures by name."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from artylyze.errors import ErrorCode, ImageError
from artylyze.images import IMAGE_EXTENSIONS, decode

SIZE = 48
RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 180, 60), (40, 60, 200), (255, 255, 255)
CORNERS = np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8)
Pixels = npt.NDArray[np.uint8]


def quarters(width: int, height: int) -> Image.Image:
    """Red and green above, blue and white below: tells every orientation from every other."""
    return Image.fromarray(CORNERS).resize((width, height), Image.Resampling.NEAREST)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corners(pixels: Pixels) -> npt.NDArray[np.int16]:
    """The colours in the middle of the four quarters, (2, 2, 3)."""
    quarter = len(pixels) // 4
    return pixels[quarter :: 2 * quarter, quarter :: 2 * quarter][:2, :2].astype(np.int16)


def assert_shows(pixels: Pixels, expected: npt.ArrayLike, within: int = 12) -> None:
    difference = np.abs(corners(pixels) - np.asarray(expected, np.int16)).max()
    assert difference <= within, (corners(pixels), expected)


def failure(data: bytes, **options: Any) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, SIZE, **options)
    assert "\n" not in caught.value.detail
    return caught.value


# --- what is shown -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg", "quality": 95}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("JPEG2000", {}),
        ("AVIF", {"quality": 95}),
        ("BMP", {}),
        ("PPM", {}),
        ("PCX", {}),
        ("SGI", {}),
        ("TGA", {}),
        ("MPO", {"quality": 95}),
    ],
)
def test_every_format_shows_its_picture(kind: str, options: dict[str, Any]) -> None:
    decoded = decode(encoded(quarters(301, 200), kind, **options), SIZE)
    assert decoded.pixels.shape == (SIZE, SIZE, 3)
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.flags.c_contiguous
    assert (decoded.width, decoded.height) == (301, 200)
    assert decoded.format in {kind, "JPEG"}
    assert_shows(decoded.pixels, CORNERS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"])
def test_every_tiff_mode_shows_its_picture(mode: str) -> None:
    source = quarters(120, 80)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        source = ImageCms.profileToProfile(source, *profiles, outputMode="LAB") or source
        expected = CORNERS
    elif mode in {"1", "L", "LA", "I;16", "I", "F"}:
        gray = np.array([[255, 0], [0, 255]], np.uint8)
        source = Image.fromarray(gray).resize((120, 80), Image.Resampling.NEAREST)
        expected = gray[:, :, None].repeat(3, axis=2)
        source = source.convert("I").point(lambda value: value * 257).convert("I;16") if mode == "I;16" else source
    else:
        expected = CORNERS
    source = (
        source if source.mode == mode else source.convert("P").convert(mode) if mode == "PA" else source.convert(mode)
    )
    assert_shows(decode(encoded(source, "TIFF"), SIZE).pixels, expected, within=16)


@settings(max_examples=60, deadline=None)
@given(
    orientation=st.integers(0, 9),
    width=st.integers(2, 900),
    height=st.integers(2, 900),
    kind=st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP"]),
)
def test_orientation_is_applied_whatever_the_size(orientation: int, width: int, height: int, kind: str) -> None:
    width, height = width + width % 2, height + height % 2
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    decoded = decode(encoded(quarters(width, height), kind, exif=exif, **options), SIZE)
    a, b, c, d = "red", "green", "blue", "white"
    colours = dict(zip((a, b, c, d), CORNERS.reshape(4, 3), strict=True))
    turned = {
        2: (b, a, d, c),
        3: (d, c, b, a),
        4: (c, d, a, b),
        5: (a, c, b, d),
        6: (c, a, d, b),
        7: (d, b, c, a),
        8: (b, d, a, c),
    }.get(orientation, (a, b, c, d))
    assert (decoded.width, decoded.height) == ((height, width) if orientation in {5, 6, 7, 8} else (width, height))
    within = 90 if min(width, height) < 16 else 12  # enlarging rings, and blocks of a JPEG mix
    assert_shows(decoded.pixels, np.array([colours[name] for name in turned]).reshape(2, 2, 3), within)


def test_broken_exif_is_ignored() -> None:
    decoded = decode(encoded(quarters(90, 60), "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff\1\2\3"), SIZE)
    assert_shows(decoded.pixels, CORNERS)


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 2000), height=st.integers(1, 2000), mode=st.sampled_from(["L", "RGB", "RGBA", "P", "CMYK"]))
def test_any_size_of_any_mode_becomes_a_square(width: int, height: int, mode: str) -> None:
    kind = "JPEG" if mode in {"L", "RGB", "CMYK"} else "PNG"
    decoded = decode(encoded(Image.new(mode, (width, height)), kind), SIZE)
    assert decoded.pixels.shape == (SIZE, SIZE, 3)
    assert (decoded.width, decoded.height) == (width, height)


def test_the_whole_picture_is_squashed_not_cropped() -> None:
    assert_shows(decode(encoded(quarters(2000, 100), "PNG"), SIZE).pixels, CORNERS)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_or_page_is_shown(kind: str) -> None:
    others = [Image.new("RGB", (80, 80), "black") for _ in range(3)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(quarters(80, 80), kind, save_all=True, append_images=others, **options)
    assert_shows(decode(data, SIZE).pixels, CORNERS)


# --- colour ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_white_and_leaves_no_fringe(mode: str) -> None:
    ink = np.zeros((64, 64, 4), np.uint8)
    ink[:, :32] = (0, 0, 0, 255)  # the transparent half is black too: premultiplying must keep it out
    image = Image.fromarray(ink)
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    pixels = decode(encoded(image, "PNG"), SIZE).pixels
    assert (pixels[:, :20] == 0).all()
    assert (pixels[:, 28:] == 255).all()


@pytest.mark.parametrize(("depth", "key"), [(1, 0), (8, 0), (16, 0)])
def test_the_transparent_value_of_a_gray_png_is_white(depth: int, key: int) -> None:
    image = Image.new({1: "1", 8: "L", 16: "I;16"}[depth], (16, 16), key)
    assert (decode(encoded(image, "PNG", transparency=key), SIZE).pixels == 255).all()
    assert (decode(encoded(image, "PNG"), SIZE).pixels == 0).all()


def test_the_transparent_colour_of_an_rgb_png_is_white() -> None:
    data = encoded(Image.new("RGB", (16, 16), RED), "PNG", transparency=RED)
    assert (decode(data, SIZE).pixels == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG2000"])
@pytest.mark.parametrize("value", [0, 20_000, 40_000, 65_535])
def test_sixteen_bits_are_scaled_not_clipped(kind: str, value: int) -> None:
    data = encoded(Image.fromarray(np.full((64, 64), value, np.uint16)), kind)
    assert np.abs(decode(data, SIZE).pixels.astype(int) - round(value / 257)).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_of_either_byte_order(order: Literal["<", ">"]) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.full((32, 32), 30_000, np.uint16), byteorder=order)
    assert np.abs(decode(buffer.getvalue(), SIZE).pixels.astype(int) - 117).max() <= 1


def test_sixteen_bits_with_white_as_zero() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.full((32, 32), 65_535, np.uint16), photometric="miniswhite")
    assert (decode(buffer.getvalue(), SIZE).pixels == 0).all()


def test_twelve_bits_in_sixteen_are_not_left_in_the_dark() -> None:
    ramp = np.linspace(0, 4095, 64 * 64).astype(np.uint16).reshape(64, 64)
    assert decode(encoded(Image.fromarray(ramp), "TIFF"), SIZE).pixels.max() >= 250
    assert decode(encoded(Image.fromarray(ramp), "PNG"), SIZE).pixels.max() <= 16


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0, 3.5e9])
def test_floats_are_scaled_by_the_range_that_holds_them(top: float) -> None:
    values = np.linspace(0, top, 64 * 64, dtype=np.float32).reshape(64, 64)
    values[0, 0] = np.nan
    pixels = decode(encoded(Image.fromarray(values), "TIFF"), SIZE).pixels
    assert pixels.min() <= 4
    assert pixels.max() >= 250


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_cmyk_jpeg_as_adobe_stores_it(options: dict[str, Any]) -> None:
    assert_shows(decode(encoded(quarters(64, 64).convert("CMYK"), "JPEG", quality=98, **options), SIZE).pixels, CORNERS)


def test_cmyk_jpeg_without_the_adobe_marker_is_not_inverted() -> None:
    data = encoded(Image.eval(quarters(64, 64).convert("CMYK"), lambda value: 255 - value), "JPEG", quality=98)
    start = data.index(b"\xff\xee")
    length = struct.unpack_from(">H", data, start + 2)[0]
    assert_shows(decode(data[:start] + data[start + 2 + length :], SIZE).pixels, CORNERS)


def swapped_profile() -> bytes:
    """sRGB whose red and blue primaries are exchanged: nobody can miss whether it was applied."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * profile[131], 12)}
    red, blue = at[b"rXYZ"], at[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_foreign_profile_is_converted(kind: str) -> None:
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {"quality": 98} if kind == "JPEG" else {}
    data = encoded(quarters(64, 64), kind, icc_profile=swapped_profile(), **options)
    assert_shows(decode(data, SIZE).pixels, CORNERS[:, :, ::-1])


def test_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain, tagged = (decode(encoded(quarters(64, 64), "PNG", icc_profile=p), SIZE) for p in (None, profile))
    assert np.array_equal(plain.pixels, tagged.pixels)


@pytest.mark.parametrize("profile", [b"", b"nonsense", swapped_profile()[:300], b"\0" * 16 + b"RGB " + b"\xff" * 300])
def test_a_broken_profile_is_ignored(profile: bytes) -> None:
    assert_shows(decode(encoded(quarters(64, 64), "TIFF", icc_profile=profile), SIZE).pixels, CORNERS)


def test_a_profile_of_another_colour_space_is_ignored() -> None:
    gray = Image.new("L", (32, 32), 100)
    assert (decode(encoded(gray, "PNG", icc_profile=swapped_profile()), SIZE).pixels == 100).all()


# --- no more than needed -----------------------------------------------------------------------------------------


def test_scaled_decode_agrees_with_full_decode() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 15, 3), dtype=np.uint8)
    big = Image.fromarray(noise).resize((1003, 777), Image.Resampling.BICUBIC)
    full = np.asarray(big.resize((SIZE, SIZE), Image.Resampling.BICUBIC), int)
    for kind, options in (("JPEG", {"quality": 95}), ("JPEG2000", {}), ("JPEG2000", {"tile_size": (256, 200)})):
        scaled = decode(encoded(big, kind, **options), SIZE).pixels
        assert np.abs(scaled - full).mean() < 6, (kind, options)


def test_jpeg_is_judged_at_its_draft_size() -> None:
    data = encoded(quarters(4000, 3000), "JPEG")
    decoded = decode(data, SIZE, max_pixels=4000 * 3000 // 60)
    assert (decoded.width, decoded.height) == (4000, 3000)
    assert failure(data, max_pixels=4000 * 3000 // 70).code is ErrorCode.TOO_LARGE


def test_jpeg2000_is_judged_at_its_level() -> None:
    data = encoded(quarters(1603, 1201), "JPEG2000", num_resolutions=6)
    decoded = decode(data, SIZE, max_pixels=101 * 76)
    assert (decoded.width, decoded.height) == (1603, 1201)
    assert_shows(decoded.pixels, CORNERS)
    assert failure(data, max_pixels=100 * 75).code is ErrorCode.TOO_LARGE


def test_jpeg2000_with_an_offset_is_decoded_in_full() -> None:
    data = encoded(quarters(500, 400), "JPEG2000", offset=(10, 20), tile_size=(256, 256))
    assert_shows(decode(data, SIZE).pixels, CORNERS)


def pyramid(base: Pixels, *, sub_ifds: bool, levels: int = 4, base_tags: Any = (), **options: Any) -> bytes:
    """A tiled TIFF pyramid whose lower levels are tinted, so that the page in use shows: level n is darker by 40 n."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, **options) as tif:
        common: dict[str, Any] = {"photometric": "rgb", "tile": (64, 64), "metadata": None}
        tif.write(base, subifds=levels - 1 if sub_ifds else 0, extratags=base_tags, **common)
        for level in range(1, levels):
            smaller = np.clip(base[:: 2**level, :: 2**level].astype(int) - 40 * level, 0, 255).astype(np.uint8)
            tif.write(smaller, subfiletype=1, **common)
    return buffer.getvalue()


@pytest.mark.parametrize("sub_ifds", [True, False])
@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_a_pyramid_is_read_from_the_nearest_level_above(sub_ifds: bool, options: dict[str, Any]) -> None:
    base = np.full((600, 801, 3), 200, np.uint8)
    decoded = decode(pyramid(base, sub_ifds=sub_ifds, **options), SIZE)
    assert (decoded.width, decoded.height) == (801, 600)
    assert (decoded.pixels == 80).all()  # 75 x 101 is level 3, the smallest above 1.2 * 48
    assert (decode(pyramid(base, sub_ifds=sub_ifds, **options), 128).pixels == 160).all()  # 300 x 401: level 1
    assert (decode(pyramid(base, sub_ifds=sub_ifds, **options), 300).pixels == 200).all()


def test_levels_turn_with_the_orientation_of_the_base() -> None:
    data = pyramid(np.asarray(quarters(800, 600)), sub_ifds=False, base_tags=[(274, "H", 1, 6, True)])
    decoded = decode(data, SIZE)
    assert (decoded.width, decoded.height) == (600, 800)
    shown = corners(decoded.pixels)
    assert shown[0, 0].argmax() == 2  # blue came up
    assert shown[0, 1].argmax() == 0
    assert shown[1, 1].argmax() == 1


def test_a_reduced_page_of_another_shape_is_not_the_picture() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as tif:
        tif.write(np.asarray(quarters(800, 600)), photometric="rgb", metadata=None)
        tif.write(np.zeros((200, 200, 3), np.uint8), photometric="rgb", subfiletype=1, metadata=None)
    assert_shows(decode(buffer.getvalue(), SIZE).pixels, CORNERS)


def test_a_document_gives_its_first_page_though_later_pages_have_pyramids() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as tif:
        tif.write(np.asarray(quarters(800, 600)), photometric="rgb", metadata=None)
        tif.write(np.zeros((600, 800, 3), np.uint8), photometric="rgb", metadata=None)
        tif.write(np.zeros((150, 200, 3), np.uint8), photometric="rgb", subfiletype=1, metadata=None)
    assert_shows(decode(buffer.getvalue(), SIZE).pixels, CORNERS)


def test_a_gigapixel_pyramid_passes_by_its_small_level() -> None:
    data = bytearray(pyramid(np.full((512, 640, 3), 200, np.uint8), sub_ifds=False))
    # Blow up the first page on paper only: its tiles would be missing if anything tried to decode them.
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        tags = tif.pages[0].tags  # type: ignore[union-attr]
        offsets = [(tags[name].valueoffset, tags[name].value * 128) for name in ("ImageWidth", "ImageLength")]
        formats = [{3: "<H", 4: "<I"}[tags[name].dtype] for name in ("ImageWidth", "ImageLength")]
    for (offset, _), (_, value), layout in zip(offsets, offsets, formats, strict=True):
        if layout == "<H":
            struct.pack_into("<H", data, offset - 6, 4)  # the type SHORT becomes LONG; the value field has room
        struct.pack_into("<I", data, offset, value)
    decoded = decode(bytes(data), SIZE)
    assert (decoded.width, decoded.height) == (81_920, 65_536)
    assert (decoded.pixels == 80).all()
    assert failure(bytes(data), max_pixels=1000).code is ErrorCode.TOO_LARGE


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def half_gigapixel_png() -> bytes:
    """25,000 x 20,000 gray pixels in half a megabyte, compressed row by row."""
    squeeze = zlib.compressobj(9)
    row = bytes(1 + 25_000)
    body = b"".join([squeeze.compress(row) for _ in range(20_000)] + [squeeze.flush()])
    header = struct.pack(">IIBBBBB", 25_000, 20_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_half_a_gigapixel_in_half_a_megabyte_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = half_gigapixel_png()
    assert len(data) < 600_000
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_prepare", lambda _: pytest.fail("it began to decode"))
    error = failure(data)
    assert error.code is ErrorCode.TOO_LARGE
    assert error.detail == "25000 x 20000 pixels to decode, the limit is 134.218 million"


def test_our_limit_governs_and_pillows_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert decode(encoded(quarters(100, 100), "PNG"), SIZE).width == 100
    assert failure(b"\x89PNG\r\n\x1a\n").code is ErrorCode.TRUNCATED
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt"])
def test_bombs_in_png_chunks_stay_bounded(kind: bytes) -> None:
    png = encoded(quarters(16, 16), "PNG")
    bomb = chunk(kind, b"name\0\0" + zlib.compress(bytes(200 << 20)))
    error = failure(png[:33] + bomb + png[33:])
    assert error.code is ErrorCode.TOO_LARGE


# --- failures by name --------------------------------------------------------------------------------------------


def test_no_bytes() -> None:
    assert failure(b"").code is ErrorCode.EMPTY


@pytest.mark.parametrize(
    ("data", "seems"),
    [
        (b'<?xml version="1.0"?>\n<!-- a drawing -->\n<svg xmlns="">', "SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"\n <!DOCTYPE html><html><title>404", "an HTML page"),
        (b"\x89PN\x00hello", "unknown, begins with 89 50 4e 00 68 65 6c 6c"),
        (b"title,artist,year\n", "unknown, begins with 74 69 74 6c 65 2c 61 72"),
        (bytes(100), "unknown, begins with 00 00 00 00 00 00 00 00"),
    ],
)
def test_what_we_do_not_read_is_named(data: bytes, seems: str) -> None:
    error = failure(data)
    assert (error.code, error.detail) == (ErrorCode.UNSUPPORTED, seems)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xff\x0a" + bytes(40), "JXL: "),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL: "),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "HEIF: "),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40), "HEIF: "),
        (b"%PDF-1.7\n", "PDF: "),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(40), "RAW: "),
        (b"FUJIFILMCCD-RAW 0201", "RAW: "),
    ],
)
def test_what_the_second_decoder_cannot_read_is_named(data: bytes, kind: str) -> None:
    error = failure(data)
    assert error.code in {ErrorCode.CORRUPT, ErrorCode.TRUNCATED}
    assert error.detail.startswith(kind)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "AVIF", "BMP", "PPM", "JPEG2000"])
def test_half_a_file_is_truncated(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (80, 80, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    assert failure(data[: len(data) // 2]).code is ErrorCode.TRUNCATED


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG2000", "TIFF"])
def test_a_damaged_file_is_corrupt(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (80, 80, 3), dtype=np.uint8))
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else {"lossless": True} if kind == "WEBP" else {}
    data = bytearray(encoded(noise, kind, **options))
    if kind == "JPEG2000":
        data[data.index(b"\xff\x52") + 4 :][:40] = bytes(40)
        data[data.index(b"\xff\x52") + 4 : data.index(b"\xff\x52") + 24] = b"\xee" * 20
    else:
        data[60:4000] = b"\xee" * 3940
    assert failure(bytes(data)).code is ErrorCode.CORRUPT


def test_a_format_is_recognised_by_content_not_by_a_name() -> None:
    svg_like = encoded(quarters(40, 40), "WEBP", lossless=True, xmp=b"<svg></svg>")
    assert decode(svg_like, SIZE).format == "WEBP"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "JPEG2000", "AVIF", "BMP", "PPM", "TGA", "PCX"])
def test_a_file_cut_anywhere_raises_nothing_else(kind: str) -> None:
    data = encoded(quarters(70, 50), kind)
    for length in {*range(1, 64), *range(64, len(data), max(1, len(data) // 40))}:
        outcome(data[:length])


def outcome(data: bytes) -> None:
    try:
        shape, detail = decode(data, 16, max_pixels=1 << 22).pixels.shape, ""
    except ImageError as error:
        shape, detail = (16, 16, 3), error.detail
    assert shape == (16, 16, 3)
    assert len(detail) < 200
    assert "\n" not in detail


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_file_with_some_bytes_changed_raises_nothing_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "TGA"]))
    content = bytearray(encoded(quarters(40, 30), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    outcome(bytes(content))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    outcome(data)


def test_an_interrupt_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Image, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        decode(encoded(quarters(16, 16), "JPEG"), SIZE)


def test_running_out_of_memory_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", full)
    assert failure(encoded(quarters(16, 16), "JPEG")).code is ErrorCode.TOO_LARGE


def test_extensions_are_lower_case_with_the_dot() -> None:
    assert all(extension == extension.lower() and extension.startswith(".") for extension in IMAGE_EXTENSIONS)
    assert {".jpg", ".tif", ".tiff", ".jp2", ".jxl", ".heic", ".mpo", ".apng"} <= IMAGE_EXTENSIONS
    assert IMAGE_EXTENSIONS.isdisjoint({".svg", ".pdf", ".csv", ".xml", ".json"})
