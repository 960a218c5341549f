"""The dominant colours of the works, as bytes that a browser searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from artylyze.exploring.works import Works

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLORS = 5
"""Of a work, at most."""


@dataclass(frozen=True, eq=False)
class Palette:
    """The colours of n works.

    Attributes:
        colors: uint8 (n, COLORS, 4): L, a and b of CIELAB as the bytes of int8, and the share times 255; 0 for none.
        lightness: uint8 (n,), the mean L times 2.55; 0 where it is not known.
    """

    colors: NDArray[np.uint8]
    lightness: NDArray[np.uint8]


def read_palette(works: Works) -> Palette | None:
    """Read the colours of a catalog; None if it has none."""
    colors = np.zeros((len(works), COLORS, 4), np.uint8)
    lightness, there = np.zeros(len(works), np.uint8), False
    for block in works.blocks(65_536):
        table = works.rows.take(block, ["colors"])
        if "colors" in table.column_names:
            there |= _take(table.column("colors").combine_chunks(), colors[block.start :], lightness[block.start :])
    return Palette(colors, lightness) if there else None


def _take(column: pa.ListArray, colors: NDArray[np.uint8], lightness: NDArray[np.uint8]) -> bool:
    """Write the colours of works into the first rows of the arrays, and tell whether there were any."""
    counts = column.value_lengths().fill_null(0).to_numpy().astype(np.int64)
    values = column.flatten()
    if not len(values):
        return False
    rows = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    fields = [np.nan_to_num(values.field(name).fill_null(0.0).to_numpy()) for name in ("l", "a", "b", "share")]
    kept = place < COLORS
    lab = np.stack([np.clip(np.round(field), -128, 127) for field in fields[:3]], axis=1).astype(np.int8)
    share = np.round(np.clip(fields[3], 0, 1) * 255).astype(np.uint8)
    colors[rows[kept], place[kept]] = np.concatenate([lab.view(np.uint8), share[:, None]], axis=1)[kept]
    weights = np.bincount(rows, fields[3], len(counts))
    total = np.bincount(rows, fields[3] * fields[0], len(counts))
    mean = np.divide(total, weights, out=np.zeros(len(counts)), where=weights > 0)
    lightness[: len(counts)] = np.round(np.clip(mean, 0, 100) * 2.55)
    return True
