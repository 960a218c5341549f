from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from artylyze.clustering.compare import CompareRequest, agree, compare, tables
from artylyze.clustering.vectors import write_features
from artylyze.errors import InputError, UsageError
from tests.clustering.conftest import Quiet, blobs


def write(path: Path, rows: int, **about: object) -> str:
    ids = [f"{number:03}" for number in range(rows)]
    lists = pa.array(blobs(rows)[0].tolist(), pa.list_(pa.float32()))
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


def test_agreement_counts_only_labelled_images() -> None:
    clusters = np.array([0, 0, 1, 1, 1], np.int32)
    found = agree(clusters, np.array(["a", "a", "b", "b", None], object))
    assert (found.images, found.purity) == (4, 1.0)
    assert found.adjusted_mutual_information == pytest.approx(1)
    assert agree(clusters, np.array([None] * 5, object)).images == 0


def test_sources_without_common_images_are_refused(tmp_path: Path, watcher: Quiet) -> None:
    with pytest.raises(InputError, match="too few"):
        compare(CompareRequest((write(tmp_path / "a.parquet", 5, method="pca"),), k=9), watcher)
    with pytest.raises(UsageError):
        CompareRequest(())
