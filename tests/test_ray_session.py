"""RAY_ADDRESS names a cluster to join, or the dashboard of one that takes jobs, which is not joined."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artylyze.catalog.snapshot import read_snapshot
from artylyze.ray_session import cluster_address
from tests.small import Listener
from tests.tagging.conftest import fill

DASHBOARD = "http://127.0.0.1:8265"


@pytest.mark.parametrize(
    ("address", "cluster"),
    [(None, None), ("", None), ("auto", "auto"), ("10.0.0.1:6379", "10.0.0.1:6379"), (DASHBOARD, None)],
)
def test_a_cluster_is_joined_and_a_dashboard_is_not(
    address: str | None, cluster: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    listener = Listener()
    assert cluster_address(listener) == cluster
    assert bool(listener.said) == (address == DASHBOARD)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["auto", "ray"])
def test_with_the_address_of_a_dashboard_a_command_runs_on_this_machine_and_says_so(
    engine: str, home: Path, model: Path, tmp_path: Path
) -> None:
    images, catalog = fill(tmp_path / "images", 4), tmp_path / "catalog"
    ended = subprocess.run(
        [sys.executable, "-m", "artylyze", "tag", images, "-o", catalog, "--model", model, "--engine", engine],
        env={**os.environ, "RAY_ADDRESS": DASHBOARD},
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert read_snapshot(str(catalog)).ok == 4
    assert ended.stderr.count("is a dashboard, which takes jobs: this command runs on this machine") == 1
