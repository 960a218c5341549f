"""What a dry run recommends, from what it measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from artylyze.tagging.dryrun import Forecast, describe

ON_CPUS = Forecast(
    images=1,
    bytes=10**6,
    shards=1,
    copied=0,
    list_requests=0,
    get_requests=0,
    put_requests=0,
    fetch_seconds=0.001,
    decode_seconds=0.02,
    inference_seconds=0.005,
    taggers=2,
    readers=0,
    seconds=1.0,
    memory_bytes=10**9,
    cores_per_model=4.0,
    failed=0,
)


def balance(forecast: Forecast) -> str:
    return describe(forecast).partition("Balance")[2]


def test_one_image_is_not_images() -> None:
    assert "1 image to tag" in describe(ON_CPUS)


@pytest.mark.parametrize(("inference", "slower"), [(0.005, "decoding"), (0.05, "the model")])
def test_on_cpus_it_says_what_takes_most_of_the_time(inference: float, slower: str) -> None:
    said = balance(replace(ON_CPUS, inference_seconds=inference))
    assert f"{slower} takes most of its time" in said
    assert "would need 20 cores" in said


def test_too_few_decode_workers_are_named_with_the_option_that_mends_it() -> None:
    said = balance(replace(ON_CPUS, readers=4, taggers=2))
    assert "2 model workers would take the images of 8 decode workers, and there are 4. Give `readers=8`" in said


def test_enough_decode_workers_are_left_alone() -> None:
    said = balance(replace(ON_CPUS, readers=16, taggers=1))
    assert "16 decode workers keep 1 model worker busy; 4 would do." in said
    assert "readers=" not in said
