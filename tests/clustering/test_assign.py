"""Clusters given to images that they were not fitted on: in this process and by Ray Data, of a catalog and a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from artylyze.catalog.snapshot import read_snapshot, write_snapshot
from artylyze.clustering.assign import UNUSABLE, assign
from artylyze.clustering.cluster import cluster
from artylyze.clustering.kmeans import nearest
from artylyze.clustering.request import ClusterRequest
from artylyze.clustering.store import Clusters, read_clusters
from artylyze.errors import InputError, UsageError
from artylyze.extraction import vectors
from artylyze.extraction.vectors import open_pieces, read_vectors
from tests.catalog.conftest import Library
from tests.fixtures import Quiet

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


def test_the_same_images_get_the_same_clusters(
    library: Library, clusters: Clusters, tmp_path: Path, watcher: Quiet
) -> None:
    snapshot = read_snapshot(library.catalog)
    write_snapshot(library.catalog, replace(snapshot, parts=snapshot.parts[::-1]))  # parts come in any order
    run = assign(clusters.folder, library.catalog, str(tmp_path / "out"), watcher)
    found = read_clusters(str(tmp_path / "out"))
    assert {name: run[name] for name in ("rows", "assigned_from", "source", "catalog")} == {
        "rows": found.assignments.num_rows,
        "assigned_from": clusters.folder,
        "source": library.catalog,
        "catalog": library.catalog,
    }
    assert dict(found.run) == {"format": 1, **run}
    assert run["left_out"] == clusters.run["left_out"] == snapshot.errors
    for name in ("image_id", "record_id", "kmeans", "gmm"):
        assert found.assignments.column(name).to_pylist() == clusters.assignments.column(name).to_pylist()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("source", ["catalog", "file"])
def test_ray_writes_what_this_process_writes(
    library: Library, clusters: Clusters, tmp_path: Path, watcher: Quiet, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "GROUP", 7)  # several pieces
    address = library.catalog if source == "catalog" else as_file(library, tmp_path)
    assert len(open_pieces(address).sizes) > 2
    for name, by_ray in (("here", False), ("ray", True)):
        assign(clusters.folder, address, str(tmp_path / name), watcher, by_ray=by_ray)
    here, ray = (read_clusters(str(tmp_path / name)) for name in ("here", "ray"))
    assert here.run["left_out"] == ray.run["left_out"]
    for name in ("image_id", "record_id", "kmeans", "gmm"):
        assert here.assignments.column(name).equals(ray.assignments.column(name))
    for name in ("distance", "responsibilities"):
        mine, theirs = (np.array(one.assignments.column(name).to_pylist()) for one in (here, ray))
        assert np.allclose(mine, theirs, atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_bad_input_is_told_in_one_sentence_by_ray_too(
    library: Library, clusters: Clusters, tmp_path: Path, watcher: Quiet
) -> None:
    replace_model(library, 1)
    for by_ray in (False, True):
        with pytest.raises(InputError, match="several models \\(another and model\\)"):
            assign(clusters.folder, library.catalog, str(tmp_path / "out"), watcher, by_ray=by_ray)
    assert not (tmp_path / "out").exists()


def test_a_features_file_is_assigned_as_its_catalog_is(
    library: Library, clusters: Clusters, tmp_path: Path, watcher: Quiet
) -> None:
    run = assign(clusters.folder, as_file(library, tmp_path), str(tmp_path / "out"), watcher)
    found = read_clusters(str(tmp_path / "out")).assignments
    assert run["catalog"] == library.catalog
    assert run["left_out"] == {**clusters.run["left_out"], UNUSABLE: 2}
    kept = clusters.assignments.filter(pc.is_in(clusters.assignments.column("image_id"), found.column("image_id")))
    assert found.num_rows == clusters.assignments.num_rows - 2
    assert found.column("gmm").equals(kept.column("gmm"))


@pytest.mark.parametrize("change", [{"method": "pca"}, {"model_id": "other"}, {"model_id": None}])
def test_features_of_another_kind_are_refused(
    library: Library, clusters: Clusters, tmp_path: Path, watcher: Quiet, change: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="were fitted on 3 embedding features of model"):
        assign(clusters.folder, as_file(library, tmp_path, **change), str(tmp_path / "out"), watcher)


def test_the_folder_of_the_fit_is_not_overwritten(library: Library, clusters: Clusters, watcher: Quiet) -> None:
    with pytest.raises(UsageError, match="name another"):
        assign(clusters.folder, library.catalog, clusters.folder + "/", watcher)


def test_a_fit_on_a_sample_assigns_every_image(library: Library, tmp_path: Path, watcher: Quiet) -> None:
    request = ClusterRequest(library.catalog, str(tmp_path / "sampled"), k=3, sample=20)
    found, again = cluster(request, watcher), cluster(replace(request, output=str(tmp_path / "again")), watcher)
    usable = sum(content >= 0 for content in CONTENTS.values())
    assert (found.run["rows"], found.assignments.num_rows) == (usable, usable)
    assert 10 < found.run["fitted_rows"] <= 20
    assert found.run["left_out"] == read_snapshot(library.catalog).errors
    assert again.assignments.equals(found.assignments)
    every = read_vectors(library.catalog)
    assert found.centroids is not None
    assert found.assignments.column("kmeans").to_pylist() == nearest(every.matrix, found.centroids).labels.tolist()


def test_clusters_of_another_model_are_refused(
    library: Library, clusters: Clusters, tmp_path: Path, watcher: Quiet
) -> None:
    write_snapshot(library.catalog, replace(read_snapshot(library.catalog), model_id="other"))
    with pytest.raises(InputError, match="features of other"):
        assign(clusters.folder, library.catalog, str(tmp_path / "out"), watcher)


def test_a_catalog_of_several_models_is_refused_and_they_are_named(library: Library, tmp_path: Path) -> None:
    replace_model(library, 0)
    with pytest.raises(InputError, match="several models \\(another and model\\)"):
        read_vectors(library.catalog)


def replace_model(library: Library, number: int) -> None:
    """Let the rows of one part come from another model."""
    path = Path(library.catalog, read_snapshot(library.catalog).parts[number].path)
    table = pq.read_table(path)
    place = table.column_names.index("model_id")
    pq.write_table(table.set_column(place, table.schema.field("model_id"), [["another"] * table.num_rows]), path)


def as_file(library: Library, folder: Path, **about: Any) -> str:
    """Write the catalog's vectors as a features file, one of them null and one not finite."""
    found = read_vectors(library.catalog)
    lists: list[Any] = found.matrix.tolist()
    lists[4], lists[9] = None, [float("nan")] * found.matrix.shape[1]
    table = pa.table(
        {"image_id": found.ids, "record_id": found.records, "features": pa.array(lists, pa.list_(pa.float32()))}
    )
    told = {"method": "embedding", "model_id": found.model_id, "catalog": library.catalog, "left_out": found.left_out}
    vectors.write_features(str(folder / "f.parquet"), table, {**told, **about})
    return str(folder / "f.parquet")
