"""Clusters of a catalog, given to the images of another, by Ray Data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from artylyze.catalog.snapshot import read_snapshot, write_snapshot
from artylyze.clustering.assign import assign
from artylyze.clustering.cluster import cluster
from artylyze.clustering.request import ClusterRequest
from artylyze.clustering.store import SCHEMA, Clusters
from artylyze.clustering.vectors import read_vectors
from artylyze.errors import InputError
from tests.catalog.conftest import Library
from tests.clustering.conftest import Quiet

CONTENTS = {f"{number:03}.jpg": number if number % 9 else -1 - number % 2 for number in range(40)}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    made = Library(tmp_path, str(tmp_path / "catalog"))
    made.tag(made.manifest(made.pictures(CONTENTS)))
    return made


@pytest.fixture
def clusters(library: Library, tmp_path: Path, watcher: Quiet) -> Clusters:
    return cluster(ClusterRequest(library.catalog, str(tmp_path / "clusters"), k=4, covariance="full"), watcher)


def test_error_rows_are_left_out_and_counted(clusters: Clusters) -> None:
    failed = sum(content < 0 for content in CONTENTS.values())
    assert sum(clusters.run["left_out"].values()) == failed
    assert clusters.assignments.num_rows == len(CONTENTS) - failed
    assert clusters.run["model_id"] == "model"


@pytest.mark.usefixtures("ray_cluster")
def test_the_same_images_get_the_same_clusters(
    library: Library, clusters: Clusters, tmp_path: Path, watcher: Quiet
) -> None:
    snapshot = read_snapshot(library.catalog)
    write_snapshot(library.catalog, replace(snapshot, parts=snapshot.parts[::-1]))  # parts come in any order
    done = assign(clusters.folder, library.catalog, str(tmp_path / "out"), watcher)
    found = pq.read_table(tmp_path / "out" / "assignments.parquet")
    assert done["rows"] == found.num_rows
    assert sum(done["left_out"].values()) == sum(content < 0 for content in CONTENTS.values())
    assert found.column_names == SCHEMA.names
    for name in ("image_id", "record_id", "kmeans", "gmm"):
        assert found.column(name).to_pylist() == clusters.assignments.column(name).to_pylist()


def test_clusters_of_another_model_are_refused(
    library: Library, clusters: Clusters, tmp_path: Path, watcher: Quiet
) -> None:
    write_snapshot(library.catalog, replace(read_snapshot(library.catalog), model_id="other"))
    with pytest.raises(InputError, match="embeddings of other"):
        assign(clusters.folder, library.catalog, str(tmp_path / "out"), watcher)


def test_a_catalog_of_several_models_is_refused_and_they_are_named(library: Library, tmp_path: Path) -> None:
    part = read_snapshot(library.catalog).parts[0]
    path = Path(library.catalog, part.path)
    table = pq.read_table(path)
    place = table.column_names.index("model_id")
    pq.write_table(table.set_column(place, table.schema.field("model_id"), [["another"] * table.num_rows]), path)
    with pytest.raises(InputError, match="2 models \\(another, model\\)"):
        read_vectors(library.catalog)
