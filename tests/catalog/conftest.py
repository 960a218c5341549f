"""A catalog without a model: an image's embedding follows from its validator, and so do its failures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from artylyze.catalog.parts import Receipt
from artylyze.catalog.plan import Shard, plan_shards
from artylyze.catalog.snapshot import Part, Snapshot, read_catalog, read_snapshot, write_snapshot
from artylyze.catalog.update import Changes, plan_changes
from artylyze.collection.manifest import COLUMNS, open_manifest, open_rows, read_rows, write_manifest
from artylyze.errors import ErrorCode, ImageError
from artylyze.models.runtimes import Outputs
from artylyze.tagging.shard import ShardSettings, commit_rows, to_tag
from artylyze.workers.protocol import Seen

DIM = 3
ANIMATED = 9
"""Content of an image that is read with warnings."""


@dataclass(frozen=True)
class Picture:
    """An image of a collection: its content (negative: it cannot be read), its title, where it lies."""

    content: int = 0
    title: str | None = None
    uri: str = ""


@dataclass
class Library:
    """A collection, its catalog, and the runs that make the one from the other."""

    root: Path
    catalog: str
    size: int = 3
    healed: bool = False
    before: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    runs: int = 0
    read: list[str] = field(default_factory=list)

    @staticmethod
    def pictures(contents: Mapping[str, int]) -> dict[str, Picture]:
        """Return images by key, from their contents."""
        return {key: Picture(content) for key, content in contents.items()}

    @staticmethod
    def titled(images: Mapping[str, tuple[int, str | None]]) -> dict[str, Picture]:
        """Return images by key, from their contents and titles."""
        return {key: Picture(*image) for key, image in images.items()}

    @staticmethod
    def moved(picture: Picture, uri: str) -> Picture:
        """Return the image at another address."""
        return replace(picture, uri=uri)

    def manifest(self, pictures: Mapping[str, Picture], *, titles: bool = False, validator: str | None = None) -> str:
        """Write the manifest of a collection and return its address."""
        rows = [
            {
                "image_id": key,
                "record_id": key.rpartition(".")[0] or key,
                "uri": picture.uri or f"s3://bucket/{key}",
                "size": 10 + abs(picture.content),
                "validator": validator or f"etag:{picture.content}",
                "metadata": {"title": picture.title},
            }
            for key, picture in sorted(pictures.items(), key=lambda one: one[0].encode())
        ]
        schema = pa.schema([*COLUMNS, *([pa.field("metadata", pa.struct([("title", pa.string())]))] if titles else [])])
        target = str(self.root / f"manifest-{self.runs}.parquet")
        write_manifest(pa.Table.from_pylist(rows, schema).to_batches(), schema, target)
        return target

    def tag(self, manifest: str) -> Snapshot:
        """Make a new catalog."""
        shards = plan_shards(open_manifest(manifest).sizes, self.size)
        return self._run("tag", manifest, shards, ())

    def update(self, manifest: str | None, *, retry_failed: bool = False) -> Changes:
        """Bring the catalog up to date."""
        self.read = []
        target = str(self.root / f"work-{self.runs}.parquet")
        snapshot = read_snapshot(self.catalog)
        changes = plan_changes(
            self.catalog, snapshot, manifest, target, size=lambda _: self.size, retry_failed=retry_failed
        )
        if changes.shards or len(changes.kept) < len(snapshot.parts):
            self._run("update", target, changes.shards, changes.kept)
        return changes

    def table(self) -> pa.Table:
        """Return every row of the catalog."""
        return read_catalog(self.catalog)

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the rows of the catalog by image id; fail if one is there twice."""
        rows = self.table().drop_columns("run_id").to_pylist()
        found = {row["image_id"]: row for row in rows}
        assert len(found) == len(rows)
        return found

    def _run(self, operation: str, manifest: str, shards: Any, kept: tuple[Part, ...]) -> Snapshot:
        run_id = f"run{self.runs}"
        self.runs += 1
        settings = self._settings(run_id)
        with open_rows(manifest) as file:
            receipts = [self._commit(settings, shard, read_rows(file, shard.start, shard.stop)) for shard in shards]
        new = [Part.committed(run_id, receipt) for receipt in receipts]
        snapshot = Snapshot(run_id, operation, "model", (), DIM, {}, (*kept, *new))
        write_snapshot(self.catalog, snapshot)
        return snapshot

    def _settings(self, run_id: str) -> ShardSettings:
        return ShardSettings(
            catalog=self.catalog,
            run_id=run_id,
            model_id="model",
            tasks=(),
            embedding_dim=DIM,
            size=8,
            top_k=5,
            conditional=True,
        )

    def _commit(self, settings: ShardSettings, shard: Shard, planned: pa.Table) -> Receipt:
        validators = to_tag(planned).column("validator").to_pylist()
        self.read += to_tag(planned).column("image_id").to_pylist()
        contents = [int(validator.removeprefix("etag:")) for validator in validators]
        seen = [self._see(content) for content in contents]
        good = [content for content, one in zip(contents, seen, strict=True) if isinstance(one, Seen)]
        vectors = np.array(good, np.float32).reshape(-1, 1) * np.array([[1, 10, 100]], np.float32)
        return commit_rows(settings, shard, planned, seen, Outputs(vectors, {}))

    def _see(self, content: int) -> Seen | ImageError:
        if content >= 0 or (self.healed and content == -1):
            return Seen(10 + content, 20, "JPEG", warnings=("animated", "upscaled") if content == ANIMATED else ())
        return ImageError(ErrorCode.UNREACHABLE if content == -1 else ErrorCode.CORRUPT, "it was asked for")


@pytest.fixture
def new_library(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Library]:
    """Make a library in a folder of its own, its catalog in the same folder or at another address."""

    def make(catalog: str | None = None) -> Library:
        folder = tmp_path_factory.mktemp("library")
        return Library(folder, catalog or str(folder / "catalog"))

    return make


@pytest.fixture
def library(new_library: Callable[..., Library]) -> Library:
    """A library without a catalog."""
    return new_library()
