"""Benchmarks as a job: the same arguments, answers and exit codes as `artylyze bench`."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import S3
from tests.jobs.conftest import Cluster
from tests.tagging.conftest import picture

IMAGES = 100


@pytest.mark.slow
def test_a_submitted_benchmark_leaves_its_figures_in_the_bucket(cluster: Cluster, moto_server: S3) -> None:
    bucket, client = moto_server.bucket("job-bench"), moto_server.client()
    variables = [f"{name}={value}" for name, value in moto_server.environment.items()]

    ended = cluster.submit("env", *variables, "python", "jobs/benchmark.py", "startup", "-o", f"{bucket}/figures")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout
    (result,) = json.loads(client.get_object(Bucket="job-bench", Key="figures/startup.json")["Body"].read())["results"]
    assert result["contestants"]["artylyze --help"]["seconds"] > 0


@pytest.fixture
def without_faiss() -> Iterator[Path]:
    """A folder for PYTHONPATH: every Python that starts with it takes faiss for a package that is not installed."""
    folder = Path(tempfile.mkdtemp(prefix="artylyze-job-"))  # where the cluster's processes can read it
    (folder / "sitecustomize.py").write_text("import sys\n\nsys.modules['faiss'] = None\n")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
def test_images_of_a_bucket_are_tagged_and_clustered_and_absent_peers_are_named(
    cluster: Cluster, moto_server: S3, without_faiss: Path
) -> None:
    """The job runs `artylyze tag`, which starts a Ray of its own beside the job's, and each contestant's process."""
    name, client = "job-bench-cluster", moto_server.client()
    bucket = moto_server.bucket(name)
    for number in range(IMAGES):
        client.put_object(Bucket=name, Key=f"scans/{number:03}.jpg", Body=picture(number))
    variables = [f"{key}={value}" for key, value in moto_server.environment.items()]
    images, out = f"{bucket}/scans", f"{bucket}/figures"

    ended = cluster.submit(
        *("env", *variables, f"PYTHONPATH={without_faiss}", "python", "jobs/benchmark.py", "cluster", "--quick"),
        *("--images", images, "--count", str(IMAGES), "-o", out),
        timeout=600,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout
    files = [entry["Key"] for entry in client.list_objects_v2(Bucket=name, Prefix="figures/")["Contents"]]
    assert files == ["figures/cluster.json", "figures/cluster.md", "figures/cluster.png"]
    made = json.loads(client.get_object(Bucket=name, Key=files[0])["Body"].read())
    (result,) = made["results"]
    assert (made["images"], made["quick"]) == (images, True)
    assert (result["benchmark"], result["settings"]["real_rows"]) == ("cluster-kmeans", IMAGES)
    ours = result["contestants"]["kmeans-artylyze"]
    assert ours["seconds"] > 0
    assert not [one for one in result["contestants"] if "faiss" in one]
    absent = "faiss-cpu is not installed: pip install faiss-cpu"
    assert set(result["left_out"].values()) == {absent}
    table = client.get_object(Bucket=name, Key=files[1])["Body"].read().decode()
    assert [line for line in table.splitlines() if line.startswith("Left out: ") and line.endswith(absent)]
    assert f"`artylyze bench cluster` on {images}." in table


@pytest.mark.slow
def test_a_mistake_fails_the_job_with_one_sentence(cluster: Cluster) -> None:
    ended = cluster.submit("python", "jobs/benchmark.py", "speed", "-o", "out")

    assert ended.returncode == 1
    assert "failed with exit code 2" in ended.stdout + ended.stderr
    assert any(line.startswith("artylyze: There is no benchmark speed.") for line in ended.stdout.splitlines())
