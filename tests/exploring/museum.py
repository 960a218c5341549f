"""Catalogs with pictures, thumbnails, colours and metadata for the explorer, without a model."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from artylyze.exploring.export import Explored, ExploreRequest, export
from tests.catalogues import Silent
from tests.searching.catalogs import blobs, write_catalog

TITLE = '<img src=x onerror="alert(1)"></script> \u2028 of a museum'
"""Of the first work: it must stay text."""


def jpeg(number: int, size: tuple[int, int] = (128, 85)) -> bytes:
    """A picture of one colour, another for each number."""
    out = io.BytesIO()
    Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, number * 53 % 256)).save(out, "JPEG")
    return out.getvalue()


def metadata(count: int) -> list[dict[str, Any]]:
    """Titles, artists of four works each, dates and a column that repeats."""
    return [
        {
            "title": TITLE if number == 0 else f"Élan {number}",
            "artist": f"Artist {number // 4}",
            "date": f"c. {1600 + number}",
            "place": ("Paris", "Köln")[number % 2],
        }
        for number in range(count)
    ]


def colors(count: int) -> pa.Array:
    kind = pa.list_(pa.struct([(name, pa.float32()) for name in ("l", "a", "b", "share")]))
    rows = [[{"l": 50.0, "a": -20.0, "b": 30.0, "share": 0.75}, {"l": 90.0, "a": 0.0, "b": 0.0, "share": 0.25}]]
    return pa.array(rows * (count - 1) + [None], kind)


def museum(folder: Path, count: int = 90, **options: Any) -> str:
    """Write a catalog of `count` works with thumbnails, and return its address."""
    errors = options.get("errors", [7])
    thumbnails = [None if number in errors else jpeg(number) for number in range(count)]
    options = {
        "metadata": metadata(count),
        "colors": colors(count),
        "thumbnails": pa.array(thumbnails, pa.binary()),
        "errors": [7],
        **options,
    }
    return write_catalog(folder, blobs(count, 32), **options)


def written(catalog: str, folder: Path, **options: Any) -> Explored:
    return export(ExploreRequest(catalog, str(folder), **options), Silent())


def loaded(folder: Path, key: str) -> Any:
    return json.loads((folder / key).read_bytes())


def column(folder: Path, name: str) -> np.ndarray[Any, Any]:
    index = loaded(folder, "data/index.json")
    kind = {one["name"]: one["dtype"] for one in index["columns"]}[name]
    return np.fromfile(folder / f"data/columns/{name}.bin", np.dtype(kind).newbyteorder("<"))
