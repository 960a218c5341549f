"""The files of an index, below CATALOG/index/: a basis, a file for each part of the catalog, and index.json last.

It knows where they lie, how they are made part by part, and when they no longer fit the catalog; searching in them it
does not know. A part never changes under its path, so neither does its file: its name is a hash of the path and the
basis. Whoever reads takes the files that index.json lists.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.catalog.snapshot import Part, Snapshot
from artylyze.errors import InputError, StorageError
from artylyze.progress import Watcher
from artylyze.searching.basis import COMPONENTS, Basis, Encoded, comparable, fit
from artylyze.storage import Store
from artylyze.storage.contract import first_line
from artylyze.workers.supervision import cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "index"
FORMAT = 1

SAMPLE = 16_384
"""Embeddings that a basis is fitted to. Those of 1,280 numbers take 2 s on two cores."""

GROWN = 2
"""Times as many images as a basis was fitted to, from which on it is fitted again, until it was fitted to SAMPLE."""

SPREAD = 64
"""Parts from which on a sample takes one row group of each and not all."""

_READERS = 16
_COLUMNS = ("image_id", "status", "model_id", "embedding")


class DamagedIndexError(Exception):
    """A file of an index that is not there or not what it should be. Nothing is lost: it is made again."""


@dataclass(frozen=True, eq=False)
class Piece:
    """What an index keeps of a part: the rows that have an embedding, in the order of the part.

    Attributes:
        image_ids: of the rows.
        rows: int32 (m,), their numbers in the Parquet file of the part.
        encoded: their embeddings.
    """

    image_ids: pa.StringArray
    rows: NDArray[np.int32]
    encoded: Encoded


@dataclass(frozen=True)
class State:
    """What index.json says.

    Attributes:
        run_id: of the snapshot that was indexed.
        model_id: of the model of its embeddings.
        dim: length of an embedding.
        basis: key of the file of the basis.
        parts: path of each part -> its file and the number of rows in it.
    """

    run_id: str
    model_id: str
    dim: int
    basis: str
    parts: Mapping[str, tuple[str, int]] = field(default_factory=dict)


def read_state(store: Store) -> State | None:
    """Read index.json; None if there is none that this version reads."""
    data = store.read(f"{FOLDER}/index.json")
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        found = json.loads(data or b"")
        if found["format"] == FORMAT:
            parts = {path: (str(one["file"]), int(one["rows"])) for path, one in found["parts"].items()}
            return State(found["run_id"], found["model_id"], found["dim"], found["basis"], parts)
    return None


def write_state(store: Store, state: State, before: State | None) -> None:
    """Write index.json; then remove the files that neither it nor the one before lists, which may still be read."""
    parts = {path: {"file": key, "rows": rows} for path, (key, rows) in state.parts.items()}
    told = {"format": FORMAT, **{name: getattr(state, name) for name in ("run_id", "model_id", "dim", "basis")}}
    store.put(f"{FOLDER}/index.json", (json.dumps({**told, "parts": parts}, indent=1) + "\n").encode())
    needed = {f"{FOLDER}/index.json"}
    for one in (state, *([before] if before else [])):
        needed |= {f"{FOLDER}/{one.basis}", *(f"{FOLDER}/{key}" for key, _ in one.parts.values())}
    with suppress(StorageError):  # who may write need not be allowed to delete
        for entry in list(store.list(f"{FOLDER}/")):
            if entry.key not in needed:
                store.delete(entry.key)


def fits(state: State | None, snapshot: Snapshot) -> bool:
    """Tell whether an index is of a snapshot, whatever has become of its files."""
    return (
        state is not None
        and state.model_id == snapshot.model_id
        and state.dim == snapshot.dim
        and (state.run_id == snapshot.run_id and set(state.parts) == {part.path for part in snapshot.parts})
    )


def outgrown(basis: Basis, snapshot: Snapshot) -> bool:
    """Tell whether a basis was fitted to so few images that others of the snapshot may need another."""
    return basis.fitted < SAMPLE and snapshot.ok >= GROWN * max(1, basis.fitted)


def read_basis(store: Store, key: str, dim: int) -> Basis:
    """Read a basis; raise DamagedIndexError."""
    data = store.read(f"{FOLDER}/{key}")
    try:
        with np.load(io.BytesIO(data or b""), allow_pickle=False) as file:
            basis = Basis(file["mean"], file["components"], float(file["outside"]), int(file["fitted"]))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DamagedIndexError(key) from error
    if key != basis_key(basis) or basis.components.shape != (min(COMPONENTS, dim), dim):
        raise DamagedIndexError(key)
    return basis


def write_basis(store: Store, basis: Basis) -> None:
    """Write a basis under its key."""
    out = io.BytesIO()
    np.savez(out, mean=basis.mean, components=basis.components, outside=basis.outside, fitted=basis.fitted)
    store.put(f"{FOLDER}/{basis_key(basis)}", out.getvalue())


def basis_key(basis: Basis) -> str:
    """Return the name of the file of a basis."""
    return f"basis-{basis.digest}.npz"


def piece_key(part: Part, basis: Basis) -> str:
    """Return the name of the file of a part."""
    return f"part-{hashlib.sha256(f'{basis.digest} {part.path}'.encode()).hexdigest()[:20]}.arrow"


def serialise(piece: Piece) -> memoryview:
    """Return the file of a part: Arrow's file format, uncompressed, so that it is read without a copy."""
    codes, count = np.ascontiguousarray(piece.encoded.codes), len(piece.rows)
    packed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(codes.shape[1]), count, [None, pa.py_buffer(codes)])
    table = pa.table(
        {
            "image_id": piece.image_ids,
            "row": piece.rows,
            "scale": piece.encoded.scales,
            "offset": piece.encoded.offsets,
            "code": packed,
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, count))
    return memoryview(sink.getvalue()).cast("B")  # obstore takes no signed bytes


def parse(data: bytes, key: str, components: int) -> Piece:
    """Return what `serialise` wrote; raise DamagedIndexError."""
    try:
        table = pa.ipc.open_file(pa.BufferReader(data)).read_all().combine_chunks()
        table.validate(full=True)
        columns = {name: table.column(name).combine_chunks() for name in table.column_names}
        width = table.schema.field("code").type.byte_width
        codes = np.frombuffer(columns["code"].buffers()[1] or b"", np.int8, width * table.num_rows)
        numbers = [columns[name].to_numpy() for name in ("row", "scale", "offset")]
        piece = Piece(columns["image_id"], numbers[0], Encoded(codes.reshape(-1, width), numbers[1], numbers[2]))
    except (pa.ArrowException, OSError, KeyError, ValueError, AttributeError) as error:
        raise DamagedIndexError(key) from error
    if width != components or numbers[0].dtype != np.int32:
        raise DamagedIndexError(key)
    return piece


def read_pieces(
    store: Store, state: State, parts: Sequence[Part], components: int
) -> Iterator[tuple[Part, Piece | None]]:
    """Yield each part with what the index keeps of it, None where its file is not there or damaged."""

    def read(part: Part) -> Piece | None:
        key, rows = state.parts.get(part.path, ("", 0))
        data = store.read(f"{FOLDER}/{key}") if key else None
        with suppress(DamagedIndexError):
            piece = None if data is None else parse(data, key, components)
            return None if piece is None or len(piece.rows) != rows else piece
        return None

    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(parts), 4 * _READERS):
            chosen = parts[start : start + 4 * _READERS]
            yield from zip(chosen, pool.map(read, chosen), strict=True)


def make_pieces(
    store: Store, snapshot: Snapshot, parts: Sequence[Part], basis: Basis, watcher: Watcher | None
) -> Iterator[tuple[Part, Piece]]:
    """Read the embeddings of parts and yield what an index keeps of each, in their order; a part for each core at once.

    Raises:
        InputError: if a part is damaged, or its embeddings are of another model.
    """
    if watcher is not None:
        watcher.start(sum(part.rows for part in parts), 0, "Indexing")
    waiting = iter(parts)
    with ThreadPoolExecutor(cores()) as pool:
        running = [(part, pool.submit(_make, store, snapshot, part, basis)) for part in islice(waiting, cores() + 1)]
        while running:
            part, future = running.pop(0)
            yield part, future.result()
            running += [(one, pool.submit(_make, store, snapshot, one, basis)) for one in islice(waiting, 1)]
            if watcher is not None:
                watcher.advance(part.rows, 0)


def _make(store: Store, snapshot: Snapshot, part: Part, basis: Basis) -> Piece:
    ids, rows, encoded = [], [], []
    for start, group in _groups(store, snapshot, part):
        places, vectors = _vectors(group, snapshot.dim)
        ids.append(group.column("image_id").combine_chunks().take(pa.array(places)))
        rows.append((start + places).astype(np.int32))
        encoded.append(basis.encode(vectors))
    return joined([Piece(*one) for one in zip(ids, rows, encoded, strict=True)], len(basis.components))


def joined(pieces: Sequence[Piece], components: int) -> Piece:
    """Return pieces as one."""
    empty = Encoded(np.empty((0, components), np.int8), np.empty(0, np.float32), np.empty(0, np.float32))
    encoded = [empty, *(piece.encoded for piece in pieces)]
    return Piece(
        pa.concat_arrays([pa.array([], pa.string()), *(piece.image_ids for piece in pieces)]),
        np.concatenate([np.empty(0, np.int32), *(piece.rows for piece in pieces)]),
        Encoded(
            np.concatenate([one.codes for one in encoded]),
            np.concatenate([one.scales for one in encoded]),
            np.concatenate([one.offsets for one in encoded]),
        ),
    )


def fit_basis(store: Store, snapshot: Snapshot) -> Basis:
    """Fit a basis to SAMPLE embeddings from all over a snapshot: the same ones each time."""
    return fit(_sample(store, snapshot), snapshot.dim)


def _sample(store: Store, snapshot: Snapshot) -> Iterator[NDArray[np.float32]]:
    parts = sorted(snapshot.parts, key=lambda part: hashlib.sha256(part.path.encode()).digest())
    share = min(1.0, SAMPLE / max(1, snapshot.ok))
    middle = share < 1 and len(parts) > SPREAD
    left = SAMPLE
    for part in parts:
        wanted = part.ok if share == 1 else max(round(share * part.ok), SAMPLE // (2 * SPREAD))
        for _, group in _groups(store, snapshot, part, middle=middle):
            _, vectors = _vectors(group, snapshot.dim)
            count = min(left, len(vectors), wanted if middle else -(-wanted * group.num_rows // part.rows))
            left -= count
            yield vectors[np.linspace(0, max(0, len(vectors) - 1), count).astype(int)]
        if left <= 0:
            return


def _groups(store: Store, snapshot: Snapshot, part: Part, *, middle: bool = False) -> Iterator[tuple[int, pa.Table]]:
    """Yield the first row and the rows of each row group of a part, or of its middle one alone."""
    try:
        with pq.ParquetFile(store.open(part.path)) as file:
            sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
            if sum(sizes) != part.rows:
                raise InputError(f"{store.uri(part.path)} holds {sum(sizes):,} rows, not {part.rows:,}. {_REPAIR}")
            for number in [len(sizes) // 2] if middle else range(len(sizes)):
                group = file.read_row_group(number, columns=list(_COLUMNS))
                _check_model(store, snapshot, part, group)
                yield sum(sizes[:number]), group
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{store.uri(part.path)} is damaged ({first_line(error)}). {_REPAIR}") from error


_REPAIR = "Delete it, and run the command again that made it."


def _check_model(store: Store, snapshot: Snapshot, part: Part, group: pa.Table) -> None:
    others = set(pc.unique(group.column("model_id")).to_pylist()) - {snapshot.model_id, None}
    if others:
        raise InputError(
            f"{store.uri(part.path)} holds embeddings of the model {min(others)}, the catalog is of "
            f"{snapshot.model_id}: embeddings of two models cannot be compared. Tag the collection again with one of "
            "them (`artylyze tag --replace`)."
        )


def _vectors(group: pa.Table, dim: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the numbers of the rows that can be compared, and their embeddings, float32 (m, d)."""
    good = pc.equal(group.column("status"), "ok").combine_chunks()
    places = np.flatnonzero(good.to_numpy(zero_copy_only=False))
    lists = group.column("embedding").combine_chunks().filter(good)
    vectors = lists.flatten().to_numpy(zero_copy_only=False).reshape(len(places), dim)
    there = comparable(vectors)
    return (places, vectors) if there.all() else (places[there], vectors[there])
