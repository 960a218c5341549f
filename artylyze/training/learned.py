"""What either mode of training hands over to be calibrated, measured and written as a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.models.backbones import Backbone
    from artylyze.models.outside import Outside
    from artylyze.training.heads import Head


@dataclass(frozen=True, eq=False)
class Scored:
    """Labelled images of one task that a model answered for without having learned from them.

    Attributes:
        logits: float32 (n, terms), not calibrated.
        labels: int64 (n,), none of them -1.
        untaught: classes that who answered had learned nothing of, in cross-validation for one of the parts at least.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    untaught: tuple[int, ...] = ()

    def taught(self) -> Scored:
        """The images of the other classes: the only ones from which anything follows for the model."""
        known = ~np.isin(self.labels, self.untaught)
        return Scored(self.logits[known], self.labels[known])


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained model.

    Attributes:
        backbone: float32, on the CPU, in evaluation mode.
        heads: for each task, on all features of the backbone.
        curves: per epoch, by series (`artylyze.drawing.plots.curves` names them).
        held_out: for each task images of the train split.
        test: for each task those of the test split; a task without any is absent.
        failed: image_id -> error code of the images that could not be read.
        counts: for each task how many images of each term it learned from.
        about: JSON values that describe how it was trained.
        outside: how far an image lies from those learned from; None where they are too few.
        flatters: why figures of the held-out images are too good, in words; None if they are not.
    """

    backbone: Backbone
    heads: Mapping[str, Head]
    curves: Mapping[str, Sequence[float]]
    held_out: Mapping[str, Scored]
    test: Mapping[str, Scored]
    failed: Mapping[str, str]
    counts: Mapping[str, Mapping[str, int]]
    about: Mapping[str, Any] = field(default_factory=dict)
    outside: Outside | None = None
    flatters: str | None = None
