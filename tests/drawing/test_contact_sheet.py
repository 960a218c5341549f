from __future__ import annotations

import numpy as np
from PIL import ImageChops

from artylyze.drawing.contact_sheet import TILE, Tile, contact_sheet


def tile(*lines: str, aspect: float = 1.0) -> Tile:
    return Tile(np.full((TILE, TILE, 3), 200, np.uint8), aspect, lines)


def test_rows_follow_from_the_number_of_tiles() -> None:
    heights = [contact_sheet("", [tile("a")] * count, columns=3).height for count in (0, 1, 3, 4)]
    assert heights[1] == heights[2]
    assert heights[0] < heights[1] < heights[3]


def test_letters_of_other_languages_differ() -> None:
    """A font without them draws the same box for each."""
    sheets = [contact_sheet("", [tile(letter)]) for letter in "öüéłčжΩ"]
    assert all(ImageChops.difference(sheets[0], other).getbbox() for other in sheets[1:])


def test_an_image_is_shown_in_its_own_aspect() -> None:
    pixels = np.asarray(contact_sheet("", [tile(aspect=2.0)]))
    shown = (pixels == 200).all(axis=2)
    assert (shown.any(axis=1).sum(), shown.any(axis=0).sum()) == (TILE // 2, TILE)


def test_a_long_caption_stays_within_its_tile() -> None:
    pixels = np.asarray(contact_sheet("", [tile("W" * 500), tile("")], columns=2))
    gap = pixels[:, 14 + TILE + 1 : 14 + TILE + 13]
    assert (gap == gap[0, 0]).all()
