"""A collection on an S3 server behind a proxy, and the rows that a run gives to which nothing happens."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from artylyze.collection.scan import scan
from artylyze.storage import open_store
from artylyze.storage.objects import open_bucket
from artylyze.tagging.job import run
from artylyze.tagging.request import TagRequest
from tests.conftest import S3
from tests.faults.invariant import Rows, ids_in, rows_of
from tests.faults.proxy import Proxy, proxied
from tests.tagging.conftest import Quiet, picture

IMAGES, SHARD = 60, 6
BUCKET = "faults"
NUMBERS = itertools.count()


@dataclass(frozen=True)
class Museum:
    """A collection of IMAGES images in a bucket, and its rows.

    Attributes:
        source: its address.
        model: folder of the bundle.
        ids: of its images.
        clean: rows of a run to which nothing happened.
    """

    source: str
    model: str
    ids: list[str]
    clean: Rows

    def request(self, output: str, source: str | None = None, **options: object) -> TagRequest:
        """Return the request to tag it."""
        usual: dict[str, object] = {"model": self.model, "engine": "local", "shard_size": SHARD, "workers": 2}
        return TagRequest(source or self.source, output, **(usual | options))  # type: ignore[arg-type]

    def command(self, output: object, source: str | None = None, *options: object) -> list[object]:
        """Return the command line that tags it."""
        usual = ["--model", self.model, "--engine", "local", "--shard-size", SHARD, "--workers", 2]
        return ["tag", source or self.source, "-o", output, *usual, *options]


@pytest.fixture(scope="session")
def museum(moto_server: S3, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Museum:
    folder = tmp_path_factory.mktemp("museum")
    client, source = moto_server.client(), f"{moto_server.bucket(BUCKET)}/images"
    for number in range(IMAGES):
        client.put_object(Bucket=BUCKET, Key=f"images/{number:04d}.jpg", Body=picture(number))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in moto_server.environment.items():
            patch.setenv(name, value)
        open_bucket.cache_clear()
        scan(source, str(folder / "manifest.parquet"))
        museum = Museum(source, str(model), ids_in(str(folder / "manifest.parquet")), {})
        run(museum.request(str(folder / "clean")), Quiet())
    open_bucket.cache_clear()
    return Museum(source, str(model), museum.ids, rows_of(str(folder / "clean")))


@pytest.fixture
def proxy(moto_server: S3, aws: Callable[[S3], None]) -> Iterator[Proxy]:
    """A proxy before moto, which this process uses."""
    with proxied(moto_server.endpoint) as found:
        aws(found.server)
        yield found


@pytest.fixture
def output() -> str:
    """The address of a catalog that is not there yet."""
    return f"s3://{BUCKET}/catalog-{next(NUMBERS)}"


@pytest.fixture(scope="module")
def changing(museum: Museum, moto_server: S3) -> Museum:
    """A copy of the collection for tests that change it."""
    client, name = moto_server.client(), f"images-{next(NUMBERS)}"
    for image_id in museum.ids:
        origin = {"Bucket": BUCKET, "Key": f"images/{image_id}"}
        client.copy_object(Bucket=BUCKET, Key=f"{name}/{image_id}", CopySource=origin)
    source = f"s3://{BUCKET}/{name}"
    clean = {image_id: {**row, "uri": f"{source}/{image_id}"} for image_id, row in museum.clean.items()}
    return replace(museum, source=source, clean=clean)


def copy_catalog(source: str, target: str) -> str:
    """Copy a catalog, object by object; return `target`."""
    origin, destination = open_store(source), open_store(target)
    for entry in origin.list():
        destination.put(entry.key, origin.read(entry.key) or b"")
    return target
