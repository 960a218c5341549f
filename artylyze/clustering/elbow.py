"""The picture of how k was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from artylyze.drawing import plots

if TYPE_CHECKING:
    from artylyze.clustering.choice import Scores


def draw(title: str, scores: Mapping[int, Scores], chosen: int) -> bytes:
    """Draw all scores against k, the chosen k marked; return a PNG."""
    ks = sorted(scores)
    rows = [scores[k] for k in ks]
    panels: dict[str, list[float | None]] = {
        "inertia": [one.inertia for one in rows],
        "silhouette (higher is better)": [one.silhouette.value if one.silhouette else None for one in rows],
        "Davies-Bouldin (lower is better)": [one.davies_bouldin for one in rows],
        "Calinski-Harabasz (higher is better)": [one.calinski_harabasz for one in rows],
        "BIC of the mixture (lower is better)": [one.bic for one in rows],
    }
    shown = {name: values for name, values in panels.items() if any(value is not None for value in values)}
    with plots.figure_of(title, 11, 2.7 * ((len(shown) + 1) // 2)) as (figure, out):
        axes = figure.subplots((len(shown) + 1) // 2, 2, squeeze=False).flat
        for panel, (name, values) in zip(axes, shown.items(), strict=False):
            known = [(k, value) for k, value in zip(ks, values, strict=True) if value is not None]
            panel.plot(*zip(*known, strict=True), color=plots.BLUE, marker="o", markersize=3.5)
            if name.startswith("silhouette"):
                bands = [(k, one.silhouette) for k, one in zip(ks, rows, strict=True) if one.silhouette]
                low, high = [band.low for _, band in bands], [band.high for _, band in bands]
                panel.fill_between([k for k, _ in bands], low, high, color=plots.BLUE, alpha=0.2)
            panel.axvline(chosen, color=plots.ORANGE, linestyle="--", label=f"chosen: k = {chosen}")
            panel.set(title=name, xlabel="k")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.legend()
        for panel in list(axes):
            panel.set_axis_off()
        for panel in figure.axes[len(shown) :]:
            panel.set_axis_off()
    return out.getvalue()
