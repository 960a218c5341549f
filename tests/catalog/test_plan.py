from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.catalog.plan import (
    MAX_BYTES,
    MAX_IMAGES,
    MIN_IMAGES,
    SHARDS_PER_WORKER,
    Shard,
    known_sizes,
    plan_shards,
    shard_size,
)
from artylyze.errors import UsageError

sizes = st.lists(st.none() | st.integers(0, 2 * MAX_BYTES), max_size=60)


def column(values: list[int | None]) -> pa.Int64Array:
    return pa.array(values, pa.int64())


@given(sizes, st.integers(1, 20), st.integers(0, 5), st.integers(0, 1000))
def test_each_row_is_in_exactly_one_shard(values: list[int | None], size: int, first: int, start: int) -> None:
    shards = plan_shards(column(values), size, first, start)
    rows = [row for shard in shards for row in range(shard.start, shard.stop)]
    assert rows == list(range(start, start + len(values)))
    assert [shard.index for shard in shards] == list(range(first, first + len(shards)))


@given(st.integers(1, 5000), st.integers(1, 8))
def test_towards_the_end_shards_become_smaller(rows: int, workers: int) -> None:
    counts = [shard.rows for shard in plan_shards(column([1] * rows), 256, workers=workers)]
    assert sum(counts) == rows
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] <= MIN_IMAGES


@given(sizes, st.integers(1, 20))
def test_no_shard_is_above_the_limits(values: list[int | None], size: int) -> None:
    for shard in plan_shards(column(values), size):
        assert shard.rows <= size
        held = sum(value or 0 for value in values[shard.start : shard.stop])
        assert held <= MAX_BYTES or shard.rows == 1


@given(sizes, st.integers(1, 20))
def test_no_shard_is_closed_before_it_must_be(values: list[int | None], size: int) -> None:
    for shard, after in pairwise(plan_shards(column(values), size)):
        held = sum(known_sizes(column(values))[shard.start : after.start + 1].tolist())
        assert shard.rows == size or held > MAX_BYTES


@given(st.integers(1, 10**7), st.integers(1, 1000))
def test_every_worker_gets_several_shards_where_the_collection_allows(rows: int, workers: int) -> None:
    size = shard_size(rows, workers, 224)
    assert MIN_IMAGES <= size <= MAX_IMAGES
    if size > MIN_IMAGES:
        assert rows > (size - 1) * workers * SHARDS_PER_WORKER


def test_large_squares_make_small_shards() -> None:
    assert shard_size(10**6, 1, 1000) == 21


def test_unknown_sizes_count_with_the_mean() -> None:
    assert [shard.rows for shard in plan_shards(column([MAX_BYTES, None, MAX_BYTES]), 10)] == [1, 1, 1]


def test_an_image_above_the_limit_is_a_shard_alone() -> None:
    assert [shard.rows for shard in plan_shards(column([1, MAX_BYTES + 1, 1]), 10)] == [1, 1, 1]


def test_a_shard_may_hold_the_limit_exactly() -> None:
    assert [shard.rows for shard in plan_shards(column([MAX_BYTES - 1, 1, 1]), 10)] == [2, 1]


def test_sizes_add_up_beyond_32_bits() -> None:
    assert [shard.rows for shard in plan_shards(column([MAX_BYTES] * 5), 10)] == [1] * 5


def test_a_shard_holds_at_least_one_image() -> None:
    with pytest.raises(UsageError, match="at least one image"):
        plan_shards(column([1]), 0)


@pytest.mark.parametrize("rows", [(-1, 0, 1), (0, 1, 1), (0, 2, 1), (0, -1, 1)])
def test_a_shard_is_a_range_of_rows(rows: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="not a shard"):
        Shard(*rows)


def test_parts_are_named_in_the_order_of_their_shards() -> None:
    assert Shard(42, 0, 1).key == "parts/part-00042.parquet"
    assert Shard(1_234_567, 0, 1).key == "parts/part-1234567.parquet"
