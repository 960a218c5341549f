"""Cores that a dead actor reserved can be had again; those of living ones, and our own, stay reserved."""

from __future__ import annotations

import time
from typing import Any

import pytest
import ray
from ray.core.generated import gcs_pb2
from ray.core.generated.gcs_pb2 import PlacementGroupTableData  # type: ignore[attr-defined]
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from artylyze.tuning import placement
from artylyze.tuning.placement import free, freeing_placement_groups


class Owner:
    def reserve(self) -> Any:
        return placement_group([{"memory": 1}])


def state(group: PlacementGroup) -> str:
    return str(placement_group_table(group)["state"])


def wait_for(group: PlacementGroup, wanted: str) -> None:
    while state(group) != wanted:
        time.sleep(0.05)


def test_only_what_dead_actors_reserved_is_given_back(ray_cluster: None) -> None:
    ours = placement_group([{"memory": 1}])
    make: Any = ray.remote(num_cpus=0)(Owner)
    living, dead = make.remote(), make.remote()
    kept, left = ray.get([living.reserve.remote(), dead.reserve.remote()])
    for group in (ours, kept, left):
        wait_for(group, "CREATED")
    assert free() == 0
    with freeing_placement_groups():
        ray.kill(dead)
        wait_for(left, "REMOVED")
    assert (state(ours), state(kept)) == ("CREATED", "CREATED")
    remove_placement_group(ours)
    remove_placement_group(kept)


def test_what_an_actor_reserved_that_dies_at_the_end_is_given_back(ray_cluster: None) -> None:
    make: Any = ray.remote(num_cpus=0)(Owner)
    with freeing_placement_groups():
        dying = make.remote()
        group = ray.get(dying.reserve.remote())
        wait_for(group, "CREATED")
        ray.kill(dying)
    assert state(group) == "REMOVED"


def test_an_interruption_waits_for_no_trial(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their actors live, and end with the driver: waiting would only keep the user."""
    monkeypatch.setattr(placement, "LAST", float("inf"))
    make: Any = ray.remote(num_cpus=0)(Owner)
    living, groups = make.remote(), []

    def interrupted() -> None:
        with freeing_placement_groups():
            groups.append(ray.get(living.reserve.remote()))
            wait_for(groups[0], "CREATED")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert state(groups[0]) == "CREATED"
    remove_placement_group(groups[0])


class Unmarked:
    """Ray's table without its mark on groups of dead actors, which a race in Ray leaves out and no test can force."""

    def __getattr__(self, name: str) -> Any:
        return getattr(PlacementGroupTableData, name)

    def FromString(self, data: bytes) -> Any:  # noqa: N802 - as protobuf names it
        group = PlacementGroupTableData.FromString(data)
        group.creator_actor_dead = False
        return group


@pytest.mark.parametrize("table", [PlacementGroupTableData, Unmarked()])
def test_an_actor_that_died_with_the_group_it_ran_in_is_dead_too(
    table: Any, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Tune ends a trial: the process of the controller goes with the trial's group; its own group is left."""
    monkeypatch.setattr(gcs_pb2, "PlacementGroupTableData", table)
    outer = placement_group([{"memory": 1}])
    wait_for(outer, "CREATED")
    inside = PlacementGroupSchedulingStrategy(outer)
    make: Any = ray.remote(num_cpus=0)(Owner)
    owner = make.options(scheduling_strategy=inside).remote()
    left = ray.get(owner.reserve.remote())
    wait_for(left, "CREATED")
    with freeing_placement_groups():
        remove_placement_group(outer)
        wait_for(left, "REMOVED")
