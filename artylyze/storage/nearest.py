"""Paths that do not exist, and the name that the user probably meant."""

from __future__ import annotations

import difflib
import itertools
import os
from pathlib import Path

from artylyze.errors import InputError
from artylyze.storage import is_url

MOST = 10_000
"""Entries of a folder that are compared at most: a folder of scans may have a million."""


def check_there(address: str) -> None:
    """Raise InputError for a local path that does not exist. Object storage is only checked when it is read."""
    if not is_url(address) and not Path(address).exists():
        raise InputError(f"There is no folder or file {address}.{did_you_mean(address)}")


def did_you_mean(address: str) -> str:
    """Return " Did you mean NAME?" for a local path that does not exist, if a similar name does.

    Empty for addresses of object storage, for existing paths, and where no name is similar.
    """
    if is_url(address):
        return ""
    path = Path(address)
    missing = next((part for part in (*reversed(path.parents), path) if not part.exists()), None)
    if missing is None:
        return ""
    try:
        with os.scandir(missing.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, MOST) if not entry.name.startswith(".")]
    except OSError:  # the folder may not be listed: then there is nothing to suggest
        return ""
    folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(missing.name.casefold(), folded, n=1, cutoff=0.6)
    return f" Did you mean {missing.with_name(folded[close[0]])}?" if close else ""
