"""Sweeps on a Ray cluster that believes it has a GPU: what the trials reserve, and how many run together."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import safetensors.torch

from artylyze.models.backbones import create_module
from tests.jobs.conftest import BIN, ROOT, heading, private_environment, private_head
from tests.small import collection

MODEL, OTHER = "test_efficientnet", "test_resnet"

RESERVED = """
import json, sys, ray
from ray.core.generated.gcs_pb2 import PlacementGroupTableData
from ray._private.state import state
ray.init(log_to_driver=False)
table = map(PlacementGroupTableData.FromString, state._connect_and_get_accessor().get_placement_group_table())
print(json.dumps({group.placement_group_id.hex(): dict(group.bundles[0].unit_resources) for group in table}))
"""
"""Prints what each placement group has reserved so far, those that are gone too."""

FULL = """
import sys, time, ray
ray.init(log_to_driver=False)
print("watching", flush=True)
while ray.available_resources().get(sys.argv[1]):
    time.sleep(0.02)
print("full", flush=True)
"""
"""Watches until all of a resource is reserved."""


@dataclass(frozen=True)
class Node:
    """A node with two cores and one GPU that is a number to Ray alone, and the environment of a user on it."""

    environment: dict[str, str]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command], env=self.environment, text=True, capture_output=True, timeout=300
        )

    def reserved(self) -> dict[str, dict[str, float]]:
        """What has been reserved here so far, now or before, by an id."""
        done = self.run("-c", RESERVED)
        assert done.returncode == 0, done.stderr
        found: dict[str, dict[str, float]] = json.loads(done.stdout)
        return found

    def reserved_since(self, before: dict[str, dict[str, float]]) -> list[dict[str, float]]:
        return [bundle for name, bundle in self.reserved().items() if name not in before]


@pytest.fixture(scope="module")
def node(home: Path) -> Iterator[Node]:
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        environment = private_environment(Path(folder))
        subprocess.run([BIN / "ray", "get-auth-token", "--generate"], env=environment, check=True, capture_output=True)
        url, options = private_head(Path(folder))
        (port,) = [option.removeprefix("--port=") for option in options if option.startswith("--port=")]
        command: list[str | Path] = [BIN / "ray", "start", "--head", "--num-cpus=2", "--num-gpus=1", *options]
        with heading(command, environment, url, Path(folder)):
            yield Node({**environment, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": f"127.0.0.1:{port}"})


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """A sweep of two backbones, but for its output."""
    folder = tmp_path_factory.mktemp("sweep")
    collection(folder, 40)
    command: list[str | Path] = ["-m", "artylyze", "tune", folder / "dataset.parquet", "--lr", "1e-3,1e-2"]
    command += ["--backbone", f"{MODEL},{OTHER}", "--image-size", "64", "--epochs", "2", "--json"]
    for name in (MODEL, OTHER):
        file = folder / f"{name}.safetensors"
        safetensors.torch.save_file({k: t.contiguous() for k, t in create_module(name).state_dict().items()}, file)
        command += ["--weights", f"{name}={file}"]
    return command


@contextmanager
def all_reserved(node: Node, resource: str) -> Iterator[None]:
    """All of a resource is reserved at some moment of the body."""
    command = [sys.executable, "-c", FULL, resource]
    with subprocess.Popen(command, env=node.environment, text=True, stdout=subprocess.PIPE) as seen:
        assert seen.stdout is not None
        assert seen.stdout.readline() == "watching\n"
        yield
        seen.terminate()
        assert seen.stdout.read() == "full\n"


@pytest.mark.slow
def test_two_trials_share_a_gpu(node: Node, sweep: list[str | Path], tmp_path: Path) -> None:
    before = node.reserved()
    with all_reserved(node, "GPU"):
        ended = node.run(*sweep, "-o", tmp_path / "sweep", "--concurrent", "2", "--gpus-per-trial", "0.5")
    assert ended.returncode == 0, ended.stderr
    assert len(json.loads(ended.stdout)["rows"]) == 4
    assert node.reserved_since(before) == [{"CPU": 1.0, "GPU": 0.5}] * 2


@pytest.mark.slow
def test_a_frozen_trial_for_cuda_reserves_a_gpu_and_the_sweep_goes_on_with_other_resources(
    node: Node, sweep: list[str | Path], tmp_path: Path
) -> None:
    """Torch knows better than Ray that there is no GPU here, and says so in the trial."""
    before = node.reserved()
    ended = node.run(*sweep, "-o", tmp_path / "sweep", "--device", "cuda")
    assert ended.returncode == 3
    assert "--device cpu" in ended.stderr
    assert node.reserved_since(before) == [{"CPU": 2.0, "GPU": 1.0}] * 2

    before = node.reserved()
    with all_reserved(node, "CPU"):
        ended = node.run(*sweep, "-o", tmp_path / "sweep", "--device", "cpu", "--concurrent", "2")
    assert ended.returncode == 0, ended.stderr
    assert node.reserved_since(before) == [{"CPU": 1.0}] * 2
