"""Sweeps in a real Ray, on generated pictures and timm's test architectures; killed ones, by the real command line."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from artylyze.cli.app import app
from artylyze.datasets.dataset import read_dataset, write_dataset
from artylyze.errors import InputError, UsageError
from artylyze.models.backbones import create_module
from artylyze.models.folder import load
from artylyze.models.runtimes import resolve_device
from artylyze.training.request import Mode
from artylyze.tuning.sweep import TuneRequest
from artylyze.tuning.trials import PROGRESS, RESULT
from artylyze.tuning.tune import Share, _check_room, share_resources, tune
from tests.small import Listener, collection

ARTYLYZE = str(Path(sys.executable).parent / "artylyze")
MODEL, OTHER, THIRD = "test_efficientnet", "test_resnet", "test_byobnet"
RATES = (1e-9, 3e-3, 1e-2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 40 pictures, and weights for three tiny architectures."""
    made = tmp_path_factory.mktemp("sweeps")
    collection(made, 40)
    torch.manual_seed(0)
    for name in (MODEL, OTHER, THIRD):
        tensors = {key: tensor.contiguous() for key, tensor in create_module(name).state_dict().items()}
        safetensors.torch.save_file(tensors, made / f"{name}.safetensors")
    return made


def asked(folder: Path, output: Path, *backbones: str, **more: Any) -> TuneRequest:
    weights = {name: str(folder / f"{name}.safetensors") for name in backbones}
    settings: dict[str, Any] = {"rates": RATES, "epochs": 4, "image_size": 64, "device": "cpu", "weights": weights}
    return TuneRequest(str(folder / "dataset.parquet"), str(output), backbones=backbones, **(settings | more))


@pytest.mark.slow
def test_a_frozen_sweep_has_a_row_for_each_rate_and_keeps_the_best_bundle(
    folder: Path, tmp_path: Path, ray_cluster: None
) -> None:
    request = asked(folder, tmp_path / "sweep", MODEL, OTHER)
    request = replace(request, weights={**request.weights, OTHER: "random"})
    listener = Listener()
    board = tune(request, listener)
    assert {(row.trial.model, row.learning_rate) for row in board.rows} == {
        (model, rate) for model in (MODEL, OTHER) for rate in RATES
    }
    ranked = [row for row in board.rows if row.rank is not None]
    assert [row.rank for row in ranked] == [1, 2, 3]
    scores = [row.score or 0.0 for row in ranked]
    assert scores == sorted(scores, reverse=True)
    assert {row.trial.model for row in ranked} == {MODEL}, "random weights are never ranked"
    assert {row.label for row in board.rows if row.rank is None} == {f"{OTHER} (random weights)"}

    best, bundle = ranked[0], load(tmp_path / "sweep" / "best")
    assert best.learning_rate > RATES[0]
    assert bundle.training["learning_rate"] == best.learning_rate
    for task in ("genre", "style"):
        for part in ("held_out", "test"):
            assert bundle.metrics[task][part]["accuracy"] == best.metrics[task][part]["accuracy"]
    held_out = [best.metrics[task]["held_out"]["accuracy"] for task in ("genre", "style")]
    assert best.score == pytest.approx(sum(held_out) / 2)

    assert (tmp_path / "sweep" / "sweep.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((tmp_path / "sweep" / "sweep.csv").open(encoding="utf-8-sig")))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "", "", ""]
    assert {"model", "mode", "learning_rate", "genre_held_out_f1", "style_test_top5"} <= set(rows[0])
    written = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert written["rows"] == [row.as_dict() for row in board.rows]

    again = Listener()
    assert tune(request, again) == board
    assert not again.said, "nothing is left to do"
    with pytest.raises(InputError, match=r"another sweep \(rates"):
        tune(replace(request, rates=(1e-3,)), Listener())


@pytest.mark.slow
def test_a_fine_tune_sweep_stops_bad_trials_early_and_keeps_the_best(
    folder: Path, tmp_path: Path, ray_cluster: None
) -> None:
    """The good rate is trained first, so that ASHA has something to compare the others with.

    The third can only begin when it gets the cores of the second, whose workers were stopped.
    """
    more: dict[str, Any] = {"mode": "finetune", "tasks": ("genre",), "batch_size": 4, "epochs": 5}
    request = asked(folder, tmp_path / "sweep", MODEL, rates=(3e-3, 30.0, 31.0), **more)
    board = tune(request, Listener())
    states = {row.learning_rate: (row.state, row.rank) for row in board.rows}
    assert states[3e-3] == ("complete", 1)
    assert states[30.0] == states[31.0] == ("stopped", None)
    for stopped in board.rows[1:]:
        assert stopped.epochs < 5
        assert not (stopped.trial.folder / RESULT).exists()
        assert (stopped.trial.folder / PROGRESS).exists()
    assert load(tmp_path / "sweep" / "best").training["mode"] == "finetune"
    assert not list((tmp_path / "sweep" / "trials").glob("*/bundle"))


@pytest.mark.slow
def test_killed_and_interrupted_it_goes_on_and_does_nothing_twice(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "sweep"
    command = [ARTYLYZE, "tune", str(folder / "dataset.parquet"), "-o", str(output), "--lr", "1e-3,1e-2"]
    command += ["--backbone", f"{MODEL},{OTHER},{THIRD}", "--image-size", "64", "--epochs", "3", "--device", "cpu"]
    for name in (MODEL, OTHER, THIRD):
        command += ["--weights", f"{name}={folder / name}.safetensors"]

    def run_until(results: int, number: signal.Signals) -> tuple[int, str]:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            while len(list(output.glob(f"trials/*/{RESULT}"))) < results:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.02)
            os.kill(process.pid, number)
            said = process.communicate()[1]
        return process.returncode, said

    code, said = run_until(1, signal.SIGTERM)
    assert code == 130
    assert said.splitlines()[-1].startswith("artylyze: interrupted. The same command resumes with the trials")
    run_until(2, signal.SIGKILL)
    before = {path: path.stat().st_mtime_ns for path in output.glob(f"trials/*/{RESULT}")}
    assert len(before) == 2
    assert not (output / "sweep.json").exists()

    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    rows = json.loads(again.stdout)["rows"]
    assert len(rows) == 6
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert load(output / "best").backbone == rows[0]["model"]


@pytest.mark.slow
def test_a_fine_tune_sweep_that_is_killed_goes_on_in_the_middle_of_a_trial(folder: Path, tmp_path: Path) -> None:
    output, epochs = tmp_path / "sweep", 10
    command = [ARTYLYZE, "tune", str(folder / "dataset.parquet"), "-o", str(output), "--mode", "finetune"]
    command += ["--lr", "1e-3", "--backbone", MODEL, "--weights", f"{MODEL}={folder / MODEL}.safetensors"]
    command += ["--tasks", "genre", "--image-size", "64", "--batch-size", "4", "--epochs", str(epochs)]
    command += ["--device", "cpu", "--json"]

    def epoch() -> int:
        return max((json.loads(one.read_text())["epochs"] for one in output.glob(f"trials/*/{PROGRESS}")), default=0)

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while epoch() < 3:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        process.kill()
        process.communicate()
    before = epoch()
    assert before < epochs
    (progress,) = output.glob(f"trials/*/{PROGRESS}")
    progress.unlink()

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while not progress.exists():
            assert process.poll() is None, "it ended without a word of an epoch"
            time.sleep(0.02)
        first = epoch()
        (row,) = json.loads(process.communicate()[0])["rows"]
    assert process.returncode == 0
    assert first >= before - 1, "what was trained is not trained again"  # the checkpoint of the last may be unfinished
    assert row["epochs"] == epochs
    assert load(output / "best").training["mode"] == "finetune"


@pytest.mark.slow
def test_a_sweep_of_one_frozen_trial_runs_without_ray_and_goes_on_after_an_interruption(
    folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "sweep"
    program = "import sys; from artylyze.cli.app import main; sys.argv[0] = 'artylyze'\n"
    program += "try: main()\nfinally: print('ray' in sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", program, "tune", str(folder / "dataset.parquet"), "-o", str(output)]
    command += ["--lr", "1e-3,1e-2", "--backbone", MODEL, "--weights", f"{MODEL}={folder / MODEL}.safetensors"]
    command += ["--image-size", "64", "--epochs", "3", "--device", "cpu", "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while not (output / "trials" / MODEL).exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1].splitlines()
    assert process.returncode == 130
    assert said[-2].startswith("artylyze: interrupted. The same command resumes with the trials")
    assert said[-1] == "False"
    assert not (output / "sweep.json").exists()

    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stderr.splitlines()[-1] == "False"
    assert [row["rank"] for row in json.loads(again.stdout)["rows"]] == [1, 2]


def test_a_single_trial_that_cannot_run_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.safetensors").write_bytes(b"no weights")
    request = asked(folder, tmp_path / "sweep", MODEL, weights={MODEL: f"{tmp_path}/wrong.safetensors"})
    with pytest.raises(InputError, match="no readable weights file"):
        tune(request, Listener())


@pytest.mark.slow
def test_a_backbone_that_fails_leaves_the_others_their_table(folder: Path, tmp_path: Path, ray_cluster: None) -> None:
    (tmp_path / "wrong.safetensors").write_bytes(b"no weights")
    request = asked(folder, tmp_path / "sweep", MODEL, OTHER, tasks=("genre",))
    board = tune(replace(request, weights={**request.weights, OTHER: f"{tmp_path}/wrong.safetensors"}), Listener())
    failed = [row for row in board.rows if row.state == "failed"]
    assert {row.trial.model for row in failed} == {OTHER}
    assert all("no readable weights file" in str(row.error) for row in failed)
    assert board.best is not None


@pytest.mark.parametrize(
    ("wrong", "kind", "sentence"),
    [
        ({"tasks": ("period",)}, UsageError, "no task 'period'"),
        ({"backbones": ("test_efficientnot",), "weights": {}}, InputError, "did you mean"),
        ({"weights": {MODEL: "/nowhere.pth"}}, InputError, "no weights file"),
        ({"dataset": "/nowhere.parquet"}, InputError, "no dataset"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    folder: Path, tmp_path: Path, wrong: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        tune(replace(asked(folder, tmp_path / "sweep", MODEL), **wrong), Listener())
    assert not (tmp_path / "sweep").exists()


def test_a_dataset_without_images_is_refused(folder: Path, tmp_path: Path) -> None:
    plain = read_dataset(str(folder / "dataset.parquet"))
    place = plain.table.schema.get_field_index("uri")
    table = plain.table.set_column(place, plain.table.schema.field("uri"), pa.nulls(len(plain.table), pa.string()))
    write_dataset(str(tmp_path / "plan.parquet"), table, plain.tasks, {})
    with pytest.raises(InputError, match="names no images"):
        tune(replace(asked(folder, tmp_path / "sweep", MODEL), dataset=str(tmp_path / "plan.parquet")), Listener())


@pytest.mark.skipif(resolve_device() == "cuda", reason="there is a GPU")
@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_cuda_without_a_gpu_is_refused_before_anything_is_written(folder: Path, tmp_path: Path, mode: Mode) -> None:
    with pytest.raises(InputError, match="`device='cpu'`"):
        tune(asked(folder, tmp_path / "sweep", MODEL, mode=mode, device="cuda"), Listener())
    assert not (tmp_path / "sweep").exists()


def test_a_folder_that_is_no_sweep_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear museum")
    with pytest.raises(InputError, match="is no sweep"):
        tune(asked(folder, tmp_path, MODEL), Listener())


def test_the_command_line_ends_in_one_sentence() -> None:
    wrong = CliRunner().invoke(app, ["tune", "d.parquet", "-o", "s", "--lr", "1e-3", "--scheduler", "median"])
    assert isinstance(wrong.exception, UsageError)
    assert "choose asha or none" in str(wrong.exception)


def test_trials_share_the_cluster_so_that_all_find_room() -> None:
    frozen = TuneRequest("d", "s", rates=(1e-3,))
    tuned = replace(frozen, mode="finetune")
    assert share_resources([(2, 0)], frozen) == Share({"CPU": 2}, 1)
    assert share_resources([(8, 0), (4, 0)], frozen) == Share({"CPU": 4}, 2)
    assert share_resources([(16, 4)], frozen) == Share({"CPU": 4, "GPU": 1}, 4)
    assert share_resources([(16, 4)], replace(frozen, device="cpu")) == Share({"CPU": 16}, 1)
    assert share_resources([(2, 0)], tuned) == Share({"memory": 1}, 1)
    assert share_resources([(16, 4)], tuned) == Share({"memory": 1}, 4, 4)
    assert share_resources([(16, 4)], replace(tuned, workers=3)) == Share({"memory": 1}, 1)
    assert share_resources([(8, 0), (8, 0)], tuned) == Share({"memory": 1}, 2, 8)


def test_as_many_trials_run_together_as_are_asked_for_and_each_reserves_its_share() -> None:
    frozen = TuneRequest("d", "s", rates=(1e-3,), concurrent=4)
    assert share_resources([(16, 0)], frozen) == Share({"CPU": 4}, 4)
    assert share_resources([(16, 0), (16, 0), (16, 0)], frozen) == Share({"CPU": 8}, 4)
    assert share_resources([(16, 0)], replace(frozen, cpus_per_trial=2)) == Share({"CPU": 2}, 4)
    assert share_resources([(16, 1)], replace(frozen, gpus_per_trial=0.25)) == Share({"CPU": 4, "GPU": 0.25}, 4)
    assert share_resources([(16, 1)], replace(frozen, concurrent=None, gpus_per_trial=0.5)) == Share(
        {"CPU": 8, "GPU": 0.5}, 2
    )
    tuned = replace(frozen, mode="finetune")
    assert share_resources([(16, 0)], tuned) == Share({"memory": 1}, 4, 4)
    assert share_resources([(16, 0)], replace(tuned, cpus_per_trial=3)) == Share({"memory": 1}, 4, 3)


def test_a_cluster_that_is_its_head_alone_is_asked_for_what_the_trials_need() -> None:
    frozen, head = TuneRequest("d", "s", rates=(1e-3,)), [(0.0, 0.0)]
    assert share_resources(head, frozen) == Share({"CPU": 1}, 1)
    assert share_resources(head, replace(frozen, device="cuda")) == Share({"CPU": 1, "GPU": 1}, 1)
    eight = replace(frozen, concurrent=8, cpus_per_trial=16)
    assert share_resources(head, eight) == Share({"CPU": 16}, 8)
    assert share_resources(head, replace(eight, mode="finetune")) == Share({"memory": 1}, 8, 16)
    assert share_resources([*head, (16.0, 0.0)], replace(frozen, mode="finetune")) == Share({"memory": 1}, 1)


def test_a_trial_that_this_machine_could_never_begin_is_refused() -> None:
    _check_room([(2, 0)], Share({"CPU": 2}, 1))
    with pytest.raises(UsageError, match="would reserve 4 cores and 0 GPUs, this machine has 2 cores and 0 GPUs"):
        _check_room([(2, 0)], Share({"CPU": 4}, 1))
