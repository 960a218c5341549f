"""The pure parts of the benchmarks: rates, memory, verdicts, tables. Nothing here looks at a clock."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from benchmarks import inputs, measure, report

ROLLUP = """563ea4b2b000-7fffb295e000 ---p 00000000 00:00 0                          [rollup]
Rss:                1644 kB
Pss:                 600 kB
Pss_Dirty:           116 kB
Pss_Anon:            300 kB
Pss_File:            200 kB
Pss_Shmem:           100 kB
Locked:                0 kB
"""


def test_steady_rate_leaves_out_what_is_done_once() -> None:
    # 7 s once, then 50 images/s
    found = measure.rate(500, 17.0, 3000, 67.0)

    assert found.steady == pytest.approx(50)
    assert found.startup == pytest.approx(7)
    assert found.overall(3000) == pytest.approx(3000 / 67)
    assert found.overall(500) == pytest.approx(500 / 17)


@pytest.mark.parametrize(
    ("few", "few_seconds", "many", "many_seconds"),
    [(100, 5.0, 100, 6.0), (0, 1.0, 10, 2.0), (10, 3.0, 20, 3.0), (10, 3.0, 20, 2.5), (10, 40.0, 20, 41.0)],
)
def test_no_rate_where_two_runs_tell_none(few: int, few_seconds: float, many: int, many_seconds: float) -> None:
    with pytest.raises(ValueError, match="no rate"):
        measure.rate(few, few_seconds, many, many_seconds)


def test_of_runs_the_quickest_counts_and_the_largest_peak() -> None:
    assert measure.quickest_run([measure.Run(3.0, 10), measure.Run(2.0, 20), measure.Run(9.0, 30)]) == measure.Run(
        2.0, 30
    )


def test_median_run_keeps_the_largest_peak() -> None:
    runs = [measure.Run(3.0, 10), measure.Run(1.0, 30), measure.Run(2.0, 20)]

    assert measure.median_run(runs) == measure.Run(2.0, 30)


def test_rollup_tells_shared_memory_apart() -> None:
    assert measure.parse_rollup(ROLLUP) == (500 * 1024, 100 * 1024)


def test_a_process_that_has_ended_has_no_rollup() -> None:
    with pytest.raises(KeyError):
        measure.parse_rollup("")


def test_shared_memory_is_counted_once() -> None:
    rollups = [(5, 3), (7, 4)]

    assert measure.combine(rollups, {(1, 1): 6}) == measure.Memory(private=12, shared=7)
    assert measure.combine(rollups, {(1, 1): 6, (1, 2): 20}) == measure.Memory(private=12, shared=26)
    assert measure.combine(rollups, {(1, 1): 6}).total == 19


def figures(steady: float, overall: float) -> dict[str, Any]:
    return {
        "images": 100,
        "skipped": 1,
        "per_second": overall,
        "steady_per_second": steady,
        "startup_seconds": 2.0,
        "peak_mib": 1234,
    }


def all_figures() -> dict[str, dict[str, Any]]:
    return {
        "dataloader": figures(20, 18),
        "draft": figures(40, 25),
        "ray": figures(12, 9),
        "daft": figures(35, 30),
        "artylyze": figures(140, 75),
        "artylyze-separate": figures(110, 60),
        "limit": figures(150, 140),
    }


def verdicts(benchmark: str, found: dict[str, dict[str, Any]]) -> dict[str, tuple[float, bool]]:
    judged = [check.as_dict() for check in report.checks(benchmark, found)]
    return {one["what"]: (one["value"], one["passed"]) for one in judged}


def test_paintings_are_judged_against_the_fastest_of_all_peers() -> None:
    assert verdicts("paintings", all_figures()) == {
        "artylyze / fastest peer (draft), steady": (3.5, True),
        "artylyze / fastest peer (daft), with start-up": (2.5, False),
        "artylyze / limit, steady": (0.9333, False),
        "artylyze-separate / limit, steady": (0.7333, False),
        "seconds of start-up, artylyze": (2.0, True),
    }


def test_masters_are_judged_against_documented_peers_and_draft() -> None:
    assert verdicts("masters", all_figures()) == {
        "artylyze / fastest documented peer (daft), steady": (4.0, False),
        "artylyze / DataLoader with draft (draft), steady": (3.5, True),
        "artylyze / limit, steady": (0.9333, False),
        "artylyze-separate / limit, steady": (0.7333, True),
    }


def test_nothing_but_start_up_is_judged_before_all_peers_have_run() -> None:
    found = all_figures()
    del found["ray"], found["limit"]

    assert verdicts("paintings", found) == {"seconds of start-up, artylyze": (2.0, True)}


def test_memory_is_judged_for_each_plan() -> None:
    found = {
        f"{plan}-{images}": {"plan": plan, "images": images, "peak_mib": peak, "per_second": 1.0}
        for plan, images, peak in [("fused", 20, 105), ("fused", 5, 100), ("slow", 5, 100), ("slow", 20, 150)]
    }

    assert verdicts("memory", found) == {
        "peak memory, artylyze, fused: 20 / 5 images": (1.05, True),
        "peak memory, artylyze, separate, slow model: 20 / 5 images": (1.5, False),
    }


def result(contestants: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {
        "benchmark": "paintings",
        "settings": settings,
        "machine": {"cores": 2, "processor": "some"},
        "versions": {"ray": "1"},
        "contestants": contestants,
    }


def test_partial_runs_add_up() -> None:
    found = all_figures()
    limit = {"limit": found.pop("limit")}

    merged = report.merge(result(found, images=100), result(limit, images=100))

    assert merged["contestants"] == found | limit
    assert len(merged["checks"]) == 5


def test_figures_of_other_settings_are_not_mixed() -> None:
    found = all_figures()

    merged = report.merge(result(found, images=100), result({"limit": found["limit"]}, images=200))

    assert list(merged["contestants"]) == ["limit"]


def test_tables_are_markdown() -> None:
    text = report.document([report.merge(None, result(all_figures(), images=100))])

    assert "| Daft | 35.0 | 30.0 | 2.0 | 1,234 | 100 | 1 |" in text.splitlines()
    assert "| artylyze / fastest peer (draft), steady | 3.5 | >= 3 | yes |" in text.splitlines()
    assert "**paintings** (images 100, 2 cores of some)" in text


def test_folder_keeps_the_order_of_its_sources(tmp_path: Path) -> None:
    sources = []
    for name in ("b.jpg", "a.jpg"):
        (tmp_path / name).write_text(name)
        sources.append(tmp_path / name)

    folder = inputs.lay_out(sources * 2, tmp_path / "laid")

    assert [path.read_text() for path in sorted(folder.iterdir())] == ["b.jpg", "a.jpg"] * 2


def test_committed_results_render() -> None:
    files = sorted(Path(report.__file__).parent.glob("results/tag-*.json"))

    for file in files:
        assert report.document([json.loads(file.read_text())])


def test_a_section_of_a_page_takes_its_place_and_nothing_elses() -> None:
    begin, end = "<!-- one: made by `it` -->", "<!-- one ends -->"
    text = f"before\n{begin}\nold\n{end}\n<!-- other: kept --> kept <!-- other ends -->"

    found = report.placed(text, "one", r"new \1")

    assert found == f"before\n{begin}\n\nnew \\1\n\n{end}\n<!-- other: kept --> kept <!-- other ends -->"
    assert report.placed(found, "one", r"new \1") == found
    with pytest.raises(ValueError, match="must have the lines"):
        report.placed("no marks", "one", "new")


def test_what_a_contestant_leaves_behind_is_ended_and_nothing_else(tmp_path: Path) -> None:
    sleep = "import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", sleep]) as other:
        left = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {sleep!r}]).pid)"
        measure.run_contestant([sys.executable, "-c", left], tmp_path / "log.txt")

        assert other.poll() is None
        assert not psutil.pid_exists(int((tmp_path / "log.txt").read_text()))
        other.kill()


def test_orphans_are_adopted_for_as_long_as_something_is_measured(tmp_path: Path) -> None:
    measure.run_contestant([sys.executable, "-c", "pass"], tmp_path / "log")
    adopts = ctypes.c_int(-1)
    ctypes.CDLL(None).prctl(37, ctypes.byref(adopts), 0, 0, 0)
    assert adopts.value == 0
