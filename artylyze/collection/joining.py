r"""Which row of a table describes which image: the join of scans, tags, curation and profiles.

DuckDB does the work, by hash joins on whole strings only: a name that a million files share costs no more than others.

A row names an image if the ends of their paths are equal: `C:\scans\north\0001.tif` names `north/0001.jpg`. The longest
common tail wins, for the image and for the row; of equally long tails, the one spelled like the file. Ambiguous rows
and images stay unmatched and are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artylyze.collection.join_names import folded, sql_image_stem, sql_path, sql_record, sql_stem, sql_without_scheme
from artylyze.errors import InputError
from artylyze.tables import count, literal, sql_value
from artylyze.wording import counted, shortened

if TYPE_CHECKING:
    import duckdb

_SEPARATORS = (";", "|", ",", "\n")

_DEEPEST = 24
"""Folders of a path that are compared."""


@dataclass(frozen=True)
class Matching:
    """The result of a join.

    Attributes:
        column: of the table, that names the images.
        rows: of the table, each of one of the next four kinds.
        joined: rows that describe an image.
        repeated: rows whose images another row describes at least as well.
        ambiguous: rows that match images of several names, or whose image another row matches equally well.
        unmatched: rows that name no image.
        images: number of images.
        described: images that a row describes.
        ambiguous_images: images that several rows match equally well; none describes them.
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
    address = f"ltrim({sql_without_scheme('nfc_normalize(uri)')}, '/')"
    database.execute(
        f"""
        CREATE OR REPLACE TABLE image_names AS
        WITH named AS (
            SELECT rowid AS image, nfc_normalize(image_id) AS key, {address} AS address FROM images)
        SELECT image, key, coalesce(address, key) AS path,
               CASE WHEN ends_with(address, key) THEN key ELSE coalesce(address, key) END AS below,
               {folded(sql_stem("split_part(coalesce(address, key), '/', -1)"))} AS base
        FROM named
        """
    )


def find_naming_column(database: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> str | None:
    """Return the column of `catalogue` that names most images; of equal ones that with most values, then the first."""
    values = ", ".join(sql_value(column) for column in columns)
    base = folded(sql_image_stem(f"split_part({sql_path('value')}, '/', -1)"))
    best = database.execute(
        f"""
        WITH cells AS (
            SELECT unnest(range({len(columns)})) AS place, unnest([{values}]) AS value FROM catalogue
        ), given AS (
            SELECT DISTINCT place, value, {sql_record("value")} AS record, {base} AS base FROM cells WHERE value <> ''
        ), forms AS (
            SELECT base AS form, count(*) AS images FROM image_names GROUP BY base
        ), records AS (
            SELECT lower({sql_record("record_id")}) AS form, count(*) AS images FROM images GROUP BY 1
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
    """Fill the table `matches` (image, row) with the row of `catalogue` that describes each image.

    Args:
        database: has `images`, `catalogue`, and `image_names` (of `name_images`).
        column: of `catalogue`, that names images or their records.
        separator: between several names in a cell; None: a cell is one name.
        prefer: SQL that orders rows of the same name, the best first: columns of `catalogue` and `images`.
        labels: name of the table in notes.
        images: name of the images in notes.
    """
    _list_names(database, column, separator)
    database.execute(
        """
        CREATE OR REPLACE TABLE matched (image BIGINT, value BIGINT);
        CREATE OR REPLACE TABLE ambiguous_files (image BIGINT);
        CREATE OR REPLACE TABLE ambiguous_values (value BIGINT);
        """
    )
    _match_whole(database)
    _match_records(database)
    _match_tails(database)
    _choose(database, prefer)
    return _summarise(database, column, separator, labels, images)


def _list_names(database: duckdb.DuckDBPyConnection, column: str, separator: str | None) -> None:
    """Fill `named` (row, value) and `names` (value, path, raw) with the names in the rows."""
    cell = sql_value(column)
    parts = cell if separator is None else f"unnest(string_split({cell}, {literal(separator)}))"
    database.execute(
        f"""
        CREATE OR REPLACE TABLE cells AS
        SELECT row, raw, {sql_path("raw")} AS path FROM (
            SELECT row, {sql_record("part")} AS raw FROM (SELECT row, {parts} AS part FROM catalogue))
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
    """Match names that are record ids, which several images may share; in any letter case if that is unique."""
    for fold in ("{}", "lower({})"):
        database.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE common_forms AS
            WITH i AS (
                SELECT {fold.format("record")} AS form, min(record) = max(record) AS is_unique
                FROM (SELECT {sql_record("record_id")} AS record FROM images) WHERE record IS NOT NULL GROUP BY 1
            ), v AS (
                SELECT {fold.format("raw")} AS form, min(value) AS value, count(*) = 1 AS is_unique
                FROM names ANTI JOIN matched USING (value) GROUP BY 1
            )
            SELECT form, value FROM i JOIN v USING (form) WHERE i.is_unique AND v.is_unique;
            INSERT INTO matched
            SELECT image, value FROM (
                SELECT rowid AS image, {fold.format(sql_record("record_id"))} AS form FROM images)
            JOIN common_forms USING (form) ANTI JOIN matched USING (image);
            """
        )


def _match_tails(database: duckdb.DuckDBPyConnection) -> None:
    """Match the remaining names and images by the longest common tail of their paths."""
    _reach(database)
    folders = (
        "SELECT unnest(string_split(lower(folder), '/')[:-2]) "
        "FROM (SELECT DISTINCT regexp_replace({0}, '[^/]*$', 'x') AS folder FROM {1})"
    )
    image_dirs, value_dirs = folders.format("below", "image_names"), folders.format("path", "names")
    exact, stem = "array_to_string(parts[-depth:], '/')", sql_stem("array_to_string(parts[-depth:], '/')")
    database.execute(
        f"""
        CREATE OR REPLACE TABLE free_images AS
        SELECT image, tail, {exact} AS exact, {stem} AS stem, {sql_stem("path")} AS whole,
               coalesce(lower(string_split(below, '/')[-depth - 1]) IN ({value_dirs}), false) AS closed
        FROM (SELECT *, string_split(path, '/') AS parts FROM reached_images JOIN image_names USING (image));
        CREATE OR REPLACE TABLE free_values AS
        SELECT value, tail, {exact} AS exact, {sql_image_stem(exact)} AS stem, len(parts) = depth AS complete,
               coalesce(lower(parts[-depth - 1]) IN ({image_dirs}), false) AS closed
        FROM (SELECT *, string_split(path, '/') AS parts FROM reached_values JOIN names USING (value));
        """
    )
    for complete in (True, False):
        for form in ("exact", "stem", "lower(exact)", "tail"):
            _match_form(database, form, complete=complete)


def _reach(database: duckdb.DuckDBPyConnection) -> None:
    """Fill `reached_images` and `reached_values` (..., tail, depth) with the longest tail that the other side also has.

    Tails are compared without extension, letter case and percent encoding. Each step goes one folder up, with the
    images and names whose tails are still equal.
    """
    tail = "array_to_string(parts[-{0}:], '/')"
    database.execute(
        f"""
        CREATE OR REPLACE TABLE reached_images (image BIGINT, tail VARCHAR, depth BIGINT);
        CREATE OR REPLACE TABLE reached_values (value BIGINT, tail VARCHAR, depth BIGINT);
        CREATE OR REPLACE TEMP TABLE forms AS
        SELECT value, string_split(form, '/') AS parts FROM (
            SELECT value, {folded("path")} AS form FROM names ANTI JOIN matched USING (value)
            UNION SELECT value, {folded(sql_image_stem("path"))} FROM names ANTI JOIN matched USING (value));
        CREATE OR REPLACE TEMP TABLE places AS
        SELECT image, string_split({folded(sql_stem("path"))}, '/') AS parts
        FROM image_names ANTI JOIN matched USING (image)
        WHERE base IN (SELECT parts[-1] FROM forms);
        """
    )
    for depth in range(1, _DEEPEST + 1):
        database.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE common AS
            SELECT DISTINCT {tail.format(depth)} AS tail FROM forms WHERE len(parts) >= {depth}
            AND {tail.format(depth)} IN (SELECT {tail.format(depth)} FROM places WHERE len(parts) >= {depth})
            """
        )
        for table, name in (("places", "image"), ("forms", "value")):
            database.execute(
                f"""
                CREATE OR REPLACE TEMP TABLE further AS
                SELECT {name}, parts FROM {table} WHERE len(parts) >= {depth}
                AND {tail.format(depth)} IN (SELECT tail FROM common);
                INSERT INTO reached_{name}s
                SELECT {name}, any_value({tail.format(depth - 1)}), {depth - 1} FROM {table}
                ANTI JOIN further USING ({name}) WHERE {depth} > 1 GROUP BY {name};
                CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM further;
                """
            )
        if not count(database, "SELECT count(*) FROM places"):
            return
    for table, name in (("places", "image"), ("forms", "value")):
        database.execute(
            f"INSERT INTO reached_{name}s "
            f"SELECT {name}, min({tail.format(_DEEPEST)}), {_DEEPEST} FROM {table} GROUP BY 1"
        )


def _match_form(database: duckdb.DuckDBPyConnection, form: str, *, complete: bool) -> None:
    """Match images and names of the same tail whose form is equal, if exactly one name on each side has it."""
    database.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE common_forms AS
        WITH i AS (
            SELECT tail, {form} AS form, min(whole) = max(whole) AS is_unique FROM free_images
            {"" if complete else "WHERE NOT closed"} GROUP BY ALL
        ), v AS (
            SELECT tail, {form} AS form, min(value) AS value, count(*) = 1 AS is_unique FROM free_values
            WHERE {"complete" if complete else "NOT closed"} GROUP BY ALL
        )
        SELECT tail, form, value, i.is_unique AND v.is_unique AS is_unique FROM i JOIN v USING (tail, form);
        CREATE OR REPLACE TEMP TABLE settled AS
        SELECT image, common_forms.value, is_unique FROM (
            SELECT image, tail, {form} AS form FROM free_images {"" if complete else "WHERE NOT closed"}
        ) JOIN common_forms USING (tail, form);
        CREATE OR REPLACE TEMP TABLE settled_values AS
        SELECT free.value, is_unique FROM (
            SELECT value, tail, {form} AS form FROM free_values WHERE {"complete" if complete else "NOT closed"}
        ) AS free JOIN common_forms USING (tail, form);
        INSERT INTO matched SELECT image, value FROM settled WHERE is_unique;
        INSERT INTO ambiguous_files SELECT image FROM settled WHERE NOT is_unique;
        INSERT INTO ambiguous_values SELECT value FROM settled_values WHERE NOT is_unique;
        DELETE FROM free_images WHERE image IN (SELECT image FROM settled);
        DELETE FROM free_values WHERE value IN (SELECT value FROM settled_values);
        """
    )


def _choose(database: duckdb.DuckDBPyConnection, prefer: str) -> None:
    """Fill `pairs` with all rows that name an image, and `matches` with the best of them."""
    database.execute(
        f"""
        CREATE OR REPLACE TABLE pairs AS SELECT image, row FROM matched JOIN named USING (value);
        CREATE OR REPLACE TEMP TABLE several AS SELECT image FROM pairs GROUP BY 1 HAVING count(*) > 1;
        CREATE OR REPLACE TABLE matches AS
        SELECT image, row FROM pairs ANTI JOIN several USING (image)
        UNION ALL
        SELECT image, row FROM pairs SEMI JOIN several USING (image) JOIN catalogue USING (row)
        JOIN images ON images.rowid = image
        QUALIFY row_number() OVER (PARTITION BY image ORDER BY {prefer}, row) = 1
        """
    )


def _summarise(
    database: duckdb.DuckDBPyConnection, column: str, separator: str | None, labels: str, images: str
) -> Matching:
    rows = count(database, "SELECT count(*) FROM catalogue")
    joined = count(database, "SELECT count(DISTINCT row) FROM matches")
    ambiguous = count(
        database,
        "SELECT count(DISTINCT row) FROM named JOIN ambiguous_values USING (value) ANTI JOIN pairs USING (row)",
    )
    naming = count(
        database,
        f"""
        SELECT count(DISTINCT row) FROM (
            SELECT row FROM pairs UNION ALL
            SELECT row FROM named JOIN names USING (value) ANTI JOIN ambiguous_values USING (value)
            WHERE NOT contains(path, '/') AND {folded(sql_image_stem("path"))} IN (
                SELECT base FROM image_names SEMI JOIN matched USING (image)))
        """,
    )
    counts = {
        "images": count(database, "SELECT count(*) FROM images"),
        "described": count(database, "SELECT count(*) FROM matches"),
        "ambiguous_images": count(database, "SELECT count(DISTINCT image) FROM ambiguous_files"),
    }
    unmatched = rows - naming - ambiguous
    matching = Matching(column, rows, joined, naming - joined, ambiguous, unmatched, **counts, notes=())
    notes = [
        *_note_ambiguity(database, matching, labels),
        *_note_few_matches(database, matching, labels, images),
        *(_note_separators(database, labels) if separator is None and unmatched else ()),
    ]
    return Matching(column, rows, joined, naming - joined, ambiguous, unmatched, **counts, notes=tuple(notes))


def _note_ambiguity(database: duckdb.DuckDBPyConnection, matching: Matching, labels: str) -> list[str]:
    if not matching.ambiguous_images:
        return []
    example = database.execute(
        """
        SELECT image_id, raw FROM ambiguous_files JOIN images ON images.rowid = image JOIN reached_images USING (image)
        JOIN reached_values USING (tail) JOIN ambiguous_values USING (value) JOIN names USING (value)
        ORDER BY image_id, raw LIMIT 2
        """
    ).fetchall()
    were = "was" if matching.ambiguous_images == 1 else "were"
    such = f" (such as {example[0][0]!r}, and '{shortened(example[0][1])}' in the table)" if example else ""
    return [
        f"{counted(matching.ambiguous_images, 'image')} {were} left unmatched: several files or several rows of "
        f"{labels} have the same name{such}. Add their folders to its column '{matching.column}'."
    ]


def _note_few_matches(database: duckdb.DuckDBPyConnection, matching: Matching, labels: str, images: str) -> list[str]:
    """Quote a value and a file name if fewer than half of the rows or of the images match."""
    if matching.described * 2 >= matching.images and (matching.rows - matching.unmatched) * 2 >= matching.rows:
        return []
    value = database.execute(
        """
        SELECT raw FROM names JOIN named USING (value)
        ANTI JOIN pairs USING (row) ANTI JOIN ambiguous_values USING (value) ORDER BY row LIMIT 1
        """
    ).fetchall()
    image = database.execute(
        "SELECT min(image_id) FROM images ANTI JOIN matches ON image = images.rowid "
        "ANTI JOIN ambiguous_files ON ambiguous_files.image = images.rowid"
    ).fetchall()[0][0]
    if not value or image is None:
        return []
    return [
        f"Only {counted(matching.described, 'image')} of {matching.images:,} in {images} and "
        f"{counted(matching.joined + matching.repeated, 'row')} of {matching.rows:,} in {labels} match. Unmatched, "
        f"for example: '{matching.column}' is '{shortened(value[0][0])}', a file is {image!r}."
    ]


def _note_separators(database: duckdb.DuckDBPyConnection, labels: str) -> list[str]:
    """Name the separator that would make unmatched cells match, if there is one."""
    base = folded(sql_image_stem(f"split_part({sql_path('part')}, '/', -1)"))
    options = ", ".join(literal(mark) for mark in _SEPARATORS)
    best = database.execute(
        f"""
        WITH left_over AS (
            SELECT DISTINCT value, raw FROM names JOIN named USING (value) ANTI JOIN pairs USING (row)
            ANTI JOIN ambiguous_values USING (value) LIMIT 10000
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
    """Return the error for a table that describes no image, which quotes a value and a file name."""
    value = database.execute("SELECT raw FROM names JOIN named USING (value) ORDER BY row LIMIT 1").fetchall()
    image = database.execute("SELECT min(image_id) FROM images").fetchall()[0][0]
    given = f"'{matching.column}' is like '{shortened(value[0][0])}'" if value else f"'{matching.column}' is empty"
    notes = " ".join(note for note in matching.notes if not note.startswith("Only "))
    return InputError(
        f"No row of {labels} names an image of {images}: its {given}, the images are like {image!r}. "
        f"{notes or 'Give the column that names them with `id_column` or `file_column`.'}"
    )
