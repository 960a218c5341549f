"""cluster.yaml is a configuration that Ray and EC2 take, and one that keeps the cluster closed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.autoscaler import launch

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "cluster.yaml").read_text(encoding="utf-8")

SPOT = ("decode-spot-c7i", "decode-spot-c6i", "decode-spot-c6a")

Config = dict[str, Any]


@pytest.fixture(scope="module")
def written() -> Config:
    """The file as it stands."""
    config: Config = yaml.safe_load(TEXT)
    return config


@pytest.fixture(scope="module")
def cluster(written: Config) -> Config:
    """The file as Ray completes it before it launches anything."""
    from ray.autoscaler._private.util import prepare_config

    prepared: Config = prepare_config(written)
    return prepared


def workers(cluster: Config) -> dict[str, Config]:
    return {name: kind for name, kind in cluster["available_node_types"].items() if name != cluster["head_node_type"]}


def filled(cluster: Config) -> Config:
    """The file as `ray up` gives it to the head: with the resources that EC2 reports of the instance types."""
    memory = 24 * 2**30
    found = {
        "c": {"CPU": 16, "memory": memory},
        "g": {"CPU": 16, "memory": 2 * memory, "GPU": 1, "accelerator_type:L4": 1},
    }
    kinds = {
        name: {**kind, "resources": kind["resources"] or found[kind["node_config"]["InstanceType"][0]]}
        for name, kind in cluster["available_node_types"].items()
    }
    return {**cluster, "available_node_types": kinds}


def test_rays_own_check_accepts_it(cluster: Config) -> None:
    from ray.autoscaler._private.util import validate_config

    validate_config(cluster)


def test_ec2_takes_every_parameter_of_every_node_type(cluster: Config) -> None:
    import botocore.session
    from botocore.validate import ParamValidator

    call = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    for name, kind in cluster["available_node_types"].items():
        asked = {
            key: value for key, value in kind["node_config"].items() if key != "SubnetIds"
        }  # Ray picks one of them
        report = ParamValidator().validate({**asked, "MinCount": 1, "MaxCount": 1}, call)
        assert not report.has_errors(), f"{name}: {report.generate_report()}"


def test_the_head_takes_no_work(cluster: Config) -> None:
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert head["max_workers"] == 0
    assert "--num-cpus=0" in cluster["head_start_ray_commands"][-1]


def test_no_worker_waits_at_anyones_cost(cluster: Config) -> None:
    assert all(kind["min_workers"] == 0 for kind in workers(cluster).values())
    assert sum(kind["max_workers"] for kind in workers(cluster).values()) == cluster["max_workers"]
    assert cluster["idle_timeout_minutes"] <= 15
    assert cluster["provider"]["cache_stopped_nodes"] is False


def test_workers_are_spot_unless_their_name_says_otherwise(cluster: Config) -> None:
    for name, kind in workers(cluster).items():
        spot = kind["node_config"].get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        assert spot is not name.endswith("on-demand"), name


def test_cpu_work_starts_spot_nodes_of_several_markets_and_gpu_work_gpu_nodes(cluster: Config) -> None:
    assert launch(filled(cluster), {"CPU": 1}, 9 * 16) == dict.fromkeys(SPOT, 3)
    assert launch(filled(cluster), {"CPU": 1, "GPU": 1}, 2) == {"gpu-spot": 2}


def test_what_exceeds_the_spot_nodes_runs_on_demand_and_nothing_exceeds_the_bound(cluster: Config) -> None:
    assert launch(filled(cluster), {"CPU": 1}, 24 * 16) == dict.fromkeys(SPOT, 8)
    assert launch(filled(cluster), {"CPU": 1}, 26 * 16) == {**dict.fromkeys(SPOT, 8), "decode-on-demand": 2}
    assert launch(filled(cluster), {"CPU": 1, "GPU": 1}, 3) == {"gpu-spot": 2, "gpu-on-demand": 1}
    assert sum(launch(filled(cluster), {"CPU": 1}, 1000).values()) == cluster["max_workers"]


def test_a_node_type_that_ec2_refuses_keeps_its_rank_as_the_file_warns() -> None:
    from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
    from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent  # type: ignore[attr-defined]

    def ranks(status: int) -> dict[str, float]:
        monitor = CloudResourceMonitor()
        monitor.notify([InstanceUpdateEvent(instance_id="1", instance_type=SPOT[0], new_instance_status=status)])
        return monitor.get_recoverable_resource_availabilities()

    assert ranks(Instance.ALLOCATION_FAILED) == {}
    assert ranks(Instance.ALLOCATION_TIMEOUT) == {SPOT[0]: 0.0}


def test_gpu_nodes_run_cpu_work_only_when_all_others_are_taken(cluster: Config) -> None:
    assert not any(name.startswith("gpu") for name in launch(filled(cluster), {"CPU": 1}, 32 * 16))
    assert launch(filled(cluster), {"CPU": 1}, 33 * 16)["gpu-spot"] == 1


def test_the_quotas_it_asks_for_are_those_of_its_bounds(cluster: Config) -> None:
    def cores(*names: str) -> int:
        return sum(16 * cluster["available_node_types"][name]["max_workers"] for name in names)

    head = 4
    needed = (cores(*SPOT), cores("decode-on-demand") + head, cores("gpu-spot"), cores("gpu-on-demand"))
    said = re.search(
        r"bounds below: (\d+) of \"All Standard Spot.*?, (\d+) of \"Running On-Demand.*?, (\d+) each", TEXT, re.DOTALL
    )
    assert said is not None
    assert tuple(map(int, (*said.groups(), said[3]))) == needed


def test_every_node_uses_an_instance_profile_and_no_key(written: Config) -> None:
    for kind in written["available_node_types"].values():
        assert kind["node_config"]["IamInstanceProfile"]["Name"].startswith("artylyze-")
        assert "KeyName" not in kind["node_config"]
    assert "aws_credentials" not in written["provider"]
    assert "ssh_private_key" not in written["auth"]


def test_no_node_has_a_public_address(written: Config) -> None:
    assert written["provider"]["use_internal_ips"] is True
    for kind in written["available_node_types"].values():
        assert kind["node_config"]["SubnetIds"]
        assert kind["node_config"]["SecurityGroupIds"]
        assert "NetworkInterfaces" not in kind["node_config"]
    assert "--dashboard-host=127.0.0.1" in written["head_start_ray_commands"][-1]


def test_disks_are_encrypted_and_credentials_need_a_session_token(written: Config) -> None:
    for kind in written["available_node_types"].values():
        assert kind["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
        assert all(disk["Ebs"]["Encrypted"] for disk in kind["node_config"]["BlockDeviceMappings"])


@pytest.mark.parametrize("role", ["head", "worker"])
def test_every_start_command_turns_token_authentication_on(written: Config, role: str) -> None:
    token, _, start = written[f"{role}_start_ray_commands"]
    assert "secretsmanager" in token
    assert token.endswith("> ~/.ray/auth_token")
    starts = [command for command in written[f"{role}_start_ray_commands"] if "ray start" in command]
    assert starts == [start]
    assert start.index("export RAY_AUTH_MODE=token;") < start.index("ray start")


def test_the_region_is_the_same_everywhere(written: Config) -> None:
    assert set(re.findall(r"AWS_DEFAULT_REGION=(\S+)", TEXT)) == {written["provider"]["region"]}


def test_the_file_names_nobodys_account() -> None:
    found = re.findall(
        r"\b(?:(?:subnet|sg|ami|vpc|i)-[0-9a-f]{8,17}|\d{12}|(?:AKIA|ASIA)[0-9A-Z]{16}|arn:aws\S*)\b", TEXT
    )
    assert found == []
    assert "REPLACE_ME" in TEXT


def test_every_command_is_a_shell_command(cluster: Config) -> None:
    for group in ("head_setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        for command in cluster[group]:
            subprocess.run(["bash", "-n", "-c", command], check=True)


def test_nodes_install_what_the_constraints_pin_with_torch_for_cuda_where_there_is_a_gpu(
    written: Config, tmp_path: Path
) -> None:
    for local in written["file_mounts"].values():
        assert (ROOT / local).is_file()
    install = next(command for command in written["setup_commands"] if "uv pip install" in command)
    assert "--compile-bytecode" in install
    assert "--constraint ~/artylyze/constraints.txt" in install
    for program, backend in (("true", []), ("false", ["--torch-backend=cpu"])):
        tools = tmp_path / program
        tools.mkdir()
        (tools / "nvidia-smi").symlink_to(f"/bin/{program}")
        echo = install.replace("~/env/bin/uv", "echo")
        said = subprocess.run(["bash", "-c", f"PATH={tools}:$PATH; {echo}"], check=True, capture_output=True, text=True)
        assert [word for word in said.stdout.split() if word.startswith("--torch")] == backend
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert re.search(r"^torch==[\d.]+$", pins, re.MULTILINE)  # no local version such as +cpu: PyPI's build, with CUDA
