"""Plots of clusters: what a column says of all of them, and what all columns say of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from artylyze.drawing.plots import BLUE, ORANGE, cut, figure_of, heatmap

_SHOWN = 8  # bars of a panel
_WIDE = 3.5  # inches of a panel


@dataclass(frozen=True)
class Bar:
    """One term in one cluster: shares between 0 and 1 in the cluster and overall, and whether it marks the cluster."""

    term: str
    share: float
    overall: float
    lift: float
    marks: bool


def column_plot(
    title: str, clusters: Sequence[str], terms: Sequence[str], shares: NDArray[np.float64], marks: NDArray[np.bool_]
) -> bytes:
    """Draw the shares of terms in clusters, (clusters, terms) each; a square is around those that mark the cluster."""
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
    return out.getvalue()


def cluster_plot(title: str, columns: Sequence[tuple[str, Sequence[Bar]]]) -> bytes:
    """Draw a panel for each column: the shares of its terms in the cluster, and a mark for that in the collection."""
    across = min(3, max(1, len(columns)))
    down = -(-len(columns) // across)
    shown = min(_SHOWN, max((len(bars) for _, bars in columns), default=1))
    with figure_of(title, max(6.5, _WIDE * across), 1.1 + down * (0.75 + 0.24 * shown)) as (figure, out):
        panels = figure.subplots(down, across, squeeze=False).ravel()
        for axes, (name, bars) in zip(panels, columns, strict=False):
            panel(axes, name, bars[:_SHOWN], shown)
        for axes in panels[len(columns) :]:
            axes.set_axis_off()
        if columns:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower left", ncols=3)
    return out.getvalue()


def panel(axes: Axes, name: str, bars: Sequence[Bar], rows: int) -> None:
    """Draw the bars of one column, in a panel with room for `rows`."""
    places = np.arange(len(bars))
    shares = [bar.share for bar in bars]
    axes.barh(places, shares, height=0.7, color=BLUE, label="share of the cluster")
    overall = [bar.overall for bar in bars]
    axes.plot(overall, places, "d", color=ORANGE, markersize=4.5, label="of the collection")
    most = max([*shares, *overall, 0.01])
    for place, bar in enumerate(bars):
        right = max(bar.share, bar.overall) + most * 0.03
        text = axes.text(right, place, f"x {bar.lift:.1f}", va="center", fontsize=7)
        text.set_fontweight("bold" if bar.marks else "normal")
    axes.set_yticks(places, [cut(bar.term, 24) for bar in bars])
    axes.set(ylim=(rows - 0.4, -0.6), xlim=(0, most * 1.25), title=cut(name, 34))
    axes.grid(axis="y", visible=False)
    axes.tick_params(labelsize=7.5)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0 if most > 0.05 else 1))
