"""Gives back what the workers of a trial held when Ray Tune stopped it.

Ray Train leaves that to a process which asks the dashboard whether a training still lives. Ray as we start it has none,
and the next trial would wait for cores that nobody uses; so the same question is put to Ray's control store.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

EVERY = 1.0
"""Seconds between two looks."""


@contextmanager
def freeing_placement_groups() -> Iterator[None]:
    """Remove placement groups whose owners are dead, again and again, while the body runs."""
    ended = threading.Event()

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


def free() -> int:
    """Remove the placement groups that actors of this job made and left behind when they died; return how many.

    Ray's mark on the group is not enough: where a controller died while its group was made, the mark was missing for
    good, and the next trial waited for ever. So the actor itself is looked up.
    """
    import ray
    from ray._private.state import state
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData  # type: ignore[attr-defined]
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    accessor: Any = state._connect_and_get_accessor()
    job = bytes.fromhex(ray.get_runtime_context().get_job_id())
    groups = [PlacementGroupTableData.FromString(data) for data in accessor.get_placement_group_table()]
    abandoned = [
        group
        for group in groups
        if group.creator_job_id == job
        and group.state != PlacementGroupTableData.REMOVED
        and group.creator_actor_id.strip(b"\xff")  # the driver's own have no actor
        and (group.creator_actor_dead or _is_dead(state, group.creator_actor_id.hex()))
    ]
    for group in abandoned:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
    return len(abandoned)


def _is_dead(state: Any, actor_id: str) -> bool:
    return bool(state.actor_table(actor_id).get("State") == "DEAD")
