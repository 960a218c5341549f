"""PCA and kernel PCA of pixels as they are kept: safetensors with JSON, applied to any images in blocks.

All are one form: a base of an image, centred, times components. The base is its pixels, the chosen coefficients of its
cosine transform, or its kernel values against landmark images. `fitting` finds the components.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isqrt, prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from artylyze.errors import InputError
from artylyze.storage import open_store, split_target
from artylyze.storage.nearest import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Pixels = NDArray[np.uint8]

BLOCK = 200 * 2**20
"""Bytes of images that are float32 at one time: 539 images at 180 pixels. What is made of them takes as much twice."""


class Squares(Protocol):
    """Images as uint8 (n, size, size, 3): an array, or what reads one from a disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, size, size, 3)."""

    def __len__(self) -> int:
        """Give n."""

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Pixels:
        """Some of the images, in memory."""


@dataclass(frozen=True, eq=False)
class Transform:
    """A fitted transform. Raises InputError for parts that do not fit together.

    Attributes:
        method: `pca` or `kernel_pca`.
        size: side of the images, pixels.
        mean: float32 (b,), of the base.
        components: float32 (p, b).
        variance: share that the components hold of the variance of all images it was fitted on; of a kernel that is
            approximated, their share of the exact one's on other images than its landmarks.
        landmarks: uint8 (b, size, size, 3), of kernel PCA.
        gamma: of the kernel exp(-gamma * squared distance of pixels from 0 to 1).
        frequencies: int32 (b,), coefficients of the cosine transform that PCA of many images works on.
    """

    method: str
    size: int
    mean: Matrix
    components: Matrix
    variance: float
    landmarks: Pixels | None = None
    gamma: float = 0.0
    frequencies: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        width, fit = 3 * self.size**2, True
        if self.landmarks is not None:
            fit = self.landmarks.shape[1:] == (self.size, self.size, 3)
            width = len(self.landmarks)
        if self.frequencies is not None:
            fit = self.landmarks is None and bool(((self.frequencies >= 0) & (self.frequencies < width)).all())
            width = len(self.frequencies)
        if not fit or self.mean.shape != (width,) or self.components.shape[1:] != (width,):
            raise InputError("The parts of the transform do not fit together: fit it again.")

    def apply(self, pixels: Squares, advance: Callable[[int, int], None] | None = None) -> Matrix:
        """uint8 (n, size, size, 3) -> float32 (n, p), in blocks; `advance` is called with the rows of each."""
        found = np.empty((len(pixels), len(self.components)), np.float32)
        base = self._base()
        for block, rows in blocks(pixels, advance=advance):
            found[block] = (base(rows) - self.mean) @ self.components.T
        return found

    def _base(self) -> Callable[[Matrix], Matrix]:
        if self.landmarks is not None:
            landmarks, mean = centred(flat(self.landmarks))
            return lambda rows: kernel(np.subtract(rows, mean, out=rows), landmarks, self.gamma)
        if self.frequencies is not None:
            return lambda rows: cosines(rows)[:, self.frequencies]
        return lambda rows: rows


def identity(transform: Transform) -> str:
    """A digest of a transform: features of equal ones can be compared."""
    digest = hashlib.sha256(f"{transform.method} {transform.size} {transform.gamma!r}".encode())
    for array in (transform.mean, transform.components, transform.landmarks, transform.frequencies):
        digest.update(b"" if array is None else array.tobytes())
    return digest.hexdigest()[:16]


def flat(pixels: Pixels) -> Matrix:
    """Pixels as rows of numbers from 0 to 1, float32 (n, 3 * size * size)."""
    rows: Matrix = pixels.reshape(len(pixels), -1).astype(np.float32)
    rows /= 255
    return rows


def centred(rows: Matrix) -> tuple[Matrix, Matrix]:
    """Rows less their mean, in place, and the mean: summed in float64, so that rows that are the same become zeros."""
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    rows -= mean
    return rows, mean


def blocks(
    pixels: Squares, places: NDArray[np.int64] | None = None, advance: Callable[[int, int], None] | None = None
) -> Iterator[tuple[slice, Matrix]]:
    """Images, all or those at `places`, a block at a time: where the block lies among them, and its rows as of `flat`.

    `advance` is called with the number of rows done since the last call. The rows are the
    caller's, to change as it likes.
    """
    step = max(1, BLOCK // (4 * prod(pixels.shape[1:])))
    count = len(pixels) if places is None else len(places)
    for start in range(0, count, step):
        block = slice(start, min(start + step, count))
        yield block, flat(pixels[block if places is None else places[block]])
        if advance is not None:
            advance(block.stop - start, 0)


def cosines(rows: Matrix) -> Matrix:
    """The orthonormal cosine transform (DCT-II) of images over height, width and channels, of the shape of `rows`.

    Few of its coefficients hold most of the variance of images, whichever images they are (Ahmed, Natarajan and Rao
    1974), and over channels its three are brightness, red against blue, and green against both.
    """
    from scipy.fft import dctn

    from artylyze.workers.supervision import cores

    size = isqrt(rows.shape[1] // 3)
    squares = rows.reshape(-1, size, size, 3)
    found: Matrix = dctn(squares, axes=(1, 2, 3), norm="ortho", workers=cores()).reshape(rows.shape)
    return found


def kernel(rows: Matrix, landmarks: Matrix, gamma: float) -> Matrix:
    """Gaussian kernel values, float32 (n, landmarks), of rows that are centred on the landmarks' mean, as they are.

    scikit-learn's `rbf_kernel` computes it in float64 and takes several times as long; centred, float32 is enough: what
    all images share would cancel.
    """
    squares: Matrix = rows @ landmarks.T
    squares *= -2
    squares += np.einsum("ij,ij->i", rows, rows)[:, None]
    squares += np.einsum("ij,ij->i", landmarks, landmarks)
    np.maximum(squares, 0, out=squares)
    squares *= -gamma
    return np.exp(squares, out=squares)


def save_transform(address: str, transform: Transform) -> None:
    """Write a transform: its arrays as safetensors, the rest as JSON in their header."""
    from safetensors.numpy import save

    names = ("mean", "components", "landmarks", "frequencies")
    tensors = {name: getattr(transform, name) for name in names if getattr(transform, name) is not None}
    about = {name: getattr(transform, name) for name in ("method", "size", "variance", "gamma")}
    folder, name = split_target(address)
    open_store(folder).put(name, save(tensors, {"artylyze": json.dumps(about)}))


def load_transform(address: str) -> Transform:
    """Read a transform; raise InputError if there is none, or another file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    folder, name = split_target(address)
    data = open_store(folder).read(name)
    if data is None:
        raise InputError(f"There is no file {address}.{did_you_mean(address)}")
    try:
        tensors: dict[str, Any] = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])  # load() gives no metadata
        return Transform(**json.loads(header["__metadata__"]["artylyze"]), **tensors)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{address} is not a transform that `artylyze features` wrote ({error}).") from error
