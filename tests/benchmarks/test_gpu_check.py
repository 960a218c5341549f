"""The check for GPUs runs where little is installed, here on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tagging.conftest import fill

ROOT = Path(__file__).resolve().parents[2]
ABSENT = ("ray", "cuml", "obstore", "duckdb", "boto3", "botocore", "typer", "rich", "openpyxl", "kneed", "jinja2")
BLOCK = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.slow
def test_it_passes_without_ray_object_stores_and_a_gpu(tmp_path: Path) -> None:
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(BLOCK)
    fill(tmp_path / "images", 24)
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--device", "cpu", "--quick"]
    options = ["--models", "test_vit", "--data", str(tmp_path / "images"), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "blocked")}
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (tmp_path / "out").iterdir()
    results = json.loads(file.read_text())
    engine = results["models"]["test_vit"]["engine"]
    assert engine["rows"] == engine["ok"] == engine["images"] >= 64
    assert results["quick"], "so nobody takes the figures for figures"
    assert "files to catalog" in done.stdout
