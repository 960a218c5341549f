"""The README's pictures: `python docs/pictures.py DEMO [RESOURCE]`.

What the demo made is generated. RESOURCE is the file of paintings that `make pictures` fetches with apt; without it the
picture of real paintings stays. The explorer's are taken in a headless Chromium (`make browser` installs it).
"""

from __future__ import annotations

import csv
import io
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from selenium.webdriver.support.ui import WebDriverWait

import artylyze
from artylyze.demo import draw_tagged
from artylyze.sample.shipped import write_shipped
from benchmarks.explorer import browser

PICTURES = {"contact-sheet.png": "contact-sheet.png", "evaluation/style-confusion.png": "style-confusion.png"}
"""Of the demo's folder -> of this one."""

VIEWS = {"": "explorer-gallery.png", "view=map": "explorer-map.png"}
"""Views of the explorer, by what stands behind the # of its address."""

PAINTINGS = {
    "Eglise_dAuvers-sur-Oise": "The Church at Auvers",
    "Gogh4": "Café Terrace at Night",
    "PortraitOfPereTanguy": "Portrait of Père Tanguy",
    "Van_Gogh_The_Night_Cafe": "The Night Café",
    "VincentVanGogh0012": "Vestibule of the Asylum",
    "VincentVanGogh0013": "The Painter on the Road to Tarascon",
    "VincentVanGogh0019": "Harvest at La Crau",
    "VincentVanGoghBridge": "The Langlois Bridge at Arles",
}
"""Van Gogh's paintings in GCompris, in the public domain: file -> title. The photographs beside them are not."""

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


def draw_paintings(resource: Path, sheet: Path) -> None:
    """Draw the paintings that GCompris ships, as the starter tags them."""
    with tempfile.TemporaryDirectory() as temporary:
        images, titles, catalog = (Path(temporary) / name for name in ("images", "titles.csv", "catalog"))
        write_shipped(images, resource)
        for image in images.iterdir():
            if image.stem not in PAINTINGS:
                image.unlink()
        with titles.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("id", "title"), *PAINTINGS.items()])
        artylyze.tag(str(images), str(catalog), model="starter", metadata=str(titles), id_column="id")
        draw_tagged(str(catalog), sheet, "Eight paintings by Van Gogh, tagged by the starter")


def main(demo: Path, resource: Path | None = None) -> None:
    """Write the pictures beside this file."""
    if resource is not None:
        draw_paintings(resource, Path(__file__).parent / "paintings.jpg")
    for source, name in PICTURES.items():
        shrunk(demo / source).save(Path(__file__).parent / name, optimize=True)
    for name, picture in views(demo / "explorer" / "index.html"):
        reduced(picture).save(Path(__file__).parent / name, optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
