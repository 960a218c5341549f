"""What held-out scores are good for: the temperature that makes them honest, the threshold that sends to review."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEMPERATURES = (0.05, 20.0)
"""Between these the temperature is looked for."""

FLAG_ALL = 1.0
"""The threshold that sends every image to review."""

_JUST_BELOW = float(np.nextafter(np.float32(1), np.float32(0)))


def fit_temperature(logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """The temperature under which `logits` (n, terms) give `labels` (n,), each 0 or more, the least cross-entropy.

    Temperature scaling: Guo et al. 2017, arXiv:1706.04599, section 4.2. It changes no answer, only how sure it is. A
    label counts (n + 1) / (n + 2), as if one more image had come out wrong (Platt 1999, section 2.2): a few images
    without a mistake are no reason to be certain.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    count, terms = logits.shape
    targets = np.full((count, terms), 1 / (count + 2) / max(1, terms - 1))
    targets[np.arange(count), labels] = (count + 1) / (count + 2)
    exact = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        return -float((targets * log_softmax(exact / np.exp(log_temperature), axis=1)).sum(axis=1).mean())

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x))


def review_threshold(
    scores: NDArray[np.floating[Any]], correct: NDArray[np.bool_], precision: float, *, least: int = 1
) -> float | None:
    """The lowest threshold, below 1, from which on at least `precision` of the answers are correct; None if none is.

    Args:
        scores: (n,) of the best term of each image, 0 to 1.
        correct: (n,) whether that term is the label.
        precision: share of correct answers among the images whose score reaches the threshold.
        least: images that must reach it, so that the share is no accident of a few.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, right = np.minimum(scores[order], _JUST_BELOW), np.cumsum(correct[order])
    reached = np.arange(1, len(ranked) + 1)
    # Images of equal score are on one side of any threshold: only the last of them can be the end.
    ends = np.append(ranked[:-1] != ranked[1:], True) if len(ranked) else np.zeros(0, bool)
    good = ends & (reached >= least) & (right >= precision * reached - 1e-9)
    return float(ranked[good][-1]) if good.any() else None
