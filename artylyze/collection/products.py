"""Files of a listing that artylyze wrote itself: plots, contact sheets and profiles among the images.

A file counts as a product only if the file that describes it is beside it and says so. The name of a folder does not
matter, so a user's picture in an output folder stays an image of the collection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from artylyze.errors import StorageError
from artylyze.storage import Entry, Store

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Product:
    """Output of a command.

    Attributes:
        description: regular expression for the name of the file that describes it, with a group `stem` if its pictures
            are named after it.
        keys: required keys of this file's JSON; for a Parquet file, what its footer contains.
        files: regular expression for the files that it describes, relative to its folder; `{stem}` is filled in.
    """

    description: str
    keys: frozenset[str]
    files: str


_PROFILES = r"(column-\d\d-[^/]*|cluster-\d+-(works|columns))\.png"
_DATASET = "artylyze.dataset"
_PART = re.compile(r"(^|/)parts/part-\d+\.parquet$")  # a catalog has thousands, which describe nothing

PRODUCTS = (
    Product(r"catalog\.json", frozenset({"format", "run_id", "parts"}), r"catalog\.json|runs/.*\.(parquet|json)"),
    Product(r"run\.json", frozenset({"run_id", "manifest_digest", "shards"}), r"(parts/)?[^/]*\.(parquet|json)"),
    Product(
        r"run\.json",
        frozenset({"format", "method", "left_out"}),
        rf"elbow\.png|profiles/(kmeans|gmm)/{_PROFILES}|influences/influences-[^/]*\.png",
    ),
    Product(r"run\.json", frozenset({"format", "pairs", "reasons", "groups"}), r"groups\.png"),
    Product(r"profiles\.json", frozenset({"clusters", "algorithm", "profiles"}), _PROFILES),
    Product(
        r"(?P<stem>influences-.*)\.json", frozenset({"record_id", "influences", "near_duplicates"}), r"{stem}\.png"
    ),
    Product(
        r"metrics\.json",
        frozenset({"model_id", "kind", "tasks"}),
        r"[^/]+-(confusion|reliability|coverage|classes|best|worst|mistakes)\.png",
    ),
    Product(r"index\.json", frozenset({"version", "facets", "thumbs"}), r"thumbs/(32|64|128)/\d+\.jpg"),
    Product(r"bundle\.json", frozenset({"format_version", "tasks"}), r"(curves|augmentation)\.png"),
    Product(r"sweep\.json", frozenset({"settings", "rows"}), r"(sweep|curves)\.png"),
    Product(r"(?P<stem>.+)\.parquet", frozenset({_DATASET}), r"{stem}\.(before|after|classes|samples)\.png"),
    Product(r"(?P<stem>.+)\.json", frozenset({"search", "searched", "hits"}), r"{stem}\.png"),
    Product(
        r"demo\.json", frozenset({"catalog", "contact_sheet", "evaluation"}), r"(contact-sheet|real-pictures)\.png"
    ),
)
"""The products with pictures, and catalogs, whose files a glob may match."""

ANY_FILE = "(^|/)(" + "|".join(product.files.replace("{stem}", "[^/]+") for product in PRODUCTS) + ")$"
"""Regular expression that the key of every file of a product matches, and few others."""

_LARGEST = 2**28
"""Size of a description at most, bytes."""

_TAIL = 2**16
"""Bytes at the end of a Parquet file that are searched for the key."""


@dataclass(frozen=True)
class Description:
    """A listed file that may describe a product.

    Attributes:
        entry: of the file.
        folder: its folder, ending in a slash, or empty.
        product: that it may describe.
        files: regular expression for the product's files, relative to the folder.
    """

    entry: Entry
    folder: str
    product: Product
    files: str


def descriptions(entry: Entry, image_id: str) -> list[Description]:
    """Return what a listed file may describe, by its name; `image_id` is its key as text."""
    if not entry.key.endswith((".json", ".parquet")) or _PART.search(entry.key):
        return []
    folder, slash, name = image_id.rpartition("/")
    matches = ((product, re.fullmatch(product.description, name)) for product in PRODUCTS)
    return [
        Description(
            entry,
            f"{folder}{slash}",
            product,
            product.files.replace("{stem}", re.escape(match.groupdict().get("stem") or "")),
        )
        for product, match in matches
        if match
    ]


def remove_products(
    database: duckdb.DuckDBPyConnection, store: Store, described: Sequence[Description]
) -> tuple[int, list[str]]:
    """Remove from the table `images` what artylyze wrote.

    Reads only those descriptions that have a possible product beside them.

    Args:
        database: with the table, whose image ids are the keys of a listing.
        store: that was listed.
        described: the files of the listing that may describe a product.

    Returns:
        The number of files, and the addresses of their outermost folders.
    """
    suspects = "SELECT image_id FROM images WHERE regexp_matches(image_id, $any)"
    if not described or not database.execute(f"{suspects} LIMIT 1", {"any": ANY_FILE}).fetchall():
        return 0, []
    columns = [list(range(len(described))), [each.folder for each in described], [each.files for each in described]]
    database.register("descriptions", pa.table(columns, ["number", "folder", "files"]))
    database.execute(
        f"""
        CREATE TABLE products AS
        SELECT image_id, number, folder FROM ({suspects}) JOIN descriptions ON starts_with(image_id, folder)
        WHERE regexp_full_match(substr(image_id, length(folder) + 1), files)
        """,
        {"any": ANY_FILE},
    )
    numbers = [number for (number,) in database.execute("SELECT DISTINCT number FROM products").fetchall()]
    with ThreadPoolExecutor(16) as pool:
        confirmed = pool.map(lambda number: _describes(store, described[number]), numbers)
        ours = [number for number, true in zip(numbers, confirmed, strict=True) if true]
    database.execute("DELETE FROM products WHERE number NOT IN (SELECT unnest($ours::BIGINT[]))", {"ours": ours})
    database.execute("DELETE FROM images WHERE image_id IN (SELECT image_id FROM products)")
    ((written,),) = database.execute("SELECT count(DISTINCT image_id) FROM products").fetchall()
    folders = [folder for (folder,) in database.execute("SELECT DISTINCT folder FROM products ORDER BY 1").fetchall()]
    outermost = [
        folder
        for folder in folders
        if not any(above and folder != above and folder.startswith(above) for above in folders)
    ]
    return written, [store.uri(folder.rstrip("/")) if folder else store.url for folder in outermost]


def _describes(store: Store, described: Description) -> bool:
    """Whether a file's content describes the product; one that cannot be read does not."""
    key, product = described.entry.key, described.product
    try:
        if _DATASET in product.keys:
            return _DATASET.encode() in store.tail(key, _TAIL)
        values = json.loads(store.read(key) or b"null") if described.entry.size <= _LARGEST else None
    except (StorageError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and product.keys <= values.keys()
