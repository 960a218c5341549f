"""What the network sees of decoded images: scaled, normalised and, while it learns, mirrored and a little rotated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

if TYPE_CHECKING:
    from artylyze.models.bundle import Preprocessing

MOST_DEGREES = 10.0
"""How far an image is rotated, to either side."""

ANGLES = 8
"""Angles in a batch. Its images are in random order, so those that share one differ from epoch to epoch; a rotation
for each of 32 images took 1.4 times as long on a CPU, and starts four times as many kernels on a GPU."""


def normalise(pixels: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """uint8 (n, 3, size, size) -> float32: scaled to 0 to 1, then normalised as `artylyze.models.network` does."""
    scaled = functional.to_dtype(pixels, torch.float32, scale=True)
    normalised: torch.Tensor = functional.normalize(
        scaled, list(preprocessing.mean), list(preprocessing.std), inplace=True
    )
    return normalised


def augment(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Mirror every second of the images, float32 (n, 3, size, size), normalised, and rotate all a little.

    `random` is a generator on the CPU. Corners that a rotation leaves empty become 0, the mean colour.
    """
    mirrored = (torch.rand(len(images), generator=random) < 0.5).view(-1, 1, 1, 1).to(images.device)
    images = torch.where(mirrored, functional.horizontal_flip(images), images)
    angles = (2 * torch.rand(ANGLES, generator=random) - 1) * MOST_DEGREES
    return torch.cat(
        [
            functional.rotate(part, angle, interpolation=v2.InterpolationMode.BILINEAR)
            for part, angle in zip(images.tensor_split(ANGLES), angles.tolist(), strict=True)
            if len(part)
        ]
    )
