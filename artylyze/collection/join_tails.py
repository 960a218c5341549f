"""Matching names to images by the longest common tail of their paths.

It reads the tables `image_names`, `names` and `matched` of joining.py, and adds to `matched`, `torn` and `torn_values`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artylyze.collection.join_names import folded, known_stem_of, stem_of
from artylyze.tables import count

if TYPE_CHECKING:
    import duckdb

_DEEPEST = 24
"""Folders of a path that are compared."""


def match_tails(database: duckdb.DuckDBPyConnection) -> None:
    """Match the names that are left to images that are left, by the longest common tail of their paths."""
    _reach(database)
    folders = (
        "SELECT unnest(string_split(lower(folder), '/')[:-2]) "
        "FROM (SELECT DISTINCT regexp_replace({0}, '[^/]*$', 'x') AS folder FROM {1})"
    )
    image_dirs, value_dirs = folders.format("below", "image_names"), folders.format("path", "names")
    exact, stem = "array_to_string(parts[-depth:], '/')", stem_of("array_to_string(parts[-depth:], '/')")
    database.execute(
        f"""
        CREATE OR REPLACE TABLE free_images AS
        SELECT image, tail, {exact} AS exact, {stem} AS stem, {stem_of("path")} AS whole,
               coalesce(lower(string_split(below, '/')[-depth - 1]) IN ({value_dirs}), false) AS closed
        FROM (SELECT *, string_split(path, '/') AS parts FROM reached_images JOIN image_names USING (image));
        CREATE OR REPLACE TABLE free_values AS
        SELECT value, tail, {exact} AS exact, {known_stem_of(exact)} AS stem, len(parts) = depth AS complete,
               coalesce(lower(parts[-depth - 1]) IN ({image_dirs}), false) AS closed
        FROM (SELECT *, string_split(path, '/') AS parts FROM reached_values JOIN names USING (value));
        """
    )
    for complete in (True, False):
        for form in ("exact", "stem", "lower(exact)", "tail"):
            _match_form(database, form, complete=complete)


def _reach(database: duckdb.DuckDBPyConnection) -> None:
    """Fill `reached_images` and `reached_values` (..., tail, depth) with the longest tail that the other side has too.

    Tails are compared without extension, letter case and percent encoding. Each step goes one folder up, with what is
    left: a tail that agrees so far.
    """
    tail = "array_to_string(parts[-{0}:], '/')"
    database.execute(
        f"""
        CREATE OR REPLACE TABLE reached_images (image BIGINT, tail VARCHAR, depth BIGINT);
        CREATE OR REPLACE TABLE reached_values (value BIGINT, tail VARCHAR, depth BIGINT);
        CREATE OR REPLACE TEMP TABLE forms AS
        SELECT value, string_split(form, '/') AS parts FROM (
            SELECT value, {folded("path")} AS form FROM names ANTI JOIN matched USING (value)
            UNION SELECT value, {folded(known_stem_of("path"))} FROM names ANTI JOIN matched USING (value));
        CREATE OR REPLACE TEMP TABLE places AS
        SELECT image, string_split({folded(stem_of("path"))}, '/') AS parts
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
    """Match images and names of one tail that are the same in one form, if there is one name of each."""
    database.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE met AS
        WITH i AS (
            SELECT tail, {form} AS form, min(whole) = max(whole) AS one FROM free_images
            {"" if complete else "WHERE NOT closed"} GROUP BY ALL
        ), v AS (
            SELECT tail, {form} AS form, min(value) AS value, count(*) = 1 AS one FROM free_values
            WHERE {"complete" if complete else "NOT closed"} GROUP BY ALL
        )
        SELECT tail, form, value, i.one AND v.one AS one FROM i JOIN v USING (tail, form);
        CREATE OR REPLACE TEMP TABLE settled AS
        SELECT image, met.value, one FROM (
            SELECT image, tail, {form} AS form FROM free_images {"" if complete else "WHERE NOT closed"}
        ) JOIN met USING (tail, form);
        CREATE OR REPLACE TEMP TABLE settled_values AS
        SELECT mine.value, one FROM (
            SELECT value, tail, {form} AS form FROM free_values WHERE {"complete" if complete else "NOT closed"}
        ) AS mine JOIN met USING (tail, form);
        INSERT INTO matched SELECT image, value FROM settled WHERE one;
        INSERT INTO torn SELECT image FROM settled WHERE NOT one;
        INSERT INTO torn_values SELECT value FROM settled_values WHERE NOT one;
        DELETE FROM free_images WHERE image IN (SELECT image FROM settled);
        DELETE FROM free_values WHERE value IN (SELECT value FROM settled_values);
        """
    )
