"""Joins a Ray cluster, or starts Ray here, without its console output; says what the cluster has, and what it lacks.

Ray is imported when a function needs it: which cluster RAY_ADDRESS names is asked by commands that start without Ray.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artylyze.errors import ArtylyzeError
from artylyze.wording import shortened

LOOK_EVERY = 10.0
"""Seconds between two looks at what waits for room on the cluster."""

if TYPE_CHECKING:
    from artylyze.progress import Watcher


def cluster_address(watcher: Watcher | None = None) -> str | None:
    """Return the address of the cluster that RAY_ADDRESS names; None if it is unset, empty or that of a dashboard.

    A dashboard takes jobs and cannot be joined. Ray's own commands want it in the same variable, so it does not keep
    others from running on this machine; `watcher` receives a message that they do.
    """
    address = os.environ.get("RAY_ADDRESS")
    if not address or not address.startswith(("http://", "https://")):
        return address or None
    if watcher is not None:
        watcher.say(
            f"RAY_ADDRESS={address} is a dashboard, which takes jobs: this command runs on this machine. To run it on "
            "the cluster, submit it: artylyze submit -- COMMAND."
        )
    return None


def connect(watcher: Watcher | None = None) -> str:
    """Join the cluster that the environment names, or start Ray on this machine; return the folder of its logs.

    `watcher` receives a message if RAY_ADDRESS is a dashboard, which is not joined.

    Raises:
        ArtylyzeError: if Ray does not start, as on a machine that is too busy.
    """
    import ray
    import ray.data

    if not ray.is_initialized():
        handler: Any = signal.getsignal(signal.SIGTERM)
        _start(watcher)
        signal.signal(signal.SIGTERM, handler)  # Ray's handler ends the process before a run can report its state
        # Ray prints events of nodes on stdout, where `--json` prints one object; they are in its logs, too.
        ray._private.worker._worker_logs_enabled = False
    logger = logging.getLogger("ray.data")
    for handler in list(logger.handlers):
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            logger.removeHandler(handler)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = None  # a shard is a block, whatever its size
    context.max_consecutive_actor_init_deaths = 3
    context.memory_usage_poll_interval_s = None  # else a thread in each worker adds up its pages every second
    context.execution_no_progress_timeout_s = -1  # a shard of slow images may exceed any fixed limit
    session: Any = ray._private.worker._global_node
    return str(Path(session.get_logs_dir_path())) if session else "/tmp/ray/session_latest/logs"  # noqa: S108


def _start(watcher: Watcher | None) -> None:
    import ray

    address = "local" if not cluster_address(watcher) and os.environ.get("RAY_ADDRESS") else None
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (OSError, ValueError):  # an address that is invalid or does not answer: the message says so
        raise
    except Exception as error:  # of no type: a node took longer than 30 seconds, for example
        ray.shutdown()
        raise ArtylyzeError(
            f"Ray did not start on this machine: {str(error).splitlines()[0]} If the machine is busy, run the same "
            "command again later: it resumes where it stopped."
        ) from error


def end_actors(names: Collection[str]) -> int:
    """End the actors of this job whose class has one of some names in its own, and return how many there were.

    Ray Data lets its actors go when a run ends, and Ray ends those; but one that was being started anew at that moment,
    in the place of a dead one, stays for as long as the driver, and with it the CPUs that it holds.
    """
    import ray
    from ray._private.state import actors

    job = ray.JobID.from_hex(ray.get_runtime_context().get_job_id())
    left = [
        actor
        for actor, described in actors(job_id=job).items()
        if described["State"] != "DEAD" and any(name in described["ActorClassName"] for name in names)
    ]
    core: Any = ray._private.worker.global_worker
    for actor in left:  # `ray.kill` takes a handle, which nobody has any more
        core.core_worker.kill_actor(ray.ActorID.from_hex(actor), True)
    return len(left)


def may_grow() -> bool:
    """Whether RAY_ADDRESS names a cluster, which may autoscale."""
    return cluster_address() is not None


def resources() -> dict[str, float]:
    """Return the current resources of the cluster (CPU, GPU, memory) by Ray's names."""
    import ray

    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def living_nodes() -> set[str]:
    """Return the ids of the nodes that are alive; the cluster notices a lost node within a minute."""
    import ray

    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]


@contextmanager
def reporting_waits(say: Callable[[str], None]) -> Iterator[None]:
    """While the body runs, say what has no room on the cluster, and again when that changes; a thread calls `say`."""
    ended = threading.Event()

    def watch() -> None:
        before = None
        while not ended.wait(LOOK_EVERY):
            waiting = describe_waits(cluster_status())
            if waiting != before and (waiting or before):
                say(waiting or "The cluster has room for all that was asked for.")
            before = waiting

    thread = threading.Thread(target=watch, name="artylyze-waits", daemon=True)
    if may_grow():
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread.is_alive():
            thread.join()


def cluster_status() -> Any:
    """Return what `ray status` prints, as Ray's GetClusterStatusReply."""
    import ray
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply  # type: ignore[attr-defined]

    return GetClusterStatusReply.FromString(
        GcsClient(ray.get_runtime_context().gcs_address).get_cluster_status(timeout_s=5)
    )


def describe_waits(status: Any) -> str | None:
    """Say what tasks, actors and placement groups wait for, and what the autoscaler does; None if all have room."""
    state = status.cluster_resource_state
    demands: Counter[str] = Counter()
    for demand in state.pending_resource_requests:
        demands[_bundle(demand.request.resources_bundle)] += demand.count
    for group in state.pending_gang_resource_requests:
        demands.update(_bundle(request.resources_bundle) for request in group.requests)
    if not demands:
        return None
    scaler = status.autoscaling_state
    starting = Counter({f"{one.ray_node_type_name} (requested)": one.count for one in scaler.pending_instance_requests})
    starting.update(f"{one.ray_node_type_name} ({one.details.split(' ')[0]})" for one in scaler.pending_instances)
    nodes = ", ".join(f"{count} x {name}" for name, count in sorted(starting.items()))
    wanted = ", ".join(f"{count} x {bundle}" for bundle, count in demands.items())
    sentences = [
        f"Waiting for room on the Ray cluster for {wanted}.",
        f"Its autoscaler is starting {nodes}." if nodes else "Its autoscaler reports no node that is starting.",
        *(
            f"It could not start {one.count} x {one.ray_node_type_name}: {shortened(one.reason, 300)}."
            for one in scaler.failed_instance_requests
        ),
    ]
    if impossible := {_bundle(one.resources_bundle) for one in scaler.infeasible_resource_requests}:
        sentences.append(f"No node that it may start has room for {', '.join(sorted(impossible))}.")
    return " ".join(sentences)


def _bundle(resources: Mapping[str, float]) -> str:
    """Resources of one task or actor, such as {CPU: 1, memory: 8.0 GB}."""
    from rich.filesize import decimal  # not there where a benchmark runs on a bare machine

    amounts = {
        name: decimal(int(amount)) if name in ("memory", "object_store_memory") else f"{amount:g}"
        for name, amount in sorted(resources.items())
    }
    return "{" + ", ".join(f"{name}: {amount}" for name, amount in amounts.items()) + "}"
