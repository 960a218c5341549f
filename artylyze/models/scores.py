"""From logits to calibrated scores, the top terms, and the flag for review. Needs numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.models.bundle import Task


NONE = "none of these"
"""The answer to every task for an image outside what the model knows."""


@dataclass(frozen=True)
class Scores:
    """The answers to one task for n images, and the k best terms, best first."""

    answers: NDArray[np.object_]  # (n,) str: the best term, or NONE
    terms: NDArray[np.object_]  # (n, k) str
    scores: NDArray[np.float32]  # (n, k), 0 to 1; NaN for terms that are only ranked
    review: NDArray[np.bool_]  # (n,): the answer is NONE, or the best score below the threshold of task or term


def probabilities(logits: NDArray[np.floating[Any]], temperature: float | None) -> NDArray[np.float32]:
    """Return softmax(logits / temperature) over the last axis, (n, terms) -> float32 (n, terms); None is 1.

    Temperature scaling: Guo et al. 2017, arXiv:1706.04599.
    """
    scaled = logits.astype(np.float64) / (temperature or 1.0)
    with np.errstate(invalid="ignore"):  # an infinite logit makes its row NaN, which `score` marks for review
        exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    result: NDArray[np.float32] = (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result


def thresholds(task: Task) -> NDArray[np.float64]:
    """Return for each term the score, (terms,), below which an answer of that term is marked for review."""
    of_terms = [task.term_thresholds.get(term, 0.0) for term in task.terms]
    return np.asarray(np.maximum(of_terms, task.review_threshold), np.float64)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows (n, d) scaled to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def score(
    logits: NDArray[np.floating[Any]], task: Task, k: int = 5, outside: NDArray[np.float32] | None = None
) -> Scores:
    """Return the k best terms (all, if the task has fewer) of each row of `logits` (n, len(task.terms)).

    Terms with equal scores keep their order. A row with NaN is marked for review, as is every row of a task without a
    temperature. Where `outside` (n,), as a runtime gives it, is above 1 the answer is NONE; the k best terms are those
    that it would have been otherwise.
    """
    calibrated = logits if task.temperature is None else probabilities(logits, task.temperature)
    best = np.argsort(-calibrated, axis=1, kind="stable")[:, :k]
    top = np.take_along_axis(calibrated, best, axis=1)
    top = np.full_like(top, np.nan) if task.temperature is None else top
    terms = np.array(task.terms, dtype=object)[best]
    unknown = np.zeros(len(terms), np.bool_) if outside is None else outside > 1
    sure = top[:, 0] >= thresholds(task)[best[:, 0]]
    return Scores(np.where(unknown, NONE, terms[:, 0]), terms, top, ~sure | unknown)
