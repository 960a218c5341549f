"""A safetensors file as it lies in memory, for those who need neither numpy nor torch."""

from __future__ import annotations

import json
import struct
from typing import Any

from artylyze.errors import InputError


def tensor_views(tensors: bytes) -> dict[str, tuple[dict[str, Any], memoryview]]:
    """Each tensor of a safetensors file: its header entry (dtype, shape) and its bytes, without a copy.

    The format: https://github.com/huggingface/safetensors#format. The library has no reader that neither copies
    nor needs torch for bfloat16. Raises InputError for bytes of another kind.
    """
    try:
        (length,) = struct.unpack_from("<Q", tensors)
        header = json.loads(tensors[8 : 8 + length])
        header.pop("__metadata__", None)
        data = memoryview(tensors)[8 + length :]
        return {
            name: (entry, data[entry["data_offsets"][0] : entry["data_offsets"][1]]) for name, entry in header.items()
        }
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("the tensors are not a safetensors file") from error
