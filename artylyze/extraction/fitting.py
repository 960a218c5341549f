"""Fits PCA and kernel PCA of pixels: exactly for some images, streamed for many.

Principal components of up to `PCA_ROWS` images are exact. Of more, the components are those of the coefficients of
their cosine transform that vary most in a sample (a Rayleigh-Ritz approximation): all images are read once to find
them, and the share of the variance that they hold is that of all images, measured. Kernel PCA is exact up to
`EXACT_ROWS` images; of more it is its Nystroem approximation (Williams and Seeger 2001), with some images as landmarks.

scikit-learn's PCA does not make use of there being fewer images than pixels: for 1,000 images of 96 pixels it takes 10
times as long. Its IncrementalPCA cannot be asked for a share of the variance, and for each block decomposes a matrix of
all pixels by twice the components. Its Nystroem computes the kernel in float64, 4 times as long.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.errors import InputError
from artylyze.extraction.transform import Transform, blocks, centred, cosines, flat, kernel
from artylyze.extraction.vectors import sampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.extraction.transform import Matrix, Pixels, Squares
    from artylyze.progress import Watcher

PCA_ROWS = 4_000
"""Images up to which PCA is exact, and of which is seen what varies most, if there are more."""
PCA_BYTES = 1_600_000_000
"""Bytes of images as float32 up to which PCA is exact: 4,000 images at 180 pixels. It holds them twice."""
FREQUENCIES = 8_000
"""Coefficients that PCA of more images works on. At 180 pixels the 8,000 that vary most hold 0.982 of the variance of
3,017 paintings, 2,350 hold 0.95; chosen by one half of them they hold as much of the other. To fit takes some 3 GB for
any number of images, and the eigenvectors 45 s on two cores."""
LANDMARKS = 1_000
"""Of 3,017 paintings 500 landmarks hold 0.59 of the kernel's variance on others, 1,000 hold 0.64; 2,000 hold 0.68, at
twice the kernel values and eight times the work on their eigenvectors."""
EXACT_ROWS = 2_000
"""Images up to which kernel PCA is exact."""
JUDGES = 1_000
"""Other images than the landmarks, on which is measured what an approximated kernel holds of the exact one."""
LEAST = 1e-6
"""Share of the largest eigenvalue below which a direction is noise of float32."""
SAME = 1e-9
"""Mean squared distance of images from their mean below which all are the same: one pixel of one in 4,000 that differs
by one step of 255 makes four times as much, the mean's rounding to float32 a quarter at most, at 512 pixels."""


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
    if len(pixels) <= PCA_ROWS and 4 * prod(pixels.shape) <= PCA_BYTES:
        fitted = _pca(pixels[:], variance)
        watcher.advance(len(pixels), 0)
    else:
        fitted = _pca_streamed(pixels, variance, seed, watcher)
    watcher.start(len(pixels), 0, "Projecting")
    return fitted, fitted.apply(pixels, watcher.advance)


def _pca(pixels: Pixels, variance: float) -> Transform:
    rows, mean = centred(flat(pixels))
    total = float(np.einsum("ij,ij->i", rows, rows).sum(dtype=np.float64))
    _refuse_same(total / len(rows))
    products = rows @ rows.T  # fewer images than pixels: the smaller of the two products
    values, vectors = np.linalg.eigh(products.astype(np.float64))
    count, held = _enough(values, variance, total)
    chosen = (vectors[:, ::-1][:, :count] / np.sqrt(values[::-1][:count])).astype(np.float32)
    return Transform("pca", pixels.shape[1], mean, chosen.T @ rows, held)


def _pca_streamed(pixels: Squares, variance: float, seed: int, watcher: Watcher) -> Transform:
    near, frequencies = _most_varied(pixels, seed)
    sums = np.zeros(len(near))
    squares = 0.0
    products = np.zeros((len(frequencies), len(frequencies)))
    for _, rows in blocks(pixels, advance=watcher.advance):
        rows -= near
        coefficients = cosines(rows)
        sums += coefficients.sum(axis=0, dtype=np.float64)
        squares += float(np.einsum("ij,ij->i", coefficients, coefficients).sum(dtype=np.float64))
        some = coefficients[:, frequencies]
        products += some.T @ some
    watcher.start(1, 0, "Finding components")
    sums /= len(pixels)
    total = squares - len(pixels) * float(sums @ sums)  # of all coefficients, so of all pixels
    _refuse_same(total / len(pixels))
    own = sums[frequencies]
    products -= len(pixels) * np.outer(own, own)
    values, vectors = np.linalg.eigh(products)
    count, held = _enough(values, variance, total)
    components = np.ascontiguousarray(vectors[:, ::-1][:, :count].T, np.float32)
    mean = (cosines(near[None])[0, frequencies] + own).astype(np.float32)
    watcher.advance(1, 0)
    return Transform("pca", pixels.shape[1], mean, components, held, frequencies=frequencies)


def _most_varied(pixels: Squares, seed: int) -> tuple[Matrix, NDArray[np.int32]]:
    """Of a sample of images: their mean, and which coefficients of their cosine transform vary most, ascending."""
    places = sampled(len(pixels), PCA_ROWS, seed)
    sums, squares = np.zeros((2, prod(pixels.shape[1:])))
    for _, rows in blocks(pixels, places):
        sums += rows.sum(axis=0, dtype=np.float64)
    mean = (sums / len(places)).astype(np.float32)
    for _, rows in blocks(pixels, places):
        rows -= mean
        squares += np.square(cosines(rows)).sum(axis=0, dtype=np.float64)
    _refuse_same(squares.sum() / len(places))
    return mean, np.sort(np.argsort(-squares)[:FREQUENCIES]).astype(np.int32)


def _kernel_pca(pixels: Squares, variance: float, seed: int, watcher: Watcher) -> tuple[Transform, Matrix]:
    exact = len(pixels) <= EXACT_ROWS
    places = sampled(len(pixels), len(pixels) if exact else LANDMARKS, seed)
    landmarks = pixels[places]
    marks, center = centred(flat(landmarks))
    spread = float(np.einsum("ij,ij->i", marks, marks).mean(dtype=np.float64))
    _refuse_same(spread)
    gamma = 1 / (2 * spread)  # 2 * spread is the mean squared distance of two images
    values, vectors = np.linalg.eigh(kernel(marks, marks, gamma).astype(np.float64))
    some = values > LEAST * values[-1]
    whiten = vectors[:, some] / np.sqrt(values[some])
    base = np.empty((len(pixels), len(places)), np.float32)
    for block, rows in blocks(pixels, advance=watcher.advance):
        rows -= center
        base[block] = kernel(rows, marks, gamma)
    base, mean = centred(base)
    mapped = base @ whiten.astype(np.float32)
    values, axes = np.linalg.eigh((mapped.T @ mapped).astype(np.float64))
    count, held = _enough(values, variance, float(np.einsum("ij,ij->i", mapped, mapped).sum(dtype=np.float64)))
    components = np.ascontiguousarray((whiten @ axes[:, ::-1][:, :count]).T, np.float32)
    found = base @ components.T
    if not exact:
        others = np.setdiff1d(np.arange(len(pixels)), places)
        others = others[sampled(len(others), JUDGES, seed)]
        judges = flat(pixels[others])
        judges -= center
        whole = 1 - float(kernel(judges, judges, gamma).mean(dtype=np.float64))  # a kernel value with itself is 1
        held = min(1.0, float(found[others].var(axis=0, dtype=np.float64).sum() / max(whole, 1e-12)))
    return Transform("kernel_pca", pixels.shape[1], mean, components, held, landmarks, gamma), found


def _refuse_same(spread: float) -> None:
    if spread <= SAME:
        raise InputError("All images, or nearly all, are the same: they have no principal components.")


def _enough(ascending: NDArray[np.floating[Any]], variance: float, total: float) -> tuple[int, float]:
    """How many of the largest eigenvalues hold a share of `total`, and the share that they hold."""
    values = np.maximum(ascending[::-1].astype(np.float64), 0)
    held = np.cumsum(values) / total
    count = min(int(np.searchsorted(held, variance - 1e-9)) + 1, int((values > LEAST * values[0]).sum()))
    return count, min(1.0, float(held[count - 1]))
