from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artylyze.clustering.store import ELBOW, PROFILE_FILES, RUN
from artylyze.collection.products import ANY_FILE, PRODUCTS
from artylyze.collection.scan import scan
from artylyze.evaluation.figures import METRICS
from artylyze.profiling.profile_files import PROFILES
from artylyze.training.bundling import AUGMENTATION, CURVES
from artylyze.tuning.leaderboard import CURVES as ALL_CURVES
from artylyze.tuning.leaderboard import JSON, PLOT
from tests.conftest import S3

CLUSTERS = {"format": 1, "method": "pca", "left_out": {}, "settings": {}}
PROFILED = {"clusters": "clusters", "algorithm": "kmeans", "profiles": []}
INFLUENCES = {"record_id": "7", "influences": [], "near_duplicates": []}
EVALUATION = {"model_id": "m", "kind": "images", "tasks": {}}

PRODUCTS_OF = {
    "clusters": (f"clusters/{RUN}", CLUSTERS, [f"clusters/{ELBOW}", "clusters/profiles/gmm/cluster-001-works.png"]),
    "profiles": (f"p/{PROFILES}", PROFILED, ["p/column-01-artist.png", "p/cluster-012-columns.png"]),
    "influences": ("i/influences-7.json", INFLUENCES, ["i/influences-7.png"]),
    "evaluation": (f"e/{METRICS}", EVALUATION, ["e/genre-confusion.png", "e/my style-best.png"]),
    "bundle": (
        "bundle/bundle.json",
        {"format_version": 1, "tasks": []},
        [f"bundle/{CURVES}", f"bundle/{AUGMENTATION}"],
    ),
    "sweep": (f"sweep/{JSON}", {"settings": {}, "rows": []}, [f"sweep/{PLOT}", f"sweep/{ALL_CURVES}"]),
    "demo": (
        "demo/demo.json",
        {"catalog": "", "contact_sheet": "", "evaluation": ""},
        ["demo/contact-sheet.png", "demo/real-pictures.png"],
    ),
}


def write(folder: Path, name: str, data: bytes = b"picture") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def images(folder: Path | str, tmp_path: Path) -> tuple[list[str], Any]:
    target = str(tmp_path / "manifest.parquet")
    report = scan(str(folder), target)
    return pq.read_table(target).column("image_id").to_pylist(), report


@pytest.mark.parametrize("product", sorted(PRODUCTS_OF))
def test_pictures_of_a_product_are_passed_over(tmp_path: Path, product: str) -> None:
    described, values, pictures = PRODUCTS_OF[product]
    folder = tmp_path / "scans"
    for name in ["a.png", *pictures]:
        write(folder, name)
    write(folder, described, json.dumps(values).encode())
    found, report = images(folder, tmp_path)
    assert found == ["a.png"]
    assert report.left_out.written == len(pictures)
    assert report.left_out.written_in == [str(folder / described.partition("/")[0])]


@pytest.mark.parametrize("product", sorted(PRODUCTS_OF))
def test_pictures_with_the_same_names_are_images_where_nothing_of_ours_describes_them(
    tmp_path: Path, product: str
) -> None:
    described, _, pictures = PRODUCTS_OF[product]
    for name in pictures:
        write(tmp_path / "scans", name)
    for text in (b"{}", b"[1]", b"{", b"\xff", b"null"):
        write(tmp_path / "scans", described, text)
        found, report = images(tmp_path / "scans", tmp_path)
        assert found == sorted(pictures)
        assert report.left_out.notes() == []


def test_a_picture_of_the_user_in_a_folder_of_ours_is_an_image(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    for name in ("elbow.png", "portrait.png", "deep/elbow.png", "profiles/kmeans/cluster-001-works.png"):
        write(folder, name)
    write(folder, RUN, json.dumps(CLUSTERS).encode())
    found, report = images(folder, tmp_path)
    assert found == ["deep/elbow.png", "portrait.png"]
    assert report.left_out.written_in == [str(folder)]


def test_the_charts_of_a_dataset_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    for name in ("a.jpg", "set (1).before.png", "set (1).after.png", "other.before.png"):
        write(folder, name)
    for name, metadata in (("set (1)", {"artylyze.dataset": "{}"}), ("other", {"theirs": ""})):
        schema = pa.schema([("n", pa.int64())], metadata=metadata)
        pq.write_table(schema.empty_table(), folder / f"{name}.parquet")
    assert images(folder, tmp_path)[0] == ["a.jpg", "other.before.png"]


def test_the_note_says_how_many_files_in_which_folders(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    write(folder, "a.png")
    for described, values, pictures in (PRODUCTS_OF["clusters"], PRODUCTS_OF["evaluation"]):
        write(folder, described, json.dumps(values).encode())
        for name in pictures:
            write(folder, name)
    write(folder, f"clusters/profiles/gmm/{PROFILES}", json.dumps(PROFILED).encode())
    (note,) = images(folder, tmp_path)[1].left_out.notes()
    assert note == (f"Skipped, as artylyze wrote them: 4 files in 2 folders ({folder}/clusters, {folder}/e).")


def test_products_in_a_bucket_are_passed_over(tmp_path: Path, s3: S3, aws: Callable[[S3], None]) -> None:
    aws(s3)
    name = f"products-{'moto' if s3.conditional else 'juicefs'}"
    bucket, client = s3.bucket(name), s3.client()
    described, values, pictures = PRODUCTS_OF["clusters"]
    for key in ["a.png", *pictures]:
        client.put_object(Bucket=name, Key=f"scans/{key}", Body=b"picture")
    client.put_object(Bucket=name, Key=f"scans/{described}", Body=json.dumps(values).encode())
    found, report = images(f"{bucket}/scans", tmp_path)
    assert found == ["a.png"]
    assert report.left_out.written_in == [f"{bucket}/scans/clusters"]


def test_the_files_of_a_catalog_are_passed_over_though_a_glob_matches_them(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    for name in ("a.tif", "catalog/runs/r/manifest.parquet", "catalog/runs/r/parts/part-00000.parquet"):
        write(folder, name)
    spec = {"run_id": "r", "manifest_digest": "", "shards": []}
    write(folder, "catalog/runs/r/run.json", json.dumps(spec).encode())
    target = str(tmp_path / "manifest.parquet")
    assert scan(str(folder), target, glob="*").images == 1


def test_every_picture_that_clusters_name_as_theirs_is_known() -> None:
    names = ["profiles/kmeans/column-01-artist.png", "profiles/gmm/cluster-1-works.png", "influences/influences-7.png"]
    (clusters,) = (product for product in PRODUCTS if "elbow" in product.files)
    for name in names:
        assert PROFILE_FILES.fullmatch(name)
        assert re.fullmatch(clusters.files, name)
        assert re.search(ANY_FILE, name)
