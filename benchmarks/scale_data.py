"""Collections of any size without an image in them: listings, manifests, tables and catalogs of numbered works.

It knows how their rows are made, through artylyze's own schemas; it does not know what is measured of them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from artylyze.catalog.parts import Receipt, commit
from artylyze.catalog.plan import Shard
from artylyze.catalog.run import Lease, RunSpec, run_store, write_spec, write_success
from artylyze.catalog.schema import build_rows, catalog_schema
from artylyze.catalog.snapshot import Part, Snapshot, write_snapshot
from artylyze.collection.manifest import COLUMNS, ROW_GROUP, open_manifest, open_rows, read_rows, write_manifest
from artylyze.errors import ErrorCode, ImageError
from artylyze.storage import Entry
from artylyze.storage.contract import Survey
from artylyze.tagging.dryrun import PROBE
from artylyze.workers.protocol import Seen

SHARD, DIM, TASKS = 1024, 16, ("genre", "style")
TERMS = np.array([f"term {number}" for number in range(20)], object)
METADATA = pa.struct([("title", pa.string()), ("artist", pa.string()), ("year", pa.int32())])
SCHEMA = pa.schema([*COLUMNS, pa.field("metadata", METADATA)])
RUN, BUCKET = "scale", "collection"


def key(number: int) -> str:
    """Return the key of a work: a thousand lie in a folder, and keys sort as their numbers do."""
    return f"{number // 1000:06}/{number:09}.jpg"


def size(number: int) -> int:
    """Return the bytes of a work's image."""
    return 100_000 + number % 50_000


def etag(number: int) -> str:
    """Return 32 hexadecimal digits, as S3 does."""
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


@dataclass(frozen=True)
class Listing:
    """A store that lists `rows` works and holds nothing; addresses are those of `root`."""

    root: str
    rows: int

    @property
    def url(self) -> str:
        return self.root

    def uri(self, name: str) -> str:
        return f"{self.root}/{name}"

    def survey(self, _: Survey) -> Iterator[Entry]:
        return (Entry(key(number), size(number), f"etag:{etag(number)}") for number in range(self.rows))


def write_rows(path: Path, rows: int, root: str, *, later: bool = False) -> None:
    """Write the manifest of `rows` works with metadata.

    Args:
        path: of the manifest.
        rows: number of works.
        root: of their addresses.
        later: whether a hundredth has changed: of 400 works two have another validator, one is gone, one is new.
    """
    write_manifest(_batches(rows, root, later=later), SCHEMA, str(path))


def _batches(rows: int, root: str, *, later: bool) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows, ROW_GROUP):
        numbers = np.arange(start, min(rows, start + ROW_GROUP))
        keys = [key(number) for number in numbers.tolist()]
        tags = [f"etag:{etag(number)}" for number in numbers.tolist()]
        if later:
            gone, new = numbers % 400 == 1, numbers % 400 == 3
            tags = [f"{tag}x" if number % 200 == 0 else tag for tag, number in zip(tags, numbers.tolist(), strict=True)]
            order = np.repeat(np.arange(len(numbers)), np.where(gone, 0, np.where(new, 2, 1)))
            again = np.concatenate([[False], order[1:] == order[:-1]])
            keys = [keys[n].replace(".jpg", "b.jpg" if b else ".jpg") for n, b in zip(order, again, strict=True)]
            tags, numbers = [tags[n] for n in order], numbers[order]
        fields = [
            pa.array([f"title of {number}" if number % 50 else None for number in numbers.tolist()], pa.string()),
            pa.array([f"artist {number % 5000}" for number in numbers.tolist()]),
            pa.array(1400 + numbers % 600, pa.int32()),
        ]
        described = pa.StructArray.from_arrays(fields, fields=list(METADATA), mask=pa.array(numbers % 97 == 0))
        records = [name.removesuffix(".jpg") for name in keys]
        addresses = [f"{root}/{name}" for name in keys]
        sizes = pa.array(size(0) + numbers % 50_000)
        columns = [*map(pa.array, (keys, records, addresses)), sizes, pa.array(tags), described]
        yield pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def write_table(path: Path, rows: int) -> None:
    """Write the collection's catalogue as CSV: a row for each work, named by its file, in another order."""
    with path.open("w", encoding="utf-8") as file:
        file.write("file,title,artist,year,accession\n")
        for start in range(0, rows, 10_000):
            numbers = range(min(rows, start + 10_000) - 1, start - 1, -1)
            file.writelines(
                f'{number:09}.jpg,"title, of {number}",artist {number % 5000},{1400 + number % 600},{number}\n'
                for number in numbers
            )


def write_images(root: Path, rows: int) -> None:
    """Write the images that a dry run of `rows` works reads."""
    for number in sorted(set(np.linspace(0, rows - 1, PROBE).astype(int).tolist())):
        path = root / key(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (320, 240), (number % 256, 90, 120)).save(path)


def write_empty(root: Path, rows: int) -> None:
    """Write a folder of empty files, one for each work."""
    for number in range(rows):
        path = root / key(number)
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        path.touch()


def write_catalog(catalog: Path, manifest: Path, *, dim: int = DIM) -> None:
    """Write a complete catalog of a manifest: its run, its parts of SHARD rows, its snapshot.

    A hundredth of the images could not be read; the embeddings are drawn around fifty centres.
    """
    rows = open_manifest(str(manifest))
    shards = tuple(
        Shard(number, start, min(rows.rows, start + SHARD)) for number, start in enumerate(range(0, rows.rows, SHARD))
    )
    spec = RunSpec(RUN, "tag", None, "m" * 64, TASKS, dim, {}, "cpu", "float32", {}, rows.digest, shards)
    store = run_store(str(catalog), RUN)
    with Lease(store, rows.rows, conditional=True) as lease:
        store.upload("manifest.parquet", manifest)
        write_spec(store, spec)
        blocks = [shards[start : start + 64] for start in range(0, len(shards), 64)]
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            receipts = [one for block in pool.map(partial(_commit, str(catalog), dim), blocks) for one in block]
        parts = tuple(Part(f"runs/{RUN}/{one.key}", one.rows, one.ok, one.errors) for one in receipts)
        snapshot = Snapshot(RUN, "tag", spec.model_id, TASKS, dim, {}, parts)
        write_success(store, {"run_id": RUN, "rows": snapshot.rows, "ok": snapshot.ok, "errors": snapshot.errors})
        write_snapshot(str(catalog), snapshot)
        lease.update(state="done")


@dataclass(frozen=True)
class _Top:
    terms: NDArray[np.object_]
    scores: NDArray[np.float32]
    review: NDArray[np.bool_]

    @property
    def answers(self) -> NDArray[np.object_]:
        """The best terms."""
        return self.terms[:, 0]


def _commit(catalog: str, dim: int, shards: tuple[Shard, ...]) -> list[Receipt]:
    store = run_store(catalog, RUN)
    schema = catalog_schema(TASKS, METADATA)
    centres = np.random.default_rng(0).standard_normal((50, dim), np.float32)
    receipts = []
    with open_rows(f"{store.url}/manifest.parquet") as file:
        for shard in shards:
            planned = read_rows(file, shard.start, shard.stop)
            numbers = np.arange(shard.start, shard.stop)
            good = numbers % 100 != 7
            missing = ImageError(ErrorCode.MISSING, "no such file")
            seen = [Seen(320, 240, "JPEG") if there else missing for there in good]
            random = np.random.default_rng(shard.index)
            drawn = centres[numbers[good] % 50] + random.standard_normal((good.sum(), dim), np.float32) / 4
            scores = {task: _scores(numbers[good] + place) for place, task in enumerate(TASKS)}
            table = build_rows(schema, planned, seen, drawn, scores, model_id="m" * 64, run_id=RUN)
            receipts.append(commit(store, RUN, shard, planned, table, conditional=True))
    return receipts


def _scores(numbers: NDArray[np.int64]) -> _Top:
    best = np.stack([numbers % 20, (numbers + 1) % 20], axis=1)
    sure = (0.5 + (numbers % 1000) / 2000).astype(np.float32)
    return _Top(TERMS[best], np.stack([sure, 1 - sure], axis=1), sure < 0.6)


@contextmanager
def serve_listing(rows: int) -> Iterator[str]:
    """Serve the listing of a bucket of `rows` works as S3's ListObjectsV2 does; yield the endpoint's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, rows)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """A token is the number of the next work."""

    protocol_version = "HTTP/1.1"

    def __init__(self, rows: int, *arguments: object) -> None:
        self._rows = rows
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        start = int(asked.get("continuation-token", ["0"])[0])
        stop = min(self._rows, start + 1000)
        found = "".join(
            f"<Contents><Key>{key(number)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{etag(number)}&quot;</ETag><Size>{size(number)}</Size><StorageClass>STANDARD</StorageClass>"
            "</Contents>"
            for number in range(start, stop)
        )
        more = stop < self._rows
        token = f"<NextContinuationToken>{stop}</NextContinuationToken>" if more else ""
        page = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><Prefix></Prefix><KeyCount>{stop - start}</KeyCount><MaxKeys>1000</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{found}</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""
