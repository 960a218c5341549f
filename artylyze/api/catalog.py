"""An existing catalog, for Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from artylyze.catalog.snapshot import Snapshot, part_paths, read_snapshot
from artylyze.catalog.snapshot import embeddings as read_embeddings
from artylyze.catalog.snapshot import failures as read_failures
from artylyze.wording import counted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds

    from artylyze.api.arguments import Output, StrPath
    from artylyze.api.searching import Results
    from artylyze.progress import Watcher
    from artylyze.searching.search import Searcher


@dataclass(frozen=True)
class Catalog:
    """A catalog as it was when it was opened: one row for each image, including those that could not be read.

    Later runs do not change an open catalog; open it again to see them. It can be passed wherever a path is expected:
    `artylyze.cluster(catalog, "clusters")`.

    Attributes:
        address: Folder or address.
    """

    address: str
    _snapshot: Snapshot = field(repr=False)

    def __fspath__(self) -> str:
        return self.address

    def __len__(self) -> int:
        return self._snapshot.rows

    def __repr__(self) -> str:
        errors = counted(sum(self.errors.values()), "error")
        return f"Catalog({self.address!r}: {counted(len(self), 'image')}, {errors})"

    @property
    def paths(self) -> list[str]:
        """Paths or addresses of its Parquet files. Read exactly these files, not a pattern."""
        return part_paths(self.address, self._snapshot)

    @property
    def columns(self) -> list[str]:
        """Names of its columns."""
        return list(self.dataset().schema.names)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks of the model, each with columns TASK, TASK_score, TASK_review and TASK_top."""
        return self._snapshot.tasks

    @property
    def model_id(self) -> str:
        """The model that made every row."""
        return self._snapshot.model_id

    @property
    def errors(self) -> dict[str, int]:
        """Number of images that could not be read, by error code."""
        return self._snapshot.errors

    def dataset(self) -> ds.Dataset:
        """Return the catalog as a `pyarrow.dataset.Dataset`, to read in batches or to query with DuckDB or Polars.

        In object storage it uses the same credentials as artylyze.

        Examples:
            >>> import artylyze
            >>> dataset = artylyze.open_catalog("catalog").dataset()
            >>> dataset.count_rows()
            24
        """
        from artylyze.catalog.dataset import open_dataset

        return open_dataset(self.address, self._snapshot)

    def to_arrow(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Read columns and rows into memory as a `pyarrow.Table`.

        Args:
            columns: Names of columns; None reads all.
            where: A condition on the columns in DuckDB's SQL, such as `genre = 'portrait' and genre_score > 0.8`.
                Your own columns are fields of `metadata`: `metadata.artist = 'Vermeer'`. None reads all rows.

        Raises:
            InputError: For an unknown column, or a condition that DuckDB rejects.

        Examples:
            >>> import artylyze
            >>> catalog = artylyze.open_catalog("catalog")
            >>> table = catalog.to_arrow(columns=["image_id", "genre"], where="genre_score > 0.5")
            >>> table.column_names
            ['image_id', 'genre']
        """
        from artylyze.catalog.dataset import read_table

        return read_table(self.address, self._snapshot, columns, where)

    def to_pandas(self, columns: Sequence[str] | None = None, where: str | None = None) -> pd.DataFrame:
        """Read columns and rows into memory as a `pandas.DataFrame`; pandas must be installed.

        Args:
            columns: Names of columns; None reads all.
            where: A condition in DuckDB's SQL, as for `to_arrow`.

        Raises:
            InputError: For an unknown column, or a condition that DuckDB rejects.

        Examples:
            >>> import artylyze
            >>> catalog = artylyze.open_catalog("catalog")
            >>> frame = catalog.to_pandas(["image_id", "genre", "genre_score"], where="status = 'ok'")
            >>> best = frame.sort_values("genre_score", ascending=False)
        """
        return self.to_arrow(columns, where).to_pandas()

    def embeddings(self) -> tuple[list[str], npt.NDArray[np.float32]]:
        """Return ids and embeddings of the images that could be read.

        Returns:
            The n image ids, and their embeddings, float32 (n, d), in the same order.

        Examples:
            >>> import artylyze
            >>> ids, matrix = artylyze.open_catalog("catalog").embeddings()
            >>> matrix.shape[0] == len(ids)
            True
        """
        return read_embeddings(self.address, self._snapshot)

    def failures(self, *, warnings: bool = False) -> list[dict[str, Any]]:
        """Return a row for each image that could not be read, as `artylyze failures` lists them.

        Args:
            warnings: List the images that were read with warnings instead.

        Returns:
            Dicts with image_id, record_id, uri, error_code and error_detail; with `warnings` the last two are warnings,
            a list of names, and warning, a sentence or None.

        Examples:
            >>> import artylyze
            >>> for row in artylyze.open_catalog("catalog").failures():
            ...     print(row["image_id"], row["error_code"])
            broken.jpg truncated
        """
        return list(read_failures(self.address, self._snapshot, warnings=warnings))

    def search(
        self,
        *,
        like: StrPath | None = None,
        text: str | None = None,
        color: str | Sequence[str] = (),
        where: str | None = None,
        k: int = 20,
        model: StrPath | None = None,
        output: StrPath | None = None,
    ) -> Results:
        """Find works that are like one, have words or colours, or meet a condition, as `search` does.

        What a search reads is kept for the next one, which then takes milliseconds.

        Args:
            like: A record or image of the catalog, or the file or address of any image.
            text: Words of titles, artists and all your own columns.
            color: Colours such as `#7a5c2e`, one or several.
            where: A condition on the columns in DuckDB's SQL.
            k: Number of works.
            model: The model that tagged the catalog, for an image that is not in it; None looks for it.
            output: A file to write: a contact sheet (.png), .csv, .json or .parquet; None writes none.

        Raises:
            UsageError: If nothing is looked for, or a colour is not written as `#7a5c2e`.
            InputError: As `search` does.

        Examples:
            >>> import artylyze
            >>> catalog = artylyze.open_catalog("catalog")
            >>> for work in catalog.search(text="work", where="metadata.artist = 'Artist 2'", k=2):
            ...     print(work["title"], work["artist"])
            Work 8 Artist 2
            Work 9 Artist 2
        """
        from artylyze.api.searching import run_search

        return run_search(lambda: self._searcher, like, text, color, where, k, model, output)

    def index(
        self, *, to: tuple[str, StrPath] | None = None, rebuild: bool = False, progress: bool | Watcher = True
    ) -> Output:
        """Make the index that searches use, or bring it up to date, as `index` does.

        Args:
            to: `("lance", ADDRESS)` writes the works into a LanceDB table in a folder or in object storage instead.
            rebuild: Make it anew, whatever is there.
            progress: True shows progress on a terminal or in a notebook, False nothing.

        Examples:
            >>> import artylyze
            >>> artylyze.open_catalog("catalog").index().figures["rows"]
            23
        """
        from artylyze.api.searching import index

        return index(self, to=to, rebuild=rebuild, progress=progress)

    @cached_property
    def _searcher(self) -> Searcher:
        from artylyze.searching.search import Searcher

        return Searcher(self.address, self._snapshot)


def open_catalog(address: str | os.PathLike[str]) -> Catalog:
    """Open a catalog that `tag` wrote.

    Args:
        address: Its folder, or `s3://`, `gs://` or `az://bucket/prefix`.

    Raises:
        InputError: If there is no complete catalog at this address.
        StorageError: If the storage refuses or does not answer.

    Examples:
        >>> import artylyze
        >>> artylyze.open_catalog("catalog")
        Catalog('catalog': 24 images, 1 error)
    """
    where = os.fspath(address)
    return Catalog(where, read_snapshot(where))
