"""The benchmark of clusters: its model against its figures, and that it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import estimate, scaling, suite
from benchmarks.cluster_stream import Silent
from benchmarks.estimate import Machine
from tests.tagging.conftest import fill


def figures(rate: float, **stages: float) -> dict[str, Any]:
    """One node, with images/s of a worker that does nothing but one stage."""
    return {"steady_per_second": rate, "stages": {"workers": {n: {"images_per_second": v} for n, v in stages.items()}}}


def test_nodes_that_wait_add_up_until_the_cores_are_busy() -> None:
    waiting = figures(8.0, decode=100.0, inference=50.0, commit=1e9)
    assert scaling.predicted(waiting, 4, cores=2) == pytest.approx(32)
    assert scaling.predicted(waiting, 100, cores=2) == pytest.approx(2 / (1 / 100 + 1 / 50))


def test_measured_nodes_are_held_against_the_model() -> None:
    one = figures(8.0, decode=100.0, inference=50.0, commit=1e9) | {"shard_size": scaling.SHARDS[0]}
    found = {
        f"{workload} {nodes}": one | {"workload": workload, "nodes": nodes, "steady_per_second": rate}
        for workload, rates in (("waits", {1: 8.0, 4: 30.0}), ("cpu", {1: 30.0, 4: 31.0}))
        for nodes, rate in rates.items()
    }
    cpu, waits = (check.as_dict() for check in scaling.checks(found, cores=2))
    assert (waits["value"], waits["passed"]) == (pytest.approx(30 / 32, abs=1e-4), True)
    assert (cpu["value"], cpu["passed"]) == (pytest.approx(31 / (2 / 0.03), abs=1e-4), False)


def test_an_estimate_is_bound_by_the_cores_or_by_the_driver() -> None:
    machine = Machine("example", cores=10, dollars=2.0)
    found = estimate.estimate(3_600_000, 5.0, machine, nodes=4, efficiency=0.5, dispatched=1e9)
    assert found.images_per_second == 100
    assert found.hours == pytest.approx(estimate.START_HOURS + 10)
    assert found.dollars == pytest.approx(4 * 2 * found.hours + 3_600_000 * estimate.DOLLARS_PER_GET)
    assert estimate.estimate(3_600_000, 5.0, machine, 4, 0.5, dispatched=20.0).images_per_second == 20


def test_images_of_a_relative_folder_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[dict[str, Any]] = []

    def recorded(_: Path, job: dict[str, Any]) -> dict[str, Any]:
        jobs.append(job)
        return {"workload": job["workload"], "nodes": job["nodes"], "shards": 1, "shard_size": 1} | figures(1.0)

    monkeypatch.setattr(scaling, "_in_a_process", recorded)
    monkeypatch.setattr(scaling, "checks", lambda *_: [])
    monkeypatch.chdir(tmp_path)
    scaling.measure([Path("scans/a.jpg")], tmp_path, quick=True)
    assert {tuple(job["images"]) for job in jobs if "images" in job} == {(str(tmp_path / "scans" / "a.jpg"),)}


@pytest.mark.slow
def test_it_measures_both_workloads_and_writes_its_figures(tmp_path: Path) -> None:
    request = suite.SuiteRequest(("scaling",), str(tmp_path / "out"), str(fill(tmp_path / "images", 8)), quick=True)
    suite.run_suite(request, Silent())
    (result,) = json.loads((tmp_path / "out" / "scaling.json").read_text())["results"]
    names = {"cpu, 1 node, shards of 16", "waits, 1 node, shards of 16", "waits, 2 nodes, shards of 16"}
    assert set(result["contestants"]) == {*names, "dispatch, 100 shards"}
    assert result["contestants"]["waits, 1 node, shards of 16"]["steady_per_second"] > 0
    assert result["contestants"]["dispatch, 100 shards"]["shards_per_second"] > 0
    table = (tmp_path / "out" / "scaling.md").read_text()
    assert "| dispatch, 100 shards |" in table
