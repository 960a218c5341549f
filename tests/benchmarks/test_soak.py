"""The soak: what it counts, what it draws, and one small pair of commands with a real kill."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from benchmarks import report, soak, soak_figures, soak_images
from benchmarks.soak_figures import Counts, compare, slope
from benchmarks.soak_watch import Attempt, Sample, committed, session, size_of


def rows(*found: tuple[str, str, str, str]) -> pa.Table:
    names = ["image_id", "validator", "status", "run_id"]
    return pa.table({name: [row[place] for row in found] for place, name in enumerate(names)})


def test_a_catalog_that_agrees_with_its_folder_counts_nothing() -> None:
    counts = Counts()

    compare(rows(("a", "v1", "ok", "old"), ("b", "v2", "ok", "new")), {"a": "v1", "b": "v2"}, "new", 1, counts)

    assert counts == Counts()


@pytest.mark.parametrize(
    ("found", "files", "read", "counts"),
    [
        ([("a", "v", "ok", "new")], {"a": "v", "b": "v"}, 1, Counts(missing=1)),
        ([("a", "v", "ok", "old"), ("a", "v", "ok", "old")], {"a": "v"}, 0, Counts(doubled=1)),
        ([("a", "v", "ok", "old"), ("x", "v", "ok", "old")], {"a": "v"}, 0, Counts(unknown=1)),
        ([("a", "before", "ok", "old")], {"a": "v"}, 0, Counts(stale=1)),
        ([("a", "v", "error", "old")], {"a": "v"}, 0, Counts(failed=1)),
        ([("a", "v", "ok", "new"), ("b", "v", "ok", "new")], {"a": "v", "b": "v"}, 1, Counts(read_again=1)),
    ],
)
def test_each_way_to_differ_is_counted(
    found: list[tuple[str, str, str, str]], files: dict[str, str | None], read: int, counts: Counts
) -> None:
    seen = Counts()

    compare(rows(*found), files, "new", read, seen)

    assert seen == counts


def test_the_slope_is_that_of_all_attempts_whatever_their_heights() -> None:
    first = [Sample(second, 1_000 * second, 500 + 0.3 * second, 0) for second in range(40)]
    second = [Sample(50 + second, 40_000 + 1_000 * second, 700 + 0.3 * second, 1) for second in range(40)]

    assert slope([*first, *second]) == pytest.approx(3)  # 0.3 MiB for each 1,000 images


def test_the_end_of_an_attempt_has_no_part_in_its_slope() -> None:
    working = [Sample(second, 1_000 * second, 500 + 0.3 * second, 0) for second in range(40)]
    ending = [Sample(40 + second, 40_000, 500 - 100 * second, 0) for second in range(5)]
    assert slope([*working, *ending]) == pytest.approx(3)


def test_few_samples_tell_no_slope() -> None:
    assert slope([Sample(1, 0, 10, 0), Sample(2, 100, 12, 0)]) is None


def test_images_are_the_same_every_time_and_change_as_a_collection_does(tmp_path: Path) -> None:
    for name in ("one", "two"):
        soak_images.write_images(tmp_path / name, 2_000)
    before = {path.name: path.read_bytes() for path in (tmp_path / "one").rglob("*.jpg")}
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "two").rglob("*.jpg")}
    assert len(set(before.values())) == 2_000
    with Image.open(soak_images.path_of(tmp_path / "one", 1_999)) as image:
        assert all(64 <= side <= 160 for side in image.size)

    numbers, read = soak_images.change(tmp_path / "one", list(range(2_000)), cycle=1)

    after = {path.name: path.read_bytes() for path in (tmp_path / "one").rglob("*.jpg")}
    assert sorted(after) == [f"{number:07d}.jpg" for number in sorted(numbers)]
    assert sum(before.get(name) != data for name, data in after.items()) == read == 22
    assert len(before.keys() - after.keys()) == 2


def test_a_catalog_that_is_not_there_has_committed_nothing(tmp_path: Path) -> None:
    assert committed(tmp_path / "catalog").rows == 0
    assert size_of(tmp_path / "cache") == 0


def test_a_session_is_found_by_its_leader() -> None:
    assert os.getpid() in {process.pid for process in session(os.getsid(0))}


@pytest.mark.slow
def test_a_killed_run_is_resumed_and_counted(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "LEAST_PAIRS", 1)

    result = soak.soak(tmp_path, images=300, minutes=0)

    assert result["stopped"] is None
    assert [attempt["killed"] for attempt in result["attempts"]][1:] == [False]
    assert sum(attempt["rows"] for attempt in result["attempts"]) == 300
    named = {check["what"]: check["value"] for check in result["checks"]}
    assert {named[text] for text in soak_figures.NAMES.values()} == {0}
    soak_figures.draw(result, tmp_path / "soak.png")
    with Image.open(tmp_path / "soak.png") as picture:
        assert picture.size[0] > 800


def test_a_command_that_fails_by_itself_ends_the_soak_and_is_told(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "ARTYLYZE", [sys.executable, "-c", "import sys; sys.exit('out of paint')"])

    result = soak.soak(tmp_path, images=10, minutes=0)

    assert "ended with 1:\nout of paint" in result["stopped"]
    missed = [check["what"] for check in result["checks"] if not check["passed"]]
    assert missed == ["commands that failed", "kills"]


def a_result() -> dict[str, object]:
    attempts = [Attempt("tag", True, 0, 10, 60, 0, 0.0), Attempt("tag", False, 11, 20, 40, 0, 0.0)]
    samples = [Sample(second, 10 * second, 100.0, second // 5) for second in range(10)]
    return {
        "benchmark": "soak",
        "settings": {"images": 100, "minutes": 5},
        **soak_figures.figures(attempts, samples),
        "left_in_temporary_folder_mib": 2.0,
        "of_it_ray_sessions": 2,
        "of_it_ray_sessions_mib": 1.0,
        "cache_growth_mib": 0.0,
        "attempts": [vars(attempt) for attempt in attempts],
        "machine": {"cores": 2, "processor": "some"},
        "machine_busy_before_percent": 3.0,
        "checks": [check.as_dict() for check in soak_figures.checks(Counts(), attempts, None)],
    }


def test_the_page_says_what_was_counted() -> None:
    text = soak_figures.paragraph(a_result())

    assert "exactly one row for each image" in text
    assert "half way 1 time, and" in text
    assert report.placed("a <!-- soak: made by x --> old <!-- soak ends --> z", "soak", text).count(text) == 1


def test_the_page_says_what_was_missed() -> None:
    result = a_result()
    checks = soak_figures.checks(Counts(doubled=2), [], None)

    text = soak_figures.paragraph({**result, "checks": [check.as_dict() for check in checks]})

    assert "Targets missed: images with more than one row (2); kills (0)." in text
