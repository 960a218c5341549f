"""The works of a clustering: its images joined to their catalog rows and descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.catalog.snapshot import read_catalog, read_snapshot
from artylyze.clustering.store import Clusters
from artylyze.collection.artists import read_artists
from artylyze.collection.known_columns import folded
from artylyze.collection.manifest import COLUMNS
from artylyze.datasets.sources import Wanted, join
from artylyze.duplication.store import read_groups
from artylyze.errors import InputError, UsageError
from artylyze.profiling.columns import Described, DescriptionTable, asked_for, chosen, describe
from artylyze.profiling.rows import Rows, locate
from artylyze.tables import DEFAULT_READING, Reading, check_options, load_table, open_database

_NAMES = ("image_id", "record_id", "uri", "validator")
_OURS = ("recordid", "described")


@dataclass(frozen=True, eq=False)
class Works:
    """The clustered images and their descriptions.

    Attributes:
        catalog: address of the catalog they are rows of.
        table: image_id, record_id (n rows), in the order of the assignments.
        described: their descriptions by catalogues and the model.
        rows: theirs in the catalog, from which is read what is needed of few.
        notes: sentences on how tables of labels were read, and what of them did not match.
        repeated: bool (n,), images of a work of which another image counts; None: each image counts.
    """

    catalog: str
    table: pa.Table
    described: Described
    rows: Rows
    notes: tuple[str, ...] = ()
    repeated: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class _Metadata:
    """The catalog's own metadata of its clustered images: a column is read when it is asked for."""

    rows: Rows
    column_names: Sequence[str]

    def column(self, name: str) -> pa.ChunkedArray:
        return self.rows.field(name)


def read_works(
    clusters: Clusters,
    catalog: str | None = None,
    labels: Sequence[str] = (),
    artists: str | None = None,
    columns: Sequence[str] = (),
    id_column: str | None = None,
    reading: Reading = DEFAULT_READING,
    duplicates: str | None = None,
) -> Works:
    """Join clustered images to their catalog and to catalogues of labels.

    Args:
        clusters: the clustering.
        catalog: its catalog; None: the one that the clustering names.
        labels: CSV, TSV or Parquet tables that say more of the images; the catalog's own metadata is the last.
        artists: a table of artists with their nationality and years.
        columns: those that are of interest; none: all that are categorical.
        id_column: of a table of labels, that names an image or its record; None: it is found.
        reading: how tables of labels are to be read.
        duplicates: a folder of near-duplicates: of each of their groups one image counts.

    Raises:
        UsageError: no catalog is known, a column is not there or not categorical, or an option is about labels
            where there are none.
        InputError: a clustered image is not in the catalog, or a table cannot be used.
    """
    check_options("`labels=TABLE`", bool(labels), reading, id_column)
    catalog = catalog or clusters.run.get("catalog")
    if not catalog:
        raise UsageError(f"{clusters.folder} does not say which catalog it was made from: give `catalog=CATALOG`.")
    snapshot, run = read_snapshot(catalog), clusters.run
    tasks = snapshot.tasks
    if run["method"] == "embedding" and run["model_id"] not in (None, snapshot.model_id):
        raise InputError(
            f"{clusters.folder} are clusters of embeddings by the model {run['model_id']}, those of the catalog "
            f"{catalog} are by {snapshot.model_id}: give the catalog that was clustered, or cluster this one."
        )
    ids = clusters.assignments.column("image_id")
    rows = locate(catalog, snapshot, ids)
    if (absent := np.flatnonzero(rows.places < 0)).size:
        raise InputError(
            f"{len(absent):,} images of {clusters.folder} are not in the catalog {catalog}, the first is "
            f"{ids[int(absent[0])].as_py()!r}: give the catalog that was clustered, or cluster this one."
        )
    notes: tuple[str, ...] = ()
    tables: Sequence[DescriptionTable] = own_metadata(rows)
    if labels:
        tables, notes = _joined(rows, labels, id_column, reading)
    known = None if artists is None else read_artists(artists)

    def described(wanted: Sequence[str]) -> Described:
        predicted = {task: rows.column(task) for task in tasks if asked_for(task, wanted)}
        return describe(tables, len(ids), predicted, known, wanted)

    table = pa.table({"image_id": ids, "record_id": rows.records})
    repeated = None if duplicates is None else _repeated(ids, duplicates)
    if not columns:
        return Works(catalog, table, described(()), rows, notes, repeated)
    try:
        return Works(catalog, table, chosen(described(columns), columns), rows, notes, repeated)
    except UsageError:  # it is to say which columns there are
        return Works(catalog, table, chosen(described(()), columns), rows, notes, repeated)


def _repeated(ids: pa.ChunkedArray, folder: str) -> npt.NDArray[np.bool_]:
    """Which images are of a group of near-duplicates in which another counts, the representative where it is there."""
    groups = read_groups(folder)
    rows = pc.fill_null(pc.index_in(groups.column("image_id"), value_set=ids.combine_chunks()), -1).to_numpy()
    repeated, counted = np.zeros(len(ids), bool), set[int]()
    for row, group in zip(rows.tolist(), groups.column("group").to_pylist(), strict=True):
        if row >= 0:
            repeated[row] = group in counted
            counted.add(group)
    return repeated


def own_metadata(rows: Rows) -> list[DescriptionTable]:
    """Return the catalog's own metadata of its rows as one table, whose columns are read when needed, or none."""
    names = _different([] if rows.metadata is None else [field.name for field in rows.metadata])
    return [_Metadata(rows, names)] if names else []


def _joined(
    rows: Rows, labels: Sequence[str], id_column: str | None, reading: Reading
) -> tuple[list[pa.Table], tuple[str, ...]]:
    """What tables say, then the metadata: all of it is read, for the join to find the image of each row."""
    whole = read_catalog(rows.catalog, [*_NAMES, "metadata"])  # without metadata there is no such column
    return join_descriptions(whole.take(pa.array(rows.places)), labels, id_column, reading)


def _different(names: Sequence[str]) -> list[str]:
    """Return columns of interest; of those that differ in case and punctuation alone, the first."""
    unlike: dict[str, str] = {}
    for name in names:
        unlike.setdefault(folded(name), name)
    return [name for key, name in unlike.items() if key not in _OURS]


def join_descriptions(
    rows: pa.Table, labels: Sequence[str], id_column: str | None = None, reading: Reading = DEFAULT_READING
) -> tuple[list[pa.Table], tuple[str, ...]]:
    """Return what each table says of catalog rows, as text, then what their metadata say.

    Args:
        rows: of the catalog.
        labels: addresses of the tables.
        id_column: of a table, that identifies a record; None: it is found.
        reading: how the tables are to be read.

    Returns:
        The columns of each in the order of the rows, and sentences on how they were read and what did not match.
    """
    names = [] if "metadata" not in rows.column_names else [f.name for f in rows.schema.field("metadata").type]
    with open_database() as database:
        for address in labels:
            names += load_table(database, address, reading).columns
            database.execute("DROP TABLE catalogue")
    wanted = {name: (name,) for name in _different(names)}
    if not wanted:
        return [], ()
    with TemporaryDirectory(prefix="artylyze-") as folder:
        manifest = str(Path(folder, "manifest.parquet"))
        pq.write_table(_as_manifest(rows), manifest)
        joined = join(labels, manifest, Wanted(wanted, {}, id_column, reading=reading), called="the catalog")
    order = pc.index_in(rows.column("image_id"), value_set=joined.images.column("image_id").combine_chunks())
    tables = [catalogue.table.take(order) for catalogue in joined.catalogues if catalogue.table.num_columns]
    return tables, tuple(note for catalogue in joined.catalogues for note in catalogue.notes)


def _as_manifest(rows: pa.Table) -> pa.Table:
    sized = rows.append_column("size", pa.nulls(rows.num_rows, pa.int64())).sort_by("image_id")
    names = [field.name for field in COLUMNS] + (["metadata"] if "metadata" in rows.column_names else [])
    return sized.select(names)
