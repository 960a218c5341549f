"""The map: the same each time, true to the embeddings, and kept while the collection grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from artylyze.catalog.snapshot import read_snapshot
from artylyze.exploring import projection
from artylyze.exploring.projection import Map, cuml_arguments, fit, map_of, quantised
from artylyze.exploring.vectors import read_vectors
from artylyze.exploring.works import Works, read_works
from artylyze.searching.neighbours import nearest
from tests.cuml import cuml_options
from tests.exploring.museum import museum
from tests.searching.test_neighbours import vectors


def mapped(catalog: str) -> tuple[Works, Map]:
    works = read_works(catalog, read_snapshot(catalog))
    some = read_vectors(works)
    return works, map_of(works, some, nearest(some, 24))


def test_a_map_is_true_and_the_same_each_time() -> None:
    some = vectors(200)

    places, method = fit(some, nearest(some, 24))

    assert method == "t-SNE"
    assert (projection.trustworthiness(some, places) or 0) > 0.9
    assert np.array_equal(places, fit(some, nearest(some, 24))[0])


def test_cuml_gets_each_work_before_its_nearest_by_options_that_it_has() -> None:
    some = vectors(200)
    near = nearest(some, 24)
    near[3, 20:] = -1  # fewer than 24

    arguments = cuml_arguments(some, near, 0)
    numbers, distances = arguments["precomputed_knn"]

    assert set(arguments) <= cuml_options("manifold/umap/umap.pyx", "UMAP")
    assert numbers.shape == distances.shape == (200, arguments["n_neighbors"])
    assert np.array_equal(numbers[:, 0], np.arange(200))
    assert not distances[:, 0].any()
    assert np.array_equal(numbers[3, 21:], np.full(4, near[3, 0]))
    assert np.allclose(distances[5, 7], np.linalg.norm(some.coordinates[5] - some.coordinates[near[5, 6]]))


def test_few_works_lie_on_their_principal_components() -> None:
    for count in (0, 1, 2, 10):
        some = vectors(10)
        some = some.take(np.arange(count))
        places, method = fit(some, nearest(some, 24))
        assert (places.shape, method) == ((count, 2), "PCA")
        assert quantised(places).shape == (count, 2)


def test_an_update_leaves_works_where_they_are(tmp_path: Path) -> None:
    _, before = mapped(museum(tmp_path / "catalog", 80, errors=[], only=1, ends=[70]))
    works, after = mapped(museum(tmp_path / "catalog", 80, errors=[], ends=[70]))

    assert len(works) == 80
    assert np.array_equal(before.places, after.places[:70])
    assert np.isfinite(after.places).all()


def test_a_map_of_another_model_is_made_anew(tmp_path: Path) -> None:
    mapped(museum(tmp_path / "catalog", 80))
    kept = (tmp_path / "catalog" / projection.KEY).read_bytes()
    (tmp_path / "catalog" / projection.KEY).write_bytes(b"damaged")

    mapped(str(tmp_path / "catalog"))

    assert (tmp_path / "catalog" / projection.KEY).read_bytes() == kept


def test_places_are_written_in_one_scale() -> None:
    assert quantised(np.array([[0, 0], [10, 5]], np.float32)).tolist() == [[0, 16384], [65535, 49151]]
