"""How the components of images are found: PCA and kernel PCA of pixels, exactly for some images, streamed for many.

It knows images and linear algebra; files, catalogs and how a transform is kept it does not know.

Principal components of up to `PCA_ROWS` images are exact. Of more, all images are read once, and the components are
those of the coefficients of their cosine transform that vary most (a Rayleigh-Ritz approximation): some more of them
hold the same variance, and what they hold is that of all images, measured. Kernel PCA is exact up to `EXACT_ROWS`
images; of more it is its Nystroem approximation (Williams and Seeger 2001), with some images as landmarks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.clustering.kmeans import sampled
from artylyze.clustering.transform import Transform, blocks, cosines, flat, kernel
from artylyze.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.clustering.transform import Matrix, Pixels, Squares
    from artylyze.progress import Watcher

PCA_ROWS = 4_000
"""Images up to which PCA is exact, and of which is seen what varies most, if there are more."""
FREQUENCIES = 8_000
"""Coefficients that PCA of more images works on. At 180 pixels the 8,000 that vary most hold 0.982 of the variance of
3,017 paintings; 2,350 hold 0.95, and those of one half of them hold as much of the other. Their covariance takes 0.5
GB, its eigenvectors 45 s on two cores."""
LANDMARKS = 1_000
EXACT_ROWS = 2_000
"""Images up to which kernel PCA is exact."""
JUDGES = 1_000
"""Other images than the landmarks, on which is measured what an approximated kernel holds of the exact one."""
LEAST = 1e-6
"""Share of the largest eigenvalue below which a direction is noise of float32."""
SAME = 1e-9
"""Sum of squares of an image about the mean, below which all are the same: one pixel of one in 4,000 that differs by
one step of 255 is four times as much, rounding of 97,200 pixels a third."""


def fit(method: str, pixels: Squares, variance: float, seed: int, watcher: Watcher) -> tuple[Transform, Matrix]:
    """Fit `pca` or `kernel_pca` to images so that a share of the variance is kept.

    Returns:
        The transform, whose `variance` is what is kept, less than was asked for if no components hold it; and what it
        gives for these images, float32 (n, p).

    Raises:
        InputError: if there is one image only, or all are the same.
    """
    if len(pixels) < 2:
        raise InputError("One image has no principal components: it takes others to compare it with.")
    watcher.start(len(pixels), 0, "Fitting")
    if method == "kernel_pca":
        return _kernel_pca(pixels, variance, seed, watcher)
    few = len(pixels) <= PCA_ROWS
    fitted = _pca(pixels[:], variance) if few else _pca_streamed(pixels, variance, seed, watcher)
    if not few:
        watcher.start(len(pixels), 0, "Projecting")
    return fitted, fitted.apply(pixels, watcher.advance)


def _pca(pixels: Pixels, variance: float) -> Transform:
    rows = flat(pixels)
    mean = rows.mean(axis=0)
    rows -= mean
    total = float(np.square(rows).sum(dtype=np.float64))
    _refuse_same(total, len(rows))
    values, vectors = np.linalg.eigh(rows @ rows.T)  # fewer images than pixels: the smaller of the two products
    count, held = _enough(values, variance, total)
    chosen = vectors[:, ::-1][:, :count] / np.sqrt(np.maximum(values[::-1][:count], 1e-12))
    return Transform("pca", pixels.shape[1], mean, np.ascontiguousarray(chosen.T @ rows, np.float32), held)


def _pca_streamed(pixels: Squares, variance: float, seed: int, watcher: Watcher) -> Transform:
    near, frequencies = _most_varied(pixels, seed)
    sums = np.zeros(len(near))
    squares = 0.0
    products = np.zeros((len(frequencies), len(frequencies)))
    for _, rows in blocks(pixels, watcher.advance):
        coefficients = cosines(rows)
        coefficients -= near
        sums += coefficients.sum(axis=0, dtype=np.float64)
        squares += float(np.square(coefficients).sum(dtype=np.float64))
        some = coefficients[:, frequencies]
        products += some.T @ some
    sums /= len(pixels)
    total = squares - len(pixels) * float(sums @ sums)  # of all coefficients, so of all pixels
    _refuse_same(total, len(pixels))
    own = sums[frequencies]
    products -= len(pixels) * np.outer(own, own)
    values, vectors = np.linalg.eigh(products)
    count, held = _enough(values, variance, total)
    components = np.ascontiguousarray(vectors[:, ::-1][:, :count].T, np.float32)
    mean = (near[frequencies] + own).astype(np.float32)
    return Transform("pca", pixels.shape[1], mean, components, held, frequencies=frequencies)


def _most_varied(pixels: Squares, seed: int) -> tuple[Matrix, NDArray[np.int32]]:
    """Of a sample of images: the mean of their cosine transforms, and which coefficients vary most, ascending."""
    sample = pixels[sampled(len(pixels), PCA_ROWS, seed)]
    sums, squares = np.zeros((2, sample[0].size))
    for _, rows in blocks(sample):
        coefficients = cosines(rows)
        sums += coefficients.sum(axis=0, dtype=np.float64)
        squares += np.square(coefficients).sum(axis=0, dtype=np.float64)
    mean = sums / len(sample)
    spread = squares / len(sample) - mean**2
    return mean.astype(np.float32), np.sort(np.argsort(-spread)[:FREQUENCIES]).astype(np.int32)


def _kernel_pca(pixels: Squares, variance: float, seed: int, watcher: Watcher) -> tuple[Transform, Matrix]:
    exact = len(pixels) <= EXACT_ROWS
    places = sampled(len(pixels), len(pixels) if exact else LANDMARKS, seed)
    landmarks = pixels[places]
    marks = flat(landmarks)
    spread = float(marks.var(axis=0).sum())
    _refuse_same(spread, 1)
    gamma = 1 / (2 * spread)  # 2 * spread is the mean squared distance of two images
    values, vectors = np.linalg.eigh(kernel(marks, marks, gamma).astype(np.float64))
    some = values > LEAST * values[-1]
    whiten = vectors[:, some] / np.sqrt(values[some])
    base = np.empty((len(pixels), len(places)), np.float32)
    for block, rows in blocks(pixels, watcher.advance):
        base[block] = kernel(rows, marks, gamma)
    mean = base.mean(axis=0, dtype=np.float64).astype(np.float32)
    base -= mean
    mapped = base @ whiten.astype(np.float32)
    values, axes = np.linalg.eigh((mapped.T @ mapped).astype(np.float64))
    count, held = _enough(values, variance, float(np.square(mapped).sum(dtype=np.float64)))
    components = np.ascontiguousarray((whiten @ axes[:, ::-1][:, :count]).T, np.float32)
    found = base @ components.T
    if not exact:
        others = np.setdiff1d(np.arange(len(pixels)), places)
        others = others[sampled(len(others), JUDGES, seed)]
        judges = flat(pixels[others])
        whole = 1 - float(kernel(judges, judges, gamma).mean(dtype=np.float64))  # a kernel value with itself is 1
        held = float(found[others].var(axis=0, dtype=np.float64).sum() / max(whole, 1e-12))
    return Transform("kernel_pca", pixels.shape[1], mean, components, held, landmarks, gamma), found


def _refuse_same(total: float, images: int) -> None:
    if total <= SAME * images:
        raise InputError("All images, or nearly all, are the same: they have no principal components.")


def _enough(ascending: NDArray[np.floating[Any]], variance: float, total: float) -> tuple[int, float]:
    """How many of the largest eigenvalues hold a share of `total`, and the share that they hold."""
    values = np.maximum(ascending[::-1].astype(np.float64), 0)
    held = np.cumsum(values) / total
    count = min(int(np.searchsorted(held, variance - 1e-9)) + 1, int((values > LEAST * values[0]).sum()))
    return count, float(held[count - 1])
