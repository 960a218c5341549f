"""Gives back what the workers of a trial held when Ray Tune stopped it.

Ray Train leaves that to a process which asks the dashboard whether a training still lives. Ray as we start it has none,
and the next trial would wait for cores that nobody uses; so the same question is put to Ray's control store.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

EVERY = 1.0
"""Seconds between two looks."""
LAST = 30.0
"""Seconds that the controllers of stopped trials have to die when the sweep is over."""


@contextmanager
def freeing_placement_groups() -> Iterator[None]:
    """Remove placement groups whose owners are dead, again and again, while the body runs.

    After a body that ended well it waits, LAST seconds at the most, for the owners of those that were made meanwhile:
    the trial that was stopped last may be dying still, and what it reserved would be missed for as long as the driver
    lives.
    """
    ended, before = threading.Event(), _reserved().keys()

    def watch() -> None:
        while not ended.wait(EVERY):
            free()

    thread = threading.Thread(target=watch, name="artylyze-placement", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    until = time.monotonic() + LAST
    while _reserved().keys() - before and time.monotonic() < until:
        free()
        time.sleep(EVERY / 10)


def free() -> int:
    """Remove the placement groups that actors of this job made and left behind when they died; return how many.

    Ray's mark on the group is not enough: where a controller died while its group was made, the mark was missing for
    good, and the next trial waited for ever. So the actor itself is looked up.
    """
    import ray
    from ray._private.state import state
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    abandoned = [
        group_id
        for group_id, group in _reserved().items()
        if group.creator_actor_dead or _is_dead(state, group.creator_actor_id.hex())
    ]
    for group_id in abandoned:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(group_id)))
    return len(abandoned)


def _reserved() -> dict[bytes, Any]:
    """The placement groups that actors of this job made and that are not removed, by their id."""
    import ray
    from ray._private.state import state
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData  # type: ignore[attr-defined]

    accessor: Any = state._connect_and_get_accessor()
    job = bytes.fromhex(ray.get_runtime_context().get_job_id())
    groups = [PlacementGroupTableData.FromString(data) for data in accessor.get_placement_group_table()]
    return {
        group.placement_group_id: group
        for group in groups
        if group.creator_job_id == job
        and group.state != PlacementGroupTableData.REMOVED
        and group.creator_actor_id.strip(b"\xff")  # the driver's own have no actor
    }


def _is_dead(state: Any, actor_id: str) -> bool:
    return bool(state.actor_table(actor_id).get("State") == "DEAD")
