"""What the report says, gathered: plain values and pictures, no markup."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from artylyze.drawing.thumbnails import Thumbnail
from artylyze.storage import open_store

BEST = 20
"""Terms of a task that are named, the most frequent."""


@dataclass(frozen=True)
class Picture:
    """An image of the page: its bytes as a data URI, what it shows in words, its size in pixels where known."""

    source: str
    alt: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Work:
    """A work on the page: its picture, its title, and what else is written below it."""

    picture: Picture
    title: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row of a table with a bar: a name, a count, its share (0 to 1), and what a further column says."""

    name: str
    count: int
    share: float
    note: str = ""


@dataclass(frozen=True)
class Counts:
    """A table of counts: a caption, what its rows are, what its last column is ("": there is none), and its rows."""

    caption: str
    what: str
    note: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Figures:
    """A table of figures: a caption, its header, its rows."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Review:
    """The works of a task that a person should look at: how many, and the least certain of them."""

    task: str
    images: int
    share: float
    works: tuple[Work, ...]


@dataclass(frozen=True)
class Cluster:
    """One cluster: its name, its size, its marks in words, its works, its distributions."""

    name: str
    size: str
    marks: tuple[str, ...]
    typical: tuple[Work, ...]
    marginal: tuple[Work, ...]
    distributions: tuple[Counts, ...]


@dataclass(frozen=True)
class Example:
    """What runs through one record: its images, the clusters that share it, their works, its near-duplicates."""

    title: str
    images: tuple[Work, ...]
    shares: Counts
    currents: tuple[tuple[str, tuple[Work, ...]], ...]
    duplicates: tuple[Work, ...]
    note: str | None


@dataclass(frozen=True)
class Clustering:
    """The clusters of a collection, how their number was chosen, and an example."""

    facts: Figures
    scores: Figures | None
    elbow: Picture | None
    note: str | None
    clusters: tuple[Cluster, ...]
    example: Example | None


@dataclass(frozen=True)
class Model:
    """A model: what it is, its figures, its training curves, its confusion matrices and further figures."""

    facts: Figures | None
    figures: tuple[Figures, ...]
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Content:
    """All of the page. What was not given is None or empty."""

    title: str
    lead: str
    run: Figures
    attempts: Figures
    works: tuple[Work, ...]
    failures: Counts | None
    tags: tuple[Counts, ...]
    reviews: tuple[Review, ...]
    model: Model | None
    clustering: Clustering | None
    version: str


def picture_of(thumbnail: Thumbnail, alt: str) -> Picture:
    """Return a work's picture for the page."""
    data, width, height = thumbnail.jpeg()
    return Picture(data_uri(data, "image/jpeg"), alt, width, height)


def plot(address: str, name: str, alt: str) -> Picture | None:
    """Read a PNG below an address; None where there is none."""
    data = open_store(address).read(name)
    return None if data is None else Picture(data_uri(data, "image/png"), alt)


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def counted(counts: Mapping[str, int], notes: Mapping[str, str] | None = None) -> tuple[Row, ...]:
    """Return counts as rows, the most first; beyond `BEST` they are one row of others."""
    total = max(1, sum(counts.values()))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [Row(name, count, count / total, (notes or {}).get(name, "")) for name, count in ranked[:BEST]]
    if rest := ranked[BEST:]:
        count = sum(count for _, count in rest)
        rows.append(Row(f"{len(rest):,} other terms", count, count / total))
    return tuple(rows)


def tag_of(row: Mapping[str, Any], task: str) -> str:
    """Return a work's tag of a task, with its score if it has one; `row` is of a catalog."""
    score = row[f"{task}_score"]
    return str(row[task]) if score is None else f"{row[task]}, score {score:.2f}"


def figure(value: Any) -> str:
    """Return a value of a JSON file as text for a cell."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {figure(one)}" for name, one in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(figure, value)) or "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def facts(caption: str, pairs: Sequence[tuple[str, Any]]) -> Figures:
    """Return facts as a table of two columns, without those that are not known."""
    rows = tuple((name.replace("_", " "), figure(value)) for name, value in pairs if value is not None)
    return Figures(caption, ("what", "value"), rows)
