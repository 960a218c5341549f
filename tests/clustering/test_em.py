from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from artylyze.clustering import em
from artylyze.clustering.em import fit_mixture, reduce, seconds_per_step
from artylyze.clustering.mixture import Covariance
from tests.fixtures import blobs


@pytest.mark.parametrize("covariance", ["diag", "full", "tied"])
def test_a_mixture_equals_scikit_learns(covariance: Covariance) -> None:
    matrix, groups = blobs(600)
    projection = reduce(matrix, 1.0, 0)
    points = projection.apply(matrix)
    found = fit_mixture(points, projection, groups.astype(np.int32), covariance, 0, "cpu")
    theirs = GaussianMixture(4, covariance_type=covariance, random_state=0).fit(points.astype(np.float64))
    assert found.log_likelihood >= theirs.score(points) - 0.01
    assert found.bic == pytest.approx(theirs.bic(points), rel=1e-3)
    assert np.allclose(found.mixture.responsibilities(matrix), theirs_of(found, points, theirs), atol=1e-3)


@pytest.mark.parametrize("covariance", ["diag", "full", "tied"])
def test_the_array_api_gives_what_numpy_gives(covariance: Covariance, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's tensors on the CPU take the way that a GPU's take."""
    monkeypatch.delenv("SCIPY_ARRAY_API", raising=False)
    matrix, groups = blobs(900, 6, 5)
    matrix += np.random.default_rng(1).normal(0, 6, matrix.shape).astype(np.float32)  # groups that overlap
    projection = reduce(matrix, 1.0, 0)
    points, begin = projection.apply(matrix), groups.astype(np.int32)
    kinds, plain = set(), em._plain

    def noted(array: Any) -> Any:
        kinds.add(type(array).__name__)
        return plain(array)

    monkeypatch.setattr(em, "_plain", noted)
    numpy, torch = (fit_mixture(points, projection, begin, covariance, 0, device) for device in ("cpu", "torch"))
    assert kinds == {"ndarray", "Tensor"}
    assert numpy.steps == torch.steps > 1
    assert torch.log_likelihood == pytest.approx(numpy.log_likelihood, abs=1e-4)
    assert torch.bic == pytest.approx(numpy.bic, rel=1e-5)
    mine, theirs = (one.mixture.responsibilities(matrix) for one in (numpy, torch))
    assert (mine.max(axis=1) < 0.9).mean() > 0.2
    assert np.allclose(mine, theirs, atol=1e-3)
    assert (mine.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.999


def theirs_of(found: Any, points: Any, theirs: Any) -> Any:
    """scikit-learn's responsibilities, its components in the order of ours."""
    order = [int(np.linalg.norm(theirs.means_ - mean, axis=1).argmin()) for mean in found.mixture.means]
    return theirs.predict_proba(points)[:, order]


def test_the_components_hold_the_variance_that_was_asked_for() -> None:
    matrix, _ = blobs(400, 20)
    points = reduce(matrix, 0.9, 0).apply(matrix)
    assert 1 < points.shape[1] < 20
    assert np.isclose(points.var(axis=0, ddof=1).mean(), 1, atol=1e-3)
    assert np.allclose(points.mean(axis=0), 0, atol=1e-3)


def test_components_can_be_bounded() -> None:
    matrix, _ = blobs(400, 20)
    assert len(reduce(matrix, 1.0, 0).components) == 20
    bounded = reduce(matrix, 1.0, 0, 5)
    assert len(bounded.components) == 5
    assert np.isclose(bounded.apply(matrix).var(axis=0, ddof=1).mean(), 1, atol=1e-3)


def test_the_cost_of_a_step_is_measured() -> None:
    matrix, _ = blobs(30_000, 16, 9)
    projection = reduce(matrix, 1.0, 0)
    points = projection.apply(matrix)
    assert seconds_per_step(points, projection, 9, "full", 0, "cpu") > 0


def test_a_component_of_one_row_keeps_a_covariance() -> None:
    matrix, groups = blobs(200)
    groups[groups == 3] = 0
    groups[0] = 3
    projection = reduce(matrix, 1.0, 0)
    found = fit_mixture(projection.apply(matrix), projection, groups.astype(np.int32), "full", 0, "cpu")
    assert np.isfinite(found.mixture.precisions_cholesky).all()
    assert np.isfinite(found.bic)
