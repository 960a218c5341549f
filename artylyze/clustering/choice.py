"""The number of clusters: the elbow of inertia, what other scores prefer, and the plot of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator

from artylyze.drawing import plots

if TYPE_CHECKING:
    from artylyze.clustering.scores import Scores

_NAMES = {"elbow": "the elbow", "silhouette": "silhouette", "davies_bouldin": "Davies-Bouldin", "bic": "BIC"}


def elbow(ks: Sequence[int], inertias: Sequence[float]) -> tuple[int, str]:
    """Return the k at the elbow of a falling, convex curve (Satopaa et al. 2011, by kneed), and why it was chosen."""
    from kneed import KneeLocator

    if len(ks) > 2:
        knee = KneeLocator(list(ks), list(inertias), curve="convex", direction="decreasing").knee
        if knee is not None:
            return int(knee), f"elbow of inertia over k = {ks[0]} to {ks[-1]} (kneed)"
    return ks[len(ks) // 2], f"no elbow of inertia over k = {ks[0]} to {ks[-1]}: the middle"


def preferred(tried: Mapping[int, Scores], chosen: int) -> dict[str, int]:
    """Return the k that each criterion prefers: the chosen elbow of inertia, and the best by other scores."""
    costs: dict[str, Callable[[Scores], float | None]] = {
        "silhouette": lambda scores: -scores.silhouette.value if scores.silhouette else None,
        "davies_bouldin": lambda scores: scores.davies_bouldin if scores.silhouette else None,
        "bic": lambda scores: scores.bic,
    }
    best = {"elbow": chosen}
    for name, cost in costs.items():
        known = {k: value for k, scores in tried.items() if (value := cost(scores)) is not None}
        if known:
            best[name] = min(known, key=known.__getitem__)
    return best


def describe(scores: Mapping[str, Any]) -> list[str]:
    """Return what the scores of a clustering say of its stability and of k, in sentences."""
    sentences = []
    if stability := scores.get("stability"):
        sentences.append(
            f"Stability: {stability['refits']} refits on {stability['rows']:,} of the images agree with these clusters "
            f"with an adjusted Rand index of {stability['mean']:.2f} on average, {stability['low']:.2f} at least (1: "
            "the same clusters again, 0: as by chance)."
        )
    best = scores.get("preferred") or {}
    if len(set(best.values())) > 1:
        listed = ", ".join(f"{_NAMES.get(name, name)} {k}" for name, k in best.items())
        sentences.append(f"Criteria disagree on k: {listed}. Other numbers of clusters are as defensible as this one.")
    return sentences


def draw(title: str, tried: Mapping[int, Scores], chosen: int) -> bytes:
    """Draw all scores against k, the chosen k marked; return a PNG."""
    ks = sorted(tried)
    rows = [tried[k] for k in ks]
    silhouettes = [(k, scores.silhouette) for k, scores in zip(ks, rows, strict=True) if scores.silhouette]
    panels: dict[str, list[float | None]] = {
        "inertia": [scores.inertia for scores in rows],
        "silhouette (higher is better)": [scores.silhouette.value if scores.silhouette else None for scores in rows],
        "Davies-Bouldin (lower is better)": [scores.davies_bouldin for scores in rows],
        "Calinski-Harabasz (higher is better)": [scores.calinski_harabasz for scores in rows],
        "BIC of the mixture (lower is better)": [scores.bic for scores in rows],
    }
    shown = {name: values for name, values in panels.items() if any(value is not None for value in values)}
    down = (len(shown) + 1) // 2
    with plots.figure_of(title, 11, 2.7 * down) as (figure, out):
        axes = figure.subplots(down, 2, squeeze=False).ravel()
        for panel, (name, values) in zip(axes, shown.items(), strict=False):
            known = [(k, value) for k, value in zip(ks, values, strict=True) if value is not None]
            panel.plot(*zip(*known, strict=True), color=plots.BLUE, marker="o", markersize=3.5)
            if name.startswith("silhouette"):
                low, high = ([getattr(score, end) for _, score in silhouettes] for end in ("low", "high"))
                panel.fill_between([k for k, _ in silhouettes], low, high, color=plots.BLUE, alpha=0.2)
            panel.axvline(chosen, color=plots.ORANGE, linestyle="--", label=f"chosen: k = {chosen}")
            panel.set(title=name, xlabel="k")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.legend()
        for panel in axes[len(shown) :]:
            panel.set_axis_off()
    return out.getvalue()
