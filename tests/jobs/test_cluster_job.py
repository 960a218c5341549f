"""Clustering as a job: the same arguments, answers and exit codes as `artylyze cluster`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from artylyze.clustering.store import read_clusters
from artylyze.extraction.vectors import write_features
from tests.jobs.conftest import Cluster


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
