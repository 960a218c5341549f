"""Plots: plain numbers and names in, the bytes of a PNG out.

Names are drawn as they are, `$` included. Colours are those of Okabe and Ito (2008), which colour-blind people tell
apart; lines differ in their marker too.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter, StrMethodFormatter
from numpy.typing import NDArray

DPI = 200
"""Pixels an inch: twice what screens had, so that a page can show a plot at half its size."""

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = "osD^vPX"
QUIET = "#8A8A8A"
HATCH = "////"
"""What has too little behind it, or nothing."""

_STYLE: dict[Any, Any] = {  # matplotlib types its keys as literals
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "legend.frameon": False,
}
_HATCHED: dict[str, Any] = {"facecolor": "#DCE9F3", "edgecolor": BLUE, "hatch": HATCH, "linewidth": 0.5}

SURE = 1.96
"""Standard errors on either side of a share that hold the true one in 95 of 100 cases."""

_ERRORS = "bars: 95% confidence by the number of images; works of one artist are alike, so the true error is larger"
_NAME = 28  # letters of a class before it is cut: the plot must keep room for itself
_NUMBERED = 40  # classes above which a confusion matrix has no room for numbers


@dataclass(frozen=True)
class Bar:
    """One class: its term, and how many images of it are in the training and the test split."""

    term: str
    train: int
    test: int


@dataclass(frozen=True)
class History:
    """One training among several: its model, its name, held-out loss and accuracy by epoch, the model's best or not."""

    model: str
    label: str
    loss: Sequence[float]
    accuracy: Sequence[float]
    best: bool


@dataclass(frozen=True)
class Score:
    """One class in a bar chart: its figures between 0 and 1, and how many images have it."""

    term: str
    count: int
    precision: float
    recall: float
    f1: float


def confusion(title: str, matrix: NDArray[np.integer[Any]], terms: Sequence[str]) -> bytes:
    """Draw a confusion matrix, (terms, terms) counts [label, prediction]; colour is the share of the label's images."""
    size = len(terms)
    cell = max(0.42, 2.2 / size) if size <= _NUMBERED else 0.17
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    with figure_of(title, 3.8 + cell * size, 2.5 + cell * size, layout="compressed") as (figure, out):
        names = [cut(term) for term in terms]
        axes = heatmap(figure, shares, names, names, "share of the label's images")
        axes.set(xlabel="prediction", ylabel="label")
        axes.tick_params(labelsize=8 if size <= _NUMBERED else 6)
        if size <= _NUMBERED:
            _write_counts(axes, matrix, shares)
    return out.getvalue()


def heatmap(
    figure: Figure,
    shares: NDArray[np.floating[Any]],
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    most: float = 1.0,
    aspect: Literal["equal", "auto"] = "equal",
) -> Axes:
    """Draw shares, (rows, columns), as colours from 0 to `most`, with a colour bar; return the axes."""
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=most, aspect=aspect)
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, labelsize=8)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, format=PercentFormatter(1, decimals=0))
    bar.set_label(label)
    bar.outline.set_visible(False)
    return axes


def reliability(
    title: str, bins: Sequence[tuple[float, float, int, float, float]], error: float, few: int = 20
) -> bytes:
    """Draw a reliability diagram: accuracy against score, and how many images each bar stands for.

    Args:
        title: over the plot.
        bins: (low, high, predictions, mean score, accuracy) of each, in order.
        error: the expected calibration error.
        few: images below which a bar is little more than chance, and hatched.
    """
    low, high, count, _, accuracy = (np.array(column) for column in zip(*bins, strict=True))
    with figure_of(title, 6.4, 5.8) as (figure, out):
        top, bottom = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        for some, style, label in (
            (count >= few, {"color": BLUE, "edgecolor": "white"}, "accuracy"),
            ((count > 0) & (count < few), _HATCHED, f"accuracy, of fewer than {few} images"),
        ):
            if some.any():
                top.bar(low[some], accuracy[some], (high - low)[some], align="edge", label=label, **style)
        top.plot([0, 1], [0, 1], color="black", linestyle="--", label="accuracy that the scores promise")
        top.set(ylabel="accuracy", ylim=(0, 1.02), xlim=(0, 1), title=f"expected calibration error {error:.3f}")
        figure.legend(*top.get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=8)
        bottom.bar(low, count, high - low, align="edge", color=QUIET, edgecolor="white")
        for left, right, images in zip(low, high, count, strict=True):
            bottom.text((left + right) / 2, images, f"{images:,}", ha="center", va="bottom", fontsize=7)
        bottom.set(xlabel="score of the prediction", ylabel="images", ylim=(0, max(1, count.max()) * 1.25))
        bottom.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return out.getvalue()


def coverage(title: str, curve: Sequence[tuple[float, float]], marks: Mapping[str, tuple[float, float]]) -> bytes:
    """Draw the accuracy on the most certain share of the images against that share.

    Args:
        title: over the plot.
        curve: (share, accuracy) in the order of the shares.
        marks: points that matter, by what they are.
    """
    with figure_of(title, 6.4, 4.2) as (figure, out):
        axes = figure.subplots()
        axes.plot(*zip(*curve, strict=True), color=BLUE, linewidth=2)
        for number, (name, point) in enumerate(marks.items(), 1):
            label = f"{name} ({point[0]:.0%}): {point[1]:.3f}"
            axes.plot(*point, MARKERS[number], color=PALETTE[number], markersize=9, label=label)
        axes.set(xlabel="images kept, the most certain first", ylabel="accuracy on those (precision)")
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        if marks:
            axes.legend(loc="lower left")
    return out.getvalue()


def curves(title: str, series: Mapping[str, Sequence[float]]) -> bytes:
    """Draw loss and accuracy of each epoch, side by side; of one epoch, which has no course, the values.

    Args:
        title: over the plot.
        series: one value for each epoch, by `<task> loss, train`, `<task> loss, held out`, and the same for `accuracy`.
    """
    parts = [(*_series(name), values) for name, values in series.items()]
    tasks = list(dict.fromkeys(task for task, *_ in parts))
    with figure_of(title, 10, 4.2) as (figure, out):
        panels = dict(zip(("loss", "accuracy"), figure.subplots(1, 2), strict=True))
        for task, what, side, values in parts:
            number = tasks.index(task)
            one = f": {values[0]:.3f}" if len(values) == 1 else ""
            panels[what].plot(
                np.arange(1, len(values) + 1),
                values,
                color=PALETTE[number % len(PALETTE)],
                linestyle="--" if side == "train" else "-",
                marker=MARKERS[number % len(MARKERS)] if len(values) <= 40 else "",
                fillstyle="none" if side == "train" else "full",
                markersize=5 if one else 3.5,
                label=f"{task}, {side}{one}",
            )
        epochs = max((len(values) for *_, values in parts), default=1)
        for what, axes in panels.items():
            _epochs(axes, what, epochs)
            if axes.lines:
                axes.legend()
    return out.getvalue()


def histories(title: str, runs: Sequence[History]) -> bytes:
    """Draw held-out loss and accuracy by epoch of several trainings in one picture, a colour for each model.

    The training of a model that did best is drawn thick and has a name, its others are thin and pale.
    """
    models = list(dict.fromkeys(run.model for run in runs))
    with figure_of(title, 10, 4.4 + 0.17 * max(0, len(models) - 6)) as (figure, out):
        panels = figure.subplots(1, 2)
        for run in sorted(runs, key=lambda run: run.best):
            number = models.index(run.model)
            style: dict[str, Any] = {"color": PALETTE[number % len(PALETTE)], "linewidth": 0.8, "alpha": 0.4}
            if run.best:
                style |= {"linewidth": 2, "alpha": 1, "label": run.label, "marker": MARKERS[number % len(MARKERS)]}
            for axes, values in zip(panels, (run.loss, run.accuracy), strict=True):
                if len(values) == 1:
                    style |= {"marker": MARKERS[number % len(MARKERS)]}
                axes.plot(np.arange(1, len(values) + 1), values, markersize=4, **style)
        epochs = max((len(run.accuracy) for run in runs), default=1)
        for axes, what in zip(panels, ("loss", "accuracy"), strict=True):
            _epochs(axes, f"held-out {what}", epochs)
        handles, labels = panels[1].get_legend_handles_labels()
        pale = ["thin lines: their other learning rates"] if any(not run.best for run in runs) else []
        handles += [Line2D([], [], color=QUIET, linewidth=0.8, alpha=0.6) for _ in pale]
        figure.legend(handles, [*labels, *pale], loc="outside lower left", ncols=2 if len(labels) > 2 else 1)
    return out.getvalue()


def _epochs(axes: Axes, what: str, epochs: int) -> None:
    """Label the axes of curves, from 0 up; of one epoch there is one place."""
    top = 1.02 if what.endswith("accuracy") else (1.08 * axes.dataLim.ymax if axes.lines else 0.0) or 1.0
    axes.set(xlabel="epoch", ylabel=what, ylim=(0, top))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if epochs == 1:
        axes.set(xlabel="epoch (only one: there is no curve)", xlim=(0.5, 1.5), xticks=[1])


def sweep(title: str, series: Mapping[str, Sequence[tuple[float, float, float]]], score: str = "accuracy") -> bytes:
    """Draw a score against the learning rate.

    Args:
        title: over the plot.
        series: (learning rate, score, its standard error) of each trial, NaN where it diverged, by what the trials have
            in common: a backbone and its mode.
        score: its name.
    """
    with figure_of(title, 7, 4.6) as (figure, out):
        axes = figure.subplots()
        for number, (name, trials) in enumerate(series.items()):
            rates, values, errors = (np.array(column) for column in zip(*sorted(trials), strict=True))
            style: dict[str, Any] = {"marker": MARKERS[number % len(MARKERS)], "color": PALETTE[number % len(PALETTE)]}
            axes.errorbar(rates, values, SURE * errors, capsize=3, elinewidth=0.9, label=name, **style)
        finite = [trial for trials in series.values() for trial in trials if np.isfinite(trial[1])]
        rate, best, _ = max(finite, key=lambda trial: trial[1], default=(np.nan, np.nan, np.nan))
        axes.plot(
            rate, best, "o", color="black", fillstyle="none", markersize=13, label=f"best: {best:.3f} at {rate:g}"
        )
        axes.set(xscale="log", xlabel=f"learning rate\n{_ERRORS}", ylabel=score, ylim=(0, 1.02))
        axes.xaxis.label.set_fontsize(8)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5)) if len(series) > 4 else axes.legend()
    return out.getvalue()


def classes(title: str, scores: Sequence[Score]) -> bytes:
    """Draw F1, precision and recall of each class, the best on top."""
    rows = sorted(scores, key=lambda score: (score.f1, score.count))
    with figure_of(title, 7.5, 1.7 + 0.3 * len(rows)) as (figure, out):
        axes = figure.subplots()
        places = np.arange(len(rows))
        axes.barh(places, [score.f1 for score in rows], color="#A9CCE3", label="F1")
        axes.plot([score.precision for score in rows], places, MARKERS[1], color=ORANGE, label="precision")
        axes.plot([score.recall for score in rows], places, MARKERS[2], color=GREEN, label="recall")
        axes.set_yticks(places, [f"{cut(score.term)} ({score.count:,})" for score in rows])
        axes.set(xlim=(0, 1.02), ylim=(-0.6, len(rows) - 0.4))
        axes.grid(axis="y", visible=False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25 / (0.3 * len(rows) + 0.4)), ncols=3)
    return out.getvalue()


def class_bars(title: str, tasks: Mapping[str, Sequence[Bar]]) -> bytes:
    """Draw how many images each class has: a panel for each task, two in a row.

    Args:
        title: over the plot.
        tasks: task -> its classes, from the top; one task at least.
    """
    across, names = min(2, len(tasks)), list(tasks)
    rows = [max(len(tasks[name]) for name in names[start : start + across]) for start in range(0, len(names), across)]
    with figure_of(title, 6.2 * across, 0.6 + sum(0.9 + 0.27 * bars for bars in rows)) as (figure, out):
        heights = [max(bars, 1) for bars in rows]
        panels = figure.subplots(len(rows), across, squeeze=False, height_ratios=heights).ravel()
        for number, (axes, name) in enumerate(zip(panels, names, strict=False)):
            _class_panel(axes, name, tasks[name], rows[number // across])
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return out.getvalue()


def _class_panel(axes: Axes, task: str, bars: Sequence[Bar], rows: int) -> None:
    places, train = range(len(bars)), [bar.train for bar in bars]
    totals = [bar.train + bar.test for bar in bars]
    axes.barh(places, train, height=0.72, color=BLUE, label="train")
    axes.barh(places, [bar.test for bar in bars], left=train, height=0.72, color=ORANGE, label="test")
    most = max(totals, default=1) or 1
    for place, total in zip(places, totals, strict=True):
        axes.text(total + most * 0.01, place, f"{total:,}", va="center", fontsize=8)
    axes.set_yticks(places, [cut(bar.term, 40) for bar in bars])
    axes.set(ylim=(rows - 0.4, -0.6), xlim=(0, most * 1.14), xlabel="images")  # fewer bars are as high as many
    axes.set_title(f"{task}: {sum(totals):,} labels, {len(bars)} classes")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(axis="y", visible=False)


def _series(name: str) -> tuple[str, str, str]:
    """Split `<task> <figure>, <side>`."""
    left, _, side = name.rpartition(", ")
    task, _, figure = left.rpartition(" ")
    return task, figure, side


def _write_counts(axes: Axes, matrix: NDArray[np.integer[Any]], shares: NDArray[np.floating[Any]]) -> None:
    for label, prediction in zip(*np.nonzero(matrix), strict=True):
        colour = "white" if shares[label, prediction] > 0.55 else "black"
        text = f"{matrix[label, prediction]}"
        number = axes.text(prediction, label, text, ha="center", va="center", color=colour)
        number.set(fontsize=8 if len(text) < 4 else 6, in_layout=False)  # inside its cell: no layout to compute


@contextmanager
def figure_of(
    title: str, width: float, height: float, layout: Literal["constrained", "compressed"] = "constrained"
) -> Iterator[tuple[Figure, io.BytesIO]]:
    """A figure of so many inches with its title; its PNG is in the second value afterwards."""
    out = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
        figure.suptitle(textwrap.fill(title, int(width * 11)), x=0.02, ha="left", fontsize=11, fontweight="bold")
        yield figure, out
        figure.savefig(out, format="png")


def wrapped(name: str, letters: int, lines: int = 2) -> str:
    """Return a name in lines of about so many letters; only what does not fit into `lines` of them is cut."""
    parts = textwrap.wrap(name, letters, break_long_words=True) or [""]
    return "\n".join(
        parts if len(parts) <= lines else [*parts[: lines - 1], cut(" ".join(parts[lines - 1 :]), letters)]
    )


def cut(name: str, letters: int = _NAME) -> str:
    """Return a name of at most so many letters, on one line."""
    name = " ".join(name.split())
    return name if len(name) <= letters else f"{name[: letters - 3].rstrip()}..."
