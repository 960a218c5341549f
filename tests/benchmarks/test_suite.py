"""`artylyze bench`: what it refuses, where it finds the benchmarks, and what it leaves in a bucket."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from artylyze.errors import ArtylyzeError, UsageError
from benchmarks import report, scale, suite, tag
from benchmarks.cluster_stream import Silent
from benchmarks.measure import ARTYLYZE, not_installed
from benchmarks.suite import SuiteRequest
from tests.conftest import S3
from tests.tagging.conftest import fill, picture

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*ARTYLYZE, "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=300)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["startup"], 2, "-o FOLDER"),
        (["speed", "-o", "out"], 2, "There is no benchmark speed. Choose of tag, train, cluster, memory, startup"),
        (["startup", "-o", "out", "--count", "0"], 2, "--count and --repeats must be at least 1"),
        (["cluster", "-o", "out", "--count", "99"], 2, "the benchmark cluster needs at least 100 images"),
        (["tag", "-o", "out", "--images", "nowhere"], 3, "There is no folder or file nowhere."),
        (["startup", "-o", "ftp://somewhere"], 3, "ftp://somewhere is not a folder"),
    ],
)
def test_mistakes_end_in_one_sentence(arguments: list[str], code: int, says: str, tmp_path: Path) -> None:
    result = bench(*(str(tmp_path / one) if one == "out" else one for one in arguments))

    assert result.returncode == code, result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_too_few_images_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    request = SuiteRequest(("cluster",), str(tmp_path / "out"), str(fill(tmp_path / "images", 12)))

    with pytest.raises(UsageError, match=r"cluster needs at least 100 images, .*images has 12"):
        suite.run_suite(request, Silent())


def test_all_means_each_once_in_their_order(tmp_path: Path) -> None:
    assert SuiteRequest(("all", "tag"), str(tmp_path)).chosen == tuple(suite.BENCHMARKS)
    assert SuiteRequest(("startup", "tag", "tag"), str(tmp_path)).chosen == ("tag", "startup")


@pytest.mark.slow
def test_an_installed_package_brings_its_benchmarks(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "results")
    shutil.copytree(ROOT / "artylyze", tmp_path / "site" / "artylyze", ignore=ignored)
    shutil.copytree(ROOT / "benchmarks", tmp_path / "site" / "artylyze" / "_bench" / "benchmarks", ignore=ignored)
    code = "import sys; sys.argv[0] = 'artylyze'; from artylyze.cli.app import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", code, "bench", "startup", "-o", str(tmp_path / "out"), "--json"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)

    done = run()
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)["benchmarks"]["startup"]
    assert written["figures"]["startup"]["artylyze --help"]["seconds"] > 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["startup.json", "startup.md", "startup.png"]

    shutil.rmtree(tmp_path / "site" / "artylyze" / "_bench")
    refused = run()
    assert refused.returncode == 3
    assert "The benchmarks are not installed" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_every_command_of_scale_has_a_bar() -> None:
    figures = {"1000": {"seconds": 1.0, "peak_mib": 10.0}, "10000": {"seconds": 9.0, "peak_mib": 11.0}}
    result = {"benchmark": "scale", "contestants": dict.fromkeys(scale.WORK, figures)}

    panels = suite._panels([result])

    assert [len(panel.bars) for panel in panels] == [len(scale.WORK)] * 2
    assert set(panels[0].bars.values()) == {9.0}


def test_seconds_of_unlike_numbers_of_images_are_not_drawn() -> None:
    tuned = {"first_epoch_per_second": 9.0, "seconds": {"5": 2.0, "10": 3.0}, "peak_mib": 4.0}

    panels = suite._panels([{"benchmark": "finetune", "contestants": {"artylyze": tuned}}])

    assert [list(panel.bars.values()) for panel in panels] == [[9.0], [4.0]]


@pytest.mark.slow
def test_images_of_a_bucket_are_measured_and_the_figures_go_to_a_bucket(
    moto_server: S3, aws: Callable[[S3], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws(moto_server)
    bucket, client = moto_server.bucket("bench"), moto_server.client()
    for number in range(9):
        client.put_object(Bucket="bench", Key=f"scans/{number}%20.jpg", Body=picture(number))
    client.put_object(Bucket="bench", Key="scans/empty.jpg", Body=b"")
    monkeypatch.setattr(tag, "CONTESTANTS", ("daft", "limit"))  # the others start Ray
    monkeypatch.setitem(sys.modules, "daft", None)
    said: list[str] = []
    monkeypatch.setattr(Silent, "say", lambda _, message: said.append(message))

    request = SuiteRequest(("tag",), f"{bucket}/figures", f"{bucket}/scans", count=10, quick=True)
    written = suite.run_suite(request, Silent())

    names = [entry["Key"] for entry in client.list_objects_v2(Bucket="bench", Prefix="figures/")["Contents"]]
    assert names == ["figures/tag.json", "figures/tag.md", "figures/tag.png"]
    (result,) = json.loads(client.get_object(Bucket="bench", Key="figures/tag.json")["Body"].read())["results"]
    assert result["contestants"]["limit"]["images"] == 9
    assert "steady_per_second" in result["contestants"]["limit"]  # none, where start-up drowns so few images
    assert result["left_out"] == {"daft": "daft is not installed: pip install daft"}
    table = client.get_object(Bucket="bench", Key="figures/tag.md")["Body"].read().decode()
    assert "Left out: Daft: daft is not installed: pip install daft" in table.splitlines()
    assert "the figures mean nothing" in table
    assert client.get_object(Bucket="bench", Key="figures/tag.png")["Body"].read().startswith(b"\x89PNG")
    assert "Daft was left out: daft is not installed: pip install daft" in said
    assert written["benchmarks"]["tag"]["files"][0] == f"{bucket}/figures/tag.json"


def test_a_failure_of_artylyze_itself_is_an_error_and_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {
        "benchmark": report.ANY,
        "settings": {},
        "machine": {"cores": 2, "processor": "some"},
        "contestants": {"limit": {"per_second": 1.0, "images": 1, "steady_per_second": None, "peak_mib": 1.0}},
        "left_out": {"artylyze": "it failed: out of paint\nand more"},
        "checks": [],
    }
    failed["contestants"]["limit"] |= {"startup_seconds": None, "skipped": 0}  # type: ignore[index]
    monkeypatch.setattr(suite, "BENCHMARKS", {"tag": lambda _: [failed]})
    images = str(fill(tmp_path / "images", 1))

    with pytest.raises(ArtylyzeError, match="artylyze failed in a benchmark"):
        suite.run_suite(SuiteRequest(("tag",), str(tmp_path / "out"), images), Silent())

    assert "it failed: out of paint" in (tmp_path / "out" / "tag.md").read_text()


def test_what_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)

    assert not_installed({"kmeans-faiss": ("faiss", "faiss-cpu"), "ours": ("json", "json")}) == {
        "kmeans-faiss": "faiss-cpu is not installed: pip install faiss-cpu"
    }
