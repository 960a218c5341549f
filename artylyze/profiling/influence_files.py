"""Writes the influences of a record: one picture and one JSON file."""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.figure import SubFigure

from artylyze.collection.known_columns import ARTIST, folded
from artylyze.drawing.plots import ORANGE, QUIET, figure_of, wrapped
from artylyze.profiling.columns import DATE
from artylyze.profiling.influences import Influence, Influences
from artylyze.profiling.profile_plots import Panel, draw_panel, panel_legend
from artylyze.profiling.profiling import caption, panels
from artylyze.storage import open_store
from artylyze.wording import counted

STUDIED = ("nationality", "period", "artist", "genre", "style")
"""The distributions by which the study looks for influences."""

_BARS = 5
_WIDTH, _WORKS, _COLUMNS = 12.0, 2.35, 2.1  # inches: of the picture, and the heights of its rows
_GAP, _CAPTION, _LETTERS = 0.16, 0.62, 18  # inches between works, below them for a caption; letters an inch
_CLUSTERS = 8  # clusters that are drawn: each more takes longer than the last
_DUPLICATES = 6


def write_influences(influences: Influences, output: str) -> list[str]:
    """Write picture and JSON below `output`, a folder or an address, and return their names, the JSON last."""
    name = file_name(influences.record)
    store = open_store(output)
    store.put(f"{name}.png", picture(influences))
    store.put(f"{name}.json", (json.dumps(influences.as_dict(), indent=1, ensure_ascii=False) + "\n").encode())
    return [f"{name}.png", f"{name}.json"]


def file_name(record: str) -> str:
    """Return a file name for a record's id, which may be any text: the id itself where that is a file name."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", record):
        return f"influences-{record}"
    plain = re.sub(r"[^A-Za-z0-9]+", "-", record).strip("-")[:40]
    return f"influences-{plain}-{hashlib.sha256(record.encode()).hexdigest()[:8]}"


def picture(influences: Influences) -> bytes:
    """Draw a record's images beside the shares of its clusters; each cluster's works and columns; near-duplicates.

    Of many clusters and near-duplicates the first are drawn. Returns a PNG.
    """
    title = influences.works.described.titles[influences.rows[0]] or influences.record
    title = f"What runs through {' '.join(title.split())[:80]} ({influences.record})"
    clusters, duplicates = influences.found[:_CLUSTERS], list(influences.duplicates)
    names = [wrapped(_name(influence), 44, 3) for influence in clusters]
    lines = sum(name.count("\n") + 1 for name in names)
    heights = [max(2.9, 1.2 + 0.16 * lines + 0.15 * len(names))]
    heights += [height for _ in clusters for height in (_WORKS, _COLUMNS)]
    heights += [_WORKS] if duplicates else []
    with figure_of(title, _WIDTH, 0.5 + sum(heights)) as (figure, out):
        rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        _draw_shares(rows[0], influences, names, heights[0])
        for place, influence in enumerate(clusters):
            _draw_cluster(rows[1 + 2 * place], rows[2 + 2 * place], influences, influence)
        if duplicates:
            some = f" (the first {_DUPLICATES} of {len(duplicates):,})" if len(duplicates) > _DUPLICATES else ""
            heading = f"Near-duplicates{some}: perhaps the same work photographed twice, no influence"
            likeness = {row: f"correlation {how.correlation:.2f}" for row, how in influences.duplicates.items()}
            size = (_WIDTH, _WORKS)
            _draw_works(rows[-1], size, influences, duplicates[:_DUPLICATES], heading, likeness)
    return out.getvalue()


def columns_beside(influences: Influences, influence: Influence) -> list[Panel]:
    """Return what is drawn beside a cluster: nationality, period, artist, genre and style as far as there are any.

    What people said counts before a prediction. Other columns fill up, those that mark the cluster first. A column
    without a value in the cluster is drawn too: that nothing is known is not that nothing is there.
    """
    described = influences.works.described.columns
    chosen = [next((one.name for one in described if _head(one.name) == wanted), None) for wanted in STUDIED]
    marks = [mark.column for mark in influence.profile.marks]
    others = sorted(
        (one.name for one in described), key=lambda name: marks.index(name) if name in marks else len(marks)
    )
    names = list(dict.fromkeys([*filter(None, chosen), *others]))[: len(STUDIED)]
    drawn = {panel.name: panel for panel in panels(influence.profile)}
    works = influence.profile.images
    return [drawn.get(name, Panel(name, 0, works, ())) for name in names]


def _head(name: str) -> str:
    """Which of STUDIED a column is, if any: `date (half-century)` is a period, `genre (predicted)` a genre."""
    key = folded(name.partition(" (")[0])
    return "artist" if key in ARTIST else "period" if key in DATE else key


def _draw_shares(row: SubFigure, influences: Influences, names: Sequence[str], height: float) -> None:
    left, right = row.subfigures(1, 2, width_ratios=(1, 1.6), squeeze=False)[0]
    _draw_works(left, (_WIDTH / 2.6, height), influences, influences.rows[:3], "")
    axes = right.subplots()
    shares = [influence.share for influence in influences.found[: len(names)]]
    shares.append(max(0.0, 1 - sum(shares)))
    axes.barh(range(len(shares)), shares, color=[*[ORANGE] * len(names), QUIET], height=0.6)
    for place, share in enumerate(shares):
        axes.text(share + 0.01, place, f"{share:.1%}", va="center", fontsize=8)
    axes.set_yticks(range(len(shares)), [*names, "all other clusters"])
    axes.set(xlim=(0, 1.12), ylim=(max(3, len(shares)) - 0.4, -0.6), title="Responsibility of each cluster")
    axes.grid(axis="y", visible=False)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_formatter("{x:.0%}")
    if influences.alone:
        axes.set_xlabel(textwrap.fill(influences.alone, 88), loc="left", fontsize=8)


def _draw_cluster(above: SubFigure, below: SubFigure, influences: Influences, influence: Influence) -> None:
    heading = f"{_name(influence)}: {influence.share:.1%} ({counted(influence.profile.images, 'work')})"
    none = "" if influence.typical else "All its typical works are near-duplicates of this one, or of its own record."
    _draw_works(above, (_WIDTH, _WORKS), influences, influence.typical, "\n".join(filter(None, (heading, none))))
    if columns := columns_beside(influences, influence):
        axes = below.subplots(1, len(STUDIED), squeeze=False)[0]
        for place, panel in zip(axes, columns, strict=False):
            draw_panel(place, panel, _BARS)
        for place in axes[len(columns) :]:
            place.set_axis_off()
        panel_legend(below)


def _draw_works(
    area: SubFigure,
    size: tuple[float, float],
    influences: Influences,
    rows: Sequence[int],
    heading: str,
    notes: Mapping[int, str] | None = None,
) -> None:
    """Draw works side by side, as high as each other and as wide as they are, in an area of so many inches.

    They are placed by hand: a layout engine gives all of them the width of the longest caption.
    """
    width, height = size
    top = height - 0.12
    for line in textwrap.wrap(heading.replace("\n", " "), 120):
        area.text(0.02, top / height, line, va="top", fontsize=10)
        top -= 0.17
    top -= 0.06
    aspects = [min(2.5, max(0.4, influences.pictures[row].aspect)) for row in rows]
    room = width - 0.02 * width - _GAP * len(rows)
    high = min(top - _CAPTION, room / max(1e-9, sum(aspects)))
    left = 0.02 * width
    for row, aspect in zip(rows, aspects, strict=True):
        work, wide = influences.pictures[row], high * aspect
        axes = area.add_axes((left / width, (top - high) / height, wide / width, high / height))
        axes.set_axis_off()
        axes.set_anchor("NW")
        axes.imshow(work.pixels, aspect=1 / work.aspect)
        lines = caption(influences.works, row, work, *([notes[row]] if notes else []))
        letters = max(9, int(wide * _LETTERS))
        text = "\n".join(wrapped(line, letters, 2) for line in lines if line)
        area.text(left / width, (top - high - 0.04) / height, text, va="top", fontsize=7)
        left += wide + _GAP


def _name(influence: Influence) -> str:
    marks = ", ".join(dict.fromkeys(mark.share.term for mark in influence.profile.marks[:3]))
    return f"mixture cluster {influence.profile.cluster}" + (f": {marks}" if marks else "")
