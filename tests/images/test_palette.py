from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from artylyze.images.palette import MOST, dominant_colors, to_lab


def lab(*color: int) -> npt.NDArray[np.float64]:
    return to_lab(np.array([color], float).T)[:, 0]


def stripes(shares: list[tuple[int, tuple[int, int, int]]], side: int) -> npt.NDArray[np.uint8]:
    """A square of upright stripes: how many columns of which colour."""
    columns = np.concatenate([np.tile(np.array(color, np.uint8), (count, 1)) for count, color in shares])
    return np.tile(columns, (side, 1, 1))


# References: the sRGB primaries, white and black in CIELAB under D65, e.g. http://www.brucelindbloom.com (calculator).
@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_colors_are_those_of_the_standard(color: tuple[int, int, int], expected: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(lab(*color), expected, atol=0.02)


def test_lab_agrees_with_scikit_image() -> None:
    from skimage.color import rgb2lab

    colors = np.random.default_rng(0).integers(0, 256, (500, 3))
    np.testing.assert_allclose(to_lab(colors.T.astype(float)).T, rgb2lab(colors / 255), atol=0.02)


@given(arrays(np.uint8, (24, 24, 3), elements=st.integers(0, 255), fill=st.integers(0, 255)))
@settings(max_examples=60, deadline=None)
def test_shares_sum_to_one_and_fall(pixels: npt.NDArray[np.uint8]) -> None:
    colors = dominant_colors(pixels)
    assert colors.dtype == np.float32
    assert 1 <= len(colors) <= MOST
    assert colors.shape[1] == 4
    shares = colors[:, 3]
    assert abs(shares.sum() - 1) < 1e-5
    assert (shares > 0).all()
    assert (np.diff(shares) <= 0).all()
    assert (colors[:, 0] >= -0.01).all()
    assert (colors[:, 0] <= 100.01).all()
    np.testing.assert_array_equal(colors, dominant_colors(pixels.copy()))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=MOST), st.sampled_from([32, 96, 224]))
@settings(max_examples=40, deadline=None)
def test_flat_colors_come_back_with_their_shares(parts: list[int], side: int) -> None:
    flat = [(250, 250, 250), (200, 20, 20), (20, 40, 180), (20, 20, 20), (240, 200, 40)]
    ends = np.round(np.cumsum([0, *parts]) / sum(parts) * side).astype(int)
    counts = [(int(count), color) for count, color in zip(np.diff(ends), flat, strict=False) if count]
    colors = dominant_colors(stripes(counts, side))
    assert len(colors) == len(counts)
    for count, color in counts:
        near = np.abs(colors[:, :3] - lab(*color)).max(axis=1).argmin()
        np.testing.assert_allclose(colors[near, :3], lab(*color), atol=0.01)
        assert abs(colors[near, 3] - count / side) < 0.02


def test_a_blank_square_has_one_color() -> None:
    colors = dominant_colors(np.full((224, 224, 3), 128, np.uint8))
    np.testing.assert_allclose(colors, [[53.585, 0, 0, 1]], atol=0.01)


@pytest.mark.parametrize("period", [2, 3, 5, 7, 8, 14])
@pytest.mark.parametrize("upright", [False, True])
def test_stripes_of_any_width_have_the_share_of_their_pixels(period: int, upright: bool) -> None:
    dark = np.arange(224) % period == 0
    pixels = np.full((224, 224, 3), 240, np.uint8)
    pixels[:, dark] = 10
    light, black = dominant_colors(pixels if upright else pixels.transpose(1, 0, 2).copy())
    if light[0] < black[0]:
        light, black = black, light
    assert abs(black[3] - dark.mean()) < 0.02
