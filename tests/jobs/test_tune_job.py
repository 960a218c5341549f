"""A sweep as a job: the same arguments, answers and exit codes as `artylyze tune`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch

from artylyze.models.backbones import create_module
from artylyze.models.folder import load
from tests.jobs.conftest import Cluster
from tests.small import collection

MODEL = "test_efficientnet"


@pytest.mark.slow
def test_a_submitted_sweep_leaves_its_table_and_its_best_bundle(cluster: Cluster, tmp_path: Path) -> None:
    collection(tmp_path / "pictures", 40)
    weights = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({k: t.contiguous() for k, t in create_module(MODEL).state_dict().items()}, weights)
    output = tmp_path / "sweep"
    command = ["python", "jobs/tune.py", str(tmp_path / "pictures" / "dataset.parquet"), "-o", str(output)]
    command += ["--lr", "1e-3,1e-2", "--tasks", "genre", "--epochs", "3", "--image-size", "64"]
    ended = cluster.submit(*command, "--backbone", MODEL, "--weights", f"{MODEL}={weights}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = json.loads((output / "sweep.json").read_text())["rows"]
    assert [row["rank"] for row in rows] == [1, 2]
    assert load(output / "best").training["learning_rate"] == rows[0]["learning_rate"]
    assert "Traceback" not in ended.stdout


@pytest.mark.slow
def test_a_mistake_fails_the_job_with_one_sentence(cluster: Cluster, tmp_path: Path) -> None:
    ended = cluster.submit("python", "jobs/tune.py", str(tmp_path / "none.parquet"), "-o", str(tmp_path), "--lr", "0")
    assert ended.returncode == 1
    assert "failed with exit code 2" in ended.stdout + ended.stderr
    assert "artylyze: Learning rates must be numbers above 0." in ended.stdout.splitlines()
