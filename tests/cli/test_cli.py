"""The commands as a user types them, each in a process of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from PIL import Image
from typer.main import get_command

from artylyze.catalog.snapshot import read_catalog
from artylyze.cli.app import app
from tests.conftest import S3, free_ports
from tests.tagging.conftest import fill, picture

ARTYLYZE = str(Path(sys.executable).parent / "artylyze")
COMMANDS: dict[str, Any] = dict(get_command(app).commands)  # type: ignore[attr-defined]


def artylyze(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ARTYLYZE, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true", **environment},
        timeout=300,
    )


@pytest.fixture
def shared(ray_cluster: None) -> dict[str, str]:
    """What a command needs to use the session's Ray, instead of starting one of its own."""
    import ray

    return {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}


def refused(result: subprocess.CompletedProcess[str], code: int, says: str) -> None:
    """One sentence that says what to do, the right exit code, no traceback."""
    assert result.returncode == code, result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_shows_an_example(command: str) -> None:
    assert f"Example: artylyze {command}" in (COMMANDS[command].help or "") or command == "paths"
    assert "Example:" in (COMMANDS[command].help or "")


def test_no_summary_is_cut_off_on_a_narrow_terminal() -> None:
    result = artylyze("--help", COLUMNS="80")
    assert result.returncode == 0
    assert "..." not in result.stdout.partition("Commands:")[2]


def test_help_imports_neither_ray_nor_torch() -> None:
    code = (
        "import sys, artylyze.cli.app as c\n"
        "try: c.app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'ray', 'torch', 'timm', 'numpy', 'pyarrow', 'duckdb', 'boto3', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_version() -> None:
    assert artylyze("--version").stdout == "0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["tag", "nowhere", "-o", "out"], 3, "There is no folder or file nowhere"),
        (["tag", "-o", "out"], 2, "Give a SOURCE"),
        (["tag", "."], 2, "-o CATALOG"),
        (["tag", ".", "-o", "out", "--shard-size", "0"], 2, "--shard-size"),
        (["tag", ".", "-o", "out", "--device", "tpu"], 2, "--device"),
        (["tag", ".", "-o", "out", "--update"], 3, "There is no complete catalog in out"),
        (["tag", ".", "-o", "ftp://somewhere"], 3, "ftp://somewhere is not a folder"),
        (["scan", ".", "-o", "m.parquet", "--metadata", "x.csv"], 2, "--id-column"),
        (["scan", ".", "-o", "m.parquet", "--id-column", "number"], 2, "--id-column says how --metadata is joined"),
        (["scan", "l.csv", "-o", "m.parquet", "--file-column", "file"], 2, "--file-column says how --metadata"),
        (["scan", ".", "-o", "m.parquet", "--encoding", "latin-1"], 2, "give --metadata TABLE too"),
        (["tag", ".", "-o", "out", "--id-column", "number"], 2, "--id-column says how --metadata is joined"),
        (["tag", ".", "-o", "out", "--sheet", "Objects"], 2, "give --metadata TABLE too"),
        (["tag", "-o", "out", "--retry-failed", "--skip-bad-rows"], 2, "give --metadata TABLE too"),
        (["curate", "--images", ".", "-o", "d.parquet", "--sheet", "A"], 2, "give LABELS too"),
        (["scan", "nowhere", "-o", "m.parquet"], 3, "There is no folder or file nowhere"),
        (["scan", "scnas", "-o", "m.parquet"], 3, "Did you mean scans?"),
        (["curate", "labels.csv", "--images", "scnas", "-o", "d.parquet"], 3, "There is no"),
        (["train", "nowhere.parquet", "-o", "out"], 3, "There is no dataset nowhere.parquet"),
        (["evaluate", "nowhere", "d.parquet", "-o", "out"], 3, "There is no model 'nowhere'"),
        (["tag", "scans", "-o", "out", "--model", "Scnas"], 3, "Did you mean scans?"),
        (["cluster", "nowhere", "-o", "out"], 3, "nowhere"),
        (["features", "nowhere", "-o", "f.parquet"], 3, "nowhere"),
        (["profiles", "nowhere"], 3, "There are no clusters in nowhere"),
        (["report", "nowhere"], 3, "There is no complete catalog in nowhere"),
        (["compact", "nowhere"], 3, "There is no complete catalog in nowhere"),
        (["status", "nowhere"], 3, "There is no catalog in nowhere"),
        (["failures", "nowhere"], 3, "There is no complete catalog"),
        (["paths", "nowhere"], 3, "There is no complete catalog"),
        (["sample", "out", "--count", "-1"], 2, "at least 1"),
    ],
)
def test_a_mistake_gets_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    refused(artylyze(*arguments), code, says)


def test_an_unknown_option_is_a_usage_error(tmp_path: Path) -> None:
    assert artylyze("tag", tmp_path, "--nonsense").returncode == 2


def test_no_gpu_is_told(tmp_path: Path, model: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    fill(tmp_path / "images", 2)
    result = artylyze("tag", tmp_path / "images", "-o", tmp_path / "out", "--model", model, "--device", "cuda")
    assert result.returncode == 3
    assert "no GPU" in result.stderr


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "There is no bucket s3://no-such-bucket"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "No AWS credentials were found"),
    ],
)
def test_a_bucket_that_cannot_be_had(tmp_path: Path, moto_server: S3, environment: dict[str, str], says: str) -> None:
    result = artylyze(
        "scan", "s3://no-such-bucket/x", "-o", tmp_path / "m.parquet", **(moto_server.environment | environment)
    )
    refused(result, 4, says)


def test_an_endpoint_that_is_down(tmp_path: Path, moto_server: S3) -> None:
    down = moto_server.environment | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)[0]}"}
    refused(artylyze("scan", "s3://bucket/x", "-o", tmp_path / "m.parquet", **down), 4, "s3://bucket/x")


def test_scan_counts_what_it_found(tmp_path: Path) -> None:
    fill(tmp_path / "images", 3)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    (tmp_path / "objects.csv").write_text("number,title\n0000,One\n0002,Two\n0009,None\n")
    result = artylyze(
        "scan", tmp_path / "images", "-o", tmp_path / "m.parquet", "--metadata", tmp_path / "objects.csv",
        "--id-column", "number", "--json",
    )  # fmt: skip
    found = json.loads(result.stdout)
    assert (found["images"], found["passed_over"], found["without_metadata"], found["unused_metadata"]) == (3, 1, 1, 1)


def test_dry_run_writes_nothing(tmp_path: Path, model: Path) -> None:
    fill(tmp_path / "images", 12)
    result = artylyze("tag", tmp_path / "images", "-o", tmp_path / "out", "--model", model, "--dry-run", "--json")
    found = json.loads(result.stdout)
    assert (found["images"], found["shards"], found["failed"]) == (12, 1, 0)
    assert min(found["decode_seconds"], found["inference_seconds"], found["memory_bytes"]) > 0
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_dry_run_counts_requests_to_s3(tmp_path: Path, model: Path, moto_server: S3) -> None:
    bucket = moto_server.bucket("dry-run")
    for number in range(3):
        moto_server.client().put_object(Bucket="dry-run", Key=f"{number}.jpg", Body=picture(number))
    result = artylyze(
        "tag", bucket, "-o", f"{bucket}/out", "--model", model, "--dry-run", "--json", **moto_server.environment
    )
    found = json.loads(result.stdout)
    assert (found["list_requests"], found["get_requests"]) == (1, 3)
    assert found["put_requests"] > found["shards"]


def test_a_job_from_scan_to_failures(tmp_path: Path, model: Path) -> None:
    images = fill(tmp_path / "images", 40)
    (images / "=cmd.jpg").write_bytes(b"")
    frames = [Image.linear_gradient("L").rotate(90 * turn).resize((300, 30)) for turn in range(2)]
    frames[0].save(images / "long.gif", save_all=True, append_images=frames[1:])
    manifest, out = tmp_path / "m.parquet", tmp_path / "out"
    assert artylyze("scan", images, "-o", manifest).returncode == 0
    tagged = artylyze("tag", manifest, "-o", out, "--model", model, "--json")
    assert tagged.returncode == 0, tagged.stderr
    found = json.loads(tagged.stdout)
    assert (found["rows"], found["ok"], found["errors"]) == (42, 41, {"empty": 1})
    lines = [json.loads(line) for line in tagged.stderr.splitlines()]
    assert lines[-1]["event"] == "progress"
    assert (lines[-1]["done"], lines[-1]["errors"]) == (42, 1)
    messages = [line.get("message", "") for line in lines]
    assert messages[0].endswith("loading the model ...")
    assert not any("Ray" in message for message in messages)
    assert any("Tagging 42 images in" in message and "loads the model" in message for message in messages)
    state = json.loads(artylyze("status", out, "--json").stdout)["runs"][0]
    assert (state["state"], state["committed"], state["current"]) == ("done", 42, True)
    (row,) = csv.DictReader(io.StringIO(artylyze("failures", out).stdout))
    assert (row["image_id"], row["error_code"]) == ("'=cmd.jpg", "empty")
    (row,) = csv.DictReader(io.StringIO(artylyze("failures", out, "--warnings").stdout))
    assert (row["image_id"], row["warnings"], row["warning"]) == ("long.gif", "animated;upscaled;extreme-aspect", "")
    (row,) = json.loads(artylyze("failures", out, "--warnings", "--json").stdout)["warnings"]
    assert row["warnings"] == ["animated", "upscaled", "extreme-aspect"]
    paths = artylyze("paths", out).stdout.splitlines()
    assert paths
    assert all(Path(path).is_file() for path in paths)


def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path: Path, model: Path) -> None:
    images, out = fill(tmp_path / "images", 400), tmp_path / "out"
    command = [ARTYLYZE, "tag", str(images), "-o", str(out), "--model", str(model), "--shard-size", "10", "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(list(out.glob("runs/*/parts/*.parquet"))) < 3:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/parts/*.parquet")}
    assert len(before) < 40
    assert not (out / "catalog.json").exists()
    dead = json.loads(artylyze("status", out, "--json").stdout)["runs"][0]
    assert dead["state"] == "dead"
    assert 3 <= dead["parts"] < 40
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["resumed"] >= 10 * len(before)
    rows = read_catalog(str(out), ["image_id"]).column("image_id").to_pylist()
    assert sorted(rows) == [f"{n:04d}.jpg" for n in range(400)]
    after = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/parts/*.parquet")}
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize(
    ("number", "as_begun"),
    [
        (signal.SIGINT, "--default-signal=INT"),
        (signal.SIGTERM, "--default-signal=INT"),
        (signal.SIGTERM, "--ignore-signal=INT"),  # as a script begins what it puts in the background
    ],
)
def test_interrupted_it_says_how_to_go_on(tmp_path: Path, model: Path, number: signal.Signals, as_begun: str) -> None:
    images, out = fill(tmp_path / "images", 600), tmp_path / "out"
    tag = [ARTYLYZE, "tag", str(images), "-o", str(out), "--model", str(model), "--shard-size", "10"]
    command = ["env", as_begun, *tag]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while not list(out.glob("runs/*/parts/*.parquet")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "artylyze: interrupted. The same command resumes where it stopped."
    assert "Traceback" not in said
    assert json.loads(artylyze("status", out, "--json").stdout)["runs"][0]["state"] == "interrupted"


@pytest.mark.slow
def test_the_whole_job_on_s3_gives_the_catalog_of_the_folder(
    tmp_path: Path, model: Path, shared: dict[str, str], s3: S3
) -> None:
    images = fill(tmp_path / "images", 30)
    name = f"job-{'moto' if s3.conditional else 'juicefs'}"
    bucket = s3.bucket(name)
    for path in images.iterdir():
        s3.client().put_object(Bucket=name, Key=f"scans/{path.name}", Body=path.read_bytes())
    s3.client().put_object(Bucket=name, Key="scans/broken.jpg", Body=b"\xff\xd8\xff rubbish")
    (images / "broken.jpg").write_bytes(b"\xff\xd8\xff rubbish")
    remote = artylyze("tag", f"{bucket}/scans", "-o", f"{bucket}/out", "--model", model, **s3.environment)
    assert remote.returncode == 0, remote.stderr
    local = artylyze("tag", images, "-o", tmp_path / "out", "--model", model, **shared)
    assert local.returncode == 0, local.stderr
    assert "rows, one for each image: " in local.stdout
    assert "1 that could not be read (1 " in local.stdout
    assert f"artylyze failures {tmp_path / 'out'}" in local.stdout
    code = (
        "import sys; from artylyze.catalog.snapshot import read_catalog\n"
        "import pyarrow.feather as f; f.write_feather(read_catalog(sys.argv[1]).sort_by('image_id'), sys.argv[2])"
    )
    subprocess.run(
        [sys.executable, "-c", code, f"{bucket}/out", str(tmp_path / "remote")],
        check=True,
        env={**os.environ, **s3.environment},
    )
    import pyarrow.feather as feather

    differ = ["uri", "validator", "run_id"]
    there = feather.read_table(tmp_path / "remote").drop_columns(differ)
    assert there.equals(read_catalog(str(tmp_path / "out")).sort_by("image_id").drop_columns(differ))


@pytest.mark.slow
def test_the_demo_shows_what_came_out(tmp_path: Path, bundles: None) -> None:
    result = artylyze("demo", tmp_path / "demo", "--count", "300")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "demo" / "contact-sheet.png").stat().st_size > 10_000
    assert (tmp_path / "demo" / "real-pictures.png").stat().st_size > 10_000
    assert "artylyze paths" in result.stdout
    assert (tmp_path / "demo" / "evaluation" / "metrics.json").is_file()
    assert "marked for review" in result.stdout


@pytest.mark.slow
def test_a_run_that_would_drop_images_is_refused_until_it_is_meant(
    tmp_path: Path, model: Path, shared: dict[str, str]
) -> None:
    images, out = fill(tmp_path / "images", 20), tmp_path / "out"
    tag: list[str | Path] = ["tag", images, "-o", out, "--model", model]
    assert artylyze(*tag, **shared).returncode == 0
    refused(
        artylyze(*tag, "--limit", "3", **shared),
        3,
        f"20 images are in the catalog {out}, this run would leave 3: 17 are not",
    )
    assert json.loads(artylyze(*tag, "--json", **shared).stdout)["rows"] == 20
    replaced = artylyze(*tag, "--limit", "3", "--replace", "--json", **shared)
    assert replaced.returncode == 0, replaced.stderr
    assert json.loads(replaced.stdout)["rows"] == 3


@pytest.mark.slow
def test_the_catalog_is_not_put_among_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "images", 1)
    (tmp_path / "link").symlink_to(tmp_path / "images")
    for output in ("images", "images/", "./images", tmp_path / "images", "link", f"file://{tmp_path}/images"):
        refused(artylyze("tag", "images", "-o", output), 2, "is the collection itself")
    refused(artylyze("tag", "s3://a/b", "-o", "S3A://a/b/"), 2, "is the collection itself")


@pytest.mark.slow
def test_killed_and_with_one_image_more_it_takes_over_what_was_committed(tmp_path: Path, model: Path) -> None:
    images, out = fill(tmp_path / "images", 400), tmp_path / "out"
    command = [ARTYLYZE, "tag", str(images), "-o", str(out), "--model", str(model), "--shard-size", "10", "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(list(out.glob("runs/*/parts/*.parquet"))) < 3:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/parts/*.parquet")}
    fill(images, 1, start=400)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert f"Taking over {10 * len(before)} images that an interrupted run committed" in again.stderr
    rows = read_catalog(str(out), ["image_id"]).column("image_id").to_pylist()
    assert sorted(rows) == [f"{n:04d}.jpg" for n in range(401)]
    paths = artylyze("paths", out).stdout.splitlines()
    assert {str(path) for path in before} <= set(paths)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
def test_what_artylyze_wrote_among_the_images_is_not_tagged(
    tmp_path: Path, model: Path, shared: dict[str, str]
) -> None:
    scans = fill(tmp_path / "scans", 30)
    tag: list[str | Path] = ["tag", scans, "-o", scans / "catalog", "--model", model]
    assert artylyze(*tag, **shared).returncode == 0
    clusters = artylyze("cluster", scans / "catalog", "-o", scans / "clusters", "--k-range", "2,4", "--k", "auto")
    assert clusters.returncode == 0, clusters.stderr
    pictures = list((scans / "clusters").rglob("*.png"))
    assert pictures
    updated = artylyze(*tag, "--update", **shared)
    assert updated.returncode == 0, updated.stderr
    assert f"as artylyze wrote them: {len(pictures)} files in 1 folder ({scans}/clusters)" in updated.stderr
    assert "Nothing has changed" in updated.stderr


@pytest.mark.slow
def test_tag_joins_a_workbook_and_an_update_sees_what_changed_in_it(
    tmp_path: Path, model: Path, shared: dict[str, str]
) -> None:
    images, out, book = fill(tmp_path / "images", 3), tmp_path / "out", openpyxl.Workbook()
    book.active.append(["file", "title"])
    for number in range(3):
        book.active.append([f"{number:04d}", f"Work {number}"])
    book.save(tmp_path / "objects.xlsx")
    tag: list[str | Path] = ["tag", images, "-o", out, "--model", model, "--metadata", tmp_path / "objects.xlsx"]
    tag += ["--id-column", "file"]
    tagged = artylyze(*tag, **shared)
    assert tagged.returncode == 0, tagged.stderr
    assert "3 images matched with" in tagged.stderr
    book.active["B2"] = "Another title"
    book.save(tmp_path / "objects.xlsx")
    assert artylyze(*tag, "--update", **shared).returncode == 0
    rows = read_catalog(str(out), ["image_id", "record_id", "run_id", "metadata"]).sort_by("image_id").to_pylist()
    assert [row["record_id"] for row in rows] == ["0000", "0001", "0002"]
    assert [row["metadata"]["title"] for row in rows] == ["Another title", "Work 1", "Work 2"]
    refused = artylyze(*tag[:-2], "--update", **shared)
    assert (refused.returncode, "--metadata needs --id-column" in refused.stderr) == (2, True)


@pytest.mark.slow
def test_a_retry_says_that_nothing_can_pass(tmp_path: Path, model: Path, shared: dict[str, str]) -> None:
    images, out = fill(tmp_path / "images", 30), tmp_path / "out"
    (images / "broken.jpg").write_bytes(b"\xff\xd8\xff rubbish")
    assert artylyze("tag", images, "-o", out, "--model", model, **shared).returncode == 0
    retried = artylyze("tag", "-o", out, "--model", model, "--retry-failed", **shared)
    assert "No image failed for a reason that can pass: 1 truncated." in retried.stderr


@pytest.mark.slow
def test_a_list_of_addresses_is_refreshed(tmp_path: Path, model: Path, shared: dict[str, str]) -> None:
    images, out, listed = fill(tmp_path / "images", 4), tmp_path / "out", tmp_path / "list.csv"
    listed.write_text("uri\n" + "".join(f"images/{number:04d}.jpg\n" for number in range(4)))
    tag: list[str | Path] = ["tag", listed, "-o", out, "--model", model]
    assert artylyze(*tag, **shared).returncode == 0
    (images / "0002.jpg").write_bytes(picture(77))
    assert artylyze(*tag, "--update", **shared).returncode == 0
    runs = {row["image_id"]: row["run_id"] for row in read_catalog(str(out), ["image_id", "run_id"]).to_pylist()}
    assert len(set(runs.values())) == 2
    assert [name for name, run in runs.items() if run != runs["images/0000.jpg"]] == ["images/0002.jpg"]
    assert artylyze(*tag, "--update", "--force", "*/0001.jpg", **shared).returncode == 0
    again = {row["image_id"]: row["run_id"] for row in read_catalog(str(out), ["image_id", "run_id"]).to_pylist()}
    assert [name for name, run in again.items() if run != runs[name]] == ["images/0001.jpg"]
