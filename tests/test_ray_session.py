"""What RAY_ADDRESS names, a cluster to join or a dashboard, and what a cluster has no room for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from artylyze.catalog.snapshot import read_snapshot
from artylyze.ray_session import cluster_address, describe_waits
from tests.small import Listener
from tests.tagging.conftest import fill

DASHBOARD = "http://127.0.0.1:8265"


@pytest.mark.parametrize(
    ("address", "cluster"),
    [(None, None), ("", None), ("auto", "auto"), ("10.0.0.1:6379", "10.0.0.1:6379"), (DASHBOARD, None)],
)
def test_a_cluster_is_joined_and_a_dashboard_is_not(
    address: str | None, cluster: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    listener = Listener()
    assert cluster_address(listener) == cluster
    assert bool(listener.said) == (address == DASHBOARD)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["auto", "ray"])
def test_with_the_address_of_a_dashboard_a_command_runs_on_this_machine_and_says_so(
    engine: str, home: Path, model: Path, tmp_path: Path
) -> None:
    images, catalog = fill(tmp_path / "images", 4), tmp_path / "catalog"
    ended = subprocess.run(
        [sys.executable, "-m", "artylyze", "tag", images, "-o", catalog, "--model", model, "--engine", engine],
        env={**os.environ, "RAY_ADDRESS": DASHBOARD},
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert read_snapshot(str(catalog)).ok == 4
    assert ended.stderr.count("is a dashboard, which takes jobs: this command runs on this machine") == 1


def status(*demands: tuple[int, dict[str, float]]) -> Any:
    """An answer of Ray's control store to `ray status`, with so many tasks of each kind waiting."""
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply  # type: ignore[attr-defined]

    reply = GetClusterStatusReply()
    for count, resources in demands:
        waiting = reply.cluster_resource_state.pending_resource_requests.add(count=count)
        waiting.request.resources_bundle.update(resources)
    return reply


def test_a_cluster_with_room_for_all_has_nothing_to_say() -> None:
    assert describe_waits(status()) is None


def test_without_an_autoscaler_no_node_is_starting() -> None:
    assert describe_waits(status((126, {"CPU": 1.0}))) == (
        "Waiting for room on the Ray cluster for 126 x {CPU: 1}. Its autoscaler reports no node that is starting."
    )


def test_a_placement_group_waits_for_all_its_bundles() -> None:
    found = status((1, {"CPU": 2.0}))
    group = found.cluster_resource_state.pending_gang_resource_requests.add()
    for _ in range(3):
        group.requests.add().resources_bundle.update({"CPU": 2.0})
    assert describe_waits(found) == (
        "Waiting for room on the Ray cluster for 4 x {CPU: 2}. Its autoscaler reports no node that is starting."
    )


def test_nodes_that_start_and_that_could_not_start_are_named() -> None:
    found = status((128, {"CPU": 1.0}), (2, {"GPU": 1.0, "memory": 8e9}))
    scaler = found.autoscaling_state
    scaler.pending_instance_requests.add(ray_node_type_name="decode-spot", count=6)
    for number in range(2):
        scaler.pending_instances.add(ray_node_type_name="decode-spot", details=f"allocated instance i-{number}")
    reason = "InsufficientInstanceCapacity: no g6.4xlarge in eu-central-1a"
    scaler.failed_instance_requests.add(ray_node_type_name="gpu-spot", count=2, reason=reason)
    scaler.infeasible_resource_requests.add().resources_bundle.update({"GPU": 1.0, "memory": 1e12})
    assert describe_waits(found) == (
        "Waiting for room on the Ray cluster for 128 x {CPU: 1}, 2 x {GPU: 1, memory: 8.0 GB}. Its autoscaler is "
        "starting 2 x decode-spot (allocated), 6 x decode-spot (requested). It could not start 2 x gpu-spot: "
        "InsufficientInstanceCapacity: no g6.4xlarge in eu-central-1a. No node that it may start has room for "
        "{GPU: 1, memory: 1.0 TB}."
    )
