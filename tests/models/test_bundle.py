from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from artylyze.errors import InputError
from artylyze.models.bundle import Bundle, Preprocessing, Task, model_id
from artylyze.models.card import render_card
from artylyze.models.folder import load, save

FILES = ["bundle.json", "model.safetensors", "model.onnx"]
PREPROCESSING = Preprocessing(8, (0.5, 0.5, 0.5), (0.5, 0.25, 0.125))
GENRE = Task("genre", ("portrait", "landscape"), 1.5, 0.25)


def tensors(*tasks: Task, dim: int = 3) -> dict[str, np.ndarray[Any, Any]]:
    values: dict[str, np.ndarray[Any, Any]] = {"backbone.w": np.arange(4, dtype=np.float32)}
    for task in tasks:
        values[f"heads.{task.name}.weight"] = np.ones((len(task.terms), dim), np.float32)
        values[f"heads.{task.name}.bias"] = np.zeros(len(task.terms), np.float32)
    return values


def bundle(*tasks: Task, preprocessing: Preprocessing = PREPROCESSING, taps: tuple[int, ...] = ()) -> Bundle:
    """Embeddings of 3 numbers; each tap adds 2 features."""
    features = 3 + 2 * len(taps)
    stored = safetensors.numpy.save(tensors(*tasks, dim=features))
    return Bundle(
        model_id=model_id("net", preprocessing, tasks, stored, embedding_dim=3, taps=taps),
        backbone="net",
        preprocessing=preprocessing,
        embedding_dim=3,
        feature_dim=features,
        tasks=tasks,
        tensors=stored,
        onnx=b"graph",
        taps=taps,
        training_data="digest",
        metrics={"f1": 0.75},
        training={"mode": "frozen", "seed": 3, "images": {"genre": {"portrait": 7}}},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "bundle", bundle(GENRE))
    return tmp_path / "bundle"


def test_loading_gives_back_what_was_saved(folder: Path) -> None:
    assert load(folder) == bundle(GENRE)


def test_saving_writes_four_files_and_leaves_nothing_else(folder: Path) -> None:
    assert sorted(path.name for path in folder.parent.rglob("*")) == [
        "CARD.md",
        "bundle",
        "bundle.json",
        "model.onnx",
        "model.safetensors",
    ]


def test_pictures_may_lie_beside_the_model(tmp_path: Path) -> None:
    save(tmp_path / "bundle", bundle(GENRE), {"curves.png": b"picture"})

    assert (tmp_path / "bundle" / "curves.png").read_bytes() == b"picture"
    assert load(tmp_path / "bundle") == bundle(GENRE)


floats = st.floats(0.001, 1000)
triples = st.tuples(floats, floats, floats)
task_lists = st.lists(
    st.builds(
        Task,
        st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
        st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=4, unique=True).map(tuple),
        floats,
        st.floats(0, 1),
    ),
    max_size=3,
    unique_by=lambda task: task.name,
)


tap_lists = st.sets(st.integers(0, 30), max_size=4).map(sorted).map(tuple)


@given(st.builds(Preprocessing, st.integers(1, 999), triples, triples), task_lists, tap_lists)
def test_any_valid_bundle_survives_save_and_load(
    tmp_path_factory: pytest.TempPathFactory, preprocessing: Preprocessing, tasks: list[Task], taps: tuple[int, ...]
) -> None:
    original = bundle(*tasks, preprocessing=preprocessing, taps=taps)
    place = tmp_path_factory.mktemp("property") / "bundle"

    save(place, original)

    assert load(place) == original


def test_the_identity_does_not_depend_on_the_order_of_tensors() -> None:
    values = tensors(GENRE)
    header: dict[str, Any] = {}
    content = b""
    for name in sorted(values, reverse=True):
        data = values[name].tobytes()
        offsets = [len(content), len(content) + len(data)]
        header[name] = {"dtype": "F32", "shape": list(values[name].shape), "data_offsets": offsets}
        content += data
    encoded = json.dumps(header).encode()
    reordered = len(encoded).to_bytes(8, "little") + encoded + content

    assert model_id("net", PREPROCESSING, [GENRE], reordered, embedding_dim=3) == bundle(GENRE).model_id


@pytest.mark.parametrize(
    "changed",
    [
        {"backbone": "twin"},
        {"preprocessing": replace(PREPROCESSING, size=9)},
        {"preprocessing": replace(PREPROCESSING, mean=(0.5, 0.5, 0.4))},
        {"preprocessing": replace(PREPROCESSING, std=(0.5, 0.5, 0.4))},
        {"tasks": [replace(GENRE, terms=("landscape", "portrait"))]},
        {"tasks": [replace(GENRE, temperature=1.6)]},
        {"tasks": [replace(GENRE, review_threshold=0.3)]},
        {"tasks": [replace(GENRE, term_thresholds={"portrait": 0.9})]},
        {"taps": (2,)},
        {"embedding_dim": 2},
    ],
    ids=["backbone", "size", "mean", "std", "terms", "temperature", "threshold", "thresholds", "taps", "embedding"],
)
def test_the_identity_changes_with(changed: dict[str, Any]) -> None:
    described: dict[str, Any] = {
        "backbone": "net",
        "preprocessing": PREPROCESSING,
        "tasks": [GENRE],
        "embedding_dim": 3,
    }
    stored = safetensors.numpy.save(tensors(GENRE))

    assert model_id(tensors=stored, **described) == bundle(GENRE).model_id
    assert model_id(tensors=stored, **{**described, **changed}) != bundle(GENRE).model_id


def test_the_identity_changes_with_one_weight() -> None:
    values = tensors(GENRE)
    values["backbone.w"][0] += 1

    stored = safetensors.numpy.save(values)
    assert model_id("net", PREPROCESSING, [GENRE], stored, embedding_dim=3) != bundle(GENRE).model_id


def test_the_identity_is_what_is_computed_not_how_it_came_about(folder: Path, tmp_path: Path) -> None:
    save(tmp_path / "other", replace(bundle(GENRE), metrics={}, training={"mode": "finetune"}, training_data=None))

    assert load(tmp_path / "other").model_id == load(folder).model_id


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()

    with pytest.raises(InputError, match=name):
        load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)

    with pytest.raises(InputError, match=name):
        load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:4])

    with pytest.raises(InputError, match=name):
        load(folder)


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"format_version": 2}', "\ud800"])
def test_a_description_of_another_kind_is_refused(folder: Path, text: str) -> None:
    (folder / "bundle.json").write_text(text, "utf-8", "surrogatepass")

    with pytest.raises(InputError, match=r"bundle\.json"):
        load(folder)


def test_an_edited_threshold_is_found(folder: Path) -> None:
    path = folder / "bundle.json"
    path.write_text(path.read_text().replace('"review_threshold": 0.25', '"review_threshold": 0.05'))

    with pytest.raises(InputError, match="edited or damaged"):
        load(folder)


def test_a_newer_format_asks_for_another_version(folder: Path) -> None:
    path = folder / "bundle.json"
    path.write_text(path.read_text().replace('"format_version": 2', '"format_version": 99'))

    with pytest.raises(InputError, match=r"format 99.*install"):
        load(folder)


def test_an_edited_card_does_not_matter(folder: Path) -> None:
    (folder / "CARD.md").write_text("Do not use for attribution.")

    assert load(folder) == bundle(GENRE)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a model bundle"):
        load(tmp_path / "nothing")


def test_saving_never_replaces_what_is_there(folder: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        save(folder, bundle())


def test_a_bundle_cut_for_one_device_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reduced"):
        save(tmp_path / "bundle", bundle(GENRE).for_device("cpu"))


def test_the_card_lies_beside_the_model(folder: Path) -> None:
    assert (folder / "CARD.md").read_text() == render_card(bundle(GENRE))


def test_heads_that_do_not_fit_the_tasks_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit"):
        replace(bundle(GENRE), tasks=(replace(GENRE, terms=("portrait",)),))


def test_heads_on_fewer_features_than_the_taps_give_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit"):
        replace(bundle(GENRE, taps=(1, 2)), feature_dim=5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"taps": (2, 1)},
        {"taps": (1, 1)},
        {"taps": (-1,)},
        {"taps": (True,)},
        {"taps": ("1",)},
        {"embedding_dim": 0},
        {"embedding_dim": 4},
        {"embedding_dim": 2.0},
        {"feature_dim": "3"},
        {"training": ["frozen"]},
        {"metrics": None},
    ],
    ids=str,
)
def test_a_bundle_that_cannot_be_meant_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replace(bundle(), **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "Genre"},
        {"name": "a.b"},
        {"terms": ()},
        {"terms": ("a", "a")},
        {"terms": (" ",)},
        {"temperature": 0},
        {"temperature": float("nan")},
        {"temperature": "1"},
        {"review_threshold": 1.01},
        {"review_threshold": True},
        {"term_thresholds": {"nude": 0.5}},
        {"term_thresholds": {"portrait": 1.01}},
    ],
    ids=str,
)
def test_a_task_that_cannot_be_meant_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replace(GENRE, **arguments)


@pytest.mark.parametrize(
    "arguments", [{"size": 0}, {"size": 2.5}, {"mean": (0.5, 0.5)}, {"std": (0.5, 0.5, 0.0)}], ids=str
)
def test_preprocessing_that_cannot_be_meant_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replace(PREPROCESSING, **arguments)


def test_a_bundle_travels_to_a_process_that_tags_without_torch(small_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "bundle.pickle"
    path.write_bytes(pickle.dumps(small_bundle.for_device("cpu")))
    worker = f"""
import pickle, sys
import numpy as np
with open({str(path)!r}, "rb") as file:
    bundle = pickle.load(file)
from artylyze.models.runtimes import load_runtime
from artylyze.models.scores import score
import artylyze.models.resolve
outputs = load_runtime(bundle, "cpu").run(np.zeros((2, 64, 64, 3), np.uint8))
score(outputs.logits["type"], bundle.tasks[0])
print(sorted({{"torch", "torchvision", "timm", "onnx", "ray"}} & set(sys.modules)))
"""

    done = subprocess.run([sys.executable, "-c", worker], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_importing_the_bundle_imports_nothing_heavy() -> None:
    script = (
        "import sys, artylyze.models.bundle; "
        "print(sorted({'torch', 'timm', 'onnx', 'openvino', 'numpy'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
