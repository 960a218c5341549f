"""Storage that throttles, breaks off, answers late or not at all, refuses, lists late, or changes while it is read."""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote

import pytest

from artylyze.catalog.compaction import compact
from artylyze.catalog.garbage import find_garbage, remove_garbage
from artylyze.catalog.parts import read_receipts
from artylyze.catalog.run import read_spec, run_store
from artylyze.collection.scan import scan
from artylyze.errors import StorageError
from artylyze.storage import open_store
from artylyze.tagging.job import run
from benchmarks import scale_data
from tests.conftest import S3
from tests.faults.conftest import BUCKET, IMAGES, Museum
from tests.faults.invariant import check, ids_in
from tests.faults.proxy import Answer, Fault, Proxy, Request, passed, proxied, refused, slowed_down
from tests.faults.test_signals import running
from tests.tagging.conftest import Quiet, picture

pytestmark = pytest.mark.slow

HEARTBEATS = 20
"""Requests more that a run may make because it lasts longer."""


@pytest.fixture
def calm(museum: Museum, proxy: Proxy, output: str, watcher: Quiet) -> int:
    """Number of requests of a run to which nothing happens."""
    run(museum.request(f"{output}-calm"), watcher)
    return len(proxy.requests)


def test_a_store_that_slows_down_gets_a_bounded_number_of_requests(
    museum: Museum, proxy: Proxy, output: str, watcher: Quiet, calm: int
) -> None:
    proxy.requests.clear()
    proxy.fault = slowed_down(0.2)
    run(museum.request(output), watcher)
    assert calm < len(proxy.requests) < 1.5 * calm + HEARTBEATS
    proxy.fault = passed
    check(output, museum.ids, museum.clean)


def test_a_store_that_slows_down_for_ever_ends_the_run_soon(
    museum: Museum, proxy: Proxy, output: str, watcher: Quiet
) -> None:
    proxy.fault = refused_after(proxy, 30, refused(503, "SlowDown"))
    with pytest.raises(StorageError, match="SlowDown"):
        run(museum.request(output), watcher)
    assert len(proxy.requests) < 6 * (30 + 2 * IMAGES)
    proxy.fault = passed
    assert errors_in(output) == {}
    run(museum.request(output), watcher)
    check(output, museum.ids, museum.clean)


def refused_after(proxy: Proxy, images: int, answer: Answer) -> Fault:
    """Refuse everything once so many images were asked for."""
    return lambda request: answer if proxy.counted(lambda one: one.image) > images else request.forward()


def errors_in(catalog: str) -> Counter[str]:
    """The error codes of all rows that are committed, published or not."""
    codes: Counter[str] = Counter()
    for run_id in {entry.key.split("/")[1] for entry in open_store(catalog).list("runs/")}:
        store = run_store(catalog, run_id)
        spec = read_spec(store)
        for receipt in read_receipts(store, run_id, spec.shards if spec else ()).values():
            codes.update(receipt.errors)
    return codes


def first_is_reset(request: Request) -> Answer | None:
    return None if request.before == 0 else request.forward()


def first_is_cut(request: Request) -> Answer:
    answer = request.forward()
    return answer.cut() if request.method == "GET" and request.before == 0 and answer.body else answer


def first_answer_is_lost(request: Request) -> Answer | None:
    answer = request.forward()
    return None if request.method == "PUT" and request.before == 0 else answer


@pytest.mark.parametrize("fault", [first_is_reset, first_is_cut, first_answer_is_lost])
def test_connections_that_break_cost_no_row(
    museum: Museum, proxy: Proxy, output: str, watcher: Quiet, calm: int, fault: Fault
) -> None:
    proxy.requests.clear()
    proxy.fault = fault
    run(museum.request(output), watcher)
    assert len(proxy.requests) < 2.5 * calm + HEARTBEATS
    proxy.fault = passed
    check(output, museum.ids, museum.clean)


def test_credentials_that_expire_stop_the_run_and_leave_no_false_row(
    museum: Museum, proxy: Proxy, output: str, watcher: Quiet
) -> None:
    proxy.fault = refused_after(proxy, 40, refused(403, "ExpiredToken"))
    with pytest.raises(StorageError, match="ExpiredToken"):
        run(museum.request(output), watcher)
    proxy.fault = passed
    check(output, complete=False)
    assert errors_in(output) == {}
    run(museum.request(output), watcher)
    check(output, museum.ids, museum.clean)


def test_a_clock_that_the_store_refuses_is_said(museum: Museum, proxy: Proxy, output: str, watcher: Quiet) -> None:
    proxy.fault = lambda _: refused(403, "RequestTimeTooSkewed")
    with pytest.raises(StorageError, match=r"access denied \(RequestTimeTooSkewed\)"):
        run(museum.request(output), watcher)
    with pytest.raises(StorageError, match=r"access denied \(RequestTimeTooSkewed\)"):
        list(open_store(museum.source).list())


def test_the_stores_clock_may_jump(museum: Museum, proxy: Proxy, output: str, watcher: Quiet) -> None:
    def fault(request: Request) -> Answer:
        """Answer with the clock a day behind, and after some images a day ahead."""
        answer = request.forward()
        days = 1 if proxy.counted(lambda one: one.image) > 40 else -1
        moved = [
            (name, format_datetime(parsedate_to_datetime(value) + timedelta(days=days), usegmt=True))
            if name.lower() in ("date", "last-modified")
            else (name, value)
            for name, value in answer.headers
        ]
        return replace(answer, headers=tuple(moved))

    proxy.fault = fault
    run(museum.request(output), watcher)
    check(output, museum.ids, museum.clean)
    assert run(museum.request(output, update=True), watcher).committed == 0


def test_objects_that_change_after_the_scan_are_rows_that_say_so(
    changing: Museum, moto_server: S3, proxy: Proxy, output: str, watcher: Quiet
) -> None:
    client, prefix = moto_server.client(), changing.source.rpartition("/")[2]
    once, gone, redrawn = threading.Lock(), ("0003.jpg", "0044.jpg"), ("0007.jpg", "0055.jpg")

    def fault(request: Request) -> Answer:
        if request.image and once.acquire(blocking=False):  # the first image that is asked for
            for image_id in gone:
                client.delete_object(Bucket=BUCKET, Key=f"{prefix}/{image_id}")
            for image_id in redrawn:
                client.put_object(Bucket=BUCKET, Key=f"{prefix}/{image_id}", Body=picture(999))
        return request.forward()

    proxy.fault = fault
    first = run(changing.request(output), watcher).run_id
    rows = check(output, changing.ids, changing.clean)
    codes = {image_id: row["error_code"] for image_id, row in rows.items() if row["status"] == "error"}
    assert codes == dict.fromkeys(gone, "missing") | dict.fromkeys(redrawn, "changed")
    proxy.fault = passed
    run(changing.request(output, update=True), watcher)
    rows = check(output, [image_id for image_id in changing.ids if image_id not in gone])
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert {image_id for image_id, row in rows.items() if row["run_id"] != first} == set(redrawn)


def lists_late(under: str = "") -> Fault:
    """What is written from now on is not listed, if its key contains `under`."""
    new: set[str] = set()

    def hidden(found: re.Match[bytes]) -> bytes:
        key = re.search(rb"<Key>(.*?)</Key>", found[0])
        return b"" if key and unquote(key[1].decode()) in new else found[0]

    def fault(request: Request) -> Answer:
        if request.method == "PUT" and under in request.key:
            new.add(request.key)
        answer = request.forward()
        if not request.lists:
            return answer
        return replace(answer, body=re.sub(rb"<Contents>.*?</Contents>", hidden, answer.body, flags=re.DOTALL))

    return fault


def test_a_store_that_lists_late_costs_no_row(museum: Museum, proxy: Proxy, output: str, watcher: Quiet) -> None:
    proxy.fault = lists_late()
    run(museum.request(output, limit=30), watcher)
    proxy.fault = lists_late()  # the first run is listed now
    run(museum.request(output), watcher)
    proxy.fault = lists_late()
    remove_garbage(output, find_garbage(output))
    proxy.fault = passed
    check(output, museum.ids, museum.clean)


def test_a_catalog_that_is_listed_late_is_compacted_and_keeps_what_it_needs(
    museum: Museum, proxy: Proxy, output: str, watcher: Quiet
) -> None:
    proxy.fault = lists_late("/parts/")
    first = run(museum.request(output, limit=30), watcher)
    run(museum.request(output), watcher)  # its snapshot lists parts of both
    remove_garbage(output, find_garbage(output, interrupted=True))
    assert read_spec(run_store(output, first.run_id)) is not None
    assert compact(output, watcher).written == 1
    proxy.fault = passed
    check(output, museum.ids, museum.clean)
    remove_garbage(output, find_garbage(output))
    check(output, museum.ids, museum.clean)


def test_a_run_that_is_listed_late_is_resumed(museum: Museum, proxy: Proxy, output: str, watcher: Quiet) -> None:
    hides = lists_late()

    def fault(request: Request) -> Answer | None:
        answer = hides(request)
        return refused(403, "ExpiredToken") if proxy.counted(lambda one: one.image) > 40 else answer

    proxy.fault = fault
    with pytest.raises(StorageError):
        run(museum.request(output), watcher)
    proxy.fault = hides
    run(museum.request(output), watcher)
    proxy.fault = passed
    check(output, museum.ids, museum.clean)


def late(request: Request) -> Answer:
    time.sleep(0.2)
    return request.forward()


def test_a_distant_store_is_asked_no_more_often(
    museum: Museum, proxy: Proxy, output: str, watcher: Quiet, calm: int
) -> None:
    proxy.requests.clear()
    proxy.fault = late
    run(museum.request(output), watcher)
    assert len(proxy.requests) <= calm + HEARTBEATS
    proxy.fault = passed
    check(output, museum.ids, museum.clean)


def test_a_listing_of_100_000_keys_from_afar_has_each_once(aws: Callable[[S3], None], tmp_path: Path) -> None:
    manifest = str(tmp_path / "manifest.parquet")
    with scale_data.serve_listing(100_000) as server, proxied(server) as proxy:
        proxy.fault = late
        aws(proxy.server)
        report = scan(f"s3://{scale_data.BUCKET}", manifest)
        assert (report.images, proxy.counted(lambda one: one.lists)) == (100_000, 100)
    ids = ids_in(manifest)
    assert len(set(ids)) == len(ids) == 100_000


SECRETS = {"AWS_SECRET_ACCESS_KEY": "canary/secret/3f1b", "AWS_SESSION_TOKEN": "canary-token-77ae"}


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_secrets_are_written_nowhere(museum: Museum, proxy: Proxy, output: str, engine: str) -> None:
    faults: list[tuple[Fault, int]] = [
        (refused_after(proxy, 40, refused(403, "ExpiredToken")), 4),
        (lambda _: refused(503, "SlowDown"), 4),
        (first_is_cut, 0),
        (passed, 0),
    ]
    said = ""
    with tempfile.TemporaryDirectory(prefix="c-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        environment = {**proxy.server.environment, **SECRETS, "TMPDIR": folder, "HOME": folder}
        for fault, code in faults:
            proxy.fault = fault
            with running(*museum.command(output), "--engine", engine, environment=environment) as command:
                ended, messages = command.ended()
            assert ended == code, messages
            said += messages
        found = [str(path) for path in Path(folder).rglob("*") if path.is_file() and secrets_in(path.read_bytes())]
        assert found == []
        assert bool(list(Path(folder).glob("ray/session_*/logs/*"))) is (engine == "ray"), "nothing was looked at"
    assert not secrets_in(said.encode())
    store = open_store(output)
    assert [entry.key for entry in store.list() if secrets_in(store.read(entry.key) or b"")] == []


def secrets_in(data: bytes) -> bool:
    return any(secret.encode() in data for secret in SECRETS.values())
