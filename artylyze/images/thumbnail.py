"""A thumbnail of a picture from its decoded square, so that nothing is decoded twice."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

LONGEST = 128
"""Longer side of a thumbnail, pixels."""

QUALITY = 80
"""Of its JPEG: some 4 KB for a painting."""


def thumbnail(pixels: npt.NDArray[np.uint8], width: int, height: int) -> bytes:
    """A JPEG of a picture, LONGEST pixels on its longer side.

    Args:
        pixels: uint8 (size, size, 3): the picture, squashed to a square.
        width: of the picture as displayed, pixels; only its ratio to the height counts.
        height: of the picture as displayed, pixels.
    """
    scale = LONGEST / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    target = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(target, "JPEG", quality=QUALITY)
    return target.getvalue()
