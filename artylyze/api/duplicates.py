"""Which images of a catalog show the same work, for Python."""

from __future__ import annotations

import os

from artylyze.api.arguments import Output, StrPath
from artylyze.progress import Watcher, watching


def duplicates(catalog: StrPath, output: StrPath, *, update: bool = False, progress: bool | Watcher = True) -> Output:
    """Find images that show the same work: pairs with a reason and a score, and groups.

    Args:
        catalog: The catalog.
        output: Where `pairs.parquet`, `groups.parquet`, `groups.csv` and the contact sheet `groups.png` go: a folder or
            an address.
        update: Take from the folder what is known of images that did not change since, and compare only pairs with
            others.
        progress: True shows progress on a terminal or in a notebook, False nothing.

    Returns:
        The folder, for `profiles`, `influences` and `report`: `figures["pairs"]` is the number of pairs,
        `figures["reasons"]` that of each reason, `figures["works"]` the number of images with each group counted once.

    Raises:
        UsageError: If the output holds something else.
        InputError: If there is no catalog, or nothing to update.
        StorageError: If the storage refuses or does not answer.

    Examples:
        >>> import artylyze
        >>> found = artylyze.duplicates("catalog", "duplicates")
        >>> found.path
        'duplicates'
    """
    from artylyze.duplication.search import describe, find_duplicates

    folder = os.fspath(output)
    with watching(progress) as watcher:
        found = find_duplicates(os.fspath(catalog), folder, watcher, update=update)
    return Output(folder, {"duplicates": folder, **found.run}, describe(found))
