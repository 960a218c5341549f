"""Searching a catalog, for Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from artylyze.api.arguments import Output, StrPath, optional, several
from artylyze.progress import Watcher, watching

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from artylyze.searching.search import Hits, Searcher


@dataclass(frozen=True)
class Results:
    """The works that a search returned, the best first.

    It has a length, is iterated over as dicts, and prints what the command prints.

    Attributes:
        searched: Number of works that the conditions let through and that can be compared.
        files: Files that were written.
    """

    searched: int
    files: tuple[str, ...]
    _hits: Hits = field(repr=False)

    def __len__(self) -> int:
        return int(self._hits.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        from artylyze.searching.results import as_rows

        return as_rows(self._hits)

    def __str__(self) -> str:
        from artylyze.searching.results import describe

        return describe(self._hits)

    def to_arrow(self) -> pa.Table:
        """Return the works as a `pyarrow.Table`: rank, scores, and the columns of the catalog but the embedding.

        Examples:
            >>> import artylyze
            >>> results = artylyze.search("catalog", like="000", k=3)
            >>> results.to_arrow().column_names[:3]
            ['rank', 'likeness', 'image_id']
        """
        return self._hits.table

    def to_pandas(self) -> pd.DataFrame:
        """Return the same as a `pandas.DataFrame`; pandas must be installed.

        Examples:
            >>> import artylyze
            >>> frame = artylyze.search("catalog", text="work 3", k=3).to_pandas()
            >>> frame["rank"].tolist()
            [1, 2, 3]
        """
        return self.to_arrow().to_pandas()

    def as_dict(self) -> dict[str, Any]:
        """Return what the command prints with `--json`.

        Examples:
            >>> import artylyze
            >>> artylyze.search("catalog", text="work 12", k=1).as_dict()["search"]
            {'text': 'work 12', 'k': 1}
        """
        from artylyze.searching.results import as_dict

        return as_dict(self._hits)

    def print_csv(self, file: TextIO) -> None:
        """Print the works to an open text file as CSV, the fields of `metadata` as columns of their own.

        Examples:
            >>> import artylyze, io
            >>> out = io.StringIO()
            >>> artylyze.search("catalog", text="work 12", k=1).print_csv(out)
            >>> out.getvalue().startswith("rank,text,image_id,record_id,title")
            True
        """
        from artylyze.searching.results import print_csv

        print_csv(self._hits, file)

    def write(self, output: StrPath) -> None:
        """Write the works to a file: a contact sheet (.png), a table (.csv, .parquet), or .json.

        Args:
            output: Path or address of the file; beside a contact sheet goes a .json file of what is on it.

        Raises:
            UsageError: For a file of another kind.

        Examples:
            >>> import artylyze
            >>> artylyze.search("catalog", like="000").write("alike.png")
        """
        from artylyze.searching.results import check_target, write_results

        check_target(os.fspath(output))
        write_results(self._hits, os.fspath(output))


def search(
    catalog: StrPath,
    *,
    like: StrPath | None = None,
    text: str | None = None,
    color: str | Sequence[str] = (),
    where: str | None = None,
    k: int = 20,
    model: StrPath | None = None,
    output: StrPath | None = None,
    progress: bool | Watcher = True,
) -> Results:
    """Find works that are like one, have words or colours, or meet a condition.

    Several of these combine: `where` leaves works out, the others rank those that stay. The first search makes an index
    of the catalog.

    Args:
        catalog: The catalog.
        like: A record or image of the catalog, or the file or address of any image.
        text: Words of titles, artists and all your own columns; letter case, accents and small misspellings do not
            matter.
        color: Colours such as `#7a5c2e`, one or several.
        where: A condition on the columns in DuckDB's SQL, such as `genre = 'portrait' and metadata.date < '1700'`.
        k: Number of works.
        model: The model that tagged the catalog, for an image that is not in it; None looks for it on this machine.
        output: A file to write: a contact sheet (.png), .csv, .json or .parquet; None writes none.
        progress: True shows progress on a terminal or in a notebook, False nothing.

    Returns:
        The works, the best first.

    Raises:
        UsageError: If nothing is looked for, or a colour is not written as `#7a5c2e`.
        InputError: For a record that there is not, an image or a model that cannot be used, or a condition that DuckDB
            rejects.

    Examples:
        >>> import artylyze
        >>> results = artylyze.search("catalog", like="000", where="genre_score > 0.2", k=3)
        >>> [work["rank"] for work in results]
        [1, 2, 3]
        >>> best = next(iter(artylyze.search("catalog", text="work 12")))
        >>> best["record_id"], best["title"]
        ('012', 'Work 12')
    """
    from artylyze.searching.search import Searcher

    with watching(progress) as watcher:
        return run_search(
            lambda: Searcher.open(os.fspath(catalog), watcher), like, text, color, where, k, model, output
        )


def run_search(
    opened: Callable[[], Searcher],
    like: StrPath | None,
    text: str | None,
    color: str | Sequence[str],
    where: str | None,
    k: int,
    model: StrPath | None,
    output: StrPath | None,
) -> Results:
    """Check what is looked for and where it goes; then open a catalog and search it."""
    from artylyze.searching.results import check_target, write_results
    from artylyze.searching.search import SearchRequest

    request = SearchRequest(optional(like), text, several(color), where, k, optional(model))
    target = optional(output)
    if target is not None:
        check_target(target)
    hits = opened().search(request)
    files = () if target is None else tuple(write_results(hits, target))
    return Results(hits.searched, files, hits)


def index(
    catalog: StrPath,
    *,
    to: tuple[str, StrPath] | None = None,
    rebuild: bool = False,
    progress: bool | Watcher = True,
) -> Output:
    """Make the index that searches use, or bring it up to date.

    The first search does so too. An index lies in the catalog; after an update only new parts are read.

    Args:
        catalog: The catalog.
        to: `("lance", ADDRESS)` writes the works into a LanceDB table in a folder or in object storage instead.
        rebuild: Make it anew, whatever is there.
        progress: True shows progress on a terminal or in a notebook, False nothing.

    Returns:
        The catalog (or the database), and in `figures` the number of works in it that can be compared.

    Raises:
        UsageError: For another kind of index than `lance`.
        InputError: If there is no catalog, its embeddings are of two models, or a part is damaged.
        StorageError: If the storage cannot be written to.

    Examples:
        >>> import artylyze
        >>> made = artylyze.index("catalog")
        >>> made.figures["rows"]
        23
    """
    from dataclasses import asdict

    from artylyze.errors import UsageError
    from artylyze.searching.index import build_index, describe

    where = os.fspath(catalog)
    if to is not None:
        from artylyze.searching import lance

        kind, address = to[0], os.fspath(to[1])
        if kind != "lance":
            raise UsageError(f"`to={kind!r}` is not an index that can be written: `lance` is.")
        with watching(progress) as watcher:
            table = lance.write_lance(where, address, rebuild=rebuild, watcher=watcher)
        return Output(address, {"catalog": where, **asdict(table)}, lance.describe(table))
    with watching(progress) as watcher:
        built = build_index(where, rebuild=rebuild, watcher=watcher)
    return Output(where, {"catalog": where, **asdict(built)}, describe(where, built))
