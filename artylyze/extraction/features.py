"""From a catalog or a source to a features file: PCA or kernel PCA of pixels, embeddings, features of a timm model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.errors import InputError, UsageError, check_seed
from artylyze.extraction.vectors import GROUP, describe_left_out, read_vectors, write_features
from artylyze.storage import check_output, open_store
from artylyze.storage.staging import local_path
from artylyze.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.extraction.transform import Transform
    from artylyze.progress import Watcher

METHODS = ("pca", "kernel_pca", "embedding")
VARIANCE, IMAGE_SIZE = 0.95, 180
MOST_PIXELS = 512
"""Largest --image-size: kernel PCA holds 2,000 such images as float32, 6 GB."""


@dataclass(frozen=True)
class FeaturesRequest:
    """Features of the images of a source. Raises UsageError for what does not go together.

    Attributes:
        source: a catalog, a manifest, or what `artylyze scan` takes.
        output: the features file, .parquet.
        method: pca, kernel_pca, embedding or timm:NAME.
        variance: share of the variance that PCA and kernel PCA keep.
        image_size: side of the images for PCA and kernel PCA, pixels.
        weights: a file of weights for timm:NAME.
        random_weights: whether timm:NAME may go without weights; the features say so, and are never ranked.
        transform: a fitted transform to apply in place of fitting one.
        seed: of every random choice.
    """

    source: str
    output: str
    method: str
    variance: float = VARIANCE
    image_size: int = IMAGE_SIZE
    weights: str | None = None
    random_weights: bool = False
    transform: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        timm = self.method.startswith("timm:")
        if not self.output.lower().endswith(".parquet"):
            raise UsageError("Features are a .parquet file: give `output` a name that ends so.")
        check_output(self.output)
        if self.method not in METHODS and not timm:
            raise UsageError(f"`method={self.method!r}`: choose {', '.join(METHODS)} or timm:NAME.")
        if not timm and (self.weights is not None or self.random_weights):
            raise UsageError("`weights` and `random_weights` go with `method='timm:NAME'`.")
        if self.weights is not None:
            local_path(self.weights, "`weights`")
        if self.weights is not None and self.random_weights:
            raise UsageError("Give `weights` or `random_weights`, not both.")
        if self.transform is not None and self.method not in ("pca", "kernel_pca"):
            raise UsageError("`transform` goes with `method='pca'` or kernel_pca.")
        if self.transform is not None and (self.variance, self.image_size) != (VARIANCE, IMAGE_SIZE):
            raise UsageError("`transform` brings its own `variance` and `image_size`: leave them out.")
        check_seed(self.seed)
        if not 0 < self.variance <= 1:
            raise UsageError(f"`variance={self.variance:g}`: a share between 0 and 1.")
        if not 1 <= self.image_size <= MOST_PIXELS:
            raise UsageError(f"`image_size={self.image_size}`: from 1 to {MOST_PIXELS} pixels.")


@dataclass(frozen=True, eq=False)
class _Read:
    """The images of `pixels` that could be read, as an array of them; from the disk come those that are asked for."""

    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.pixels.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.pixels[self.rows[rows]]


@dataclass(frozen=True, eq=False)
class _Found:
    """Features float32 (n, d) of some rows of a table, why others have none, and what is known of how they came."""

    table: pa.Table
    matrix: NDArray[np.float32]
    left_out: Mapping[str, int]
    about: Mapping[str, Any]


def features(request: FeaturesRequest, watcher: Watcher) -> dict[str, Any]:
    """Compute features and write them; return what the file's metadata says, with rows and dim.

    Raises:
        InputError: a source, weights or a transform that cannot be used.
    """
    if request.method == "embedding":
        vectors = read_vectors(request.source)
        table = pa.table({"image_id": vectors.ids, "record_id": vectors.records})
        found = _Found(table, vectors.matrix, vectors.left_out, {"model_id": vectors.model_id})
    else:
        images, failed = _images(request.source)
        found = _pixels(request, images, watcher) if request.method in METHODS else _timm(request, images, watcher)
        found = replace(found, left_out=Counter(failed) + Counter(found.left_out))
    rows, dim = found.matrix.shape
    about = {
        "method": request.method,
        "source": request.source,
        "catalog": open_store(request.source).url if _is_catalog(request.source) else None,
        "model_id": None,
        "random_weights": request.random_weights,
        "left_out": dict(found.left_out),
        "settings": asdict(request),
        **found.about,
    }
    named = found.table.select(["image_id", "record_id"])
    write_features(request.output, named.append_column("features", _lists(found.matrix)), about)
    return {"features": request.output, "rows": rows, "dim": dim, **about}


def _lists(matrix: NDArray[np.float32]) -> pa.ChunkedArray:
    """The rows of a matrix as lists, in pieces: the offsets of one list array are 32 bits."""
    pieces = []
    for start in range(0, len(matrix), GROUP):
        part = matrix[start : start + GROUP]
        offsets = np.arange(len(part) + 1, dtype=np.int32) * matrix.shape[1]
        pieces.append(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(part.ravel())))
    return pa.chunked_array(pieces, pa.list_(pa.float32()))


def _is_catalog(source: str) -> bool:
    return not source.lower().endswith((".parquet", ".csv", ".tsv")) and bool(
        open_store(source).version("catalog.json")
    )


def _images(source: str) -> tuple[pa.Table, Mapping[str, int]]:
    """The images of a source (image_id, record_id, uri, size, validator) in image_id order; a catalog's errors."""
    names = ["image_id", "record_id", "uri", "size", "validator"]
    if _is_catalog(source):
        from artylyze.catalog.snapshot import read_catalog, read_snapshot

        rows = read_catalog(source, ["image_id", "record_id", "uri", "validator", "status"])
        rows = rows.filter(pc.equal(rows.column("status"), "ok"))
        rows = rows.append_column("size", pa.nulls(rows.num_rows, pa.int64())).select(names).sort_by("image_id")
        return rows, read_snapshot(source).errors
    from artylyze.collection import scan as collection
    from artylyze.collection.manifest import looks_like_manifest, open_rows

    if source.lower().endswith(".parquet") and looks_like_manifest(source):
        with open_rows(source) as file:
            return file.read(names), {}
    with TemporaryDirectory(prefix="artylyze-") as folder:
        manifest = str(Path(folder, "manifest.parquet"))
        collection.scan(source, manifest)
        with open_rows(manifest) as file:
            return file.read(names), {}


def _pixels(request: FeaturesRequest, images: pa.Table, watcher: Watcher) -> _Found:
    from artylyze.extraction.fitting import fit
    from artylyze.extraction.pixels import images_folder, read_images
    from artylyze.extraction.transform import identity, load_transform, save_transform
    from artylyze.workers.fetching import Source
    from artylyze.workers.supervision import cores

    known = None if request.transform is None else load_transform(request.transform)
    if known is not None and known.method != request.method:
        raise InputError(f"{request.transform} is a transform of `method={known.method!r}`.")
    columns = (images.column(name).to_pylist() for name in ("uri", "validator", "size"))
    sources = [Source(*row) for row in zip(*columns, strict=True)]
    watcher.start(len(sources), 0, "Reading")
    size = request.image_size if known is None else known.size
    read = read_images(sources, size, images_folder(), decoders=cores(), advance=watcher.advance)
    left_out = Counter(read.failed.values())
    if left_out and len(read.read) < (2 if known is None else 1):
        failed = describe_left_out(dict(left_out.most_common()))
        some = "only 1" if len(read.read) else "none"
        raise InputError(f"{request.source} has {counted(len(sources), 'image')}, and {some} can be read ({failed}).")
    pixels = _Read(read.pixels, read.read)
    if known is not None:
        watcher.start(len(pixels), 0, "Projecting")
        matrix = known.apply(pixels, watcher.advance)
        settings = asdict(request) | {"image_size": size, "variance": None}
        about: dict[str, Any] = {"model_id": identity(known), "settings": settings}
    else:
        fitted, matrix = fit(request.method, pixels, request.variance, request.seed, watcher)
        transform = request.output[: -len(".parquet")] + ".transform.safetensors"
        save_transform(transform, fitted)
        about = {"model_id": identity(fitted), "transform": transform, "variance_kept": round(fitted.variance, 4)}
        if fitted.variance < request.variance - 0.001:
            watcher.say(_shortage(fitted, request.variance))
    return _Found(images.take(pa.array(read.read)), matrix, left_out, about)


def _shortage(fitted: Transform, asked: float) -> str:
    """What to say of components that hold less than was asked for."""
    from artylyze.extraction.fitting import EXACT_ROWS, FREQUENCIES, LANDMARKS

    count, held = len(fitted.components), f"{fitted.variance:.3f}"
    if fitted.method == "pca":
        return (
            f"The {count:,} components hold {held} of the variance; asked for were {asked:g}. A smaller `image_size` "
            f"keeps more; at {isqrt(FREQUENCIES // 3)} pixels or less it keeps all that is asked for."
        )
    return (
        f"The {count:,} components hold {held} of what sets images apart by the kernel, measured on images that are no "
        f"landmarks; asked for were {asked:g}. Kernel PCA of more than {EXACT_ROWS:,} images is approximated from "
        f"{LANDMARKS:,} of them."
    )


def _timm(request: FeaturesRequest, images: pa.Table, watcher: Watcher) -> _Found:
    import torch

    from artylyze.extraction.cached import embed
    from artylyze.models.backbones import load_backbone
    from artylyze.models.build import features_bundle

    torch.manual_seed(request.seed)
    name = request.method.removeprefix("timm:")
    weights = None if request.weights is None else Path(request.weights)
    try:
        backbone = load_backbone(name, weights=weights, pretrained=not request.random_weights)
    except InputError as error:
        if request.random_weights or weights is not None:
            raise
        raise InputError(
            f"{error}. To see what an untrained network gives, and never to rank it: `random_weights`."
        ) from error
    bundle = features_bundle(backbone)
    watcher.start(images.num_rows, 0, "Embedding")
    found = embed(images, bundle, advance=lambda count: watcher.advance(count, 0))
    left_out = Counter(found.failed.values())
    return _Found(images.take(pa.array(found.rows)), found.matrix, left_out, {"model_id": bundle.model_id})
