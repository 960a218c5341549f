"""Bar charts of classes: how many images each has, for learning and for judging."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_TRAIN, _TEST = "#0072B2", "#E69F00"  # of Okabe and Ito (2008), which colour-blind people tell apart
_INK, _QUIET = "#222222", "#666666"
_BAR = 0.27  # inches that a bar takes
_PANEL = 6.2  # inches that a task's panel is wide

_T = TypeVar("_T")


@dataclass(frozen=True)
class Bar:
    """One class: its term, and its images on each side."""

    term: str
    train: int
    test: int


def class_bars(title: str, tasks: Mapping[str, Sequence[Bar]]) -> bytes:
    """Draw a panel of horizontal bars for each task, two in a row; return it as a PNG.

    Args:
        title: over the chart.
        tasks: task -> its classes, from the top; one task at least.
    """
    columns = min(2, len(tasks))
    most = [max(map(len, row)) for row in _in_rows(list(tasks.values()), columns)]
    size = (_PANEL * columns, 0.6 + sum(0.9 + _BAR * bars for bars in most))
    style: dict[Any, Any] = {"text.parse_math": False, "font.family": "DejaVu Sans", "font.size": 9.5}
    with mpl.rc_context(style | {"axes.edgecolor": _QUIET}):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", color=_INK, fontsize=12)
        axes = figure.subplots(len(most), columns, squeeze=False, height_ratios=[max(bars, 1) for bars in most])
        for row, names in enumerate(_in_rows(list(tasks), columns)):
            for column, task in enumerate(names):
                _panel(axes[row][column], task, tasks[task], most[row])
        if len(tasks) % columns:
            axes[-1][-1].set_axis_off()
        handles, names = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower left", ncols=2, frameon=False)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
    return picture.getvalue()


def _in_rows(items: Sequence[_T], columns: int) -> list[Sequence[_T]]:
    return [items[start : start + columns] for start in range(0, len(items), columns)]


def _panel(axes: Axes, task: str, bars: Sequence[Bar], rows: int) -> None:
    places = range(len(bars))
    totals = [bar.train + bar.test for bar in bars]
    train = [bar.train for bar in bars]
    axes.barh(places, train, height=0.72, color=_TRAIN, label="train")
    axes.barh(places, [bar.test for bar in bars], left=train, height=0.72, color=_TEST, label="test")
    most = max(totals, default=1) or 1
    for place, total in zip(places, totals, strict=True):
        axes.text(total + most * 0.01, place, f"{total:,}", va="center", color=_INK, fontsize=8.5)
    axes.set_yticks(places, [_short(bar.term) for bar in bars])
    axes.set_ylim(rows - 0.4, -0.6)  # panels with fewer classes have bars of the same height
    axes.set_xlim(0, most * 1.14)
    axes.set_title(f"{task}: {sum(totals):,} labels, {len(bars)} classes", loc="left", color=_INK, fontsize=10.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("images", color=_QUIET)
    axes.tick_params(colors=_QUIET, labelcolor=_INK, length=3)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _short(term: str) -> str:
    return term if len(term) <= 40 else term[:39].rstrip() + "\u2026"
