"""The picture of what runs through a painting: itself, how much of it is of which cluster, and what those hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from artylyze.drawing.plots import ORANGE, QUIET, cut, figure_of
from artylyze.drawing.thumbnails import Thumbnail
from artylyze.profiling.profile_plots import Bar, panel

_PANELS = 2
_BARS = 5
_NAMED = 24  # letters of a caption
_CURRENTS = 8  # clusters that are drawn: each more takes longer than the last
_DOUBLES = 6


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture and what is written below it."""

    picture: Thumbnail
    lines: Sequence[str]


@dataclass(frozen=True, eq=False)
class Current:
    """One cluster in a painting: its share (0 to 1), its name, its typical works, columns with their bars."""

    share: float
    name: str
    works: Sequence[Shown]
    columns: Sequence[tuple[str, Sequence[Bar]]]


def influence_plot(title: str, images: Sequence[Shown], currents: Sequence[Current], doubles: Sequence[Shown]) -> bytes:
    """Draw a record's images beside the shares of its currents, a row for each current, and its near-duplicates.

    Of many currents and near-duplicates the first are drawn.
    """
    currents = currents[:_CURRENTS]
    heights = [2.9, *(2.55 for _ in currents), *([2.1] if doubles else [])]
    with figure_of(title, 12, 0.5 + sum(heights)) as (figure, out):
        rows = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        _head(rows[0], images, currents)
        for row, current in zip(rows[1:], currents, strict=False):
            _current(row, current)
        if doubles:
            some = f" (the first {_DOUBLES} of {len(doubles):,})" if len(doubles) > _DOUBLES else ""
            told = f"Near-duplicates{some}: perhaps the same work photographed twice, no influence"
            _pictures(rows[-1], doubles, told, _DOUBLES)
    return out.getvalue()


def _head(row: SubFigure, images: Sequence[Shown], currents: Sequence[Current]) -> None:
    left, right = row.subfigures(1, 2, width_ratios=(1, 1.4), squeeze=False)[0]
    _pictures(left, images[:3], "", min(3, len(images)))
    axes = right.subplots()
    shares = [current.share for current in currents]
    rest = max(0.0, 1 - sum(shares))
    axes.barh(range(len(shares)), shares, color=ORANGE, height=0.6)
    axes.barh([len(shares)], [rest], color=QUIET, height=0.6)
    for place, share in enumerate([*shares, rest]):
        axes.text(share + 0.01, place, f"{share:.1%}", va="center", fontsize=8)
    names = [cut(current.name, 48) for current in currents] + ["all other clusters"]
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 1.12), ylim=(max(3, len(names)) - 0.4, -0.6), title="Responsibility of each cluster")
    axes.grid(axis="y", visible=False)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_formatter("{x:.0%}")


def _current(row: SubFigure, current: Current) -> None:
    row.suptitle(f"{cut(current.name, 90)}: {current.share:.1%}", x=0.02, ha="left", fontsize=10)
    left, right = row.subfigures(1, 2, width_ratios=(1.5, 1), squeeze=False)[0]
    none = "" if current.works else "All its typical works are near-duplicates of this one, or of its own record."
    _pictures(left, current.works, none, 6)
    chosen = current.columns[:_PANELS]
    if chosen:
        panels = right.subplots(1, len(chosen), squeeze=False)[0]
        for axes, (name, bars) in zip(panels, chosen, strict=True):
            panel(axes, name, bars[:_BARS], _BARS)
        row.legend(*panels[0].get_legend_handles_labels(), loc="upper right", ncols=2, fontsize=7)


def _pictures(row: SubFigure, shown: Sequence[Shown], title: str, columns: int) -> None:
    if title:
        row.suptitle(title, x=0.02, ha="left", fontsize=10)
    panels = row.subplots(1, max(1, columns), squeeze=False)[0]
    for axes in panels:
        axes.set_axis_off()
    for axes, one in zip(panels, shown, strict=False):
        _picture(axes, one)


def _picture(axes: Axes, one: Shown) -> None:
    axes.imshow(one.picture.pixels, aspect=1 / one.picture.aspect)
    text = "\n".join(cut(line, _NAMED) for line in one.lines if line)
    axes.text(0, -0.04, text, transform=axes.transAxes, va="top", fontsize=7)
