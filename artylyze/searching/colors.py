"""Works by colour: how near the dominant colours of an image are to those that are looked for.

A colour that is looked for takes from each of an image's dominant colours the share that lies near it: all of it where
the two are the same, none from a difference of FAR on. That is the earth mover's distance to a picture of that colour
alone, with a ground distance that is saturated (Pele and Werman, "Fast and Robust Earth Mover's Distances", 2009): a
white sky and a black frame are equally not brown. Differences are CIEDE2000 (Sharma, Wu and Dalal 2005), which follows
what people see far better than distances in RGB or CIELAB.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from artylyze.errors import UsageError
from artylyze.images.palette import MOST, to_lab

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAR = 20.0
"""CIEDE2000 from which on two colours have nothing in common."""

_HEX = re.compile(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")


def parse_color(text: str) -> NDArray[np.float64]:
    """Return a colour written `#7a5c2e`, `7a5c2e` or `#753` in CIELAB, float64 (3,).

    Raises:
        UsageError: for anything else.
    """
    match = _HEX.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"`color={text!r}`: a colour is written as in HTML, for example '#7a5c2e' for a brown.")
    digits = match[1] if len(match[1]) == 6 else "".join(2 * digit for digit in match[1])
    return to_lab(np.array([[float(int(digits[place : place + 2], 16))] for place in (0, 2, 4)]))[:, 0]


def difference(lab: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return CIEDE2000 between colours in CIELAB, (..., 3), for shapes that go together. Formula of Sharma et al."""
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(lab, -1, 0), np.moveaxis(other, -1, 0)
    mean_chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    grey = 1 + (1 - np.sqrt(mean_chroma**7 / (mean_chroma**7 + 25.0**7))) / 2
    chroma1, chroma2 = np.hypot(grey * a1, b1), np.hypot(grey * a2, b2)
    hue1, hue2 = np.degrees(np.arctan2(b1, grey * a1)) % 360, np.degrees(np.arctan2(b2, grey * a2)) % 360
    both = chroma1 * chroma2 > 0
    turn = np.where(both, (hue2 - hue1 + 180) % 360 - 180, 0)
    turn = np.where(both & (turn == -180), 180, turn)
    lightness, chroma = l2 - l1, chroma2 - chroma1
    hue = 2 * np.sqrt(chroma1 * chroma2) * np.sin(np.radians(turn / 2))
    mean_l, mean_c = (l1 + l2) / 2, (chroma1 + chroma2) / 2
    far = np.abs(hue1 - hue2) > 180
    mean_h = np.where(both, (hue1 + hue2 + np.where(far, 360, 0)) / 2 % 360, hue1 + hue2)
    weight = (
        1
        - 0.17 * np.cos(np.radians(mean_h - 30))
        + 0.24 * np.cos(np.radians(2 * mean_h))
        + 0.32 * np.cos(np.radians(3 * mean_h + 6))
        - 0.20 * np.cos(np.radians(4 * mean_h - 63))
    )
    for_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    for_c, for_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * weight
    rotation = np.sin(np.radians(60 * np.exp(-(((mean_h - 275) / 25) ** 2))))
    rotation *= -2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7))
    c, h = chroma / for_c, hue / for_h
    return np.asarray(np.sqrt(np.maximum(0, (lightness / for_l) ** 2 + c**2 + h**2 + rotation * c * h)))


def palettes(column: pa.ChunkedArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the column `colors` of n rows: CIELAB float32 (n, MOST, 3), and shares float32 (n, MOST), 0 for none."""
    lists = column.combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    lab, shares = no_palettes(len(lists))
    counts = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    values = lists.flatten()
    rows = np.repeat(np.arange(len(lists)), counts)
    places = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = places < MOST
    for number, name in enumerate(("l", "a", "b")):
        lab[rows[kept], places[kept], number] = values.field(name).to_numpy(zero_copy_only=False)[kept]
    shares[rows[kept], places[kept]] = values.field("share").to_numpy(zero_copy_only=False)[kept]
    return lab, shares


def no_palettes(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what `palettes` returns of rows without colours."""
    return np.zeros((count, MOST, 3), np.float32), np.zeros((count, MOST), np.float32)


def closeness(
    lab: NDArray[np.float32], shares: NDArray[np.float32], wanted: Sequence[NDArray[np.float64]]
) -> NDArray[np.float32]:
    """Return how much images are of some colours: 0 not at all, 1 of these alone and in equal shares.

    Args:
        lab: dominant colours in CIELAB, float32 (n, m, 3).
        shares: of them, float32 (n, m).
        wanted: colours in CIELAB, each float64 (3,).

    Returns:
        float32 (n,).
    """
    total = np.zeros(len(lab))
    for color in wanted:
        near = np.maximum(0, 1 - difference(lab.astype(np.float64), color) / FAR)
        total += np.minimum((near * shares).sum(axis=1), 1 / len(wanted))
    return total.astype(np.float32)
