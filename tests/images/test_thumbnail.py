from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artylyze.images import decode
from artylyze.images.thumbnail import LONGEST, thumbnail


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    image.load()
    return image


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([8, 64, 224]))
@settings(max_examples=60, deadline=None)
def test_it_has_the_aspect_of_the_picture(width: int, height: int, size: int) -> None:
    image = opened(thumbnail(np.zeros((size, size, 3), np.uint8), width, height))
    assert max(image.size) == LONGEST
    scale = LONGEST / max(width, height)
    assert image.size == (max(1, round(width * scale)), max(1, round(height * scale)))


@pytest.mark.parametrize("orientation", [1, 6])
def test_it_shows_the_picture_as_displayed(orientation: int) -> None:
    pixels = np.full((300, 400, 3), 255, np.uint8)
    pixels[:, :200] = (200, 30, 30)  # left half, as stored
    source, exif = io.BytesIO(), Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(source, "JPEG", exif=exif)
    decoded = decode(source.getvalue(), 224)
    image = opened(thumbnail(decoded.pixels, decoded.width, decoded.height))
    assert image.size == ((128, 96) if orientation == 1 else (96, 128))
    shown = np.asarray(image).astype(int)
    red = shown[:, :40] if orientation == 1 else shown[:40]
    white = shown[:, -40:] if orientation == 1 else shown[-40:]
    assert np.abs(red - (200, 30, 30)).max() < 24
    assert white.min() > 230
