"""Ray as this project uses it: join a cluster or start one here, quietly; what the cluster has."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import ray
import ray.data


def connect() -> str:
    """Join the cluster that the environment names, or start Ray on this machine; return where its logs lie."""
    if not ray.is_initialized():
        handler: Any = signal.getsignal(signal.SIGTERM)
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
        signal.signal(signal.SIGTERM, handler)  # Ray's own ends the process before a run can say where it stands
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


def may_grow() -> bool:
    """Whether this is a cluster that somebody else runs, and that may autoscale."""
    return "RAY_ADDRESS" in os.environ


def resources() -> dict[str, float]:
    """What the cluster has now: CPU, GPU, memory, by Ray's names."""
    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]
