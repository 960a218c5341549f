"""Images at http(s) addresses, as IIIF servers and image links in catalogues give them.

Whatever a server does, a request ends with the bytes or with an ImageError. One time limit covers all tries; it is
checked before each read from the network, so that headers or a body that arrive byte by byte cannot exceed it.
"""

from __future__ import annotations

import functools
import http.client
import io
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from artylyze import __version__
from artylyze.errors import ErrorCode, ImageError, InputError
from artylyze.storage.contract import Content, Version, check_bytes, etag_validator, first_line

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from urllib3 import BaseHTTPResponse

T = TypeVar("T")

USER_AGENT = f"artylyze/{__version__} (+https://github.com/artylyze/artylyze)"

CONNECT_SECONDS, SILENT_SECONDS = 10.0, 60.0
"""Time limits to connect, and between two reads."""

TRIES = 5
BACKOFF = 0.5
"""Seconds before the second try; doubled before each further try."""

REDIRECTS = 5

_PIECE = 2**18
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_MOVED = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Limits:
    """Limits for an image from the web.

    Attributes:
        seconds: time limit for all tries together; each `bytes_per_second` received add a second.
        connections: simultaneous requests to one host, from this process.
        bytes_per_second: the rate below which a large file times out.
    """

    seconds: float = 120.0
    connections: int = 8
    bytes_per_second: int = 250_000


def limits() -> Limits:
    """Return the limits, with those that the environment sets. Raises InputError for a value below 1 or no number."""
    return Limits(
        _number("ARTYLYZE_HTTP_SECONDS", Limits.seconds), int(_number("ARTYLYZE_HTTP_CONNECTIONS", Limits.connections))
    )


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable) or str(default)
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) < 1:
        raise InputError(f"{variable}={text}: give a number of at least 1.")
    return float(text)


def get_http(uri: str, max_bytes: int) -> Content:
    """Read one address.

    Raises:
        ImageError: if it cannot be had: denied, missing, unreachable or too_large.
    """

    def get(clock: _Clock) -> Content:
        with _answer("GET", uri, clock) as response:
            data = _body(response, max_bytes, clock)
            validators = _validators(response)
        return Content(data, validators)

    return _with_retries(get)


def head_http(uri: str) -> Version:
    """Ask for the version of one address, without its content.

    A server that rejects HEAD gets a GET that is closed after the headers, as all later requests to its host do.

    Raises:
        ImageError: if it cannot be had: denied, missing or unreachable.
    """

    def request(method: str) -> Version:
        def attempt(clock: _Clock) -> Version:
            with _answer(method, uri, clock) as response:
                size = response.headers.get("Content-Length") or ""
                validators = _validators(response)
            return Version(int(size) or None if size.isdecimal() else None, validators[0] if validators else None)

        return _with_retries(attempt)

    host = urlsplit(uri).netloc
    if host not in _rejects_head:
        try:
            return request("HEAD")
        except ImageError as error:
            if not error.detail.startswith("HTTP "):  # no answer: a GET would wait as long again
                raise
    version = request("GET")
    _rejects_head.add(host)
    return version


_rejects_head: set[str] = set()
"""Hosts that answer GET but reject HEAD."""


def _validators(response: BaseHTTPResponse) -> tuple[str, ...]:
    """Return the validators of an answer: the ETag, weak or strong, and the time of the last change."""
    tag = etag_validator((response.headers.get("ETag") or "").strip().removeprefix("W/"))
    try:
        modified = parsedate_to_datetime(response.headers.get("Last-Modified") or "")
    except ValueError:
        return (tag,) if tag else ()
    changed = f"modified:{int(modified.timestamp())}"
    return (tag, changed) if tag else (changed,)


class _TransientError(Exception):
    """A transient error; `wait` is how many seconds the server asks to wait before it."""

    def __init__(self, what: str, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait


def _with_retries(attempt: Callable[[_Clock], T]) -> T:
    """Retry transient errors until the time limit. Raises ImageError."""
    import urllib3.exceptions as web

    clock = _Clock(limits())
    for number in range(1, TRIES + 1):
        wait, tries = BACKOFF * 2 ** (number - 1), f"{number} {'try' if number == 1 else 'tries'}"
        try:
            return attempt(clock)
        except _TransientError as error:
            what, wait = f"{error} after {tries}", max(wait, error.wait)
            if error.wait > clock.left():
                raise ImageError(
                    ErrorCode.UNREACHABLE, f"{what}: the server asks to wait {error.wait:,.0f} s"
                ) from error
        except (web.ProtocolError, web.TimeoutError, web.NewConnectionError) as error:
            what = f"{_cause(error)} after {tries}"
            if clock.left() <= 0:
                raise ImageError(
                    ErrorCode.UNREACHABLE, f"no answer within {clock.elapsed():,.0f} s, {tries}"
                ) from error
        except (web.HTTPError, ValueError) as error:  # an invalid address, an invalid certificate
            raise ImageError(ErrorCode.UNREACHABLE, first_line(error)) from error
        if number == TRIES or wait > clock.left():
            break
        time.sleep(wait)
    raise ImageError(ErrorCode.UNREACHABLE, what)


def _cause(error: Exception) -> str:
    """Return the operating system's message about a failed connection, without the classes of urllib3 around it."""
    from urllib3.exceptions import IncompleteRead

    inner = next((argument for argument in error.args if isinstance(argument, Exception)), error.__cause__)
    if isinstance(error, IncompleteRead):
        return "the connection broke off"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    if isinstance(inner, http.client.BadStatusLine) and not isinstance(inner, OSError):
        return "the answer is not HTTP"
    return _cause(inner) if isinstance(inner, Exception) else first_line(error).rpartition(": ")[2]


@contextmanager
def _answer(method: str, uri: str, clock: _Clock) -> Iterator[BaseHTTPResponse]:
    """Ask, follow redirects, and yield the answer if it is a 200.

    Raises ImageError for a lasting error, _TransientError, and what urllib3 raises.
    """
    for _ in range(REDIRECTS + 1):
        with _slot(uri, clock), _request(method, uri, clock) as response:
            if response.status not in _MOVED:
                _check_status(response)
                yield response
                return
            target = urljoin(uri, response.headers.get("Location") or "")
            if urlsplit(target).scheme.lower() not in ("http", "https"):
                raise ImageError(ErrorCode.UNREACHABLE, f"redirected to {target[:200]}, which is not a web address")
            uri = target
    raise ImageError(ErrorCode.UNREACHABLE, f"more than {REDIRECTS} redirects")


def _check_status(response: BaseHTTPResponse) -> None:
    import urllib3

    status = response.status
    if status in (401, 403):
        raise ImageError(ErrorCode.DENIED, f"HTTP {status}")
    if status in (404, 410):
        raise ImageError(ErrorCode.MISSING, f"HTTP {status}")
    if status in _TRANSIENT:
        try:
            wait = urllib3.Retry().get_retry_after(response) or 0.0
        except urllib3.exceptions.InvalidHeader:
            wait = 0.0
        raise _TransientError(f"HTTP {status}", wait)
    if status != 200:
        raise ImageError(ErrorCode.UNREACHABLE, f"HTTP {status}")


def _body(response: BaseHTTPResponse, max_bytes: int, clock: _Clock) -> memoryview:
    """Read the decoded content, up to the limit."""
    import urllib3

    expected = response.length_remaining
    check_bytes(expected or 0, max_bytes)
    data = bytearray()
    try:
        while piece := response.read1(min(_PIECE, max_bytes + 1)):
            data += piece
            check_bytes(len(data), max_bytes)
    except urllib3.exceptions.HTTPError as error:
        if clock.left() > 0:
            raise
        total = "" if expected is None or response.headers.get("Content-Encoding") else f" of {expected:,}"
        raise ImageError(
            ErrorCode.UNREACHABLE, f"timed out after {clock.elapsed():,.0f} s: {len(data):,}{total} bytes"
        ) from error
    return memoryview(data)


_slots: dict[str, threading.BoundedSemaphore] = {}


@contextmanager
def _slot(uri: str, clock: _Clock) -> Iterator[None]:
    """Wait until this process may send a request to that host; the wait does not count as the image's time."""
    host = urlsplit(uri).netloc.rpartition("@")[2].lower()
    slots = _slots.setdefault(host, threading.BoundedSemaphore(clock.limits.connections))
    began = time.monotonic()
    with slots:
        clock.began += time.monotonic() - began
        yield


def _request(method: str, uri: str, clock: _Clock) -> BaseHTTPResponse:
    import urllib3

    left = max(0.001, clock.left())
    timeout = urllib3.Timeout(connect=min(CONNECT_SECONDS, left), read=min(SILENT_SECONDS, left))
    token = _running.set(clock)
    try:
        answer: BaseHTTPResponse = _web().request(
            method, uri, preload_content=False, retries=False, redirect=False, timeout=timeout
        )
    finally:
        _running.reset(token)
    return answer


class _Clock:
    """The time that an image has left."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.began = time.monotonic()
        self.received = 0

    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def left(self) -> float:
        return self.limits.seconds + self.received / self.limits.bytes_per_second - self.elapsed()


_running: ContextVar[_Clock] = ContextVar("_running")
"""Clock of the current request: urllib3 cannot pass it to the code that reads from the socket."""


class _TimedSocket(io.RawIOBase):
    """A socket's input, within the time limit."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, clock: _Clock) -> None:
        self._raw = raw
        self._connection = connection
        self._clock = clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        left = self._clock.left()
        if left <= 0:
            raise TimeoutError("timed out")
        self._connection.settimeout(min(SILENT_SECONDS, left))
        count = self._raw.readinto(buffer)
        self._clock.received += count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedSocket(self.fp.detach(), sock, _running.get()))


@functools.cache
def _web() -> Any:
    import urllib3
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class Connection(HTTPConnection):
        response_class = _TimedResponse

    class TlsConnection(HTTPSConnection):
        response_class = _TimedResponse

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    class TlsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    headers = {"User-Agent": USER_AGENT, "Accept": "image/*, */*;q=0.8", "Accept-Encoding": "identity"}
    manager = urllib3.PoolManager(num_pools=64, maxsize=64, headers=headers)
    manager.pool_classes_by_scheme = {"http": Pool, "https": TlsPool}
    return manager
