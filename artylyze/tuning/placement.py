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
    """Remove the placement groups that actors of this job made and left behind when they died; return how many."""
    import ray
    from ray._private.state import state
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData  # type: ignore[attr-defined]
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    accessor: Any = state._connect_and_get_accessor()
    job = bytes.fromhex(ray.get_runtime_context().get_job_id())
    found = [PlacementGroupTableData.FromString(one) for one in accessor.get_placement_group_table()]
    left = [
        one
        for one in found
        if one.creator_job_id == job
        and one.creator_actor_dead
        and one.creator_actor_id.strip(b"\xff")  # the driver's own have no actor
        and one.state != PlacementGroupTableData.REMOVED
    ]
    for one in left:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(one.placement_group_id)))
    return len(left)
