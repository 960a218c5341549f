"""The explorer in Chromium: seconds to the first picture, frames while the map is panned, facets, likeness, memory.

`python benchmarks/explorer.py [--works 100000 1000000] [--catalog CATALOG --data ../shared/data]` writes made-up
collections (`explorer_data.py`), serves each from loopback and drives a headless Chromium with software OpenGL. The
first picture is the first thumbnail drawn in the gallery, counted from the start of the navigation; bytes are those of
all responses until then. A facet's click is timed from the click to the frame after the counts changed; "more like
this" from the opening of a work to the frame that shows its list; each is the median of five. Frames are counted while
the map moves with every frame for three seconds. Memory is the PSS of the renderer's process and of the one that stands
for the GPU. With a catalog of the paintings and their folder it also times `artylyze explore -o` for as many works with
thumbnails (`duplicate_catalog.py`), and a second time after nothing has changed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from artylyze.catalog.snapshot import embeddings
from benchmarks import explorer_data, measure, report
from benchmarks.duplicate_catalog import write_many
from benchmarks.inputs import paintings

PAN_MS = 3000
TARGETS = {
    "first_picture_seconds": {"most": 2.5},
    "first_picture_mib": {"most": 6.0},
    "pan_frames_per_second": {"least": 20.0},
    "facet_ms": {"most": 150.0},
    "like_ms": {"most": 100.0},
    "tab_mib": {"most": 1536.0},
}
"""By figure; speed is judged at 100,000 works, memory at all."""
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--window-size=1280,860",
    "--lang=en",
)
WATCH = """
new MutationObserver((_, watcher) => {
  if (!document.querySelector('.tile canvas[data-state=drawn]')) return;
  watcher.disconnect();
  requestAnimationFrame(() => setTimeout(() => {
    window.firstPicture = performance.now();
    window.firstBytes = performance.getEntries().reduce((sum, one) => sum + (one.transferSize || 0), 0);
  }));
}).observe(document, {subtree: true, childList: true, attributes: true, attributeFilter: ['data-state']});
"""
CLICK = """
const done = arguments[0];
const boxes = [...document.querySelectorAll('.facet[data-name=genre] li input')];
const counts = () => [...document.querySelectorAll('.facet[data-name=style] li .count')];
const other = () => counts().map(one => one.textContent).join();
const before = other();
const start = performance.now();
boxes[arguments[1] || 0].click();
const look = () => other() !== before
  ? requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)))
  : setTimeout(look, 1);
look();
"""
LIKE = """
const done = arguments[0];
const tile = [...document.querySelectorAll('.tile .work')][3];
const start = performance.now();
tile.click();
const look = () => !document.querySelector('.work-view').hidden && document.querySelectorAll('.like .strip li').length
  ? requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)))
  : setTimeout(look, 1);
look();
"""
PAN = """
const [milliseconds, done] = arguments;
const canvas = document.querySelector('.map > canvas');
const send = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind,
  {pointerId: 1, clientX: x, clientY: y, button: 0, bubbles: true}));
canvas.setPointerCapture = () => {};
const {left, top, width, height} = canvas.getBoundingClientRect();
send('pointerdown', left + width / 2, top + height / 2);
const start = performance.now();
let frames = 0;
const step = now => {
  if (now - start > milliseconds) { send('pointercancel', 0, 0); done(frames * 1000 / (now - start)); return; }
  frames++;
  const turn = (now - start) / 400;
  send('pointermove', left + width / 2 + 220 * Math.sin(turn), top + height / 2 + 160 * Math.cos(turn));
  requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""


class Quiet(SimpleHTTPRequestHandler):
    """A folder over HTTP, as any static web server has it."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium with software OpenGL."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(120)
    try:
        yield driver
    finally:
        driver.quit()


def measured(folder: Path) -> dict[str, float]:
    """The figures of one collection, each in a fresh browser."""
    with served(folder) as address, browser() as driver:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        driver.get(address)
        _until(driver, "return window.firstPicture")
        figures = {
            "first_picture_seconds": driver.execute_script("return window.firstPicture") / 1000,
            "first_picture_mib": driver.execute_script("return window.firstBytes") / 2**20,
        }
        _until(driver, "return document.documentElement.dataset.complete")
        driver.execute_async_script(CLICK.replace("arguments[1] || 0", "0"))  # reads the columns
        figures["facet_ms"] = statistics.median(
            driver.execute_async_script(CLICK.replace("arguments[1] || 0", str(k))) for k in (1, 2, 3, 1, 2)
        )
        driver.get("about:blank")
        driver.get(address)
        _until(driver, "return document.documentElement.dataset.complete")
        _like(driver)  # reads the works and neighbours
        figures["like_ms"] = statistics.median(_like(driver) for _ in range(5))
        driver.get("about:blank")
        driver.get(f"{address}#view=map")
        _until(driver, "return Number(document.querySelector('.map')?.dataset.marks) > 0")
        _until(driver, "return document.documentElement.dataset.complete")
        time.sleep(5)  # its atlases come
        figures["map_marks"] = driver.execute_script("return Number(document.querySelector('.map').dataset.marks)")
        figures["pan_frames_per_second"] = driver.execute_async_script(
            PAN.replace("arguments;", f"[{PAN_MS}, arguments[0]];")
        )
        figures["tab_mib"] = _memory(driver) / 2**20
    return figures


def _like(driver: Any) -> float:
    """Open a work and return the milliseconds until its like are shown; close it."""
    milliseconds: float = driver.execute_async_script(LIKE)
    driver.execute_script("document.querySelector('.workbar button:last-child').click()")
    _until(driver, "return document.querySelector('.work-view').hidden")
    return milliseconds


def _until(driver: Any, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 240, 0.05).until(lambda _: driver.execute_script(script), script)


def _memory(driver: Any) -> int:
    """PSS of the largest renderer, which is the tab's, and of the process for the GPU."""
    sizes: dict[str, int] = {}
    for process in psutil.Process(driver.service.process.pid).children(recursive=True):
        kind = next((word for word in process.cmdline() if word.startswith("--type=")), "")
        if kind in ("--type=renderer", "--type=gpu-process"):
            sizes[kind] = max(sizes.get(kind, 0), measure.memory_of([process.pid]).total)
    return sum(sizes.values())


def checks(works: int, figures: dict[str, float]) -> list[dict[str, Any]]:
    """Each figure against its target."""
    judged = TARGETS if works <= 100_000 else {"tab_mib": TARGETS["tab_mib"]}
    return [
        report.Check(f"{name} at {works:,} works", figures[name], **target).as_dict() for name, target in judged.items()
    ]


def writing(catalog: Path, data: Path, works: int) -> dict[str, float]:
    """Seconds and memory that the static folder of a catalog of so many works takes, and seconds of a second run."""
    with tempfile.TemporaryDirectory(prefix="artylyze-explorer-") as temporary:
        folder = Path(temporary)
        many = write_many(folder / "many", embeddings(str(catalog))[1], paintings(data), works)
        measure.run_contestant([*measure.ARTYLYZE, "index", many], folder / "index.txt")
        command = [*measure.ARTYLYZE, "explore", many, "-o", str(folder / "site")]
        first, second = (measure.run_contestant(command, folder / f"explore-{turn}.txt") for turn in range(2))
        size = sum(path.stat().st_size for path in (folder / "site").rglob("*") if path.is_file())
    return {
        "works": works,
        "write_seconds": round(first.seconds, 1),
        "again_seconds": round(second.seconds, 1),
        "peak_mib": round(first.peak / 2**20),
        "folder_mib": round(size / 2**20),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--catalog", type=Path, help="of the paintings, whose embeddings a large catalog is made of")
    parser.add_argument("--data", type=Path, help="folder with the paintings")
    parser.add_argument("--out", type=Path, default=report.ROOT / "benchmarks/results/explorer.json")
    given = parser.parse_args()
    result: dict[str, Any] = {"benchmark": "explorer", "machine": measure.machine(), "collections": {}, "checks": []}
    for works in given.works:
        with tempfile.TemporaryDirectory(prefix="artylyze-explorer-") as folder:
            explorer_data.write(Path(folder) / "site", works)
            figures = {name: round(value, 3) for name, value in measured(Path(folder) / "site").items()}
        print(works, json.dumps(figures))
        result["collections"][str(works)] = figures
        result["checks"] += checks(works, figures)
        given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if given.catalog is not None and given.data is not None:
        result["writing"] = written = writing(given.catalog, given.data, given.works[0])
        what, seconds = f"write_seconds at {given.works[0]:,} works", written["write_seconds"]
        result["checks"].append(report.Check(what, seconds, most=900).as_dict())
        given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
