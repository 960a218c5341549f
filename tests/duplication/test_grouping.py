"""Groups hold only images that make a sure pair with their representative, whatever the order of the pairs."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from artylyze.duplication.grouping import Pair, group
from artylyze.duplication.reasons import Reason

PAIRS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.sampled_from(list(Reason))), max_size=40).map(
    lambda drawn: list(
        {(min(a, b), max(a, b)): Pair(min(a, b), max(a, b), reason, 0.8) for a, b, reason in drawn if a != b}.values()
    )
)
PIXELS = {row: 1000 + row % 5 for row in range(12)}


@given(PAIRS)
def test_every_member_makes_a_sure_pair_with_the_representative(pairs: list[Pair]) -> None:
    known = {(pair.first, pair.second): pair for pair in pairs}
    groups = group(pairs, PIXELS)

    for one in groups:
        for row, pair in one.members:
            key = (min(row, one.representative), max(row, one.representative))
            assert known[key] == pair
            assert pair.reason.sure


@given(PAIRS)
def test_no_image_is_in_two_groups_and_no_sure_pair_is_left_over(pairs: list[Pair]) -> None:
    groups = group(pairs, PIXELS)
    rows = [row for one in groups for row in (one.representative, *(row for row, _ in one.members))]

    assert len(rows) == len(set(rows))
    assert not any(pair.reason.sure and pair.first not in rows and pair.second not in rows for pair in pairs), (
        "two images of a sure pair are in no group"
    )


@given(PAIRS, st.randoms())
def test_the_order_of_the_pairs_does_not_matter(pairs: list[Pair], random: Random) -> None:
    shuffled = sorted(pairs, key=lambda _: random.random())

    assert group(shuffled, PIXELS) == group(pairs, PIXELS)


def test_a_hub_of_perhaps_copies_is_no_group() -> None:
    hub = [Pair(0, row, Reason.COPY, 0.45) for row in range(1, 10)]

    assert group(hub, PIXELS) == []


def test_a_chain_is_cut() -> None:
    chain = [Pair(row, row + 1, Reason.CROP, 0.9) for row in range(5)]

    assert max(len(one.members) for one in group(chain, PIXELS)) == 2
