"""One picture of a benchmark: a panel of horizontal bars for each figure that its results have."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from artylyze.drawing.plots import BLUE, QUIET
from benchmarks.report import number

OURS = "artylyze"
_BAR, _FRAME = 0.3, 0.75  # inches that a bar takes, and what is around the bars of a panel


@dataclass(frozen=True)
class Panel:
    """Bars under a title: name -> value; those whose name begins with `artylyze` stand out."""

    title: str
    bars: Mapping[str, float]


def draw(title: str, panels: Sequence[Panel]) -> bytes:
    """Draw panels, one at least, below each other; return a PNG."""
    heights = [_FRAME + _BAR * len(panel.bars) for panel in panels]
    with mpl.rc_context({"text.parse_math": False, "font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(8, 0.5 + sum(heights)), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for place, panel in zip(axes, panels, strict=True):
            _panel(place, panel)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
    return picture.getvalue()


def _panel(axes: Axes, panel: Panel) -> None:
    values = list(panel.bars.values())
    colours = [BLUE if name.startswith(OURS) else QUIET for name in panel.bars]
    axes.barh(range(len(values)), values, height=0.68, color=colours)
    most = max(values) or 1
    for place, value in enumerate(values):
        axes.text(value + most * 0.01, place, number(value), va="center", fontsize=8.5)
    axes.set_yticks(range(len(values)), list(panel.bars))
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_xlim(0, most * 1.14)
    axes.set_title(panel.title, loc="left", fontsize=9.5)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#E4E4E4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
