from __future__ import annotations

import io

import numpy as np
from PIL import Image

from artylyze.drawing.plots import Bar, class_bars

BLUE, ORANGE = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)


def drawn(*panels: list[Bar]) -> np.ndarray:
    tasks = {f"task {n}": bars for n, bars in enumerate(panels)}
    with Image.open(io.BytesIO(class_bars("Classes", tasks))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def area(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels - colour).max(axis=2) < 8).sum())


def test_bars_are_as_long_as_the_counts() -> None:
    bars = [Bar("Cubism", 300, 100), Bar("Baroque", 150, 50)]
    pixels = drawn(bars)
    assert abs(area(pixels, BLUE) / area(pixels, ORANGE) - 3) < 0.25


def test_each_task_has_its_panel_two_in_a_row() -> None:
    one, two, three = (drawn(*[[Bar("a", 3, 1)]] * count) for count in (1, 2, 3))
    assert two.shape[1] == three.shape[1] == 2 * one.shape[1]
    assert three.shape[0] > two.shape[0] == one.shape[0]


def test_more_classes_make_a_taller_chart() -> None:
    heights = [drawn([Bar(f"class {n}", n, 1) for n in range(count)]).shape[0] for count in (3, 30)]
    assert heights[1] > heights[0] + 500


def test_terms_are_drawn_as_they_are() -> None:
    """A dollar is no mathematics, and a long term does not push the bars out."""
    pixels = drawn([Bar("5 $ and 6 $ {x", 4, 2), Bar("w" * 200, 4, 2), Bar("Na\u00efve Art", 0, 0)])
    assert area(pixels, BLUE) > 1000


def test_the_same_counts_make_the_same_picture() -> None:
    assert class_bars("", {"a": [Bar("x", 1, 2)]}) == class_bars("", {"a": [Bar("x", 1, 2)]})
