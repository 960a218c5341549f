"""The dominant colours of the works, as bytes that a browser searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from artylyze.exploring.works import Works
from artylyze.images.palette import MOST
from artylyze.searching.colors import palettes

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Palette:
    """The colours of n works.

    Attributes:
        colors: uint8 (n, MOST, 4): L, a and b of CIELAB as the bytes of int8, and the share times 255; 0 for none.
        lightness: uint8 (n,), the mean L times 2.55; 0 where it is not known.
    """

    colors: NDArray[np.uint8]
    lightness: NDArray[np.uint8]


def read_palette(works: Works) -> Palette | None:
    """Read the colours of a catalog; None if it has none."""
    colors, lightness = np.zeros((len(works), MOST, 4), np.uint8), np.zeros(len(works), np.uint8)
    for block in works.blocks(65_536):
        table = works.rows.take(block, ["colors"])
        if "colors" not in table.column_names:
            continue
        lab, shares = palettes(table.column("colors"))
        some = slice(block.start, block.stop)
        colors[some, :, :3] = np.clip(np.round(lab), -128, 127).astype(np.int8).view(np.uint8)
        colors[some, :, 3] = np.round(np.clip(shares, 0, 1) * 255)
        mean = (lab[:, :, 0] * shares).sum(axis=1) / np.maximum(shares.sum(axis=1), 1e-6)
        lightness[some] = np.round(np.clip(mean, 0, 100) * 2.55)
    return Palette(colors, lightness) if colors[:, :, 3].any() else None
