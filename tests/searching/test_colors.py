"""Colours: CIEDE2000 against its authors' figures, and images by how much of a colour they have."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from artylyze.errors import UsageError
from artylyze.searching.colors import closeness, difference, palettes, parse_color

SHARMA = [  # Sharma, Wu and Dalal 2005, table 1
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (50.0, 3.2592, 0.335), 1.0),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
    ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("one", "other", "expected"), SHARMA)
def test_differences_are_those_of_the_standard(
    one: tuple[float, ...], other: tuple[float, ...], expected: float
) -> None:
    assert difference(np.array(one), np.array(other)) == pytest.approx(expected, abs=1e-4)
    assert difference(np.array(other), np.array(one)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "lab"), [("#ffffff", (100, 0, 0)), ("#000", (0, 0, 0)), ("ff0000", (53.24, 80.09, 67.20))]
)
def test_a_colour_is_written_as_in_html(text: str, lab: tuple[float, ...]) -> None:
    assert parse_color(text) == pytest.approx(lab, abs=0.02)


@pytest.mark.parametrize("text", ["brown", "#12", "#1234567", ""])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="written as in HTML"):
        parse_color(text)


def test_images_count_by_the_share_that_is_near() -> None:
    brown, sky = parse_color("#5a3a22"), parse_color("#87ceeb")
    column = palette_column([[(brown, 1.0)], [(brown, 0.5), (sky, 0.5)], [(sky, 1.0)], None, [(brown + 4, 0.9)]])

    scores = closeness(*palettes(pa.chunked_array([column])), [brown])
    both = closeness(*palettes(pa.chunked_array([column])), [brown, sky])

    assert scores[:4] == pytest.approx([1, 0.5, 0, 0], abs=1e-3)
    assert 0.5 < scores[4] < 0.9
    assert both[:4] == pytest.approx([0.5, 1, 0.5, 0], abs=1e-3)


def palette_column(images: list[list[tuple[np.ndarray[tuple[int], np.dtype[np.float64]], float]] | None]) -> pa.Array:
    """Return the column `colors` of images, each with colours in CIELAB and their shares."""
    kind = pa.list_(pa.struct([(name, pa.float32()) for name in ("l", "a", "b", "share")]))
    rows = [
        None if image is None else [{"l": c[0], "a": c[1], "b": c[2], "share": share} for c, share in image]
        for image in images
    ]
    return pa.array(rows, kind)
