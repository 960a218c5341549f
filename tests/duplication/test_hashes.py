"""Hashes after each transform are those of the transformed picture, and all near ones are looked up."""

from __future__ import annotations

import numpy as np
import pytest

from artylyze.duplication.alignment import reduced
from artylyze.duplication.hashes import (
    RADIUS,
    TRANSFORMS,
    differing_bits,
    perceptual_hashes,
    similar,
    turned,
)
from artylyze.duplication.likeness import luminance
from tests.pictures import painting


@pytest.mark.parametrize("transform", range(len(TRANSFORMS)))
def test_a_hash_after_a_transform_is_that_of_the_transformed_picture(transform: int) -> None:
    picture = luminance(painting(3))
    first, second = (perceptual_hashes(reduced(one, 32)[None])[0] for one in (picture, turned(picture, transform)))

    assert differing_bits(first[transform : transform + 1], second[:1])[0] <= 2


def test_all_pairs_within_the_radius_are_found() -> None:
    random = np.random.default_rng(0)
    plain = random.integers(0, 2**63, 60).astype(np.uint64)
    near = plain.copy()
    for row in range(60):
        for bit in random.choice(64, row % 12, replace=False):
            near[row] ^= np.uint64(1) << np.uint64(bit)
    hashes = np.repeat(np.concatenate([plain, near])[:, None], 8, axis=1)

    found = {
        pair
        for first, second, _, _ in similar(hashes, np.ones(120, bool))
        for pair in zip(first.tolist(), second.tolist(), strict=True)
    }

    apart = differing_bits(hashes[:, None, 0], hashes[None, :, 0])
    assert found == {(a, b) for a in range(120) for b in range(a + 1, 120) if apart[a, b] <= RADIUS}
