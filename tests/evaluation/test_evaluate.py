"""An evaluation from the bundle to the pictures, on a generated sample and timm's test architecture."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from artylyze import cli
from artylyze.catalog.schema import build_rows, catalog_schema
from artylyze.catalog.snapshot import Part, Snapshot, write_snapshot
from artylyze.collection.manifest import open_rows
from artylyze.collection.scan import scan
from artylyze.datasets.dataset import Dataset, labels, write_dataset
from artylyze.errors import ImageError, InputError, UsageError
from artylyze.evaluation.evaluate import EvaluateRequest, Evaluation, evaluate
from artylyze.evaluation.figures import write_report
from artylyze.models.backbones import load_backbone
from artylyze.models.build import build_bundle
from artylyze.models.bundle import Bundle, Task
from artylyze.models.folder import load, save
from artylyze.models.network import Network
from artylyze.models.runtimes import load_runtime, resolve_device
from artylyze.models.scores import probabilities, score
from artylyze.sample import write_sample
from artylyze.tables import Reading
from artylyze.training.heads import HeadSettings, cross_fit
from artylyze.workers.fetching import Source
from artylyze.workers.protocol import Seen
from artylyze.workers.reading import Reader

COUNT, SIZE = 72, 64
TRAINING = {"mode": "frozen", "learning_rate": 0.01, "epochs": 15, "batch_size": 32, "augment": False}


@dataclass
class Listener:
    """Who follows an evaluation, and remembers it."""

    said: list[str] = field(default_factory=list)
    rows: int = 0
    done: int = 0

    def say(self, message: str) -> None:
        self.said.append(message)

    def start(self, rows: int, done: int, what: str) -> None:  # noqa: ARG002 - the interface
        self.rows, self.done = rows, done

    def advance(self, rows: int, errors: int) -> None:  # noqa: ARG002 - the protocol's
        self.done += rows


@dataclass(frozen=True)
class Gallery:
    """A sample with its metadata, the dataset that a bundle was trained on, and that bundle."""

    folder: Path
    rows: Sequence[dict[str, str]]
    dataset: str
    bundle: str

    def other(self, name: str, rows: Sequence[dict[str, str]], tasks: Sequence[str] = ("genre", "style")) -> str:
        """Write another dataset."""
        path = str(self.folder / f"{name}.parquet")
        curated(path, self.folder, rows, tasks)
        return path


def curated(path: str, folder: Path, rows: Sequence[dict[str, str]], tasks: Sequence[str]) -> Dataset:
    """Write a dataset: every fourth artist is in its test split."""
    artists = sorted({row["artist"] for row in rows if row["artist"]})
    nothing = pa.nulls(len(rows), pa.string())
    columns = {
        "image_id": [row["file"] for row in rows],
        "record_id": [row["record_id"] for row in rows],
        "uri": [str(folder / "sample" / row["file"]) for row in rows],
        "size": pa.nulls(len(rows), pa.int64()),
        "validator": nothing,
        "artist": [row["artist"] or None for row in rows],
        "group": [row["artist"].lower() or None for row in rows],
        "source": nothing,
        "split": [row.get("split") or ("test" if row["artist"] in artists[::4] else "train") for row in rows],
        "nationality": nothing,
        "period": nothing,
        **{task: pa.array([row[task] or None for row in rows], pa.string()) for task in tasks},
    }
    terms = {task: sorted({row[task] for row in rows if row[task]}) for task in tasks}
    return write_dataset(path, pa.table(columns), terms, {})


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    folder = tmp_path_factory.mktemp("gallery")
    write_sample(folder / "sample", COUNT, size="96x72", workers=1)
    with (folder / "sample" / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    dataset = curated(str(folder / "dataset.parquet"), folder, rows, ("genre", "style"))
    save(folder / "bundle", trained(dataset))
    return Gallery(folder, rows, str(folder / "dataset.parquet"), str(folder / "bundle"))


def trained(dataset: Dataset) -> Bundle:
    torch.manual_seed(0)
    backbone = load_backbone("test_efficientnet", pretrained=False, size=SIZE)
    train = dataset.table.filter(pc.equal(dataset.table.column("split"), "train"))
    pixels = torch.from_numpy(read(train)[1]).permute(0, 3, 1, 2)
    network = Network(backbone.module, (), backbone.preprocessing)
    with torch.inference_mode():
        matrix = network(pixels)[0].numpy()
    classes = {task: labels(train, task, terms) for task, terms in dataset.tasks.items()}
    settings = HeadSettings(epochs=15)
    heads = {
        task: cross_fit(matrix, classes[task], len(terms), settings, [0.01], [])[0].head
        for task, terms in dataset.tasks.items()
    }
    tasks = [Task(task, terms, temperature=1.5, review_threshold=0.3) for task, terms in dataset.tasks.items()]
    weights = {task: (head.weight, head.bias) for task, head in heads.items()}
    return build_bundle(backbone, tasks, weights, training_data=dataset.digest, training=TRAINING)


@pytest.fixture(scope="module")
def judged(gallery: Gallery) -> tuple[Evaluation, Listener]:
    listener = Listener()
    return evaluate(EvaluateRequest(gallery.bundle, gallery.dataset, "out", folds=2, device="cpu"), listener), listener


def request(gallery: Gallery, source: str, **settings: Any) -> EvaluateRequest:
    return EvaluateRequest(
        **{"bundle": gallery.bundle, "source": source, "output": "out", "folds": 0, "device": "cpu", **settings}
    )


def copied(gallery: Gallery, name: str, **changes: Any) -> str:
    """Write the bundle again with other things in it."""
    folder = gallery.folder / name
    save(folder, replace(load(gallery.bundle), **changes))
    return str(folder)


# With the dataset of the training.


def test_the_test_rows_are_judged_and_no_others(gallery: Gallery, judged: tuple[Evaluation, Listener]) -> None:
    found, listener = judged
    splits = set(found.predictions.table.column("split").to_pylist())
    assert splits == {"test"}
    assert found.tasks["genre"].metrics.n == found.predictions.table.num_rows < COUNT
    assert (listener.rows, listener.done) == (COUNT, COUNT), "the refit needs the features of all"
    assert any(note.startswith("0 of the ") for note in found.notes), "it says that no artist is on both sides"


def test_the_answers_are_those_that_tagging_gives(gallery: Gallery, judged: tuple[Evaluation, Listener]) -> None:
    table, bundle = judged[0].predictions.table, load(gallery.bundle)
    runtime = load_runtime(bundle, "cpu")
    outputs = runtime.run(read(table)[1])
    for task in bundle.tasks:
        wanted = probabilities(outputs.logits[task.name], task.temperature)
        np.testing.assert_allclose(judged[0].tasks[task.name].answers.scores, wanted, atol=1e-4)


def test_a_frozen_bundle_is_refitted_both_ways_with_the_artist_disjoint_one_first(
    judged: tuple[Evaluation, Listener],
) -> None:
    for task in judged[0].tasks.values():
        assert [side.name for side in task.sides] == ["artist-disjoint", "random"]
        assert [(side.images, side.folds) for side in task.sides] == [(COUNT, 2)] * 2
        assert all(side.spread is not None and side.spread["accuracy"] >= 0 for side in task.sides)


def test_a_fine_tuned_bundle_is_told_apart_by_artist_instead(gallery: Gallery) -> None:
    rows = [dict(row, split="test" if number % 3 == 0 else "train") for number, row in enumerate(gallery.rows)]
    rows[0]["artist"] = ""
    source = gallery.other("mixed", rows)
    digest = curated(source, gallery.folder, rows, ("genre", "style")).digest
    tuned = copied(gallery, "tuned", training={"mode": "finetune"}, training_data=digest)
    found = evaluate(request(gallery, source, bundle=tuned, folds=4), Listener())
    sides = {side.name: side for side in found.tasks["genre"].sides}
    assert sides["artist unknown"].images == 1
    assert sum(side.images for side in sides.values()) == COUNT / 3
    assert all(side.spread is None for side in sides.values())
    assert "artists in training" in sides


def test_a_frozen_backbone_with_a_past_is_told(gallery: Gallery) -> None:
    heir = copied(gallery, "heir", training={**TRAINING, "init_from": "genres"})
    found = evaluate(request(gallery, gallery.dataset, bundle=heir, folds=2, tasks=("style",)), Listener())
    assert any("began as that of genres" in note for note in found.notes)


# With another dataset.


def test_all_rows_of_another_dataset_are_judged_with_a_warning(gallery: Gallery) -> None:
    found = evaluate(request(gallery, gallery.other("fewer", gallery.rows[:30])), Listener())
    assert found.predictions.table.num_rows == 30
    assert "is not the dataset that the bundle was trained on" in found.notes[0]


def test_a_term_that_the_bundle_does_not_know_is_counted_and_not_judged(gallery: Gallery) -> None:
    rows = [
        dict(row, genre="[red]map[/red]" if number < 5 else row["genre"]) for number, row in enumerate(gallery.rows)
    ]
    found = evaluate(request(gallery, gallery.other("maps", rows)), Listener())
    assert found.tasks["genre"].metrics.n == COUNT - 5
    assert found.tasks["style"].metrics.n == COUNT
    assert found.as_dict()["tasks"]["genre"]["unknown_terms"] == {"[red]map[/red]": 5}
    assert any("5 images" in note and "[red]map[/red]" in note for note in found.notes)


def test_a_class_that_is_absent_is_a_row_of_zeros(gallery: Gallery) -> None:
    absent = gallery.rows[0]["genre"]
    found = evaluate(
        request(gallery, gallery.other("without", [row for row in gallery.rows if row["genre"] != absent])), Listener()
    )
    (one,) = (one for one in found.tasks["genre"].metrics.per_class if one.term == absent)
    assert (one.support, one.recall) == (0, 0)


def test_an_image_that_cannot_be_read_is_named_and_the_others_are_judged(gallery: Gallery) -> None:
    rows = [dict(row) for row in gallery.rows[:20]]
    rows[3]["file"], rows[4]["file"] = "images/nowhere.jpg", "broken.jpg"
    (gallery.folder / "sample" / "broken.jpg").write_bytes(b"\xff\xd8\xff rubbish")
    found = evaluate(request(gallery, gallery.other("gaps", rows)), Listener())
    assert set(found.predictions.failed) == {"images/nowhere.jpg", "broken.jpg"}
    assert found.predictions.failed["images/nowhere.jpg"] == "missing"
    assert found.predictions.table.num_rows == 18
    assert any(note.startswith("2 labelled images have no answer") for note in found.notes)


def test_only_the_tasks_of_both_are_judged(gallery: Gallery) -> None:
    found = evaluate(request(gallery, gallery.other("genres", gallery.rows, ("genre",))), Listener())
    assert list(found.tasks) == ["genre"]


@pytest.mark.parametrize("tasks", [None, ("period",)])
def test_a_bundle_without_the_task_is_refused_with_both_named(gallery: Gallery, tasks: tuple[str, ...] | None) -> None:
    rows = [dict(row, medium="oil" if number % 2 else "tempera") for number, row in enumerate(gallery.rows)]
    source = gallery.other("media", rows, ("medium",))
    with pytest.raises(InputError, match=r"bundle answers genre, style, .*media.parquet has labels for medium"):
        evaluate(request(gallery, source, tasks=tasks), Listener())


def test_a_dataset_without_test_rows_is_refused(gallery: Gallery) -> None:
    rows = [dict(row, split="train") for row in gallery.rows]
    source = gallery.other("untested", rows)
    digest = curated(source, gallery.folder, rows, ("genre", "style")).digest
    with pytest.raises(InputError, match="no test rows"):
        evaluate(request(gallery, source, bundle=copied(gallery, "twin", training_data=digest)), Listener())


# With a catalog.


@pytest.fixture(scope="module")
def catalog(gallery: Gallery) -> str:
    return tagged(gallery, "catalog", 5)


def tagged(gallery: Gallery, name: str, top_k: int) -> str:
    """Make a catalog of one part without Ray. One of its images is no longer there."""
    bundle, catalog, manifest = load(gallery.bundle), gallery.folder / name, str(gallery.folder / f"{name}-m.parquet")
    sample = gallery.folder / "sample"
    (sample / "images" / "gone.jpg").touch()
    metadata = str(sample / "metadata.csv")
    scan(str(sample), manifest, glob="images/*", metadata=metadata, id_column="record_id", file_column="file")
    (sample / "images" / "gone.jpg").unlink()
    with open_rows(manifest) as file:
        rows = file.read()
    outcomes, pixels = read(rows)
    outputs = load_runtime(bundle, "cpu").run(pixels)
    table = build_rows(
        catalog_schema([task.name for task in bundle.tasks], rows.schema.field("metadata").type),
        rows,
        outcomes,
        outputs.embedding,
        {task.name: score(outputs.logits[task.name], task, top_k) for task in bundle.tasks},
        model_id=bundle.model_id,
        run_id="run",
    )
    catalog.mkdir()
    pq.write_table(table, catalog / "part.parquet")
    part = Part("part.parquet", table.num_rows, len(pixels), {"missing": table.num_rows - len(pixels)})
    tasks = tuple(task.name for task in bundle.tasks)
    settings = {"top_k": top_k}
    write_snapshot(
        str(catalog), Snapshot("run", "tag", bundle.model_id, tasks, bundle.embedding_dim, settings, (part,))
    )
    return str(catalog)


def read(table: pa.Table) -> tuple[list[Seen | ImageError], NDArray[np.uint8]]:
    """Read the images of a table: what was seen of each, and the pixels of those that were, in their order."""
    sources = [Source(uri) for uri in table.column("uri").to_pylist()]
    outcomes: list[Seen | ImageError | None] = [None] * len(sources)
    with Reader(SIZE) as reader:
        (batch,) = reader.read(sources, outcomes, len(sources))
    return [one for one in outcomes if one is not None], batch.filled[np.argsort(batch.rows)]


def test_a_catalog_gives_the_figures_of_its_images(gallery: Gallery, catalog: str) -> None:
    source = gallery.other("everything", [dict(row, split="test") for row in gallery.rows])
    computed = evaluate(request(gallery, source), Listener())
    stored = evaluate(request(gallery, catalog, labels=(str(gallery.folder / "sample" / "metadata.csv"),)), Listener())
    for task in ("genre", "style"):
        wanted = computed.tasks[task].metrics.summary()
        assert stored.tasks[task].metrics.summary() == pytest.approx(wanted, abs=1e-4)
        assert stored.tasks[task].review == computed.tasks[task].review
    assert any("needs a dataset" in note for note in stored.notes)
    assert stored.predictions.failed == {}, "an image without a label is nobody's failure"


def test_without_labels_the_metadata_of_the_catalog_are_the_labels(gallery: Gallery, catalog: str) -> None:
    assert evaluate(request(gallery, catalog), Listener()).tasks["genre"].metrics.n == COUNT


def test_labels_are_read_as_curation_reads_them(gallery: Gallery, catalog: str) -> None:
    table = gallery.folder / "labels.csv"
    rows = gallery.rows[:9]
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["object", "Style"])
        writer.writerows([row["record_id"], f"  {row['style'].upper()} "] for row in rows)
        writer.writerows([["gone", "Cubism"], ["nobody knows", "Cubism"]])
    found = evaluate(request(gallery, catalog, labels=(str(table),), tasks=("style",)), Listener())
    wanted = {row["record_id"]: row["style"] for row in rows}
    answers = found.tasks["style"].answers
    records = found.predictions.table.column("record_id").to_pylist()
    given = {
        record: answers.task.terms[code] for record, code in zip(records, answers.labels, strict=True) if code >= 0
    }
    assert {record: given[record] for record in wanted} == wanted
    assert found.predictions.failed == {"images/gone.jpg": "missing"}
    assert any("Of 11 rows in" in note and "1 names no image of the catalog" in note for note in found.notes)


def test_labels_come_from_the_sheet_and_the_column_that_are_named(gallery: Gallery, catalog: str) -> None:
    rows, book = gallery.rows[:9], openpyxl.Workbook()
    book.active.append(["made by", "the registrar"])
    sheet = book.create_sheet("Objects")
    sheet.append(["old number", "number", "style"])
    for row, other in zip(rows, reversed(rows), strict=True):
        sheet.append([other["record_id"], row["record_id"], row["style"]])
    book.save(gallery.folder / "labels.xlsx")
    of_sheet = request(
        gallery,
        catalog,
        labels=(str(gallery.folder / "labels.xlsx"),),
        tasks=("style",),
        id_column="number",
        reading=Reading(sheet="Objects"),
    )
    found = evaluate(of_sheet, Listener())
    answers, wanted = found.tasks["style"].answers, {row["record_id"]: row["style"] for row in rows}
    records = found.predictions.table.column("record_id").to_pylist()
    given = {
        record: answers.task.terms[code] for record, code in zip(records, answers.labels, strict=True) if code >= 0
    }
    assert {record: given[record] for record in wanted} == wanted
    with pytest.raises(UsageError, match="`id_column`"):
        request(gallery, catalog, id_column="number")


def test_top_5_of_a_catalog_that_keeps_fewer_is_told(gallery: Gallery) -> None:
    found = evaluate(request(gallery, tagged(gallery, "narrow", 2)), Listener())
    assert any("top-5 of genre, style is top-2" in note for note in found.notes)
    assert found.tasks["genre"].metrics.accuracy <= found.tasks["genre"].metrics.top5


def test_a_catalog_of_another_model_is_refused(gallery: Gallery) -> None:
    catalog = str(gallery.folder / "foreign")
    write_snapshot(catalog, Snapshot("run", "tag", "another", ("genre",), 8, {}, ()))
    with pytest.raises(InputError, match=r"made by the model another, .* give the bundle that made it"):
        evaluate(request(gallery, catalog), Listener())


# What is left behind.


def test_every_file_is_there_and_every_picture_opens(
    gallery: Gallery, judged: tuple[Evaluation, Listener], tmp_path: Path
) -> None:
    written = write_report(judged[0], str(tmp_path / "out"), Listener())
    assert sorted(written) == sorted(path.name for path in (tmp_path / "out").iterdir())
    pictures = {"confusion", "reliability", "coverage", "classes", "best", "worst", "mistakes"}
    for task in ("genre", "style"):
        for picture in pictures:
            with Image.open(tmp_path / "out" / f"{task}-{picture}.png") as image:
                assert min(image.size) > 250  # a sheet of one row of works is the smallest
        with (tmp_path / "out" / f"{task}-mistakes.csv").open(encoding="utf-8-sig") as file:
            mistakes = list(csv.DictReader(file))
        assert [one["score"] for one in mistakes] == sorted((one["score"] for one in mistakes), reverse=True)
        right = judged[0].tasks[task].metrics
        assert len(mistakes) == round((1 - right.accuracy) * right.n)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics == judged[0].as_dict()
    genre = metrics["tasks"]["genre"]
    with (tmp_path / "out" / "genre-classes.csv").open(encoding="utf-8-sig") as file:
        assert sum(int(row["support"]) for row in csv.DictReader(file)) == genre["n"]
    with (tmp_path / "out" / "genre-confusion.csv").open(encoding="utf-8-sig") as file:
        cells = list(csv.DictReader(file))
    assert sum(int(cell["images"]) for cell in cells) == genre["n"]
    assert sum(int(cell["images"]) for cell in cells if cell["label"] == cell["prediction"]) == pytest.approx(
        genre["accuracy"] * genre["n"]
    )


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["artylyze", "evaluate", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command_prints_a_table_for_each_task(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [dict(row, genre="[b]$x$[/b]" if number < 5 else row["genre"]) for number, row in enumerate(gallery.rows)]
    source = gallery.other("markup", rows)
    assert (
        run(monkeypatch, gallery.bundle, source, "-o", str(tmp_path / "out"), "--folds", "2", "--tasks", "genre") == 0
    )
    told = capfd.readouterr().out
    assert "| genre " in told
    assert "artist-disjoint" in told
    assert "±" in told
    assert "[b]$x$[/b]" in told, "terms are text, never markup"
    assert "style" not in told.partition("Note")[0]


def test_the_command_answers_machines_in_json(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    asked = [gallery.bundle, gallery.dataset, "-o", str(out), "--folds", "0", "--tasks", "genre", "--json"]
    assert run(monkeypatch, *asked) == 0
    told = json.loads(capfd.readouterr().out)
    assert (
        told["tasks"]["genre"]["accuracy"]
        == json.loads((out / "metrics.json").read_text())["tasks"]["genre"]["accuracy"]
    )
    assert told["output"] == str(out)


def edited(bundle: str, folder: Path) -> str:
    """A copy with one bit of its weights turned, whose hash therefore is not the one that the bundle states."""
    shutil.copytree(bundle, folder)
    tensors = bytearray((folder / "model.safetensors").read_bytes())
    tensors[-1] ^= 1
    (folder / "model.safetensors").write_bytes(tensors)
    return str(folder)


@pytest.mark.skipif(resolve_device() == "cuda", reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused(gallery: Gallery) -> None:
    with pytest.raises(InputError, match="`device='cpu'`"):
        evaluate(request(gallery, gallery.dataset, device="cuda"), Listener())


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere", "d.parquet", "-o", "out"], 3, "nowhere"),
        (["BUNDLE", "d.parquet", "-o", "out"], 3, "There is no dataset d.parquet"),
        (["BUNDLE", "nowhere", "-o", "out"], 3, "There is no complete catalog in nowhere"),
        (["BUNDLE", "d.parquet", "-o", "out", "--folds", "1"], 2, "--folds 1"),
        (["BUNDLE", "d.parquet", "-o", "out", "--labels", "x.csv"], 2, "leave --labels away"),
        (["BUNDLE", "d.parquet", "-o", ""], 2, "go: --output"),
        (["BUNDLE", "DATASET", "-o", "out", "--device", "tpu"], 2, "choose auto, cpu or cuda"),
        (["EDITED", "DATASET", "-o", "out"], 3, "edited or damaged"),
    ],
)
def test_a_mistake_gets_one_sentence(
    gallery: Gallery,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"BUNDLE": gallery.bundle, "DATASET": gallery.dataset}
    if "EDITED" in arguments:
        places["EDITED"] = edited(gallery.bundle, tmp_path / "edited")
    assert run(monkeypatch, *(places.get(argument, argument) for argument in arguments)) == code
    told = capfd.readouterr()
    assert says in told.err
    assert told.out == ""
    assert not (tmp_path / "out").exists()


def test_a_request_is_checked_when_it_is_made() -> None:
    with pytest.raises(UsageError, match="go: `output`"):
        EvaluateRequest("bundle", "dataset.parquet", "")
