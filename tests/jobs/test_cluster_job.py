"""Clustering as a job: the same arguments, answers and exit codes as `artylyze cluster`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from artylyze.clustering.cluster import cluster as fit_and_write
from artylyze.clustering.request import ClusterRequest
from artylyze.clustering.store import read_clusters
from artylyze.extraction.vectors import write_features
from artylyze.models.runtimes import resolve_device
from tests.conftest import free_ports
from tests.fixtures import Quiet, blobs
from tests.jobs.conftest import BIN, Cluster
from tests.jobs.nodes import Nodes

FIT_ON_THE_CPU_OF_THE_GPU_NODE = """
import sys
from dataclasses import replace

import ray

from artylyze.clustering import cluster as steps
from artylyze.clustering.request import ClusterRequest
from artylyze.progress import Reporter

fit = steps.fit


def on_the_cpu(request, watcher):
    context = ray.get_runtime_context()
    watcher.say(f"device {request.device}, GPUs {context.get_accelerator_ids()['GPU']}")
    return fit(replace(request, device="cpu"), watcher)


steps.fit = on_the_cpu
source, output = sys.argv[1:]
with Reporter() as reporter:
    steps.cluster(ClusterRequest(source, output, k=3, sample=40, device="cuda"), reporter)
"""
"""`artylyze cluster --device cuda` but for the device that the task fits on: there is no GPU behind the node's word."""


@pytest.mark.slow
def test_submitted_jobs_fit_on_a_sample_and_assign(cluster: Cluster, tmp_path: Path) -> None:
    ids = [f"{number:03}" for number in range(60)]
    rows = np.random.default_rng(0).normal(size=(60, 4)).tolist()
    table = pa.table({"image_id": ids, "record_id": ids, "features": pa.array(rows, pa.list_(pa.float32()))})
    source, output = str(tmp_path / "features.parquet"), str(tmp_path / "clusters")
    write_features(source, table, {"method": "pca", "model_id": "0" * 16})
    ended = cluster.submit("python", "jobs/cluster.py", source, "-o", output, "--k", "3", "--sample", "40")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout
    clusters = read_clusters(output)
    assert clusters.run["settings"]["k"] == 3
    assert clusters.assignments.column("image_id").to_pylist() == ids

    again = str(tmp_path / "again")
    ended = cluster.submit("python", "jobs/cluster.py", source, "-o", again, "--assign", output)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert read_clusters(again).assignments.equals(clusters.assignments)


@pytest.mark.slow
@pytest.mark.skipif(resolve_device() == "cuda", reason="there is a GPU")
def test_a_head_without_gpu_lets_a_gpu_node_fit(
    home: Path,
    written: Callable[[np.ndarray], str],
    tmp_path: Path,
    watcher: Quiet,
) -> None:
    source, output = written(blobs(rows=90)[0]), str(tmp_path / "clusters")
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        nodes = Nodes(stack, Path(folder), free_ports(1)[0])
        log = tmp_path / "log"
        with log.open("wb") as out:
            line = [sys.executable, "-c", FIT_ON_THE_CPU_OF_THE_GPU_NODE, source, output]
            driver = stack.enter_context(subprocess.Popen(line, env=nodes.environment, stdout=out, stderr=out))
            stack.callback(driver.kill)
            while b"Waiting for room" not in log.read_bytes():
                assert driver.poll() is None, log.read_text()
            nodes.join("--num-cpus=1", "--num-gpus=1")
            assert driver.wait(300) == 0, log.read_text()
        refused: list[str | Path] = [
            BIN / "artylyze",
            "cluster",
            source,
            "-o",
            tmp_path / "refused",
            "--device",
            "cuda",
        ]
        ended = subprocess.run(refused, env=nodes.environment, capture_output=True, text=True, timeout=300)

    said = log.read_text()
    assert "Waiting for room on the Ray cluster for 1 x {CPU: 1, GPU: 1, memory: 3.2 GB}." in said
    assert "Its autoscaler reports no node that is starting." in said
    assert "device cuda, GPUs ['0']" in said
    assert "Fitting k = 3: as asked for" in said
    request = ClusterRequest(source, str(tmp_path / "here"), k=3, sample=40, device="cpu")
    here, there = fit_and_write(request, watcher), read_clusters(output)
    assert there.assignments.equals(read_clusters(here.folder).assignments)
    assert {**there.run, "seconds": 0} == {**here.run, "seconds": 0}
    assert ended.returncode == 3, ended.stderr
    assert "torch finds no GPU here" in ended.stderr
    assert not (tmp_path / "refused").exists()
