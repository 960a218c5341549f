"""What is made of a catalog, with every input and output under an address."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from artylyze.clustering.store import read_clusters
from artylyze.storage import open_store
from tests.commandline import keys, run
from tests.conftest import S3
from tests.pictures import collection, paintings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images; their catalog lies in the bucket alone."""
    return tmp_path_factory.mktemp("collection") / "there"


@pytest.fixture(scope="module")
def uploaded(moto_server: S3, folder: Path) -> str:
    catalog = Path(collection(folder, paintings()))
    address, client = moto_server.bucket("made-of-catalogs"), moto_server.client()
    for path in catalog.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "made-of-catalogs", f"catalog/{path.relative_to(catalog)}")
            path.unlink()
    return address


@pytest.fixture
def bucket(
    uploaded: str, moto_server: S3, aws: Callable[[S3], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The bucket, from an empty folder."""
    aws(moto_server)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.chdir(tmp_path)
    return uploaded


@pytest.mark.slow
def test_clusters_profiles_and_influences_read_and_write_addresses(bucket: str, tmp_path: Path) -> None:
    catalog, clusters = f"{bucket}/catalog", f"{bucket}/clusters"
    assert run("cluster", catalog, "-o", clusters, "--k", "3") == 0
    assert read_clusters(clusters).run["settings"]["k"] == 3
    assert run("profiles", clusters, "--catalog", catalog) == 0
    assert run("influences", clusters, "k0-1", "--catalog", catalog, "-o", f"{bucket}/influences") == 0
    assert keys(open_store(f"{bucket}/influences"))
    assert run("cluster", catalog, "-o", f"{bucket}/assigned", "--assign", clusters) == 0
    assert keys(open_store(f"{bucket}/assigned"))
    assert not list(tmp_path.iterdir())


def test_features_and_their_transforms_read_and_write_addresses(bucket: str, folder: Path, tmp_path: Path) -> None:
    catalog, images = f"{bucket}/catalog", str(folder / "images")
    assert run("features", catalog, "-o", f"{bucket}/embedding.parquet") == 0
    pca = ["--method", "pca", "--image-size", "32"]
    assert run("features", images, "-o", f"{bucket}/pca.parquet", *pca) == 0
    transform = ["--transform", f"{bucket}/pca.transform.safetensors"]
    assert run("features", images, "-o", f"{bucket}/again.parquet", *pca[:2], *transform) == 0
    features = [f"{bucket}/embedding.parquet", f"{bucket}/pca.parquet"]
    assert run("compare-features", *features, "--labels", catalog, "--k", "2") == 0
    assert not list(tmp_path.iterdir())


def test_failures_and_manifests_go_to_addresses(bucket: str, folder: Path, tmp_path: Path) -> None:
    catalog = f"{bucket}/catalog"
    assert run("failures", catalog, "-o", f"{bucket}/tables/failures.csv") == 0
    table = (open_store(f"{bucket}/tables").read("failures.csv") or b"").decode("utf-8-sig")
    assert table.startswith("image_id,")
    assert "broken.png" in table
    assert run("scan", str(folder / "images"), "-o", f"{bucket}/manifest.parquet") == 0
    for command in ("paths", "gc"):
        assert run(command, catalog) == 0
    assert not list(tmp_path.iterdir())


def test_a_dataset_is_curated_from_and_to_addresses(bucket: str, folder: Path, tmp_path: Path) -> None:
    rows = [
        f"{path.stem},artist {number % 7},{'portrait' if number % 2 else 'landscape'}"
        for number, path in enumerate(sorted((folder / "images").iterdir()))
    ]
    open_store(bucket).put("labels.csv", "\n".join(["id,artist,genre", *rows]).encode())
    line = ["curate", f"{bucket}/labels.csv", "--images", str(folder / "images"), "-o", f"{bucket}/curated.parquet"]
    assert run(*line, "--tasks", "genre") == 0
    assert "curated.parquet" in keys(open_store(bucket))
    assert not list(tmp_path.iterdir())
