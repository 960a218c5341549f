"""How far an image lies from what a model learned: what the principal components of its features do not explain.

The residual of Wang et al. 2022, arXiv:2203.10807, section 4.1, of standardised features, by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from artylyze.models.bundle import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


SHARE = 0.02
"""Share of held-out images that lie beyond the limit."""


@dataclass(frozen=True, eq=False)
class Outside:
    """The length of what is left of an image's features without their components, as a multiple of the limit.

    Attributes:
        mean: float32 (F,), of the features as the backbone gives them.
        scale: float32 (F,), by which they are multiplied, less their mean: 1 / (deviation x limit).
        components: float32 (r, F), orthonormal.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    components: NDArray[np.float32]

    def distance(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (n, F) -> float32 (n,); what lies above 1 is outside."""
        standard = (features - self.mean) * self.scale
        rest = standard - standard @ self.components.T @ self.components
        lengths: NDArray[np.float32] = np.linalg.norm(rest, axis=1)
        return lengths

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return its tensors by their names in a bundle."""
        return {f"outside.{name}": getattr(self, name) for name in OUTSIDE}

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[np.float32]]) -> Outside | None:
        """Return that of a bundle's tensors; None if they have none."""
        return cls(*(tensors[f"outside.{name}"] for name in OUTSIDE)) if "outside.mean" in tensors else None
