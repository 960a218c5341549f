"""What a run says of the time of its workers, by both engines, in one stage and in three."""

from __future__ import annotations

from pathlib import Path

import pytest

from artylyze.catalog.run import read_success, run_store
from artylyze.tagging.job import run
from artylyze.tagging.request import TagRequest
from artylyze.tagging.stages import Clock, Spent, describe, timed
from tests.tagging.conftest import Quiet, fill

KINDS = {
    False: {"workers": {"fetch", "decode", "inference", "commit", "idle", "other"}},
    True: {
        "readers": {"fetch", "decode", "idle", "other"},
        "taggers": {"inference", "idle"},
        "committers": {"commit", "idle"},
    },
}


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
@pytest.mark.parametrize("separate", [False, True])
def test_a_run_says_where_the_time_of_its_workers_went(
    tmp_path: Path, model: Path, watcher: Quiet, engine: str, separate: bool
) -> None:
    images, output = fill(tmp_path / "images", 12), str(tmp_path / "catalog")
    done = run(
        TagRequest(str(images), output, model=str(model), engine=engine, separate=separate, shard_size=4), watcher
    )
    success = read_success(run_store(output, done.run_id))
    assert success is not None
    stages = success["stages"]
    assert {kind: set(figures) for kind, figures in stages.items()} == KINDS[separate]
    for figures in stages.values():
        assert sum(one["share"] for one in figures.values()) == pytest.approx(1, abs=0.01)
    decoding = stages["readers" if separate else "workers"]["decode"]
    assert decoding["seconds"] > 0
    assert decoding["images_per_second"] == pytest.approx(12 / decoding["seconds"], rel=0.2)
    assert stages["taggers" if separate else "workers"]["inference"]["seconds"] > 0
    (said,) = [message for message in watcher.messages if message.startswith("Time of the ")]
    assert "decode " in said


def test_what_is_not_measured_apart_goes_to_the_rest() -> None:
    clock = Clock("inference")
    with clock.shard() as first:
        pass
    with clock.shard() as second, timed(second, "commit"):
        pass
    assert set(first) == {"inference", "idle"}
    assert set(second) == {"inference", "commit", "idle"}
    assert min(*first.values(), *second.values()) >= 0


def test_the_largest_share_comes_first_and_idling_has_no_rate() -> None:
    spent = Spent()
    spent.add("workers", {"decode": 2.0, "idle": 1.0}, images=10)
    spent.add("workers", {"decode": 4.0, "inference": 3.0}, images=20)
    assert describe(spent) == (
        "Time of the workers: decode 60% (5 images/s), inference 30% (10 images/s), idle 10%. Rates are those of "
        "one worker that does only that stage."
    )
