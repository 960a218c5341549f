"""Warnings about pictures that can be read: each where it holds, and none on what looks like it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms, ImageDraw

from artylyze.images import decode
from artylyze.images.quality import WARNINGS, quality_warnings
from tests.images.test_decode import encoded
from tests.images.test_salvage import noise

SIZE = 192
CHART = (
    *("735244", "c29682", "627a9d", "576c43", "8580b1", "67bdaa", "d67e2c", "505ba6", "c15a63", "5e3c6c"),
    *("9dbc40", "e0a32e", "383d96", "469449", "af363c", "e7c71f", "bb5695", "0885a1", "f3f3f2", "c8c8c8"),
    *("a0a0a0", "7a7a79", "555555", "343434"),
)
"""sRGB of the 24 patches of a ColorChecker Classic (BabelColor averages, D50)."""


def chart(tilt: float, margin: int, ground: str) -> Image.Image:
    """A photograph of a colour chart of 6 x 4 patches: turned by `tilt` degrees, unevenly lit, with noise."""
    image = Image.new("RGB", (600 + 2 * margin, 400 + 2 * margin), ground)
    draw = ImageDraw.Draw(image)
    draw.rectangle((margin, margin, margin + 600, margin + 400), fill="#1c1c1c")
    for number, colour in enumerate(CHART):
        left, top = margin + 100 * (number % 6) + 8, margin + 100 * (number // 6) + 8
        draw.rectangle((left, top, left + 84, top + 84), fill=f"#{colour}")
    turned = np.asarray(image.rotate(tilt, Image.Resampling.BICUBIC, fillcolor=ground)).astype(float)
    light = np.linspace(0.85, 1.05, turned.shape[1])[None, :, None]
    grain = np.random.default_rng(4).normal(0, 2, turned.shape)
    return Image.fromarray(np.clip(turned * light + grain, 0, 255).astype(np.uint8))


def named(image: Image.Image, kind: str = "PNG", **options: Any) -> tuple[str, ...]:
    return decode(encoded(image, kind, **options), SIZE).warnings


def framed(share: float) -> Image.Image:
    """Noise within a black border that takes a share of the picture."""
    inner = round(400 * (1 - share) ** 0.5)
    image = Image.new("RGB", (400, 400), "black")
    image.paste(noise(inner, inner), ((400 - inner) // 2, (400 - inner) // 2))
    return image


def test_a_plain_picture_has_none() -> None:
    assert named(noise()) == ()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 64), ()),
        ((63, 200), ("upscaled",)),
        ((800, 100), ()),
        ((801, 100), ("extreme-aspect",)),
        ((30, 300), ("upscaled", "extreme-aspect")),
    ],
)
def test_size_and_shape(size: tuple[int, int], expected: tuple[str, ...]) -> None:
    assert named(noise(*size)) == expected


@pytest.mark.parametrize(("amplitude", "expected"), [(0, True), (2, True), (12, False)])
def test_one_colour_all_over(amplitude: int, expected: bool) -> None:
    paper = np.random.default_rng(1).normal(228, amplitude, (300, 300, 1)).repeat(3, axis=2)
    assert ("nearly-uniform" in named(Image.fromarray(np.clip(paper, 0, 255).astype(np.uint8)))) == expected


def test_a_faint_drawing_is_not_one_colour() -> None:
    sheet = Image.new("L", (600, 600), 235)
    ImageDraw.Draw(sheet).ellipse((100, 100, 500, 500), outline=150, width=12)
    assert named(sheet) == ()


@pytest.mark.parametrize(("share", "expected"), [(0.3, ()), (0.7, ("black-border",))])
def test_a_black_border(share: float, expected: tuple[str, ...]) -> None:
    assert named(framed(share)) == expected


def test_black_all_over_is_one_colour_and_no_border() -> None:
    assert named(Image.new("RGB", (200, 200))) == ("nearly-uniform",)


@pytest.mark.parametrize("tilt", [0, 3, -8])
@pytest.mark.parametrize(("margin", "ground"), [(10, "black"), (60, "gray"), (60, "white")])
@pytest.mark.parametrize("options", [{"kind": "PNG"}, {"kind": "JPEG", "quality": 70}])
def test_a_colour_chart(tilt: float, margin: int, ground: str, options: dict[str, Any]) -> None:
    assert "colour-chart" in named(chart(tilt, margin, ground), **options)


def test_a_small_chart_beside_a_picture_is_none() -> None:
    image = noise(600, 600)
    image.paste(chart(0, 10, "black").resize((200, 120)), (380, 460))
    assert named(image) == ()


def test_cmyk_without_a_profile() -> None:
    image = noise().convert("CMYK")
    assert named(image, "JPEG", quality=95) == ("no-icc",)
    assert named(image, "TIFF") == ("no-icc",)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    cmyk = profile[:16] + b"CMYK" + profile[20:]
    assert named(image, "JPEG", quality=95, icc_profile=cmyk) == ()
    assert named(image, "JPEG", quality=95, icc_profile=profile) == ("no-icc",)


@pytest.mark.parametrize(("kind", "expected"), [("GIF", "animated"), ("PNG", "animated"), ("WEBP", "animated")])
def test_several_frames(kind: str, expected: str) -> None:
    first, second = noise(), noise().transpose(Image.Transpose.ROTATE_90)
    assert named(first, kind, save_all=True, append_images=[second]) == (expected,)
    assert named(first, kind) == ()


def test_several_pages() -> None:
    pages = [noise(), noise(200, 300)]
    assert named(pages[0], "TIFF", save_all=True, append_images=pages[1:]) == ("several-pages",)
    assert named(pages[0], "MPO", save_all=True, append_images=pages[1:]) == ()


def test_a_pyramid_is_one_page() -> None:
    buffer = io.BytesIO()
    levels = [noise(640 >> level, 480 >> level) for level in range(3)]
    levels[0].save(buffer, "TIFF", save_all=True, append_images=levels[1:])
    assert decode(buffer.getvalue(), SIZE).warnings == ()


def test_a_file_that_ends_early() -> None:
    data = encoded(noise(), "JPEG", quality=95)
    assert decode(data[: len(data) * 9 // 10], SIZE).warnings == ("truncated",)


def test_they_are_named_in_the_order_of_the_list() -> None:
    pixels: npt.NDArray[np.uint8] = np.zeros((SIZE, SIZE, 3), np.uint8)
    names = quality_warnings(pixels, 10, 100)
    assert names == [name for name in WARNINGS if name in names] == ["upscaled", "extreme-aspect", "nearly-uniform"]
