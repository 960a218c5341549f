"""One picture: a composition for its genre, drawn and treated in the manner of its style."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from . import animals, graphic, outdoors, people, texture, things
from .canvas import Canvas, Palette
from .manner import MANNERS

COMPOSITIONS: Mapping[str, Callable[[Canvas], None]] = {
    "portrait": people.portrait,
    "landscape": outdoors.landscape,
    "cityscape": outdoors.cityscape,
    "marine painting": outdoors.marine,
    "still life": things.still_life,
    "flower painting": things.flowers,
    "animal painting": animals.animal,
    "genre painting": people.genre_scene,
    "religious painting": people.religious,
    "abstract painting": graphic.abstract,
    "sketch and study": graphic.study,
    "design": graphic.design,
}
_LONGEST = 1280  # larger pictures are painted at this length and enlarged: they are large to be decoded, not looked at


def paint(genre: str, style: str, size: tuple[int, int], palette: Palette, rng: np.random.Generator) -> Image.Image:
    """A picture in RGB of `size` (width, height); all of it follows from the arguments."""
    width, height = size
    shrink = min(1.0, _LONGEST / max(size))
    work = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    manner = MANNERS[style]
    zoom = 2 if manner.fine and max(work) <= 1024 else 1
    canvas = Canvas(work[0] * zoom, work[1] * zoom, palette, rng, manner.flat, manner.outline, manner.plain)
    COMPOSITIONS[genre](canvas)
    drawn = canvas.image.reduce(zoom) if zoom > 1 else canvas.image
    painted = manner.treat(texture.Work(drawn, palette, rng, texture.scale_of(*work)))
    return painted if work == size else painted.resize(size, Image.Resampling.BICUBIC)
