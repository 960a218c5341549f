"""What tests share: a home of their own, one Ray for the session, and real S3 servers on loopback."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("artylyze", deadline=None)  # no test judges by the clock
settings.load_profile("artylyze")

pytest_plugins = ("tests.fixtures",)

NOBODY = 65534
KEY, SECRET = "artylyze", "artylyze-secret"
PLUGINS = Path(__file__).parent / "faults" / "plugins"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first: of two processes none is left alone with a long file at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder in which file permissions mean something, even if the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="artylyze-nobody-"))
    before = os.geteuid()
    if before == 0:
        os.chown(folder, NOBODY, -1)
        os.seteuid(NOBODY)
    yield folder
    os.seteuid(before)
    shutil.rmtree(folder)


def obey_permissions() -> None:
    """Take from this process, and what it executes, root's right to read everything: for `subprocess`'s preexec_fn."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            if libc.prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
                raise OSError(ctypes.get_errno(), "prctl")


@pytest.fixture(scope="session", autouse=True)
def home() -> Iterator[Path]:
    """A home folder of the tests' own: Ray writes an authentication token there, artylyze its cache of bundles."""
    before = {name: os.environ.get(name) for name in ("HOME", "XDG_CACHE_HOME")}
    folder = Path(tempfile.mkdtemp(prefix="artylyze-home-"))
    os.environ.update(HOME=str(folder), XDG_CACHE_HOME=str(folder / "cache"))
    yield folder
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def bundles(home: Path) -> None:
    """The default model, built once: the tests that run the pipeline then start in seconds."""
    from artylyze.models.resolve import resolve_model

    resolve_model()


@pytest.fixture(scope="session")
def model(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle: timm's test architecture at 64 pixels with random weights, and two random heads."""
    import numpy as np
    import torch

    from artylyze.models.backbones import load_backbone
    from artylyze.models.build import build_bundle
    from artylyze.models.bundle import Task
    from artylyze.models.folder import save

    tasks = (
        Task("genre", ("portrait", "landscape", "still life"), temperature=1.5, review_threshold=0.5),
        Task("style", ("Impressionism", "Cubism"), temperature=0.7, review_threshold=0.7),
    )
    torch.manual_seed(0)
    backbone = load_backbone("test_efficientnet", pretrained=False, size=64)
    random = np.random.default_rng(0)
    heads = {t.name: (random.normal(size=(len(t.terms), backbone.dim)), np.zeros(len(t.terms))) for t in tasks}
    folder = tmp_path_factory.mktemp("model") / "bundle"
    save(folder, build_bundle(backbone, tasks, heads))
    return folder


@pytest.fixture(scope="session")
def ray_cluster(home: Path, bundles: None) -> Iterator[None]:
    """One Ray for the whole session; its decoders know how to die, if an image asks them to."""
    import ray

    from artylyze.ray_session import connect

    os.environ["PYTHONPATH"] = os.pathsep.join([str(PLUGINS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, object_store_memory=2**30)
    connect()
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def _no_cpu_stays_taken(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which actors hold CPUs of `ray_cluster`: the next that trains would wait for them for ever."""
    yield
    if "ray_cluster" not in request.fixturenames:
        return
    import ray
    from ray._private.state import actors

    def free() -> bool:
        return bool(ray.available_resources().get("CPU", 0) == ray.cluster_resources()["CPU"])  # type: ignore[no-untyped-call]

    until = time.monotonic() + 60
    while not free() and time.monotonic() < until:
        time.sleep(0.05)
    if not free():
        left = {actor["ActorClassName"] for actor in actors().values() if actor["State"] != "DEAD"}
        pytest.fail(f"CPUs are still taken after this test; actors that live: {', '.join(sorted(left))}")


@dataclass(frozen=True)
class S3:
    """A server, and how to reach it: pass `environment` to what should use it."""

    endpoint: str
    conditional: bool

    @property
    def environment(self) -> dict[str, str]:
        """The AWS variables of this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """Return boto3's client for it."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def bucket(self, name: str) -> str:
        """Make a new bucket and return its address."""
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3]:
    """Honours conditional puts."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _serving(command, port):
        yield S3(f"http://127.0.0.1:{port}", conditional=True)


@pytest.fixture(scope="session")
def juicefs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """JuiceFS's gateway, which carries MinIO's S3 stack: ignores conditional puts and lists without ETags."""
    folder = tmp_path_factory.mktemp("juicefs")
    binary = str(Path(sys.executable).parent / "juicefs")
    meta = f"sqlite3://{folder}/meta.db"
    subprocess.run(
        [binary, "format", "--storage", "file", "--bucket", f"{folder}/data/", meta, "tests"],
        check=True,
        capture_output=True,
    )
    [port] = free_ports(1)
    command = [binary, "gateway", "--multi-buckets", "--no-usage-report", meta, f"127.0.0.1:{port}"]
    with _serving(command, port, MINIO_ROOT_USER=KEY, MINIO_ROOT_PASSWORD=SECRET):
        yield S3(f"http://127.0.0.1:{port}", conditional=False)


@pytest.fixture(params=["moto", "juicefs"])
def s3(request: pytest.FixtureRequest) -> S3:
    """Each server in turn."""
    server: S3 = request.getfixturevalue(f"{request.param}_server")
    return server


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[S3], None]]:
    """Point this process at a server; buckets that were opened before are forgotten."""
    from artylyze.storage.objects import open_bucket

    def point(server: S3) -> None:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        open_bucket.cache_clear()

    yield point
    open_bucket.cache_clear()


def free_ports(count: int) -> list[int]:
    """Return ports that are free now, and that neither Ray's workers nor the system's connections are given.

    One of theirs can be taken before its server starts: a node of Ray then does not come up.
    """
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            port = random.SystemRandom().randrange(20_000, 32_768)  # test processes share their seeds
            with suppress(OSError):
                stack.enter_context(socket.socket()).bind(("", port))
                found.append(port)
        return found


@contextmanager
def _serving(command: list[str], port: int, **environment: str) -> Iterator[None]:
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(port, process)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"nothing answers on port {port}")
