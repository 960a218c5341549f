"""Components of images: scikit-learn's where they are exact, and what they truly hold where they are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA, KernelPCA
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel

from artylyze.errors import InputError
from artylyze.extraction import fitting
from artylyze.extraction.fitting import fit
from artylyze.extraction.transform import flat
from artylyze.extraction.vectors import sampled
from tests.fixtures import Quiet


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
    fitted, found = fit("pca", pixels, 0.95, 0, Quiet())
    model = PCA(0.95, svd_solver="full")
    theirs = model.fit_transform(flat(pixels))
    assert found.shape == theirs.shape
    assert np.allclose(np.abs(found), np.abs(theirs), atol=1e-4)
    assert fitted.variance == pytest.approx(model.explained_variance_ratio_.sum(), abs=1e-6)
    assert fitted.variance == pytest.approx(held(pixels, found), abs=1e-5)


def test_all_the_variance_can_be_asked_for() -> None:
    pixels = smooth(40, 6)
    fitted, found = fit("pca", pixels, 1.0, 0, Quiet())
    assert found.shape == (40, 39)
    assert np.allclose(fitted.components @ fitted.components.T, np.eye(39), atol=1e-3)
    assert 1 - 1e-6 <= fitted.variance <= 1


def test_streamed_pca_of_all_frequencies_is_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = smooth(300, 6)
    monkeypatch.setattr(fitting, "PCA_ROWS", 60)
    monkeypatch.setattr("artylyze.extraction.transform.BLOCK", 64 * 6 * 6 * 3 * 4)
    fitted, found = fit("pca", pixels, 0.9, 0, Quiet())
    theirs = PCA(0.9, svd_solver="full")
    rows = theirs.fit_transform(flat(pixels).astype(np.float64))
    assert found.shape == rows.shape
    assert np.allclose(np.abs(found[:, :10]), np.abs(rows[:, :10]), atol=1e-3)
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
    assert np.allclose(np.abs(found), np.abs(rows), atol=1e-3)
    every = KernelPCA(kernel="rbf", gamma=fitted.gamma).fit(flat(pixels).astype(np.float64)).eigenvalues_
    assert fitted.variance == pytest.approx(theirs.eigenvalues_.sum() / every.sum(), abs=1e-3)


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
@pytest.mark.parametrize("most", [30, 4_000])
@pytest.mark.parametrize("value", [1, 120, 179, 255])
def test_images_that_are_all_the_same_have_no_components(
    method: str, most: int, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "PCA_ROWS", most)
    monkeypatch.setattr(fitting, "EXACT_ROWS", most)
    monkeypatch.setattr(fitting, "LANDMARKS", 30)
    with pytest.raises(InputError, match="same"):
        fit(method, np.full((200, 90, 90, 3), value, np.uint8), 0.9, 0, Quiet())


@pytest.mark.parametrize("method", ["pca", "kernel_pca"])
def test_a_picture_many_times_has_no_components(method: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 180, 180, 3), np.uint8)
    with pytest.raises(InputError, match="same"):
        fit(method, np.repeat(picture, 200, axis=0), 0.9, 0, Quiet())


@pytest.mark.parametrize("method", ["pca", "kernel_pca"])
def test_hardly_anything_that_varies_is_refused_as_the_same(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "PCA_ROWS", 20)
    monkeypatch.setattr(fitting, "EXACT_ROWS", 20)
    monkeypatch.setattr(fitting, "LANDMARKS", 20)
    pixels = np.full((3_000, 6, 6, 3), 120, np.uint8)
    pixels[1] = smooth(1, 6)  # no sample of 20 with this seed holds it
    with pytest.raises(InputError, match="nearly all"):
        fit(method, pixels, 0.9, 0, Quiet())


def nearly_the_same(count: int) -> Any:
    """Pictures of one scene, each with two pixels of its own that are a little brighter."""
    random = np.random.default_rng(1)
    pixels = np.repeat(random.integers(0, 200, (1, 30, 30, 3), np.uint8), count, axis=0)
    for picture, (row, column) in zip(pixels, random.integers(0, 30, (count, 2)), strict=True):
        picture[row, column] += 3
        picture[column, row, 0] += random.integers(1, 4)
    return pixels


@pytest.mark.parametrize("most", [30, 4_000])
def test_what_little_sets_images_apart_is_not_lost_in_what_they_share(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = nearly_the_same(80)
    for name in ("PCA_ROWS", "EXACT_ROWS"):
        monkeypatch.setattr(fitting, name, most)
    monkeypatch.setattr(fitting, "LANDMARKS", 50)
    fitted, found = fit("kernel_pca", pixels, 1.0, 0, Quiet())
    marks = [(pixels == landmark).all(axis=(1, 2, 3)).argmax() for landmark in fitted.landmarks]  # type: ignore[union-attr]
    exact = 2 - 2 * rbf_kernel(flat(pixels[marks]).astype(np.float64), gamma=fitted.gamma)
    assert np.allclose(euclidean_distances(found[marks], squared=True), exact, atol=2e-3)
    assert np.allclose(fitted.apply(pixels), found, atol=1e-3)
    if len(marks) < len(pixels):
        others = np.setdiff1d(np.arange(len(pixels)), marks)
        whole = 1 - rbf_kernel(flat(pixels[others]).astype(np.float64), gamma=fitted.gamma).mean()
        assert fitted.variance == pytest.approx(found[others].var(axis=0).sum() / whole, rel=1e-3)
    _, found = fit("pca", pixels, 1.0, 0, Quiet())
    exact = euclidean_distances(flat(pixels).astype(np.float64), squared=True)
    assert np.allclose(euclidean_distances(found, squared=True), exact, atol=1e-3 * exact.max())


@pytest.mark.parametrize("most", [30, 4_000])
def test_the_same_image_twice_gets_the_same_features(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "EXACT_ROWS", most)
    monkeypatch.setattr(fitting, "LANDMARKS", 60)
    once = smooth(40, 8)
    fitted, found = fit("kernel_pca", np.concatenate([once, once]), 1.0, 0, Quiet())
    assert len(fitted.components) < 40
    assert np.abs(found).max() < 1.5  # no distance in the kernel's space is longer than the root of 2
    assert np.allclose(found[:40], found[40:], atol=1e-4)


@pytest.mark.parametrize("method", ["pca", "kernel_pca"])
def test_what_varies_is_seen_wherever_it_stands(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "PCA_ROWS", 60)
    monkeypatch.setattr(fitting, "EXACT_ROWS", 60)
    monkeypatch.setattr(fitting, "LANDMARKS", 60)
    pixels = np.concatenate([np.full((200, 6, 6, 3), 90, np.uint8), smooth(100, 6)])
    fitted, found = fit(method, pixels, 0.6, 0, Quiet())
    assert fitted.variance > 0.3
    assert np.ptp(found[:200], axis=0).max() < 1e-4
    assert np.ptp(found[200:], axis=0).min() > 0.05


def test_coefficients_that_are_large_and_never_vary_are_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "PCA_ROWS", 40)
    monkeypatch.setattr(fitting, "FREQUENCIES", 3)
    pixels = np.full((100, 8, 8, 3), 250, np.uint8)  # bright, so that the constant coefficient is by far the largest
    waves = np.cos(np.pi * (np.arange(8) + 0.5) * 5 / 8)[None, :, None, None]
    steps = np.random.default_rng(0).integers(-4, 5, 100)[:, None, None, None]
    pixels = np.asarray(np.round(pixels + steps * np.sign(waves)).clip(0, 255), np.uint8)
    fitted, _ = fit("pca", pixels, 0.9, 0, Quiet())
    assert fitted.frequencies is not None
    assert 0 not in fitted.frequencies
    assert fitted.variance > 0.7


class Counting(Quiet):
    """Adds up what it hears, by what is going on."""

    def __init__(self) -> None:
        self.heard: dict[str, list[int]] = {}

    def start(self, rows: int, done: int, what: str) -> None:
        self.heard[what] = [rows, done]

    def advance(self, rows: int, errors: int) -> None:
        assert not errors
        list(self.heard.values())[-1][1] += rows


@pytest.mark.parametrize(
    ("method", "most", "told"),
    [
        ("pca", 4_000, ["Fitting", "Projecting"]),
        ("pca", 20, ["Fitting", "Finding components", "Projecting"]),
        ("kernel_pca", 4_000, ["Fitting"]),
        ("kernel_pca", 20, ["Fitting"]),
    ],
)
def test_every_step_is_told_to_its_end(
    pixels: Any, method: str, most: int, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PCA_ROWS", "EXACT_ROWS", "LANDMARKS"):
        monkeypatch.setattr(fitting, name, most)
    watcher = Counting()
    fit(method, pixels, 0.9, 0, watcher)
    assert list(watcher.heard) == told
    for what, (rows, done) in watcher.heard.items():
        assert rows == done == (1 if what == "Finding components" else len(pixels))


@pytest.mark.parametrize(("name", "value"), [("PCA_ROWS", 59), ("PCA_BYTES", 60 * 8 * 8 * 3 * 4 - 1)])
def test_pca_is_exact_up_to_its_limits(pixels: Any, name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, name, value + 1)
    assert fit("pca", pixels, 0.9, 0, Quiet())[0].frequencies is None
    monkeypatch.setattr(fitting, name, value)
    assert fit("pca", pixels, 0.9, 0, Quiet())[0].frequencies is not None


def test_images_so_large_that_a_block_holds_one_are_fitted(pixels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "PCA_ROWS", 20)
    _, whole = fit("pca", pixels, 0.9, 0, Quiet())
    monkeypatch.setattr("artylyze.extraction.transform.BLOCK", 1)
    _, found = fit("pca", pixels, 0.9, 0, Quiet())
    assert np.allclose(np.abs(found), np.abs(whole), atol=1e-4)


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
    odd = sampled(50, 20, 0)[7]
    pixels[odd, 3, 4, 1] += 1
    monkeypatch.setattr(fitting, "PCA_ROWS", most)
    fitted, found = fit("pca", pixels, 0.9, 0, Quiet())
    assert fitted.variance > 0.9
    assert np.argmax(np.abs(found[:, 0])) == odd
