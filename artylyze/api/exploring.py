"""A catalog to look through in a browser."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Self

from artylyze.api.arguments import Output, StrPath, optional
from artylyze.exploring.server import Server
from artylyze.progress import Watcher, watching


@dataclass(frozen=True)
class Explorer(Output):
    """An explorer: a folder of static files, or a server on this machine. As a context manager it ends with its block.

    Attributes:
        url: Address to open in a browser; None for static files.
    """

    url: str | None = None
    _server: Server | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self) -> None:
        """Wait until the server is closed, or the process is interrupted."""
        if self._server is not None:
            self._server.wait()

    def close(self) -> None:
        """End the server. Decisions are kept when they are made, and the files stay."""
        if self._server is not None:
            self._server.close()


def explore(
    catalog: StrPath,
    output: StrPath | None = None,
    *,
    clusters: StrPath | None = None,
    duplicates: StrPath | None = None,
    title: str | None = None,
    port: int | None = None,
    browser: bool = True,
    progress: bool | Watcher = True,
) -> Explorer:
    """Show a catalog in a browser: a gallery, a map, facets, near-duplicates, and tags to be reviewed.

    Served on this machine, decisions on tags are kept in the catalog. As static files it works from any web server, and
    up to 2,000 works without one.

    Args:
        catalog: The catalog.
        output: Write static files into this folder or address in place of serving.
        clusters: What `cluster` wrote.
        duplicates: What `duplicates` wrote.
        title: Of the page; None takes the name of the catalog's folder.
        port: To serve on; None takes the first free one from 8765 on.
        browser: Open the browser, where there is a display.
        progress: True shows a bar on a terminal or in a notebook, False nothing.

    Returns:
        The explorer. A server answers, in threads of this process, until it is closed.

    Raises:
        UsageError: If the port is in use, or the folder holds other files.
        InputError: For a catalog, clusters or duplicates that cannot be used.

    Examples:
        >>> import artylyze
        >>> page = artylyze.explore("catalog", "explorer", clusters="clusters")
        >>> page.figures["works"]
        24
    """
    from artylyze.exploring.export import ExploreRequest, export
    from artylyze.exploring.serving import serve

    request = ExploreRequest(
        catalog=os.fspath(catalog),
        output="" if output is None else os.fspath(output),
        clusters=optional(clusters),
        duplicates=optional(duplicates),
        title=title,
    )
    with watching(progress) as watcher:
        if output is not None:
            explored = export(request, watcher)
            return Explorer(explored.folder, explored.as_dict(), explored.in_words())
        explored, server = serve(request, port, watcher)
    if browser:
        _open(server.url)
    text = "\n".join([f"{explored.title}: {server.url}", *explored.notes])
    return Explorer(explored.folder, {**explored.as_dict(), "url": server.url}, text, server.url, server)


def _open(url: str) -> None:
    """Open a browser with windows: one in text would take the terminal."""
    import sys
    import webbrowser

    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(url)
