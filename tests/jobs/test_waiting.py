"""A training that finds no room on the cluster says what it waits for, and begins when a node has joined."""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from artylyze.models.folder import load
from tests.conftest import free_ports
from tests.jobs.conftest import BIN
from tests.jobs.nodes import Nodes
from tests.small import collection


@pytest.mark.slow
def test_fine_tuning_waits_for_a_node_and_says_so(home: Path, tmp_path: Path) -> None:
    collection(tmp_path / "images", 48)
    line: list[str | Path] = [
        BIN / "artylyze",
        "train",
        tmp_path / "images" / "dataset.parquet",
        "-o",
        tmp_path / "bundle",
    ]
    line += ["--mode", "finetune", "--backbone", "cnn3", "--epochs", "2", "--image-size", "64", "--device", "cpu"]
    log = tmp_path / "log"
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        nodes = Nodes(stack, Path(folder), free_ports(1)[0])
        with log.open("wb") as out:
            driver = stack.enter_context(subprocess.Popen(line, env=nodes.environment, stdout=out, stderr=out))
            stack.callback(driver.kill)
            while b"Waiting for room" not in log.read_bytes():
                assert driver.poll() is None, log.read_text()
                time.sleep(0.1)
            nodes.join("--num-cpus=1")
            assert driver.wait(600) == 0, log.read_text()
    assert "Waiting for room on the Ray cluster for 1 x {CPU: 1}." in log.read_text()
    assert load(tmp_path / "bundle").training["mode"] == "finetune"
