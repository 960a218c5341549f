"""A made-up folder of the explorer, for its benchmark and for work on its pages: n works, a few pictures repeated.

`python -m benchmarks.explorer_data FOLDER --works 100000 [--pictures FOLDER]` writes what `artylyze explore -o` writes.
Pictures are drawn, or those of a folder; work i shows picture i modulo 1,024, so that sixteen atlases under many
names serve a million works.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image, ImageDraw

from artylyze.searching.words import fold

DIST = Path(__file__).parents[1] / "artylyze" / "exploring" / "web" / "dist"
PICTURES = 1024
"""Different pictures: one atlas of 64 pixels, sixteen of 128."""
WORKS, TEXTS, NEIGHBOURS = 250, 20_000, 4096
"""Works in a file of each kind."""
NEAREST = 24
UNKNOWN_YEAR = -32768
INLINE = 2000
"""Works up to which everything is also written as a script, for file://."""
GENRES = (
    "portrait",
    "landscape",
    "still life",
    "genre painting",
    "cityscape",
    "marine",
    "history painting",
    "interior",
)
STYLES = ("Baroque", "Realism", "Impressionism", "Romanticism", "Expressionism", "Rococo", "Symbolism", "Cubism")
NATIONS = ("French", "Dutch", "Italian", "German", "British", "Spanish", "American", "Belgian", "Danish", "Russian")
NOUNS = (
    "river",
    "bridge",
    "garden",
    "harbour",
    "orchard",
    "mill",
    "window",
    "woman",
    "street",
    "forest",
    "church",
    "sea",
)
PLACES = ("Delft", "Honfleur", "Arles", "Venice", "Toledo", "Leiden", "Étretat", "Dresden", "Skagen", "Dordrecht")
FIRST = ("Anna", "Jan", "Claude", "Berthe", "Paul", "Clara", "Vincent", "Élisabeth", "Jürgen", "Rosa", "Otto", "Judith")
LAST = (
    "Bakker",
    "Moreau",
    "Rossi",
    "Lindqvist",
    "Schröder",
    "Hughes",
    "García",
    "Petrov",
    "Duval",
    "Krøyer",
    "Vos",
    "Hals",
)
MARKUP = "<img src=x onerror=alert(1)>"
"""The title of work 7, which must stay text."""


@dataclass(frozen=True)
class Pictures:
    """Thumbnails of 128 pixels, and their five colours as int8 L, a, b and uint8 share, (1024, 5, 4)."""

    images: Sequence[Image.Image]
    colors: npt.NDArray[np.uint8]


def write(folder: Path, works: int, pictures: Path | None = None, different: int = PICTURES, seed: int = 0) -> None:
    """Write the explorer of so many made-up works, of so many different pictures. The folder is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DIST, folder) if DIST.exists() else folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    shown = _pictures(pictures, different, random)
    columns = _columns(works, shown, random)
    index = _index(works, columns)
    artists = _artists()
    inline: dict[str, Any] = {}
    _put(folder, "data/index.json", index, inline)
    for name, values in columns.items():
        _put(folder, f"data/columns/{name}.bin", values.tobytes(), inline)
    _put(folder, "data/terms/meta_artist.json", artists, inline)
    for name, content in _chunks(works, columns, artists, random):
        _put(folder, name, content, inline if works <= INLINE else None)
    _put(folder, "data/decisions.json", [], inline)
    colors = shown.colors[np.arange(works) % PICTURES]
    _put(folder, "data/colors.bin", colors.tobytes(), inline)
    if works <= INLINE:
        (folder / "data/inline.js").write_text(f"window.ARTYLYZE_DATA = {json.dumps(inline)};\n", "utf-8")
    _atlases(folder, works, shown)


def _pictures(folder: Path | None, different: int, random: np.random.Generator) -> Pictures:
    images = []
    if folder is None:
        images = [_drawn(random) for _ in range(different)]
    else:
        for path in sorted(folder.iterdir())[:different]:
            with Image.open(path) as image:
                image.draft("RGB", (256, 256))
                images.append(_fit(image.convert("RGB"), 128))
    colors = np.stack([_colors(image) for image in images])
    again = np.arange(PICTURES) % len(images)
    return Pictures([images[i] for i in again], colors[again])


def _drawn(random: np.random.Generator) -> Image.Image:
    size = (128, int(random.integers(72, 128)))
    picture = Image.new("RGB", size if random.random() < 0.5 else size[::-1])
    draw = ImageDraw.Draw(picture)
    sky, ground = (tuple(int(c) for c in random.integers(low, high, 3)) for low, high in ((90, 230), (20, 140)))
    horizon = int(picture.height * random.uniform(0.3, 0.8))
    for y in range(picture.height):
        mix = y / picture.height
        base = sky if y < horizon else ground
        draw.line([(0, y), (picture.width, y)], fill=tuple(int(c * (1 - 0.4 * mix)) for c in base))
    for _ in range(int(random.integers(2, 7))):
        x, y, r = (int(random.integers(0, 128)), int(random.integers(0, 128)), int(random.integers(4, 30)))
        draw.ellipse([x - r, y - r, x + r, y + r], fill=tuple(int(c) for c in random.integers(20, 220, 3)))
    return picture


def _fit(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def _colors(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Five dominant colours, roughly: those of a palette of five."""
    small = image.resize((32, 32)).quantize(5, kmeans=1).convert("RGB")
    counted = sorted(small.getcolors() or [], reverse=True)[:5]
    found = np.zeros((5, 4), np.uint8)
    for k, (count, rgb) in enumerate(counted):
        lab = np.clip(np.round(lab_of(np.array(rgb))), -128, 127).astype(np.int8)
        found[k] = [*lab.view(np.uint8), round(count / 1024 * 255)]
    return found


def lab_of(rgb: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """CIELAB (D65) of an sRGB colour, 0..255."""
    linear = rgb / 255
    linear = np.where(linear > 0.04045, ((linear + 0.055) / 1.055) ** 2.4, linear / 12.92)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(xyz / np.array([0.95047, 1, 1.08883]))
    f = np.where(f > 6 / 29, f, f**3 * 841 / 108 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _columns(works: int, shown: Pictures, random: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    """Every column, by its name: clusters lie as clouds on the map, and genre, style, artist and year follow them."""
    cluster = random.integers(0, 24, works)
    centre = random.uniform(0.12, 0.88, (24, 2))
    spread = random.uniform(0.02, 0.07, (24, 1))
    place = np.clip(centre[cluster] + random.normal(size=(works, 2)) * spread[cluster], 0, 1) * 65535
    sizes = np.array([image.size for image in shown.images])[np.arange(works) % PICTURES]
    year = (1450 + (cluster * 20) + random.normal(0, 25, works)).astype(np.int16)
    year[random.random(works) < 0.05] = UNKNOWN_YEAR
    artist = (cluster * 30 + random.geometric(0.08, works)) % (len(FIRST) * len(LAST) * 5)
    score = random.beta(5, 2, (works, 2)) * 255
    genre = np.where(random.random(works) < 0.7, cluster % 8, random.integers(0, 8, works)) + 1
    style = np.where(random.random(works) < 0.7, cluster // 3, random.integers(0, 8, works)) + 1
    status = (random.random(works) < 0.002).astype(np.uint8)
    status[:64] = 0
    sizes[status > 0] = 0
    return {
        "width": (sizes[:, 0] * 6).astype(np.uint16),
        "height": (sizes[:, 1] * 6).astype(np.uint16),
        "x": place[:, 0].astype(np.uint16),
        "y": place[:, 1].astype(np.uint16),
        "status": status,
        "year": year,
        "genre": genre.astype(np.uint16),
        "genre_score": score[:, 0].astype(np.uint8),
        "genre_review": (score[:, 0] < 90).astype(np.uint8),
        "style": style.astype(np.uint16),
        "style_score": score[:, 1].astype(np.uint8),
        "style_review": (score[:, 1] < 90).astype(np.uint8),
        "meta_artist": (artist + 1).astype(np.uint16),
        "meta_nationality": (artist % 10 + 1).astype(np.uint16),
        "cluster": (cluster + 1).astype(np.uint16),
    }


def _artists() -> list[str]:
    return [
        f"{first} {last}{suffix}"
        for suffix in ("", " I", " II", " the Elder", " Jr")
        for first in FIRST
        for last in LAST
    ]


def _index(works: int, columns: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
    clusters = [f"{STYLES[k // 3]} · {GENRES[k % 8]}" for k in range(24)]
    terms: dict[str, tuple[str, str, Sequence[str] | None]] = {
        "genre": ("genre", "task", GENRES),
        "genre_review": ("genre", "review", ("review",)),
        "style": ("style", "task", STYLES),
        "style_review": ("style", "review", ("review",)),
        "meta_artist": ("artist", "metadata", None),
        "meta_nationality": ("nationality", "metadata", NATIONS),
        "cluster": ("cluster", "cluster", clusters),
        "status": ("error", "error", ("corrupt",)),
    }
    facets = [
        {
            "name": name,
            "kind": kind,
            "terms": list(given) if given else None,
            "column": column,
            "counts": np.bincount(columns[column], minlength=(len(given) if given else len(_artists())) + 1)[
                1:
            ].tolist(),
        }
        for column, (name, kind, given) in terms.items()
    ]
    code = columns["cluster"].astype(int) - 1
    return {
        "version": 1,
        "title": "A made-up collection",
        "n": works,
        "created": "2026-01-01T00:00:00Z",
        "model_id": "made-up",
        "served": False,
        "token": None,
        "snapshot": "made-up",
        "columns": [{"name": name, "dtype": str(values.dtype)} for name, values in columns.items()],
        "facets": facets,
        "tasks": [{"name": "genre", "terms": list(GENRES)}, {"name": "style", "terms": list(STYLES)}],
        "clusters": {
            "k": 24,
            "names": clusters,
            "sizes": np.bincount(code, minlength=24).tolist(),
            "typical": [np.flatnonzero(code == k)[:12].tolist() for k in range(24)],
        },
        "duplicates": True,
        "neighbours": NEAREST,
        "colors": True,
        "thumbs": [32, 64, 128],
        "text": True,
        "projection": {"method": "made-up", "trustworthiness": None},
        "languages": ["en", "de", "fr"],
    }


def title(row: int) -> str:
    return (
        MARKUP
        if row == 7
        else f"{NOUNS[row % 12].capitalize()} and {NOUNS[row // 12 % 12]} near {PLACES[row // 7 % 10]}"
    )


def _chunks(
    works: int, columns: dict[str, npt.NDArray[Any]], artists: Sequence[str], random: np.random.Generator
) -> Iterable[tuple[str, Any]]:
    """The files of works, texts and neighbours, each as its name and content."""
    for start in range(0, works, WORKS):
        rows = range(start, min(start + WORKS, works))
        yield f"data/works/{start // WORKS}.json", [_work(row, columns, artists) for row in rows]
    for start in range(0, works, TEXTS):
        rows = range(start, min(start + TEXTS, works))
        texts = [f"{title(row)} | {artists[columns['meta_artist'][row] - 1]}" for row in rows]
        yield f"data/text/{start // TEXTS}.json", fold(pa.array(texts)).to_pylist()
    order = np.argsort(columns["cluster"], kind="stable").astype(np.uint32)
    position = np.empty(works, np.int64)
    position[order] = np.arange(works)
    for start in range(0, works, NEIGHBOURS):
        steps = 1 + random.permutation(NEAREST)
        near = order[(position[start : start + NEIGHBOURS, None] + steps) % works]
        yield f"data/neighbours/{start // NEIGHBOURS}.bin", near.astype("<u4").tobytes()


def _work(row: int, columns: dict[str, npt.NDArray[Any]], artists: Sequence[str]) -> dict[str, Any]:
    year, failed = int(columns["year"][row]), bool(columns["status"][row])
    tags = {}
    for task, terms in (("genre", GENRES), ("style", STYLES)):
        code, score = int(columns[task][row]) - 1, float(columns[f"{task}_score"][row]) / 255
        rest = [[terms[(code + k) % 8], round((1 - score) / 2**k, 3), None] for k in range(1, 4)]
        tags[task] = [[terms[code], round(score, 3), "http://vocab.getty.edu/aat/300015637"], *rest]
    return {
        "id": f"{row:016x}",
        "record": f"REC-{row:07d}",
        "uri": f"paintings/{row:07d}.jpg",
        "title": title(row),
        "artist": artists[int(columns["meta_artist"][row]) - 1],
        "date": None if year == UNKNOWN_YEAR else str(year),
        "width": int(columns["width"][row]),
        "height": int(columns["height"][row]),
        "format": "JPEG",
        "status": "error" if failed else "ok",
        "error": "image cannot be decoded" if failed else None,
        "warning": None,
        "tags": {} if failed else tags,
        "review": {task: bool(columns[f"{task}_review"][row]) for task in tags},
        "metadata": {"nationality": NATIONS[int(columns["meta_nationality"][row]) - 1], "inventory": f"A {row}"},
        "image": f"data/thumbs/128/{row // 64}.jpg" if row % 3 == 0 else None,
        "iiif": None,
        "influences": [[int(columns["cluster"][row]) - 1, 0.72], [(row * 5) % 24, 0.19]],
        "duplicates": [[(row + 1) % 50, "same photograph re-encoded", 0.97]] if row % 50 == 0 else [],
    }


def _atlases(folder: Path, works: int, shown: Pictures) -> None:
    """The atlases: those that are the same share their bytes by hard links."""
    for side, each in ((128, 64), (64, 1024), (32, 4096)):
        across = int(each**0.5)
        target = folder / "data/thumbs" / str(side)
        target.mkdir(parents=True)
        different = max(1, PICTURES // each)
        for k in range(-(-works // each)):
            if k >= different:
                os.link(target / f"{k % different}.jpg", target / f"{k}.jpg")
                continue
            atlas = Image.new("RGB", (across * side, across * side))
            for cell in range(each):
                picture = shown.images[(k * each + cell) % PICTURES]
                small = picture if side == 128 else _fit(picture, side)
                atlas.paste(small, (cell % across * side, cell // across * side))
            atlas.save(target / f"{k}.jpg", quality=80)


def _put(folder: Path, name: str, content: Any, inline: dict[str, Any] | None) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), "utf-8")
    if inline is not None:
        inline[name] = base64.b64encode(content).decode() if isinstance(content, bytes) else content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--works", type=int, default=100_000)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    write(given.folder, given.works, given.pictures)


if __name__ == "__main__":
    main()
