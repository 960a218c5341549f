"""What the machine does: disks that are full, clocks that jump, two runs at once."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artylyze.catalog import run as catalog_run
from artylyze.catalog.snapshot import read_snapshot
from artylyze.errors import StorageError
from artylyze.tables import load_table, open_database
from artylyze.tagging.job import run
from tests.faults.conftest import Museum
from tests.faults.invariant import check
from tests.faults.proxy import Answer, Proxy, Request
from tests.faults.test_signals import running
from tests.tagging.conftest import Quiet, fill

pytestmark = pytest.mark.slow


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """Mount a file system of so many KiB, where this process may: as root, outside of most containers."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resize(folder: Path, kib: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kib}k", str(folder)], check=True)


@pytest.fixture
def at_home(museum: Museum, tmp_path: Path) -> Museum:
    """The collection in a folder."""
    images = fill(tmp_path / "images", len(museum.ids))
    return replace(museum, source=str(images))


@pytest.mark.parametrize("kib", [4, 64, 128])
def test_a_full_disk_of_the_catalog_is_said_and_the_run_resumed(at_home: Museum, tmp_path: Path, kib: int) -> None:
    with small_disk(tmp_path / "disk", kib) as disk:
        command = at_home.command(disk / "catalog")
        with running(*command) as job:
            code, said = job.ended()
        assert code == 4, said
        assert re.fullmatch(r"artylyze: .*/catalog.*: No space left on device\.", said.splitlines()[-1])
        if kib > 4:
            check(str(disk / "catalog"), complete=False)
        resize(disk, 64 * 1024)
        with running(*command) as job:
            assert job.ended()[0] == 0
        rows = check(str(disk / "catalog"), at_home.ids)
        assert {row["status"] for row in rows.values()} == {"ok"}


@pytest.mark.parametrize("kib", [0, 4, 16, 64, 256])
def test_a_full_temporary_folder_is_said(at_home: Museum, tmp_path: Path, kib: int) -> None:
    with small_disk(tmp_path / "disk", max(kib, 4)) as disk:
        if not kib:
            (disk / "filler").write_bytes(bytes(4096))
        environment = {"TMPDIR": str(disk)}
        with running(*at_home.command(tmp_path / "catalog"), environment=environment) as job:
            code, said = job.ended()
        assert "Traceback" not in said
        if code:
            assert code == 4, said
            assert "No space left on device" in said.splitlines()[-1]
            assert str(disk) in said.splitlines()[-1]
    with running(*at_home.command(tmp_path / "catalog")) as job:
        assert job.ended()[0] == 0
    check(str(tmp_path / "catalog"), at_home.ids)


def test_a_full_temporary_folder_is_not_taken_for_a_damaged_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "objects.parquet"
    pq.write_table(pa.table({"file": [f"{number:032}.jpg" for number in range(50_000)]}), table)
    refused = 0
    for kib in (16, 64, 256, 1024, 4096, 16_384):
        with small_disk(tmp_path / f"disk-{kib}", kib) as disk:
            monkeypatch.setattr("tempfile.tempdir", str(disk))
            try:
                with open_database() as database:
                    load_table(database, str(table))
            except (StorageError, OSError) as error:
                assert "No space left on device" in str(error)  # noqa: PT017 - some sizes suffice
                refused += 1
    assert 0 < refused < 6


@pytest.mark.parametrize("same", [True, False])
def test_of_two_runs_at_once_one_makes_the_catalog(museum: Museum, proxy: Proxy, output: str, same: bool) -> None:
    def slow(request: Request) -> Answer:
        time.sleep(0.05)
        return request.forward()

    proxy.fault = slow
    half = len(museum.ids) // 2
    others = museum.command(output) if same else museum.command(output, None, "--limit", half)
    with ExitStack() as stack:
        jobs = [running(*one, environment=proxy.server.environment) for one in (museum.command(output), others)]
        ends = [job.ended() for job in [stack.enter_context(job) for job in jobs]]
    assert min(code for code, _ in ends) == 0, ends
    refusal = re.compile("is already running|is in progress|Another run has replaced|would leave")
    assert all(code in (3, 4) and refusal.search(said) for code, said in ends if code), ends
    rows = check(output, clean=museum.clean)
    assert len(rows) in (len(museum.ids), half)
    with running(*museum.command(output), environment=proxy.server.environment) as job:
        assert job.ended()[0] == 0
    check(output, museum.ids, museum.clean)


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_run_goes_on_though_its_clock_jumps(
    museum: Museum, proxy: Proxy, output: str, watcher: Quiet, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """Clocks of processes cannot be set one by one here: the one that heartbeats are written by is replaced."""
    jumped = 0.0

    def fault(request: Request) -> Answer:
        nonlocal jumped
        jumped = 3600.0 * hours if proxy.counted(lambda one: one.image) > 40 else 0.0
        return request.forward()

    class Clock:
        sleep = staticmethod(time.sleep)

        @staticmethod
        def time() -> float:
            return time.time() + jumped

    monkeypatch.setattr(catalog_run, "time", Clock)
    monkeypatch.setattr(catalog_run, "HEARTBEAT", 0.05)
    proxy.fault = fault
    run(museum.request(output), watcher)
    assert jumped
    check(output, museum.ids, museum.clean)
    assert read_snapshot(output).ok == len(museum.ids)


SPILLS = """
import sys
import ray
from artylyze.errors import ArtylyzeError
from artylyze.progress import Reporter
from artylyze.tagging.job import run
from artylyze.tagging.request import TagRequest
source, output, disk = sys.argv[1:]
ray.init(num_cpus=4, object_store_memory=80 * 2**20, object_spilling_directory=disk, include_dashboard=False)
request = TagRequest(source, output, model="timm:tf_efficientnet_lite0", engine="ray", shard_size=256, separate=True)
try:
    with Reporter() as reporter:
        run(request, reporter)
except ArtylyzeError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
"""A run in three stages: pixels pass through the object store, which three shards of 256 images fill."""


def test_a_full_disk_that_ray_spills_to_is_said_and_the_run_resumed(tmp_path: Path) -> None:
    images, catalog = fill(tmp_path / "images", 1000), str(tmp_path / "catalog")
    line = [sys.executable, "-c", SPILLS, str(images), catalog]
    with small_disk(tmp_path / "disk", 64) as disk:
        done = subprocess.run([*line, str(disk)], capture_output=True, text=True, timeout=900)
    said = done.stderr.splitlines()  # of Ray's workers too, whose last lines may come after ours
    assert done.returncode == 1, done.stderr[-3000:]
    assert any(line.startswith("StorageError: A node has no room") for line in said), done.stderr[-3000:]
    check(catalog, complete=False)
    done = subprocess.run([*line, str(tmp_path)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = check(catalog, [path.name for path in images.iterdir()])
    assert {row["status"] for row in rows.values()} == {"ok"}
