"""The snapshot: `catalog.json`, the list of parts that cover each image exactly once, and the readers that use it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.catalog.parts import Receipt, warned
from artylyze.errors import InputError, StorageError
from artylyze.storage import ConflictError, open_store
from artylyze.storage.contract import first_line
from artylyze.storage.nearest import did_you_mean

FORMAT = 1
REPAIR = "Delete it and repeat the command that made it."


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its path below the catalog, and its numbers of rows, embeddings, errors by code, and so on.

    `outside` counts images outside what the model knows; it is None if the model does not tell.
    """

    path: str
    rows: int
    ok: int
    errors: Mapping[str, int] = field(default_factory=dict)
    warnings: int = 0
    outside: int | None = None

    @classmethod
    def committed(cls, run_id: str, receipt: Receipt) -> Self:
        """Return the part that a receipt describes."""
        path = f"runs/{run_id}/{receipt.key}"
        return cls(path, receipt.rows, receipt.ok, receipt.errors, receipt.warnings, receipt.outside)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return a part from its JSON; early versions counted less. Raises KeyError, TypeError."""
        later = values.get("warnings", 0), values.get("outside")
        return cls(values["path"], values["rows"], values["ok"], values["errors"], *later)


@dataclass(frozen=True)
class Snapshot:
    """A complete catalog.

    Attributes:
        run_id: of the run that published it.
        operation: of that run.
        model_id: of the model that made every row.
        tasks: names of the model's tasks.
        dim: length of an embedding.
        settings: of the run, those that change the output.
        parts: each manifest row is in exactly one of them.
    """

    run_id: str
    operation: str
    model_id: str
    tasks: tuple[str, ...]
    dim: int
    settings: Mapping[str, Any]
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Number of images."""
        return sum(part.rows for part in self.parts)

    @property
    def errors(self) -> dict[str, int]:
        """Number of images without an embedding, by error code."""
        return dict(sorted(sum((Counter(part.errors) for part in self.parts), Counter()).items()))

    @property
    def warnings(self) -> int:
        """Number of images with an embedding and warnings."""
        return sum(part.warnings for part in self.parts)

    @property
    def ok(self) -> int:
        """Number of images with an embedding."""
        return sum(part.ok for part in self.parts)

    @property
    def outside(self) -> int | None:
        """Number of images outside what the model knows; None if it does not tell."""
        counts = [part.outside for part in self.parts if part.outside is not None]
        return sum(counts) if counts else None


def read_snapshot(catalog: str) -> Snapshot:
    """Read the snapshot of a catalog.

    Raises:
        InputError: if there is none yet, or it is of another format.
    """
    data = open_store(catalog).read("catalog.json")
    if data is None:
        raise InputError(
            f"There is no complete catalog in {catalog}.{did_you_mean(catalog)} Make one with "
            "`artylyze tag SOURCE -o CATALOG`."
        )
    try:
        values = json.loads(data)
        if values.pop("format") != FORMAT:
            raise ValueError("unknown format")
        parts = tuple(map(Part.from_json, values.pop("parts")))
        names = ("run_id", "operation", "model_id", "dim", "settings")
        return Snapshot(**{name: values[name] for name in names}, tasks=tuple(values["tasks"]), parts=parts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{catalog}/catalog.json is not a catalog that this version reads ({error}).") from error


def write_snapshot(catalog: str, snapshot: Snapshot, *, replaces: str | None = None, conditional: bool = False) -> None:
    """Replace the snapshot of a catalog, atomically.

    Args:
        catalog: its address.
        snapshot: to publish.
        replaces: version of the `catalog.json` to replace, None if there was none.
        conditional: whether the storage supports conditional puts; then that version must still be current.

    Raises:
        StorageError: if another run has published a snapshot meanwhile.
    """
    counts = {"rows": snapshot.rows, "ok": snapshot.ok, "errors": snapshot.errors}
    data = (json.dumps({"format": FORMAT, **asdict(snapshot), **counts}, indent=1, ensure_ascii=False) + "\n").encode()
    store = open_store(catalog)
    if not conditional:
        store.put("catalog.json", data)
        return
    try:
        store.put("catalog.json", data, if_absent=replaces is None, if_match=replaces)
    except ConflictError:
        if store.read("catalog.json") != data:  # equal: our own put succeeded, and the answer was lost
            raise StorageError(
                f"Another run has replaced the snapshot of {catalog} since. Run the same command again."
            ) from None


def part_paths(catalog: str, snapshot: Snapshot) -> list[str]:
    """Return the address of every part."""
    store = open_store(catalog)
    return [store.uri(part.path) for part in snapshot.parts]


def read_parts(
    catalog: str, parts: Sequence[Part], columns: Sequence[str] | None = None
) -> Iterator[tuple[Part, pa.Table]]:
    """Yield each part with its rows, a few read ahead."""
    for part, _, table in read_parts_with_schemas(catalog, parts, columns):
        yield part, table


def read_parts_with_schemas(
    catalog: str, parts: Sequence[Part], columns: Sequence[str] | None = None
) -> Iterator[tuple[Part, pa.Schema, pa.Table]]:
    """Yield each part with the schema of all its columns and its rows, a few parts read ahead."""
    store, always = open_store(catalog), {"image_id", "status", "embedding"}

    def read(part: Part) -> tuple[pa.Schema, pa.Table]:
        try:
            with pq.ParquetFile(store.open(part.path), page_checksum_verification=True) as file:
                schema, table = file.schema_arrow, file.read(columns=None if columns is None else list(columns))
        except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are not UTF-8
            raise InputError(f"{store.uri(part.path)} is damaged ({first_line(error)}). {REPAIR}") from error
        if not always & set(columns or always) <= set(table.column_names):
            raise InputError(f"{store.uri(part.path)} is damaged (it lacks columns). {REPAIR}")
        if table.num_rows != part.rows:
            raise InputError(f"{store.uri(part.path)} holds {table.num_rows:,} rows, not {part.rows:,}. {REPAIR}")
        return schema, table

    with ThreadPoolExecutor(8) as pool:
        for start in range(0, len(parts), 16):
            chosen = parts[start : start + 16]
            yield from ((part, *result) for part, result in zip(chosen, pool.map(read, chosen), strict=True))


def read_catalog(catalog: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read columns of every row of a catalog into memory."""
    tables = [table for _, table in read_parts(catalog, read_snapshot(catalog).parts, columns)]
    return pa.concat_tables(tables, promote_options="permissive")


def embeddings(catalog: str, snapshot: Snapshot | None = None) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Return the image ids and the embeddings, float32 (n, d), of the images that could be read.

    An id takes some 100 bytes of memory and an embedding 4 d: `embedding_pieces` yields them part by part. `snapshot`
    saves reading catalog.json again.
    """
    snapshot = snapshot or read_snapshot(catalog)
    matrix = np.empty((snapshot.ok, snapshot.dim), np.float32)
    ids: list[str] = []
    for names, vectors in _pieces(catalog, snapshot):
        matrix[len(ids) : len(ids) + len(names)] = vectors
        ids += names.to_pylist()
    return ids, matrix


def embedding_pieces(
    catalog: str, snapshot: Snapshot | None = None
) -> Iterator[tuple[pa.StringArray, npt.NDArray[np.float32]]]:
    """Return the image ids and the embeddings, float32 (m, d), part by part, of the images that could be read.

    Read vectors by these two functions only: error rows hold null, so that reading the lists directly gives wrong
    shapes. `snapshot` saves reading catalog.json again.

    Raises:
        InputError: if there is no catalog; while it is read, if a part does not hold what catalog.json says.
    """
    return _pieces(catalog, snapshot or read_snapshot(catalog))


def _pieces(catalog: str, snapshot: Snapshot) -> Iterator[tuple[pa.StringArray, npt.NDArray[np.float32]]]:
    read = 0
    for _, table in read_parts(catalog, snapshot.parts, ["image_id", "status", "embedding"]):
        good = table.filter(pc.equal(table.column("status"), "ok")).combine_chunks()
        read += good.num_rows
        if read > snapshot.ok:
            raise InputError(f"{catalog}: the parts hold more embeddings than the {snapshot.ok:,} of catalog.json.")
        vectors = good.column("embedding").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        yield good.column("image_id").combine_chunks(), vectors.reshape(-1, snapshot.dim)
    if read != snapshot.ok:
        raise InputError(f"{catalog}: the parts hold {read:,} embeddings, catalog.json says {snapshot.ok:,}.")


FAILED = ("image_id", "record_id", "uri", "error_code", "error_detail")
WARNED = ("image_id", "record_id", "uri", "warnings", "warning")


def failures(catalog: str, snapshot: Snapshot | None = None, *, warnings: bool = False) -> Iterator[dict[str, Any]]:
    """Return a row of the columns FAILED for each image that could not be read.

    Args:
        catalog: its address.
        snapshot: saves reading catalog.json again.
        warnings: return a row of the columns WARNED for each image with warnings instead.

    Raises:
        InputError: at once, if there is no catalog.
    """
    parts = (snapshot or read_snapshot(catalog)).parts
    if warnings:
        return _warned(catalog, [part for part in parts if part.warnings])
    return _failed(catalog, [part for part in parts if part.ok < part.rows])


def _failed(catalog: str, parts: Sequence[Part]) -> Iterator[dict[str, Any]]:
    for _, table in read_parts(catalog, parts, [*FAILED, "status"]):
        yield from table.filter(pc.equal(table.column("status"), "error")).select(FAILED).to_pylist()


def _warned(catalog: str, parts: Sequence[Part]) -> Iterator[dict[str, Any]]:
    for _, table in read_parts(catalog, parts, [*WARNED, "status"]):
        for row in table.filter(warned(table)).to_pylist():
            # Parts of an earlier version have the sentence alone, which they wrote of files that end early.
            yield {name: row.get(name) for name in WARNED} | {"warnings": row.get("warnings") or ["truncated"]}
