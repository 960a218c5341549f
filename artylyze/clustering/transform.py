"""PCA and kernel PCA of pixels: fitted once, kept as safetensors with JSON, and applied to other images in blocks.

Both are one form: a base of an image (its pixels, or its kernel values against landmark images), centred, times
components. With all images as landmarks this is kernel PCA itself, with fewer its Nystroem approximation (Williams and
Seeger 2001).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.clustering.kmeans import sampled
from artylyze.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Pixels = NDArray[np.uint8]

PCA_ROWS = 4_000
"""Images that principal components are computed from, exactly; all images are then projected."""
JUDGES = 1_000
"""Others on which is measured what these components hold: of 97,200 pixels they hold less than of their own images."""
LANDMARKS = 1_000
EXACT_ROWS = 2_000
"""Images up to which kernel PCA is exact."""
BLOCK = 128
LEAST = 1e-6
"""Share of the largest eigenvalue below which a direction is noise of float32."""


@dataclass(frozen=True, eq=False)
class Transform:
    """A fitted transform. Raises InputError for parts that do not fit together.

    Attributes:
        method: `pca` or `kernel_pca`.
        size: side of the images, pixels.
        mean: float32 (b,), of the base.
        components: float32 (p, b).
        variance: share of the variance that the components hold: for PCA on other images than it was fitted on, if
            there were more; for kernel PCA of that of the kernel as approximated.
        landmarks: uint8 (b, size, size, 3), None for PCA.
        gamma: of the kernel exp(-gamma * squared distance of pixels from 0 to 1).
    """

    method: str
    size: int
    mean: Matrix
    components: Matrix
    variance: float
    landmarks: Pixels | None = None
    gamma: float = 0.0

    def __post_init__(self) -> None:
        width = 3 * self.size**2 if self.landmarks is None else len(self.landmarks)
        if self.mean.shape != (width,) or self.components.shape[1:] != (width,):
            raise InputError("The parts of the transform do not fit together: fit it again.")

    def apply(self, pixels: Pixels) -> Matrix:
        """uint8 (n, size, size, 3) -> float32 (n, p), in blocks."""
        found = np.empty((len(pixels), len(self.components)), np.float32)
        for start in range(0, len(pixels), BLOCK):
            base = flat(pixels[start : start + BLOCK])
            if self.landmarks is not None:
                base = kernel(base, self.landmarks, self.gamma)
            found[start : start + BLOCK] = (base - self.mean) @ self.components.T
        return found


def identity(transform: Transform) -> str:
    """A digest of a transform: features of equal ones can be compared."""
    digest = hashlib.sha256(f"{transform.method} {transform.size} {transform.gamma!r}".encode())
    for array in (transform.mean, transform.components, transform.landmarks):
        digest.update(b"" if array is None else array.tobytes())
    return digest.hexdigest()[:16]


def fit(method: str, pixels: Pixels, variance: float, seed: int) -> Transform:
    """Fit `pca` or `kernel_pca` to uint8 (n, size, size, 3) so that a share of the variance is kept."""
    return _pca(pixels, variance, seed) if method == "pca" else _kernel_pca(pixels, variance, seed)


def flat(pixels: Pixels) -> Matrix:
    """Pixels as rows of numbers from 0 to 1, float32 (n, 3 * size * size)."""
    rows: Matrix = pixels.reshape(len(pixels), -1).astype(np.float32)
    rows /= 255
    return rows


def kernel(rows: Matrix, landmarks: Pixels, gamma: float) -> Matrix:
    """Gaussian kernel values, float32 (n, landmarks)."""
    values = np.empty((len(rows), len(landmarks)), np.float32)
    own = np.einsum("ij,ij->i", rows, rows)[:, None]
    for start in range(0, len(landmarks), BLOCK):
        others = flat(landmarks[start : start + BLOCK])
        squares = own + np.einsum("ij,ij->i", others, others) - 2 * (rows @ others.T)
        values[:, start : start + BLOCK] = np.exp(-gamma * np.maximum(squares, 0))
    return values


def _pca(pixels: Pixels, variance: float, seed: int) -> Transform:
    fitted = sampled(len(pixels), PCA_ROWS, seed)
    rows = flat(pixels[fitted])
    mean = rows.mean(axis=0)
    rows -= mean
    values, vectors = np.linalg.eigh(rows @ rows.T)  # fewer images than pixels: the smaller of the two products
    count, held = _enough(values, variance)
    chosen = vectors[:, ::-1][:, :count] / np.sqrt(np.maximum(values[::-1][:count], 1e-12))
    components = np.ascontiguousarray(chosen.T @ rows, np.float32)
    others = np.setdiff1d(np.arange(len(pixels)), fitted)
    if len(others):
        judges = flat(pixels[others[sampled(len(others), JUDGES, seed)]]) - mean
        held = float(np.square(judges @ components.T).sum() / max(np.square(judges).sum(), 1e-12))
    return Transform("pca", pixels.shape[1], mean, components, held)


def _kernel_pca(pixels: Pixels, variance: float, seed: int) -> Transform:
    count = len(pixels) if len(pixels) <= EXACT_ROWS else LANDMARKS
    landmarks = np.ascontiguousarray(pixels[sampled(len(pixels), count, seed)])
    gamma = 1 / max(2 * _spread(landmarks), 1e-12)
    values, vectors = np.linalg.eigh(kernel(flat(landmarks), landmarks, gamma).astype(np.float64))
    some = values > LEAST * values[-1]
    whiten = vectors[:, some] / np.sqrt(values[some])
    base = np.empty((len(pixels), count), np.float32)
    for start in range(0, len(pixels), BLOCK):
        base[start : start + BLOCK] = kernel(flat(pixels[start : start + BLOCK]), landmarks, gamma)
    mean = base.mean(axis=0, dtype=np.float64)
    mapped = (base - mean.astype(np.float32)) @ whiten.astype(np.float32)
    spread, axes = np.linalg.eigh((mapped.T @ mapped).astype(np.float64))
    kept, held = _enough(spread, variance)
    components = (whiten @ axes[:, ::-1][:, :kept]).T
    return Transform(
        "kernel_pca",
        pixels.shape[1],
        mean.astype(np.float32),
        np.ascontiguousarray(components, np.float32),
        held,
        landmarks,
        gamma,
    )


def _spread(landmarks: Pixels) -> float:
    """Mean squared distance of images to their mean."""
    rows = flat(landmarks[:500])
    return float(rows.var(axis=0).sum())


def _enough(ascending: NDArray[np.floating[Any]], variance: float) -> tuple[int, float]:
    """How many of the largest eigenvalues hold a share of their sum, and the share that those hold."""
    values = np.maximum(ascending[::-1].astype(np.float64), 0)
    if values.sum() <= 0:
        raise InputError("All images are the same: they have no principal components.")
    held = np.cumsum(values) / values.sum()
    count = min(int(np.searchsorted(held, variance - 1e-9)) + 1, int((values > LEAST * values[0]).sum()))
    return count, float(held[count - 1])


def save_transform(path: Path, transform: Transform) -> None:
    """Write a transform: its arrays as safetensors, the rest as JSON in their header."""
    from safetensors.numpy import save_file

    tensors: dict[str, Any] = {"mean": transform.mean, "components": transform.components}
    if transform.landmarks is not None:
        tensors["landmarks"] = transform.landmarks
    about = {name: getattr(transform, name) for name in ("method", "size", "variance", "gamma")}
    save_file(tensors, path, {"artylyze": json.dumps(about)})


def load_transform(path: Path) -> Transform:
    """Read a transform; raise InputError for another file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["artylyze"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        return Transform(**about, **tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a transform that `artylyze features` wrote ({error}).") from error
