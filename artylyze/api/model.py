"""A model for Python: terms and embeddings of single images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from artylyze.errors import ImageError, InputError, UsageError
from artylyze.images import Decoded, decode, from_pillow
from artylyze.models.bundle import Bundle
from artylyze.models.resolve import resolve_model
from artylyze.models.runtimes import Outputs, load_runtime, resolve_device
from artylyze.models.scores import score
from artylyze.progress import Watcher, watching
from artylyze.storage import fetch, split_page
from artylyze.workers.supervision import cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.models.runtimes import CpuRuntime, TorchRuntime

Picture: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]"
"""An image: its path or address, the bytes of its file, or its pixels, as Pillow's image or uint8 (h, w[, 3])."""

BATCH = 32
"""Images in a batch."""


class Term(NamedTuple):
    """A term with its calibrated score, 0 to 1.

    Attributes:
        term: The term.
        score: Its score; with a calibrated model, the share of images with this score that have this term.
    """

    term: str
    score: float


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for one image.

    Attributes:
        tasks: Task -> its best terms, the best first.
        review: Task -> whether a person should check it: the best score is below the threshold, or the image lies
            outside.
        outside: How far the image lies from what the model learned: above 1 a catalog has `none of these` for all
            tasks. None if the model does not tell.
        warning: Defect of a file that could be read nevertheless, such as an early end; else None.
    """

    tasks: Mapping[str, tuple[Term, ...]]
    review: Mapping[str, bool]
    outside: float | None = None
    warning: str | None = None


class Model:
    """A model bundle, loaded by `load_model` or `train`.

    It can be passed wherever a path is expected: `artylyze.tag("scans", "catalog", model=model)`.

    Attributes:
        source: Name, path or address that it was loaded from.
    """

    def __init__(self, bundle: Bundle, source: str, *, device: str = "auto", weights: str | None = None) -> None:
        self.source = source
        self._bundle, self._device, self._weights = bundle, device, weights

    def __fspath__(self) -> str:
        if self._weights is not None:
            raise UsageError(f"{self.source} with other weights has no path: give both as text instead.")
        return self.source

    def __repr__(self) -> str:
        return f"Model({self.source!r}: {', '.join(self.tasks) or 'embeddings only'})"

    @property
    def model_id(self) -> str:
        """Identity: a hash of its weights, preprocessing, terms and thresholds."""
        return self._bundle.model_id

    @property
    def tasks(self) -> dict[str, tuple[str, ...]]:
        """Its tasks with their terms."""
        return {task.name: task.terms for task in self._bundle.tasks}

    @property
    def embedding_dim(self) -> int:
        """Length of an embedding."""
        return self._bundle.embedding_dim

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Metrics of its training: task -> `held_out`, and `test` if the dataset had test images."""
        return self._bundle.metrics

    def predict(
        self, images: Iterable[Picture], *, top_k: int = 5, progress: bool | Watcher = True
    ) -> list[Prediction]:
        """Predict the terms of images.

        Args:
            images: Paths or addresses, bytes of image files, Pillow images, or uint8 arrays (h, w, 3) or (h, w), in any
                mixture.
            top_k: Terms kept for each task.
            progress: Whether to show a bar on a terminal or in a notebook.

        Returns:
            A Prediction for each image, in order.

        Raises:
            InputError: For an image that cannot be read, with its position.
            UsageError: For a model without tasks, or an object that is not an image.

        Examples:
            >>> import artylyze
            >>> model = artylyze.load_model("bundle")
            >>> prediction, = model.predict(["scans/000.png"])
            >>> term, score = prediction.tasks["genre"][0]
            >>> term in model.tasks["genre"], prediction.review["genre"] in (True, False)
            (True, True)
        """
        if not self._bundle.tasks:
            raise UsageError(f"{self.source} predicts no terms: it has embeddings only.")
        if top_k < 1:
            raise UsageError("`top_k` must be at least 1.")
        return [
            prediction
            for decoded, outputs in self._run(images, progress)
            for prediction in self._predictions(decoded, outputs, top_k)
        ]

    def embed(self, images: Iterable[Picture], *, progress: bool | Watcher = True) -> NDArray[np.float32]:
        """Compute the embeddings of images.

        Args:
            images: As for `predict`.
            progress: Whether to show a bar on a terminal or in a notebook.

        Returns:
            float32 (n, d), in order, comparable with those of a catalog that this model made.

        Raises:
            InputError: For an image that cannot be read, with its position.
            UsageError: For an object that is not an image.

        Examples:
            >>> import artylyze
            >>> model = artylyze.load_model("bundle")
            >>> query = model.embed(["scans/000.png"])[0]
            >>> ids, matrix = artylyze.open_catalog("catalog").embeddings()
            >>> likeness = matrix @ query
            >>> ids[likeness.argmax()] in ids
            True
        """
        parts = [outputs.embedding for _, outputs in self._run(images, progress)]
        return np.concatenate(parts) if parts else np.empty((0, self.embedding_dim), np.float32)

    @cached_property
    def _runtime(self) -> CpuRuntime | TorchRuntime:
        return load_runtime(self._bundle, self._device, threads=cores())

    def _run(self, images: Iterable[Picture], progress: bool | Watcher) -> Iterator[tuple[Sequence[Decoded], Outputs]]:
        """Decode images and apply the model, a batch at a time."""
        if isinstance(images, str | bytes | os.PathLike | Image.Image):
            raise UsageError("`images` must be a list: give [image] for one image.")
        pictures, size = list(images), self._bundle.preprocessing.size
        with watching(progress) as watcher, ThreadPoolExecutor(cores()) as pool:
            if len(pictures) > BATCH:
                watcher.start(len(pictures), 0, "Predicting")
            for start in range(0, len(pictures), BATCH):
                batch = pictures[start : start + BATCH]
                positions = range(start, start + len(batch))
                decoded = list(pool.map(_decoded, positions, batch, [size] * len(batch)))
                yield decoded, self._runtime.run(np.stack([image.pixels for image in decoded]))
                if len(pictures) > BATCH:
                    watcher.advance(len(batch), 0)

    def _predictions(self, decoded: Sequence[Decoded], outputs: Outputs, top_k: int) -> Iterator[Prediction]:
        beyond = outputs.outside
        scores = {task.name: score(outputs.logits[task.name], task, top_k, beyond) for task in self._bundle.tasks}
        for row, image in enumerate(decoded):
            yield Prediction(
                {
                    task: tuple(map(Term, task_scores.terms[row].tolist(), task_scores.scores[row].tolist()))
                    for task, task_scores in scores.items()
                },
                {task: bool(task_scores.review[row]) for task, task_scores in scores.items()},
                None if beyond is None else float(beyond[row]),
                image.warning,
            )


def load_model(
    source: str | os.PathLike[str] = "starter", *, weights: str | os.PathLike[str] | None = None, device: str = "auto"
) -> Model:
    """Load a model.

    Args:
        source: A bundle's folder or address, `starter` for the model that ships with artylyze, or `timm:NAME` for the
            embeddings of a timm backbone.
        weights: Weights for `timm:NAME`, a .safetensors or .pth file.
        device: auto, cpu or cuda.

    Raises:
        InputError: If the model does not exist or is damaged.
        StorageError: If the storage refuses or does not answer.

    Examples:
        >>> import artylyze
        >>> model = artylyze.load_model("bundle")
        >>> model
        Model('bundle': genre, style)
        >>> model.tasks["style"]
        ('Impressionism', 'Cubism')
    """
    where = os.fspath(source)
    file = None if weights is None else os.fspath(weights)
    resolve_device(device)
    return Model(resolve_model(where, weights=file), where, device=device, weights=file)


def _decoded(position: int, picture: Picture, size: int) -> Decoded:
    """Decode an image; raise an InputError that names it."""
    name = f"images[{position}]"
    try:
        if isinstance(picture, Image.Image):
            return from_pillow(picture, size)
        if isinstance(picture, np.ndarray):
            return from_pillow(_as_image(picture, name), size)
        if isinstance(picture, str | os.PathLike):
            address = os.fspath(picture)
            name = f"{name}, {address},"
            return decode(bytes(fetch(address)), size, page=split_page(address)[1])
        if isinstance(picture, bytes | bytearray | memoryview):
            return decode(bytes(picture), size)
    except ImageError as error:
        raise InputError(f"{name} cannot be read: {error.code}, {error.detail.rstrip('.')}.") from error
    raise UsageError(
        f"{name} has the type {type(picture).__name__}: give a path or address, bytes, a Pillow image or a uint8 array."
    )


def _as_image(pixels: NDArray[np.uint8], name: str) -> Image.Image:
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise UsageError(f"{name} is {pixels.dtype} {pixels.shape}: give uint8 (height, width, 3) or (height, width).")
    if not pixels.size:
        raise UsageError(f"{name} has no pixels.")
    return Image.fromarray(np.ascontiguousarray(pixels))
