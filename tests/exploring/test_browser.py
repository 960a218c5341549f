"""The explorer in a real browser: every feature is driven as a visitor drives it, from loopback and from file://."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks import explorer_data
from benchmarks.explorer import FLAGS

WEB = Path(explorer_data.DIST).parent
VENDOR = Path(__file__).parent / "vendor"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_BROWSER = CHROMIUM is None and os.environ.get("CI", "").lower() != "true"
"""Whether browser tests are skipped: under CI a missing browser is a failure."""
needs_browser = pytest.mark.skipif(NO_BROWSER, reason="no Chromium here: `make browser` installs it where it may")
WORKS = 640
TITLES = "return [...document.querySelectorAll('.gallery .tile')].map(tile => Number(tile.dataset.row))"
VIEWS = ("gallery", "map", "clusters", "timeline", "review", "selections")


class Site(SimpleHTTPRequestHandler):
    """A folder over HTTP; where its index says so, also the decisions of reviewers."""

    decisions: list[dict[str, Any]] = []  # noqa: RUF012 - of the whole server
    tokens: list[str | None] = []  # noqa: RUF012

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        if self.path == "/api/decisions":
            self._answer(self.decisions)
        else:
            super().do_GET()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.tokens.append(self.headers["X-Artylyze-Token"])
        self.decisions.extend(body["decisions"])
        self._answer({"saved": len(body["decisions"])})

    def _answer(self, content: Any) -> None:
        text = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "folder"
    explorer_data.write(path, WORKS, different=48)
    return path


@pytest.fixture(scope="session")
def address(folder: Path) -> Iterator[str]:
    yield from _serve(folder)


@pytest.fixture
def served(folder: Path, tmp_path: Path) -> Iterator[str]:
    copy = tmp_path / "served"
    shutil.copytree(folder, copy)
    (copy / "data/inline.js").unlink()
    index = json.loads((copy / "data/index.json").read_text("utf-8"))
    (copy / "data/index.json").write_text(json.dumps(index | {"served": True, "token": "secret"}), "utf-8")
    Site.decisions, Site.tokens = [], []
    yield from _serve(copy)


def _serve(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


class Page:
    """The one browser of the session: it reaches nothing but loopback and files."""

    def __init__(self, downloads: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        assert CHROMIUM is not None, "no Chromium: `make browser` installs it"
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.add_experimental_option(
            "prefs",
            {
                "download.default_directory": str(downloads),
                "download.prompt_for_download": False,
                "profile.default_content_setting_values.automatic_downloads": 1,
            },
        )
        driver = shutil.which("chromedriver")
        self.downloads = downloads
        self.driver = webdriver.Chrome(options=options, service=Service(driver) if driver else Service())
        self.address = ""

    def size(self, width: int, scheme: str = "light", motion: str = "no-preference") -> None:
        shape = {"width": width, "height": 860, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, hash_: str = "", address: str | None = None) -> None:
        self.driver.get("about:blank")
        self.driver.get(f"{address or self.address}#{hash_}")
        self.wait("return document.documentElement.dataset.complete !== undefined")

    def js(self, script: str, *given: object) -> Any:
        return self.driver.execute_script(script, *given)

    def wait(self, script: str, *given: object) -> Any:
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 60, 0.05).until(lambda _: self.js(script, *given), script)

    def click(self, selector: str) -> None:
        self.wait("return document.querySelector(arguments[0])", selector)
        self.js("document.querySelector(arguments[0]).click()", selector)

    def write(self, selector: str, text: str, event: str = "input") -> None:
        self.js(
            "const field = document.querySelector(arguments[0]); field.value = arguments[1];"
            "field.dispatchEvent(new Event(arguments[2], {bubbles: true}))",
            selector,
            text,
            event,
        )

    def press(self, keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(keys).perform()

    def works(self) -> int:
        return int(re.sub(r"\D", "", self.js("return document.querySelector('.works').textContent").split(" of ")[0]))

    def hash(self) -> str:
        return str(self.js("return decodeURIComponent(location.hash)"))

    def downloaded(self, name: str) -> Path:
        from selenium.webdriver.support.ui import WebDriverWait

        path = self.downloads / name
        WebDriverWait(self.driver, 60, 0.05).until(lambda _: path.exists())
        return path

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    page = Page(tmp_path_factory.mktemp("downloads"))
    yield page
    page.driver.quit()


@pytest.fixture
def page(browser: Page, address: str) -> Iterator[Page]:
    """The browser, its store of the page empty; afterwards nothing may stand in the console."""
    browser.address = address
    browser.size(1280)
    browser.driver.get(f"{address}strings/en.json")
    browser.js("localStorage.clear(); sessionStorage.clear()")
    browser.complaints()
    for left in browser.downloads.iterdir():
        left.unlink()
    yield browser
    assert browser.complaints() == []


def test_the_build_is_that_of_the_sources() -> None:
    paths = [path for inner in ("src", "strings") for path in (WEB / inner).iterdir()]
    paths += [WEB / name for name in ("app.css", "build.js", "index.html", "package-lock.json")]
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(WEB).as_posix(), path) for path in paths):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    assert (WEB / "dist" / "BUILD").read_text().strip() == digest.hexdigest(), "run `make explorer`"


def test_the_strings_of_all_languages_have_the_same_keys_and_values() -> None:
    languages = {path.stem: json.loads(path.read_text("utf-8")) for path in (WEB / "strings").iterdir()}
    assert set(languages) == {"en", "de", "fr"}
    places = {
        language: {key: sorted(re.findall(r"\{(\w+)\}", text)) for key, text in strings.items()}
        for language, strings in languages.items()
    }
    assert places["de"] == places["en"]
    assert places["fr"] == places["en"]


def test_every_string_that_is_asked_for_is_there() -> None:
    strings = json.loads((WEB / "strings/en.json").read_text("utf-8"))
    known = {key.removesuffix(".one").removesuffix(".other") for key in strings}
    asked = {
        key
        for path in (WEB / "src").glob("*.js")
        for key in re.findall(r'\bt\(\s*"([a-z][\w.]*)"', path.read_text("utf-8"))
    }
    assert asked <= known


def test_the_lock_file_names_no_host() -> None:
    assert "http" not in (WEB / "package-lock.json").read_text("utf-8")


@needs_browser
def test_the_gallery_shows_works_and_only_those_on_the_screen(page: Page) -> None:
    page.open()
    assert page.works() == WORKS
    first = page.js(TITLES)
    assert 0 in first
    assert len(first) < 200
    page.wait("return document.querySelector('.tile canvas').dataset.state === 'drawn'")
    page.js("document.querySelector('.scroller').scrollTop = 1e9")
    page.wait(f"return ({TITLES[7:]}).includes({WORKS - 1})")
    assert 0 not in page.js(TITLES)


@needs_browser
def test_sizes_and_orders(page: Page) -> None:
    page.open()
    few = len(page.js(TITLES))
    page.click(".sizes [data-size=s]")
    assert len(page.js(TITLES)) > few
    page.click(".sizes [data-size=l]")
    page.wait("return document.querySelector('.caption em').textContent.trim()")
    page.write(".tools select", "date", "change")
    page.wait("return location.hash.includes('sort=date')")
    page.wait(f"return ({TITLES[7:]})[0] !== 0")
    years = page.js(
        "return [...document.querySelectorAll('.tile')].sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)"
        ".map(tile => Number(/(\\d{4})$/.exec(tile.querySelector('.caption span').textContent)?.[1]))"
    )
    assert years == sorted(years)
    for order in ("score:genre", "artist", "cluster", "colour", "collection"):
        before = page.js(TITLES)
        page.write(".tools select", order, "change")
        page.wait(f"return JSON.stringify({TITLES[7:]}) !== arguments[0]", json.dumps(before, separators=(",", ":")))


@needs_browser
def test_the_keyboard_goes_through_the_gallery_and_opens_a_work(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.open()
    page.js("document.querySelector('.tile .work[tabindex=\"0\"]').focus()")
    page.press(Keys.ARROW_RIGHT)
    assert page.js("return document.activeElement.closest('.tile').dataset.row") == "1"
    page.wait("return document.querySelector('.voice[role=status]').textContent.includes('near')")
    page.press(Keys.ARROW_DOWN)
    below = int(page.js("return document.activeElement.closest('.tile').dataset.row"))
    assert below > 2
    page.press(" ")
    page.wait("return document.querySelector('.chosen').textContent.includes('1 selected')")
    page.press(Keys.ENTER)
    page.wait("return !document.querySelector('.work-view').hidden")
    assert f"work={below:016x}" in page.hash()
    page.press(Keys.ESCAPE)
    page.wait("return document.querySelector('.work-view').hidden")
    page.wait("return document.activeElement.closest('.tile')?.dataset.row === arguments[0]", str(below))


@needs_browser
def test_who_leaves_a_work_before_it_is_read_gets_the_focus_back(page: Page) -> None:
    page.open()
    page.js(
        "const real = window.fetch;"
        "window.fetch = (...given) => String(given[0]).includes('neighbours') ? new Promise(() => {}) : real(...given);"
        "const tile = document.querySelector('.tile .work[tabindex=\"0\"]'); tile.focus(); tile.click();"
    )
    page.wait("return !document.querySelector('.work-view').hidden")
    page.wait("return document.activeElement === document.body")  # what the work covers is inert
    page.js("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))")
    page.wait("return document.activeElement.closest('.tile')?.dataset.row === '0'")
    assert page.js("return document.querySelector('.work-view').hidden")


@needs_browser
def test_counts_of_facets_follow_the_other_filters(page: Page, folder: Path) -> None:
    import numpy as np

    genre = np.fromfile(folder / "data/columns/genre.bin", np.uint16)
    style = np.fromfile(folder / "data/columns/style.bin", np.uint16)
    index = json.loads((folder / "data/index.json").read_text("utf-8"))
    page.open()
    code = 1 + int(np.argmax(index["facets"][0]["counts"]))
    term = explorer_data.GENRES[code - 1]
    page.wait(CHECK, "genre", term)
    page.wait("return document.querySelector('.works').textContent.includes(' of ')")
    assert page.works() == int((genre == code).sum())
    summed = COUNTS.replace("return Object.fromEntries", "const found = Object.fromEntries")
    page.wait(f"{summed}; return Object.values(found).reduce((a, b) => a + b, 0) <= {page.works()}", "style")
    counted = page.js(COUNTS, "style")
    wanted = {name: int(((genre == code) & (style == k + 1)).sum()) for k, name in enumerate(explorer_data.STYLES)}
    assert counted
    assert all(wanted[name] == count for name, count in counted.items() if name in wanted)
    own = page.js(COUNTS, "genre")
    whole = dict(zip(explorer_data.GENRES, index["facets"][0]["counts"], strict=True))
    assert all(whole[name] == count for name, count in own.items()), "a facet's own filter leaves its counts"
    assert f"f.genre={term}" in page.hash().replace("+", " ")
    page.click(".chip")
    page.wait("return !location.hash.includes('genre')")
    assert page.works() == WORKS


CHECK = """const label = [...document.querySelectorAll(`.facet[data-name="${arguments[0]}"] li label`)]
.find(one => one.querySelector('.term').textContent === arguments[1]);
if (label) label.querySelector('input').click();
return Boolean(label)"""
COUNTS = """const words = (one, name) => one.querySelector(name).textContent;
const items = [...document.querySelectorAll(`.facet[data-name="${arguments[0]}"] li`)];
return Object.fromEntries(items.map(one => [words(one, '.term'), Number(words(one, '.count').replace(/\\D/g, ''))]))"""


@needs_browser
def test_scores_years_words_and_colour_filter(page: Page, folder: Path) -> None:
    import numpy as np

    scores = np.fromfile(folder / "data/columns/genre_score.bin", np.uint8)
    years = np.fromfile(folder / "data/columns/year.bin", np.int16)
    page.open()
    page.write(".facet[data-name=genre] input[type=range]", "0.8")
    page.wait("return location.hash.includes('s.genre=0.8')")
    page.wait("return document.querySelector('.works').textContent.includes(' of ')")
    assert page.works() == int((scores >= 204).sum())
    page.open("years=1500..1600")
    assert page.works() == int(((years >= 1500) & (years <= 1600)).sum())
    page.write(".range input", "1550")
    page.wait("return location.hash.includes('1550')")
    page.wait("return document.querySelector('.chip').textContent.includes('1550')")
    assert page.works() == int(((years >= 1550) & (years <= 1600)).sum())
    page.open()
    page.write(".search input", "RIVER étretat")
    page.wait("return location.hash.includes('q=')")
    page.wait("return document.querySelector('.works').textContent.includes(' of ')")
    wanted = [
        row
        for row in range(WORKS)
        if re.search("river", explorer_data.title(row), re.I) and "Étretat" in explorer_data.title(row)
    ]
    assert page.works() == len(wanted) > 0
    page.open()
    page.click(".swatch[data-hex='2f4f8f']")
    page.wait("return document.querySelector('.works').textContent.includes(' of ')")
    assert 0 < page.works() < WORKS
    assert "colour=2f4f8f" in page.hash()


@needs_browser
def test_words_may_be_spelled_a_little_otherwise(page: Page) -> None:
    counts = []
    for text in ("river bridge", "rivvers bridges"):
        page.open(f"q={text}")
        page.wait("return document.querySelector('.works').textContent.includes(' of ')")
        counts.append(page.works())
    assert counts[0] == counts[1] > 0


@needs_browser
def test_where_no_work_has_all_words_those_with_some_come_the_best_first(page: Page) -> None:
    page.open("q=river bridge")
    page.wait("return document.querySelector('.works').textContent.includes(' of ')")
    assert page.js("return document.querySelector('.shown .quiet').hidden")
    page.open("q=nosuchword river bridge")
    page.wait("return !document.querySelector('.shown .quiet').hidden")
    assert re.search(r"works of [\d,]+ None has all", page.js("return document.querySelector('.shown').textContent"))
    page.wait("return document.querySelectorAll('.tile').length > 3")
    first = page.js("return [...document.querySelectorAll('.tile')].slice(0, 3).map(one => Number(one.dataset.row))")
    assert all({"river", "bridge"} <= set(explorer_data.title(row).lower().split()) for row in first)
    page.js("document.querySelector('.tools select').value = 'collection'")
    page.js("document.querySelector('.tools select').dispatchEvent(new Event('change'))")
    page.wait("return location.hash.includes('sort=collection')")


@needs_browser
def test_what_nothing_matches_is_said_and_can_be_undone(page: Page) -> None:
    page.open("q=nosuchword")
    assert page.works() == 0
    page.wait("return !document.querySelector('.gallery .nothing').hidden")
    page.click(".gallery .nothing button")
    page.wait("return document.querySelectorAll('.tile').length > 0")


@needs_browser
def test_long_facets_can_be_searched_and_opened(page: Page) -> None:
    page.open()
    artist = ".facet[data-name=meta_artist]"
    page.wait(f"return document.querySelectorAll('{artist} li').length >= 7")
    page.click(f"{artist} .more")
    page.wait(f"return document.querySelectorAll('{artist} li').length > 20")
    page.write(f"{artist} input[type=search]", "elisabeth hals")
    terms = f"[...document.querySelectorAll('{artist} .term')]"
    page.wait(f"return {terms}.every(one => one.textContent.startsWith('Élisabeth Hals'))")
    page.click(".facet[data-name=genre_review] h3 button")
    page.wait(CHECK, "genre_review", "flagged for review")
    page.wait("return location.hash.includes('genre_review=review')")


@needs_browser
def test_a_work_says_what_is_known_of_it_and_who_said_so(page: Page) -> None:
    page.open(f"work={0:016x}")
    page.wait("return document.querySelector('[data-zoom]')")  # OpenSeadragon shows its image
    text = page.js("return document.querySelector('.work-view').innerText")
    assert "Machine-made, not reviewed" in text
    assert "inventory" in text.lower()
    assert "same photograph re-encoded" in text
    assert "More like this" in text
    assert "Influences" in text
    assert page.js("return document.querySelector('.aat').href") == "http://vocab.getty.edu/aat/300015637"
    score = float(page.js("return document.querySelector('.tag').style.getPropertyValue('--score')"))
    assert page.js("return document.querySelector('.tag .count').textContent") == f"{score:.0%}"
    assert page.js("return document.querySelectorAll('.like .strip li').length") == explorer_data.NEAREST
    page.click(".zoom button")
    other = page.js("return document.querySelector('.like .strip li').dataset.row")
    page.click(".like .strip a")
    page.wait("return location.hash.includes(arguments[0])", f"{int(other):016x}")
    page.js("history.back()")
    page.wait(f"return location.hash.includes('{0:016x}')")
    page.wait("return document.querySelector('.workbar .count').textContent.startsWith('1 of')")
    page.click(".workbar button[aria-label='Next work']")
    page.wait(f"return location.hash.includes('{1:016x}')")
    page.wait("return document.querySelector('.work-view .gone').textContent.includes('Only the thumbnail')")
    page.click(".actions .button:nth-child(2)")
    page.wait("return location.hash.includes('like=') && document.querySelector('.work-view').hidden")
    page.wait(f"return ({TITLES[7:]}).includes(1)")


@needs_browser
def test_a_work_that_is_not_there_is_said_to_be_missing(page: Page) -> None:
    page.open("work=nosuchid")
    page.wait("return document.querySelector('#work-title').textContent.includes('nosuchid')")
    assert page.js("return document.querySelector('.work-view .alike')") is None


@needs_browser
def test_a_work_that_is_spelled_alike_is_named(page: Page) -> None:
    page.open(f"work={5:016x}.jpg")
    page.wait("return document.querySelectorAll('.work-view .alike li').length === 3")
    page.wait("return document.querySelector('.work-view .alike a').href.includes('work=')")
    page.click(".work-view .alike li a")
    page.wait(f"return location.hash.includes('work={5:016x}') && !location.hash.includes('jpg')")
    page.wait("return document.querySelectorAll('.like .strip li').length > 0")
    assert page.js("return document.querySelector('.work-view .alike')") is None


@needs_browser
def test_letters_without_an_accent_are_searched_as_the_command_does(page: Page) -> None:
    page.open()
    everywhere = page.works()
    counts = set()
    for text in ("Krøyer", "KROYER", "Kr%C3%B8yer"):
        page.open(f"q={text}")
        page.wait("return document.querySelector('.works').textContent.includes(' of ')")
        counts.add(page.works())
    assert len(counts) == 1
    assert 0 < counts.pop() < everywhere


@needs_browser
def test_the_map_shows_pictures_pans_zooms_and_selects(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.open("view=map")
    page.wait("return Number(document.querySelector('.map').dataset.marks) > 50")
    page.wait("return [...document.querySelectorAll('.names span')].some(one => one.style.visibility === 'visible')")
    canvas = page.js("return document.querySelector('.map > canvas')")
    assert page.js("return arguments[0].getContext('webgl2') !== null", canvas)
    page.wait("return [...document.querySelectorAll('.names span')].some(one => one.style.transform)")
    before = page.js("return document.querySelector('.names span').style.transform")
    ActionChains(page.driver).move_to_element(canvas).click_and_hold().move_by_offset(60, 40).release().perform()
    page.wait("return document.querySelector('.names span').style.transform !== arguments[0]", before)
    page.click(".controls button")
    page.wait("return location.hash.includes('camera=')")
    page.open("view=map")
    page.wait("return Number(document.querySelector('.map').dataset.marks) > 50")
    page.click(".controls [aria-pressed]")
    canvas = page.js("return document.querySelector('.map > canvas')")
    corners = [(-350, -300), (700, 0), (0, 600), (-700, 0)]
    pen = ActionChains(page.driver).move_to_element(canvas).move_by_offset(*corners[0]).click_and_hold()
    for x, y in corners[1:]:
        pen.move_by_offset(x, y)
    pen.release().perform()
    page.wait("return /\\d+ selected/.test(document.querySelector('.chosen').textContent)")
    assert page.js("return document.querySelector('.controls [aria-pressed]').ariaPressed") == "false"
    page.js("document.querySelector('.map > canvas').focus()")
    page.press("0")
    page.press("+")
    page.press("\ue007")  # Enter opens the work in the middle
    page.wait("return location.hash.includes('work=')")


@needs_browser
def test_clusters_and_the_timeline_lead_to_the_gallery(page: Page) -> None:
    page.open("view=clusters")
    page.wait("return document.querySelectorAll('.card').length > 10")
    page.click(".card h3 a")
    page.wait("return location.hash.includes('f.cluster=') && !document.querySelector('.gallery').hidden")
    assert 0 < page.works() < WORKS
    page.open("view=timeline")
    page.wait("return document.querySelectorAll('.decades button:enabled').length > 10")
    assert "work" in page.js("return document.querySelector('.decades button:enabled').ariaLabel")
    page.wait("return document.querySelectorAll('.artists li').length > 20")
    page.click(".artists a")
    page.wait("return location.hash.includes('f.meta_artist=')")
    page.open("view=timeline")
    page.wait("return document.querySelectorAll('.decades button:enabled').length > 10")
    page.click(".decades button:enabled")
    page.wait("return location.hash.includes('years=')")
    assert 0 < page.works() < WORKS


@needs_browser
def test_selections_are_made_kept_and_exported(page: Page) -> None:
    page.open()
    page.click(".tile[data-row='2'] .select")
    page.js(
        "document.querySelector(\".tile[data-row='6'] .select\").dispatchEvent("
        "new MouseEvent('click', {bubbles: true, shiftKey: true}))"
    )
    page.wait("return document.querySelector('.chosen').textContent.includes('5 selected')")
    page.click(".chosen a")
    page.wait("return !document.querySelector('.selections').hidden")
    assert page.js("return document.querySelectorAll('.selections .strip li').length") == 5
    page.write(".keep input", "rivers")
    page.click(".keep button")
    page.wait("return document.querySelector('.saved strong')?.textContent === 'rivers'")
    page.click("[data-format=csv]")
    lines = page.downloaded("selection.csv").read_text("utf-8-sig").splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("image_id,record,title,artist,date,uri,status,genre,genre_score")
    page.click("[data-format=json]")
    works = json.loads(page.downloaded("selection.json").read_text("utf-8"))["works"]
    assert [work["id"] for work in works] == [f"{row:016x}" for row in range(2, 7)]
    page.click("[data-format=sheet]")
    assert page.downloaded("contact-sheet.png").read_bytes().startswith(b"\x89PNG")
    page.open("view=selections")
    assert page.js("return document.querySelector('.selections h3').textContent") == "Nothing is selected"
    page.click(".saved button")
    page.wait("return document.querySelector('.selections h3').textContent.startsWith('5')")
    page.click(".selections .keep .plain")
    page.wait("return location.hash.includes('selected=1')")
    page.wait("return document.querySelectorAll('.tile').length === 5")
    page.open("f.genre=portrait")
    matching = page.works()
    page.click(".bar > .plain")
    page.wait(
        "return document.querySelector('.chosen').textContent.replace(/\\D/g, '') === arguments[0]", str(matching)
    )
    page.open("view=selections")
    page.click(".saved button:last-child")
    page.wait("return document.querySelector('.saved').hidden")


@needs_browser
def test_reviewers_decide_by_key_take_back_and_keep_a_file(page: Page) -> None:
    page.open("view=review")
    page.wait("return document.querySelector('.ask em')?.textContent")
    page.write(".signed input[autocomplete=name]", "M. Reviewer", "change")
    queue = page.js("return document.querySelector('.queue .count').textContent")
    title = "return document.querySelector('.review h3 a').href"
    first = page.js(title)
    page.press("a")
    page.wait(f"{title} !== arguments[0]", first)
    second = page.js(title)
    page.press("r")
    page.wait(f"{title} !== arguments[0]", second)
    third = page.js(title)
    page.press("1")
    page.wait(f"{title} !== arguments[0]", third)
    page.press("u")
    page.wait("return document.querySelector('.sent').textContent.startsWith('4 ')")
    page.press("z")
    page.wait("return document.querySelector('.sent').textContent.startsWith('5 ')")
    page.press("c")
    page.write(".correct input", explorer_data.GENRES[2])
    page.press("\ue007")
    page.wait("return document.querySelector('.sent').textContent.startsWith('6 ')")
    assert (
        page.js("return document.querySelector('.queue .count').textContent").split(" of ")[1] == queue.split(" of ")[1]
    )
    page.click(".judge > .plain")
    made = json.loads(page.downloaded("decisions.json").read_text("utf-8"))["decisions"]
    assert [one["decision"] for one in made] == ["accept", "reject", "correct", "unsure", "undo", "correct"]
    assert {one["reviewer"] for one in made} == {"M. Reviewer"}
    assert made[-1]["term"] == explorer_data.GENRES[2]
    assert made[0]["model_id"] == "made-up"
    assert [one["time"] for one in made] == sorted(one["time"] for one in made)
    page.open("f.genre_decision=human")
    assert page.works() == 3
    page.open("f.genre_decision=rejected")
    assert page.works() == 1
    page.open("f.genre_decision=(none)")
    assert page.works() == WORKS - 4
    page.open(first.split("#")[1].replace("view=review&", ""))
    page.wait(
        "return document.querySelector('[data-task=genre] .standing').textContent.startsWith('Confirmed by a person')"
    )


@needs_browser
def test_decisions_are_sent_to_the_server_and_read_from_it(page: Page, served: str) -> None:
    page.open("view=review&task=style", served)
    page.wait("return document.querySelector('.ask em')?.textContent")
    page.press("a")
    page.wait("return document.querySelector('.sent').textContent.includes('written to the catalog')")
    assert Site.tokens == ["secret"]
    assert [(one["task"], one["decision"]) for one in Site.decisions] == [("style", "accept")]
    page.js("localStorage.clear()")
    page.open("f.style_decision=human", served)
    assert page.works() == 1


@needs_browser
def test_a_title_of_markup_stays_text(page: Page) -> None:
    page.open(f"work={7:016x}")
    page.wait("return document.querySelector('#work-title').textContent === arguments[0]", explorer_data.MARKUP)
    page.open("size=l")
    page.wait(
        "return [...document.querySelectorAll('.caption em')].some(one => one.textContent === arguments[0])",
        explorer_data.MARKUP,
    )
    assert page.js("return document.querySelectorAll('img, [onerror]').length") == 0


@needs_browser
@pytest.mark.parametrize(("language", "words"), [("de", "Galerie"), ("fr", "Galerie"), ("en", "Gallery")])
def test_the_page_speaks_three_languages(page: Page, language: str, words: str) -> None:
    page.open()
    page.write(".settings select", language, "change")
    page.wait("return document.documentElement.lang === arguments[0]", language)
    page.wait("return document.documentElement.dataset.complete !== undefined")
    assert page.js("return document.querySelector('nav a').textContent") == words


@needs_browser
def test_light_and_dark_are_chosen_and_kept(page: Page) -> None:
    page.open()
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = page.js(paper)
    page.click(".settings .quiet")
    dark = page.js(paper)
    assert dark != light
    page.open()
    assert page.js(paper) == dark


@needs_browser
def test_nothing_moves_for_those_who_asked_for_less_motion(page: Page) -> None:
    page.size(1280, motion="reduce")
    page.open()
    page.wait("return document.querySelector('.tile canvas').dataset.state === 'drawn'")
    assert page.js("return getComputedStyle(document.querySelector('.tile canvas')).animationName") == "none"


@needs_browser
def test_on_a_telephone_filters_are_a_drawer_and_nothing_scrolls_across(page: Page) -> None:
    page.size(390)
    for view in VIEWS:
        page.open(f"view={view}")
        assert page.js("return document.documentElement.scrollWidth") <= 390
    page.open()
    assert page.js("return getComputedStyle(document.querySelector('.panel')).display") == "none"
    page.click(".opener")
    assert page.js("return getComputedStyle(document.querySelector('.panel')).display") == "block"
    page.click(".done")
    assert page.js("return document.activeElement.className") == "opener"


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize(
    ("width", "scheme"),
    [(1280, "light"), (1280, "dark"), (390, "light")],
)
def test_axe_finds_nothing(page: Page, width: int, scheme: str) -> None:
    page.size(width, scheme)
    axe = (VENDOR / "axe.min.js").read_text("utf-8")
    found = {}
    for hash_ in (*(f"view={view}" for view in VIEWS), "f.genre=portrait&years=1500..1700&size=l", f"work={0:016x}"):
        page.open(hash_)
        page.wait("return document.getAnimations().length === 0")
        page.js(axe)
        result = page.driver.execute_async_script("axe.run(document).then(arguments[0])")
        broken = [
            f"{one['id']}: {one['nodes'][0]['html'][:160]} {one['nodes'][0]['failureSummary']}"
            for one in result["violations"]
        ]
        if broken:
            found[hash_] = broken
    assert not found


@needs_browser
def test_it_asks_for_nothing_outside(page: Page) -> None:
    for view in VIEWS:
        page.open(f"view={view}")
        asked = page.js("return performance.getEntriesByType('resource').map(one => one.name)")
        assert asked
        assert {one for one in asked if not one.startswith((page.address, "data:"))} == set()


@needs_browser
def test_it_opens_as_a_file(page: Page, folder: Path) -> None:
    here = f"{folder.as_uri()}/index.html"
    page.open("", here)
    assert page.works() == WORKS
    page.wait("return document.querySelector('.tile canvas').dataset.state === 'drawn'")
    page.wait(CHECK, "genre", "portrait")
    page.wait("return document.querySelector('.works').textContent.includes(' of ')")
    page.open("view=map", here)
    page.wait("return Number(document.querySelector('.map').dataset.marks) > 50")
    page.open(f"work={0:016x}", here)
    page.wait("return document.querySelector('[data-zoom]')")


@needs_browser
def test_a_large_collection_opened_as_a_file_says_what_to_do(browser: Page, folder: Path, tmp_path: Path) -> None:
    for name in ("index.html", "app.js", "app.css"):
        shutil.copy(folder / name, tmp_path)
    browser.driver.get(f"{tmp_path.as_uri()}/index.html")
    browser.wait("return document.querySelector('.failed')")
    assert "http.server" in browser.js("return document.body.innerText")
    browser.complaints()
