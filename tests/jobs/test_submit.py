"""`artylyze submit`: a command of this installation as a job, from any folder, with its log and its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artylyze.catalog.snapshot import read_snapshot
from tests.conftest import free_ports
from tests.jobs.conftest import ROOT, Cluster
from tests.tagging.conftest import fill


def submit(folder: Path, environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it from a folder that has nothing of the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "artylyze", "submit", *map(str, arguments)],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        timeout=300,
    )


@pytest.mark.slow
def test_a_job_has_the_code_of_this_installation_and_its_log_is_printed(cluster: Cluster, tmp_path: Path) -> None:
    images, catalog = fill(tmp_path / "images", 6), tmp_path / "catalog"
    environment = {**cluster.environment, "RAY_ADDRESS": cluster.url}
    ended = submit(tmp_path, environment, "--", "tag", images, "-o", catalog, "--shard-size", "3")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "The catalog" in ended.stdout
    assert f"Submitted to {cluster.url} as raysubmit_" in ended.stderr
    assert read_snapshot(str(catalog)).ok == 6


@pytest.mark.slow
def test_the_exit_code_is_that_of_the_job(cluster: Cluster, tmp_path: Path) -> None:
    missing = tmp_path / "nothing here"
    ended = submit(tmp_path, cluster.environment, "--address", cluster.url, "--", "tag", missing, "-o", tmp_path / "c")
    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert f"artylyze: There is no folder or file {missing}." in ended.stdout.splitlines()
    assert " failed. " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "address", "sentence"),
    [
        ("", "http://127.0.0.1:{free}", "No Ray cluster answers at http://127.0.0.1:"),
        ("wrong" * 10, "{url}", "refuses access: set RAY_AUTH_MODE=token"),
    ],
)
def test_a_cluster_that_is_not_there_or_refuses_is_one_sentence(
    cluster: Cluster, tmp_path: Path, token: str, address: str, sentence: str
) -> None:
    environment = {**cluster.environment, **({"RAY_AUTH_TOKEN": token} if token else {})}
    at = address.format(free=free_ports(1)[0], url=cluster.url)
    ended = submit(tmp_path, environment, "--address", at, "--", "status", "catalog")
    assert (ended.returncode, ended.stdout) == (4, ""), ended.stderr
    assert sentence in ended.stderr.splitlines()[-1]


def test_what_is_no_command_is_not_submitted(tmp_path: Path) -> None:
    ended = submit(tmp_path, dict(os.environ), "--", "tagg", "scans")
    assert ended.returncode == 2
    assert ended.stderr == "artylyze: There is no command tagg: `artylyze --help` lists them.\n"
