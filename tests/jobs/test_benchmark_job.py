"""Benchmarks as a job: images from a bucket, figures into it, and the cluster's own Ray left alone."""

from __future__ import annotations

import json

from tests.conftest import S3
from tests.jobs.conftest import Cluster
from tests.tagging.conftest import picture


def test_a_submitted_benchmark_leaves_its_figures_in_the_bucket(cluster: Cluster, moto_server: S3) -> None:
    bucket, client = moto_server.bucket("job-bench"), moto_server.client()
    for number in range(100):
        client.put_object(Bucket="job-bench", Key=f"scans/{number:03}.jpg", Body=picture(number))
    variables = [f"{name}={value}" for name, value in moto_server.environment.items()]
    arguments = ["cluster", "--images", f"{bucket}/scans", "-o", f"{bucket}/figures", "--quick"]

    ended = cluster.submit("env", *variables, "python", "jobs/benchmark.py", *arguments)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout
    (result,) = json.loads(client.get_object(Bucket="job-bench", Key="figures/cluster.json")["Body"].read())["results"]
    assert result["settings"]["real_rows"] == 100
    assert {"kmeans-sklearn", "kmeans-artylyze"} <= set(result["contestants"])


def test_a_mistake_fails_the_job_with_one_sentence(cluster: Cluster) -> None:
    ended = cluster.submit("python", "jobs/benchmark.py", "speed", "-o", "out")

    assert ended.returncode == 1
    assert "failed with exit code 2" in ended.stdout + ended.stderr
    assert any(line.startswith("artylyze: There is no benchmark speed.") for line in ended.stdout.splitlines())
