"""Components of images: scikit-learn's where they are exact, and what they truly hold where they are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA, KernelPCA

from artylyze.clustering import fitting
from artylyze.clustering.fitting import fit
from artylyze.clustering.transform import flat
from artylyze.errors import InputError
from tests.clustering.conftest import Quiet


@pytest.fixture
def pixels() -> Any:
    random = np.random.default_rng(0)
    parts = random.random((60, 5)) @ random.random((5, 8 * 8 * 3))
    return np.asarray(parts / parts.max() * 255, np.uint8).reshape(60, 8, 8, 3)


def agreement(ours: Any, theirs: Any) -> Any:
    """Cosines between pairs of components over the images, signs apart."""
    return np.abs((ours * theirs).sum(axis=0)) / np.linalg.norm(ours, axis=0) / np.linalg.norm(theirs, axis=0)


def smooth(count: int, size: int, seed: int = 0) -> Any:
    """Images whose variance lies in low frequencies, as that of pictures does, with some grain."""
    noise = np.random.default_rng(seed).normal(size=(count, size, size, 3))
    soft = gaussian_filter(noise, (0, 2, 2, 0))
    return np.asarray(np.clip(128 + soft * 300 + noise * 4, 0, 255), np.uint8)


def held(pixels: Any, found: Any) -> float:
    """The share of the variance of images that features hold whose components are orthonormal."""
    rows = flat(pixels).astype(np.float64)
    return float(np.square(found - found.mean(axis=0)).sum() / np.square(rows - rows.mean(axis=0)).sum())


def test_pca_is_scikit_learns(pixels: Any) -> None:
    _, found = fit("pca", pixels, 0.95, 0, Quiet())
    theirs = PCA(0.95, svd_solver="full").fit_transform(flat(pixels))
    assert found.shape == theirs.shape
    assert (agreement(found, theirs) > 0.999).all()


def test_streamed_pca_of_all_frequencies_is_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = smooth(300, 6)
    monkeypatch.setattr(fitting, "PCA_ROWS", 60)
    monkeypatch.setattr("artylyze.clustering.transform.BLOCK", 64)
    fitted, found = fit("pca", pixels, 0.9, 0, Quiet())
    theirs = PCA(0.9, svd_solver="full")
    rows = theirs.fit_transform(flat(pixels).astype(np.float64))
    assert found.shape == rows.shape
    assert (agreement(found[:, :10], rows[:, :10]) > 0.999).all()
    assert fitted.variance == pytest.approx(theirs.explained_variance_ratio_.sum(), abs=1e-5)


def test_streamed_pca_keeps_what_was_asked_with_few_more_components(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = smooth(500, 24)
    exact, _ = fit("pca", pixels, 0.9, 0, Quiet())
    monkeypatch.setattr(fitting, "PCA_ROWS", 100)
    monkeypatch.setattr(fitting, "FREQUENCIES", 400)
    fitted, found = fit("pca", pixels, 0.9, 0, Quiet())
    assert fitted.frequencies is not None
    assert len(fitted.frequencies) == 400 < 24 * 24 * 3
    assert held(pixels, found) + 1e-5 >= 0.9
    assert len(exact.components) <= len(fitted.components) < 1.3 * len(exact.components)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(30, 90), st.integers(3, 9), st.floats(0.3, 1), st.integers(1, 300))
def test_what_streamed_pca_says_it_holds_it_holds(
    seed: int, count: int, size: int, variance: float, frequencies: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "PCA_ROWS", 20)
        patch.setattr(fitting, "FREQUENCIES", frequencies)
        fitted, found = fit("pca", pixels, variance, 0, Quiet())
    assert fitted.variance == pytest.approx(held(pixels, found), abs=1e-4)
    short = fitted.variance < variance - 1e-4
    assert not short or len(fitted.components) == min(frequencies, 3 * size**2) or len(fitted.components) >= count - 2


def test_frequencies_that_hold_too_little_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 6, 6, 3), np.uint8)
    monkeypatch.setattr(fitting, "PCA_ROWS", 60)
    monkeypatch.setattr(fitting, "FREQUENCIES", 54)
    fitted, found = fit("pca", noise, 0.95, 0, Quiet())
    assert found.shape == (300, 54)
    assert 0.45 < fitted.variance < 0.6  # half of 108 directions that are all the same, and those that vary most


def test_kernel_pca_is_scikit_learns_where_it_is_exact(pixels: Any) -> None:
    fitted, found = fit("kernel_pca", pixels, 0.9, 0, Quiet())
    theirs = KernelPCA(found.shape[1], kernel="rbf", gamma=fitted.gamma)
    rows = theirs.fit_transform(flat(pixels).astype(np.float64))
    assert (agreement(found, rows) > 0.99).all()


def test_nystroem_is_near_the_exact_one(pixels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, exact = fit("kernel_pca", pixels, 0.9, 0, Quiet())
    monkeypatch.setattr(fitting, "EXACT_ROWS", 10)
    monkeypatch.setattr(fitting, "LANDMARKS", 30)
    fitted, near = fit("kernel_pca", pixels, 0.9, 0, Quiet())
    assert fitted.landmarks is not None
    assert len(fitted.landmarks) == 30
    assert (agreement(near[:, :3], exact[:, :3]) > 0.95).all()


def test_what_nystroem_says_it_holds_is_of_the_exact_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 6, 6, 3), np.uint8)
    monkeypatch.setattr(fitting, "EXACT_ROWS", 10)
    monkeypatch.setattr(fitting, "LANDMARKS", 30)
    fitted, found = fit("kernel_pca", noise, 0.95, 0, Quiet())
    others = ~(noise[:, None] == fitted.landmarks[None]).all(axis=(2, 3, 4)).any(axis=1)  # type: ignore[index]
    every = KernelPCA(kernel="rbf", gamma=fitted.gamma).fit(flat(noise[others]).astype(np.float64)).eigenvalues_
    truly = np.square(found[others] - found[others].mean(axis=0)).sum() / every.sum()
    assert fitted.variance == pytest.approx(truly, rel=0.02)
    assert truly < 0.5  # thirty landmarks say little of the noise of others


@pytest.mark.parametrize("method", ["pca", "kernel_pca"])
@pytest.mark.parametrize("most", [3, 4_000])
@pytest.mark.parametrize("value", [1, 179, 255])
def test_images_that_are_all_the_same_have_no_components(
    method: str, most: int, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "PCA_ROWS", most)
    monkeypatch.setattr(fitting, "EXACT_ROWS", most)
    monkeypatch.setattr(fitting, "LANDMARKS", 2)
    with pytest.raises(InputError, match="same"):
        fit(method, np.full((5, 60, 60, 3), value, np.uint8), 0.9, 0, Quiet())


@pytest.mark.parametrize("method", ["pca", "kernel_pca"])
def test_one_image_has_no_components(pixels: Any, method: str) -> None:
    with pytest.raises(InputError, match="One image"):
        fit(method, pixels[:1], 0.9, 0, Quiet())


@pytest.mark.parametrize("method", ["pca", "kernel_pca"])
def test_two_images_have_one_component(pixels: Any, method: str) -> None:
    fitted, found = fit(method, pixels[:2], 1.0, 0, Quiet())
    assert found.shape == (2, 1)
    assert fitted.variance == pytest.approx(1)


@pytest.mark.parametrize("most", [20, 4_000])
def test_one_pixel_that_differs_is_a_component(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.full((50, 20, 20, 3), 179, np.uint8)
    pixels[7, 3, 4, 1] += 1
    monkeypatch.setattr(fitting, "PCA_ROWS", most)
    fitted, found = fit("pca", pixels, 0.9, 0, Quiet())
    assert fitted.variance > 0.9
    assert np.argmax(np.abs(found[:, 0])) == 7
