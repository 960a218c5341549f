"""Samples of more than 8 bits, signed or not, whole or not, in 8: which value is white."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_WHITES = (255.0, 1023.0, 4095.0)
"""White of 8, 10 and 12 bits, which scanners and X-ray plates deliver in samples of 16."""

_FLOAT_WHITES = (1.0, 255.0, 65535.0)
_DIMMEST = 16  # times that a float's highest value may stay below white


def white_of_16(highest: int, declared: int | None = None) -> int:
    """The value that is white in unsigned samples of 16 bits, from the highest one in the picture.

    `declared` is what the file says of its highest possible value: it counts where it is that of some number of bits.
    Otherwise a picture whose every value fits into 8, 10 or 12 bits is taken to have no more: stored as 16 bits, it
    would be four stops too dark at least. A picture of 14 bits must say so: two stops are within what light does.
    """
    if declared is not None and highest <= declared and declared & (declared + 1) == 0 and declared >= 255:
        return declared
    return int(next((white for white in _WHITES if 0 < highest <= white), 65535))


def to_8_bits(
    values: npt.NDArray[Any], kind: np.dtype[Any], bits: int, lowest: float, highest: float, declared: int | None = None
) -> npt.NDArray[np.uint8]:
    """Values of any shape, scaled to 0..255.

    Args:
        values: the samples, perhaps averaged.
        kind: of the samples in the file.
        bits: of each sample in the file.
        lowest: sample of the picture.
        highest: sample of the picture.
        declared: highest possible sample, where the file says it.
    """
    black, white = _ends(kind, bits, lowest, highest, declared)
    scaled = (values.astype(np.float32) - np.float32(black)) * np.float32(255 / max(white - black, 1e-30)) + 0.5
    return np.asarray(np.clip(scaled, 0, 255), dtype=np.uint8)


def _ends(kind: np.dtype[Any], bits: int, lowest: float, highest: float, declared: int | None) -> tuple[float, float]:
    """Black and white.

    Negative values (elevations, differences) have no black of their own: the range in use is stretched, as is that of
    numbers above 16 bits or floats that fit none of the usual ranges. Signed samples without negative values are
    unsigned ones of a bit less.
    """
    if lowest < 0:
        return lowest, highest
    if kind.kind == "f":
        white = next((white for white in _FLOAT_WHITES if highest <= white * 1.01), None)
        return (0.0, white) if white is not None and highest * _DIMMEST >= white else (0.0, highest or 1.0)
    if bits == 16:
        white = white_of_16(int(highest), declared)
        return 0.0, 32767.0 if kind.kind == "i" and white > 32767 else float(white)
    if bits > 16:
        full = float(2 ** (bits - (kind.kind == "i")) - 1)
        usual = next((white for white in (255.0, 65535.0, full) if highest <= white < 4 * max(highest, 1)), None)
        return (0.0, usual) if usual is not None else (lowest, highest)
    return 0.0, float(2 ** (bits - (kind.kind == "i")) - 1)
