"""The dataset: which labelled images a model learns from and which ones judge it, in one frozen Parquet file.

It knows the columns, their checks and their digest; it does not know how labels are found (curate.py does).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artylyze.catalog.schema import FIXED, catalog_schema
from artylyze.errors import InputError, UsageError
from artylyze.storage import open_store, split_target
from artylyze.storage.nearest import did_you_mean

COLUMNS = (
    pa.field("image_id", pa.string(), nullable=False),
    pa.field("record_id", pa.string(), nullable=False),
    pa.field("uri", pa.string()),
    pa.field("size", pa.int64()),
    pa.field("validator", pa.string()),
    pa.field("artist", pa.string()),
    pa.field("group", pa.string()),
    pa.field("source", pa.string()),
    pa.field("split", pa.string(), nullable=False),
    pa.field("nationality", pa.string()),
    pa.field("period", pa.string()),
)
"""The columns of every dataset; one nullable string column for each other task follows.

`uri` is null in a dataset that was planned from catalogues alone. `group` is the artist's key (names.py), null where no
artist is known: what evaluation keeps on one side. `source` is where the photograph comes from, null where no catalogue
tells.
"""

SPLITS = ("train", "test")

MEASURABLE = 20
"""Images below which a share of them says nothing, such as the precision that a review threshold leaves."""

_KEY = b"artylyze.dataset"
_RESERVED = frozenset(field.name for field in (*COLUMNS, *catalog_schema((), pa.null(), outside=True))) - {
    "nationality",
    "period",
}
"""Columns of a dataset or of a catalog: a task of such a name would be the same column again."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A checked dataset.

    Attributes:
        table: columns as `schema(tasks)` has them, sorted by image_id; each row has a label for one task at least.
        tasks: task -> its terms, sorted; terms[i] is class i.
        settings: what `curate` was asked and what it read, as JSON values.
        digest: 16 hexadecimal digits of SHA-256 over image ids, validators, labels, groups and splits.
    """

    table: pa.Table
    tasks: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, Any]
    digest: str

    def __post_init__(self) -> None:
        _check(self.table, self.tasks)
        if self.digest != digest(self.table, self.tasks):
            raise ValueError("its rows are not those that were curated")


def schema(tasks: Sequence[str]) -> pa.Schema:
    """Return the columns of a dataset with these tasks; raise UsageError for a task that cannot be a column."""
    columns = [name for task in tasks for name in catalog_schema((task,), None).names[len(FIXED) + 1 : -2]]
    taken = sorted(_RESERVED & set(columns)) or sorted(name for name in set(columns) if columns.count(name) > 1)
    if taken:
        raise UsageError(
            f"'{taken[0]}' cannot be a task: a dataset or a catalog has a column of that name already. Call the task "
            f"otherwise, such as `tasks='my_{taken[0]}={taken[0]}'` (NAME=COLUMN). Taken are: "
            f"{', '.join(sorted(_RESERVED))}."
        )
    own = [pa.field(task, pa.string()) for task in tasks if task not in ("nationality", "period")]
    return pa.schema([*COLUMNS, *own])


def write_dataset(
    target: str, table: pa.Table, tasks: Mapping[str, Sequence[str]], settings: Mapping[str, Any]
) -> Dataset:
    """Write a dataset, under its name only when it is whole, and return it.

    Args:
        target: a path or an address that ends in .parquet.
        table: the columns of `schema(tasks)` in any order; rows in any order.
        tasks: task -> its terms, in any order.
        settings: what was asked, as JSON values.

    Raises:
        UsageError: a target that is no .parquet file, or a task with the name of a column.
        StorageError: storage that refuses.
    """
    if not target.lower().endswith(".parquet"):
        raise UsageError("A dataset is a .parquet file: give `output` a name that ends so.")
    columns = schema(list(tasks))
    ordered = table.select(columns.names).sort_by("image_id").cast(columns).replace_schema_metadata().combine_chunks()
    terms = {task: tuple(sorted(names)) for task, names in tasks.items()}
    dataset = Dataset(ordered, terms, json.loads(json.dumps(settings)), digest(ordered, terms))
    about = json.dumps({"tasks": terms, "settings": dataset.settings, "digest": dataset.digest}, ensure_ascii=False)
    sink = pa.BufferOutputStream()
    pq.write_table(ordered.replace_schema_metadata({_KEY: about}), sink, compression="zstd")
    folder, name = split_target(target)
    open_store(folder).put(name, sink.getvalue().to_pybytes())
    return dataset


def read_dataset(source: str) -> Dataset:
    """Read a dataset; raise InputError if there is none, or its rows are not those that were curated."""
    folder, name = split_target(source)
    data = open_store(folder).read(name)
    if data is None:
        raise InputError(f"There is no dataset {source}.{did_you_mean(source)} Make one with `artylyze curate`.")
    try:
        table = pq.read_table(pa.BufferReader(data))
        about = json.loads((table.schema.metadata or {})[_KEY])
        tasks = {str(task): tuple(terms) for task, terms in about["tasks"].items()}
        plain = table.replace_schema_metadata().combine_chunks()
        if "source" not in plain.column_names:  # earlier versions had none
            plain = plain.append_column("source", pa.nulls(len(plain), pa.string())).select(schema(list(tasks)).names)
        return Dataset(plain, tasks, about["settings"], about["digest"])
    except KeyError as error:
        raise InputError(f"{source} is not a dataset. Make one with `artylyze curate`.") from error
    except (pa.ArrowInvalid, OSError, TypeError, AttributeError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise InputError(f"{source} is not a sound dataset ({why}). Make it again with `artylyze curate`.") from error


def labels(table: pa.Table, task: str, terms: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the class of each row for a task, int64 (rows,); -1 where it has no label."""
    codes = pc.index_in(table.column(task), value_set=pa.array(terms, pa.string()))
    return np.asarray(pc.fill_null(codes, -1).to_numpy(), np.int64)


def digest(table: pa.Table, tasks: Mapping[str, Sequence[str]]) -> str:
    """Return the digest of a sorted table's image ids, validators, labels, groups and splits."""
    names = ["image_id", "validator", "group", "split", *sorted(tasks)]
    hashed = hashlib.sha256()
    for name in names:
        hashed.update(json.dumps({name: table.column(name).to_pylist()}).encode())
    return hashed.hexdigest()[:16]


def _check(table: pa.Table, tasks: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError with what is wrong."""
    if not tasks:
        raise ValueError("it has no task")
    if not table.schema.equals(schema(list(tasks))):
        raise ValueError("its columns are not those of a dataset")
    for field in table.schema:
        if not field.nullable and table.column(field.name).null_count:
            raise ValueError(f"it has rows without {field.name}")
    ids = table.column("image_id")
    if len(ids) > 1 and not pc.all(pc.less(ids.slice(0, len(ids) - 1), ids.slice(1))).as_py():
        raise ValueError("its image ids are repeated or out of order")
    if foreign := set(pc.unique(table.column("split")).to_pylist()) - set(SPLITS):
        raise ValueError(f"its split has {sorted(foreign)[0]!r}")
    _check_labels(table, tasks)


def _check_labels(table: pa.Table, tasks: Mapping[str, Sequence[str]]) -> None:
    labelled = np.zeros(len(table), bool)
    for task, terms in tasks.items():
        if list(terms) != sorted(set(terms)):
            raise ValueError(f"the terms of {task} are repeated or not sorted")
        known = labels(table, task, terms) >= 0
        if known.sum() != len(table) - table.column(task).null_count:
            raise ValueError(f"its {task} has labels that are none of its terms")
        labelled |= known
    if not labelled.all():
        raise ValueError(f"{int((~labelled).sum()):,} of its rows have no label")
