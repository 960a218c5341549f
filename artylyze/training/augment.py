"""What the network sees of decoded images: scaled, normalised and, while it learns, mirrored and a little rotated."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from artylyze.drawing.contact_sheet import Tile, contact_sheet
from artylyze.extraction.cached import MOST_DEGREES, vary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artylyze.models.bundle import Preprocessing

SHOWN = 4
"""Variants of an image in the picture of the augmentation."""

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


def variants(pixels: NDArray[np.uint8], preprocessing: Preprocessing, *, frozen: bool) -> list[NDArray[np.uint8]]:
    """What a training sees of images, uint8 (n, size, size, 3): one variant where the backbone is frozen, else some."""
    if frozen:
        return [vary(pixels, preprocessing.mean)]
    random = torch.Generator().manual_seed(0)
    normal = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2), preprocessing)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (preprocessing.mean, preprocessing.std))
    seen = (255 * (augment(normal, random) * std + mean) for _ in range(SHOWN))
    return [each.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy() for each in seen]


def augmentation_sheet(pixels: NDArray[np.uint8], preprocessing: Preprocessing, *, frozen: bool) -> bytes:
    """Draw images, uint8 (n, size, size, 3), above what a training sees of them. Returns a PNG."""
    rows = {"as it is": pixels}
    rows |= {f"seen in training, {n}": one for n, one in enumerate(variants(pixels, preprocessing, frozen=frozen), 1)}
    tiles = [Tile(image, 1.0, (line,)) for line, images in rows.items() for image in images]
    out = io.BytesIO()
    title = f"Augmentation: mirrored, rotated by up to {MOST_DEGREES:g}\N{DEGREE SIGN}"
    contact_sheet(title, tiles, len(pixels)).save(out, "PNG")
    return out.getvalue()
