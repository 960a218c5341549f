"""Cores that a dead actor reserved can be had again; those of living ones, and our own, stay reserved."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

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
