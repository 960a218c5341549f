"""The works of a catalog as a LanceDB table, for collections that are too large to be scanned on one machine.

The table lies in a folder or in object storage, is searched there by many machines at once, and takes conditions on
tags and metadata. Nothing else in artylyze knows of it. The table `parts` says which parts of the catalog are complete
in the table `works`: rows of any other part are removed before that part is written, so that each work is in it once
after a run that was interrupted, and after an update of the catalog.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.catalog.dataset import open_dataset
from artylyze.catalog.snapshot import REPAIR, Part, Snapshot, read_snapshot
from artylyze.errors import InputError, StorageError
from artylyze.progress import Watcher
from artylyze.storage import check_output
from artylyze.storage.contract import first_line
from artylyze.storage.objects import open_bucket
from artylyze.wording import counted

if TYPE_CHECKING:
    import pyarrow.dataset as ds

WORKS, PARTS = "works", "parts"

INDEXED = 10_000
"""Works from which on vectors get an index (IVF-PQ): of fewer, all are compared, exactly and in milliseconds."""

TOGETHER = 65_536
"""Rows that are added at once, about: each addition is a version and a file of its own."""

_LEFT_OUT = ("embedding", "thumbnail", "colors", "validator", "run_id", "status", "error_code", "error_detail")
_PARTS = pa.schema([("path", pa.string()), ("rows", pa.int64()), ("model_id", pa.string())])


@dataclass(frozen=True)
class LanceTable:
    """What `write_lance` did.

    Attributes:
        address: of the database.
        rows: works in the table.
        added: parts of the catalog that were written now.
        removed: parts that the catalog no longer has.
        indexed: whether the vectors have an index.
    """

    address: str
    rows: int
    added: int
    removed: int
    indexed: bool


def write_lance(catalog: str, address: str, *, rebuild: bool = False, watcher: Watcher | None = None) -> LanceTable:
    """Write the works of a catalog that have an embedding into the table `works` of a LanceDB database, or update it.

    Its columns are those of the catalog that tell of a work, `vector` (the embedding of length 1) and `part`.

    Args:
        catalog: its address.
        address: of the database, a folder or in object storage.
        rebuild: whether the table is made anew, whatever is there.
        watcher: receives progress.

    Raises:
        InputError: without LanceDB, if there is no catalog, or a part of it is damaged.
        StorageError: if the storage refuses or does not answer.
    """
    if find_spec("lancedb") is None:
        raise InputError("A LanceDB table needs LanceDB: pip install 'artylyze[lance]'.")
    check_output(address)
    snapshot = read_snapshot(catalog)
    dataset = open_dataset(catalog, snapshot)
    schema = _schema(dataset.schema, snapshot.dim)
    try:
        return _written(address, snapshot, dataset, schema, rebuild, watcher)
    except (RuntimeError, OSError) as error:  # what LanceDB raises where storage refuses
        raise StorageError(f"{address}: {first_line(error)}") from error


def _written(
    address: str, snapshot: Snapshot, dataset: ds.Dataset, schema: pa.Schema, rebuild: bool, watcher: Watcher | None
) -> LanceTable:
    import lancedb
    from lancedb.index import IvfPq

    database = lancedb.connect(address, storage_options=storage_options(address))
    parts = database.create_table(PARTS, schema=_PARTS, exist_ok=True)
    complete = {row["path"]: row["model_id"] for row in parts.to_arrow().to_pylist()}
    works = database.create_table(WORKS, schema=schema, exist_ok=True)
    if rebuild or set(complete.values()) - {snapshot.model_id} or works.schema != schema:
        parts = database.create_table(PARTS, schema=_PARTS, mode="overwrite")
        works = database.create_table(WORKS, schema=schema, mode="overwrite")
        complete = {}
    wanted = {part.path for part in snapshot.parts}
    removed = sorted(set(complete) - wanted)
    missing = [
        (part, fragment)
        for part, fragment in zip(snapshot.parts, dataset.get_fragments(), strict=True)
        if part.path not in complete
    ]
    if removed:
        works.delete(_any_of(removed))
        parts.delete(f"path IN ({_quoted(removed)})")
    if watcher is not None and missing:
        watcher.say(f"Writing {counted(len(missing), 'part')} of the catalog into {address}.")
    for group in _groups(missing):
        paths = [part.path for part, _ in group]
        works.delete(_any_of(paths))  # what an interrupted run wrote
        rows = pa.concat_tables([_rows(part, fragment, dataset.schema, schema) for part, fragment in group])
        works.add(rows)
        counts = [part.rows for part, _ in group]
        parts.add(pa.table([paths, counts, [snapshot.model_id] * len(paths)], schema=_PARTS))
    count = works.count_rows()
    indexed = count >= INDEXED
    if indexed and not works.list_indices():
        if watcher is not None:
            watcher.say(f"Indexing the vectors of {counted(count, 'work')}.")
        works.create_index("vector", config=IvfPq(distance_type="cosine"))
    elif missing or removed:
        works.optimize()
    return LanceTable(address, count, len(missing), len(removed), indexed)


def describe(table: LanceTable) -> str:
    """Return in a sentence what `write_lance` did."""
    done = f"{counted(table.added, 'part')} written, {table.removed:,} removed"
    how = "its vectors are indexed" if table.indexed else "all vectors are compared in a search"
    return f"The table {WORKS} of {table.address} has {counted(table.rows, 'work')} ({done}); {how}."


def storage_options(address: str) -> dict[str, str]:
    """Return how LanceDB reaches an address: for S3 with the credentials and the server that artylyze uses itself.

    Temporary credentials are those of now: LanceDB does not renew them.

    Raises:
        StorageError: without credentials.
    """
    if not address.startswith("s3://"):
        return {}
    import boto3

    client = open_bucket("s3", urlsplit(address).netloc).s3
    options = {
        "aws_region": client.meta.region_name,
        "aws_endpoint": client.meta.endpoint_url,
        "allow_http": "true",
        "aws_virtual_hosted_style_request": "false",
    }
    credentials = boto3.Session().get_credentials()
    if credentials is None:
        return options | {"aws_skip_signature": "true"}
    frozen = credentials.get_frozen_credentials()
    token = {"aws_session_token": frozen.token} if frozen.token else {}
    return options | {"aws_access_key_id": frozen.access_key, "aws_secret_access_key": frozen.secret_key} | token


def _schema(catalog: pa.Schema, dim: int) -> pa.Schema:
    kept = [field for field in catalog if field.name not in _LEFT_OUT and not field.name.endswith("_top")]
    plain = [pa.field(field.name, field.type) for field in kept]
    return pa.schema([*plain, pa.field("vector", pa.list_(pa.float32(), dim)), pa.field("part", pa.string())])


def _groups(missing: Sequence[tuple[Part, Any]]) -> Iterator[list[tuple[Part, Any]]]:
    """Yield parts together until they have TOGETHER rows."""
    group: list[tuple[Part, Any]] = []
    for one in missing:
        group.append(one)
        if sum(part.rows for part, _ in group) >= TOGETHER:
            yield group
            group = []
    if group:
        yield group


def _rows(part: Part, fragment: Any, catalog: pa.Schema, schema: pa.Schema) -> pa.Table:
    """The rows of a part that have an embedding of a finite length."""
    names = [name for name in schema.names if name not in ("vector", "part")]
    try:
        table = fragment.to_table(schema=catalog, columns=[*names, "embedding", "status"])
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{part.path} is damaged ({first_line(error)}). {REPAIR}") from error
    table = table.filter(pc.and_(pc.equal(table.column("status"), "ok"), pc.is_valid(table.column("embedding"))))
    dim = schema.field("vector").type.list_size
    matrix = table.column("embedding").combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    lengths = np.linalg.norm(matrix.astype(np.float64), axis=1)
    sound = np.isfinite(lengths) & (lengths > 0)
    unit = (matrix[sound] / lengths[sound, None]).astype(np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(unit.ravel()), dim)
    kept = table.filter(pa.array(sound)).select(names)
    columns = [*kept.columns, vectors, pa.array([part.path] * len(unit))]
    return pa.table(columns, names=schema.names).cast(schema)


def _any_of(paths: Sequence[str]) -> str:
    return f"part IN ({_quoted(paths)})"


def _quoted(values: Sequence[str]) -> str:
    return ", ".join("'{}'".format(value.replace("'", "''")) for value in values)
