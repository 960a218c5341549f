"""JPEG 2000 at a reduced resolution, around what Pillow 13 gets wrong about it."""

from __future__ import annotations

import io
import math
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.ImageFile import ImageFile

_SIZ = struct.Struct(">HHIIIIIIIIH")
_START = b"\xff\x4f\xff\x51"
_LARGEST_STEP = 4  # of subsampling; beyond it the header is more likely broken than meant
_PLAIN_COLOUR = re.compile(rb"colr\x01..\0\0\0[\x10\x11]", re.DOTALL)  # enumerated: sRGB or gray


@dataclass(frozen=True, slots=True)
class Size:
    """What the marker SIZ says (ISO 15444-1, A.5.1): the picture in pixels, and the bits of each of its components."""

    width: int
    height: int
    depths: tuple[int, ...]
    subsampled: bool


@dataclass(frozen=True, slots=True)
class Codestream:
    """What a JPEG 2000 header says: `data` to decode, its size in pixels, and how often it can be halved."""

    data: bytes
    width: int
    height: int
    levels: int


def load_level(image: ImageFile, data: bytes, need: int, check: Callable[[tuple[int, int]], None]) -> Image.Image:
    """The picture opened from `data`, loaded at the lowest resolution that has both sides at least `need` pixels.

    `check` refuses a size (width, height) that is too large by raising, before anything is decoded.
    OpenJPEG leaves tiles empty that vanish at a level, and Pillow fails on them: then a level further up is decoded.
    """
    stream = None if image.mode in {"P", "PA"} else codestream(data)  # palette indices have no average
    if stream is None:
        check(image.size)
        image.load()
        return image
    level = 0
    while level < stream.levels and min(stream.width, stream.height) > (need - 1) << (level + 1):
        level += 1
    while True:
        size = (math.ceil(stream.width / (1 << level)), math.ceil(stream.height / (1 << level)))
        check(size)
        try:
            return _at_level(stream.data, level, size)
        except OSError:
            if level == 0:
                raise
            level -= 1


def _at_level(data: bytes, level: int, size: tuple[int, int]) -> Image.Image:
    # Pillow's own `reduce` rounds sizes to the nearest where OpenJPEG rounds up, and then fails on half of them.
    image = Image.open(io.BytesIO(data), formats=("JPEG2000",))
    tile = image.tile[0]
    codec, _, *others = cast("tuple[object, ...]", tile.args)
    image.tile = [tile._replace(extents=(0, 0, *size), args=(codec, level, *others))]
    image._size = size
    image.load()
    return image


def read_size(data: bytes) -> Size | None:
    """What a JPEG 2000 file says of its size; None where it has no header that can be read."""
    start = data.find(_START)
    at = start + len(_START)
    try:
        _, _, x1, y1, x0, y0, *_, count = _SIZ.unpack_from(data, at)
        components = [(data[i], data[i + 1], data[i + 2]) for i in _components(at, count)]
    except (struct.error, IndexError):
        return None
    if start < 0 or not components or x1 <= x0 or y1 <= y0:
        return None
    depths = tuple((bits & 0x7F) + 1 for bits, _, _ in components)
    return Size(x1 - x0, y1 - y0, depths, any((across, down) != (1, 1) for _, across, down in components))


def is_deep(data: bytes) -> bool:
    """Whether these are colours, or alpha, of more than 8 bits, for which Pillow is not asked.

    It rounds their highest values up to 256, which a byte holds as 0: white is black then. It is asked for what
    imagecodecs does not read either, or not in one scale: subsampled components, and those of several depths.
    """
    size = read_size(data)
    if size is None or size.subsampled:
        return False
    return len(size.depths) > 1 and len(set(size.depths)) == 1 and size.depths[0] > 8


def codestream(data: bytes) -> Codestream | None:
    """The geometry of a JPEG 2000 file (ISO 15444-1, A.5.1 and A.6.1); None where the header is not understood.

    Pillow scrambles reduced images whose components are subsampled. Where all are alike, the same picture is declared
    on a grid of its own; where they differ, no level is offered that does not divide evenly.
    """
    start = data.find(_START)
    at = start + len(_START)
    try:
        length, _, x1, y1, x0, y0, tile_w, tile_h, tile_x, tile_y, components = _SIZ.unpack_from(data, at)
        steps = {(data[i + 1], data[i + 2]) for i in _components(at, components)}
        levels = _levels(data, at + length)
    except (struct.error, IndexError):
        return None
    if start < 0 or levels is None or x0 or y0 or tile_x or tile_y:
        return None
    if steps == {(1, 1)}:
        return Codestream(data, x1, y1, levels)
    alike = len(steps) == 1 and max(max(steps)) <= _LARGEST_STEP
    if alike and tile_w >= x1 and tile_h >= y1 and (start == 0 or _PLAIN_COLOUR.search(data, 0, start)):
        (step,) = steps
        return _on_own_grid(data[start:], math.ceil(x1 / step[0]), math.ceil(y1 / step[1]), levels)
    dx, dy = max(x for x, _ in steps), max(y for _, y in steps)
    while levels and any(side % (step << levels) for side, step in ((x1, dx), (y1, dy), (tile_w, dx), (tile_h, dy))):
        levels -= 1
    return Codestream(data, x1, y1, levels)


def _components(at: int, count: int) -> range:
    """Where SIZ describes the components: 3 bytes each (depth, XRsiz, YRsiz)."""
    return range(at + _SIZ.size, at + _SIZ.size + 3 * count, 3)


def _on_own_grid(stream: bytes, width: int, height: int, levels: int) -> Codestream:
    """The raw one-tile `stream` with the size of its components (pixels) for its reference grid."""
    at = len(_START)
    head = list(_SIZ.unpack_from(stream, at))
    head[2:4] = head[6:8] = [width, height]
    depths = b"".join(bytes((stream[i], 1, 1)) for i in _components(at, head[-1]))
    rest = at + _SIZ.size + len(depths)
    return Codestream(stream[:at] + _SIZ.pack(*head) + depths + stream[rest:], width, height, levels)


def _levels(data: bytes, at: int) -> int | None:
    """How often the default coding style (COD) halves the image, read from the markers that begin at `at` bytes."""
    while data[at] == 0xFF and data[at + 1] != 0x90:
        if data[at + 1] == 0x52:
            return data[at + 9]
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
