r"""Which row of a table describes which image: the one join of scans, tags, curation and profiles.

It knows names and paths, nothing of what rows say. DuckDB does the work, by hash joins on whole strings alone: a name
that a million files share costs no more than others.

A row names an image if their paths agree from the end: `C:\scans\north\0001.tif` names `north/0001.jpg`. The longest
common tail counts, for the image and for the row alike; of tails as long, the one spelled as the file is. What two
images of different names, or two values, could claim with the same right stays unmatched and is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artylyze.collection.join_names import folded, known_stem_of, path_of, record_of, stem_of, without_scheme
from artylyze.collection.join_tails import match_tails
from artylyze.errors import InputError
from artylyze.tables import count, literal, value_of
from artylyze.wording import counted, shortened

if TYPE_CHECKING:
    import duckdb

_SEPARATORS = (";", "|", ",", "\n")


@dataclass(frozen=True)
class Matching:
    """What a join came to.

    Attributes:
        column: of the table, that names the images.
        rows: of the table; each is one of the next four.
        joined: rows that describe an image.
        repeated: rows whose images another row describes as well or better.
        ambiguous: rows that could mean images of several names, or whose image another row could mean as well.
        unmatched: rows that name no image.
        images: how many there are.
        described: images that a row describes.
        ambiguous_images: images that are not described because it is ambiguous which row means them.
        notes: sentences on what did not match and what to do about it.
    """

    column: str
    rows: int
    joined: int
    repeated: int
    ambiguous: int
    unmatched: int
    images: int
    described: int
    ambiguous_images: int
    notes: tuple[str, ...]


def name_images(database: duckdb.DuckDBPyConnection) -> None:
    """Fill the table `image_names` from `images` (image_id, uri, record_id); `image` is the row of an image in it."""
    address = f"ltrim({without_scheme('nfc_normalize(uri)')}, '/')"
    database.execute(
        f"""
        CREATE OR REPLACE TABLE image_names AS
        WITH named AS (
            SELECT rowid AS image, nfc_normalize(image_id) AS key, {address} AS address FROM images)
        SELECT image, key, coalesce(address, key) AS path,
               CASE WHEN ends_with(address, key) THEN key ELSE coalesce(address, key) END AS below,
               {folded(stem_of("split_part(coalesce(address, key), '/', -1)"))} AS base
        FROM named
        """
    )


def column_that_names(database: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> str | None:
    """Return the column of `catalogue` that names most images; of several, the one with most values, then the first."""
    values = ", ".join(value_of(column) for column in columns)
    base = folded(known_stem_of(f"split_part({path_of('value')}, '/', -1)"))
    best = database.execute(
        f"""
        WITH cells AS (
            SELECT unnest(range({len(columns)})) AS place, unnest([{values}]) AS value FROM catalogue
        ), given AS (
            SELECT DISTINCT place, value, {record_of("value")} AS record, {base} AS base FROM cells WHERE value <> ''
        ), forms AS (
            SELECT base AS form, count(*) AS images FROM image_names GROUP BY base
        ), records AS (
            SELECT lower({record_of("record_id")}) AS form, count(*) AS images FROM images GROUP BY 1
        )
        SELECT place, count(*) AS several,
               sum(greatest(coalesce(forms.images, 0), coalesce(records.images, 0))) AS named
        FROM given LEFT JOIN forms ON forms.form = base LEFT JOIN records ON records.form = lower(record)
        GROUP BY place HAVING named > 0 ORDER BY named DESC, several DESC, place LIMIT 1
        """
    ).fetchall()
    return columns[best[0][0]] if best else None


def match(
    database: duckdb.DuckDBPyConnection,
    column: str,
    *,
    separator: str | None = None,
    prefer: str = "row",
    labels: str = "the table",
    images: str = "the images",
) -> Matching:
    """Fill the table `found` (image, row) with the row of `catalogue` that describes each image.

    Args:
        database: has `images`, `catalogue`, and `image_names` (of `name_images`).
        column: of `catalogue`, that names images or their records.
        separator: between several names in a cell; None: a cell is one name.
        prefer: SQL that orders rows of one name, the best first: columns of `catalogue` and `images`.
        labels: what the table is called in notes.
        images: what the images are called in notes.
    """
    _name_rows(database, column, separator)
    database.execute(
        """
        CREATE OR REPLACE TABLE matched (image BIGINT, value BIGINT);
        CREATE OR REPLACE TABLE torn (image BIGINT);
        CREATE OR REPLACE TABLE torn_values (value BIGINT);
        """
    )
    _match_whole(database)
    _match_records(database)
    match_tails(database)
    _choose(database, prefer)
    return _account(database, column, separator, labels, images)


def _name_rows(database: duckdb.DuckDBPyConnection, column: str, separator: str | None) -> None:
    """Fill `named` (row, value) and `values` (value, raw, path) with the names that rows give."""
    cell = value_of(column)
    parts = cell if separator is None else f"unnest(string_split({cell}, {literal(separator)}))"
    database.execute(
        f"""
        CREATE OR REPLACE TABLE cells AS
        SELECT row, raw, {path_of("raw")} AS path FROM (
            SELECT row, {record_of("part")} AS raw FROM (SELECT row, {parts} AS part FROM catalogue))
        WHERE raw IS NOT NULL;
        CREATE OR REPLACE TABLE names AS
        SELECT row_number() OVER () AS value, path, min(raw) AS raw FROM cells GROUP BY path;
        CREATE OR REPLACE TABLE named AS SELECT DISTINCT row, value FROM cells JOIN names USING (path);
        """
    )


def _match_whole(database: duckdb.DuckDBPyConnection) -> None:
    """Match names that are the whole key or the whole address of an image."""
    database.execute(
        """
        INSERT INTO matched SELECT image, value FROM names JOIN image_names ON names.path = key;
        INSERT INTO matched SELECT image, value FROM names JOIN image_names USING (path)
        ANTI JOIN matched USING (image) WHERE path <> key;
        INSERT INTO matched SELECT images.rowid, value FROM names JOIN images ON raw = image_id
        ANTI JOIN matched ON matched.image = images.rowid;
        """
    )


def _match_records(database: duckdb.DuckDBPyConnection) -> None:
    """Match names that are the record id of images, which several may share; in any letter case if that is unique."""
    for fold in ("{}", "lower({})"):
        database.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE met AS
            WITH i AS (
                SELECT {fold.format("record")} AS form, min(record) = max(record) AS one
                FROM (SELECT {record_of("record_id")} AS record FROM images) WHERE record IS NOT NULL GROUP BY 1
            ), v AS (
                SELECT {fold.format("raw")} AS form, min(value) AS value, count(*) = 1 AS one
                FROM names ANTI JOIN matched USING (value) GROUP BY 1
            )
            SELECT form, value FROM i JOIN v USING (form) WHERE i.one AND v.one;
            INSERT INTO matched
            SELECT image, value FROM (
                SELECT rowid AS image, {fold.format(record_of("record_id"))} AS form FROM images) JOIN met USING (form)
            ANTI JOIN matched USING (image);
            """
        )


def _choose(database: duckdb.DuckDBPyConnection, prefer: str) -> None:
    """Fill `pairs` with all rows that name an image, and `found` with the best of them."""
    database.execute(
        f"""
        CREATE OR REPLACE TABLE pairs AS SELECT image, row FROM matched JOIN named USING (value);
        CREATE OR REPLACE TEMP TABLE several AS SELECT image FROM pairs GROUP BY 1 HAVING count(*) > 1;
        CREATE OR REPLACE TABLE found AS
        SELECT image, row FROM pairs ANTI JOIN several USING (image)
        UNION ALL
        SELECT image, row FROM pairs SEMI JOIN several USING (image) JOIN catalogue USING (row)
        JOIN images ON images.rowid = image
        QUALIFY row_number() OVER (PARTITION BY image ORDER BY {prefer}, row) = 1
        """
    )


def _account(
    database: duckdb.DuckDBPyConnection, column: str, separator: str | None, labels: str, images: str
) -> Matching:
    rows = count(database, "SELECT count(*) FROM catalogue")
    joined = count(database, "SELECT count(DISTINCT row) FROM found")
    ambiguous = count(
        database, "SELECT count(DISTINCT row) FROM named JOIN torn_values USING (value) ANTI JOIN pairs USING (row)"
    )
    naming = count(
        database,
        f"""
        SELECT count(DISTINCT row) FROM (
            SELECT row FROM pairs UNION ALL
            SELECT row FROM named JOIN names USING (value) ANTI JOIN torn_values USING (value)
            WHERE NOT contains(path, '/') AND {folded(known_stem_of("path"))} IN (
                SELECT base FROM image_names SEMI JOIN matched USING (image)))
        """,
    )
    counts = {
        "images": count(database, "SELECT count(*) FROM images"),
        "described": count(database, "SELECT count(*) FROM found"),
        "ambiguous_images": count(database, "SELECT count(DISTINCT image) FROM torn"),
    }
    unmatched = rows - naming - ambiguous
    matching = Matching(column, rows, joined, naming - joined, ambiguous, unmatched, **counts, notes=())
    notes = [
        *_on_ambiguity(database, matching, labels),
        *_on_little(database, matching, labels, images),
        *(_on_separators(database, labels) if separator is None and unmatched else ()),
    ]
    return Matching(column, rows, joined, naming - joined, ambiguous, unmatched, **counts, notes=tuple(notes))


def _on_ambiguity(database: duckdb.DuckDBPyConnection, matching: Matching, labels: str) -> list[str]:
    if not matching.ambiguous_images:
        return []
    example = database.execute(
        """
        SELECT image_id, raw FROM torn JOIN images ON images.rowid = image JOIN reached_images USING (image)
        JOIN reached_values USING (tail) JOIN torn_values USING (value) JOIN names USING (value)
        ORDER BY image_id, raw LIMIT 2
        """
    ).fetchall()
    were = "was" if matching.ambiguous_images == 1 else "were"
    such = f" (such as {example[0][0]!r}, and '{shortened(example[0][1])}' in the table)" if example else ""
    return [
        f"{counted(matching.ambiguous_images, 'image')} {were} left unmatched: several files or several rows of "
        f"{labels} have the same name{such}. Add their folders to its column '{matching.column}'."
    ]


def _on_little(database: duckdb.DuckDBPyConnection, matching: Matching, labels: str, images: str) -> list[str]:
    """Show a value and a file name side by side where fewer than half of the rows or of the images match."""
    if matching.described * 2 >= matching.images and (matching.rows - matching.unmatched) * 2 >= matching.rows:
        return []
    value = database.execute(
        """
        SELECT raw FROM names JOIN named USING (value) ANTI JOIN pairs USING (row) ANTI JOIN torn_values USING (value)
        ORDER BY row LIMIT 1
        """
    ).fetchall()
    image = database.execute(
        "SELECT min(image_id) FROM images ANTI JOIN found ON image = images.rowid "
        "ANTI JOIN torn ON torn.image = images.rowid"
    ).fetchall()[0][0]
    if not value or image is None:
        return []
    return [
        f"Only {counted(matching.described, 'image')} of {matching.images:,} in {images} and "
        f"{counted(matching.joined + matching.repeated, 'row')} of {matching.rows:,} in {labels} match. Unmatched, "
        f"for example: '{matching.column}' is '{shortened(value[0][0])}', a file is {image!r}."
    ]


def _on_separators(database: duckdb.DuckDBPyConnection, labels: str) -> list[str]:
    """Name the separator by which cells that match nothing would match, if there is one."""
    base = folded(known_stem_of(f"split_part({path_of('part')}, '/', -1)"))
    options = ", ".join(literal(mark) for mark in _SEPARATORS)
    best = database.execute(
        f"""
        WITH left_over AS (
            SELECT DISTINCT value, raw FROM names JOIN named USING (value) ANTI JOIN pairs USING (row)
            ANTI JOIN torn_values USING (value) LIMIT 10000
        ), parts AS (
            SELECT value, raw, mark, unnest(string_split(raw, mark)) AS part
            FROM left_over, (SELECT unnest([{options}]) AS mark) WHERE contains(raw, mark)
        ), hits AS (
            SELECT DISTINCT value, raw, mark FROM parts
            WHERE {base} IN (SELECT base FROM image_names)
        )
        SELECT mark, count(*) AS cells, min(raw) FROM hits GROUP BY mark ORDER BY cells DESC, mark LIMIT 1
        """
    ).fetchall()
    if not best:
        return []
    mark, cells, example = best[0]
    return [
        f"{counted(cells, 'cell')} of {labels} {'names' if cells == 1 else 'name'} several files (such as "
        f"'{shortened(example)}'): give `file_separator={mark!r}` to match each of them."
    ]


def nothing_matched(database: duckdb.DuckDBPyConnection, matching: Matching, labels: str, images: str) -> InputError:
    """Return the error for a table none of whose rows describes an image, with a value and a file name side by side."""
    value = database.execute("SELECT raw FROM names JOIN named USING (value) ORDER BY row LIMIT 1").fetchall()
    image = database.execute("SELECT min(image_id) FROM images").fetchall()[0][0]
    given = f"'{matching.column}' is like '{shortened(value[0][0])}'" if value else f"'{matching.column}' is empty"
    notes = " ".join(note for note in matching.notes if not note.startswith("Only "))
    return InputError(
        f"No row of {labels} names an image of {images}: its {given}, the images are like {image!r}. "
        f"{notes or 'Say with `id_column` or `file_column` which column names them.'}"
    )
