"""Files that end before their picture does: the lines that are there, and the share that is missing."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from artylyze.images.scaled import Scaled, check_size, load_scaled, scaled_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.ImageFile import ImageFile
    from PIL.JpegImagePlugin import JpegImageFile

BY_LINES = frozenset({"JPEG", "PNG", "BMP", "PPM", "SGI", "SUN", "PCX", "TGA"})
"""Formats that Pillow decodes line by line; of others nothing can be had before their end (but of TIFF, by strips)."""

_END, _SCAN, _TABLE = b"\xff\xd9", b"\xff\xda", b"\xff\xc4"  # JPEG markers
_BLACK, _GRAY = 0, 128  # what stands where nothing was decoded; gray stays
_HELD_BACK = 18  # lines of a JPEG that its decoder does not give before it has seen what follows
_PAINTED = 0.25  # share of a JPEG, from below, that is looked at for one colour all over


def load_partly(
    opened: Callable[[bytes], ImageFile], data: bytes, name: str, need: int, max_pixels: int
) -> Scaled | None:
    """Decode what is there of `data`, a file of format `name` that ends early; None where that cannot be known.

    `opened` opens data. Of a progressive JPEG, which comes in passes over the whole picture, no line is missing once
    the first pass is there.
    """
    if name != "JPEG":
        check_size(opened(data).size, max_pixels)
        missing, image, source = _decode_lines(opened, data, None)
        return replace(scaled_of(source, image, source.size), missing=missing)
    if not opened(data).info.get("progressive"):
        missing, *_ = _decode_lines(opened, data, need)
    elif data.count(_SCAN) > 1:
        missing = 0.0
    else:
        return None
    # libjpeg gives all lines of a file that has an end, and paints those that it lacks in the last colour.
    try:
        scaled = load_scaled(opened(data + _END), data, need, max_pixels)
    except OSError:  # it breaks off in the head of a pass, which takes the end for its own
        head = max(data.rfind(_SCAN), data.rfind(_TABLE))
        scaled = load_scaled(opened(data[:head] + _END), data, need, max_pixels)
    return replace(scaled, missing=missing)


def painted_share(opened: Callable[[bytes], ImageFile], data: bytes, image: Image.Image, need: int) -> float | None:
    """The share of the lines of a JPEG that libjpeg painted since its pixels end before its header says; None: none.

    Such a file has an end: a program that did not notice put it there. `image` is the JPEG, decoded in full.
    """
    width, height = image.size
    below = image.crop((0, int(height * (1 - _PAINTED)), width, height))
    extrema = below.getextrema()
    ends = extrema if isinstance(extrema[0], tuple) else (extrema,)
    if any(low != high for low, high in cast("tuple[tuple[int, int], ...]", ends)):
        return None
    missing, *_ = _decode_lines(opened, data[: data.rfind(_END)], need)
    return missing if missing > _PAINTED and missing * height > _HELD_BACK else None


def _decode_lines(
    opened: Callable[[bytes], ImageFile], data: bytes, need: int | None
) -> tuple[float, Image.Image, ImageFile]:
    """The share of the lines that are missing, the picture with gray for them, and the file that it was opened from.

    Decoded onto black and onto gray, lines are there that come out alike. The last that a decoder holds back count as
    missing.
    """
    on_black, _ = _decode_onto(_BLACK, opened(data), need)
    image, source = _decode_onto(_GRAY, opened(data), need)
    first, second = np.asarray(on_black), np.asarray(image)
    there = (first == second).reshape(len(first), -1).all(axis=1)
    return 1 - float(there.mean()), image, source


def _decode_onto(value: int, source: ImageFile, need: int | None) -> tuple[Image.Image, ImageFile]:
    if need is not None:
        cast("JpegImageFile", source).draft(None, (need, need))
    bands = len(source.getbands())
    ground = Image.new(source.mode, source.size, (value,) * bands if bands > 1 else value)
    source.im = ground.im  # Pillow decodes into what is there
    with contextlib.suppress(Exception):  # it ends early, which is why we are here
        source.load()
    if source.mode == "P":
        ground.palette = source.palette
    ground.info = source.info
    return ground, source
