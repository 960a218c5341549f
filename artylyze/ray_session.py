"""Ray as this project uses it: join a cluster or start one here, quietly; what the cluster has."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import ray
import ray.data

from artylyze.errors import ArtylyzeError


def connect() -> str:
    """Join the cluster that the environment names, or start Ray on this machine; return where its logs lie.

    Raises:
        ArtylyzeError: if Ray does not come up, as on a machine that is too busy.
    """
    if not ray.is_initialized():
        handler: Any = signal.getsignal(signal.SIGTERM)
        _start()
        signal.signal(signal.SIGTERM, handler)  # Ray's own ends the process before a run can say where it stands
        # Ray prints what happens to nodes on stdout, where `--json` has one object; its logs have it too.
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
    context.memory_usage_poll_interval_s = None  # a thread in each worker that adds up its pages every second
    context.execution_no_progress_timeout_s = -1  # a shard of slow images may take longer than any guess of ours
    session: Any = ray._private.worker._global_node
    return str(Path(session.get_logs_dir_path())) if session else "/tmp/ray/session_latest/logs"  # noqa: S108


def _start() -> None:
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (OSError, ValueError):  # an address that does not answer, or is none: it says so itself
        raise
    except Exception as error:  # Ray has no type for it: a node that took longer than its 30 seconds, for one
        ray.shutdown()
        raise ArtylyzeError(
            f"Ray did not start on this machine: {str(error).splitlines()[0]} Where the machine is busy, run the same "
            "command again later: it goes on where it was."
        ) from error


def may_grow() -> bool:
    """Whether this is a cluster that somebody else runs, and that may autoscale."""
    return "RAY_ADDRESS" in os.environ


def resources() -> dict[str, float]:
    """What the cluster has now: CPU, GPU, memory, by Ray's names."""
    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def living_nodes() -> set[str]:
    """Ids of the nodes that are alive, as far as the cluster knows: it takes up to a minute to miss one."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
