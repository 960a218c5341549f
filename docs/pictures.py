"""The README's pictures, from what the demo made: `python docs/pictures.py DEMO`. All that they show is generated."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

PICTURES = {"contact-sheet.png": "contact-sheet.png", "evaluation/style-confusion.png": "style-confusion.png"}
"""Of the demo's folder -> of this one."""

WIDTH, COLOURS = 840, 256
"""What a README's column shows, pixels; colours that tell the drawn pictures apart in a fraction of the bytes."""


def shrunk(path: Path) -> Image.Image:
    """Read a picture and make it small enough for a repository."""
    with Image.open(path) as opened:
        whole = opened.convert("RGB")
    size = (WIDTH, round(WIDTH * whole.height / whole.width))
    return whole.resize(size, Image.Resampling.LANCZOS).quantize(COLOURS, dither=Image.Dither.NONE)


def main(demo: Path) -> None:
    """Write the pictures beside this file."""
    for source, name in PICTURES.items():
        shrunk(demo / source).save(Path(__file__).parent / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
