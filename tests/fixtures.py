"""Catalogs with vectors of the tests' own, written as tagging writes them, without an image or a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from artylyze.catalog.run import RunSpec, run_store, write_spec
from artylyze.extraction.vectors import write_features
from tests.pictures import Gallery, clustered, collection, paintings


class Quiet:
    """A watcher that keeps what it is told, and nothing else."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def start(self, rows: int, done: int, what: str) -> None: ...

    def advance(self, rows: int, errors: int) -> None: ...


@pytest.fixture
def watcher() -> Quiet:
    return Quiet()


def blobs(
    rows: int = 300, dim: int = 12, groups: int = 4, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Well separated groups of rows, float32 (rows, dim), and the group of each."""
    random = np.random.default_rng(seed)
    means = random.normal(0, 8, (groups, dim))
    labels = np.arange(rows) % groups
    return (means[labels] + random.normal(0, 1, (rows, dim))).astype(np.float32), labels


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Sequence[Sequence[float] | None] | NDArray[np.float32]], str]:
    """Write vectors as a features file, None for an image without, and return its address."""

    def write(vectors: Sequence[Sequence[float] | None] | NDArray[np.float32]) -> str:
        lists = [None if one is None else [float(value) for value in one] for one in vectors]
        ids = [f"{number:06}" for number in range(len(lists))]
        table = pa.table({"image_id": ids, "record_id": ids, "features": pa.array(lists, pa.list_(pa.float32()))})
        path = str(tmp_path / "features.parquet")
        write_features(path, table, {"method": "embedding", "model_id": "m"})
        return path

    return write


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """A clustered collection with metadata."""
    root = tmp_path_factory.mktemp("gallery")
    catalog = collection(root, paintings())
    spec = RunSpec("run0", "tag", None, "model", (), 3, {}, "cpu", "float32", {}, "digest", ())
    write_spec(run_store(catalog, "run0"), spec)
    return Gallery(root, catalog, clustered(root, catalog, paintings()))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are written, in order: what is in them can be read, their pixels cannot."""
    figures: list[Figure] = []
    write = Figure.savefig

    def noting(figure: Figure, *arguments: Any, **options: Any) -> None:
        figures.append(figure)
        write(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", noting)
    return figures


def texts(axes: Axes) -> list[str]:
    """What is written in the axes, without their labels."""
    return [text.get_text() for text in axes.texts]
