"""The job as the documentation submits it, with the real command line, to a real cluster of this machine's own."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artylyze.catalog.snapshot import read_catalog, read_snapshot
from tests.jobs.conftest import Cluster

IMAGES = 36


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A collection of noise, where the cluster's processes can read it."""
    made = Path(tempfile.mkdtemp(prefix="artylyze-job-"))
    random = np.random.default_rng(0)
    (made / "scans").mkdir()
    for number in range(IMAGES):
        pixels = random.integers(0, 255, (90, 120, 3), np.uint8)
        Image.fromarray(pixels).save(made / "scans" / f"{number:03}.jpg")
    yield made
    shutil.rmtree(made)


def json_lines(log: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith('{"event"')]


@pytest.mark.slow
def test_the_working_directory_carries_the_package_to_the_job_and_its_workers(cluster: Cluster) -> None:
    where = "__import__('artylyze').__file__"
    code = f"import ray; ray.init(); print(*{{{where}, ray.get(ray.remote(lambda: {where}).remote())}}, sep=chr(10))"
    ended = cluster.submit("python", "-c", code)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = [line for line in ended.stdout.splitlines() if line.endswith("artylyze/__init__.py")]
    assert len(found) == 1, ended.stdout
    assert "working_dir_files" in found[0]


@pytest.mark.slow
def test_a_submitted_job_writes_the_whole_catalog_and_tells_its_progress(cluster: Cluster, folder: Path) -> None:
    catalog = str(folder / "catalog")
    ended = cluster.submit("python", "jobs/tag.py", str(folder / "scans"), "-o", catalog, "--shard-size", "9")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    progress = [line for line in json_lines(ended.stdout) if line["event"] == "progress"]
    assert progress[-1]["done"] == progress[-1]["rows"] == IMAGES
    assert "Traceback" not in ended.stdout
    assert (read_snapshot(catalog).rows, read_snapshot(catalog).ok) == (IMAGES, IMAGES)
    assert len(set(read_catalog(catalog, ["image_id"]).column("image_id").to_pylist())) == IMAGES


@pytest.mark.slow
def test_a_mistake_fails_the_job_with_one_sentence(cluster: Cluster, folder: Path) -> None:
    missing = folder / "nothing here"
    ended = cluster.submit("python", "jobs/tag.py", str(missing), "-o", str(folder / "none"))
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert "failed with exit code 3" in said
    assert f"artylyze: There is no folder or file {missing}." in ended.stdout.splitlines()
    assert "Traceback" not in ended.stdout


@pytest.mark.slow
def test_nobody_submits_without_the_token(cluster: Cluster) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{cluster.url}/api/jobs/", timeout=30)  # noqa: S310 - loopback
    assert refused.value.code == 401
