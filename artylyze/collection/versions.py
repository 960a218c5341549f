"""What storage says of the versions of images that a list names by their addresses: sizes and validators.

A folder or a bucket that is listed tells them by itself; here every address is asked, many at once, in batches: nothing
is held for each of them. It knows the table `images` and the storage; it must not know where the list came from.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pyarrow as pa

from artylyze.errors import ErrorCode, ImageError, StorageError
from artylyze.storage import CLOUD, Tally, Version, head, is_url, open_store
from artylyze.wording import counted

if TYPE_CHECKING:
    import duckdb

ASKERS = 64
"""Threads that ask for versions; the web is asked for fewer at a time of each host, as `storage.web` bounds them."""

BATCH = 16_384
"""Addresses in a batch."""

LIST_FROM = 1_000
"""Addresses in one bucket from which on it is listed: a page of a listing has as many."""

LIST_AT_MOST = 20
"""Listed objects for each address that is wanted; in a bucket that holds more, addresses are asked one by one."""

GIVE_UP = 16
"""Addresses of a host that gave no answer, one after the other, after which the others are not asked."""

_HOSTS = 3  # in a message

_VERSIONS = pa.schema([("uri", pa.string()), ("size", pa.int64()), ("validator", pa.string())])


@dataclass(frozen=True)
class Unknown:
    """Addresses whose version is not known.

    Attributes:
        silent: how many of each host give neither an ETag nor a time.
        unanswered: addresses that could not be asked, with the reason; a run tells whether they can be read.
    """

    silent: Mapping[str, int] = field(default_factory=dict)
    unanswered: Tally = field(default_factory=Tally)

    def notes(self) -> list[str]:
        """Return a sentence for each kind."""
        sentences = []
        for host, number in [*self.silent.items()][:_HOSTS]:
            single = number == 1
            sentences.append(
                f"{counted(number, 'address', 'addresses')} of {host} {'gives' if single else 'give'} no ETag or "
                f"Last-Modified: `update` cannot see whether {'it has' if single else 'they have'} changed; "
                f"`update` with `force` reads {'it' if single else 'them'} again."
            )
        if len(self.silent) > _HOSTS:
            rest = sum([*self.silent.values()][_HOSTS:])
            hosts = counted(len(self.silent) - _HOSTS, "other host")
            sentences.append(f"The same is true of {counted(rest, 'address', 'addresses')} of {hosts}.")
        if number := self.unanswered.count:
            first = "; ".join(self.unanswered.first[:_HOSTS])
            sentences.append(
                f"Not there when asked for the version: {counted(number, 'address', 'addresses')} ({first})."
            )
        return sentences


def add_versions(database: duckdb.DuckDBPyConnection) -> Unknown:
    """Fill `size` and `validator` of the table `images` with what the storage says now; return what is not known.

    Addresses are asked by stat, HEAD or GET; a bucket of which LIST_FROM or more are wanted is listed, from the folder
    on that they have in common.
    """
    database.execute(
        """
        CREATE TABLE asked AS SELECT uri, (row_number() OVER ()) - 1 AS number FROM (SELECT DISTINCT uri FROM images);
        CREATE TABLE versions (uri VARCHAR, size BIGINT, validator VARCHAR)
        """
    )
    inquiry = Inquiry()
    _list_buckets(database)
    database.execute("DELETE FROM asked WHERE uri IN (SELECT uri FROM versions)")
    ((last,),) = database.execute("SELECT coalesce(max(number), -1) FROM asked").fetchall()
    with ThreadPoolExecutor(ASKERS, thread_name_prefix="artylyze-head") as pool:
        for start in range(0, last + 1, BATCH):
            rows = database.execute(
                "SELECT uri FROM asked WHERE number BETWEEN $start AND $stop",
                {"start": start, "stop": start + BATCH - 1},
            ).fetchall()
            uris = [uri for (uri,) in rows]
            versions = list(pool.map(inquiry.ask, uris))
            _insert(database, [(u, v.size, v.validator) for u, v in zip(uris, versions, strict=True) if v is not None])
    database.execute(
        """
        CREATE OR REPLACE TABLE images AS
        SELECT images.* REPLACE (versions.size AS size, versions.validator AS validator)
        FROM images LEFT JOIN versions ON versions.uri = images.uri;
        DROP TABLE asked;
        DROP TABLE versions
        """
    )
    return Unknown(dict((+inquiry.silent).most_common()), inquiry.unanswered)


class Inquiry:
    """Asks for versions, and keeps count of what is not known; threads share it."""

    def __init__(self) -> None:
        self.silent: Counter[str] = Counter()
        self.unanswered = Tally()
        self._in_a_row: Counter[str] = Counter()
        self._lock = threading.Lock()

    def ask(self, uri: str) -> Version | None:
        """Return the version of an address, None if nothing answers for it."""
        host = urlsplit(uri).netloc if is_url(uri) else ""
        if self._in_a_row[host] >= GIVE_UP:
            self._note(host, f"{uri}: {GIVE_UP} others of {host} were not answered", waited=True)
            return None
        try:
            version = head(uri)
        except ImageError as error:
            waited = error.code is ErrorCode.UNREACHABLE and host != ""
            self._note(host, f"{uri}: {error.detail}", waited=waited)
            return None
        with self._lock:
            self._in_a_row[host] = 0
            self.silent[host] += version.validator is None
        return version

    def _note(self, host: str, what: str, *, waited: bool) -> None:
        with self._lock:
            self._in_a_row[host] = self._in_a_row[host] + 1 if waited else 0
            self.unanswered.add(what)


def _list_buckets(database: duckdb.DuckDBPyConnection) -> None:
    """Find the versions of addresses in buckets of which many are wanted."""
    buckets = database.execute(
        """
        SELECT count(*), min(uri), max(uri)
        FROM asked WHERE lower(split_part(uri, '://', 1)) IN (SELECT unnest($schemes))
        GROUP BY regexp_extract(uri, '^[^:/]+://[^/]+/') HAVING count(*) >= $least
        """,
        {"schemes": list(CLOUD), "least": LIST_FROM},
    ).fetchall()
    for wanted, least, greatest in buckets:
        folder = _common_folder(least, greatest)  # of all that lie between them
        try:
            entries = islice(open_store(folder).list(), LIST_AT_MOST * wanted)
            while rows := [(f"{folder}/{e.key}", e.size, e.validator) for e in islice(entries, BATCH)]:
                _insert(database, rows)
        except StorageError:
            continue  # who may not list may still read: the addresses are asked one by one, and say what is wrong


def _common_folder(first: str, second: str) -> str:
    """Return the address of the innermost folder, or the bucket, in which two objects of a bucket lie."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first.split("/")[:-1], second.split("/")[:-1], strict=False))
    return "/".join(name for name, _ in same)


def _insert(database: duckdb.DuckDBPyConnection, rows: Sequence[tuple[str, int | None, str | None]]) -> None:
    """Add those rows to `versions` whose addresses are asked for."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    database.register("found", pa.table(columns, schema=_VERSIONS))
    database.execute("INSERT INTO versions SELECT * FROM found WHERE uri IN (SELECT uri FROM asked)")
