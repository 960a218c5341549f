"""Another photograph of a picture is told from a picture that is merely like it."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from artylyze.duplication.alignment import reduced
from artylyze.duplication.hashes import perceptual_hash
from artylyze.duplication.likeness import likeness, luminance
from tests.pictures import card, page, painting, reencoded, sheet, squeezed

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
@pytest.mark.parametrize("again", [lighter, yellowed, lambda p: cropped(lighter(p)), reencoded])
def test_a_second_photograph_of_a_page_is_found(kind: str, again: Callable[[Pixels], Pixels]) -> None:
    assert likeness(page(kind, 1), again(page(kind, 1))).same


def scaled(pixels: Pixels, share: float) -> Pixels:
    height, width = pixels.shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((int(width * share), int(height * share))))


def as_jpeg(pixels: Pixels, quality: int) -> Pixels:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out).convert("RGB"))


def tilted(pixels: Pixels) -> Pixels:
    """What another scan shows: half a degree askew, darker on the left."""
    turned = Image.fromarray(pixels).rotate(0.5, Image.Resampling.BICUBIC, fillcolor=(240, 240, 236))
    shade = np.linspace(0.7, 1.05, pixels.shape[1])[None, :, None]
    darker: Pixels = np.clip(np.asarray(turned) * shade, 0, 255).astype(np.uint8)
    return darker


def trimmed(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    return pixels[int(height * 0.02) : int(height * 0.97), int(width * 0.04) :]


AGAIN: list[Callable[[Pixels], Pixels]] = [
    lambda p: as_jpeg(p, 95),
    lambda p: as_jpeg(p, 60),
    lambda p: scaled(p, 0.8),
    lambda p: as_jpeg(scaled(p, 0.8), 60),
    tilted,
    lambda p: as_jpeg(trimmed(lighter(p)), 60),
]


@pytest.mark.parametrize("again", AGAIN, ids=["q95", "q60", "smaller", "smaller q60", "tilted", "trimmed q60"])
@pytest.mark.parametrize("drawn", [*PRINTED, "filled", "blank"])
def test_a_page_encoded_anew_or_scanned_again_is_found(drawn: str, again: Callable[[Pixels], Pixels]) -> None:
    whole = sheet(drawn, 1) if drawn in PRINTED else card(1, drawn)
    assert likeness(squeezed(whole), squeezed(again(whole))).same


@pytest.mark.parametrize("again", [lambda p: p, lambda p: as_jpeg(p, 60), tilted, trimmed])
@pytest.mark.parametrize("rest", ["filled", "blank"])
def test_cards_of_one_form_that_differ_in_a_third_of_their_lines_are_not(
    rest: str, again: Callable[[Pixels], Pixels]
) -> None:
    for seed in range(3):
        found = likeness(squeezed(card(seed, rest)), squeezed(again(card(seed + 1, rest))))
        assert not found.same, (seed, found)


def test_empty_pictures_are_like_nothing() -> None:
    blank = np.full((160, 160, 3), 200, np.uint8)
    assert not likeness(blank, blank).same
    assert not likeness(blank, painting(0)).same


def test_it_does_not_matter_which_comes_first() -> None:
    one, other = painting(3), cropped(painting(3))
    assert likeness(one, other) == likeness(other, one)


def test_a_hash_has_as_many_ones_as_zeros() -> None:
    assert 28 <= perceptual_hash(reduced(luminance(painting(0)), 32)).sum() <= 36
