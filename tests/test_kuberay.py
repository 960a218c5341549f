"""cluster-kuberay.yaml and job-kuberay.yaml are what KubeRay, Kubernetes and Ray's autoscaler take."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml  # type: ignore[import-untyped]

from artylyze.cli.app import app
from tests.autoscaler import launch

ROOT = Path(__file__).parents[1]

Resource = dict[str, Any]


def fields(required: tuple[str, ...] = (), **properties: Any) -> Resource:
    """The schema of an object that has these fields and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def several(schema: Resource) -> Resource:
    return {"type": "array", "items": schema}


TEXT, COUNT, SWITCH = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS, QUANTITIES = ({"additionalProperties": {"type": kind}} for kind in ("string", ["string", "integer"]))
RESOURCES = fields(requests=QUANTITIES, limits=QUANTITIES)
POD = fields(
    ("containers",),
    serviceAccountName=TEXT,
    restartPolicy={"enum": ["Always", "OnFailure", "Never"]},
    securityContext=fields(runAsNonRoot=SWITCH, runAsUser=COUNT, runAsGroup=COUNT, fsGroup=COUNT),
    nodeSelector=TEXTS,
    tolerations=several(fields(key=TEXT, operator=TEXT, effect=TEXT)),
    containers=several(
        fields(
            ("name", "image"),
            name=TEXT,
            image=TEXT,
            resources=RESOURCES,
            volumeMounts=several(fields(("name", "mountPath"), name=TEXT, mountPath=TEXT)),
        )
    ),
    volumes=several(fields(("name",), name=TEXT, emptyDir=fields(medium={"enum": ["", "Memory"]}, sizeLimit=TEXT))),
)
GROUP = {"rayStartParams": TEXTS, "template": fields(("spec",), spec=POD), "resources": TEXTS, "labels": TEXTS}
CLUSTER = fields(
    ("headGroupSpec",),
    rayVersion=TEXT,
    authOptions=fields(mode={"enum": ["disabled", "token"]}),
    enableInTreeAutoscaling=SWITCH,
    autoscalerOptions=fields(
        version={"enum": ["v1", "v2"]},
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        idleTimeoutSeconds=COUNT,
        resources=RESOURCES,
    ),
    headGroupSpec=fields(("template",), **GROUP, serviceType=TEXT),
    workerGroupSpecs=several(
        fields(
            ("groupName", "minReplicas", "maxReplicas", "template"),
            **(GROUP | {"groupName": TEXT, "replicas": COUNT, "minReplicas": COUNT, "maxReplicas": COUNT}),
            idleTimeoutSeconds=COUNT,
        )
    ),
)
JOB = fields(("entrypoint",), clusterSelector=TEXTS, entrypoint=TEXT, rayClusterSpec=CLUSTER, submissionMode=TEXT)
"""The fields of pods, and of KubeRay 1.5's RayCluster and RayJob, that these files may use, by the API references."""


@pytest.fixture(scope="module")
def resources() -> dict[str, Resource]:
    """The resources of both files, by kind; of service accounts the last."""
    files = ("cluster-kuberay.yaml", "job-kuberay.yaml")
    return {
        resource["kind"]: resource
        for name in files
        for resource in yaml.safe_load_all((ROOT / name).read_text("utf-8"))
    }


@pytest.fixture(scope="module")
def cluster(resources: dict[str, Resource]) -> Resource:
    spec: Resource = resources["RayCluster"]["spec"]
    return spec


def groups(cluster: Resource) -> list[Resource]:
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def test_kuberay_has_their_fields(resources: dict[str, Resource]) -> None:
    assert set(resources) == {"ServiceAccount", "RayCluster", "RayJob"}
    for kind, schema in (("RayCluster", CLUSTER), ("RayJob", JOB)):
        assert resources[kind]["apiVersion"] == "ray.io/v1"
        jsonschema.validate(resources[kind]["spec"], schema)


@pytest.mark.parametrize(
    "path",
    [
        ("auth",),
        ("workerGroupSpecs", 0, "maxReplica"),
        ("headGroupSpec", "template", "spec", "containers", 0, "mounts"),
    ],
)
def test_a_mistyped_field_is_noticed(cluster: Resource, path: tuple[str | int, ...]) -> None:
    wrong: Any = json.loads(json.dumps(cluster))
    place = wrong
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = {}
    with pytest.raises(jsonschema.ValidationError, match=f"'{path[-1]}' was unexpected"):
        jsonschema.validate(wrong, CLUSTER)


def test_rays_autoscaler_starts_cpu_pods_for_cpu_work_and_gpu_pods_for_gpu_work(resources: dict[str, Resource]) -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    cluster = resources["RayCluster"]
    config = _derive_autoscaling_config_from_ray_cr(
        {**cluster, "metadata": {**cluster["metadata"], "namespace": "art"}}
    )
    assert config["available_node_types"]["headgroup"]["resources"]["CPU"] == 0
    assert launch(config, {"CPU": 1}, 30) == {"decode": 2}
    assert launch(config, {"CPU": 1, "GPU": 1}, 2) == {"gpu": 2}


def test_nobody_gets_in_without_a_token_and_nothing_waits_at_anyones_cost(cluster: Resource) -> None:
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    assert all(group["minReplicas"] == group["replicas"] == 0 for group in cluster["workerGroupSpecs"])


def test_no_pod_is_root_and_only_the_heads_account_may_scale(cluster: Resource) -> None:
    pods = [group["template"]["spec"] for group in groups(cluster)]
    assert all(pod["securityContext"]["runAsNonRoot"] for pod in pods)
    assert [pod["serviceAccountName"] for pod in pods] == ["artylyze-head", "artylyze-worker", "artylyze-worker"]


def test_shared_memory_holds_the_object_store(cluster: Resource) -> None:
    for group in groups(cluster):
        pod = group["template"]["spec"]
        (volume,) = pod["volumes"]
        (container,) = pod["containers"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/dev/shm"}]  # noqa: S108 - the pod's
        assert volume["emptyDir"]["medium"] == "Memory"
        limit = int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi"))
        assert int(group["rayStartParams"]["object-store-memory"]) < limit * 2**30
        assert limit < int(container["resources"]["limits"]["memory"].removesuffix("Gi"))


def test_versions_and_names_agree(resources: dict[str, Resource], cluster: Resource) -> None:
    assert f"ray=={cluster['rayVersion']}" in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    selected = resources["RayJob"]["spec"]["clusterSelector"]
    assert selected == {"ray.io/cluster": resources["RayCluster"]["metadata"]["name"]}


def test_the_jobs_command_exists(resources: dict[str, Resource]) -> None:
    python, module, package, name, *arguments = shlex.split(resources["RayJob"]["spec"]["entrypoint"])
    assert (python, module, package) == ("python", "-m", "artylyze")
    command: Any = typer.main.get_command(app)
    known = {option for parameter in command.commands[name].params for option in parameter.opts}
    assert {word for word in arguments if word.startswith("-")} <= known


@pytest.mark.parametrize(("torch", "backend"), [("cpu", ["--torch-backend=cpu"]), ("cuda", [])])
def test_the_image_installs_what_the_constraints_pin_with_the_torch_that_is_asked_for(
    torch: str, backend: list[str]
) -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    (install,) = [line for line in text.splitlines() if line.startswith("RUN pip install")]
    shown = install.removeprefix("RUN ").replace("pip install", "echo").replace("uv echo", "echo")
    said = subprocess.run(["sh", "-c", f"TORCH={torch}; {shown}"], check=True, capture_output=True, text=True).stdout
    words = said.splitlines()[1].split()
    assert [word for word in words if word.startswith("--torch")] == backend
    assert words[-4:] == ["--constraint", "constraints.txt", "--requirements", "pyproject.toml"]
