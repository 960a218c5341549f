"""The report is one page that is whole, safe and accessible; Chromium reads it where there is one."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from artylyze.cli.app import app
from artylyze.clustering.store import read_clusters, write_clusters
from artylyze.errors import InputError, UsageError
from artylyze.models.folder import load, save
from artylyze.reporting.gallery import WORKS
from artylyze.reporting.model import model as described
from artylyze.reporting.page import ReportRequest, gather
from tests.fixtures import Quiet
from tests.pictures import FORMULA, MARKUP, Gallery

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_BROWSER = CHROMIUM is None and os.environ.get("CI", "").lower() != "true"
"""Whether browser tests are skipped: under CI a missing browser is a failure."""
VOID = {"meta", "link", "img", "rect", "br"}


class Page(HTMLParser):
    """The elements of a page with their attributes, its text, and what is wrong with its nesting."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def evaluation(gallery: Gallery) -> Path:
    folder = gallery.root / "evaluation"
    folder.mkdir()
    side = {"name": "artist-disjoint", "images": 9, "mean": {"accuracy": 0.5}, "spread": None, "folds": 4}
    told = {"notes": [MARKUP], "kind": "test images", "tasks": {"genre": {"n": 9, "accuracy": 0.625, "splits": [side]}}}
    (folder / "metrics.json").write_text(json.dumps(told))
    return folder


@pytest.fixture(scope="module")
def html(gallery: Gallery, evaluation: Path) -> Path:
    target = gallery.root / "report.html"
    result = CliRunner().invoke(
        app,
        ["report", gallery.catalog, "--clusters", gallery.clusters, "--evaluation", str(evaluation), "-o", str(target)],
    )
    assert result.exit_code == 0, result.output
    return target


@pytest.fixture(scope="module")
def page(html: Path) -> Page:
    return Page(html.read_text("utf-8"))


def test_the_page_is_well_formed(page: Page) -> None:
    assert page.wrong == []
    assert page.open == []


def test_nothing_is_fetched_and_nothing_runs(page: Page, html: Path) -> None:
    (policy,) = (meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", html.read_text("utf-8"), re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not any(tag in ("script", "iframe", "object", "form") for tag, _ in page.elements)
    addresses = [one[name] or "" for _, one in page.elements for name in ("src", "href") if name in one]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not any(name.startswith("on") or name == "style" for _, one in page.elements for name in one)


def test_what_museums_write_is_text(page: Page, html: Path) -> None:
    text = "".join(page.words)
    assert MARKUP in text
    assert FORMULA in text
    assert "Étude 1-1" in text
    assert "<script" not in html.read_text("utf-8")
    assert any(MARKUP in (image["alt"] or "") for image in page.all("img"))


def test_it_can_be_read_by_everybody(page: Page) -> None:
    tags = Counter(tag for tag, _ in page.elements)
    assert all((image.get("alt") or "").strip() for image in page.all("img"))
    assert (tags["main"], tags["header"], tags["nav"], tags["footer"], tags["h1"]) == (1, 1, 1, 1, 1)
    assert tags["table"] == tags["caption"] > 5
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    assert page.all("html") == [{"lang": "en"}]
    ids = [one["id"] for _, one in page.elements if "id" in one]
    assert len(ids) == len(set(ids))
    named = [one[key] for _, one in page.elements for key in ("aria-labelledby",) if key in one]
    targets = [(one["href"] or "")[1:] for one in page.all("a")]
    assert {*named, *targets} <= set(ids)


def test_headings_skip_no_level(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_it_tells_of_failures_model_clusters_and_an_influence(page: Page) -> None:
    text = " ".join(page.words)
    for said in (
        "28 images, 27 of them read, 1 not.",
        "the format is known, the content is not valid",
        "artist-disjoint",
        "0.625",
        "Cluster 2",
        "artist: Anna Ancher",
        "Scores of each number of clusters",
        "What runs through one painting",
    ):
        assert said in text


def test_a_catalog_alone_is_enough(gallery: Gallery, tmp_path: Path) -> None:
    target = tmp_path / "alone.html"
    result = CliRunner().invoke(app, ["report", gallery.catalog, "-o", str(target), "--json"])
    assert json.loads(result.stdout) == {"report": str(target), "bytes": target.stat().st_size}
    page = Page(target.read_text("utf-8"))
    assert not page.wrong
    works = [image["alt"] or "" for image in page.all("img")]
    assert len(works) == WORKS
    assert "Étude 0-1, Anna Ancher" in works
    assert not [alt for alt in works if "Broken" in alt]


def test_clusters_are_told_by_the_columns_that_were_asked_for(gallery: Gallery, tmp_path: Path) -> None:
    for columns in ("artist", "genre"):
        target = tmp_path / f"{columns}.html"
        command = ["report", gallery.catalog, "--clusters", gallery.clusters, "--columns", columns, "-o", str(target)]
        assert CliRunner().invoke(app, command).exit_code == 0
        told = re.findall(r"<caption>(\w+).* in cluster \d", target.read_text("utf-8"))
        assert set(told) == {columns}


def test_what_cannot_be_reported_is_told(gallery: Gallery, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.html"):
        ReportRequest("catalog", "report.pdf")
    for about in ({"artists": "artists.csv"}, {"columns": ("artist",)}):
        with pytest.raises(UsageError, match="`clusters=CLUSTERS`"):
            ReportRequest("catalog", "report.html", **about)
    result = CliRunner().invoke(app, ["report", gallery.catalog, "--evaluation", str(tmp_path), "-o", "r.html"])
    assert isinstance(result.exception, InputError)


FRAME = """<!doctype html><iframe src="{page}" style="border:0;width:{width}px;height:2000px"></iframe><script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument.documentElement
  document.body.append(`[${{page.scrollWidth}} of ${{page.clientWidth}}]`)
}}
</script>"""
"""Shows a page at a width, as a frame: headless windows of some versions are at least 500 pixels wide."""


def shown(page: Path, width: int, folder: Path) -> tuple[int, int, str]:
    """What Chromium says of a page: pixels that it takes across, pixels that there are, and its log."""
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(page=page.as_uri(), width=width))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    quiet = ["--disable-quic", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
    told = subprocess.run(
        [
            str(CHROMIUM),
            *options,
            *quiet,
            f"--user-data-dir={folder / 'profile'}",
            "--allow-file-access-from-files",
            "--enable-logging=stderr",
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r"\[(\d+) of (\d+)\]", told.stdout)
    assert found, told.stderr
    return int(found[1]), int(found[2]), told.stderr


@pytest.mark.skipif(NO_BROWSER, reason="no Chromium here: `make browser` installs it where it may")
@pytest.mark.parametrize("width", [1280, 390])
def test_chromium_reads_it_without_complaint_and_without_scrolling_across(
    html: Path, tmp_path: Path, width: int
) -> None:
    takes, has, log = shown(html, width, tmp_path)
    assert width - 20 <= has <= width
    assert takes == has
    assert ":CONSOLE" not in log


@pytest.mark.skipif(NO_BROWSER, reason="no Chromium here: `make browser` installs it where it may")
def test_chromium_would_complain(html: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt.html"
    wide = f"<pre style='color:red'>{'w' * 999}</pre>"
    spoilt.write_text(html.read_text("utf-8").replace("</body>", f"{wide}</body>"), "utf-8")
    takes, has, log = shown(spoilt, 390, tmp_path)
    assert takes > has
    assert ":CONSOLE" in log  # the policy refuses a style that is not the page's own


def test_figures_of_training_say_what_they_do_not_measure(model: Path, tmp_path: Path) -> None:
    figures = {"n": 30, "accuracy": 0.5, "not_measurable": {"Cubism": 4}, "flatters": "they chose the epoch too"}
    save(tmp_path / "bundle", replace(load(model), metrics={"style": {"held_out": figures}}))
    found = described(str(tmp_path / "bundle"), None)
    assert found is not None
    lost, flatters = found.notes
    assert lost.startswith("style, as measured in training: Not measurable")
    assert "Cubism (4)" in lost
    assert flatters.endswith("flatter: they chose the epoch too.")


def test_a_record_needs_a_mixture(gallery: Gallery, tmp_path: Path) -> None:
    found = read_clusters(gallery.clusters)
    settings = {**found.run["settings"], "algorithms": ["kmeans"]}
    only = replace(found, folder=str(tmp_path / "only"), mixture=None, run={**found.run, "settings": settings})
    write_clusters(only)
    request = ReportRequest(gallery.catalog, str(tmp_path / "r.html"), str(tmp_path / "only"))
    assert gather(request, Quiet()).clustering is not None
    with pytest.raises(UsageError, match="has no mixture"):
        gather(replace(request, record="between"), Quiet())


def test_the_example_is_the_most_mixed_work_and_images_without_a_cluster_are_counted(
    gallery: Gallery, tmp_path: Path
) -> None:
    found = read_clusters(gallery.clusters)
    few = replace(found, folder=str(tmp_path / "few"), assignments=found.assignments.slice(0, 20))
    write_clusters(replace(few, scores={"fitted": {"davies_bouldin": 1.25, "bic": None}}))
    told = gather(ReportRequest(gallery.catalog, str(tmp_path / "r.html"), str(tmp_path / "few")), Quiet()).clustering
    assert told is not None
    assert told.example is not None
    assert told.example.title == MARKUP
    assert [row.name for row in told.example.shares.rows][:2] == ["mixture cluster 0", "mixture cluster 1"]
    assert {("images of the catalog in no cluster", "7"), ("davies bouldin", "1.250")} <= set(told.facts.rows)
    assert "bic" not in {row[0] for row in told.facts.rows}
