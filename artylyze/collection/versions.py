"""Sizes and validators of the images in a list of addresses.

The listing of a folder or bucket contains them; here every address is requested, many at once, in batches.
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

REQUESTERS = 64
"""Threads that request versions; `storage.web` limits the simultaneous requests to each host."""

BATCH = 16_384
"""Addresses in a batch."""

LIST_FROM = 1_000
"""Addresses in one bucket from which it is listed instead: as many as a page of a listing."""

LIST_AT_MOST = 20
"""Listed objects for each requested address; in a larger bucket, addresses are requested one by one."""

GIVE_UP = 16
"""Consecutive addresses of a host without an answer, after which the host is not asked any more."""

_HOSTS = 3  # in a message

_VERSIONS = pa.schema([("uri", pa.string()), ("size", pa.int64()), ("validator", pa.string())])


@dataclass(frozen=True)
class Unknown:
    """Addresses whose version is unknown.

    Attributes:
        silent: number of addresses of each host without an ETag and a time.
        unanswered: addresses without an answer, with the reason; a run shows whether they can be read.
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
                f"Last-Modified: `update` cannot detect whether {'it has' if single else 'they have'} changed; "
                f"`update` with `force` reads {'it' if single else 'them'} again."
            )
        if len(self.silent) > _HOSTS:
            rest = sum([*self.silent.values()][_HOSTS:])
            hosts = counted(len(self.silent) - _HOSTS, "other host")
            sentences.append(f"The same is true of {counted(rest, 'address', 'addresses')} of {hosts}.")
        if number := self.unanswered.count:
            first = "; ".join(self.unanswered.first[:_HOSTS])
            sentences.append(f"No answer from {counted(number, 'address', 'addresses')} ({first}).")
        return sentences


def add_versions(database: duckdb.DuckDBPyConnection) -> Unknown:
    """Fill `size` and `validator` of the table `images` with the current ones; return what is unknown.

    Addresses are requested by stat, HEAD or GET; a bucket with LIST_FROM or more of them is listed, below their common
    folder.
    """
    database.execute(
        """
        CREATE TABLE requested AS
        SELECT uri, (row_number() OVER ()) - 1 AS number FROM (SELECT DISTINCT uri FROM images);
        CREATE TABLE versions (uri VARCHAR, size BIGINT, validator VARCHAR)
        """
    )
    requests = VersionRequests()
    _list_buckets(database)
    database.execute("DELETE FROM requested WHERE uri IN (SELECT uri FROM versions)")
    ((last,),) = database.execute("SELECT coalesce(max(number), -1) FROM requested").fetchall()
    with ThreadPoolExecutor(REQUESTERS, thread_name_prefix="artylyze-head") as pool:
        for start in range(0, last + 1, BATCH):
            rows = database.execute(
                "SELECT uri FROM requested WHERE number BETWEEN $start AND $stop",
                {"start": start, "stop": start + BATCH - 1},
            ).fetchall()
            uris = [uri for (uri,) in rows]
            versions = list(pool.map(requests.request, uris))
            _insert(database, [(u, v.size, v.validator) for u, v in zip(uris, versions, strict=True) if v is not None])
    database.execute(
        """
        CREATE OR REPLACE TABLE images AS
        SELECT images.* REPLACE (versions.size AS size, versions.validator AS validator)
        FROM images LEFT JOIN versions ON versions.uri = images.uri;
        DROP TABLE requested;
        DROP TABLE versions
        """
    )
    return Unknown(dict((+requests.silent).most_common()), requests.unanswered)


class VersionRequests:
    """Requests versions, and counts what is unknown; shared by threads."""

    def __init__(self) -> None:
        self.silent: Counter[str] = Counter()
        self.unanswered = Tally()
        self._in_a_row: Counter[str] = Counter()
        self._lock = threading.Lock()

    def request(self, uri: str) -> Version | None:
        """Return the version of an address, None without an answer."""
        host = urlsplit(uri).netloc if is_url(uri) else ""
        if self._in_a_row[host] >= GIVE_UP:
            self._record(host, f"{uri}: {GIVE_UP} others of {host} gave no answer", timed_out=True)
            return None
        try:
            version = head(uri)
        except ImageError as error:
            timed_out = error.code is ErrorCode.UNREACHABLE and host != ""
            self._record(host, f"{uri}: {error.detail}", timed_out=timed_out)
            return None
        with self._lock:
            self._in_a_row[host] = 0
            self.silent[host] += version.validator is None
        return version

    def _record(self, host: str, what: str, *, timed_out: bool) -> None:
        with self._lock:
            self._in_a_row[host] = self._in_a_row[host] + 1 if timed_out else 0
            self.unanswered.add(what)


def _list_buckets(database: duckdb.DuckDBPyConnection) -> None:
    """Read the versions of addresses from the listings of buckets that have many of them."""
    buckets = database.execute(
        """
        SELECT count(*), min(uri), max(uri)
        FROM requested WHERE lower(split_part(uri, '://', 1)) IN (SELECT unnest($schemes))
        GROUP BY regexp_extract(uri, '^[^:/]+://[^/]+/') HAVING count(*) >= $least
        """,
        {"schemes": list(CLOUD), "least": LIST_FROM},
    ).fetchall()
    for wanted, least, greatest in buckets:
        folder = _common_folder(least, greatest)  # of all addresses between them
        try:
            entries = islice(open_store(folder).list(), LIST_AT_MOST * wanted)
            while rows := [(f"{folder}/{e.key}", e.size, e.validator) for e in islice(entries, BATCH)]:
                _insert(database, rows)
        except StorageError:
            continue  # reading may be allowed where listing is not: request the addresses one by one


def _common_folder(first: str, second: str) -> str:
    """Return the address of the innermost folder, or the bucket, in which two objects of a bucket lie."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first.split("/")[:-1], second.split("/")[:-1], strict=False))
    return "/".join(name for name, _ in same)


def _insert(database: duckdb.DuckDBPyConnection, rows: Sequence[tuple[str, int | None, str | None]]) -> None:
    """Add the rows of requested addresses to `versions`."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    database.register("listed", pa.table(columns, schema=_VERSIONS))
    database.execute("INSERT INTO versions SELECT * FROM listed WHERE uri IN (SELECT uri FROM requested)")
