"""Plots of clusters: what a column says of all of them, and what all columns say of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from artylyze.drawing.plots import BLUE, HATCH, ORANGE, QUIET, cut, figure_of, heatmap, wrapped

_SHOWN = 8  # bars of a panel
_WIDE = 3.9  # inches of a panel
_LABEL = 20  # letters of a line beside a bar
_COUNTED = "at each bar: works, and how many times the collection's share (bold: the term marks the cluster)"


@dataclass(frozen=True)
class Bar:
    """One term in one cluster.

    Attributes:
        term: of the column.
        images: works of the cluster that have it.
        share: of the cluster's works that have a value, 0 to 1.
        overall: the same of the whole collection.
        lift: share / overall, None where too few works have the term for it to mean anything.
        marks: whether it marks the cluster.
    """

    term: str
    images: int
    share: float
    overall: float
    lift: float | None
    marks: bool


@dataclass(frozen=True)
class Panel:
    """One column in one cluster: how many of its works have a value, and the terms, the most frequent first."""

    name: str
    known: int
    works: int
    bars: Sequence[Bar]


def column_plot(
    title: str,
    clusters: Sequence[str],
    terms: Sequence[str],
    shares: NDArray[np.float64],
    marks: NDArray[np.bool_],
    known: NDArray[np.int64],
) -> bytes:
    """Draw the shares of terms in clusters as colours.

    Args:
        title: over the plot.
        clusters: names of the rows.
        terms: names of the columns.
        shares: (clusters, terms), 0 to 1.
        marks: (clusters, terms), the terms that mark a cluster: they get a frame.
        known: (clusters,) works that have a value; a row of none is hatched.
    """
    rows, columns = shares.shape
    most = max(0.01, float(shares.max()))
    with figure_of(title, max(6.0, 3.4 + 0.46 * columns), 2.6 + 0.3 * rows) as (figure, out):
        axes = heatmap(figure, shares, clusters, [cut(term) for term in terms], "share of the cluster", most, "auto")
        for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
            colour = "white" if shares[row, column] > 0.55 * most else "black"
            text = axes.text(column, row, f"{shares[row, column]:.0%}", ha="center", va="center", color=colour)
            text.set(fontsize=7, in_layout=False)
        for row, column in zip(*np.nonzero(marks), strict=True):
            corner = (column - 0.48, row - 0.46)
            axes.add_patch(Rectangle(corner, 0.96, 0.92, fill=False, edgecolor=ORANGE, linewidth=1.2))
        for row in np.flatnonzero(known == 0):
            whole = Rectangle((-0.5, row - 0.46), columns, 0.92, fill=False, hatch=HATCH, edgecolor=QUIET, linewidth=0)
            axes.add_patch(whole)
    return out.getvalue()


def cluster_plot(title: str, columns: Sequence[Panel]) -> bytes:
    """Draw a panel for each column: the shares of its terms in the cluster, and a mark for that in the collection."""
    across = min(3, max(1, len(columns)))
    down = -(-len(columns) // across)
    shown = min(_SHOWN, max((len(column.bars) for column in columns), default=1))
    with figure_of(title, max(7.0, _WIDE * across), 1.2 + down * (0.85 + 0.27 * shown)) as (figure, out):
        places = figure.subplots(down, across, squeeze=False).ravel()
        for axes, column in zip(places, columns, strict=False):
            draw_panel(axes, column, shown)
        for axes in places[len(columns) :]:
            axes.set_axis_off()
        panel_legend(figure, 1 if across == 1 else 3)
    return out.getvalue()


def panel_legend(figure: Figure | SubFigure, across: int = 3) -> None:
    """Draw once what the bars, marks and numbers of panels are."""
    handles = [
        Rectangle((0, 0), 1, 1, color=BLUE, label="share of the cluster's works that have a value"),
        Line2D([], [], marker="d", color=ORANGE, linestyle="", markersize=4.5, label="of the collection's"),
        Line2D([], [], linestyle="", label=_COUNTED),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=across, fontsize=7, columnspacing=1.2)


def draw_panel(axes: Axes, panel: Panel, rows: int) -> None:
    """Draw the bars of one column, in a panel with room for `rows`; one without a value is hatched, and says so."""
    axes.set_title(f"{cut(panel.name, 34)}: {panel.known:,} of {panel.works:,}", loc="left", fontsize=8)
    axes.grid(axis="y", visible=False)
    axes.tick_params(labelsize=7)
    if not panel.known:
        axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, hatch=HATCH, edgecolor=QUIET))
        axes.text(0.5, 0.5, "no work has a value", transform=axes.transAxes, ha="center", va="center", fontsize=8).set(
            backgroundcolor="white", in_layout=False
        )
        axes.set(xticks=[], yticks=[])
        return
    bars = panel.bars[:rows]
    places = np.arange(len(bars))
    shares, overall = [bar.share for bar in bars], [bar.overall for bar in bars]
    axes.barh(places, shares, height=0.7, color=BLUE)
    axes.plot(overall, places, "d", color=ORANGE, markersize=4.5)
    most = max([*shares, *overall, 0.01])
    for place, bar in enumerate(bars):
        times = "" if bar.lift is None else f", x {bar.lift:.1f}"
        right = max(bar.share, bar.overall) + most * 0.04
        text = axes.text(right, place, f"{bar.images:,}{times}", va="center", fontsize=6.5)
        text.set(fontweight="bold" if bar.marks else "normal", in_layout=False)
    axes.set_yticks(places, [wrapped(bar.term, _LABEL) for bar in bars])
    ticks = [tick for tick in MaxNLocator(3).tick_values(0, most) if tick <= max(shares + overall)]
    axes.set(ylim=(rows - 0.4, -0.6), xlim=(0, most * 1.5), xticks=ticks)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0 if most > 0.05 else 1))
