"""How a run reports its progress: a command line always on stderr, Python only where a person looks.

On a terminal this is a bar, in a notebook a line that is rewritten. Elsewhere a command prints a JSON line every few
seconds, and Python nothing.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from artylyze.wording import counted

if TYPE_CHECKING:
    from types import TracebackType

LINE_EVERY, SAME_LINE_EVERY = 5.0, 60.0
"""Seconds between two JSON lines, and between two where nothing was done meanwhile."""

WIDTH, REFRESH = 30, 0.2
"""A bar in a notebook: its characters, and the seconds between two updates."""


class Watcher(Protocol):
    """Receives the progress of a long command, as Reporter does."""

    def say(self, message: str) -> None:
        """Receive a message of one sentence."""

    def start(self, rows: int, done: int, what: str) -> None:
        """Start a count, the first or another: `done` of `rows` steps of `what` are done."""

    def advance(self, rows: int, errors: int) -> None:
        """Add `rows` steps, and `errors` images that could not be read."""


class _Count:
    """Steps of a run, and the images that could not be read."""

    def __init__(self, rows: int = 0, done: int = 0, what: str = "") -> None:
        self.rows, self.done, self.what, self.errors = rows, done, what, 0
        self._resumed, self._started_at = done, time.monotonic()

    def rate(self) -> float:
        """Return steps per second since the start."""
        return (self.done - self._resumed) / max(1e-9, time.monotonic() - self._started_at)


class Reporter:
    """Reports messages, progress and the remaining time on stderr. Use as a context manager.

    Within the context everything else that writes to stderr (Ray, its C++ core, warnings of libraries) goes to a log
    file, whose path is reported.

    Args:
        translate: Applied to every message: a command line names flags, not arguments.
    """

    def __init__(self, translate: Callable[[str], str] = str) -> None:
        self._translate = translate
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._count = _Count()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._lines, name="artylyze-progress", daemon=True)

    def __enter__(self) -> Self:
        handle, log = tempfile.mkstemp(prefix="artylyze-", suffix=".log")
        self.log = Path(log)
        sys.stderr.flush()
        self._saved = os.dup(2)
        os.dup2(handle, 2)
        os.close(handle)
        self._out = os.fdopen(self._saved, "w", buffering=1, encoding="utf-8", errors="replace")
        self._console = Console(file=self._out, highlight=False, soft_wrap=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop.set()
        self._finish()
        sys.stderr.flush()
        os.dup2(self._saved, 2)
        self._out.close()
        if not self.log.stat().st_size:
            self.log.unlink()

    def say(self, message: str) -> None:
        """Print a message, as a JSON line if stderr is not a terminal."""
        message = self._translate(message)
        if self._console.is_terminal:
            self._console.print(message, markup=False)
        else:
            self._write({"event": "message", "message": message})

    def start(self, rows: int, done: int, what: str) -> None:
        """Start a count, the first or another: `done` of `rows` steps are done. `what` names the step in one word."""
        if self._count.rows:
            self._finish()
        else:
            self.say(f"Output of libraries: {self.log}")
        self._count = _Count(rows, done, what)
        if done:
            self.say(f"Resuming: {done:,} of {rows:,} images are already committed.")
        if self._console.is_terminal:
            self._bar, self._task = _start_bar(self._console, self._count)
        elif not self._thread.is_alive():
            self._thread.start()

    def _finish(self) -> None:
        """End the bar, or print the last line of a count."""
        if self._bar is not None:
            self._bar.stop()
        elif self._count.rows:
            self._line()

    def advance(self, rows: int, errors: int) -> None:
        """Add committed images to the count."""
        self._count.done += rows
        self._count.errors += errors
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._count.done, errors=counted(self._count.errors, "error"))

    def _lines(self) -> None:
        at, before = time.monotonic(), None
        while not self._stop.wait(LINE_EVERY):
            same = before == (self._count, self._count.done) and time.monotonic() - at < SAME_LINE_EVERY
            if self._count.done < self._count.rows and not same:  # the last line is printed when the count ends
                at, before = time.monotonic(), (self._count, self._count.done)
                self._line()

    def _line(self) -> None:
        count, rate = self._count, self._count.rate()
        left = (count.rows - count.done) / rate if rate else None
        self._write(
            {
                "event": "progress",
                "what": count.what,
                "done": count.done,
                "rows": count.rows,
                "errors": count.errors,
                "images_per_second": round(rate, 1),
                "eta_seconds": None if left is None else round(left),
            }
        )

    def _write(self, line: dict[str, object]) -> None:
        self._out.write(json.dumps(line, ensure_ascii=False) + "\n")


class Display:
    """Shows messages and progress on a terminal or in a notebook. Use as a context manager.

    Messages also go to the logger `artylyze` at level INFO; elsewhere only there.

    Args:
        shown: whether to show anything.
    """

    def __init__(self, *, shown: bool = True) -> None:
        self._notebook = shown and Console().is_jupyter
        self._console = Console(stderr=not self._notebook, force_jupyter=False, highlight=False, soft_wrap=True)
        self._shown = shown and (self._notebook or self._console.is_terminal)
        self._bar: Progress | _NotebookLine | None = None
        self._task: TaskID | None = None
        self._count = _Count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, message: str) -> None:
        """Show a message."""
        logging.getLogger("artylyze").info(message)
        if self._shown:
            self._console.print(message, markup=False)

    def start(self, rows: int, done: int, what: str) -> None:
        """Start a count: `done` of `rows` steps of `what` are done."""
        self._count = _Count(rows, done, what)
        self.__exit__()
        if self._notebook:
            self._bar = _NotebookLine(self._text)
        elif self._shown:
            self._bar, self._task = _start_bar(self._console, self._count)

    def advance(self, rows: int, errors: int) -> None:
        """Add steps to the count."""
        self._count.done += rows
        self._count.errors += errors
        if isinstance(self._bar, Progress) and self._task is not None:
            self._bar.update(self._task, completed=self._count.done, errors=counted(self._count.errors, "error"))
        elif isinstance(self._bar, _NotebookLine):
            self._bar.update()

    def _text(self) -> str:
        count = self._count
        filled = round(WIDTH * count.done / max(1, count.rows))
        bar = "\N{FULL BLOCK}" * filled + "\N{LIGHT SHADE}" * (WIDTH - filled)
        errors = f"  {counted(count.errors, 'error')}" if count.errors else ""
        return f"{count.what} {bar} {count.done:,}/{count.rows:,}  {count.rate():,.1f} images/s{errors}"


@contextmanager
def watching(progress: bool | Watcher) -> Iterator[Watcher]:
    """Yield the watcher for an argument `progress`: a Display, a silent one for False, or the given watcher."""
    if isinstance(progress, bool):
        with Display(shown=progress) as display:
            yield display
    else:
        yield progress


class _NotebookLine:
    """A line of text that is rewritten in place, by IPython alone: rich's bars need ipywidgets in a notebook."""

    def __init__(self, text: Callable[[], str]) -> None:
        from IPython.display import display

        self._text = text
        self._at = time.monotonic()
        self._handle: Any = display({"text/plain": text()}, raw=True, display_id=True)

    def update(self) -> None:
        """Rewrite the line, at most every REFRESH seconds."""
        if time.monotonic() - self._at >= REFRESH:
            self.stop()

    def stop(self) -> None:
        """Rewrite the line."""
        self._at = time.monotonic()
        self._handle.update({"text/plain": self._text()}, raw=True)


def _start_bar(console: Console, count: _Count) -> tuple[Progress, TaskID]:
    """Return a bar on a terminal, and its task."""
    bar = _Bar(
        TextColumn(count.what),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        _Rate(count.rate),
        TextColumn("[red]{task.fields[errors]}"),
        TimeRemainingColumn(),
        console=console,
        expand=True,
    )
    bar.start()
    return bar, bar.add_task(count.what, total=count.rows, completed=count.done, errors=counted(0, "error"))


class _Bar(Progress):
    """Leaves space at the end of the line for `^C`, the terminal's echo of Ctrl-C, which would wrap."""

    def get_renderable(self) -> RenderableType:
        return _Narrow(super().get_renderable())


@dataclass(frozen=True)
class _Narrow:
    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return console.render(self.content, options.update_width(options.max_width - len("^C")))


class _Rate(ProgressColumn):
    def __init__(self, rate: Callable[[], float]) -> None:
        super().__init__()
        self._rate = rate

    def render(self, task: Task) -> Text:  # noqa: ARG002 - rich's interface
        return Text(f"{self._rate():,.1f} images/s")
