"""A source of vectors in pieces, for more rows than memory holds: the parts of a catalog, the row groups of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.catalog.snapshot import Part, read_parts, read_snapshot
from artylyze.clustering.starts import keys_of, uniform
from artylyze.collection.manifest import open_rows
from artylyze.errors import InputError
from artylyze.extraction.vectors import Vectors, about_of, batches_of, in_order, lists_of, usable
from artylyze.storage import open_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 8_192
"""Rows of a features file that are held together."""
_NAMES = ("ids", "records")


@dataclass(frozen=True)
class Pieces:
    """A catalog or a features file.

    Attributes:
        source: its address.
        method: how the features were made.
        model_id: of the model or the transform that made them, None if unknown.
        catalog: its address, None if unknown.
        random_weights: whether the model was never trained.
        dim: of the vectors; 0 where there is none.
        left_out: images that have no row here or an error in it, by reason.
        sizes: rows of each piece, those without a usable vector included.
        parts: of a catalog; none for a file.
    """

    source: str
    method: str
    model_id: str | None
    catalog: str | None
    random_weights: bool
    dim: int
    left_out: Mapping[str, int]
    sizes: tuple[int, ...]
    parts: tuple[Part, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all pieces."""
        return sum(self.sizes)

    @property
    def vectors(self) -> int:
        """Rows that should have a vector."""
        return sum(part.ok for part in self.parts) if self.parts else self.rows


def open_pieces(source: str) -> Pieces:
    """Look at a source without reading its vectors; raise InputError if there is none."""
    if not source.lower().endswith(".parquet"):
        found = read_snapshot(source)
        sizes = tuple(part.rows for part in found.parts)
        return Pieces(
            source,
            "embedding",
            found.model_id,
            open_store(source).url,
            False,
            found.dim,
            dict(found.errors),
            sizes,
            found.parts,
        )
    with open_rows(source) as file:
        about = about_of(source, file)
        widths = (
            matrix.shape[1] for batch in batches_of(source, file, 256) if len(matrix := lists_of(source, batch)[2])
        )
        dim = next(widths, 0)
        groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
        sizes = tuple(group.num_rows for group in groups)
    return Pieces(
        source,
        str(about.get("method", "unknown")),
        about.get("model_id"),
        about.get("catalog"),
        bool(about.get("random_weights", False)),
        dim,
        dict(about.get("left_out") or {}),
        sizes,
    )


def read_piece(pieces: Pieces, number: int) -> Iterator[Vectors]:
    """Yield the usable vectors of a piece in blocks.

    Raises:
        InputError: a row of another model, or vectors of several lengths.
    """
    for table in _tables(pieces, number):
        yield _usable(pieces, table)


def read_sample(pieces: Pieces, most: int, seed: int) -> Vectors:
    """Read at most `most` vectors, drawn from all usable ones without replacement, in image_id order.

    Those of the smallest random numbers are taken, and each image has its own: images that are left out change nothing
    for the others. At most twice as many vectors are held, and a block.
    """
    found: list[Vectors] = []
    chances: list[NDArray[np.float64]] = []
    bound = 1.0
    for block in (block for number in range(len(pieces.sizes)) for block in read_piece(pieces, number)):
        if not len(block.ids):
            continue
        own = uniform(keys_of(block.ids.to_pylist()), seed)
        rows = np.flatnonzero(own < bound)
        found.append(_taken([block], rows))
        chances.append(own[rows])
        if sum(map(len, chances)) > 2 * most:
            found, chances = _least(found, chances, most)
            bound = chances[0].max()
    if not found:
        raise InputError(f"{pieces.source} has no usable vectors: tag the images again.")
    (sample,), _ = _least(found, chances, most)
    return in_order(sample, np.arange(len(sample.ids)))


def _least(
    found: list[Vectors], chances: list[NDArray[np.float64]], most: int
) -> tuple[list[Vectors], list[NDArray[np.float64]]]:
    """Of vectors in blocks the `most` with the smallest numbers, as one block with these numbers."""
    own = np.concatenate(chances)
    rows = np.sort(np.argpartition(own, most)[:most]) if len(own) > most else np.arange(len(own))
    return [_taken(found, rows)], [own[rows]]


def _taken(found: list[Vectors], rows: NDArray[np.int64]) -> Vectors:
    """Some rows of vectors in blocks."""
    ids, records = (pa.concat_arrays([getattr(one, name) for one in found]).take(pa.array(rows)) for name in _NAMES)
    return replace(found[0], ids=ids, records=records, matrix=np.concatenate([one.matrix for one in found])[rows])


def _tables(pieces: Pieces, number: int) -> Iterator[pa.Table]:
    if pieces.parts:
        columns = ["image_id", "record_id", "status", "model_id", "embedding"]
        ((_, table),) = read_parts(pieces.source, [pieces.parts[number]], columns)
        yield table.rename_columns([*columns[:-1], "features"])
        return
    with open_rows(pieces.source) as file:
        for batch in batches_of(pieces.source, file, BLOCK, [number]):
            yield pa.Table.from_batches([batch])


def _usable(pieces: Pieces, table: pa.Table) -> Vectors:
    if pieces.parts:
        table = table.filter(pc.equal(table.column("status"), "ok"))
        if others := set(pc.unique(table.column("model_id")).to_pylist()) - {pieces.model_id}:
            raise InputError(
                f"{pieces.source} holds embeddings of several models ({', '.join(sorted(map(str, others)))} and "
                f"{pieces.model_id}), which cannot be compared: tag the collection again with one of them."
            )
    ids, records, matrix = lists_of(pieces.source, table)
    if len(ids) and matrix.shape[1] != pieces.dim:
        raise InputError(f"{pieces.source} has features of several lengths: make it again.")
    good = usable(matrix)
    if not good.all():
        ids, records, matrix = ids.filter(pa.array(good)), records.filter(pa.array(good)), matrix[good]
    return _vectors(pieces, ids, records, matrix)


def _vectors(pieces: Pieces, ids: pa.Array, records: pa.Array, matrix: NDArray[np.float32]) -> Vectors:
    return Vectors(
        ids,
        records,
        matrix,
        pieces.source,
        pieces.method,
        pieces.catalog,
        pieces.model_id,
        pieces.random_weights,
        pieces.left_out,
    )
