"""The README's pictures, from what the demo made: `python docs/pictures.py DEMO`. All that they show is generated.

The explorer's are taken in a headless Chromium, which must be installed (`make browser`).
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.explorer import browser

PICTURES = {"contact-sheet.png": "contact-sheet.png", "evaluation/style-confusion.png": "style-confusion.png"}
"""Of the demo's folder -> of this one."""

VIEWS = {"": "explorer-gallery.png", "view=map": "explorer-map.png"}
"""Views of the explorer, by what stands behind the # of its address."""

COMPLETE = "return document.documentElement.dataset.complete !== undefined"

WIDTH, COLOURS = 840, 256
"""What a README's column shows, pixels; colours that tell the drawn pictures apart in a fraction of the bytes."""


def shrunk(path: Path) -> Image.Image:
    """Read a picture and make it small enough for a repository."""
    with Image.open(path) as opened:
        return reduced(opened.convert("RGB"))


def reduced(whole: Image.Image) -> Image.Image:
    """Return a picture as wide as a README's column, in few colours."""
    size = (WIDTH, round(WIDTH * whole.height / whole.width))
    return whole.resize(size, Image.Resampling.LANCZOS).quantize(COLOURS, dither=Image.Dither.NONE)


def views(page: Path) -> Iterator[tuple[str, Image.Image]]:
    """Yield the name and the picture of each view of an explorer, 1280 pixels wide."""
    with browser() as driver:
        shape = {"width": 1280, "height": 860, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
        for view, name in VIEWS.items():
            driver.get("about:blank")
            driver.get(f"{page.resolve().as_uri()}#{view}")
            WebDriverWait(driver, 60, 0.05).until(lambda found: found.execute_script(COMPLETE))
            time.sleep(5)  # the atlases come
            yield name, Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")


def main(demo: Path) -> None:
    """Write the pictures beside this file."""
    for source, name in PICTURES.items():
        shrunk(demo / source).save(Path(__file__).parent / name, optimize=True)
    for name, picture in views(demo / "explorer" / "index.html"):
        reduced(picture).save(Path(__file__).parent / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
