"""Labels that mean nothing: no figure of images that were held out may then be better than chance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import safetensors.torch
from PIL import Image
from scipy.stats import binom
from typer.testing import CliRunner

from artylyze.cli.app import app
from artylyze.datasets.dataset import schema, write_dataset
from artylyze.datasets.folds import cut_folds
from artylyze.models.backbones import create_module
from artylyze.models.folder import load
from artylyze.training.bundling import calibrated, measured
from artylyze.training.heads import HeadSettings, cross_fit
from artylyze.training.learned import Scored

SURELY = 1e-6
"""How improbable a better figure is where labels are noise."""

CASES = {
    "one image a class, leave one out": (np.arange(8), np.arange(8), 8),
    "one image a class, two folds": (np.arange(30), np.arange(30), 2),
    "a class an artist": (np.repeat(np.arange(6), 10), np.repeat(np.arange(6), 10), 3),
    "two images a class": (np.arange(40) % 20, np.arange(40), 5),
    "some classes by one artist": (
        np.repeat([0, 1, 2, 2, 3, 3], 12),
        np.r_[np.repeat([0, 1], 12), np.arange(48) % 8 + 2],
        4,
    ),
    "even classes": (np.arange(90) % 3, np.arange(90), 5),
    "uneven classes": (np.repeat([0, 1, 2], [60, 20, 10]), np.arange(90), 5),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [4, 300])
def test_no_held_out_figure_of_noise_is_better_than_chance(case: str, width: int) -> None:
    labels, artists, parts = CASES[case]
    size = int(labels.max()) + 1
    settings = HeadSettings(learning_rate=0.01, epochs=12, batch_size=16)
    right = asked = lucky = lost = 0
    chance = 0.0
    for seed in range(3):
        features = np.random.default_rng(seed).normal(size=(len(labels), width)).astype(np.float32)
        folds = cut_folds(labels, np.array([f"artist {artist}" for artist in artists]), parts, seed).held_out
        (crossed,) = cross_fit(features, labels, size, settings, [settings.learning_rate], folds)
        held_out = Scored(crossed.logits, labels, crossed.untaught)
        figures = measured(calibrated("genre", [f"{n}" for n in range(size)], held_out, 0.85), {"held_out": held_out})
        found = figures["held_out"]
        known = held_out.taught().labels
        assert found["n"] == len(known)
        assert all(row["recall"] is None for row in found["per_class"] if not (known == int(row["term"])).any())
        if found["n"]:
            right += round(found["accuracy"] * found["n"])
            chance = max(chance, np.bincount(known).max() / len(known))
        asked += found["n"]
        untaught = np.isin(labels, crossed.untaught)
        lost, lucky = lost + untaught.sum(), lucky + (crossed.logits.argmax(axis=1) == labels)[untaught].sum()
    assert lucky <= binom.ppf(1 - SURELY, lost, 1 / size)
    if asked:
        assert right <= binom.ppf(1 - SURELY, asked, chance)


MODEL, TERMS = "test_efficientnet", ("landscape", "portrait", "still life")
COMMANDS = {
    "train, heads": ("train", ["--epochs", "8", "--lr", "0.01"]),
    "train, fine-tuning": (
        "train",
        ["--mode", "finetune", "--backbone", "cnn3", "--image-size", "32", "--epochs", "4", "--lr", "1e-3"],
    ),
    "tune, heads": ("tune", ["--epochs", "8", "--lr", "1e-3,1e-2,1e-1"]),
}


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and labels that are drawn at random: 240 of 48 artists, a quarter of them in the test split."""
    folder, random = tmp_path_factory.mktemp("noise"), np.random.default_rng(7)
    rows: list[dict[str, object]] = []
    for number in range(240):
        path, artist = folder / f"{number:03d}.png", f"artist {number // 5}"
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
        rows.append(
            {
                "image_id": path.name,
                "record_id": path.stem,
                "uri": str(path),
                "size": path.stat().st_size,
                "split": "test" if number >= 180 else "train",
                "genre": TERMS[random.integers(3)],
                "artist": artist.title(),
                "group": artist,
            }
        )
    table = pa.Table.from_pylist(rows, schema=schema(["genre"]))
    write_dataset(str(folder / "dataset.parquet"), table, {"genre": TERMS}, {"seed": 0})
    return folder / "dataset.parquet"


@pytest.mark.slow
@pytest.mark.parametrize(("command", "options"), COMMANDS.values(), ids=COMMANDS.keys())
def test_no_command_finds_more_than_chance_in_noise(
    noise: Path, tmp_path: Path, ray_cluster: None, command: str, options: list[str]
) -> None:
    line = [command, str(noise), "-o", str(tmp_path / "out"), "--device", "cpu", *options]
    if "--backbone" not in line:
        safetensors.torch.save_file(create_module(MODEL).state_dict(), tmp_path / "weights.safetensors")
        weights = str(tmp_path / "weights.safetensors")
        line += ["--weights", weights if command == "train" else f"{MODEL}={weights}"]
        line += ["--backbone", MODEL, "--image-size", "32"]
    done = CliRunner().invoke(app, [*line, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    figures = load(str(tmp_path / "out" / ("best" if command == "tune" else ""))).metrics["genre"]
    assert set(figures) == {"test", "held_out"}
    for part in figures.values():
        known = [row["support"] for row in part["per_class"]]
        assert sum(known) == part["n"] >= 30
        assert round(part["accuracy"] * part["n"]) <= binom.ppf(1 - SURELY, part["n"], max(known) / part["n"])
    if command == "tune":
        rows = json.loads(done.output)["rows"]
        assert all(
            row["metrics"]["genre"]["held_out"]["accuracy"] <= binom.ppf(1 - SURELY, 180, 0.4) / 180 for row in rows
        )
