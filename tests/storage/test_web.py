from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from artylyze.errors import ErrorCode, ImageError
from artylyze.storage import fetch
from artylyze.storage.web import get_http


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Site:
    """A web server that gives the answers of a path in turn, the last of them for ever."""

    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def next(self, path: str) -> Answer:
        self.asked.append(path)
        waiting = self.answers.get(path, [Answer(404)])
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = here.next(self.path)
            self.send_response(answer.status)
            for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield here
        server.shutdown()
        thread.join()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries wait for no time at all."""
    monkeypatch.setattr("artylyze.storage.web.BACKOFF", 0.0)


def code_of(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(ImageError) as caught:
        call()
    return caught.value.code


def test_an_address_gives_its_bytes(site: Site) -> None:
    site.answers["/a.jpg"] = [Answer(body=b"image")]
    assert fetch(f"{site.url}/a.jpg") == b"image"


def test_the_scheme_may_be_in_capitals(site: Site) -> None:
    site.answers["/a.jpg"] = [Answer(body=b"image")]
    assert fetch(site.url.replace("http", "HTTP") + "/a.jpg") == b"image"


def test_a_redirect_is_followed(site: Site) -> None:
    site.answers |= {"/old": [Answer(302, headers={"Location": "/new"})], "/new": [Answer(body=b"image")]}
    assert fetch(f"{site.url}/old") == b"image"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, ErrorCode.DENIED),
        (403, ErrorCode.DENIED),
        (404, ErrorCode.MISSING),
        (410, ErrorCode.MISSING),
        (418, ErrorCode.UNREACHABLE),
        (204, ErrorCode.UNREACHABLE),
    ],
)
def test_a_refusal_is_told_apart(site: Site, status: int, code: ErrorCode) -> None:
    site.answers["/a.jpg"] = [Answer(status)]
    assert code_of(lambda: fetch(f"{site.url}/a.jpg")) is code


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(site: Site, impatient: None, status: int) -> None:
    site.answers["/a.jpg"] = [Answer(status), Answer(status), Answer(body=b"image")]
    assert fetch(f"{site.url}/a.jpg") == b"image"


def test_a_server_that_stays_in_trouble_is_given_up(site: Site, impatient: None) -> None:
    site.answers["/a.jpg"] = [Answer(500)]
    assert code_of(lambda: fetch(f"{site.url}/a.jpg")) is ErrorCode.UNREACHABLE
    assert len(site.asked) == 5


def test_redirects_without_end_are_given_up(site: Site) -> None:
    site.answers["/a"] = [Answer(302, headers={"Location": "/a"})]
    assert code_of(lambda: fetch(f"{site.url}/a")) is ErrorCode.UNREACHABLE


def test_an_address_where_nobody_answers_is_unreachable(impatient: None) -> None:
    assert code_of(lambda: fetch("http://127.0.0.1:1/a.jpg")) is ErrorCode.UNREACHABLE


@pytest.mark.parametrize("address", ["http://[::1/a.jpg", "http://", "http://host:port/a", "http://a b/"])
def test_an_address_that_is_none_is_a_failure_of_the_image(address: str, impatient: None) -> None:
    assert code_of(lambda: fetch(address)) is ErrorCode.UNREACHABLE


def test_an_answer_that_breaks_off_is_not_taken_for_the_image(site: Site, impatient: None) -> None:
    site.answers["/a.jpg"] = [Answer(body=b"half", headers={"Content-Length": "8", "Connection": "close"})]
    assert code_of(lambda: fetch(f"{site.url}/a.jpg")) is ErrorCode.UNREACHABLE


@pytest.mark.parametrize("headers", [{}, {"Content-Length": ""}], ids=["told", "not told"])
def test_an_image_above_the_limit_is_too_large(site: Site, headers: dict[str, str]) -> None:
    site.answers["/a.jpg"] = [Answer(body=b"12345", headers={**headers, "Connection": "close"})]
    assert code_of(lambda: get_http(f"{site.url}/a.jpg", 4)) is ErrorCode.TOO_LARGE


def test_another_etag_means_changed(site: Site) -> None:
    site.answers["/a.jpg"] = [Answer(body=b"image", headers={"ETag": '"two"'})]
    assert fetch(f"{site.url}/a.jpg", 'etag:"two"') == b"image"
    assert code_of(lambda: fetch(f"{site.url}/a.jpg", 'etag:"one"')) is ErrorCode.CHANGED


def test_without_an_etag_nothing_is_checked(site: Site) -> None:
    site.answers["/a.jpg"] = [Answer(body=b"image")]
    assert fetch(f"{site.url}/a.jpg", 'etag:"one"') == b"image"


def test_odd_characters_of_an_address_reach_the_server_encoded(site: Site) -> None:
    site.answers["/caf%C3%A9%20%3Cb%3E.jpg"] = [Answer(body=b"image")]
    assert fetch(f"{site.url}/café <b>.jpg") == b"image"
