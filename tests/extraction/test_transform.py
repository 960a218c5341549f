from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from artylyze.errors import InputError
from artylyze.extraction import fitting, transform
from artylyze.extraction.fitting import fit
from artylyze.extraction.transform import Transform, blocks, cosines, flat, identity, load_transform, save_transform
from tests.fixtures import Quiet


@pytest.fixture
def pixels() -> Any:
    random = np.random.default_rng(0)
    parts = random.random((60, 5)) @ random.random((5, 8 * 8 * 3))
    return np.asarray(parts / parts.max() * 255, np.uint8).reshape(60, 8, 8, 3)


@pytest.mark.parametrize("method", ["pca", "kernel_pca", "streamed"])
def test_a_kept_transform_says_the_same_of_other_images(
    pixels: Any, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method == "streamed":
        monkeypatch.setattr(fitting, "PCA_ROWS", 20)
        monkeypatch.setattr(fitting, "FREQUENCIES", 50)
    fitted, found = fit("kernel_pca" if method == "kernel_pca" else "pca", pixels[:40], 0.9, 0, Quiet())
    save_transform(str(tmp_path / "t.safetensors"), fitted)
    kept = load_transform(str(tmp_path / "t.safetensors"))
    assert identity(kept) == identity(fitted)
    assert (kept.frequencies is not None) == (method == "streamed")
    assert np.array_equal(kept.apply(pixels[40:]), fitted.apply(pixels[40:]))
    assert np.allclose(kept.apply(pixels[:40]), found, atol=1e-5)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x02" + bytes(7) + b"{}", b"\xff" * 64])
def test_what_is_no_transform_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(InputError, match="artylyze features"):
        load_transform(str(tmp_path / "t"))


def test_other_tensors_and_missing_files_are_refused(tmp_path: Path) -> None:
    save_file({"mean": np.zeros(3, np.float32)}, tmp_path / "t")
    with pytest.raises(InputError, match="artylyze features"):
        load_transform(str(tmp_path / "t"))
    with pytest.raises(InputError, match="no file"):
        load_transform(str(tmp_path / "none"))


def test_a_transform_with_other_coefficients_is_another(pixels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "PCA_ROWS", 20)
    monkeypatch.setattr(fitting, "FREQUENCIES", 50)
    fitted, _ = fit("pca", pixels, 0.9, 0, Quiet())
    assert fitted.frequencies is not None
    assert identity(replace(fitted, frequencies=fitted.frequencies[::-1])) != identity(fitted)


@pytest.mark.parametrize(
    "parts",
    [
        {"mean": np.zeros(11)},
        {"components": np.zeros((2, 11))},
        {"landmarks": np.zeros((12, 3, 3, 3), np.uint8)},
        {"frequencies": np.zeros(11, np.int32)},
        {"frequencies": np.arange(12, dtype=np.int32) + 1},
        {"frequencies": np.arange(12, dtype=np.int32) - 1},
        {"frequencies": np.arange(12, dtype=np.int32), "landmarks": np.zeros((12, 2, 2, 3), np.uint8)},
    ],
)
def test_parts_that_do_not_fit_together_are_refused(parts: dict[str, Any]) -> None:
    whole: dict[str, Any] = {"mean": np.zeros(12), "components": np.zeros((2, 12))}
    Transform("pca", 2, **whole, variance=1)
    with pytest.raises(InputError, match="fit it again"):
        Transform("pca", 2, **whole | parts, variance=1)


def test_what_is_applied_in_blocks_is_what_is_applied_at_once(pixels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, _ = fit("kernel_pca", pixels, 0.9, 0, Quiet())
    whole = fitted.apply(pixels)
    told: list[Any] = []
    monkeypatch.setattr(transform, "BLOCK", 7 * 8 * 8 * 3 * 4)
    assert np.allclose(fitted.apply(pixels, lambda *steps: told.append(steps)), whole, atol=1e-4)
    assert sum(rows for rows, _ in told) == 60
    assert [place.stop - place.start for place, _ in blocks(pixels)] == [7] * 8 + [4]


def test_cosines_keep_lengths_and_put_smooth_pictures_into_few() -> None:
    ramp = np.broadcast_to(8 * np.arange(30, dtype=np.uint8)[:, None, None], (30, 30, 3))[None]
    rows = flat(ramp)
    found = cosines(rows)
    assert np.square(found).sum() == pytest.approx(np.square(rows).sum(), rel=1e-5)
    largest = np.sort(np.abs(found[0]))[::-1]
    assert np.square(largest[:3]).sum() > 0.999 * np.square(found).sum()
