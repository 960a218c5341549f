"""The features of an image: pooled features of the backbone, then statistics of its tapped stages.

Style depends on texture, which the last stage has mostly lost: the mean and the deviation of each channel of an earlier
stage describe it. Genre also depends on composition (sky above land, a head above a body), so the means are taken over
the upper, middle and lower part and over the centre.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from artylyze.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Added to each variance: the root of 0 has an infinite gradient. The exporter would drop 1e-8.
_FLAT = 1e-6

BANDS = 3
"""Parts of an image from top to bottom."""

STATISTICS = BANDS + 2
"""Values of `statistics` for each channel."""


def extract(module: torch.nn.Module, images: torch.Tensor, taps: Sequence[int]) -> torch.Tensor:
    """Return float32 (n, F): the pooled features of the timm model `module`, then `statistics` of each tapped stage.

    `images` is (n, 3, size, size), normalised; `taps` are indices of `module.feature_info`, ascending.
    """
    if not taps:
        return torch.as_tensor(module(images)).float()
    tapped: Any = module
    final, stages = tapped.forward_intermediates(images, indices=list(taps))
    return torch.cat([tapped.forward_head(final).float(), *map(statistics, stages)], dim=1)


def statistics(stage: torch.Tensor) -> torch.Tensor:
    """(n, C, h, w) -> float32 (n, STATISTICS * C): means of each channel over each band, over the centre; deviations.

    If the rows cannot be divided evenly, neighbouring bands share one. The centre excludes a quarter on each side. The
    deviation is over the whole image.
    """
    values = stage.float()
    rows, columns = values.shape[2:]
    parts = [values[:, :, band * rows // BANDS : -(-(band + 1) * rows // BANDS)] for band in range(BANDS)]
    parts += [values[:, :, rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]]
    variance = (values - values.mean((2, 3), keepdim=True)).square().mean((2, 3))
    return torch.cat([*(part.mean((2, 3)) for part in parts), (variance + _FLAT).sqrt()], dim=1)


def check_taps(name: str, module: torch.nn.Module, taps: Sequence[int]) -> None:
    """Raise InputError if the timm model `module` with this name has no such stages."""
    if not taps:
        return
    stages: Sequence[object] = getattr(module, "feature_info", ())
    if not (hasattr(module, "forward_intermediates") and stages):
        raise InputError(f"{name} has no stages to tap: choose another backbone, or omit `taps`.")
    if list(taps) != sorted(set(taps) & set(range(len(stages)))):
        raise InputError(f"{name} has the stages 0 to {len(stages) - 1}: give `taps` of them in ascending order.")
