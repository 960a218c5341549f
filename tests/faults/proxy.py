"""A proxy between a command and its S3 server that spoils requests as a test asks it to."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from tests.conftest import S3

WRITES = ("PUT", "POST", "DELETE")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; of its body `sent` bytes are sent, None: all, and then the connection is reset."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sent: int | None = None

    def cut(self) -> Answer:
        """Return this answer with half a body."""
        return replace(self, sent=len(self.body) // 2)


@dataclass(frozen=True)
class Request:
    """A request, and how often the same one came before.

    Attributes:
        key: below the bucket, empty for a listing.
        query: as it was sent.
        forward: asks the server.
    """

    method: str
    key: str
    query: str
    before: int
    forward: Callable[[], Answer]

    @property
    def lists(self) -> bool:
        return self.method == "GET" and "list-type=2" in self.query

    @property
    def writes(self) -> bool:
        return self.method in WRITES

    @property
    def image(self) -> bool:
        return self.method == "GET" and self.key.endswith(".jpg")


Fault = Callable[[Request], Answer | None]
"""What becomes of a request: an answer, or None: the connection is reset."""


def passed(request: Request) -> Answer:
    """No fault."""
    return request.forward()


def refused(status: int, code: str) -> Answer:
    """S3's answer with an error code."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>as a test asked</Message></Error>'.encode()
    return Answer(status, (("Content-Type", "application/xml"),), body)


def slowed_down(share: float) -> Fault:
    """503 SlowDown for a share of the requests, and for none four times in a row: a client gives up after five."""

    def fault(request: Request) -> Answer:
        number = zlib.crc32(f"{request.method} {request.key} {request.before}".encode()) / 2**32
        return refused(503, "SlowDown") if number < share and request.before % 4 != 3 else request.forward()

    return fault


def killing(number: int, process: Future[int], counts: Callable[[Request], bool] = lambda _: True) -> Fault:
    """SIGKILL a process when it sends its request of that number, from 1, which is not forwarded."""
    lock, seen = threading.Lock(), 0

    def fault(request: Request) -> Answer | None:
        nonlocal seen
        with lock:
            seen += counts(request)
            if seen < number:
                return request.forward()
            os.kill(process.result(), signal.SIGKILL)
        return None

    return fault


@dataclass
class Proxy:
    """A running proxy: set `fault` at any time."""

    server: S3
    fault: Fault = passed
    requests: list[Request] = field(default_factory=list)

    def answer(self, request: Request, connection: socket.socket) -> Answer | None:
        """Return what becomes of a request; what a killed command sent is dropped, even if it is read later."""
        fault = self.fault
        return None if _is_closed(connection) else fault(request)

    def counted(self, kind: Callable[[Request], bool]) -> int:
        return sum(map(kind, list(self.requests)))


def _is_closed(connection: socket.socket) -> bool:
    """Return whether the other side has closed a connection."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


@contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """Run a proxy before a server."""
    address = urlsplit(upstream).netloc
    asked: Counter[str] = Counter()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, TimeoutError):  # the other side was killed
                self.close_connection = True

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = urlsplit(self.path)
            with lock:
                before = asked[f"{self.command} {self.path}"]
                asked[f"{self.command} {self.path}"] += 1
            key = unquote(url.path.removeprefix("/").partition("/")[2])
            request = Request(self.command, key, url.query, before, lambda: self.forward(body))
            proxy.requests.append(request)
            self.send(proxy.answer(request, self.connection))

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - names of the library

        def forward(self, body: bytes) -> Answer:
            own = ("connection", "expect", "transfer-encoding")
            headers = {name: value for name, value in self.headers.items() if name.lower() not in own}
            connection = http.client.HTTPConnection(address)
            with contextlib.closing(connection):
                connection.request(self.command, self.path, body or None, headers)
                found = connection.getresponse()
                kept = [one for one in found.getheaders() if one[0].lower() not in own]
                return Answer(found.status, tuple(kept), found.read())

        def send(self, answer: Answer | None) -> None:
            if answer is not None:
                self.send_response_only(answer.status)
                for name, value in answer.headers:
                    if name.lower() != "content-length" or self.command == "HEAD":
                        self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body[: answer.sent])
                else:
                    self.end_headers()
            if answer is None or answer.sent is not None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    class Listening(ThreadingHTTPServer):
        request_queue_size = 128

    with Listening(("127.0.0.1", 0), Handler) as listening:
        proxy = Proxy(S3(f"http://127.0.0.1:{listening.server_port}", conditional=True))
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listening.shutdown()
            thread.join()
