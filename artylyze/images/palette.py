"""The dominant colours of a decoded square in CIELAB, cheap enough to be computed for every image that is decoded."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

MOST = 5
"""Maximum number of colours of an image."""

SAMPLES, GENERATOR = 1597, 987
"""Number of pixels that are sampled, and the generator of their lattice: consecutive Fibonacci numbers, which give the
most even rank-1 lattice in two dimensions (Zaremba 1966). No stripes of a picture fall between its points, as they may
between those of every seventh row and column."""

STEPS = 2
"""Iterations of k-means: on paintings, six more lower the mean squared distance of the pixels by 2%."""

BITS = 4
"""Of each channel that the histogram distinguishes: its cells are 16 levels wide, about 6 units of L."""

_WHITE = np.array([0.95047, 1.0, 1.08883])
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_FROM_SRGB = _TO_XYZ / _WHITE[:, None]
_TO_LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]])
_DELTA = 6 / 29

Reals = npt.NDArray[np.float64]


def dominant_colors(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return up to MOST colours that represent the pixels of an sRGB square, and the share of pixels behind each.

    The pixels at the points of a fixed lattice are counted in a coarse histogram of sRGB. The mean colours of its
    cells, in CIELAB, are clustered by k-means, weighted by their counts; the first centre is the fullest cell, each
    further one the cell that contributes most to the sum of squared distances. Equal pixels give equal colours.

    Args:
        pixels: uint8 (size, size, 3).

    Returns:
        float32 (k, 4), 1 <= k <= MOST: L, a, b and the share, in descending order of the shares, which sum to 1.
    """
    shares, means = _histogram(pixels.reshape(-1).take(_lattice(len(pixels))))
    colors = _clustered(shares, to_lab(means))
    return colors[(-colors[:, 3]).argsort(kind="stable")].astype(np.float32)


def to_lab(colors: Reals) -> Reals:
    """Convert sRGB colours to CIELAB.

    sRGB is that of IEC 61966-2-1; CIE 1976 L*a*b* that of CIE 15:2018 (8.2.1) for the white point D65 and the
    2-degree observer.

    Args:
        colors: float64 (3, n): red, green and blue, 0 to 255.

    Returns:
        float64 (3, n): L, 0 for black to 100 for white; a, from green to red; b, from blue to yellow.
    """
    level = colors / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    xyz = _FROM_SRGB @ linear
    lab: Reals = _TO_LAB @ np.where(xyz > _DELTA**3, np.cbrt(xyz), xyz / (3 * _DELTA**2) + 4 / 29)
    lab[0] -= 16
    return lab


@functools.lru_cache(maxsize=8)
def _lattice(size: int) -> npt.NDArray[np.intp]:
    """The byte offsets of the samples in a square, intp (3, n), by channel; all pixels of a small square."""
    if size**2 <= SAMPLES:
        pixels = np.arange(size**2)
    else:
        point = np.arange(SAMPLES)
        pixels = point * size // SAMPLES * size + point * GENERATOR % SAMPLES * size // SAMPLES
    return pixels * 3 + np.arange(3)[:, None]


def _histogram(samples: npt.NDArray[np.uint8]) -> tuple[Reals, Reals]:
    """The shares float64 (m) and mean colours float64 (3, m) of the cells that are not empty; samples uint8 (3, n)."""
    red, green, blue = samples.astype(np.intp) >> (8 - BITS)
    cells = (red << 2 * BITS) | (green << BITS) | blue
    number = 1 << 3 * BITS
    counts = np.bincount(cells, minlength=number)
    filled = (counts > 0).nonzero()[0]
    counts = counts[filled]
    means = np.empty((3, len(filled)))
    for channel, values in enumerate(samples):
        means[channel] = np.bincount(cells, values, number)[filled]
    means /= counts
    return counts / samples.shape[1], means


def _clustered(shares: Reals, points: Reals) -> Reals:
    """Colours and shares, float64 (k, 4) in no order, of shares (m) and points (3, m), no two of them equal."""
    number = points.shape[1]
    squares = (points * points).sum(axis=0)
    last = shares.argmax()
    chosen, distances = [last], np.inf
    while len(chosen) < min(MOST, number):
        distances = np.minimum(distances, squares + squares[last] - 2 * (points[:, last] @ points))
        last = (shares * distances).argmax()
        chosen.append(last)
    extended = np.empty((4, number))
    extended[:3], extended[3] = points, 1
    weighted = (extended * shares).T
    colors = weighted[chosen]  # sums of colours and of shares
    for _ in range(STEPS):
        centres = colors / colors[:, 3:]
        centres[:, 3] = [-0.5 * (x * x + y * y + z * z) for x, y, z, _ in centres.tolist()]
        members = (centres @ extended).argmax(axis=0) == np.arange(len(centres))[:, None]  # the nearest centre
        colors = members @ weighted
        colors = colors[colors[:, 3] > 0]
    colors[:, :3] /= colors[:, 3:]
    return colors
