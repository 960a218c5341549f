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
from artylyze.models.bundle import Bundle, Preprocessing, Task, load, model_id, save

FILES = ["bundle.json", "model.safetensors", "model.onnx"]
PREPROCESSING = Preprocessing(8, (0.5, 0.5, 0.5), (0.5, 0.25, 0.125))
GENRE = Task("genre", ("portrait", "landscape"), 1.5, 0.25)


def tensors(*tasks: Task, dim: int = 3) -> dict[str, np.ndarray[Any, Any]]:
    values: dict[str, np.ndarray[Any, Any]] = {"backbone.w": np.arange(4, dtype=np.float32)}
    for task in tasks:
        values[f"heads.{task.name}.weight"] = np.ones((len(task.terms), dim), np.float32)
        values[f"heads.{task.name}.bias"] = np.zeros(len(task.terms), np.float32)
    return values


def bundle(*tasks: Task, preprocessing: Preprocessing = PREPROCESSING) -> Bundle:
    stored = safetensors.numpy.save(tensors(*tasks))
    identity = model_id("net", preprocessing, tasks, stored)
    return Bundle(identity, "net", preprocessing, 3, tasks, stored, b"graph", "digest", {"f1": 0.75})


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


@given(st.builds(Preprocessing, st.integers(1, 999), triples, triples), task_lists)
def test_any_valid_bundle_survives_save_and_load(
    tmp_path_factory: pytest.TempPathFactory, preprocessing: Preprocessing, tasks: list[Task]
) -> None:
    original = bundle(*tasks, preprocessing=preprocessing)
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

    assert model_id("net", PREPROCESSING, [GENRE], reordered) == bundle(GENRE).model_id


@pytest.mark.parametrize(
    "changed",
    [
        ("twin", PREPROCESSING, [GENRE]),
        ("net", replace(PREPROCESSING, size=9), [GENRE]),
        ("net", replace(PREPROCESSING, mean=(0.5, 0.5, 0.4)), [GENRE]),
        ("net", replace(PREPROCESSING, std=(0.5, 0.5, 0.4)), [GENRE]),
        ("net", PREPROCESSING, [replace(GENRE, terms=("landscape", "portrait"))]),
        ("net", PREPROCESSING, [replace(GENRE, temperature=1.6)]),
        ("net", PREPROCESSING, [replace(GENRE, review_threshold=0.3)]),
    ],
    ids=["backbone", "size", "mean", "std", "terms", "temperature", "threshold"],
)
def test_the_identity_changes_with(changed: tuple[str, Preprocessing, list[Task]]) -> None:
    assert model_id(*changed, safetensors.numpy.save(tensors(GENRE))) != bundle(GENRE).model_id


def test_the_identity_changes_with_one_weight() -> None:
    values = tensors(GENRE)
    values["backbone.w"][0] += 1

    assert model_id("net", PREPROCESSING, [GENRE], safetensors.numpy.save(values)) != bundle(GENRE).model_id


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


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"format_version": 1}', "\ud800"])
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
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 99'))

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
    with pytest.raises(InputError, match="cut down"):
        save(tmp_path / "bundle", bundle(GENRE).for_device("cpu"))


def test_the_card_names_the_terms(folder: Path) -> None:
    assert "portrait, landscape" in (folder / "CARD.md").read_text()


def test_heads_that_do_not_fit_the_tasks_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit"):
        replace(bundle(GENRE), tasks=(replace(GENRE, terms=("portrait",)),))


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
        "print(sorted({'torch', 'timm', 'onnx', 'onnxruntime', 'numpy'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
