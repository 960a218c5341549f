"""The README and the documentation show what the committed figures say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import pages

RESULTS = pages.ROOT / "benchmarks" / "results"


@pytest.mark.parametrize("page", sorted({section.page for section in pages.SECTIONS.values()}))
def test_a_page_has_the_tables_of_the_committed_results(page: str) -> None:
    assert pages.filled(page, RESULTS) == (pages.ROOT / page).read_text(encoding="utf-8"), (
        "run `python benchmarks/report.py`"
    )


def test_every_section_has_its_results() -> None:
    assert all((RESULTS / f"{name}.json").exists() for section in pages.SECTIONS.values() for name in section.results)


def test_a_section_without_its_results_stays_as_it_is(tmp_path: Path) -> None:
    assert pages.filled(pages.SCALE, tmp_path) == (pages.ROOT / pages.SCALE).read_text(encoding="utf-8")


def test_the_fastest_peer_is_chosen_among_all_of_them() -> None:
    rates = {"artylyze": 90.0, "daft": 20.0, "draft": 30.0, "limit": 100.0}
    contestants = {name: {"steady_per_second": rate, "per_second": rate / 2} for name, rate in rates.items()}
    table = pages.speed_summary({"benchmark": "masters", "contestants": contestants})

    assert table.splitlines()[-1].endswith(
        "| 90.0 images/s | 30.0 images/s (DataLoader with `draft`) | 3.00 | 3.00 | 0.90 |"
    )


def test_features_that_are_not_ranked_have_no_rank() -> None:
    shown = json.loads((RESULTS / "compare-features.json").read_text(encoding="utf-8"))

    assert "| timm:mobilenetv2_100 (random weights, not ranked) |  |" in pages.features(shown)
