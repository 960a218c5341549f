from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as SklearnKMeans

from artylyze.clustering import kmeans
from artylyze.clustering.kmeans import (
    CpuKMeans,
    TorchKMeans,
    cluster_means,
    cuml_arguments,
    lloyd,
    nearest,
    own_distances,
    principal,
    rows_within,
)
from tests.cuml import cuml_options
from tests.fixtures import blobs


def test_coarse_to_fine_is_as_good_as_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans, "SAMPLE", 400)
    matrix, _ = blobs(2_000, 160, 9)
    theirs = SklearnKMeans(9, random_state=0, n_init=4).fit(matrix).inertia_
    ours = CpuKMeans(matrix, 0)
    assert ours.fit(9).inertia <= theirs * 1.001
    assert ours.sketch(9).inertia >= ours.fit(9).inertia * 0.999


def test_a_label_is_the_nearest_centroid() -> None:
    matrix, _ = blobs(200)
    centroids = matrix[:7]
    labels = nearest(matrix, centroids).labels
    distances = own_distances(matrix, centroids, labels)
    every = np.linalg.norm(matrix[:, None] - centroids, axis=2)
    assert np.array_equal(labels, every.argmin(axis=1))
    assert np.allclose(distances, every.min(axis=1), atol=1e-3)


def test_what_all_rows_share_does_not_blur_their_clusters() -> None:
    matrix, groups = blobs(9_000)
    matrix[:, 3] = 1e6
    matrix[:, 4:] += 1_000
    centroids = cluster_means(matrix, groups.astype(np.int32), 4)
    exact = np.stack([matrix[groups == one].mean(axis=0, dtype=np.float64) for one in range(4)])
    assert np.allclose(centroids, exact, rtol=1e-7)
    near = matrix[[0, 0, 1, 1, 2, 2, 3]] + np.random.default_rng(0).normal(0, 0.5, (7, 12)).astype(np.float32)
    near[:, 3] = 1e6
    every = np.linalg.norm(matrix[:, None].astype(np.float64) - near, axis=2)
    assert np.mean(nearest(matrix, near).labels == every.argmin(axis=1)) > 0.999


@pytest.mark.parametrize("offset", [0, 1e3, 1e5, 1e6])
def test_labels_are_those_of_float64_however_far_the_rows_lie(offset: float) -> None:
    matrix = (np.random.default_rng(0).normal(size=(1_500, 64)) + offset).astype(np.float32)
    centroids = matrix[::60]
    every = np.linalg.norm(matrix[:, None].astype(np.float64) - centroids, axis=2)
    assert np.mean(nearest(matrix, centroids).labels == every.argmin(axis=1)) > 0.998
    projection = principal(matrix, 8, 0)
    exact = (matrix.astype(np.float64) - projection.mean) @ projection.components.T.astype(np.float64)
    assert np.allclose(projection.apply(matrix), exact, atol=1e-4)


def test_means_of_clusters_and_of_an_empty_one() -> None:
    matrix, groups = blobs(40, groups=2)
    found = cluster_means(matrix, groups.astype(np.int32), 3)
    assert np.allclose(found[0], matrix[groups == 0].mean(axis=0), atol=1e-4)
    assert np.allclose(found[2], matrix.mean(axis=0), atol=1e-4)


def test_a_budget_of_memory_in_rows() -> None:
    assert rows_within(np.zeros((10, 4), np.float32), 160) == 4
    assert rows_within(np.zeros((10, 4), np.float32), 1) == 1


def test_the_calls_fit_cumls_own_signature() -> None:
    assert set(cuml_arguments(3, 0)) <= cuml_options("cluster/kmeans.pyx", "KMeans")


@pytest.mark.parametrize(("rows", "together"), [(2_000, 65_536), (2_000, 300), (401, 7)])
def test_torch_finds_what_scikit_learn_finds(rows: int, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans, "SAMPLE", 400)
    monkeypatch.setattr(kmeans, "TOGETHER", together)
    matrix, _ = blobs(rows, 12, 9)
    theirs = SklearnKMeans(9, random_state=0, n_init=4).fit(matrix)
    found = TorchKMeans(matrix, 0, device="cpu").fit(9)
    assert found.inertia <= theirs.inertia_ * 1.001
    again = TorchKMeans(matrix, 0, device="cpu").fit(9)
    assert np.array_equal(found.centroids, again.centroids)


def test_lloyds_steps_are_those_of_scikit_learn() -> None:
    matrix, _ = blobs(500, 6, 5, seed=3)
    theirs = SklearnKMeans(5, init=matrix[:5], n_init=1, algorithm="lloyd", tol=0).fit(matrix)
    _, centroids = lloyd(torch.from_numpy(matrix), torch.from_numpy(matrix[:5]))
    np.testing.assert_allclose(centroids.numpy(), theirs.cluster_centers_, atol=1e-3)


def test_an_empty_cluster_keeps_its_centroid() -> None:
    matrix, _ = blobs(200, 6, 2)
    far = np.full((1, 6), 1e4, np.float32)
    _, centroids = lloyd(torch.from_numpy(matrix), torch.from_numpy(np.concatenate([matrix[:2], far])))
    np.testing.assert_allclose(centroids[2].numpy(), far[0], rtol=1e-3)


def test_the_gpu_finds_what_the_cpu_finds() -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    matrix, _ = blobs(2_000)
    assert kmeans.kmeans_for(matrix, 0, "cuda").fit(4).inertia <= CpuKMeans(matrix, 0).fit(4).inertia * 1.001
