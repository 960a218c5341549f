"""A list of addresses knows the version of each image, as a listing does, and an update reads what has changed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from artylyze.collection import versions
from artylyze.collection.scan import scan
from artylyze.errors import ErrorCode, ImageError
from artylyze.storage import fetch, head, open_store
from tests.conftest import S3, free_ports


@dataclass
class Site:
    """A web server: the headers and the content of each path, and which methods it refuses."""

    url: str
    pages: dict[str, dict[str, str]] = field(default_factory=dict)
    refuses: tuple[str, ...] = ()
    asked: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr("artylyze.storage.web.BACKOFF", 0.0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.asked.append((self.command, self.path))
            headers = here.pages.get(self.path)
            status = 405 if self.command in here.refuses else 404 if headers is None else 200
            self.send_response(status)
            for name, value in {"Content-Length": "5", **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(b"image")

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield here
        server.shutdown()
        thread.join()


def rows(tmp_path: Path, *uris: str) -> tuple[dict[str, tuple[int | None, str | None]], Any]:
    """Scan a list of these addresses; return size and validator of each, and the report."""
    (tmp_path / "list.csv").write_text("uri\n" + "".join(f"{uri}\n" for uri in uris))
    report = scan(str(tmp_path / "list.csv"), str(tmp_path / "m.parquet"))
    found = pq.read_table(tmp_path / "m.parquet").to_pylist()
    return {row["uri"]: (row["size"], row["validator"]) for row in found}, report


def test_a_local_path_has_the_version_that_a_listing_gives(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"image")
    (entry,) = (e for e in open_store(tmp_path).list() if e.key == "a.jpg")
    found, report = rows(tmp_path, "a.jpg", "gone.jpg", f"file://{tmp_path}/a.jpg")
    assert found[f"{tmp_path}/a.jpg"] == found[f"file://{tmp_path}/a.jpg"] == (5, entry.validator)
    assert found[f"{tmp_path}/gone.jpg"] == (None, None)
    assert list(report.notes) == [f"No answer from 1 address ({tmp_path}/gone.jpg: no such file)."]


def test_a_local_path_that_changed_has_another_version(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"image")
    before, _ = rows(tmp_path, "a.jpg")
    os.utime(path, ns=(10**18, 10**18))
    after, _ = rows(tmp_path, "a.jpg")
    assert before != after


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"one"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, 'etag:"one"'),
        ({"ETag": 'W/"one"'}, 'etag:"one"'),
        ({"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, "modified:1445412480"),
        ({"Last-Modified": "yesterday"}, None),
        ({}, None),
    ],
)
def test_a_web_address_has_the_version_that_its_server_gives(
    site: Site, tmp_path: Path, headers: dict[str, str], validator: str | None
) -> None:
    site.pages["/a.jpg"] = headers
    found, _ = rows(tmp_path, f"{site.url}/a.jpg")
    assert found == {f"{site.url}/a.jpg": (5, validator)}
    assert site.asked == [("HEAD", "/a.jpg")]


@pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
def test_what_a_run_reads_is_compared_with_what_the_scan_saw(site: Site, name: str) -> None:
    times = ["Wed, 21 Oct 2015 07:28:00 GMT", "Thu, 22 Oct 2015 07:28:00 GMT"]
    values = ['"one"', '"two"'] if name == "ETag" else times
    site.pages["/a.jpg"] = {name: values[0]}
    seen = head(f"{site.url}/a.jpg").validator
    assert fetch(f"{site.url}/a.jpg", seen) == b"image"
    site.pages["/a.jpg"] = {name: values[1]}
    with pytest.raises(ImageError) as caught:
        fetch(f"{site.url}/a.jpg", seen)
    assert caught.value.code is ErrorCode.CHANGED


def test_a_server_that_refuses_head_is_asked_by_get_from_then_on(site: Site, tmp_path: Path) -> None:
    site.refuses = ("HEAD",)
    site.pages |= {f"/{name}.jpg": {"ETag": f'"{name}"'} for name in "ab"}
    for name in "ab":
        assert head(f"{site.url}/{name}.jpg").validator == f'etag:"{name}"'
    assert site.asked == [("HEAD", "/a.jpg"), ("GET", "/a.jpg"), ("GET", "/b.jpg")]


def test_a_server_that_tells_nothing_is_said_once_with_the_number(site: Site, tmp_path: Path) -> None:
    site.pages |= {f"/{number}.jpg": {} for number in range(3)}
    _, report = rows(tmp_path, *(f"{site.url}/{number}.jpg" for number in range(3)))
    (note,) = report.notes
    assert note.startswith(f"3 addresses of {site.url[7:]} give no ETag or Last-Modified: `update` cannot detect")


def test_a_host_where_nobody_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artylyze.storage.web.BACKOFF", 0.0)
    monkeypatch.setattr(versions, "REQUESTERS", 1)
    monkeypatch.setattr(versions, "GIVE_UP", 2)
    host = f"127.0.0.1:{free_ports(1)[0]}"
    found, report = rows(tmp_path, *(f"http://{host}/{number}.jpg" for number in range(5)))
    assert set(found.values()) == {(None, None)}
    assert report.unknown.unanswered.count == 5
    assert f"2 others of {host} gave no answer" in report.unknown.unanswered.first[-1]


@pytest.mark.parametrize("least", [2, 1000], ids=["listed", "asked one by one"])
def test_addresses_in_a_bucket_have_the_versions_of_a_listing(
    tmp_path: Path, s3: S3, aws: Callable[[S3], None], monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    aws(s3)
    monkeypatch.setattr(versions, "LIST_FROM", least)
    name = f"versions-{least}-{'moto' if s3.conditional else 'juicefs'}"
    bucket = s3.bucket(name)
    keys = ["scans/1/a.jpg", "scans/1/b.jpg", "scans/2/a.jpg", "scans/2/unwanted.jpg"]
    for key in keys:
        s3.client().put_object(Bucket=name, Key=key, Body=key.encode())
    wanted = [f"{bucket}/{key}" for key in keys[:3]]
    found, _ = rows(tmp_path, *wanted, f"{bucket}/scans/2/gone.jpg")
    for uri in wanted:
        size, validator = found[uri]
        assert size == 13
        assert validator is not None
        assert bytes(fetch(uri, validator)) == uri.removeprefix(f"{bucket}/").encode()
    assert found[f"{bucket}/scans/2/gone.jpg"] == (None, None)


def test_a_bucket_that_holds_far_more_than_is_wanted_is_not_listed_to_its_end(
    tmp_path: Path, moto_server: S3, aws: Callable[[S3], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws(moto_server)
    monkeypatch.setattr(versions, "LIST_FROM", 1)
    monkeypatch.setattr(versions, "LIST_AT_MOST", 1)
    bucket = moto_server.bucket("large")
    for number in range(5):
        moto_server.client().put_object(Bucket="large", Key=f"{number}.jpg", Body=b"image")
    found, _ = rows(tmp_path, f"{bucket}/0.jpg", f"{bucket}/4.jpg")
    assert all(validator for _, validator in found.values())


def test_batches_need_not_align_with_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "BATCH", 3)
    for number in range(7):
        (tmp_path / f"{number}.jpg").write_bytes(b"x" * number)
    found, _ = rows(tmp_path, *(f"{number}.jpg" for number in range(7)))
    assert [size for size, _ in found.values()] == list(range(7))
