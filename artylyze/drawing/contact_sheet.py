"""A contact sheet: many images on one page, each with its caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

TILE = 180
"""Side of an image on the sheet, pixels."""

_MARGIN = 14
_LINE = 17
_TITLE = 44
_INK = (34, 34, 34)
_QUIET = (102, 102, 102)
PAPER = (250, 249, 246)
"""The colour of the sheet."""


@dataclass(frozen=True)
class Tile:
    """One image of a sheet: pixels uint8 (size, size, 3), its width over its height, and the lines below it."""

    pixels: npt.NDArray[np.uint8]
    aspect: float
    lines: Sequence[str]


def size_within(longest: int, aspect: float) -> tuple[int, int]:
    """Width and height, pixels, of an image whose longer side is `longest`."""
    return max(1, round(longest * min(1, aspect))), max(1, round(longest / max(1, aspect)))


def contact_sheet(title: str, tiles: Sequence[Tile], columns: int = 6) -> Image.Image:
    """Draw a contact sheet.

    Args:
        title: over the sheet.
        tiles: the images, row by row. They come as squares and are shown in their own aspect.
        columns: images in a row.
    """
    lines = max((len(tile.lines) for tile in tiles), default=0)
    rows = -(-len(tiles) // columns)
    width = columns * (TILE + _MARGIN) + _MARGIN
    height = _TITLE + rows * (TILE + lines * _LINE + _MARGIN) + _MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 13), title, _INK, _font(16))
    font = _font(11)
    for index, tile in enumerate(tiles):
        left = _MARGIN + (index % columns) * (TILE + _MARGIN)
        top = _TITLE + (index // columns) * (TILE + lines * _LINE + _MARGIN)
        size = size_within(TILE, tile.aspect)
        shown = Image.fromarray(tile.pixels).resize(size, Image.Resampling.LANCZOS)
        sheet.paste(shown, (left + (TILE - size[0]) // 2, top + (TILE - size[1])))
        for number, line in enumerate(tile.lines):
            text = _fitting(line, font)
            draw.text((left, top + TILE + 3 + number * _LINE), text, _INK if number == 0 else _QUIET, font)
    return sheet


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which matplotlib brings along: titles are in many languages, Pillow's own font is not."""
    return ImageFont.truetype(str(files("matplotlib") / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _fitting(line: str, font: ImageFont.FreeTypeFont) -> str:
    line = " ".join(line.split())
    if font.getlength(line) <= TILE:
        return line
    while line and font.getlength(line + "...") > TILE:
        line = line[:-1]
    return line.rstrip() + "..."
