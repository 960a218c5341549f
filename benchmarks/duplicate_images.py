"""A collection in which it is known which images show one work: paintings, and variants of some of them.

Variants are what happens to photographs of a work between an archive's folders: encoded anew, made smaller, trimmed,
developed in another light, without colour, turned, mirrored, photographed with a colour chart beside the frame. They
are written as JPEG of quality 90 unless the kind says otherwise, so no variant has the bytes of its painting.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw

from benchmarks.inputs import SEED

QUALITY = 90
SMALLER, TRIMMED = 0.7, 0.08
"""Scale of the smaller variant; share of the width and of the height that is cut off at each of the four edges."""

GAMMAS = (0.6, 1.6)
CHART = 0.14
"""Width of the colour chart and its ground, as a share of the painting's width."""

_PATCHES = ((0, 130, 160), (0, 150, 70), (240, 230, 50), (200, 30, 40), (190, 60, 140), (250, 250, 250), (80, 50, 40))

Draw = random.Random


def _same(image: Image.Image, _draw: Draw) -> Image.Image:
    return image


def _smaller(image: Image.Image, _draw: Draw) -> Image.Image:
    size = (max(1, round(image.width * SMALLER)), max(1, round(image.height * SMALLER)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _trimmed(image: Image.Image, _draw: Draw) -> Image.Image:
    left, top = round(image.width * TRIMMED), round(image.height * TRIMMED)
    return image.crop((left, top, image.width - left, image.height - top))


def _gamma(image: Image.Image, draw: Draw) -> Image.Image:
    gamma = draw.choice(GAMMAS)
    return image.point([round(255 * (value / 255) ** gamma) for value in range(256)] * 3)


def _grey(image: Image.Image, _draw: Draw) -> Image.Image:
    return image.convert("L").convert("RGB")


def _rotated(image: Image.Image, draw: Draw) -> Image.Image:
    return image.rotate(draw.choice((90, 180, 270)), expand=True)


def _mirrored(image: Image.Image, _draw: Draw) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _chart(image: Image.Image, draw: Draw) -> Image.Image:
    """Beside the painting, on the right or below, a dark ground with a row of patches."""
    below = draw.random() < 0.5
    long, broad = (image.width, image.height) if below else (image.height, image.width)
    added = max(8, round(CHART * broad))
    strip = Image.new("RGB", (long, added), (46, 46, 46))
    pen, step = ImageDraw.Draw(strip), long / (len(_PATCHES) + 2)
    for number, patch in enumerate(_PATCHES, 1):
        pen.rectangle((number * step, added * 0.25, (number + 0.9) * step, added * 0.75), fill=patch)
    strip = strip if below else strip.rotate(90, expand=True)
    size = (image.width, image.height + added) if below else (image.width + added, image.height)
    whole = Image.new("RGB", size)
    whole.paste(image, (0, 0))
    whole.paste(strip, (0, image.height) if below else (image.width, 0))
    return whole


KINDS: Mapping[str, tuple[Callable[[Image.Image, Draw], Image.Image], int]] = {
    "encoded anew": (_same, 40),
    "0.7 of the size": (_smaller, QUALITY),
    "8% off each edge": (_trimmed, QUALITY),
    "gamma": (_gamma, QUALITY),
    "grey": (_grey, QUALITY),
    "rotated": (_rotated, QUALITY),
    "mirrored": (_mirrored, QUALITY),
    "colour chart": (_chart, QUALITY),
}
"""What is done to a painting, by the name of the kind, and the JPEG quality of what is written."""


def varied(painting: Path, folder: Path) -> None:
    """Write one variant of each kind of a painting; their names are its own with the number of the kind."""
    draw = random.Random(f"{SEED} {painting.name}")
    with Image.open(painting) as file:
        image = file.convert("RGB")
    for number, (change, quality) in enumerate(KINDS.values()):
        change(image, draw).save(folder / variant_name(painting, number), quality=quality)


def variant_name(painting: Path, kind: int) -> str:
    """The file name of a variant."""
    return f"{painting.stem}~{kind}.jpg"


def truth(names: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    """Return for each file name the painting that it shows and the kind of variant, None for the painting itself."""
    kinds, known = list(KINDS), {}
    for name in names:
        stem, tilde, kind = name.rpartition(".")[0].partition("~")
        known[name] = (stem, kinds[int(kind)] if tilde else None)
    return known


def write_variants(paintings: Sequence[Path], folder: Path) -> None:
    """Write the variants of some paintings."""
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(partial(varied, folder=folder), paintings, chunksize=20))
