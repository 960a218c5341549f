"""Valid JPEGs that kill, hang or exhaust the decoder child, or kill its parent, when `PLUGINS` is on PYTHONPATH.

They do no harm elsewhere.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

PLUGINS = Path(__file__).parent / "plugins"


def segv_jpeg() -> bytes:
    """Kills the process that decodes it by SIGSEGV."""
    return _jpeg(b"artylyze-test:SEGV")


def hang_jpeg() -> bytes:
    """Keeps the process that decodes it asleep for ever."""
    return _jpeg(b"artylyze-test:HANG")


def greedy_jpeg() -> bytes:
    """Takes all the memory that the process which decodes it may have."""
    return _jpeg(b"artylyze-test:GREEDY")


def worker_killing_jpeg() -> bytes:
    """Kills the worker whose child decodes it, as the system does when memory runs out."""
    return _jpeg(b"artylyze-test:WORKER")


def _jpeg(comment: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), "red").save(buffer, "JPEG", comment=comment)
    return buffer.getvalue()
