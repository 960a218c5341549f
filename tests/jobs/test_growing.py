"""A run on a cluster that is its head alone: Ray's autoscaler starts nodes for it, and ends those that idle.

The autoscaler is Ray's own; its provider starts nodes as processes of this machine.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from artylyze.catalog.snapshot import read_snapshot
from tests.conftest import free_ports
from tests.jobs.conftest import BIN
from tests.jobs.nodes import Nodes, command, send
from tests.storage.servers import Server, answer, serving
from tests.tagging.conftest import picture

IMAGES, SHARD_SIZE = 400, 2
SLOW = 2.0
"""Seconds that an image takes to come as long as the cluster has not grown."""
HEAD, HEAD_TYPE = "f" * 51 + "00000", "ray.head.default"
"""The provider's id of the head, and its type."""


def configuration(port: int) -> dict[str, object]:
    """A cluster.yaml for `ray start --autoscaling-config`: a head without CPUs, and workers of one."""
    worker = {"CPU": 1, "object_store_memory": 100 * 2**20}
    kinds = {
        HEAD_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "worker": {"resources": worker, "node_config": {}, "min_workers": 0, "max_workers": 2},
    }
    provider = {
        "type": "external",  # "fake_multinode" reads a file that Ray's wheel lacks
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "launch_multiple": True,
        "head_node_id": HEAD,
        "gcs_address": f"127.0.0.1:{port}",
    }
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return {
        "cluster_name": "growing",
        "max_workers": 2,
        "provider": provider,
        "available_node_types": kinds,
        "head_node_type": HEAD_TYPE,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 0.1,
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        **{f"{name}_commands": [] for name in commands},
    }


@pytest.fixture
def growing(home: Path) -> Iterator[Nodes]:
    """A cluster that is its head alone."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        port, path = free_ports(1)[0], Path(folder, "cluster.json")
        path.write_text(json.dumps(configuration(port)))
        variables = {
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD,
            "RAY_NODE_TYPE_NAME": HEAD_TYPE,
        }
        try:
            with ExitStack() as stack:
                yield Nodes(stack, Path(folder), port, f"--autoscaling-config={path}", **variables)
        finally:  # nodes that the autoscaler started outlive it
            left = [int(path.name) for path in Path("/proc").glob("[0-9]*") if folder in command(int(path.name))]
            send(left, signal.SIGKILL)


@pytest.fixture
def images() -> Iterator[tuple[Server, threading.Event, threading.Event]]:
    """A server of images that are slow until the first event is set; the last one does not come until the second."""
    hurry, last = threading.Event(), threading.Event()

    def behave(link: socket.socket, _: threading.Event) -> None:
        request = server.requests[-1]
        if not request.startswith(b"HEAD"):
            hurry.wait(SLOW)
            if f"/{IMAGES - 1}.jpg".encode() in request:
                last.wait()
        link.sendall(answer(picture(1)))

    with serving() as serve:
        server = serve(behave)
        yield server, hurry, last
        hurry.set()
        last.set()


@pytest.mark.slow
def test_a_run_without_a_number_of_workers_grows_with_the_cluster_and_lets_idle_nodes_go(
    growing: Nodes, images: tuple[Server, threading.Event, threading.Event], model: Path, tmp_path: Path
) -> None:
    server, hurry, last = images
    addresses, catalog, log = tmp_path / "addresses.csv", tmp_path / "catalog", tmp_path / "log"
    addresses.write_text("uri\n" + "".join(f"{server.url}/{number}.jpg\n" for number in range(IMAGES)))
    line: list[str | Path] = [
        BIN / "artylyze",
        "tag",
        addresses,
        "-o",
        catalog,
        "--model",
        model,
        "--shard-size",
        str(SHARD_SIZE),
    ]
    with log.open("wb") as output:
        driver = subprocess.Popen(line, env=growing.environment, stdout=output, stderr=output)
    try:
        growing.wait_for(3)  # the head and two machines
        hurry.set()
        growing.wait_for(2)  # one shard is left
        assert driver.poll() is None, log.read_text()
        last.set()
        driver.wait(300)
    finally:
        driver.kill()
        driver.wait()
    said = log.read_text()
    assert driver.returncode == 0, said
    assert "starting 1 worker, and more as the cluster grows" in said
    assert (read_snapshot(str(catalog)).rows, read_snapshot(str(catalog)).ok) == (IMAGES, IMAGES)
