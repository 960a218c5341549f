from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import pages
from benchmarks.report import SCALE_MIB, placed, scale_checks, scale_rows, scale_section

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scale.py"


def figures(cpu: float, mib: float) -> dict[str, float]:
    return {"seconds": 2 * cpu, "cpu_seconds": cpu, "peak_mib": mib}


def result(**found: Any) -> dict[str, Any]:
    machine = {"cores": 2, "processor": "some", "memory_gib": 8.0}
    return {"contestants": found, "machine": machine, "checks": [one.as_dict() for one in scale_checks(found)]}


@pytest.mark.parametrize(
    ("few", "many", "met"),
    [
        (figures(10, 300), figures(116, SCALE_MIB), "yes"),
        (figures(10, 300), figures(135, 400), "no"),
        (figures(10, 300), figures(100, SCALE_MIB + 1), "no"),
    ],
)
def test_a_row_is_met_by_memory_and_by_growth(few: dict[str, float], many: dict[str, float], met: str) -> None:
    headings, ((name, *cells),) = scale_rows(result(plan={"1000000": few, "10000000": many}))
    assert (name, headings[-1], cells[-1]) == ("plan of a run, its manifest copied", "met", met)


def test_what_is_measured_at_one_size_is_judged_by_its_memory() -> None:
    _, ((_, *cells),) = scale_rows(result(plan={"1000000": figures(10, 300)}))
    assert cells == ["20", "10", "300", "", "yes"]


def test_a_table_goes_between_its_marks() -> None:
    page = (SCRIPT.parents[1] / pages.SCALE).read_text()
    found = placed(page, "scale", scale_section(result(plan={"1000000": figures(10, 300)})))
    assert "| plan of a run, its manifest copied | 20 | 10 | 300 |  | yes |" in found


@pytest.mark.slow
def test_commands_are_measured_in_processes_of_their_own(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--rows", "1350", "--only", "update,status"]
    folders = ["--out", str(tmp_path), "--scratch", str(tmp_path)]
    done = subprocess.run([*command, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "scale.json").read_text())
    assert list(found["contestants"]) == ["update", "status"]
    assert all(one["1350"]["peak_mib"] > 10 for one in found["contestants"].values())
    assert [path.name for path in tmp_path.iterdir()] == ["scale.json"]
