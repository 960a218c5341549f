from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_samples, silhouette_score

from artylyze.clustering import scores
from artylyze.clustering.choice import elbow
from artylyze.clustering.kmeans import CpuKMeans, Fit, cluster_means
from artylyze.clustering.scores import davies_bouldin, score_fits, silhouettes
from artylyze.extraction.vectors import sampled
from tests.fixtures import blobs


@given(st.integers(2, 9), st.integers(0, 5))
def test_scores_are_scikit_learns(k: int, seed: int) -> None:
    matrix, _ = blobs(120, 6, 5, seed)
    fit = CpuKMeans(matrix, seed).fit(k)
    (found,) = silhouettes(matrix, [fit.labels], 0)
    assert found.exact
    assert found.value == pytest.approx(silhouette_score(matrix, fit.labels), abs=1e-4)
    assert davies_bouldin(matrix, fit) == pytest.approx(davies_bouldin_score(matrix, fit.labels), rel=1e-3)
    theirs = calinski_harabasz_score(matrix, fit.labels)
    assert score_fits(matrix, {k: fit}, {}, 0)[k].calinski_harabasz == pytest.approx(theirs, rel=1e-3)


def test_a_sampled_silhouette_has_the_true_one_in_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "SAMPLE", 500)
    matrix, groups = blobs(3_000, 6, 5)
    (found,) = silhouettes(matrix, [groups.astype(np.int32)], 0)
    assert not found.exact
    assert found.low < silhouette_score(matrix, groups) < found.high


def test_an_elbow_is_where_the_curve_bends() -> None:
    ks = list(range(2, 12))
    assert elbow(ks, [1000 - 200 * k if k < 5 else 150 - 5 * k for k in ks])[0] == 5
    assert "no elbow" in elbow([2, 3], [2.0, 1.0])[1]


def test_corner_cases_are_scikit_learns() -> None:
    matrix, groups = blobs(80, 6, 4)
    centroids = cluster_means(matrix, groups.astype(np.int32), 4)
    far = np.stack([centroids[0], centroids[0], centroids[2], centroids[3]])  # two centroids are one
    apart = np.concatenate([matrix, -matrix + 2 * centroids[groups]])
    own = np.concatenate([groups, groups]).astype(np.int32)
    assert davies_bouldin(apart, Fit(cluster_means(apart, own, 4), own, 1.0)) == pytest.approx(
        davies_bouldin_score(apart, own), rel=1e-3
    )
    assert davies_bouldin(matrix, Fit(far, groups.astype(np.int32), 1.0)) > 0
    same = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    labels = np.repeat(np.arange(4), 5).astype(np.int32)
    fit = Fit(cluster_means(same, labels, 4), labels, 0.0)
    assert davies_bouldin(same, fit) == davies_bouldin_score(same, labels)
    assert score_fits(same, {4: fit}, {}, 0)[4].calinski_harabasz == calinski_harabasz_score(same, labels)


def test_the_interval_is_that_of_the_mean_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "SAMPLE", 100)
    matrix, groups = blobs(400, 6, 5)
    (found,) = silhouettes(matrix, [groups.astype(np.int32)], 3)
    rows = sampled(400, 100, 3)
    values = silhouette_samples(matrix[rows], groups[rows])
    assert found.value == pytest.approx(values.mean(), abs=1e-4)
    assert found.high - found.value == pytest.approx(1.96 * values.std(ddof=1) / 10, rel=1e-2)
