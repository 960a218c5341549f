"""Arrow arrays of NumPy's numbers and of texts without pandas, which `pyarrow.array` imports for half a second.

A search by a command is over in less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TYPES = {"int32": pa.int32(), "int64": pa.int64(), "float32": pa.float32()}


def numbers(values: NDArray[Any]) -> pa.Array:
    """Return int32, int64 or float32 (n,) as an Arrow array of the same type, without nulls."""
    held = np.ascontiguousarray(values)
    return pa.Array.from_buffers(_TYPES[held.dtype.name], len(held), [None, pa.py_buffer(held)])


def as_numpy(array: pa.Array) -> NDArray[Any]:
    """Return an Arrow array of numbers without nulls as NumPy's, without a copy."""
    return np.from_dlpack(array)


def texts(values: Sequence[str]) -> pa.StringArray:
    """Return texts as an Arrow array."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))
