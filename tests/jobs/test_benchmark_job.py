"""Benchmarks as a job: the same arguments, answers and exit codes as `artylyze bench`."""

from __future__ import annotations

import json

from tests.conftest import S3
from tests.jobs.conftest import Cluster


def test_a_submitted_benchmark_leaves_its_figures_in_the_bucket(cluster: Cluster, moto_server: S3) -> None:
    bucket, client = moto_server.bucket("job-bench"), moto_server.client()
    variables = [f"{name}={value}" for name, value in moto_server.environment.items()]

    ended = cluster.submit("env", *variables, "python", "jobs/benchmark.py", "startup", "-o", f"{bucket}/figures")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout
    (result,) = json.loads(client.get_object(Bucket="job-bench", Key="figures/startup.json")["Body"].read())["results"]
    assert result["contestants"]["artylyze --help"]["seconds"] > 0


def test_a_mistake_fails_the_job_with_one_sentence(cluster: Cluster) -> None:
    ended = cluster.submit("python", "jobs/benchmark.py", "speed", "-o", "out")

    assert ended.returncode == 1
    assert "failed with exit code 2" in ended.stdout + ended.stderr
    assert any(line.startswith("artylyze: There is no benchmark speed.") for line in ended.stdout.splitlines())
