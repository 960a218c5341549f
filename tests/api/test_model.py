"""A model in Python: what it predicts for images, whatever they are given as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import artylyze
from artylyze.errors import ImageError, InputError, UsageError


@pytest.fixture(scope="module")
def small(model: Path) -> artylyze.Model:
    return artylyze.load_model(model)


def test_it_predicts_what_a_catalog_holds(museum: Path, small: artylyze.Model) -> None:
    rows = artylyze.open_catalog("catalog").to_arrow(where="status = 'ok'").to_pylist()

    found = small.predict([row["uri"] for row in rows], top_k=2)
    vectors = small.embed([row["uri"] for row in rows])

    for row, one in zip(rows, found, strict=True):
        assert [term for term, _ in one.tasks["genre"]] == [term["term"] for term in row["genre_top"][:2]]
        assert one.tasks["style"][0].score == pytest.approx(row["style_score"], abs=1e-4)
        assert one.review["genre"] == row["genre_review"]
        assert one.warning is None
    np.testing.assert_allclose(vectors, [row["embedding"] for row in rows], atol=1e-3)
    assert vectors.dtype == np.float32


def test_it_takes_paths_bytes_pictures_and_pixels(museum: Path, small: artylyze.Model) -> None:
    path = museum / "scans" / "001.png"
    with Image.open(path) as picture:
        pixels = np.asarray(picture)

        found = small.embed([path, str(path), path.read_bytes(), picture, pixels])

    np.testing.assert_allclose(found, np.repeat(found[:1], 5, axis=0), atol=1e-5)


def test_gray_pixels_and_other_modes(small: artylyze.Model) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (50, 40), np.uint8)
    pictures = [Image.fromarray(gray).convert(mode) for mode in ("L", "RGB", "RGBA", "LA")]

    found = small.embed([gray, *pictures])

    np.testing.assert_allclose(found, np.repeat(found[:1], 5, axis=0), atol=1e-4)


def test_many_images_keep_their_order(small: artylyze.Model) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 16, 16, 3), np.uint8)

    found = small.embed(list(pixels))

    assert found.shape == (70, small.embedding_dim)
    np.testing.assert_allclose(found[50], small.embed([pixels[50]])[0], atol=1e-5)


def test_no_images(small: artylyze.Model) -> None:
    assert small.predict([]) == []
    assert small.embed([]).shape == (0, small.embedding_dim)


def test_what_cannot_be_read_is_named(museum: Path, small: artylyze.Model) -> None:
    with pytest.raises(InputError, match=r"images\[1\], .*broken.jpg, cannot be read: truncated") as raised:
        small.predict(["scans/000.png", "scans/broken.jpg"])
    assert isinstance(raised.value.__cause__, ImageError)
    with pytest.raises(InputError, match=r"images\[0\] cannot be read: empty"):
        small.predict([b""])
    with pytest.raises(InputError, match=r"images\[33\], scans/none.png, cannot be read: missing"):
        small.embed(["scans/000.png"] * 33 + ["scans/none.png"])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("scans/000.png", r"give \[image\]"),
        ([3], r"images\[0\] has the type int"),
        ([np.zeros((4, 4, 3))], r"images\[0\] is float64 \(4, 4, 3\)"),
        ([np.zeros((4, 4, 4), np.uint8)], r"uint8 \(4, 4, 4\)"),
        ([np.zeros((0, 4), np.uint8)], "no pixels"),
    ],
)
def test_what_is_no_image_is_refused(small: artylyze.Model, images: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        small.predict(images)


def test_a_model_without_tasks_has_embeddings(bundles: None) -> None:
    backbone = artylyze.load_model("timm:tf_efficientnet_lite0")
    pixels = [np.zeros((8, 8, 3), np.uint8)]

    assert backbone.embed(pixels).shape == (1, 1280)
    with pytest.raises(UsageError, match="embeddings only"):
        backbone.predict(pixels)


def test_the_starter_is_a_model(bundles: None) -> None:
    starter = artylyze.load_model()

    assert set(starter.tasks) == {"genre", "style"}
    (found,) = starter.predict([np.full((30, 30, 3), 90, np.uint8)], top_k=3)
    assert [len(found.tasks[task]) for task in ("genre", "style")] == [3, 3]


def test_there_is_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no model"):
        artylyze.load_model(tmp_path / "none")
