"""An explorer served on this machine alone: its files, the originals, and what people decide on tags.

It answers on the loopback address. Requests that name another host are refused, so that no web page can reach it by a
name that it makes lead here (DNS rebinding); what changes anything needs a token that only the page knows.
"""

from __future__ import annotations

import errno
import hmac
import json
import mimetypes
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from artylyze.errors import ArtylyzeError, ImageError, InputError, StorageError, UsageError
from artylyze.exploring import reviews
from artylyze.exploring.folder import INDEX, INLINE, MADE, to_json
from artylyze.exploring.originals import Originals
from artylyze.exploring.reviewed import with_rows
from artylyze.exploring.works import Works

T = TypeVar("T")

HOST = "127.0.0.1"

PORT = 8765
"""The first port that is tried where none is asked for."""

TRIES = 20
"""Ports from PORT on that are tried."""

LARGEST_BODY = 2**23
"""Bytes of a request."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob: http: https:; connect-src 'self' http: https:; "
        "style-src 'self' 'unsafe-inline'; script-src 'self'; worker-src 'self' blob:; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
"""Of every answer. Images and the descriptions of IIIF come from the museums' own servers."""

_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".bin": "application/octet-stream",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_IMAGE = re.compile(r"/api/image/(\d{1,10})")


@dataclass
class Site:
    """What a server serves.

    Attributes:
        folder: of the explorer, local.
        works: in it.
        originals: theirs.
        token: that requests which change something must bring.
        session: the decisions of this server.
    """

    folder: Path
    works: Works
    originals: Originals
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    session: reviews.Session = field(init=False)

    def __post_init__(self) -> None:
        self.session = reviews.Session(self.works.catalog)

    def index(self) -> bytes:
        """Return index.json with what only the server knows."""
        index = json.loads((self.folder / INDEX).read_bytes())
        return to_json(index | {"served": True, "token": self.token})

    def decisions(self) -> bytes:
        """Return the decisions that hold, of all sessions, as JSON."""
        return to_json(with_rows(self.works, reviews.read_decisions(self.works.catalog)))

    def save(self, decisions: Sequence[Mapping[str, Any]]) -> int:
        """Keep decisions, with the validators and models of their images, and return how many.

        Raises:
            InputError: for an image that the catalog does not have.
        """
        names = pa.array([decision["image_id"] for decision in decisions], pa.string())
        rows = pc.index_in(names, value_set=self.works.ids)
        if rows.null_count:
            raise InputError(f"The catalog has no image {names.filter(pc.is_null(rows))[0].as_py()!r}.")
        known = self.works.rows.take(rows.to_pylist(), ["validator", "model_id"]).to_pylist() if decisions else []
        return self.session.save(
            {**decision, **{name: decision[name] or value for name, value in row.items()}}
            for decision, row in zip(decisions, known, strict=True)
        )


class Server:
    """A server of one explorer in threads of this process. Use as a context manager or `close` it.

    Args:
        site: what it serves.
        port: to answer on; None: the first free one from PORT on.

    Raises:
        UsageError: if the port is in use, or not to be had.
    """

    def __init__(self, site: Site, port: int | None = None) -> None:
        self._site = site
        self._server = _listen(site, port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="artylyze-explorer", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The address to open in a browser."""
        return f"http://{HOST}:{self._server.server_port}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self) -> None:
        """Wait until the server is closed by another thread, or the process is interrupted."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Stop answering, and end what reads originals."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._site.originals.close()


def check_port(port: int | None) -> None:
    """Raise UsageError for a port that is in use, or cannot be had; where none is asked for, if none is free."""
    _bound(port, lambda number: _Probe((HOST, number), BaseHTTPRequestHandler)).server_close()


def _listen(site: Site, port: int | None) -> _Listener:
    handler = type("Handler", (_Handler,), {"site": site})
    return _bound(port, lambda number: _Listener((HOST, number), handler))


def _bound(port: int | None, bind: Callable[[int], T]) -> T:
    """Bind a port, or the first free one from PORT on."""
    for number in [port] if port is not None else range(PORT, PORT + TRIES):
        if not 0 <= number < 65_536:
            raise UsageError(f"`port={number}`: a port is from 0 to 65535.")
        try:
            return bind(number)
        except PermissionError as error:
            raise UsageError(f"`port={number}` may not be used: {error.strerror}. Give a port above 1023.") from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if port is not None:
                free = _free_port(number)
                other = "" if free is None else f" Port {free} is free: `port={free}`."
                raise UsageError(f"`port={number}` is in use.{other}") from error
    raise UsageError(f"The ports from {PORT} to {PORT + TRIES - 1} are all in use: give another with `port=NUMBER`.")


def _free_port(after: int) -> int | None:
    for number in range(after + 1, min(after + 1 + TRIES, 65_536)):
        try:
            _Probe((HOST, number), BaseHTTPRequestHandler).server_close()
        except OSError:
            continue
        return number
    return None


class _Probe(HTTPServer):
    """Binds a port and answers nobody."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a page of thumbnails asks for many at once


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    site: ClassVar[Site]
    server: ThreadingHTTPServer
    protocol_version = "HTTP/1.1"
    server_version = "artylyze"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        """Answer with a file, an original or the decisions."""
        self._answered(self._get)

    def do_HEAD(self) -> None:
        """Answer as for GET, without the content."""
        self._answered(self._get)

    def do_POST(self) -> None:
        """Take decisions."""
        self._answered(self._post)

    def _answered(self, handle: Any) -> None:
        try:
            if not self._is_ours():
                self._refuse(HTTPStatus.FORBIDDEN, "This server answers requests to its own address alone.")
            else:
                handle(unquote(urlsplit(self.path).path))
        except (BrokenPipeError, ConnectionResetError, TimeoutError):  # the browser has gone on
            self.close_connection = True
        except ImageError as error:
            self._refuse(HTTPStatus.NOT_FOUND, str(error))
        except StorageError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        except ArtylyzeError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))

    def _is_ours(self) -> bool:
        port = self.server.server_port
        allowed = {f"{name}:{port}" for name in (HOST, "localhost")}
        origins = {None, *(f"http://{name}" for name in allowed)}
        return self.headers.get("Host") in allowed and self.headers.get("Origin") in origins

    def _get(self, path: str) -> None:
        if image := _IMAGE.fullmatch(path):
            data, kind = self.site.originals.read(int(image[1]))
            self._send(HTTPStatus.OK, data, kind, {"Cache-Control": "private, max-age=3600"})
        elif path == "/api/decisions":
            self._send(HTTPStatus.OK, self.site.decisions(), "application/json")
        elif path == f"/{INDEX}":
            self._send(HTTPStatus.OK, self.site.index(), "application/json")
        else:
            self._send_file(path)

    def _send_file(self, path: str) -> None:
        name = path.lstrip("/") or "index.html"
        parts = name.split("/")
        root = self.site.folder.resolve()
        if "\0" in name or "\\" in name or any(part.startswith(".") or not part for part in parts):
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such file.")
            return
        file = (root / name).resolve()
        if not file.is_relative_to(root) or name in (INLINE, MADE) or not file.is_file():
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such file.")
            return
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self._send(HTTPStatus.OK, file.read_bytes(), kind)

    def _post(self, path: str) -> None:
        if path != "/api/decisions":
            self._refuse(HTTPStatus.NOT_FOUND, "There is nothing to post to.")
            return
        if not hmac.compare_digest(self.headers.get("X-Artylyze-Token", "").encode(), self.site.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "The token is missing or of an earlier server: load the page again.")
            return
        if not re.match(r"application/json\s*(;|$)", self.headers.get("Content-Type", "")):
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Decisions are sent as application/json.")
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "A request says how long it is.")
            return
        if int(length) > LARGEST_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A request has at most {LARGEST_BODY:,} bytes.")
            return
        saved = self.site.save(_decisions(self.rfile.read(int(length))))
        self._send(HTTPStatus.OK, to_json({"saved": saved}), "application/json")

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        if self.command == "POST":  # what it sends may not have been read
            self.close_connection = True
        self._send(status, to_json({"error": why}), "application/json")

    def _send(self, status: HTTPStatus, data: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in {"Cache-Control": "no-cache", **HEADERS, **(headers or {})}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the interface
        """Say nothing: a command line has other things to show."""


def _decisions(body: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(body)["decisions"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError('Decisions are sent as {"decisions": [...]}.') from error
    if not isinstance(found, list) or len(found) > reviews.MOST:
        raise InputError(f'"decisions" is a list of at most {reviews.MOST:,}.')
    return [reviews.check_decision(one) for one in found]
