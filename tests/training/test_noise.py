"""Labels that mean nothing: no figure of images that were held out may then be better than chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from artylyze.training.bundling import calibrated, measured
from artylyze.training.folds import cut_folds
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
