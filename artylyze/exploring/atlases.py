"""Thumbnails of many works in one JPEG: square cells of 128, 64 and 32 pixels, in the order of the works.

A thumbnail lies at the top left of its cell, in the shape of its work; without a picture the cell is grey.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

from PIL import Image

from artylyze.errors import ErrorCode, ImageError
from artylyze.workers.fetching import Source
from artylyze.workers.protocol import Seen
from artylyze.workers.reading import Reader

CELL = 128
"""Longest side of a thumbnail, pixels."""

SIDES = {128: 8, 64: 32, 32: 64}
"""Cells along a side of an atlas, by their size in pixels: 64, 1,024 and 4,096 works."""

BLOCK = 4096
"""Works that are made together: one atlas of the smallest cells, and whole ones of the others."""

QUALITY = {128: 82, 64: 75, 32: 75}
_PAPER, _GREY = (255, 255, 255), (214, 214, 214)


def size_in(cell: int, width: int, height: int) -> tuple[int, int]:
    """Return the pixels of a thumbnail in its cell; of a work of unknown shape, the whole cell."""
    if width <= 0 or height <= 0:
        return cell, cell
    scale = cell / max(width, height)  # halves are rounded up, as JavaScript does
    return max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5))


def from_jpeg(data: bytes | None, width: int, height: int) -> Image.Image | None:
    """Return a catalog's thumbnail in the size that it has in a cell; None where there is none that can be read."""
    if data is None:
        return None
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG",)).convert("RGB")
    except (OSError, ValueError):
        return None
    size = size_in(CELL, width, height)
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def read_originals(
    reader: Reader, sources: Sequence[Source], shapes: Sequence[tuple[int, int]]
) -> tuple[list[Image.Image | None], dict[str, int]]:
    """Read thumbnails from the works themselves, and return them with the number that failed, by error code."""
    outcomes: list[Seen | ImageError | None] = [None] * len(sources)
    found: list[Image.Image | None] = [None] * len(sources)
    for batch in reader.read(sources, outcomes, 16):
        for row, pixels in zip(batch.rows, batch.filled, strict=True):
            size = size_in(CELL, *shapes[row])
            found[row] = Image.fromarray(pixels.copy()).resize(size, Image.Resampling.LANCZOS)
    reasons: dict[str, int] = {}
    for outcome in outcomes:
        if not isinstance(outcome, Seen):
            code = str(outcome.code if isinstance(outcome, ImageError) else ErrorCode.UNREACHABLE)
            reasons[code] = reasons.get(code, 0) + 1
    return found, reasons


def draw(
    images: Sequence[Image.Image | None], shapes: Sequence[tuple[int, int]], first: int, pool: Executor
) -> Iterator[tuple[str, bytes]]:
    """Draw the atlases of a block of works, and yield their keys and JPEG files.

    Args:
        images: of the block, thumbnails as `from_jpeg` returns them, None for a grey cell.
        shapes: width and height of each work.
        first: number of the block's first work, a multiple of BLOCK.
        pool: threads that draw; Pillow lets them run side by side.
    """
    for cell, side in SIDES.items():
        count = side * side
        starts = range(0, len(images), count)
        parts = [(images[start : start + count], shapes[start : start + count], cell, side) for start in starts]
        for start, data in zip(starts, pool.map(_atlas, *zip(*parts, strict=True)), strict=True):
            yield f"data/thumbs/{cell}/{(first + start) // count}.jpg", data


def keys(count: int) -> Iterator[str]:
    """Yield the keys of the atlases of so many works."""
    for cell, side in SIDES.items():
        yield from (f"data/thumbs/{cell}/{number}.jpg" for number in range(-(-count // (side * side))))


def _atlas(images: Sequence[Image.Image | None], shapes: Sequence[tuple[int, int]], cell: int, side: int) -> bytes:
    atlas = Image.new("RGB", (side * cell, side * cell), _PAPER)
    for number, (image, shape) in enumerate(zip(images, shapes, strict=True)):
        left, top = number % side * cell, number // side * cell
        if image is None:
            atlas.paste(_GREY, (left, top, left + cell, top + cell))
            continue
        size = size_in(cell, *shape)
        atlas.paste(image if image.size == size else image.resize(size, Image.Resampling.BOX), (left, top))
    out = io.BytesIO()
    atlas.save(out, "JPEG", quality=QUALITY[cell])
    return out.getvalue()
