"""Writes the influences of a record: one picture and one JSON file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from matplotlib.figure import SubFigure

from artylyze.drawing.plots import ORANGE, QUIET, cut, figure_of
from artylyze.profiling.influences import Influence, Influences
from artylyze.profiling.profile_plots import panel
from artylyze.profiling.profiling import bars, caption
from artylyze.storage import open_store

_PANELS = 2
_BARS = 5
_NAMED = 24  # letters of a caption
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
    """Draw a record's images beside the shares of its clusters, a row for each cluster, and its near-duplicates.

    Of many clusters and near-duplicates the first are drawn. Returns a PNG.
    """
    title = influences.works.described.titles[influences.rows[0]] or influences.record
    title = f"What runs through {' '.join(title.split())[:80]} ({influences.record})"
    clusters, duplicates = influences.found[:_CLUSTERS], list(influences.duplicates)
    heights = [2.9, *(2.55 for _ in clusters), *([2.1] if duplicates else [])]
    with figure_of(title, 12, 0.5 + sum(heights)) as (figure, out):
        rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        _draw_shares(rows[0], influences, clusters)
        for row, influence in zip(rows[1:], clusters, strict=False):
            _draw_cluster(row, influences, influence)
        if duplicates:
            some = f" (the first {_DUPLICATES} of {len(duplicates):,})" if len(duplicates) > _DUPLICATES else ""
            heading = f"Near-duplicates{some}: perhaps the same work photographed twice, no influence"
            likeness = {row: f"correlation {how.correlation:.2f}" for row, how in influences.duplicates.items()}
            _draw_works(rows[-1], influences, duplicates, heading, _DUPLICATES, likeness)
    return out.getvalue()


def marked_first(influence: Influence) -> list[str]:
    """Return the columns of a cluster, those whose terms mark it first."""
    marks = [mark.column for mark in influence.profile.marks]
    columns = [each.column for each in influence.profile.distributions]
    return sorted(columns, key=lambda column: marks.index(column) if column in marks else len(marks))


def _draw_shares(row: SubFigure, influences: Influences, clusters: Sequence[Influence]) -> None:
    left, right = row.subfigures(1, 2, width_ratios=(1, 1.4), squeeze=False)[0]
    _draw_works(left, influences, influences.rows[:3], "", min(3, len(influences.rows)))
    axes = right.subplots()
    shares = [influence.share for influence in clusters]
    shares.append(max(0.0, 1 - sum(shares)))
    axes.barh(range(len(shares)), shares, color=[*[ORANGE] * len(clusters), QUIET], height=0.6)
    for place, share in enumerate(shares):
        axes.text(share + 0.01, place, f"{share:.1%}", va="center", fontsize=8)
    names = [*(cut(_name(influence), 48) for influence in clusters), "all other clusters"]
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 1.12), ylim=(max(3, len(names)) - 0.4, -0.6), title="Responsibility of each cluster")
    axes.grid(axis="y", visible=False)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_formatter("{x:.0%}")


def _draw_cluster(row: SubFigure, influences: Influences, influence: Influence) -> None:
    row.suptitle(f"{cut(_name(influence), 90)}: {influence.share:.1%}", x=0.02, ha="left", fontsize=10)
    left, right = row.subfigures(1, 2, width_ratios=(1.5, 1), squeeze=False)[0]
    none = "" if influence.typical else "All its typical works are near-duplicates of this one, or of its own record."
    _draw_works(left, influences, influence.typical, none, 6)
    distributions, columns = dict(bars(influence.profile)), marked_first(influence)[:_PANELS]
    if columns:
        panels = right.subplots(1, len(columns), squeeze=False)[0]
        for axes, name in zip(panels, columns, strict=True):
            panel(axes, name, distributions[name][:_BARS], _BARS)
        row.legend(*panels[0].get_legend_handles_labels(), loc="upper right", ncols=2, fontsize=7)


def _draw_works(
    area: SubFigure,
    influences: Influences,
    rows: Sequence[int],
    heading: str,
    columns: int,
    notes: Mapping[int, str] | None = None,
) -> None:
    if heading:
        area.suptitle(heading, x=0.02, ha="left", fontsize=10)
    panels = area.subplots(1, max(1, columns), squeeze=False)[0]
    for axes in panels:
        axes.set_axis_off()
    for axes, row in zip(panels, rows, strict=False):
        work = influences.pictures[row]
        axes.imshow(work.pixels, aspect=1 / work.aspect)
        lines = caption(influences.works, row, work, *([notes[row]] if notes else []))
        text = "\n".join(cut(line, _NAMED) for line in lines if line)
        axes.text(0, -0.04, text, transform=axes.transAxes, va="top", fontsize=7)


def _name(influence: Influence) -> str:
    marks = ", ".join(dict.fromkeys(mark.share.term for mark in influence.profile.marks[:3]))
    return f"mixture cluster {influence.profile.cluster}" + (f": {marks}" if marks else "")
