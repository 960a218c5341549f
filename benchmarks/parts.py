"""What it costs to open a catalog of many parts over S3, before and after `artylyze compact`: requests and seconds.

The catalog is made here with rows of its own schema and served by a read-only S3 server that counts requests. DuckDB
reads it where its httpfs extension can be loaded (DuckDB downloads it; or from the registry of Python packages:
`uv pip install --target build/duckdb duckdb==1.5.5 duckdb-extensions duckdb-extension-httpfs==1.5.5`, then run this
with PYTHONPATH=build/duckdb); our own reader always does. Seconds are those of a server in Python on the same machine:
requests are what counts, and each costs tens of milliseconds to a bucket far away.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from benchmarks.cluster_stream import Silent
from benchmarks.measure import machine

DIM = 32
ROWS = 10
"""Rows of a part: the number of requests does not depend on it, and a thousand of them would be 24 GB."""


def make_catalog(folder: Path, parts: int) -> None:
    """Write a catalog of `parts` parts, ROWS rows each, through the schema and the receipts of a real one."""
    from artylyze.catalog.parts import Receipt, serialise
    from artylyze.catalog.schema import build_rows, catalog_schema
    from artylyze.catalog.snapshot import Part, Snapshot, write_snapshot
    from artylyze.collection.manifest import COLUMNS
    from artylyze.workers.protocol import Seen

    schema = catalog_schema([], None)
    random = np.random.default_rng(0)
    listed = []
    (folder / "runs/run/parts").mkdir(parents=True)
    for number in range(parts):
        ids = [f"{number * ROWS + row:09}.jpg" for row in range(ROWS)]
        columns = [ids, ids, [f"s3://scans/{image}" for image in ids], [1] * ROWS, [None] * ROWS]
        planned = pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, COLUMNS, strict=True)],
            schema=pa.schema(COLUMNS),
        )
        vectors = random.normal(size=(ROWS, DIM)).astype(np.float32)
        seen = [Seen(640, 480, "JPEG")] * ROWS
        table = build_rows(schema, planned, seen, vectors, {}, model_id="model", run_id="run")
        key = f"parts/part-{number:05d}.parquet"
        receipt = Receipt(key, "run", "hash", number * ROWS, ROWS, ROWS, {})
        (folder / "runs/run" / key).write_bytes(serialise(table, receipt))
        listed.append(Part(f"runs/run/{key}", ROWS, ROWS))
    write_snapshot(str(folder), Snapshot("run", "tag", "model", (), DIM, {}, tuple(listed)))


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of path-style S3, with ranges, over a folder of buckets."""

    protocol_version = "HTTP/1.1"
    root: Path
    counts: Counter[str]

    def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - the base class names it so

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_GET(self) -> None:
        self._answer("GET")

    def _answer(self, method: str) -> None:
        self.counts[method] += 1
        path = self.root / unquote(self.path.partition("?")[0]).lstrip("/")
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = path.stat().st_size
        start, stop = 0, size
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop = (
                (int(first), min(size, int(last or size - 1) + 1)) if first else (max(0, size - int(last)), size)
            )
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{path.stat().st_mtime_ns:x}-{size}"')
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        self.end_headers()
        if method == "GET":
            with path.open("rb") as file:
                file.seek(start)
                self.wfile.write(file.read(stop - start))


@contextmanager
def serving(root: Path) -> Iterator[tuple[str, Counter[str]]]:
    """Serve the folders below `root` as buckets; yield the endpoint and the counts of requests by method."""
    counts: Counter[str] = Counter()
    handler = type("Handler", (_Handler,), {"root": root, "counts": counts})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", counts
        server.shutdown()


def duckdb_with_s3(endpoint: str) -> Any | None:
    """Return a DuckDB connection that reads from the endpoint, None where its httpfs extension cannot be had."""
    import duckdb

    connection = duckdb.connect()
    try:
        try:
            from duckdb_extensions import import_extension  # type: ignore[import-not-found]

            import_extension("httpfs")
        except ImportError:
            connection.execute("INSTALL httpfs")
        connection.execute("LOAD httpfs")
    except (duckdb.Error, OSError):
        return None
    who = "KEY_ID 'key', SECRET 'secret'"
    connection.execute(f"CREATE SECRET (TYPE s3, {who}, ENDPOINT '{endpoint}', USE_SSL false, URL_STYLE 'path')")
    return connection


def measure(root: Path, catalog: str) -> list[dict[str, Any]]:
    """Open a catalog in several ways; return for each the requests and the seconds."""
    from artylyze.catalog.snapshot import embeddings, part_paths, read_snapshot

    results = []
    with serving(root) as (endpoint, counts):
        os.environ.update(
            AWS_ENDPOINT_URL=f"http://{endpoint}",
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",  # noqa: S106
        )
        paths = part_paths(catalog, read_snapshot(catalog))
        connection = duckdb_with_s3(endpoint)
        queries = {
            "DuckDB, count(*)": "SELECT count(*) FROM read_parquet(?)",
            "DuckDB, works by format": "SELECT format, count(*) FROM read_parquet(?) GROUP BY 1",
            "DuckDB, one image": "SELECT uri FROM read_parquet(?) WHERE image_id = '000000123.jpg'",
        }
        calls: dict[str, Callable[[], object]] = {"artylyze, embeddings()": lambda: embeddings(catalog)}
        if connection is not None:
            calls |= {name: functools.partial(_query, connection, sql, paths) for name, sql in queries.items()}
        for name, call in calls.items():
            counts.clear()
            began = time.perf_counter()
            call()
            seconds = time.perf_counter() - began
            requests = {"requests": counts.total(), "get": counts["GET"], "head": counts["HEAD"]}
            results.append({"what": name, "parts": len(paths), **requests, "seconds": round(seconds, 2)})
            print(results[-1], flush=True)
    return results


def _query(connection: Any, sql: str, paths: list[str]) -> object:
    return connection.execute(sql, [paths]).fetchall()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=24_000)
    parser.add_argument("--targets", type=int, default=400, help="parts after compaction: 51 GB in 128 MB each")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()

    import duckdb

    from artylyze.catalog.compaction import compact

    with tempfile.TemporaryDirectory(prefix="artylyze-parts-") as folder:
        catalog = Path(folder, "museum", "catalog")
        make_catalog(catalog, arguments.parts)
        figures = measure(Path(folder), "s3://museum/catalog")
        size = sum(path.stat().st_size for path in catalog.glob("runs/*/parts/*.parquet"))
        began = time.perf_counter()
        compact(str(catalog), Silent(), part_bytes=size // arguments.targets)
        seconds = time.perf_counter() - began
        from artylyze.storage.objects import open_bucket

        open_bucket.cache_clear()  # the next server has another address
        figures += measure(Path(folder), "s3://museum/catalog")
    result = {
        "benchmark": "parts",
        "settings": {"parts": arguments.parts, "rows_of_a_part": ROWS, "dim": DIM},
        "machine": machine(),
        "versions": {"duckdb": duckdb.__version__, "pyarrow": pa.__version__},
        "compact_seconds": round(seconds, 1),
        "figures": figures,
    }
    target = arguments.out / "parts.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(f"Wrote {target}.")


if __name__ == "__main__":
    main()
