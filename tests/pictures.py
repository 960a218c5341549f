"""A small clustered collection on disk: drawn pictures, a catalog without a model, KMeans and a mixture by hand."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from artylyze.catalog.plan import plan_shards
from artylyze.catalog.snapshot import Part, Snapshot, write_snapshot
from artylyze.clustering.mixture import Mixture, Projection
from artylyze.clustering.store import Clusters, write_clusters
from artylyze.collection.manifest import COLUMNS, open_manifest, open_rows, read_rows, write_manifest
from artylyze.errors import ErrorCode, ImageError
from artylyze.models.runtimes import Outputs
from artylyze.tagging.shard import ShardSettings, commit_rows
from artylyze.workers.protocol import Seen

MARKUP = "<script>alert('é')</script>"
FORMULA = "=cmd|'/c calc'!A1"
CENTRES = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0]], np.float32)


@dataclass(frozen=True)
class Painted:
    """One image: its pixels, its record (None: its own), its place among the embeddings, what is said of it.

    Without pixels it is a broken file.
    """

    pixels: npt.NDArray[np.uint8] | None
    place: tuple[float, float, float]
    record: str | None = None
    metadata: Mapping[str, str | None] | None = None


def painting(seed: int, size: int = 160) -> npt.NDArray[np.uint8]:
    """Draw blots of colour with some detail, uint8 (size, size, 3): no two seeds alike."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (9, 9, 3), np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    fine = Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    return np.asarray(Image.blend(coarse, fine, 0.35).filter(ImageFilter.GaussianBlur(1)))


def reencoded(pixels: npt.NDArray[np.uint8], quality: int = 40) -> npt.NDArray[np.uint8]:
    """Return what a smaller, worse JPEG of a picture shows."""
    out = io.BytesIO()
    small = Image.fromarray(pixels).resize((pixels.shape[1] * 2 // 3, pixels.shape[0] * 2 // 3))
    small.save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out).convert("RGB").resize(pixels.shape[1::-1]))


def page(kind: str, seed: int) -> npt.NDArray[np.uint8]:
    """Draw a sheet, uint8 (180, 180, 3), squeezed as the reader does."""
    return squeezed(sheet(kind, seed))


def squeezed(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a picture as it is compared, uint8 (180, 180, 3)."""
    return np.asarray(Image.fromarray(pixels).resize((180, 180)))


def sheet(kind: str, seed: int, width: int = 620, height: int = 880) -> npt.NDArray[np.uint8]:
    """Draw a sheet, uint8 (height, width, 3); what is printed is the same for every seed.

    Its kinds: "text", "letter" (a head and a text), "form" (printed, and filled in), "frame" (a mount around a
    painting), "blank" (paper on a dark ground), "drawing" (lines).
    """
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), (240, 240, 236))
    draw = ImageDraw.Draw(image)

    def write(top: int, size: int, letters: np.random.Generator, left: int = 60, right: int = width - 60) -> None:
        _write(draw, top, size, letters, left, right)

    if kind == "text":
        for top in range(60, 800, 18):
            write(top, 12, random)
    elif kind == "letter":
        draw.rectangle((60, 40, 120, 100), fill=60)
        write(50, 30, np.random.default_rng(0), 140)
        draw.line((60, 115, width - 60, 115), fill=20, width=3)
        for top in range(220, 700, 18):
            write(top, 12, random)
    elif kind == "form":
        for number, top in enumerate(range(60, 800, 40)):
            draw.rectangle((60, top, width - 60, top + 36), outline=20, width=2)
            write(top + 2, 9, np.random.default_rng(number), 64, 320)
            write(top + 14, 16, random, 80, int(random.integers(250, width - 80)))
    elif kind == "frame":
        image.paste(Image.fromarray(painting(seed)).resize((width - 60, height - 80)), (30, 40))
    elif kind == "drawing":
        for _ in range(40):
            path = np.cumsum(np.vstack([random.uniform(60, 500, 2), random.integers(-70, 70, (6, 2))]), axis=0)
            draw.line([tuple(point) for point in path.tolist()], fill=40, width=2)
    else:
        draw.rectangle((0, 0, width - 1, height - 1), outline=60, width=8)
    return _scanned(image, random)


def card(seed: int, rest: str) -> npt.NDArray[np.uint8]:
    """Draw a catalogue card, uint8 (880, 620, 3): 18 printed lines, of which the seed fills in 6.

    The others are "filled", the same for every seed, or "blank".
    """
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (620, 880), (240, 240, 236))
    draw = ImageDraw.Draw(image)
    differing = set(np.random.default_rng(99).permutation(18)[:6].tolist())
    for number in range(18):
        top = 60 + 42 * number
        draw.line((60, top + 38, 560, top + 38), fill=20, width=2)
        _write(draw, top + 16, 13, np.random.default_rng(number), 64, 260)
        hand = random if number in differing else np.random.default_rng(500 + number)
        if number in differing or rest == "filled":
            _write(draw, top + 10, 22, hand, 230, int(hand.integers(450, 560)), "STIXGeneralItalic", fill=60)
    return _scanned(image, random)


def _write(
    draw: ImageDraw.ImageDraw,
    top: int,
    size: int,
    letters: np.random.Generator,
    left: int,
    right: int,
    face: str = "DejaVuSans",
    fill: int = 30,
) -> None:
    """Write words of random letters in one line."""
    font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/{face}.ttf", size)
    while left < right - 8 * size:
        word = "".join(letters.choice(list("aaceeghiiklmnoprstuvw"), letters.integers(1, 11)))
        draw.text((left, top), word, fill=fill, font=font)
        left += int(font.getlength(word + " "))


def _scanned(image: Image.Image, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    noisy = np.asarray(image) + random.normal(0, 2, (image.height, image.width, 1))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def collection(folder: Path, images: Mapping[str, Painted]) -> str:
    """Write images and their catalog, and return the catalog's address."""
    fields = sorted({name for image in images.values() for name in image.metadata or {}})
    schema = pa.schema(
        [*COLUMNS, *([pa.field("metadata", pa.struct([(f, pa.string()) for f in fields]))] if fields else [])]
    )
    rows = []
    seen: list[Seen | ImageError] = []
    (folder / "images").mkdir(parents=True)
    for key, image in sorted(images.items()):
        path = folder / "images" / key
        if image.pixels is None:
            path.write_bytes(b"broken")
            seen.append(ImageError(ErrorCode.CORRUPT, "it was asked for"))
        else:
            Image.fromarray(image.pixels).save(path)
            seen.append(Seen(image.pixels.shape[1], image.pixels.shape[0], "PNG"))
        rows.append(
            {
                "image_id": key,
                "record_id": image.record or key.rpartition(".")[0],
                "uri": str(path),
                "size": path.stat().st_size,
                "validator": None,
                **({"metadata": {f: (image.metadata or {}).get(f) for f in fields}} if fields else {}),
            }
        )
    manifest, catalog = str(folder / "manifest.parquet"), str(folder / "catalog")
    write_manifest(pa.Table.from_pylist(rows, schema).to_batches(), schema, manifest)
    _commit(manifest, catalog, images, seen)
    return catalog


def _commit(manifest: str, catalog: str, images: Mapping[str, Painted], seen: Sequence[Seen | ImageError]) -> None:
    settings = ShardSettings(
        catalog=catalog, run_id="run0", model_id="model", tasks=(), embedding_dim=3, size=8, top_k=5, conditional=True
    )
    (shard,) = plan_shards(open_manifest(manifest).sizes, len(images))
    vectors = np.array([one.place for _, one in sorted(images.items()) if one.pixels is not None], np.float32)
    with open_rows(manifest) as file:
        receipt = commit_rows(settings, shard, read_rows(file, shard.start, shard.stop), seen, Outputs(vectors, {}))
    part = Part(f"runs/run0/{receipt.key}", receipt.rows, receipt.ok, receipt.errors)
    write_snapshot(catalog, Snapshot("run0", "tag", "model", (), 3, {}, (part,)))


def clustered(folder: Path, catalog: str, images: Mapping[str, Painted], **run: Any) -> str:
    """Cluster a collection around CENTRES, and return the address of the clusters."""
    good = {key: one for key, one in sorted(images.items()) if one.pixels is not None}
    places = np.array([one.place for one in good.values()], np.float32)
    distances = np.linalg.norm(places[:, None] - CENTRES[None], axis=2)
    projection = Projection(np.zeros(3, np.float32), np.eye(3, dtype=np.float32))
    spread = np.full((3, 3), 0.3, np.float32)
    mixture = Mixture("diag", np.full(3, 1 / 3, np.float32), CENTRES, spread, projection)
    shares = mixture.responsibilities(places)
    table = pa.table(
        {
            "image_id": list(good),
            "record_id": [one.record or key.rpartition(".")[0] for key, one in good.items()],
            "kmeans": pa.array(distances.argmin(axis=1), pa.int32()),
            "distance": pa.array(distances.min(axis=1), pa.float32()),
            "gmm": pa.array(shares.argmax(axis=1), pa.int32()),
            "responsibilities": pa.array(list(shares), pa.list_(pa.float32())),
        }
    )
    settings = {"algorithms": ["kmeans", "gmm"], "k": 3, "covariance": "diag"}
    told = {
        "source": catalog,
        "catalog": catalog,
        "method": "embedding",
        "model_id": "model",
        "rows": len(good),
        "settings": settings,
        **run,
    }
    scores = {"3": {"inertia": 1.0, "silhouette": 0.5}}
    write_clusters(Clusters(str(folder / "clusters"), told, table, CENTRES, mixture, scores))
    return str(folder / "clusters")


@dataclass(frozen=True)
class Gallery:
    """A clustered collection: addresses of catalog and clusters."""

    root: Path
    catalog: str
    clusters: str


def paintings() -> dict[str, Painted]:
    """Three kinds of eight works, one of them twice, one of two images, one between two kinds, one broken."""
    images = {}
    for kind, centre in enumerate(CENTRES):
        for number in range(8):
            x, y, z = centre.tolist()
            place = (x + 0.1 * number, y, z + 0.05 * number)
            said = {
                "title": MARKUP if (kind, number) == (0, 0) else f"Étude {kind}-{number}",
                "artist": ("Anna Ancher", FORMULA, "Šime Vulas")[kind],
                "genre": ("portrait", "landscape", "still life")[kind] if number else None,
                "number": f"{kind}{number}",
            }
            images[f"k{kind}-{number}.png"] = Painted(painting(10 * kind + number), place, metadata=said)
    twice = reencoded(painting(1))
    images["twin.png"] = Painted(twice, (0.1, 0.01, 0.05), metadata={"title": "A twin"})
    images["k1-0-verso.png"] = Painted(painting(77), (9.0, 0.5, 0), "k1-0", metadata={"title": "The verso"})
    images["between.png"] = Painted(painting(78), (5.0, 0.0, 0.0), metadata={"title": MARKUP, "artist": FORMULA})
    images["broken.png"] = Painted(None, (0, 0, 0), metadata={"title": "Broken"})
    return images
