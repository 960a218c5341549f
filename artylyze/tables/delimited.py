"""Rows of a CSV, TSV or similar text as people and programs write them: finds separators, quotes and preambles.

A row that can be read in one way only is read, however it is quoted; any other is reported with its line and a reason.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from artylyze.wording import counted, shortened

_MARKS = ",;\t|"
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}

_SAMPLE = 200
"""Lines that are read to choose the separator and the header."""

_PREAMBLE = 30
"""Rows that are searched for a header."""

_TOGETHER = 100
"""Lines at most of a row with wrong quotes."""

_FILES = (".jpg", ".jpeg", ".tif", ".tiff", ".png", ".jp2", ".gif", ".bmp", ".webp")

csv.field_size_limit(sys.maxsize)  # the description of a work may exceed the default of 131,072 characters


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read: the number of its first line, from 1, and the reason."""

    line: int
    why: str


@dataclass
class Delimited:
    """A delimited text while it is read.

    Attributes:
        header: names of the columns, as they are written.
        separator: between cells.
        above: number of lines above the header; `titles` of them are neither blank nor name the separator.
        bad: rows that could not be read, so far.
        short: lines of rows with too few cells, so far.
        zero_bytes: lines from which zero bytes were removed, so far.
    """

    header: list[str]
    separator: str
    above: int
    titles: int = 0
    bad: list[BadRow] = field(default_factory=list)
    short: list[int] = field(default_factory=list)
    zero_bytes: list[int] = field(default_factory=list)
    _lines: Iterator[str] = field(default=iter(()), repr=False)

    def rows(self) -> Iterator[list[str]]:
        """Yield the cells of each readable row, as many as the header has, without empty rows. May be called once."""
        width = len(self.header)
        lines = _Lines(self._lines, self.above, self.zero_bytes)
        reader = csv.reader(lines, delimiter=self.separator, strict=True)
        next(csv.reader(lines, delimiter=self.separator))  # the header
        while True:
            lines.taken.clear()
            start = lines.number + 1
            problem = ""
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells, problem = [], str(error)
            if not problem and not any(cell.strip() for cell in cells):
                continue
            if len(cells) != width:
                cells = self._repair(lines, cells, problem, start)
            if cells:
                yield cells

    def _repair(self, lines: _Lines, cells: list[str], problem: str, start: int) -> list[str]:
        """Return the cells of an irregular row; none if it cannot be read."""
        width = len(self.header)
        if "end of data" in problem:
            lines.put_back(lines.taken[1:])
            self.bad.append(BadRow(start, 'has a quotation mark (") that opens a cell and is never closed'))
            return []
        if mended := _requoted(lines, self.separator, width):
            return mended
        if problem:
            lines.put_back(lines.taken[1:])
            self.bad.append(
                BadRow(start, f'has quotation marks (") within a quoted cell ({shortened(lines.taken[0])})')
            )
            return []
        if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
            return cells[:width]
        if 1 < len(cells) < width:
            self.short.append(start)
            return cells + [""] * (width - len(cells))
        self.bad.append(BadRow(start, _wrong_length(lines.taken, cells, width, self.separator)))
        return []


def _wrong_length(lines: Sequence[str], cells: Sequence[str], width: int, separator: str) -> str:
    perhaps = (
        "perhaps a line break within a cell that is not quoted"
        if len(cells) < width
        else f"perhaps a {_NAMES.get(separator, 'separator')} within a cell that is not quoted"
    )
    return f"has {counted(len(cells), 'cell')} where the header has {width:,}, {perhaps} ({shortened(lines[0])})"


def read_delimited(open_lines: Callable[[], Iterable[str]]) -> Delimited | None:
    """Find the separator and the header of a text; None if there is nothing in it.

    Args:
        open_lines: returns the lines of the text from the start, with their ends.
    """
    sample = [line.replace("\0", "") for line in islice(open_lines(), _SAMPLE)]
    if not any(line.strip() for line in sample):
        return None
    declared = _separator_line(sample[0])
    skipped = 1 if declared else 0
    marks = declared or _MARKS
    layouts = [_layout(sample[skipped:], mark) for mark in marks]
    best = max(layouts, key=lambda layout: (layout.fit, len(layout.header)))
    if best.above and (
        plain := [layout for layout in layouts if not layout.above and layout.fit > 0.5 and len(layout.header) > 1]
    ):
        best = max(plain, key=lambda layout: (layout.fit, len(layout.header)))
    titles = sum(bool(line.strip()) for line in sample[skipped : skipped + best.above])
    return Delimited(best.header, best.separator, best.above + skipped, titles, _lines=iter(open_lines()))


def find_header(rows: Sequence[Sequence[str]]) -> int:
    """Return the index of the header: the first row, unless there are titles above a row that looks like a header.

    Args:
        rows: the cells of the first rows of a table, as they are written.
    """
    if not rows:
        return 0
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows[:_PREAMBLE]]
    usual = Counter(len(row) for row in rows).most_common(1)[0][0]
    for place, row in enumerate(rows[:_PREAMBLE]):
        below = rows[place + 1 :]
        agree = sum(len(row_below) == len(row) for row_below in below)
        if len(row) < 2 or (len(row) != usual and place) or filled[place] < max(2, len(row) / 2):
            continue
        if place == 0:
            if len(row) == usual or agree * 2 >= len(below):
                return 0
            continue
        above = all(len(rows[i]) != len(row) or filled[i] <= 1 for i in range(place))
        if above and agree and agree >= 0.8 * len(below) and _names_columns(row):
            return place
    return 0


@dataclass(frozen=True)
class _Layout:
    """A sample as read with a separator: the header, lines above it, and the share of rows of the same length."""

    header: list[str]
    separator: str
    above: int
    fit: float


def _layout(sample: Sequence[str], mark: str) -> _Layout:
    lines = _Lines(iter(sample), 0, [])
    rows, starts = [], []
    start = 0
    for row in csv.reader(lines, delimiter=mark):
        if row and any(row):
            rows.append(row)
            starts.append(start)
        start = lines.number
    if len(sample) == _SAMPLE and len(rows) > 1:  # the last may be cut
        rows.pop()
    place = find_header(rows)
    if place and len(rows[0]) == 1 and _is_name(rows[0][0]) and len(rows[place]) < 3:
        place = 0  # a list of one column whose values hold the separator
    width = len(rows[place])
    below = rows[place + 1 :]
    fit = sum(len(row) == width for row in below) / len(below) if below else 1.0
    return _Layout(rows[place], mark, starts[place], fit if width > 1 else 0.0)


def _names_columns(row: Sequence[str]) -> bool:
    """Whether cells are names of columns, not values: all different, none a number or a file."""
    names = [cell.strip().lower() for cell in row if cell.strip()]
    plain = all(not name.replace(".", "").replace("-", "").isdigit() and not name.endswith(_FILES) for name in names)
    return plain and len(set(names)) == len(names)


def _is_name(cell: str) -> bool:
    return cell.strip().replace("_", "").isalnum()


def _separator_line(line: str) -> str:
    """Return the separator that a first line such as `sep=;` names, empty if there is none."""
    text = line.strip("\r\n").strip('"')
    named = text[4:] if text[:4].lower() == "sep=" else ""
    return {"\\t": "\t", "": ""}.get(named, named[:1]) if len(named) <= 2 else ""


class _Lines:
    """Lines with their numbers, without zero bytes, that can be put back.

    Args:
        lines: of the text.
        skip: number of lines to skip at the start.
        zero_bytes: receives the numbers of lines with zero bytes.
    """

    def __init__(self, lines: Iterator[str], skip: int, zero_bytes: list[int]) -> None:
        self.number = sum(1 for _ in islice(lines, skip))
        self.taken: list[str] = []
        self._lines, self._waiting, self._zero_bytes = lines, deque[str](), zero_bytes

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else next(self._lines)
        self.number += 1
        if "\0" in line:
            self._zero_bytes.append(self.number)
            line = line.replace("\0", "")
        self.taken.append(line)
        return line

    def put_back(self, lines: Sequence[str]) -> None:
        """Put back the last lines that were taken."""
        del self.taken[len(self.taken) - len(lines) :]
        self._waiting.extendleft(reversed(lines))
        self.number -= len(lines)


def _requoted(lines: _Lines, mark: str, width: int) -> list[str]:
    """Return the cells of a row with wrong quotes if it can be read in exactly one way, and put back the next lines.

    Empty otherwise.
    """
    before, taken = len(lines.taken), list(lines.taken)
    text = ""
    for count in range(1, _TOGETHER + 1):
        if count > len(taken):
            extra = next(lines, None)
            if extra is None:
                break
            taken.append(extra)
        text += taken[count - 1]
        if '"' not in text:
            break
        if cells := _merged(text.rstrip("\r\n"), mark, width):
            lines.put_back(taken[count:])
            return cells
    lines.put_back(taken[before:])
    return []


def _merged(text: str, mark: str, width: int) -> list[str]:
    """Split a row at separators outside quoted cells; empty unless exactly one way gives `width` cells.

    A cell lies between two separators, or begins and ends with a quotation mark and may contain separators.
    """
    pieces = text.split(mark)
    if not width <= len(pieces) <= width + 200:
        return []
    opens = [piece.lstrip().startswith('"') for piece in pieces]
    closes = [piece.rstrip().endswith('"') and len(piece.strip()) > 1 for piece in pieces]
    alone = [("\n" not in piece and "\r" not in piece) or (opens[i] and closes[i]) for i, piece in enumerate(pieces)]
    # ways[i]: the readings of the pieces before i by their number of cells; at most two, for two are ambiguous.
    ways: list[dict[int, list[tuple[int, ...]]]] = [{} for _ in range(len(pieces) + 1)]
    ways[0] = {0: [()]}
    for start, known in enumerate(ways[:-1]):
        ends = [start + 1] if alone[start] else []
        if opens[start]:
            ends += [end + 1 for end in range(start + 1, len(pieces)) if closes[end]]
        for cells, readings in known.items():
            for end in ends:
                if cells + 1 <= width and width - cells - 1 <= len(pieces) - end:
                    readings_to = ways[end].setdefault(cells + 1, [])
                    readings_to += [(*reading, end) for reading in readings][: 2 - len(readings_to)]
    fitting = ways[-1].get(width, [])
    if len(fitting) != 1:
        return []
    starts = (0, *fitting[0][:-1])
    return [_unquoted(mark.join(pieces[start:end])) for start, end in zip(starts, fitting[0], strict=True)]


def _unquoted(cell: str) -> str:
    """Return a cell without surrounding quotation marks; those of `"Tall" and "small"` belong to it."""
    text = cell.strip()
    if len(text) < 2 or not text.startswith('"') or not text.endswith('"'):
        return cell
    inner = text[1:-1].replace('""', '"')
    first = inner.find('"')
    closes_first = first > 0 and not inner[first - 1].isspace() and not inner[first + 1 : first + 2].isalnum()
    return cell if closes_first and '""' not in text[1:-1] else inner
