"""A training from the dataset to a bundle that tags, on generated pictures and timm's test architecture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load as tensors_of
from typer.testing import CliRunner

from artylyze.cli.app import app
from artylyze.datasets.dataset import Dataset, labels, write_dataset
from artylyze.errors import InputError, UsageError
from artylyze.images import decode
from artylyze.models.bundle import Bundle
from artylyze.models.folder import load
from artylyze.models.runtimes import resolve_device
from artylyze.models.scores import score
from artylyze.tagging.shard import Tagger
from artylyze.training.finetune import Finetuned
from artylyze.training.heads import Head
from artylyze.training.job import prepare
from artylyze.training.request import TrainRequest
from artylyze.training.train import Trained, _finetuned, calibrate_and_measure, describe, train
from artylyze.tuning.trials import score_of
from tests.small import Listener, collection

COUNT, BROKEN = 72, 34


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    folder = tmp_path_factory.mktemp("collection")
    return folder / "dataset.parquet", collection(folder, COUNT, unreadable=[BROKEN])


@pytest.fixture(scope="module")
def request_(dataset: tuple[Path, Dataset], model: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainRequest:
    output = tmp_path_factory.mktemp("trained") / "bundle"
    return TrainRequest(str(dataset[0]), str(output), init_from=str(model), taps=(1,), lr=0.01, epochs=6, folds=3)


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="module")
def trained(request_: TrainRequest, listener: Listener) -> Trained:
    return train(request_, listener)


def tensor(bundle: Bundle, task: str) -> NDArray[np.float32]:
    """The weights of a head."""
    return np.asarray(tensors_of(bundle.tensors)[f"heads.{task}.weight"], np.float32)


def test_the_bundle_tags_images_with_what_it_learned(
    trained: Trained, request_: TrainRequest, dataset: tuple[Path, Dataset]
) -> None:
    bundle = load(request_.output)
    table = dataset[1].table.filter(np.arange(COUNT) % 2 == 1)
    images = [decode(Path(uri).read_bytes(), bundle.preprocessing.size) for uri in table["uri"].to_pylist()]
    pixels = np.stack([image.pixels for image in images])
    outputs = Tagger(bundle).tag(pixels)
    for task in bundle.tasks:
        known = labels(table, task.name, task.terms)
        best = score(outputs.logits[task.name], task).terms[:, 0]
        right = best == np.array(task.terms, object)[known]
        assert right[known >= 0].mean() > 0.9, task.name


def test_the_folder_holds_the_bundle_and_its_curves(trained: Trained, request_: TrainRequest) -> None:
    folder = Path(request_.output)
    assert {path.name for path in folder.iterdir()} == {
        "bundle.json",
        "model.safetensors",
        "model.onnx",
        "CARD.md",
        "curves.png",
    }
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert load(folder).model_id == trained.bundle.model_id


def test_the_bundle_says_what_it_was_trained_on(trained: Trained, dataset: tuple[Path, Dataset]) -> None:
    bundle = trained.bundle
    assert bundle.training_data == dataset[1].digest
    assert bundle.training["mode"] == "frozen"
    assert bundle.training["learning_rate"] == 0.01
    assert bundle.training["dataset"] == {"seed": 0}
    assert bundle.training["held_out"] == dict.fromkeys(("genre", "style"), "3 folds, by group, stratified")
    assert bundle.training["images"]["genre"] == {"landscape": 24 - 1, "portrait": 24}  # one of them is broken
    assert json.loads(json.dumps(bundle.training)) == bundle.training


def test_metrics_tell_held_out_and_test_apart(trained: Trained) -> None:
    genre, style = trained.metrics["genre"], trained.metrics["style"]
    assert (genre["held_out"]["n"], genre["test"]["n"]) == (47, 24)
    assert style["held_out"]["n"] + style["test"]["n"] == COUNT - 15 - 1
    assert min(genre["test"]["accuracy"], style["test"]["accuracy"]) > 0.9
    assert trained.bundle.metrics == trained.metrics


def test_curves_cover_every_epoch_of_every_task(trained: Trained) -> None:
    assert {len(values) for values in trained.curves.values()} == {6}
    assert {name.split()[0] for name in trained.curves} == {"genre", "style"}


def test_a_broken_image_is_skipped_counted_and_named(trained: Trained, listener: Listener) -> None:
    assert dict(trained.failed) == {"034.png": "truncated"}
    assert any("1 image that" in line and "034.png (truncated)" in line for line in listener.said)
    assert trained.bundle.training["skipped"] == {
        "images": 1,
        "by_reason": {"truncated": 1},
        "named": {"034.png": "truncated"},
    }


def test_progress_counts_every_image(trained: Trained, listener: Listener) -> None:
    assert (listener.rows, listener.done) == (COUNT, COUNT)


def test_the_command_makes_the_same_model_from_kept_features(
    trained: Trained, request_: TrainRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "again"
    asked = ["--tasks", "genre,style", "--init-from", str(request_.init_from), "--taps", "1", "--lr", "0.01"]
    trained_as = ["train", request_.dataset, "-o", str(output), *asked, "--epochs", "6", "--json"]
    found = CliRunner().invoke(app, trained_as, catch_exceptions=False)
    assert json.loads(found.stdout)["failed"] == {"034.png": "truncated"}
    for name in ("genre", "style"):
        # The number of folds that are trained beside it, 3 and 5, changes the order of its sums.
        np.testing.assert_allclose(tensor(trained.bundle, name), tensor(load(output), name), rtol=1e-4, atol=1e-5)
    assert "034.png" in capfd.readouterr().err


def test_a_trained_backbone_carries_another_task(trained: Trained, request_: TrainRequest, tmp_path: Path) -> None:
    request = replace(request_, output=str(tmp_path / "style"), init_from=request_.output, tasks=("style",), taps=())
    bundle = train(request, Listener()).bundle
    assert [task.name for task in bundle.tasks] == ["style"]
    assert bundle.taps == (1,)  # of the bundle that it began with


def test_everything_is_flagged_where_the_precision_cannot_be_met(
    dataset: tuple[Path, Dataset], request_: TrainRequest, tmp_path: Path
) -> None:
    _, found = dataset
    nonsense = np.random.default_rng(0).permutation(found.table.column("genre").to_pylist()).tolist()
    table = found.table.set_column(found.table.column_names.index("genre"), "genre", [nonsense])
    write_dataset(str(tmp_path / "nonsense.parquet"), table, found.tasks, {})
    request = replace(
        request_,
        dataset=str(tmp_path / "nonsense.parquet"),
        output=str(tmp_path / "bundle"),
        tasks=("genre",),
        precision_target=1.0,
    )
    listener = Listener()
    (task,) = train(request, listener).bundle.tasks
    assert task.review_threshold == 1.0
    assert any("every image will be flagged" in line for line in listener.said)


def test_the_summary_has_a_row_for_each_task_and_part(trained: Trained) -> None:
    text = describe(trained, "bundle")
    assert [line.split("  ")[0] for line in text.splitlines()[1:5]] == [
        "genre, test",
        "genre, held out",
        "style, test",
        "style, held out",
    ]
    assert "1 image could not be read" in text


@pytest.mark.slow
def test_classes_of_one_training_image_have_no_held_out_figure(
    dataset: tuple[Path, Dataset], model: Path, tmp_path: Path
) -> None:
    """Three classes of two images each, one of them on each side: nothing that is held out was taught."""
    terms = ("a", "b", "c")
    table = dataset[1].table.slice(0, 6)
    named = {"genre": [*terms, *terms], "split": ["train"] * 3 + ["test"] * 3, "group": [f"by {n}" for n in range(6)]}
    for name, values in named.items():
        table = table.set_column(table.column_names.index(name), table.schema.field(name), [values])
    write_dataset(str(tmp_path / "tiny.parquet"), table, {"genre": terms, "style": dataset[1].tasks["style"]}, {})
    asked = ["train", str(tmp_path / "tiny.parquet"), "-o", str(tmp_path / "bundle"), "--tasks", "genre"]
    told = CliRunner().invoke(app, [*asked, "--init-from", str(model)], catch_exceptions=False)
    assert "genre, held out       0         -" in told.stdout
    assert "Not measurable, with the number of images held out of training: a (1), b (1), c (1)." in told.stdout
    bundle = load(tmp_path / "bundle")
    held_out = bundle.metrics["genre"]["held_out"]
    assert (held_out["n"], held_out["accuracy"], held_out["not_measurable"]) == (0, None, dict.fromkeys(terms, 1))
    assert bundle.tasks[0].review_threshold == 1.0
    assert "Not measurable" in (tmp_path / "bundle" / "CARD.md").read_text()
    swept = CliRunner().invoke(app, ["tune", *asked[1:3], str(tmp_path / "sweep"), *asked[4:], "--lr", "1e-3,1e-2"])
    assert isinstance(swept.exception, InputError)


def test_held_out_figures_of_fine_tuning_are_of_images_that_chose_neither_the_epoch_nor_a_weight(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What workers in Ray learn is put in their place: which images are asked about it is decided here."""
    dataset = collection(tmp_path, 240, artists=60)
    request = TrainRequest(
        str(tmp_path / "dataset.parquet"), str(tmp_path / "bundle"), mode="finetune", init_from=str(model), folds=2
    )
    job = prepare(request, dataset, Listener())
    random = np.random.default_rng(0)
    shape = (2, job.backbone.feature_dim)
    heads = {
        task: Head(random.normal(size=shape).astype(np.float32), np.zeros(2, np.float32)) for task in dataset.tasks
    }
    tuned = Finetuned(job.backbone, heads, {}, job.validation, job.held_out, {}, {}, 1, tmp_path / "run")
    monkeypatch.setattr("artylyze.training.finetune.finetune", lambda *_, **__: tuned)
    learned, _ = _finetuned(request, dataset, job.examples, Listener(), None, None)
    assert learned.flatters is None
    assert not set(job.held_out) & set(np.union1d(job.validation, job.train))
    _, metrics = calibrate_and_measure(request, job.examples, learned)
    for task, known in job.examples.labels.items():
        asked = job.held_out[known[job.held_out] >= 0]
        assert learned.held_out[task].labels.tolist() == known[asked].tolist()
        assert metrics[task]["held_out"]["n"] == len(asked)
        assert sum(learned.counts[task].values()) == (known[job.train] >= 0).sum()
    right = [np.mean(part.logits.argmax(axis=1) == part.labels) for part in learned.held_out.values()]
    assert score_of(metrics) == pytest.approx(np.mean(right)), "trials of a sweep are compared by the same figures"


def test_what_cannot_be_trained_is_refused_before_anything_is_computed(
    request_: TrainRequest, tmp_path: Path, model: Path
) -> None:
    listener = Listener()
    fresh = replace(request_, output=str(tmp_path / "bundle"))
    with pytest.raises(UsageError, match="no task 'period'"):
        train(replace(fresh, tasks=("period",)), listener)
    with pytest.raises(InputError, match="no dataset"):
        train(replace(fresh, dataset=str(tmp_path / "none.parquet")), listener)
    with pytest.raises(InputError, match="exists already"):
        train(replace(fresh, output=str(model)), listener)
    with pytest.raises(UsageError, match="not vgg16"):
        train(replace(fresh, backbone="vgg16"), listener)
    assert listener.rows == 0
    assert not (tmp_path / "bundle").exists()


@pytest.mark.skipif(resolve_device() == "cuda", reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused(request_: TrainRequest, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`device='cpu'`"):
        train(replace(request_, output=str(tmp_path / "bundle"), device="cuda"), Listener())
