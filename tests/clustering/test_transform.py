from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA, KernelPCA

from artylyze.clustering import transform
from artylyze.clustering.transform import fit, flat, load_transform, save_transform
from artylyze.errors import InputError


@pytest.fixture
def pixels() -> Any:
    random = np.random.default_rng(0)
    parts = random.random((60, 5)) @ random.random((5, 8 * 8 * 3))
    return np.asarray(parts / parts.max() * 255, np.uint8).reshape(60, 8, 8, 3)


def agreement(ours: Any, theirs: Any) -> Any:
    """Cosines between pairs of components over the images, signs apart."""
    return np.abs((ours * theirs).sum(axis=0)) / np.linalg.norm(ours, axis=0) / np.linalg.norm(theirs, axis=0)


def test_pca_is_scikit_learns(pixels: Any) -> None:
    found = fit("pca", pixels, 0.95, 0)
    theirs = PCA(0.95, svd_solver="full").fit_transform(flat(pixels))
    assert found.apply(pixels).shape == theirs.shape
    assert (agreement(found.apply(pixels), theirs) > 0.999).all()


def test_what_pca_of_a_sample_holds_is_measured_on_others(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 6, 6, 3), np.uint8)
    monkeypatch.setattr(transform, "PCA_ROWS", 60)
    found = fit("pca", noise, 0.95, 0)
    rows = flat(noise) - found.mean
    truly = np.square(rows @ found.components.T).sum() / np.square(rows).sum()
    assert 0.4 < found.variance < 0.7  # some 55 of 108 directions that are all the same
    assert found.variance == pytest.approx(truly, abs=0.12)  # of which its own images are a fifth


def test_kernel_pca_is_scikit_learns_where_it_is_exact(pixels: Any) -> None:
    found = fit("kernel_pca", pixels, 0.9, 0)
    count = len(found.components)
    theirs = KernelPCA(count, kernel="rbf", gamma=found.gamma).fit_transform(flat(pixels).astype(np.float64))
    assert (agreement(found.apply(pixels), theirs) > 0.99).all()


def test_nystroem_is_near_the_exact_one(pixels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = fit("kernel_pca", pixels, 0.9, 0)
    monkeypatch.setattr(transform, "EXACT_ROWS", 10)
    monkeypatch.setattr(transform, "LANDMARKS", 30)
    near = fit("kernel_pca", pixels, 0.9, 0)
    assert near.landmarks is not None
    assert len(near.landmarks) == 30
    assert (agreement(near.apply(pixels)[:, :3], exact.apply(pixels)[:, :3]) > 0.95).all()


@pytest.mark.parametrize("method", ["pca", "kernel_pca"])
def test_a_kept_transform_says_the_same_of_other_images(pixels: Any, method: str, tmp_path: Path) -> None:
    fitted = fit(method, pixels[:40], 0.9, 0)
    save_transform(tmp_path / "t.safetensors", fitted)
    assert np.array_equal(load_transform(tmp_path / "t.safetensors").apply(pixels[40:]), fitted.apply(pixels[40:]))


def test_what_is_no_transform_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="artylyze features"):
        load_transform(tmp_path / "t")


def test_images_that_are_all_the_same_have_no_components() -> None:
    with pytest.raises(InputError, match="same"):
        fit("pca", np.ones((5, 4, 4, 3), np.uint8), 0.9, 0)
