from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from artylyze.errors import InputError, UsageError
from artylyze.extraction.cached import Features, embed, vary
from artylyze.models.build import features_bundle
from artylyze.models.bundle import Bundle
from artylyze.models.folder import load
from artylyze.models.network import build_backbone
from artylyze.models.runtimes import CpuRuntime
from tests.small import collection, paint

COUNT, BROKEN = 24, 10


@pytest.fixture(scope="module")
def bundle(model: Path) -> Bundle:
    return features_bundle(build_backbone(load(model)))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return collection(tmp_path_factory.mktemp("images"), COUNT, unreadable=[BROKEN]).table


@pytest.fixture(scope="module")
def features(table: pa.Table, bundle: Bundle) -> Features:
    return embed(table, bundle, augment=True)


@pytest.fixture
def movable(tmp_path: Path, bundle: Bundle) -> tuple[Path, pa.Table]:
    folder = tmp_path / "images"
    return folder, collection(folder, 6).table


def test_a_broken_image_in_the_middle_is_named_and_costs_its_neighbours_nothing(features: Features) -> None:
    assert features.rows.tolist() == [row for row in range(COUNT) if row != BROKEN]
    assert features.failed == {f"{BROKEN:03d}.png": "truncated"}


def test_the_features_are_those_of_the_images_in_their_order(
    features: Features, table: pa.Table, bundle: Bundle
) -> None:
    assert features.matrix.shape == (COUNT - 1, bundle.embedding_dim)
    assert features.matrix.dtype == np.float32
    runtime, size = CpuRuntime(bundle), bundle.preprocessing.size
    for place in (0, 12, COUNT - 2):
        uri = table.column("uri")[int(features.rows[place])].as_py()
        picture = Image.open(uri).resize((size, size), Image.Resampling.BICUBIC)
        expected = runtime.run(np.asarray(picture)[None]).embedding[0]
        found = features.matrix[place]
        assert np.corrcoef(found, expected)[0, 1] > 0.99  # its own decoder resizes a little differently


def test_varied_features_are_those_of_the_varied_image(bundle: Bundle, table: pa.Table, features: Features) -> None:
    size = bundle.preprocessing.size
    picture = Image.open(table.column("uri")[3].as_py()).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    expected = CpuRuntime(bundle).run(vary(np.asarray(picture)[None], bundle.preprocessing.mean)).embedding[0]
    assert features.varied is not None
    assert np.corrcoef(features.varied[3], expected)[0, 1] > 0.97  # the angle follows the pixels, which differ a little
    assert not np.allclose(features.matrix[3], features.varied[3], atol=1e-3)


def test_a_varied_image_is_its_mirror_image_rotated_a_little_always_in_the_same_way() -> None:
    images = np.zeros((40, 32, 32, 3), np.uint8)
    for place, image in enumerate(images):
        image[:, :12] = 255
        image[0, 0, 0] = place
    varied = vary(images, (0.5, 0.5, 0.5))
    middle = varied[:, 8:24].astype(float)
    assert (middle[:, :, 24:].mean((1, 2, 3)) > 200).all(), "what was on the left is on the right"
    assert (middle[:, :, :12].mean((1, 2, 3)) < 60).all()
    lean = (varied[:, 0] > 200).sum((1, 2)) - (varied[:, -1] > 200).sum((1, 2))
    assert lean.min() < 0 < lean.max(), "rotated to either side"
    assert (vary(images[7:8], (0.5, 0.5, 0.5)) == varied[7:8]).all()


def test_kept_features_need_no_image(movable: tuple[Path, pa.Table], bundle: Bundle, tmp_path: Path) -> None:
    folder, table = movable
    first = embed(table, bundle, cache=tmp_path / "kept")
    for path in folder.glob("*.png"):
        path.unlink()
    told: list[int] = []
    second = embed(table, bundle, cache=tmp_path / "kept", advance=told.append)
    assert np.array_equal(first.matrix, second.matrix)
    assert sum(told) == 6
    with pytest.raises(InputError, match="can be read"):
        embed(table, bundle)


def test_an_image_that_comes_back_is_read_then(movable: tuple[Path, pa.Table], bundle: Bundle, tmp_path: Path) -> None:
    folder, table = movable
    (folder / "002.png").unlink()
    assert embed(table, bundle, cache=tmp_path / "kept").failed == {"002.png": "missing"}
    paint(folder / "002.png", 2)
    (folder / "001.png").unlink()  # known already, so nobody looks for it
    features = embed(table, bundle, cache=tmp_path / "kept")
    assert features.failed == {}
    assert np.allclose(features.matrix[2], embed(table.slice(2, 1), bundle).matrix[0], atol=1e-5)


def test_images_that_changed_are_read_again(movable: tuple[Path, pa.Table], bundle: Bundle, tmp_path: Path) -> None:
    folder, table = movable
    before = embed(table, bundle, cache=tmp_path / "kept")
    paint(folder / "000.png", 1, side=90)
    sizes = [(folder / f"{number:03d}.png").stat().st_size for number in range(6)]
    after = embed(table.set_column(3, "size", [sizes]), bundle, cache=tmp_path / "kept")
    assert not np.allclose(before.matrix[0], after.matrix[0], atol=1e-3)
    assert np.allclose(before.matrix[1:], after.matrix[1:], atol=1e-5)


def test_a_damaged_cache_is_replaced(movable: tuple[Path, pa.Table], bundle: Bundle, tmp_path: Path) -> None:
    _, table = movable
    first = embed(table, bundle, cache=tmp_path / "kept")
    (kept,) = (tmp_path / "kept").glob("*.safetensors")  # beside it lies its lock
    kept.write_bytes(kept.read_bytes()[:100])
    assert np.array_equal(embed(table, bundle, cache=tmp_path / "kept").matrix, first.matrix)
    assert kept.stat().st_size > 100


def test_progress_counts_every_image_once(table: pa.Table, bundle: Bundle) -> None:
    told: list[int] = []
    embed(table, bundle, advance=told.append)
    assert sum(told) == COUNT


def test_a_dataset_without_images_says_so(table: pa.Table, bundle: Bundle) -> None:
    planned = table.set_column(2, "uri", pa.nulls(COUNT, pa.string()))
    with pytest.raises(InputError, match="--images"):
        embed(planned, bundle)


def test_an_unknown_device_is_refused(table: pa.Table, bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="device"):
        embed(table, bundle, device="tpu")
