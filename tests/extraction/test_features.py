"""From images to a features file: what is kept, what is left out, and what other images get by the same transform."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import timm
from safetensors.torch import save_file
from typer.testing import CliRunner

from artylyze.cli.app import app
from artylyze.clustering.assign import assign
from artylyze.clustering.cluster import cluster
from artylyze.clustering.request import ClusterRequest
from artylyze.clustering.store import read_clusters
from artylyze.errors import InputError, UsageError
from artylyze.extraction.features import FeaturesRequest, features
from artylyze.extraction.vectors import Vectors, read_vectors
from tests.conftest import S3
from tests.fixtures import Quiet
from tests.pictures import Gallery

SIZE = 24
TINY = "timm:test_efficientnet"


def made(gallery: Gallery, folder: Path, method: str, **options: Any) -> dict[str, Any]:
    """Compute features of the gallery's catalog, or of `source`, into `name`."""
    source = options.pop("source", gallery.catalog)
    output = str(folder / options.pop("name", "features.parquet"))
    if "transform" not in options:  # which brings its own size
        options["image_size"] = SIZE
    return features(FeaturesRequest(source, output, method, **options), Quiet())


def rows_of(vectors: Vectors, ids: list[str]) -> Any:
    return vectors.matrix[pc.index_in(pa.array(ids), value_set=vectors.ids).to_numpy()]


def test_embeddings_are_the_catalogs_own(gallery: Gallery, tmp_path: Path) -> None:
    told = made(gallery, tmp_path, "embedding")
    found, catalog = read_vectors(told["features"]), read_vectors(gallery.catalog)
    assert found.ids.equals(catalog.ids)
    assert np.array_equal(found.matrix, catalog.matrix)
    assert (found.method, found.model_id, found.catalog) == ("embedding", catalog.model_id, gallery.catalog)
    assert found.left_out == catalog.left_out == {"corrupt": 1}


def test_features_are_written_in_pieces(gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artylyze.extraction.features.GROUP", 7)
    told = made(gallery, tmp_path, "embedding")
    assert told["rows"] % 7
    assert np.array_equal(read_vectors(told["features"]).matrix, read_vectors(gallery.catalog).matrix)


@pytest.mark.parametrize("method", ["pca", "kernel_pca"])
def test_more_variance_takes_more_components(gallery: Gallery, tmp_path: Path, method: str) -> None:
    some = made(gallery, tmp_path, method, variance=0.5)
    most = made(gallery, tmp_path, method, variance=0.95, name="most.parquet")
    assert some["dim"] < most["dim"] < most["rows"]
    for told, asked in ((some, 0.5), (most, 0.95)):
        assert asked <= told["variance_kept"] + 1e-4
        assert read_vectors(told["features"]).matrix.shape == (told["rows"], told["dim"])


@pytest.mark.parametrize(("method", "remedy"), [("pca", "smaller `image_size`"), ("kernel_pca", "approximated from 3")])
def test_less_variance_than_was_asked_for_is_told(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, remedy: str
) -> None:
    class Heard(Quiet):
        def say(self, message: str) -> None:
            said.append(message)

    said: list[str] = []
    request = FeaturesRequest(gallery.catalog, str(tmp_path / "f.parquet"), method, 0.95, SIZE)
    features(request, Heard())
    assert not said
    for name, least in (("PCA_ROWS", 4), ("FREQUENCIES", 2), ("EXACT_ROWS", 4), ("LANDMARKS", 3)):
        monkeypatch.setattr(f"artylyze.extraction.fitting.{name}", least)
    told = features(request, Heard())
    assert told["variance_kept"] < 0.94
    (sentence,) = said
    assert sentence.startswith(f"The {told['dim']} components hold {told['variance_kept']:.3f} of ")
    assert "asked for were 0.95" in sentence
    assert remedy in sentence


@pytest.mark.parametrize("streamed", [False, True])
def test_a_transform_is_fitted_on_the_images_that_can_be_read(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    names = ["a.png", "b.png", "broken.png", "c.png", "d.png"]
    taken = ["k0-1.png", "k1-2.png", "broken.png", "k2-3.png", "k0-4.png"]
    for folder, left_out in (("all", ()), ("good", ("broken.png",))):
        (tmp_path / folder).mkdir()
        for name, original in zip(names, taken, strict=True):
            if name not in left_out:
                shutil.copy(gallery.root / "images" / original, tmp_path / folder / name)
    if streamed:
        monkeypatch.setattr("artylyze.extraction.fitting.PCA_ROWS", 3)
    told = made(gallery, tmp_path, "pca", source=str(tmp_path / "all"), name="all.parquet")
    good = made(gallery, tmp_path, "pca", source=str(tmp_path / "good"), name="good.parquet")
    assert sum(told["left_out"].values()) == 1
    found = read_vectors(told["features"])
    assert found.ids.to_pylist() == ["a.png", "b.png", "c.png", "d.png"]
    assert np.array_equal(found.matrix, read_vectors(good["features"]).matrix)
    assert told["model_id"] == good["model_id"]


def test_features_and_transform_can_lie_in_a_bucket(
    gallery: Gallery, tmp_path: Path, moto_server: S3, aws: Callable[[S3], None]
) -> None:
    aws(moto_server)
    output = f"{moto_server.bucket('features')}/deep/pca.parquet"
    told = features(FeaturesRequest(gallery.catalog, output, "pca", image_size=SIZE), Quiet())
    assert told["transform"] == output.replace(".parquet", ".transform.safetensors")
    again = made(gallery, tmp_path, "pca", transform=told["transform"])
    assert np.allclose(read_vectors(again["features"]).matrix, read_vectors(output).matrix, atol=1e-5)


@pytest.mark.parametrize("method", ["pca", "kernel_pca"])
def test_a_kept_transform_gives_other_images_features_that_can_be_assigned(
    gallery: Gallery, tmp_path: Path, watcher: Quiet, method: str
) -> None:
    fitted = made(gallery, tmp_path, method)
    new = tmp_path / "new"
    new.mkdir()
    ids = ["k0-3.png", "k1-1.png", "k2-7.png"]
    for name in (*ids, "broken.png"):
        shutil.copy(gallery.root / "images" / name, new / name)
    told = made(gallery, tmp_path, method, source=str(new), transform=fitted["transform"], name="new.parquet")
    found = read_vectors(told["features"])
    assert sum(found.left_out.values()) == 1
    assert "transform" not in told
    assert "variance_kept" not in told  # of other images nobody measured it
    assert (told["settings"]["image_size"], told["settings"]["variance"]) == (SIZE, None)
    assert found.ids.to_pylist() == ids
    assert np.allclose(found.matrix, rows_of(read_vectors(fitted["features"]), ids), atol=1e-4)

    clusters = cluster(ClusterRequest(fitted["features"], str(tmp_path / "clusters"), k=3), watcher)
    assign(clusters.folder, told["features"], str(tmp_path / "assigned"), watcher)
    given = read_clusters(str(tmp_path / "assigned")).assignments
    own = clusters.assignments.filter(pc.is_in(clusters.assignments.column("image_id"), given.column("image_id")))
    assert given.column("kmeans").equals(own.column("kmeans"))

    other = made(gallery, tmp_path, method, variance=0.5, name="other.parquet")
    with pytest.raises(InputError, match="same transform"):
        assign(clusters.folder, other["features"], str(tmp_path / "refused"), watcher)


def test_a_transform_of_another_method_is_refused(gallery: Gallery, tmp_path: Path) -> None:
    fitted = made(gallery, tmp_path, "pca")
    with pytest.raises(InputError, match="`method='pca'`"):
        made(gallery, tmp_path, "kernel_pca", transform=fitted["transform"])


@pytest.mark.slow
def test_random_weights_say_so_and_follow_the_seed(gallery: Gallery, tmp_path: Path) -> None:
    told = [
        made(gallery, tmp_path, TINY, random_weights=True, seed=seed, name=f"{number}.parquet")
        for number, seed in enumerate((1, 1, 2))
    ]
    first, again, other = (read_vectors(one["features"]) for one in told)
    assert first.random_weights
    assert first.method == TINY
    assert np.array_equal(first.matrix, again.matrix)
    assert first.model_id == again.model_id
    assert first.model_id != other.model_id


@pytest.mark.slow
def test_weights_come_from_a_file(gallery: Gallery, tmp_path: Path) -> None:
    weights = str(tmp_path / "weights.safetensors")
    save_file(timm.create_model("test_efficientnet", pretrained=False).state_dict(), weights)
    told = [made(gallery, tmp_path, TINY, weights=weights, seed=seed, name=f"{seed}.parquet") for seed in (1, 2)]
    first, second = (read_vectors(one["features"]) for one in told)
    assert not first.random_weights
    assert np.array_equal(first.matrix, second.matrix)


def test_without_weights_the_answer_says_how_to_go_on(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"no weights for test_efficientnet .*`weights=FILE`.*`random_weights`"):
        made(gallery, tmp_path, TINY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["broken.png"], r"has 1 image, and none can be read \(1 unsupported\)"),
        (["broken.png", "k0-1.png"], r"has 2 images, and only 1 can be read \(1 unsupported\)"),
        (["k0-1.png"], "One image has no principal components"),
    ],
)
@pytest.mark.parametrize("method", ["pca", "kernel_pca"])
def test_too_few_images_are_told_with_what_failed(
    gallery: Gallery, tmp_path: Path, method: str, names: list[str], says: str
) -> None:
    (tmp_path / "in").mkdir()
    for name in names:
        shutil.copy(gallery.root / "images" / name, tmp_path / "in" / name)
    with pytest.raises(InputError, match=says):
        made(gallery, tmp_path, method, source=str(tmp_path / "in"))


def test_a_kept_transform_takes_one_image(gallery: Gallery, tmp_path: Path) -> None:
    fitted = made(gallery, tmp_path, "pca")
    (tmp_path / "in").mkdir()
    shutil.copy(gallery.root / "images" / "k0-1.png", tmp_path / "in" / "k0-1.png")
    shutil.copy(gallery.root / "images" / "broken.png", tmp_path / "in" / "broken.png")
    told = made(gallery, tmp_path, "pca", source=str(tmp_path / "in"), transform=fitted["transform"], name="n.parquet")
    assert told["rows"] == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"output": "f.csv"}, r"\.parquet"),
        ({"method": "umap"}, "choose pca"),
        ({"weights": "w.pth"}, "timm:NAME"),
        ({"random_weights": True}, "timm:NAME"),
        ({"method": TINY, "weights": "w", "random_weights": True}, "not both"),
        ({"method": TINY, "transform": "t"}, "`transform"),
        ({"variance": 0}, "between 0 and 1"),
        ({"image_size": 0}, "from 1 to 512 pixels"),
        ({"image_size": 513}, "from 1 to 512 pixels"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        FeaturesRequest(**{"source": "in", "output": "f.parquet", "method": "pca", **change})


def test_images_that_the_catalog_could_not_read_are_left_out_and_counted(gallery: Gallery, tmp_path: Path) -> None:
    assert made(gallery, tmp_path, "pca")["left_out"] == {"corrupt": 1}
    assert made(gallery, tmp_path, "embedding", name="e.parquet")["left_out"] == {"corrupt": 1}
    result = CliRunner().invoke(app, ["features", gallery.catalog, "-o", str(tmp_path / "c.parquet")])
    assert "Left out: 1 corrupt" in result.output


def test_a_transform_brings_its_own_settings() -> None:
    for change in ({"image_size": 90}, {"variance": 0.5}):
        with pytest.raises(UsageError, match="leave them out"):
            FeaturesRequest("in", "out.parquet", "pca", transform="t.safetensors", **change)
