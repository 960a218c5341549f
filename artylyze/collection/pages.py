"""A row for each page of the documents in a collection: TIFF of several pages, and PDF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from artylyze.collection.join_names import sql_stem
from artylyze.storage import split_page
from artylyze.workers.fetching import Fetches, FetchThreads, Refusals, Source
from artylyze.workers.process import ImageProcess
from artylyze.workers.protocol import Seen

if TYPE_CHECKING:
    import duckdb

    from artylyze.errors import ImageError

DOCUMENTS = (".pdf", ".tif", ".tiff", ".btf", ".tf8")
"""Extensions of files that may hold several pages, in lower case."""

BATCH = 4_096
"""Files whose pages are counted together."""


def add_pages(database: duckdb.DuckDBPyConnection) -> int:
    """Replace each document of the table `images` by its pages, and return the number of documents.

    `a.pdf` of three pages becomes `a.pdf#page=1` to `#page=3`, ids and addresses; the pages share its record, and its
    size. A file that cannot be read, or has one page, stays as it is.

    Raises:
        ChildStartError: if the process that counts does not start.
    """
    ends = " OR ".join(f"lower(uri) LIKE '%{extension}'" for extension in DOCUMENTS)
    files = database.execute(f"SELECT uri, validator, size FROM images WHERE {ends} ORDER BY uri")
    counts: dict[str, int] = {}
    threads = FetchThreads()
    try:
        with ImageProcess(0) as process:
            while batch := files.fetchmany(BATCH):
                counts |= _count(process, threads, [Source(*file) for file in batch])
    finally:
        threads.close()
    database.register("counted", pa.table({"uri": list(counts), "pages": list(counts.values())}, _COUNTED))
    database.execute(
        f"""
        CREATE OR REPLACE TABLE images AS
        SELECT image_id || mark AS image_id, uri || mark AS uri, size // pages AS size, validator,
               coalesce(record_id, {sql_stem("image_id")}) AS record_id, row
        FROM (SELECT images.*, pages, unnest(CASE WHEN pages > 1 THEN list_transform(range(1, pages + 1),
                     lambda number: '#page=' || number) ELSE [''] END) AS mark
              FROM (SELECT images.*, coalesce(counted.pages, 1) AS pages
                    FROM images LEFT JOIN counted USING (uri)) AS images)
        """
    )
    return len(counts)


_COUNTED = pa.schema([("uri", pa.string()), ("pages", pa.int64())])


def _count(process: ImageProcess, threads: FetchThreads, sources: list[Source]) -> dict[str, int]:
    """The numbers of pages, by address, of those that have several."""
    outcomes: list[Seen | ImageError | None] = [None] * len(sources)
    process.run(Fetches(threads, sources), outcomes, Refusals(None), lambda *_: None)
    return {
        split_page(source.uri)[0]: seen.pages
        for source, seen in zip(sources, outcomes, strict=True)
        if isinstance(seen, Seen) and seen.pages > 1
    }
