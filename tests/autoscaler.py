"""What Ray's autoscaler v2, which `ray up` and KubeRay start, would do with a configuration."""

from __future__ import annotations

from typing import Any


def launch(config: dict[str, Any], demand: dict[str, float], count: int) -> dict[str, int]:
    """The nodes of each type that its scheduler starts for so many of a demand, with the head already there."""
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.schema import AutoscalerInstance
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.autoscaler_pb2 import NodeState  # type: ignore[attr-defined]
    from ray.core.generated.instance_manager_pb2 import Instance, NodeKind  # type: ignore[attr-defined]

    read = AutoscalingConfig(config, skip_content_hash=True)
    name = read.get_head_node_type()
    head = Instance(instance_id="head", instance_type=name, status=Instance.RAY_RUNNING, node_kind=NodeKind.HEAD)
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=read.get_node_type_configs(),
        max_num_nodes=read.get_max_num_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count([ResourceRequestUtil.make(demand)] * count),
        current_instances=[AutoscalerInstance(cloud_instance_id="head", ray_node=NodeState(), im_instance=head)],
    )
    reply = ResourceDemandScheduler().schedule(request)
    return {started.instance_type: started.count for started in reply.to_launch}
