"""An explorer of a catalog on this machine: written into the cache, and served from there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from artylyze.cache import cache_folder, free_space, hold
from artylyze.catalog.snapshot import read_snapshot
from artylyze.exploring.export import Explored, ExploreRequest, export
from artylyze.exploring.folder import digest
from artylyze.exploring.originals import Originals
from artylyze.exploring.server import Server, Site, check_port
from artylyze.progress import Watcher
from artylyze.storage import open_store

KIND = "explorers"
"""Of the entries of the cache."""

WORK_BYTES = 8_000
"""Of a work in an explorer, about: its thumbnails and what is shown of it."""


def serve(request: ExploreRequest, port: int | None, watcher: Watcher) -> tuple[Explored, Server]:
    """Bring the explorer of a catalog in the cache up to date, and serve it on loopback until the server is closed.

    Args:
        request: what is to be shown; its `output` is not used.
        port: to answer on; None: the first free one from 8765 on.
        watcher: receives progress.

    Raises:
        UsageError: if the port is in use.
        InputError: as `export` does.
    """
    check_port(port)
    folder = folder_of(request.catalog)
    hold(folder)
    free_space(WORK_BYTES * read_snapshot(request.catalog).rows)
    explored = export(replace(request, output=str(folder), inline=False), watcher)
    site = Site(folder, explored.collection, Originals(explored.collection))
    return explored, Server(site, port)


def folder_of(catalog: str) -> Path:
    """Where the cache keeps the explorer of a catalog."""
    return cache_folder(KIND) / digest(open_store(catalog).url)
