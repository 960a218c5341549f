"""How a catalogue names images: which column does, in which of several ways, and which row is the image's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from artylyze.collection import stem_of
from artylyze.tables import value_of

if TYPE_CHECKING:
    import duckdb

_BASE = "regexp_replace({}, '^.*/', '')"
_CLEAN = "nfc_normalize(regexp_replace(replace({}, '\\', '/'), '^[./]+', ''))"

# The ways in which a value may name an image, the most exact first. The last, which `_pairs` adds, is the file name of
# a path that was recorded below another root.
_FORMS = (
    (0, "key"),
    (0, _CLEAN.format("uri")),
    (1, _CLEAN.format("record_id")),
    (2, stem_of("key")),
    (3, _BASE.format("key")),
    (4, _BASE.format(stem_of("key"))),
)
_FILE_NAME, _LAST = 3, 5


def clean(value: str) -> str:
    """Return SQL for a value as a name of an image: forward slashes, no `./` before it, composed letters."""
    return _CLEAN.format(value)


def make_forms(database: duckdb.DuckDBPyConnection) -> None:
    """Fill the table `forms` with all that may name an image of the table `images`."""
    forms = " UNION ALL ".join(f"SELECT image_id, {form} AS form, {level} AS level FROM keys" for level, form in _FORMS)
    database.execute(
        f"""
        CREATE TABLE forms AS
        WITH keys AS (SELECT image_id, nfc_normalize(image_id) AS key, uri, record_id FROM images)
        SELECT image_id, form, min(level) AS level FROM ({forms}) WHERE form <> '' GROUP BY image_id, form
        """
    )


def _pairs(column: str) -> str:
    """Return SQL for (image_id, row, level) of all rows that name an image by a column."""
    return f"""
        WITH names AS (SELECT row, {_CLEAN.format(value_of(column))} AS name FROM catalogue)
        SELECT image_id, row, min(level) AS level FROM (
            SELECT image_id, row, level FROM names JOIN forms ON form = name
            UNION ALL
            SELECT image_id, row, {_LAST} FROM names JOIN forms ON form = {_BASE.format("name")}
            WHERE level = {_FILE_NAME} AND contains(name, '/')
        ) GROUP BY image_id, row
    """


def detect(database: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> str | None:
    """Return the column that names most images; of several, the one with most values, then the first."""
    scores = []
    for number, column in enumerate(columns):
        images = count(database, f"SELECT count(DISTINCT image_id) FROM ({_pairs(column)})")
        values = count(database, f"SELECT count(DISTINCT {value_of(column)}) FROM catalogue")
        scores.append((-images, -values, number))
    best = min(scores)
    return columns[best[2]] if best[0] else None


def find(database: duckdb.DuckDBPyConnection, column: str, values: Mapping[str, str]) -> int:
    """Fill `found` (image_id, row) with each image's own row of the table `catalogue`.

    It is the row that names the image most exactly, then the one that says most, whatever the order of rows.

    Args:
        database: has the tables `forms` and `catalogue`.
        column: of `catalogue` that names images.
        values: SQL of the columns that the row is wanted for.

    Returns:
        How many rows name an image.
    """
    missing = " + ".join(f"({value} IS NULL)::INT" for value in values.values())
    database.execute(
        f"""
        CREATE OR REPLACE TABLE pairs AS {_pairs(column)};
        CREATE OR REPLACE TABLE found AS
        SELECT image_id, row FROM pairs JOIN catalogue USING (row) JOIN images USING (image_id)
        QUALIFY row_number() OVER (
            PARTITION BY image_id ORDER BY level, {missing}, concat_ws(chr(31), {", ".join(values.values())}), row) = 1
        """
    )
    return count(database, "SELECT count(DISTINCT row) FROM pairs")


def count(database: duckdb.DuckDBPyConnection, query: str) -> int:
    """Return the one number that a query gives."""
    return int(database.execute(query).fetchall()[0][0])
