"""A catalog of many different works for `benchmarks/duplicates.py`: embeddings among real ones, thumbnails of patches.

Embeddings are those of `benchmarks/search.py`. A thumbnail is four patches of four paintings, drawn anew for each row,
so that no two rows show one work; a row leads to a painting's file, so that what is compared in full can be read.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from benchmarks.search import extended, write_catalog

SIDE = 128
"""Pixels of a thumbnail's sides."""

PAINTINGS = 500
"""Paintings of which patches are taken."""


def write_many(folder: Path, real: NDArray[np.float32], paintings: Sequence[Path], rows: int) -> str:
    """Write a catalog of so many rows and return its address."""
    squares = np.stack([_square(path) for path in paintings[:PAINTINGS]])

    def pictures(numbers: range) -> Mapping[str, pa.Array]:
        with ThreadPoolExecutor() as pool:
            thumbnails = list(pool.map(lambda row: _mosaic(squares, row), numbers))
        return {
            "uri": pa.array([str(paintings[row % len(paintings)].resolve()) for row in numbers]),
            "width": pa.array([300] * len(numbers), pa.int32()),
            "height": pa.array([300] * len(numbers), pa.int32()),
            "thumbnail": pa.array(thumbnails, pa.binary()),
        }

    return write_catalog(folder, extended(real, rows), pictures)


def _square(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((2 * SIDE, 2 * SIDE), Image.Resampling.BOX))


def _mosaic(squares: NDArray[np.uint8], row: int) -> bytes:
    random = np.random.default_rng(row)
    picture = np.empty((SIDE, SIDE, 3), np.uint8)
    down, along = random.integers(SIDE // 4, 3 * SIDE // 4, 2)
    for vertical in (slice(0, down), slice(down, SIDE)):
        for horizontal in (slice(0, along), slice(along, SIDE)):
            height, width = vertical.stop - vertical.start, horizontal.stop - horizontal.start
            top, left = random.integers(0, 2 * SIDE - height), random.integers(0, 2 * SIDE - width)
            square = squares[random.integers(len(squares))]
            picture[vertical, horizontal] = square[top : top + height, left : left + width]
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=85)
    return out.getvalue()
