"""Images are normalised as the exported model does it, and vary a little from epoch to epoch."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from artylyze.drawing.contact_sheet import TILE
from artylyze.extraction.cached import MOST_DEGREES, vary
from artylyze.models.bundle import Preprocessing
from artylyze.models.network import Network
from artylyze.training.augment import SHOWN, augment, augmentation_sheet, normalise, variants

PREPROCESSING = Preprocessing(24, (0.48, 0.45, 0.4), (0.22, 0.23, 0.25))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_normalisation_is_that_of_the_exported_network() -> None:
    pixels = torch.randint(0, 256, (5, 3, 24, 24), generator=generator(), dtype=torch.uint8)
    network = Network(torch.nn.Conv2d(3, 1, 1), [], PREPROCESSING)
    torch.testing.assert_close(normalise(pixels, PREPROCESSING), pixels.float() * network.scale + network.shift)


def test_values_lie_in_0_to_1_before_mean_and_deviation_apply() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, -1, -1)
    plain = normalise(pixels, Preprocessing(16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    assert (plain.min().item(), plain.max().item()) == (0.0, 1.0)


@given(count=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_shape_stays_and_the_generator_alone_decides(count: int, seed: int) -> None:
    images = torch.randn(count, 3, 12, 12, generator=generator(1))
    first, again = (augment(images, generator(seed)) for _ in range(2))
    assert first.shape == images.shape
    assert first.dtype == torch.float32
    torch.testing.assert_close(first, again, rtol=0, atol=0)


def test_about_every_second_image_is_mirrored() -> None:
    images = torch.zeros(400, 3, 16, 16)
    images[:, :, :, :8] = 1.0
    mirrored = augment(images, generator())[:, :, :, 8:].mean((1, 2, 3)) > 0.5
    assert 150 < int(mirrored.sum()) < 250


@pytest.mark.parametrize("seed", range(5))
def test_rotations_are_small_and_differ(seed: int) -> None:
    size = 65
    images = torch.zeros(64, 3, size, size)
    images[:, :, 2:5, size // 2 - 1 : size // 2 + 2] = 1.0  # a dot above the centre, the same in the mirror
    weights = augment(images, generator(seed)).mean(1)
    across = (weights.sum(1) * torch.arange(size)).sum(1) / weights.sum((1, 2)) - size // 2
    down = (weights.sum(2) * torch.arange(size)).sum(1) / weights.sum((1, 2)) - size // 2
    degrees = torch.rad2deg(torch.atan2(across, -down)).abs()
    assert degrees.max() < MOST_DEGREES + 0.5
    assert degrees.std() > 1
    assert torch.hypot(across, down).sub(size // 2 - 3).abs().max() < 1 + math.pi / 180


def test_the_picture_shows_images_above_what_a_training_sees_of_them() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), np.uint8)
    (frozen,) = variants(pixels, PREPROCESSING, frozen=True)
    assert (frozen == vary(pixels, PREPROCESSING.mean)).all()
    tuned = variants(pixels, PREPROCESSING, frozen=False)
    assert len({one.tobytes() for one in (pixels, *tuned)}) == SHOWN + 1
    heights = []
    for mode in (True, False):
        with Image.open(io.BytesIO(augmentation_sheet(pixels, PREPROCESSING, frozen=mode))) as sheet:
            heights.append(sheet.height)
    assert heights[1] > heights[0] + (SHOWN - 1) * TILE


def test_a_variant_that_is_neither_mirrored_nor_rotated_has_the_pixels_of_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("artylyze.training.augment.augment", lambda images, _: images)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), np.uint8)
    assert (variants(pixels, PREPROCESSING, frozen=False)[0] == pixels).all()
