"""Features of a dataset's images, computed once and kept: plain Python, all cores, one bad image costs itself only."""

from __future__ import annotations

import hashlib
import json
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from artylyze.cache import cache_folder, free_space, hold
from artylyze.errors import ErrorCode, ImageError, InputError
from artylyze.extraction.pixels import PROBED, READ_TOGETHER, readable
from artylyze.models.bundle import GRAPH_VERSION
from artylyze.models.runtimes import GPU_BATCH, CpuRuntime, TorchRuntime, resolve_device
from artylyze.workers.fetching import Source
from artylyze.workers.reading import Reader
from artylyze.workers.supervision import cores

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from artylyze.models.bundle import Bundle
    from artylyze.models.runtimes import Device
    from artylyze.workers.protocol import Seen

    Matrix = NDArray[np.float32]

MOST_DEGREES = 10.0
"""How far an image is rotated in training, to either side."""

_OK, _TODO = "ok", "todo"


@dataclass(frozen=True, eq=False)
class Features:
    """What a backbone says of the images of a table.

    Attributes:
        matrix: float32 (m, F).
        rows: rows of the table that could be read, int64 (m,), ascending.
        failed: image_id -> error code of those that could not.
        varied: float32 (m, F) of the same images varied (`vary`), if they were asked for.
    """

    matrix: Matrix
    rows: NDArray[np.int64]
    failed: Mapping[str, str]
    varied: Matrix | None = None


def features_folder() -> Path:
    """Where features are kept between trainings."""
    return cache_folder("features")


def embed(
    table: pa.Table,
    bundle: Bundle,
    *,
    device: str = "auto",
    augment: bool = False,
    cache: Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> Features:
    """Read the images of a dataset's table and compute their features, in float32 on any device.

    Args:
        table: with the columns image_id, uri, size and validator.
        bundle: one without tasks, whose embedding is all features (`artylyze.models.build.features_bundle`).
        device: auto, cpu or cuda.
        augment: whether to compute those of the images varied too.
        cache: folder in which they are kept, and looked for first. An image without a validator counts as unchanged,
            one that failed for a reason that can pass is read again.
        advance: called again and again with the number of images done since the last call.

    Raises:
        InputError: if no image can be read.
        StorageError: if the storage refuses everything in the middle; what was computed is kept.
    """
    if table.column("uri").null_count:
        raise InputError("The dataset names no images: make it again with `artylyze curate --images`.")
    resolved = resolve_device(device)
    columns = (table.column(name).to_pylist() for name in ("uri", "validator", "size"))
    sources = [Source(*row) for row in zip(*columns, strict=True)]
    path = None if cache is None else cache / _name(sources, bundle, resolved, augment)
    known = (_load(path) if path is not None else None) or _Known(np.full(len(sources), _TODO, object))
    todo = known.todo()
    tell = advance or (lambda _: None)
    tell(len(sources) - len(todo))
    if todo:
        try:
            _compute(sources, todo, known, _Model(bundle, resolved, augment), tell)
        finally:
            if path is not None and known.views:
                _keep(path, known)
    return _features(table, known)


@dataclass(eq=False)
class _Known:
    """Where the features of n images stand.

    Attributes:
        codes: for each image ok, todo or its error code.
        views: float32 (n, F) of the images and, if asked for, of the same varied; empty before the first is known.
    """

    codes: NDArray[np.object_]
    views: list[Matrix] = field(default_factory=list)

    def todo(self) -> list[int]:
        """Images that are not known yet, or failed for a reason that can pass."""
        return [row for row, code in enumerate(self.codes) if code == _TODO or _passes(code)]

    def put(self, rows: Sequence[int], found: Sequence[Matrix]) -> None:
        """Note the features of some images, (len(rows), F) for each view."""
        if not self.views:
            self.views = [np.zeros((len(self.codes), one.shape[1]), np.float32) for one in found]
        for view, one in zip(self.views, found, strict=True):
            view[rows] = one
        self.codes[rows] = _OK


def _passes(code: str) -> bool:
    return code not in (_OK, _TODO) and ErrorCode(code).is_transient


def _features(table: pa.Table, known: _Known) -> Features:
    rows, ids = np.flatnonzero(known.codes == _OK), table.column("image_id")
    failed = {ids[int(row)].as_py(): str(known.codes[row]) for row in np.flatnonzero(known.codes != _OK)}
    if not len(rows):
        raise InputError(
            f"None of the dataset's {len(failed):,} images can be read ({', '.join(sorted(set(failed.values())))}): "
            "curate it again from images that can."
        )
    plain, *varied = [view[rows] if failed else view for view in known.views]
    return Features(plain, rows, failed, varied[0] if varied else None)


class _Model:
    """A features bundle on a device, called from several threads at once on the CPU."""

    def __init__(self, bundle: Bundle, device: Device, augment: bool) -> None:
        self._augment, self._mean = augment, bundle.preprocessing.mean
        if device == "cpu":
            self._runtime: CpuRuntime | TorchRuntime = CpuRuntime(bundle, cores())
            self.threads, self.batch = cores(), READ_TOGETHER
        else:
            self._runtime = TorchRuntime(bundle, device, "float32")
            self.threads, self.batch = 1, GPU_BATCH
        self.size = bundle.preprocessing.size

    def run(self, pixels: NDArray[np.uint8]) -> list[Matrix]:
        """uint8 (n, size, size, 3) -> the features of each view, (n, F)."""
        views = [pixels, vary(pixels, self._mean)] if self._augment else [pixels]
        return [self._runtime.run(view).embedding for view in views]


def vary(pixels: NDArray[np.uint8], mean: Sequence[float]) -> NDArray[np.uint8]:
    """Mirror images, uint8 (n, size, size, 3), and rotate each a little; the same image always in the same way.

    Corners that a rotation leaves empty get the mean colour, `mean` of 0 to 1, as in fine-tuning.
    """
    empty = tuple(round(255 * value) for value in mean)
    varied = np.empty_like(pixels)
    for place, image in enumerate(pixels):
        angle = MOST_DEGREES * (2 * zlib.crc32(image.tobytes()) / 2**32 - 1)
        mirrored = Image.fromarray(np.ascontiguousarray(image[:, ::-1]))
        varied[place] = np.asarray(mirrored.rotate(angle, Image.Resampling.BILINEAR, fillcolor=empty))
    return varied


def _compute(
    sources: Sequence[Source], rows: Sequence[int], known: _Known, model: _Model, tell: Callable[[int], None]
) -> None:
    """Read the images of `rows`, and note what becomes of each.

    Decoders are processes of their own and the runtimes let go of the interpreter: threads use all cores.
    """
    wanted = [sources[row] for row in rows]
    outcomes: list[Seen | ImageError | None] = [None] * len(wanted)
    running: deque[tuple[list[int], Future[list[Matrix]]]] = deque()

    def collect(most: int) -> None:
        while len(running) > most:
            places, found = running.popleft()
            known.put([rows[place] for place in places], found.result())
            tell(len(places))

    canary = readable(wanted)
    if canary is None and not known.views:
        raise InputError(
            f"None of {min(PROBED, len(wanted))} images across the dataset can be read, for example {wanted[0].uri}: "
            "see that they still are where it says."
        )
    with Reader(model.size, decoders=cores(), canary=canary) as reader, ThreadPoolExecutor(model.threads) as pool:
        for batch in reader.read(wanted, outcomes, model.batch):
            running.append((batch.rows, pool.submit(model.run, batch.filled)))
            collect(2 * model.threads)
        collect(0)
    for row, outcome in zip(rows, outcomes, strict=True):
        if isinstance(outcome, ImageError):
            known.codes[row] = str(outcome.code)
            tell(1)


def _name(sources: Sequence[Source], bundle: Bundle, device: Device, augment: bool) -> str:
    """The name that features of these images by this model go by: all that can change them is in it."""
    described = [bundle.model_id, GRAPH_VERSION, device, f"varied by {MOST_DEGREES:g} degrees" if augment else False]
    hashed = hashlib.sha256(json.dumps(described).encode())
    for source in sources:
        hashed.update(json.dumps([source.uri, source.validator, source.size]).encode())
    return f"{bundle.backbone}-{hashed.hexdigest()[:20]}.safetensors"


def _load(path: Path) -> _Known | None:
    """What was kept under `path`; None if there is nothing, or nothing sound."""
    from safetensors import SafetensorError, safe_open

    try:
        if path.exists():
            hold(path)
        with safe_open(path, framework="numpy") as file:
            codes = np.array(json.loads(file.metadata()["codes"]), object)
            views = [file.get_tensor(name) for name in sorted(file.keys())]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    return _Known(codes, views)


def _keep(path: Path, known: _Known) -> None:
    """Keep features under `path`; a cache that cannot be written is no reason to stop."""
    from safetensors.numpy import save_file

    unfinished = path.with_name(f".{uuid.uuid4().hex}")
    tensors = {f"view{number}": view for number, view in enumerate(known.views)}
    with suppress(OSError):
        hold(path)
        free_space(sum(view.nbytes for view in known.views))
        save_file(tensors, unfinished, {"codes": json.dumps(known.codes.tolist())})
        unfinished.replace(path)
