"""Any command as a job of a checkout: `python -m artylyze COMMAND`, with the same arguments, answers and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import safetensors.torch
from ray._private.runtime_env.packaging import create_package
from typer.testing import CliRunner

from artylyze.cli.app import app
from artylyze.models.backbones import create_module
from artylyze.models.folder import load
from tests.jobs.conftest import ROOT, Cluster
from tests.small import collection

MODEL = "test_efficientnet"


def run(cluster: Cluster, *arguments: str | Path) -> dict[str, Any]:
    """Run a job to its good end, and return what it printed for machines."""
    ended = cluster.submit("python", "-m", "artylyze", *map(str, arguments), "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (answer,) = [line for line in ended.stdout.splitlines() if line.startswith("{") and '"event"' not in line]
    found: dict[str, Any] = json.loads(answer)
    return found


@pytest.mark.slow
def test_jobs_scan_embed_train_and_evaluate(cluster: Cluster, tmp_path: Path) -> None:
    collection(tmp_path / "pictures", 40)
    weights = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({k: t.contiguous() for k, t in create_module(MODEL).state_dict().items()}, weights)
    dataset, bundle = tmp_path / "pictures" / "dataset.parquet", tmp_path / "bundle"

    assert run(cluster, "scan", tmp_path / "pictures", "-o", tmp_path / "manifest.parquet")["images"] == 40
    run(cluster, "features", tmp_path / "manifest.parquet", "-o", tmp_path / "features.parquet", "--method", "pca")
    model = ("--backbone", MODEL, "--weights", weights, "--image-size", "64", "--epochs", "3")
    trained = run(cluster, "train", dataset, "-o", bundle, *model)
    evaluation = run(cluster, "evaluate", bundle, dataset, "-o", tmp_path / "evaluation", "--folds", "0")

    assert (tmp_path / "features.parquet").is_file()
    assert trained["model_id"] == load(bundle).model_id
    assert evaluation


@pytest.mark.slow
def test_a_mistake_fails_the_job_with_its_sentence(cluster: Cluster, tmp_path: Path) -> None:
    ended = cluster.submit("python", "-m", "artylyze", "curate", str(tmp_path / "none.csv"), "-o", "dataset.parquet")
    assert ended.returncode == 1
    assert "failed with exit code 3" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout


@pytest.mark.parametrize("command", ["train", "features", "evaluate", "scan", "curate"])
def test_each_is_a_command_that_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Example: artylyze {command} " in shown.output


def test_a_checkout_uploads_code_alone(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    code = {
        "artylyze/cli/app.py",
        "artylyze/models/starter/heads.safetensors",
        "benchmarks/suite.py",
        "jobs/tag.py",
        "own.py",
    }
    other = {"catalog/runs/1/parts/part-00000.parquet", "scans/1.jpg", "works.csv", "benchmarks/results/tag.json"}
    other |= {"artylyze/exploring/web/node_modules/zoom.js", ".git/HEAD", "artylyze/__pycache__/errors.pyc"}
    for name in code | other:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("any")
    (checkout / ".rayignore").write_text((ROOT / ".rayignore").read_text())
    create_package(str(checkout), tmp_path / "package.zip", include_gitignore=True)
    assert set(ZipFile(tmp_path / "package.zip").namelist()) == code
