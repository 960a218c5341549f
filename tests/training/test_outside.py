"""How far an image lies from what was learned: fitted on features, without labels or anything else to compare with."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from artylyze.models.outside import SHARE
from artylyze.training.outside import LEAST, fit_outside

COUNT, WIDTH = 600, 40


@pytest.fixture(scope="module")
def features() -> NDArray[np.float32]:
    """Features in a few directions of large variance, on different scales, one of them constant."""
    random = np.random.default_rng(0)
    found = random.normal(size=(2 * COUNT, 6)) @ random.normal(size=(6, WIDTH)) + 0.3 * random.normal(size=(1, WIDTH))
    found += 0.3 * random.normal(size=found.shape)
    found[:, 3] = 7
    return np.asarray(50 + found * np.geomspace(0.1, 10, WIDTH), np.float32)


GROUPS = np.repeat([f"artist {number}" for number in range(COUNT // 10)], 10)


def test_few_images_like_those_learned_from_lie_outside_and_others_do(features: NDArray[np.float32]) -> None:
    outside = fit_outside(features[:COUNT], GROUPS)
    assert outside is not None
    assert (outside.distance(features[COUNT:]) > 1).mean() <= 3 * SHARE
    shuffled = np.random.default_rng(1).permuted(features[COUNT:], axis=0)  # each feature as it was, none with another
    assert (outside.distance(shuffled) > 1).mean() > 0.9
    moved = features[COUNT:].copy()
    moved[:, 3] += 1
    np.testing.assert_array_equal(outside.distance(moved), outside.distance(features[COUNT:]))


def test_a_group_that_is_unlike_the_others_widens_the_limit(features: NDArray[np.float32]) -> None:
    """Its images are measured without each other: else they would vouch for themselves."""
    unlike = features[:COUNT].copy()
    unlike[:20] += 3 * features[:COUNT].std(axis=0) * np.random.default_rng(2).normal(size=WIDTH)
    together, apart = GROUPS.copy(), GROUPS.copy()
    together[:20] = "one"
    apart[:20] = [f"each {number}" for number in range(20)]
    held, known = fit_outside(unlike, together), fit_outside(unlike, apart)
    assert held is not None
    assert known is not None
    assert held.distance(features[COUNT:]).mean() < known.distance(features[COUNT:]).mean()


def test_the_same_seed_gives_the_same(features: NDArray[np.float32]) -> None:
    first, second = fit_outside(features[:COUNT], GROUPS), fit_outside(features[:COUNT], GROUPS)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.distance(features), second.distance(features))


def test_too_few_images_say_nothing(features: NDArray[np.float32]) -> None:
    assert fit_outside(features[: LEAST - 1], GROUPS[: LEAST - 1]) is None
    assert fit_outside(features[:LEAST], GROUPS[:LEAST]) is not None
