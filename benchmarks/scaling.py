"""How tagging on Ray grows with the nodes of the cluster: images/s at 1, 2 and 4 nodes, and at several sizes of shards.

python -m benchmarks.scaling --images FOLDER --out benchmarks/results [--quick]

The nodes are Ray nodes of one CPU, all on this machine, beside a head that takes no work, so that each node has one
worker. Two workloads:

- `cpu`: images of a folder. What is measured here cannot grow beyond the cores of this machine, however many nodes
  there are.
- `waits`: each image comes from a web server that answers after LATENCY, and a worker fetches FETCHERS at a time. The
  workers wait most of the time, so a few cores hold many of them: this shows what Ray, the driver and the commits add
  when nodes are added, and nothing about decoding.

Every figure is the line through a shorter and a longer run in one process (see measure.py), on a cluster that is up.
`dispatch` is the same pipeline with a stage that does nothing, in shards per second: what the driver can hand out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.measure import ContestantError, busy, machine, rate, run_contestant, versions
from benchmarks.report import Check

NODES = (1, 2, 4)
SHARDS = (16, 64, 256)
"""Images of a shard; the first is what NODES are measured with."""
LATENCY = 1.0
"""Seconds after which the web server of `waits` answers."""
LENGTHS = {"cpu": (300, 1200), "waits": (48, 192)}
"""Images of the shorter and of the longer run for each node that can be busy."""
DISPATCHED = 24_000
"""Shards of ten million images of 224 pixels."""
STORE = 200 * 2**20
MODEL = "timm:tf_efficientnet_lite0"

Result = dict[str, Any]


def measure(images: Sequence[Path], scratch: Path, *, quick: bool = False) -> Result:
    """Measure both workloads at every number of nodes, shard sizes on all cores, and dispatch.

    Args:
        images: files on this machine; they are taken again where they are too few.
        scratch: a folder for everything that is written.
        quick: a few images and shards only.
    """
    cores = len(os.sched_getaffinity(0))
    if quick:
        runs = [("cpu", 1, SHARDS[0]), ("waits", 1, SHARDS[0]), ("waits", 2, SHARDS[0])]
    else:
        runs = [(workload, nodes, SHARDS[0]) for workload in LENGTHS for nodes in NODES]
        runs += [("cpu", cores, size) for size in SHARDS[1:]]
    figures, before = {}, busy()
    for workload, nodes, size in runs:
        few, many = (length * (min(nodes, cores) if workload == "cpu" else nodes) for length in LENGTHS[workload])
        name = f"{workload}, {nodes} node{'s' * (nodes > 1)}, shards of {size}"
        lengths = (2 * size, 8 * size) if quick else (max(few, 2 * size * nodes), max(many, 8 * size * nodes))
        job = {"workload": workload, "nodes": nodes, "shard_size": size, "lengths": lengths}
        figures[name] = _in_a_process(scratch, job | {"images": [str(image.absolute()) for image in images]})
    dispatched = _in_a_process(
        scratch, {"workload": "dispatch", "shards": 100 if quick else DISPATCHED, "nodes": cores}
    )
    figures[f"dispatch, {dispatched['shards']:,} shards"] = dispatched
    for figure in figures.values():
        one = figures.get(f"{figure['workload']}, 1 node, shards of {SHARDS[0]}", {}).get("steady_per_second")
        if one and figure["steady_per_second"]:
            figure["efficiency"] = round(figure["steady_per_second"] / one / figure["nodes"], 3)
    return {
        "benchmark": "scaling",
        "machine": machine(),
        "versions": versions(),
        "settings": {"model": MODEL, "latency_seconds": LATENCY, "busy_before": before},
        "contestants": figures,
        "checks": [check.as_dict() for check in checks(figures, cores)],
    }


def checks(figures: Mapping[str, Mapping[str, Any]], cores: int) -> list[Check]:
    """The model of `predicted` beside what was measured, at the most nodes of each workload."""
    found = []
    for workload in LENGTHS:
        mine = [one for one in figures.values() if one["workload"] == workload and one["shard_size"] == SHARDS[0]]
        few, many = min(mine, key=lambda one: one["nodes"]), max(mine, key=lambda one: one["nodes"])
        if few is many or None in (few["steady_per_second"], many["steady_per_second"]):
            continue
        expected = predicted(few, many["nodes"], cores)
        what = f"{workload}: images/s at {many['nodes']} nodes / as predicted from 1 node"
        found.append(Check(what, many["steady_per_second"] / expected, least=0.7, most=1.4))
    return found


def predicted(one: Mapping[str, Any], nodes: int, cores: float) -> float:
    """Images per second of so many nodes, from the figures of one.

    Nodes add up until the cores are busy: an image takes the time of the stages that compute, and waiting takes none.

    Args:
        one: figures of one node with one worker: `steady_per_second` and `stages`.
        nodes: with a worker each.
        cores: that all nodes share; as many as nodes where each has its own.
    """
    stages = one["stages"]["workers"]
    computing = sum(1 / stages[name]["images_per_second"] for name in ("decode", "inference", "commit"))
    return float(min(nodes * one["steady_per_second"], cores / computing))


def _in_a_process(scratch: Path, job: Mapping[str, Any]) -> Result:
    folder = Path(tempfile.mkdtemp(prefix="scaling-", dir=scratch))
    (folder / "job.json").write_text(json.dumps(job))
    run_contestant([sys.executable, "-m", "benchmarks.scaling", "--job", str(folder)], folder / "log", interval=2.0)
    found: Result = json.loads((folder / "figures.json").read_text())
    return found


@contextmanager
def nodes_of_one_cpu(count: int) -> Iterator[None]:
    """Start a head that takes no work and so many nodes of one CPU; RAY_ADDRESS names them while the body runs."""
    from ray.cluster_utils import Cluster

    common = {"object_store_memory": STORE, "include_dashboard": False}
    cluster: Any = Cluster(initialize_head=True, head_node_args={**common, "num_cpus": 0})
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=1, object_store_memory=STORE)
        cluster.wait_for_nodes()
        os.environ["RAY_ADDRESS"] = cluster.address
        yield
    finally:
        import ray

        os.environ.pop("RAY_ADDRESS", None)
        ray.shutdown()
        cluster.shutdown()


@contextmanager
def slow_server(paths: Sequence[Path]) -> Iterator[str]:
    """Serve files as /NUMBER.jpg, any number, each LATENCY after it was asked for; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - the base class names it so

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            time.sleep(LATENCY)
            data = paths[int(self.path.strip("/").partition(".")[0]) % len(paths)].read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def work(folder: Path) -> Result:
    """Do the job of a folder in this process."""
    job = json.loads((folder / "job.json").read_text())
    if job["workload"] == "dispatch":
        with nodes_of_one_cpu(job["nodes"]):
            return dispatch(job["shards"], job["nodes"])
    paths = [Path(path) for path in job["images"]]
    with nodes_of_one_cpu(job["nodes"]), slow_server(paths) as url:
        runs = [_tag(folder, job, count, paths, url) for count in (job["lengths"][0], *job["lengths"])]
    (few, few_seconds, _), (many, many_seconds, stages) = runs[1:]  # the first run is for the caches
    steady = None
    with suppress(ValueError):  # start-up drowns so few images
        steady = round(rate(few, few_seconds, many, many_seconds).steady, 2)
    return {
        "workload": job["workload"],
        "nodes": job["nodes"],
        "shard_size": job["shard_size"],
        "images": many,
        "steady_per_second": steady,
        **{f"{stage}_share": figures["share"] for stage, figures in stages["workers"].items()},
        "stages": stages,
    }


def _tag(folder: Path, job: Mapping[str, Any], count: int, paths: Sequence[Path], url: str) -> tuple[int, float, Any]:
    """Tag so many images; return their number, the seconds, and what the stages took."""
    from artylyze.catalog.run import read_success, run_store
    from artylyze.tagging.job import run
    from artylyze.tagging.request import TagRequest
    from benchmarks.cluster_stream import Silent

    source = Path(tempfile.mkdtemp(dir=folder))
    if job["workload"] == "cpu":
        for number, path in enumerate(islice(cycle(paths), count)):
            (source / f"{number:06d}{path.suffix}").symlink_to(path)
    else:
        source /= "addresses.csv"
        source.write_text("uri\n" + "".join(f"{url}/{number}.jpg\n" for number in range(count)))
    output = f"{tempfile.mkdtemp(dir=folder)}/catalog"
    began = time.perf_counter()
    done = run(
        TagRequest(str(source), output, model=MODEL, device="cpu", workers=job["nodes"], shard_size=job["shard_size"]),
        Silent(),
    )
    seconds = time.perf_counter() - began
    success = read_success(run_store(output, done.run_id))
    if done.snapshot.ok != count or success is None:
        raise ContestantError(f"{done.snapshot.ok} of {count} images were tagged")
    return count, seconds, success["stages"]


class Nothing:
    """A stage that does nothing with a shard."""

    def __call__(self, block: Any) -> Any:
        return block


def dispatch(count: int, workers: int) -> Result:
    """Send shards through a stage that does nothing, as `tag_shards` sends them."""
    from artylyze.catalog.plan import Shard
    from artylyze.ray_session import connect
    from artylyze.tagging.ray_engine import as_dataset, stage

    connect()
    began = time.perf_counter()
    dataset = stage(
        as_dataset([Shard(number, number, number + 1) for number in range(count)]),
        Nothing,
        (workers, workers),
        {"num_cpus": 1},
    )
    built, first = time.perf_counter() - began, 0.0
    for number, _ in enumerate(dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)):
        first = first if number else time.perf_counter() - began
    seconds = time.perf_counter() - began
    return {
        "workload": "dispatch",
        "shards": count,
        "build_seconds": round(built, 2),
        "first_seconds": round(first, 2),
        "seconds": round(seconds, 2),
        "shards_per_second": round(count / (seconds - first), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of JPEGs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--quick", action="store_true", help="a few images and shards, to see that it runs")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.job:
        (asked.job / "figures.json").write_text(json.dumps(work(asked.job)))
        return
    with tempfile.TemporaryDirectory(prefix="artylyze-scaling-") as scratch:
        result = measure(sorted(asked.images.rglob("*.jpg")), Path(scratch), quick=asked.quick)
    (asked.out / "scaling.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
