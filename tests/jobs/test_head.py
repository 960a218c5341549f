"""A head that is started as cluster.yaml says lets nobody in without the token of Secrets Manager."""

from __future__ import annotations

import secrets
import shlex
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
import yaml  # type: ignore[import-untyped]

from tests.conftest import S3
from tests.jobs.conftest import ROOT, heading, private_environment, private_head


def status(url: str, token: str | None) -> int:
    """The answer of the dashboard's list of jobs."""
    request = urllib.request.Request(f"{url}/api/jobs/", headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_it_answers_401_without_the_token(moto_server: S3) -> None:
    fetch, stop, start = yaml.safe_load((ROOT / "cluster.yaml").read_text("utf-8"))["head_start_ray_commands"]
    assert stop == "ray stop"  # left out here: it ends every Ray of a machine
    scaling = " --autoscaling-config=~/ray_bootstrap_config.yaml"  # the same: there is no EC2
    assert start.count("ray start") == start.count(scaling) == 1
    token = secrets.token_hex(32)
    client = boto3.client(
        "secretsmanager",
        endpoint_url=moto_server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=moto_server.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=moto_server.environment["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_secret(Name="artylyze/ray-auth-token", SecretString=token)
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        environment = {**private_environment(Path(folder)), **moto_server.environment}
        del environment["RAY_AUTH_MODE"]  # the command sets it
        subprocess.run(["bash", "-c", fetch], env=environment, check=True)
        url, options = private_head(Path(folder))
        command = start.replace(scaling, "").replace("ray start", "exec ray start") + " " + shlex.join(options)
        with heading(["bash", "-c", command], environment, url, Path(folder)):
            assert (status(url, None), status(url, secrets.token_hex(32)), status(url, token)) == (401, 403, 200)
