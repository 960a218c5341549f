"""Another photograph of a picture is told from a picture that is merely like it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from artylyze.profiling.duplicates import likeness, perceptual_hash
from tests.pictures import page, painting, reencoded

Pixels = npt.NDArray[np.uint8]


def cropped(pixels: Pixels) -> Pixels:
    """What a photograph shows that lacks some of the left and the bottom."""
    size = len(pixels)
    return np.asarray(Image.fromarray(pixels[: int(size * 0.97), int(size * 0.05) :]).resize((size, size)))


def lighter(pixels: Pixels) -> Pixels:
    brighter: Pixels = np.clip(pixels * 1.2 + 12.0, 0, 255).astype(np.uint8)
    return brighter


def yellowed(pixels: Pixels) -> Pixels:
    older: Pixels = (255 * (pixels / 255) ** 1.4 * np.array([1, 0.93, 0.8])).astype(np.uint8)
    return older


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("again", [reencoded, cropped, lighter, yellowed, lambda p: cropped(lighter(reencoded(p)))])
def test_a_second_photograph_is_found(seed: int, again: Callable[[Pixels], Pixels]) -> None:
    assert likeness(painting(seed), again(painting(seed))).same


@pytest.mark.parametrize("seed", range(5))
def test_another_work_with_the_same_composition_is_not(seed: int) -> None:
    """A sea below a sky: what is coarse is the same, what is fine is not."""
    first, second = (Image.fromarray(painting(number)) for number in (seed, 100 + seed))
    coarse = first.filter(ImageFilter.GaussianBlur(16))
    like = np.asarray(Image.blend(coarse, second, 0.4))
    assert not likeness(np.asarray(Image.blend(coarse, first, 0.4)), like).same


def test_unlike_works_are_not() -> None:
    assert not any(likeness(painting(seed), painting(seed + 50)).same for seed in range(10))


PRINTED = ("text", "letter", "form", "drawing")


@pytest.mark.parametrize("kind", [*PRINTED, "frame", "blank"])
def test_pages_that_share_what_is_printed_are_not(kind: str) -> None:
    pages = [page(kind, seed) for seed in range(5)]
    assert not any(likeness(pages[number], pages[number + 1]).same for number in range(4))


@pytest.mark.parametrize("kind", PRINTED)
@pytest.mark.parametrize("again", [lighter, yellowed, lambda p: cropped(lighter(p))])
def test_a_second_photograph_of_a_page_is_found(kind: str, again: Callable[[Pixels], Pixels]) -> None:
    assert likeness(page(kind, 1), again(page(kind, 1))).same


def test_empty_pictures_are_like_nothing() -> None:
    blank = np.full((160, 160, 3), 200, np.uint8)
    assert not likeness(blank, blank).same
    assert not likeness(blank, painting(0)).same


def test_it_does_not_matter_which_comes_first() -> None:
    one, other = painting(3), cropped(painting(3))
    assert likeness(one, other) == likeness(other, one)


def test_a_hash_has_as_many_ones_as_zeros() -> None:
    assert 28 <= perceptual_hash(painting(0)).sum() <= 36
