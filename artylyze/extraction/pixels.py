"""The images of a training, decoded once: uint8 squares in a memory-mapped file that later epochs and trials read."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from artylyze.cache import cache_folder, free_space, hold
from artylyze.errors import ErrorCode, ImageError, StorageError
from artylyze.storage import reachable
from artylyze.workers.fetching import Source
from artylyze.workers.reading import Reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.workers.protocol import Seen

PROBED = 12
"""Images that are asked for before anything else, across the dataset."""

READ_TOGETHER = 16
"""Images in a batch between decoders and what they are decoded for."""

_OK = "ok"
_CODES = {None, _OK, *map(str, ErrorCode)}


@dataclass(frozen=True, eq=False)
class Images:
    """Decoded images.

    Attributes:
        pixels: uint8 (n, size, size, 3), one for each source, memory-mapped, read only; those that could not be read
            hold anything.
        failed: place among the sources -> error code of those that could not be read.
    """

    pixels: NDArray[np.uint8]
    failed: Mapping[int, str]

    @property
    def read(self) -> NDArray[np.int64]:
        """Places among the sources of the images that could be read, ascending."""
        places = np.ones(len(self.pixels), bool)
        places[list(self.failed)] = False
        return np.asarray(np.flatnonzero(places), np.int64)


def images_folder() -> Path:
    """Where decoded images are kept between trainings."""
    return cache_folder("images")


def read_images(
    sources: Sequence[Source],
    size: int,
    folder: Path,
    *,
    decoders: int = 1,
    advance: Callable[[int, int], None] | None = None,
) -> Images:
    """Decode images into a file of `folder`, or find there what an earlier training decoded.

    An image without a validator counts as unchanged. One that failed for a reason that can pass is tried again. Of
    several processes that want the same images, one decodes and the others wait for it.

    Args:
        sources: the images.
        size: side of the squares, pixels.
        folder: on a disk of this machine.
        decoders: processes that decode.
        advance: called again and again with the number of images read since the last call, and of those that failed.

    Raises:
        StorageError: if the disk has no room, or the storage refuses everything in the middle; what was decoded is
            kept.
    """
    path = folder / f"{_name(sources, size)}.npy"
    shape = (len(sources), size, size, 3)
    tell = advance or (lambda _count, _errors: None)
    with _alone(path):
        codes = _load(path, shape)
        todo = [place for place, code in enumerate(codes) if code is None or _passes(code)]
        tell(len(sources) - len(todo), sum(code not in (None, _OK) and not _passes(code) for code in codes))
        if todo:
            if not path.exists():
                free_space(math.prod(shape))
                _reserve(path, shape)
            try:
                _decode(sources, todo, size, np.lib.format.open_memmap(path, "r+"), codes, decoders, tell)
            finally:
                _keep(path, codes)
        pixels = np.lib.format.open_memmap(path, "r")
    return Images(pixels, {place: str(code) for place, code in enumerate(codes) if code != _OK})


def _passes(code: str) -> bool:
    return code != _OK and ErrorCode(code).is_transient


def _name(sources: Sequence[Source], size: int) -> str:
    """The name that these images go by at this size: all that can change their pixels is in it."""
    hashed = hashlib.sha256(str(size).encode())
    for source in sources:
        hashed.update(json.dumps([source.uri, source.validator, source.size]).encode())
    return f"{size}-{hashed.hexdigest()[:20]}"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time work on `path`; the lock ends with its holder, however that ends."""
    try:
        hold(path)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise StorageError(
            f"The decoded images cannot be kept in {path.parent} ({error.strerror or error}): make room there, or name "
            "another disk by XDG_CACHE_HOME."
        ) from error


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    """Make the file with room for all images: a full disk that is found when a page is written kills the process."""
    unfinished = path.with_name(f".{uuid.uuid4().hex}")
    try:
        np.lib.format.open_memmap(unfinished, "w+", np.uint8, shape)
        if hasattr(os, "posix_fallocate"):
            with unfinished.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, unfinished.stat().st_size)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _load(path: Path, shape: tuple[int, ...]) -> list[str | None]:
    """What became of each image, `ok` or an error code; None for what is not known."""
    with suppress(OSError, ValueError, TypeError):
        codes = json.loads(path.with_suffix(".json").read_text())
        if np.lib.format.open_memmap(path, "r").shape == shape and len(codes) == shape[0] and set(codes) <= _CODES:
            return list(codes)
    path.unlink(missing_ok=True)
    return [None] * shape[0]


def _keep(path: Path, codes: Sequence[str | None]) -> None:
    """Note what became of each image: from here on a later training relies on it."""
    unfinished = path.with_name(f".{uuid.uuid4().hex}")
    unfinished.write_text(json.dumps(codes))
    unfinished.replace(path.with_suffix(".json"))


def _decode(
    sources: Sequence[Source],
    places: Sequence[int],
    size: int,
    pixels: NDArray[np.uint8],
    codes: list[str | None],
    decoders: int,
    tell: Callable[[int, int], None],
) -> None:
    """Read the images at `places` into `pixels`, and note what becomes of each in `codes`."""
    wanted = [sources[place] for place in places]
    outcomes: list[Seen | ImageError | None] = [None] * len(wanted)
    with Reader(size, decoders=decoders, canary=readable(wanted)) as reader:
        for batch in reader.read(wanted, outcomes, READ_TOGETHER):
            mine = [places[row] for row in batch.rows]
            pixels[mine] = batch.filled
            for place in mine:
                codes[place] = _OK
            tell(len(mine), 0)
    failed = 0
    for place, outcome in zip(places, outcomes, strict=True):
        if isinstance(outcome, ImageError):
            codes[place] = str(outcome.code)
            failed += 1
    tell(failed, failed)


def readable(sources: Sequence[Source]) -> str | None:
    """Return the address of an image that can be read now, of `PROBED` across the dataset; None if none can."""
    places = np.unique(np.linspace(0, len(sources) - 1, PROBED).astype(int))
    return next((sources[place].uri for place in places if reachable(sources[place].uri)), None)
