"""The command line, run in the process of a test."""

from __future__ import annotations

import sys

import pytest

from artylyze.cli.app import main
from artylyze.storage import Store


def run(*arguments: str) -> int:
    """Run a command in this process, and return its exit code; a test that uses it restores `sys.argv`."""
    sys.argv = ["artylyze", *arguments]
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def keys(store: Store) -> set[str]:
    return {entry.key for entry in store.list()}
