from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from artylyze.errors import InputError, UsageError
from artylyze.extraction.vectors import write_features
from artylyze.profiling.comparison import Agreement, CompareRequest, agree, compare, tables
from tests.fixtures import Quiet, blobs
from tests.pictures import Gallery


def write(path: Path, rows: int, vectors: Any = None, **about: object) -> str:
    ids = [f"{number:03}" for number in range(rows)]
    lists = pa.array((blobs(rows)[0] if vectors is None else vectors).tolist(), pa.list_(pa.float32()))
    write_features(str(path), pa.table({"image_id": ids, "record_id": ids, "features": lists}), about)
    return str(path)


def test_random_weights_are_labelled_and_never_ranked(tmp_path: Path, watcher: Quiet) -> None:
    trained = write(tmp_path / "a.parquet", 60, method="timm:a")
    random = write(tmp_path / "b.parquet", 50, method="timm:b", random_weights=True)
    rows = compare(CompareRequest((random, trained), k=4), watcher)
    assert [(row.algorithm, row.method, row.rank) for row in rows] == [
        ("kmeans", "timm:a", 1),
        ("kmeans", "timm:b", None),
        ("gmm", "timm:a", 1),
        ("gmm", "timm:b", None),
    ]
    assert {row.rows for row in rows} == {50}
    assert "timm:b (random weights, not ranked)" in tables(rows)
    assert "ranked by silhouette" in tables(rows)


def test_agreement_counts_only_labelled_images() -> None:
    clusters = np.array([0, 0, 1, 1, 1], np.int32)
    found = agree(clusters, np.array([0, 0, 1, 1, -1]))
    assert (found.images, found.purity) == (4, 1.0)
    assert found.adjusted_mutual_information == pytest.approx(1)
    assert agree(clusters, np.full(5, -1)).images == 0


@pytest.fixture
def misleading(tmp_path: Path) -> tuple[str, str, str]:
    """Features of few dimensions that cluster well and say nothing, others that say all, and a table of labels."""
    random, (apart, groups) = np.random.default_rng(0), blobs(80, 12, 4)
    flat = write(tmp_path / "flat.parquet", 80, blobs(80, 2, 4)[0][random.permutation(80)], method="flat")
    blurred = (apart + random.normal(0, 5, apart.shape)).astype(np.float32)
    told = write(tmp_path / "told.parquet", 80, blurred, method="told")
    rows = [f"{number:03},{'ab'[group // 2]},{'Portraits' if group % 2 else ''}" for number, group in enumerate(groups)]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["inventory,Technique,Genre", *rows[:70]]))
    return flat, told, str(table)


def test_labels_rank_what_silhouette_would_rank_otherwise(misleading: tuple[str, str, str], watcher: Quiet) -> None:
    flat, told, table = misleading
    request = CompareRequest((flat, told), table, "inventory", ("technique", "genre"), k=4)
    first, second = (row for row in compare(request, watcher) if row.algorithm == "kmeans")
    assert (first.method, first.rank, first.ranked_by) == ("told", 1, "agreement")
    assert first.silhouette < second.silhouette
    assert {name: said.images for name, said in first.agreement.items()} == {"technique": 70, "genre": 35}
    (unlabelled, _) = (row for row in compare(replace(request, labels=None, id_column=None, columns=None), watcher)[:2])
    assert (unlabelled.method, unlabelled.ranked_by, unlabelled.agreement) == ("flat", "silhouette", {})


def test_a_catalogs_metadata_are_labels(gallery: Gallery, watcher: Quiet) -> None:
    rows = compare(CompareRequest((gallery.catalog,), columns=("artist", "genre"), k=3), watcher)
    assert {name: said.images for name, said in rows[0].agreement.items()} == {"artist": 25, "genre": 21}
    assert rows[0].agreement["artist"].purity == pytest.approx(24 / 25), "one painting lies between two clusters"


def test_labels_that_are_not_there_are_told(misleading: tuple[str, str, str], watcher: Quiet) -> None:
    flat, told, table = misleading
    with pytest.raises(InputError, match="period"):
        compare(CompareRequest((flat, told), table, columns=("period",), k=4), watcher)
    with pytest.raises(UsageError, match="'number', which `id_column` names"):
        compare(CompareRequest((flat, told), table, "number", ("technique",), k=4), watcher)
    with pytest.raises(UsageError, match="`labels"):
        CompareRequest((flat,), None, "number")


def test_sources_without_common_images_are_refused(tmp_path: Path, watcher: Quiet) -> None:
    with pytest.raises(InputError, match="too few"):
        compare(CompareRequest((write(tmp_path / "a.parquet", 5, method="pca"),), k=9), watcher)
    with pytest.raises(UsageError):
        CompareRequest(())


def test_a_column_that_is_not_there_is_told_even_without_labels(gallery: Gallery, watcher: Quiet) -> None:
    with pytest.raises(InputError, match=r"says the nope of these images; columns: .*artist"):
        compare(CompareRequest((gallery.catalog,), columns=("artist", "nope"), k=3), watcher)


def test_no_agreement_is_told_of_a_column_that_says_nothing(gallery: Gallery, watcher: Quiet) -> None:
    rows = compare(CompareRequest((gallery.catalog,), k=3), watcher)
    assert rows[0].agreement.keys() == {"genre"}, "there is no style"
    none = replace(rows[0], agreement={"genre": Agreement(0, 0.0, 0.0)})
    assert "| - | - |" in tables([none, replace(none, algorithm="gmm")])
    assert "Of 27 images; known are genre of 21." in tables(rows)


def test_purity_is_the_share_of_the_most_frequent_label_of_each_cluster() -> None:
    found = agree(np.array([0, 0, 0, 1, 1, 1], np.int32), np.array([0, 1, 2, 0, 0, 0]))
    assert found.purity == pytest.approx(4 / 6)


def test_a_covariance_or_a_seed_that_there_is_not_is_refused() -> None:
    for change in ({"covariance": "spherical"}, {"seed": -1}):
        with pytest.raises(UsageError):
            CompareRequest(("a",), **change)
