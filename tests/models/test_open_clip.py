"""On a tiny model of random weights in a folder, as open_clip saves one: no network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from artylyze.catalog.snapshot import embeddings, read_snapshot
from artylyze.errors import InputError, UsageError
from artylyze.models.folder import load, save
from artylyze.models.open_clip import resolve_reference, text_encoder
from artylyze.models.resolve import resolve_model
from artylyze.models.runtimes import CpuRuntime
from artylyze.searching.search import Searcher, SearchRequest
from artylyze.tagging.job import run
from artylyze.tagging.request import TagRequest
from tests.clip import MEAN, STD, write_clip
from tests.tagging.conftest import Quiet, fill


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_clip(tmp_path / "clip")


def test_the_bundle_is_the_vision_tower(folder: Path, tmp_path: Path) -> None:
    bundle = resolve_model(f"open_clip:{folder}")
    assert (bundle.tasks, bundle.embedding_dim, bundle.preprocessing.size) == ((), 16, 32)
    assert (bundle.preprocessing.mean, bundle.preprocessing.std) == (MEAN, STD)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    clip = open_clip.create_model(f"local-dir:{folder}").eval()
    normalised = (pixels / 255 - MEAN) / STD
    with torch.inference_mode():
        expected = clip.encode_image(torch.tensor(normalised.transpose(0, 3, 1, 2), dtype=torch.float32)).numpy()
    np.testing.assert_allclose(CpuRuntime(bundle).run(pixels).embedding, expected, atol=1e-4)
    save(tmp_path / "bundle", bundle)
    assert load(tmp_path / "bundle") == bundle


def test_it_is_built_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = resolve_model(f"open_clip:{folder}")
    monkeypatch.setattr(open_clip, "create_model", None)
    assert resolve_model(f"open_clip:{folder}") == first


@pytest.mark.slow
def test_another_activation_is_another_model(folder: Path) -> None:
    first = resolve_model(f"open_clip:{folder}")
    path = folder / "open_clip_config.json"
    path.write_text(path.read_text().replace('"quick_gelu": true', '"quick_gelu": false'))
    assert resolve_model(f"open_clip:{folder}").model_id != first.model_id


@pytest.mark.slow
def test_a_catalog_keeps_the_text_encoder_of_its_model(folder: Path, tmp_path: Path) -> None:
    images = fill(tmp_path / "images", 6)
    output = str(tmp_path / "catalog")
    run(TagRequest(str(images), output, model=f"open_clip:{folder}", engine="local", workers=1), Quiet())
    reference = read_snapshot(output).settings["text_encoder"]
    assert reference == f"open_clip:{folder}"
    texts = text_encoder(reference)(["a river with bridges", "a portrait", "a portrait"])
    assert texts.dtype == np.float32
    assert texts.shape == (3, embeddings(output)[1].shape[1])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(texts[1], texts[2])
    assert not np.allclose(texts[0], texts[1])


@pytest.mark.slow
def test_images_are_searched_by_words(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = fill(tmp_path / "images", 8)
    (images / "broken.jpg").write_bytes(b"no image")
    output = str(tmp_path / "catalog")
    model = f"open_clip:{folder}"
    run(TagRequest(str(images), output, model=model, engine="local", workers=1, max_error_rate=1.0), Quiet())
    ids, matrix = embeddings(output)
    cosines = matrix @ text_encoder(model)(["a river with bridges"])[0] / np.linalg.norm(matrix, axis=1)
    expected = [ids[row] for row in np.argsort(-cosines)]

    found = Searcher.open(output).search(SearchRequest(text="a river with bridges", k=20))
    (folder / "open_clip_model.safetensors").unlink()
    said: list[str] = []
    monkeypatch.setattr(Quiet, "say", lambda _, message: said.append(message))
    without = Searcher.open(output, Quiet()).search(SearchRequest(text="a river with bridges"))

    assert found.table.column("image_id").to_pylist() == expected
    assert found.table.column("text_likeness").to_pylist() == pytest.approx(sorted(cosines, reverse=True), abs=1e-5)
    assert "broken.jpg" in str(Searcher.open(output).search(SearchRequest(text="broken")).table.column("image_id"))
    assert without.table.num_rows == 0
    assert "Words are compared with texts alone" in said[0]


def test_texts_are_encoded_as_open_clip_encodes_them(folder: Path) -> None:
    texts = [f"picture number {n}, in so many words that they do not fit into the context" for n in range(70)]
    clip, tokenizer = (
        open_clip.create_model(f"local-dir:{folder}").eval(),
        open_clip.get_tokenizer(f"local-dir:{folder}"),
    )
    with torch.inference_mode():
        expected = clip.encode_text(tokenizer(texts), normalize=True).numpy()
    encode = text_encoder(f"open_clip:{folder}")
    np.testing.assert_allclose(encode(texts), expected, atol=1e-5)
    assert encode([]).shape == (0, 16)


def test_a_name_gets_weights_of_its_activation() -> None:
    assert resolve_reference("open_clip:ViT-B-32-quickgelu") == "open_clip:ViT-B-32-quickgelu/openai"
    assert resolve_reference("open_clip:ViT-B-32") == "open_clip:ViT-B-32/laion2b_e16"
    assert resolve_reference("open_clip:ViT-B-32/laion2b_s34b_b79k") == "open_clip:ViT-B-32/laion2b_s34b_b79k"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("open_clip:ViT-B-23", "has no model 'ViT-B-23'.*did you mean ViT-B-32"),
        ("open_clip:ViT-B-32/mine", "has no weights 'mine' for ViT-B-32: choose openai"),
        ("open_clip:{folder}/..", "it has no open_clip_config.json"),
    ],
)
def test_what_is_not_there_is_refused(folder: Path, reference: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        resolve_model(reference.format(folder=folder))


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"cannot be loaded .*put the weights beside its configuration"):
        resolve_model(f"open_clip:{folder}")


def test_weights_and_size_are_not_for_it(folder: Path) -> None:
    with pytest.raises(UsageError, match="timm:NAME only"):
        resolve_model(f"open_clip:{folder}", weights="file.pth")


def test_without_the_extra_the_error_names_it(folder: Path) -> None:
    """In a process of its own, which cannot see the distribution."""
    code = (
        "import importlib.metadata as m, sys\n"
        "seen = m.version\n"
        "def version(name):\n"
        "    if name == 'open-clip-torch': raise m.PackageNotFoundError(name)\n"
        "    return seen(name)\n"
        "m.version = version\n"
        "from artylyze.models.resolve import resolve_model\n"
        "from artylyze.errors import InputError\n"
        "try: resolve_model(sys.argv[1])\n"
        "except InputError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"open_clip:{folder}"], capture_output=True, text=True, check=True
    )
    assert "needs open_clip: pip install 'artylyze[text]'" in done.stdout


def test_pictures_of_any_shape_can_be_tagged(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (300, 20), "red").save(tmp_path / "images" / "wide.png")
    output = str(tmp_path / "catalog")
    run(TagRequest(str(tmp_path / "images"), output, model=f"open_clip:{folder}", engine="local", workers=1), Quiet())
    assert np.isfinite(embeddings(output)[1]).all()
