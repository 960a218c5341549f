"""Real SIGKILLs: of workers, of the driver at random moments, and of every command at its writes.

`make faults` tries each write (ARTYLYZE_FAULTS=all), other runs every fourth.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial

import pytest

from artylyze.catalog.compaction import compact
from artylyze.storage import open_store
from artylyze.tagging.job import run
from tests.conftest import S3
from tests.faults.conftest import BUCKET, Museum, copy_catalog
from tests.faults.invariant import Rows, check, rows_of
from tests.faults.proxy import Fault, Proxy, killing, passed
from tests.faults.test_signals import Command, running
from tests.tagging.conftest import Quiet, picture

pytestmark = pytest.mark.slow

ALL = os.environ.get("ARTYLYZE_FAULTS") == "all"
DRIVERS, STEP = (10, 1) if ALL else (3, 4)


def parts(output: str) -> int:
    return sum(entry.key.endswith(".parquet") and "/parts/" in entry.key for entry in open_store(output).list("runs/"))


@pytest.mark.parametrize(("engine", "name"), [("local", "artylyze.workers.child"), ("ray", "ray::MapWorker(")])
def test_a_worker_that_is_killed_three_times_costs_no_row(
    museum: Museum, proxy: Proxy, output: str, engine: str, name: str
) -> None:
    def slow(request: object) -> object:
        time.sleep(0.3)
        return passed(request)  # type: ignore[arg-type]

    proxy.fault = slow  # type: ignore[assignment]
    command = [*museum.command(output), "--engine", engine]
    with running(*command, environment=proxy.server.environment) as job:
        for _ in range(3):
            before = parts(output)
            job.until(lambda before=before: parts(output) > before and bool(job.living(name)))  # type: ignore[misc]
            with suppress(ProcessLookupError):
                os.kill(job.living(name)[0][0], signal.SIGKILL)
        proxy.fault = passed
        assert job.ended()[0] == 0
    check(output, museum.ids, museum.clean)


@contextmanager
def killed_at(proxy: Proxy, fault: Callable[[Future[int]], Fault], *command: object) -> Iterator[Command]:
    """Run a command that `fault` kills; yield it when it has ended, by that or by itself."""
    process: Future[int] = Future()
    proxy.fault = fault(process)
    with running(*command, environment=proxy.server.environment) as job:
        process.set_result(job.process.pid)
        job.ended()
        proxy.fault = passed
        yield job


def test_a_driver_that_is_killed_again_and_again_loses_nothing(museum: Museum, proxy: Proxy, output: str) -> None:
    moments, kills = random.Random(0), 0
    options = ("--shard-size", 2)
    while kills < DRIVERS:
        kill = partial(killing, moments.randint(1, 45))
        with killed_at(proxy, kill, *museum.command(output, None, *options)) as job:
            code = job.process.returncode
        assert code == -signal.SIGKILL, "the run is over: let moments be earlier"
        kills += 1
        check(output, clean=museum.clean, complete=False)
    with running(*museum.command(output, None, *options), environment=proxy.server.environment) as job:
        assert job.ended()[0] == 0
    check(output, museum.ids, museum.clean)


@pytest.fixture(scope="module")
def grown(changing: Museum, moto_server: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Rows]]:
    """A catalog whose collection has changed since, and the rows of a fresh catalog of it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in moto_server.environment.items():
            patch.setenv(name, value)
        catalog, prefix = f"s3://{BUCKET}/grown", changing.source.rpartition("/")[2]
        run(changing.request(catalog), Quiet())
        client = moto_server.client()
        client.delete_object(Bucket=BUCKET, Key=f"{prefix}/0003.jpg")
        for number in (7, 21, *range(60, 66)):
            client.put_object(Bucket=BUCKET, Key=f"{prefix}/{number:04d}.jpg", Body=picture(1000 + number))
        fresh = str(tmp_path_factory.mktemp("fresh"))
        run(changing.request(fresh), Quiet())
        yield catalog, rows_of(fresh)


def kill_at_writes(
    proxy: Proxy, catalog: str, output: str, command: Callable[[str], list[object]], before: Rows, after: Rows
) -> int:
    """Kill a command at its writes, let the same command end what it began, and return at which write it ended alive.

    Storage is left as by a crash between two writes, or during one that did not arrive.
    """
    for number in itertools.count(1, STEP):
        target = copy_catalog(catalog, f"{output}-{number}")
        kill = partial(killing, number, counts=lambda one: one.writes)
        with killed_at(proxy, kill, *command(target)) as job:
            code = job.process.returncode
        rows = check(target)
        assert sorted(rows) in (sorted(before), sorted(after))
        check(target, clean=before if sorted(rows) == sorted(before) else after)
        if code == 0:
            return number
        assert code == -signal.SIGKILL
        with running(*command(target), environment=proxy.server.environment) as job:
            assert job.ended()[0] == 0
        check(target, after, after)
    raise AssertionError("unreachable")


def test_an_update_that_is_killed_at_its_writes_loses_nothing(
    changing: Museum, grown: tuple[str, Rows], proxy: Proxy, output: str
) -> None:
    catalog, after = grown

    def command(target: str) -> list[object]:
        return changing.command(target, None, "--update")

    assert kill_at_writes(proxy, catalog, output, command, changing.clean, after) > 12


def test_a_compaction_that_is_killed_at_its_writes_loses_nothing(
    changing: Museum, grown: tuple[str, Rows], proxy: Proxy, output: str
) -> None:
    catalog, _ = grown

    def command(target: str) -> list[object]:
        return ["compact", target]

    assert kill_at_writes(proxy, catalog, output, command, changing.clean, changing.clean) > 8


def test_a_garbage_collection_that_is_killed_at_its_deletions_loses_nothing(
    changing: Museum, grown: tuple[str, Rows], proxy: Proxy, output: str
) -> None:
    catalog, _ = grown
    compacted = copy_catalog(catalog, f"{output}-compacted")
    compact(compacted, Quiet())

    def command(target: str) -> list[object]:
        return ["gc", target]

    assert kill_at_writes(proxy, compacted, output, command, changing.clean, changing.clean) > 8
    left = [entry.key for entry in open_store(f"{output}-1").list("runs/")]
    assert sum(key.endswith(".parquet") and "/parts/" in key for key in left) == 1
