"""Valid JPEGs that kill or hang the decoder child when `PLUGINS` is on PYTHONPATH, and do no harm elsewhere."""

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


def _jpeg(comment: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), "red").save(buffer, "JPEG", comment=comment)
    return buffer.getvalue()
