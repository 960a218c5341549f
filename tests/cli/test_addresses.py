"""Every path that a command takes: an address works, or is refused before anything is done."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import typer

from artylyze.cli.app import app
from artylyze.errors import InputError
from artylyze.models.backbones import create_module
from artylyze.models.folder import load
from artylyze.models.resolve import resolve_model
from artylyze.storage import open_store
from artylyze.tuning import tune as tuning
from tests.commandline import keys, run
from tests.conftest import S3
from tests.small import collection

BACKBONE = "test_efficientnet"

TAKES_ADDRESSES = {
    "scan": {"source", "output", "metadata"},
    "tag": {"source", "output", "model", "metadata", "terms", "calibrate_on"},
    "status": {"catalog"},
    "failures": {"catalog", "output"},
    "paths": {"catalog"},
    "search": {"catalog", "like", "model", "output"},
    "index": {"catalog", "to"},
    "duplicates": {"catalog", "output"},
    "explore": {"catalog", "output", "clusters", "duplicates"},
    "compact": {"catalog"},
    "gc": {"catalog"},
    "bench": {"output", "images"},
    "curate": {"labels", "output", "images", "artists"},
    "train": {"dataset", "output", "init_from"},
    "evaluate": {"bundle", "source", "output", "labels"},
    "tune": {"dataset", "output"},
    "cluster": {"source", "output", "assign"},
    "features": {"source", "output", "transform"},
    "compare-features": {"sources", "labels"},
    "profiles": {"clusters", "catalog", "duplicates", "labels", "artists"},
    "influences": {"clusters", "output", "catalog", "duplicates", "labels", "artists"},
    "report": {"catalog", "output", "clusters", "duplicates", "model", "evaluation", "labels", "artists"},
}

REFUSES_ADDRESSES = {
    "sample": {"folder": ["s3://bucket/there"]},
    "demo": {"folder": ["s3://bucket/there"]},
    "tag": {"weights": ["scans", "-o", "out", "--model", "timm:vgg16", "--weights", "s3://bucket/there"]},
    "train": {"weights": ["dataset.parquet", "-o", "out", "--weights", "s3://bucket/there"]},
    "tune": {
        "weights": [
            *("dataset.parquet", "-o", "out", "--lr", "1e-3"),
            *("--backbone", "vgg16", "--weights", "vgg16=s3://bucket/there"),
        ]
    },
    "features": {"weights": ["scans", "-o", "f.parquet", "--method", "timm:vgg16", "--weights", "s3://bucket/there"]},
}

NO_PATHS = {
    "address",
    "algorithm",
    "augment",
    "awkward",
    "backbone",
    "balance",
    "batch_size",
    "classes",
    "color",
    "columns",
    "command",
    "components",
    "concurrent",
    "count",
    "covariance",
    "cpus_per_trial",
    "device",
    "encoding",
    "engine",
    "epochs",
    "exclude",
    "file_column",
    "file_separator",
    "folds",
    "force",
    "glob",
    "gpus_per_trial",
    "group",
    "id_column",
    "image_size",
    "k",
    "k_range",
    "kind",
    "label_separator",
    "label_smoothing",
    "leave_out",
    "limit",
    "lr",
    "lr_range",
    "max_error_rate",
    "method",
    "min_artists",
    "mode",
    "part_mb",
    "port",
    "precision",
    "prompt",
    "random_weights",
    "readers",
    "record",
    "record_id",
    "repeats",
    "replace",
    "sample",
    "scheduler",
    "seed",
    "shard_size",
    "sheet",
    "size",
    "split",
    "taps",
    "tasks",
    "text",
    "threshold",
    "title",
    "top_k",
    "trials",
    "variance",
    "what",
    "where",
    "workers",
}


def parameters(command: str) -> set[str]:
    """What a command takes besides switches."""
    group = typer.main.get_command(app)
    found = group.commands[command].params  # type: ignore[attr-defined]
    return {one.name for one in found if one.name != "help" and not getattr(one, "is_flag", False)}


def commands() -> list[str]:
    return sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", commands())
def test_no_option_that_takes_a_path_is_forgotten(command: str) -> None:
    known = TAKES_ADDRESSES.get(command, set()) | set(REFUSES_ADDRESSES.get(command, {}))
    assert parameters(command) - NO_PATHS == known


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to be in, where no address has become a path."""
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.glob("s3:*"))


@pytest.mark.parametrize(("command", "option"), [(c, o) for c, options in REFUSES_ADDRESSES.items() for o in options])
def test_what_must_be_on_this_machine_is_refused_as_an_address(
    here: Path, command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, *REFUSES_ADDRESSES[command][option]) == 2
    assert "s3://bucket/there: give a local path" in capsys.readouterr().err
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    "line",
    [
        "scan none -o https://museum.org/there.parquet",
        "failures none -o https://museum.org/there.csv",
        "curate none -o https://museum.org/there.parquet",
        "train none.parquet -o https://museum.org/there",
        "tune none.parquet -o https://museum.org/there --lr 1e-3",
        "evaluate none none.parquet -o https://museum.org/there",
        "features none -o https://museum.org/there.parquet",
        "cluster none -o https://museum.org/there",
        "influences none 1 -o https://museum.org/there",
        "report none -o https://museum.org/there.html",
        "duplicates none -o https://museum.org/there",
        "explore none -o https://museum.org/there",
        "index none --to lance https://museum.org/there",
        "search none --text river -o https://museum.org/there.png",
    ],
)
def test_an_output_that_cannot_be_written_is_refused_first(
    here: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*line.split()) == 3
    assert "https://museum.org" in capsys.readouterr().err
    assert not list(here.iterdir())


@pytest.fixture(scope="module")
def bucket(moto_server: S3) -> Iterator[str]:
    """A bucket that this process is pointed at."""
    from artylyze.storage.objects import open_bucket

    with pytest.MonkeyPatch.context() as patch:
        for name, value in moto_server.environment.items():
            patch.setenv(name, value)
        open_bucket.cache_clear()
        yield moto_server.bucket("addresses")
    open_bucket.cache_clear()


@pytest.fixture(scope="module")
def pictures(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled pictures; their dataset lies in the bucket alone."""
    folder = tmp_path_factory.mktemp("pictures")
    collection(folder, 48)
    open_store(bucket).upload("dataset.parquet", folder / "dataset.parquet")
    (folder / "dataset.parquet").unlink()
    state = {name: tensor.contiguous() for name, tensor in create_module(BACKBONE).state_dict().items()}
    safetensors.torch.save_file(state, folder / "weights.safetensors")
    return folder


def training(pictures: Path) -> list[str]:
    return ["--tasks", "genre", "--epochs", "2", "--image-size", "64", "--device", "cpu", "--backbone", BACKBONE]


@pytest.fixture(scope="module")
def bundle(bucket: str, pictures: Path) -> str:
    """The address of a bundle that the command line made."""
    address = f"{bucket}/models/bundle"
    weights = ["--weights", str(pictures / "weights.safetensors")]
    assert run("train", f"{bucket}/dataset.parquet", "-o", address, *training(pictures), *weights) == 0
    return address


def test_a_bundle_is_written_to_an_address_and_read_from_it(bundle: str) -> None:
    assert keys(open_store(bundle)) == {"bundle.json", "model.safetensors", "model.onnx", "CARD.md", "curves.png"}
    assert resolve_model(bundle).model_id == resolve_model(bundle).model_id == load(bundle).model_id


def test_a_bundle_that_is_there_is_not_replaced(
    bucket: str, pictures: Path, bundle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", f"{bucket}/dataset.parquet", "-o", bundle, *training(pictures)) == 3
    assert f"{bundle} exists already" in capsys.readouterr().err


def test_a_damaged_bundle_under_an_address_is_refused(bucket: str, bundle: str) -> None:
    good, bad = open_store(bundle), open_store(f"{bucket}/models/damaged")
    for key in keys(good):
        bad.put(key, good.read(key) or b"")
    bad.put("model.onnx", b"damaged")
    with pytest.raises(InputError, match=r"models/damaged/model\.onnx was edited or damaged"):
        load(bad.url)


@pytest.fixture(scope="module")
def evaluation(bucket: str, bundle: str) -> str:
    address = f"{bucket}/evaluation"
    assert run("evaluate", bundle, f"{bucket}/dataset.parquet", "-o", address, "--folds", "0") == 0
    return address


@pytest.mark.slow
def test_an_evaluation_reads_and_writes_addresses(evaluation: str) -> None:
    assert "metrics.json" in keys(open_store(evaluation))


@pytest.mark.slow
def test_a_training_begins_with_a_bundle_under_an_address(bucket: str, pictures: Path, bundle: str) -> None:
    begun = [*training(pictures), "--init-from", bundle]
    assert run("train", f"{bucket}/dataset.parquet", "-o", f"{bucket}/models/second", *begun) == 0
    assert load(f"{bucket}/models/second").backbone == BACKBONE


@pytest.mark.slow
def test_a_sweep_goes_to_an_address_and_is_gone_on_with_from_there(
    bucket: str, pictures: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"{bucket}/sweep"
    weights = ["--weights", f"{BACKBONE}={pictures / 'weights.safetensors'}"]
    line = ["tune", f"{bucket}/dataset.parquet", "-o", address, "--lr", "1e-3,1e-2", *training(pictures), *weights]
    uploaded: list[int] = []

    def interrupted(*arguments: object) -> None:
        uploaded.append(len(keys(open_store(address))))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # as Ctrl-C after the trials
        patch.setattr(tuning, "_keep_best", interrupted)
        assert run(*line) == 130
    assert uploaded == [0]
    trained: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr("artylyze.tuning.trials._frozen", lambda *a: trained.append(a))
        assert run(*line) == 0
    assert not trained
    store = open_store(address)
    assert {"sweep.json", "settings.json", "best/bundle.json"} <= keys(store)
    rows = json.loads(store.read("sweep.json") or b"")["rows"]
    assert load(f"{address}/best").training["learning_rate"] == rows[0]["learning_rate"]
    assert f"bundle {address}/best" in capsys.readouterr().out
    assert not list(home.glob("cache/artylyze/outputs/*/*")), "what was uploaded is kept here no longer"
    assert run(*line, "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == rows


def test_works_of_a_catalog_under_an_address_are_found_and_written_to_another(
    bucket: str, pictures: Path, bundle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = f"{bucket}/searched"
    images = sorted(pictures.glob("*.png"))
    assert run("tag", str(images[0].parent), "-o", catalog, "--model", bundle, "--engine", "local") == 0
    open_store(bucket).upload("one-of-them", images[0])
    capsys.readouterr()
    line = ["search", catalog, "--like", f"{bucket}/one-of-them", "--model", bundle, "-k", "1", "--json"]

    assert run(*line, "-o", f"{bucket}/results/alike.png") == 0
    (work,) = json.loads(capsys.readouterr().out)["hits"]
    assert (work["image_id"], round(work["likeness"], 3)) == (images[0].name, 1)
    assert keys(open_store(f"{bucket}/results")) == {"alike.png", "alike.json"}
    assert "index/index.json" in keys(open_store(catalog))


@pytest.mark.slow
def test_near_duplicates_profiles_and_an_explorer_are_written_to_addresses(
    bucket: str, pictures: Path, bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for picture in sorted(pictures.glob("*.png"))[:12]:
        (images / picture.name).write_bytes(picture.read_bytes())
    (images / "again.png").write_bytes(picture.read_bytes())
    catalog, duplicates, clusters, page = (f"{bucket}/shown/{name}" for name in ("catalog", "same", "kinds", "page"))
    assert run("tag", str(images), "-o", catalog, "--model", bundle, "--engine", "local") == 0
    assert run("duplicates", catalog, "-o", duplicates) == 0
    assert run("cluster", catalog, "-o", clusters, "--k", "2") == 0
    assert run("profiles", clusters, "--catalog", catalog, "--duplicates", duplicates) == 0
    capsys.readouterr()

    assert run("explore", catalog, "-o", page, "--clusters", clusters, "--duplicates", duplicates, "--json") == 0

    assert json.loads(capsys.readouterr().out)["works"] == 13
    index = json.loads(open_store(page).read("data/index.json") or b"")
    assert (index["n"], index["duplicates"], index["clusters"]["k"]) == (13, True, 2)
    assert {"index.html", "app.js", "data/inline.js"} <= keys(open_store(page))


@pytest.mark.parametrize("command", ["tune", "train"])
def test_on_a_cluster_a_training_wants_a_folder_that_all_machines_see(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert run(command, "dataset.parquet", "-o", "s3://bucket/there", "--lr", "1e-3", "--mode", "finetune") == 3
    assert "a folder that all machines can reach" in capsys.readouterr().err
