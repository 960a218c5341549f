"""What a GPU does for artylyze: decoding, the model, the whole engine of one machine, and clustering.

    python benchmarks/gpu_check.py --data paintings/ --out benchmarks/results

It needs torch and no Ray, cuML, DuckDB, object store or network, so that it runs where little is installed. Images are
read again and again under other names until a run is long enough. With `--device cpu` it checks itself, which says
nothing about speed.

What is measured, in images per second: decoding alone by all child processes; the model alone on pixels that lie in
memory (the ceiling); the engine from files to committed parts, with the utilisation that the driver reports meanwhile.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from artylyze.catalog.plan import plan_shards, shard_size
from artylyze.catalog.run import RunSpec, run_store
from artylyze.clustering.em import fit_mixture, reduce
from artylyze.clustering.kmeans import CpuKMeans, TorchKMeans
from artylyze.collection.manifest import COLUMNS, open_manifest, write_manifest
from artylyze.errors import ImageError
from artylyze.models.backbones import OFFLINE_BACKBONE, load_backbone
from artylyze.models.build import assemble, with_graph
from artylyze.models.bundle import Bundle
from artylyze.models.runtimes import TorchRuntime, resolve_precision
from artylyze.tagging.local_engine import LocalEngine
from artylyze.tagging.shard import ShardSettings
from artylyze.workers.fetching import Source
from artylyze.workers.protocol import Seen
from artylyze.workers.reading import Reader
from artylyze.workers.supervision import cores

HEAVY = "vit_large_patch16_224"
"""A model that takes a GPU more time than decoding takes the cores; its weights are random, which costs the same."""

ENDINGS = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".jp2", ".webp"}


@dataclass(frozen=True)
class Size:
    """How much is measured: seconds of decoding, of the model and of the engine; what is clustered."""

    seconds: float
    rows: int
    columns: int
    clusters: int


FULL, QUICK = Size(12.0, 200_000, 1_280, 64), Size(1.0, 3_000, 96, 8)


@dataclass
class Gauge:
    """What the driver says of a GPU while something runs: percent of the time that a kernel ran, and MiB in use."""

    utilisation: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float | None]:
        """Return mean and median utilisation as shares, and the most memory; None where nothing was read."""
        if not self.utilisation:
            return {"utilisation_mean": None, "utilisation_median": None, "memory_mib": None}
        return {
            "utilisation_mean": round(statistics.mean(self.utilisation) / 100, 3),
            "utilisation_median": round(statistics.median(self.utilisation) / 100, 3),
            "memory_mib": max(self.memory),
        }


@contextmanager
def watched(device: str) -> Iterator[Gauge]:
    """Read the gauge of the GPU five times a second meanwhile."""
    gauge = Gauge()
    if device == "cpu":
        yield gauge
        return
    query = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-lms", "200"]
    process = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)

    def read() -> None:
        for line in process.stdout or ():
            used, memory = line.split(",")
            gauge.utilisation.append(float(used))
            gauge.memory.append(float(memory))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield gauge
    finally:
        process.kill()
        process.wait()
        thread.join()


def bundle_for(name: str, device: str) -> Bundle:
    """A model without heads: the offline backbone with its weights, any other with random ones."""
    torch.manual_seed(0)
    backbone = load_backbone(name, pretrained=name == OFFLINE_BACKBONE)
    bundle = assemble(backbone, (), {}, embedding_dim=backbone.dim)
    return with_graph(bundle) if device == "cpu" else bundle


def files_of(folder: Path) -> list[Path]:
    """The images of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if not files:
        raise SystemExit(f"There is no image in {folder}.")
    return files


def decode_alone(files: Sequence[Path], size: int, seconds: float) -> dict[str, Any]:
    """Images per second of all child processes that decode, nothing behind them; the first fifth is left out."""
    repeated = [Source(str(path)) for _ in range(1 + 200_000 // len(files)) for path in files]
    outcomes: list[Seen | ImageError | None] = [None] * len(repeated)
    counted, began, total = 0, 0.0, time.monotonic()
    with Reader(size, decoders=cores(), fetchers=max(8, cores())) as reader:
        for batch in reader.read(repeated, outcomes, 64):
            now = time.monotonic()
            if not began and now - total > seconds / 5:
                began = now
            elif began:
                counted += len(batch.rows)
            if began and now - began > seconds:
                break
    return {"processes": cores(), "images_per_second": round(counted / (time.monotonic() - began), 1)}


def model_alone(bundle: Bundle, device: str, seconds: float) -> dict[str, Any]:
    """Images per second of the model on random pixels that lie in memory: what the engine cannot exceed."""
    precision = resolve_precision("auto", "cuda" if device == "cuda" else "cpu")
    runtime = TorchRuntime(bundle, "cuda" if device == "cuda" else "cpu", precision)
    size = bundle.preprocessing.size
    count = 1024 if device == "cuda" else 8
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    runtime.run(pixels)
    with watched(device) as gauge:
        done, began = 0, time.monotonic()
        while (taken := time.monotonic() - began) < seconds:
            runtime.run(pixels)
            done += count
    return {"precision": precision, "images_per_second": round(done / taken, 1), **gauge.summary()}


def engine(files: Sequence[Path], bundle: Bundle, device: str, images: int, folder: Path) -> dict[str, Any]:
    """Images per second from files to committed parts, start-up apart: between the first receipt and the last."""
    catalog = str(folder / "catalog")
    ids = [f"{number:07d}" for number in range(images)]
    uris = [str(files[number % len(files)]) for number in range(images)]
    sizes = [files[number % len(files)].stat().st_size for number in range(images)]
    schema = pa.schema(COLUMNS)
    batch = pa.record_batch([ids, ids, uris, sizes, pa.nulls(images, pa.string())], schema=schema)
    store = run_store(catalog, "gpu-check")
    write_manifest([batch], schema, f"{store.url}/manifest.parquet")
    manifest = open_manifest(f"{store.url}/manifest.parquet")
    side, precision = bundle.preprocessing.size, resolve_precision("auto", "cuda" if device == "cuda" else "cpu")
    shards = plan_shards(manifest.sizes, shard_size(images, cores(), side))
    dim, planned = bundle.embedding_dim, tuple(shards)
    spec = RunSpec("gpu-check", "tag", None, bundle.model_id, (), dim, {}, device, precision, {}, "", planned)
    settings = ShardSettings(
        catalog, spec.run_id, bundle.model_id, (), bundle.embedding_dim, side, top_k=5, conditional=True
    )
    chosen = LocalEngine().choose_workers(spec, None, None, separate=True)
    began = time.monotonic()
    with watched(device) as gauge:
        tagged = LocalEngine().tag_shards(settings, bundle, shards, chosen)
        receipts = [(time.monotonic(), receipt) for receipt in tagged]
    # The first round of shards fills the pipeline, the last drains it: the rate is that of what lies between.
    first, last = min(chosen.readers, len(receipts) // 4), len(receipts) - 1 - min(chosen.readers, len(receipts) // 4)
    rows = sum(receipt.rows for _, receipt in receipts[first + 1 : last + 1])
    steady = rows / max(1e-9, receipts[last][0] - receipts[first][0])
    return {
        "images": images,
        "rows": sum(receipt.rows for _, receipt in receipts),
        "ok": sum(receipt.ok for _, receipt in receipts),
        "readers": chosen.readers,
        "seconds": round(receipts[-1][0] - began, 2),
        "seconds_to_first_shard": round(receipts[0][0] - began, 2),
        "images_per_second": round(steady, 1),
        **gauge.summary(),
    }


def agreement(files: Sequence[Path], bundle: Bundle, device: str) -> float:
    """Least cosine between an image's embedding on the device and on the CPU in float32, over some images."""
    side = bundle.preprocessing.size
    sources = [Source(str(path)) for path in files[:64]]
    outcomes: list[Seen | ImageError | None] = [None] * len(sources)
    with Reader(side) as reader:
        pixels = np.concatenate([batch.filled for batch in reader.read(sources, outcomes, 64)])
    on_cpu = TorchRuntime(bundle, "cpu", "float32").run(pixels).embedding
    there = TorchRuntime(bundle, "cuda").run(pixels).embedding if device == "cuda" else on_cpu
    cosines = (on_cpu * there).sum(axis=1) / np.linalg.norm(on_cpu, axis=1) / np.linalg.norm(there, axis=1)
    return round(float(cosines.min()), 5)


def blobs(size: Size) -> NDArray[np.float32]:
    """Overlapping groups in a few directions, as embeddings are: float32 (rows, columns)."""
    random = np.random.default_rng(0)
    groups = random.integers(0, 3 * size.clusters, size.rows)
    inner = min(64, size.columns)
    centres = random.normal(0, 1, (3 * size.clusters, inner))
    points = (centres[groups] + random.normal(0, 0.8, (size.rows, inner))).astype(np.float32)
    return points @ random.normal(0, 1, (inner, size.columns)).astype(np.float32)


def clustering(size: Size, device: str) -> dict[str, Any]:
    """KMeans and a mixture on the device beside the CPU's: seconds, and how good the fits are."""
    matrix = blobs(size)
    result: dict[str, Any] = {"rows": size.rows, "columns": size.columns, "clusters": size.clusters}
    fits = {}
    for name, make in (
        ("cpu", lambda: CpuKMeans(matrix, 0)),
        ("device", lambda: TorchKMeans(matrix, 0, device="cuda" if device == "cuda" else "cpu")),
    ):
        began = time.monotonic()
        fits[name] = make().fit(size.clusters)
        result[f"kmeans_{name}"] = {"seconds": round(time.monotonic() - began, 2), "inertia": fits[name].inertia}
    projection = reduce(matrix, 0.95, 0, 64)
    points = projection.apply(matrix)
    for name in ("cpu", "device"):
        where = "cpu" if name == "cpu" else ("cuda" if device == "cuda" else "torch")
        began = time.monotonic()
        fitted = fit_mixture(points, projection, fits["cpu"].labels, "diag", 0, where)
        result[f"mixture_{name}"] = {
            "seconds": round(time.monotonic() - began, 2),
            "log_likelihood": fitted.log_likelihood,
            "steps": fitted.steps,
        }
    return result


def machine(device: str) -> dict[str, Any]:
    """What it was measured on."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "cores": cores(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


def failures(results: dict[str, Any]) -> list[str]:
    """What is not as it must be, in sentences; speed is not judged."""
    found = []
    for name, model in results["models"].items():
        run = model["engine"]
        if not run["rows"] == run["ok"] == run["images"]:
            found.append(f"{name}: {run['ok']} of {run['images']} images were tagged, in {run['rows']} rows")
        if model["least_cosine"] < 0.99:
            found.append(f"{name}: embeddings differ from the CPU's, cosine {model['least_cosine']}")
    clusters = results["clustering"]
    if clusters["kmeans_device"]["inertia"] > 1.01 * clusters["kmeans_cpu"]["inertia"]:
        found.append("KMeans on the device is more than 1% worse than on the CPU")
    likelihoods = [clusters[f"mixture_{name}"]["log_likelihood"] for name in ("cpu", "device")]
    if abs(likelihoods[0] - likelihoods[1]) > 0.001 * abs(likelihoods[0]):
        found.append("the mixture's log-likelihood on the device differs from the CPU's by more than 0.1%")
    return found


def table(results: dict[str, Any]) -> str:
    """The results for a terminal."""
    lines = [f"{results['machine']['device']}, {results['machine']['cores']} cores"]
    for name, model in results["models"].items():
        decode, alone, run = (model[part] for part in ("decode", "model", "engine"))
        rates = [part["images_per_second"] for part in (decode, alone, run)]
        share = run["utilisation_mean"]
        lines += [
            f"{name} at {model['size']} pixels, images/s:",
            f"  decode alone         {rates[0]:>10,.1f}  ({decode['processes']} processes)",
            f"  model alone          {rates[1]:>10,.1f}  ({alone['precision']})",
            f"  files to catalog     {rates[2]:>10,.1f}  ({rates[2] / min(rates[:2]):.2f} of the lower)",
            f"  GPU in use           {'not read' if share is None else f'{share:.0%}':>10}",
            f"  seconds to the first committed shard: {run['seconds_to_first_shard']:.1f}",
            f"  least cosine to the CPU: {model['least_cosine']}",
        ]
    clusters = results["clustering"]
    rows, columns, count = (clusters[name] for name in ("rows", "columns", "clusters"))
    lines.append(f"{rows:,} x {columns:,} in {count} clusters, seconds: device, CPU")
    for name in ("kmeans", "mixture"):
        on_device, on_cpu = clusters[f"{name}_device"]["seconds"], clusters[f"{name}_cpu"]["seconds"]
        lines.append(f"  {name:<20} {on_device:>8.2f} {on_cpu:>8.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--data", type=Path, help="a folder with images; default: some are drawn")
    parser.add_argument("--out", type=Path, help="a folder for gpu-NAME.json")
    parser.add_argument("--models", default=f"{OFFLINE_BACKBONE},{HEAVY}", help="names of timm, with commas")
    parser.add_argument("--quick", action="store_true", help="little of everything: checks, but no figures")
    arguments = parser.parse_args()
    device = "cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu"
    if arguments.device == "cuda" and device == "cpu":
        raise SystemExit("torch sees no GPU here.")
    size = QUICK if arguments.quick else FULL
    results: dict[str, Any] = {"machine": machine(device), "quick": arguments.quick, "models": {}}
    with tempfile.TemporaryDirectory(prefix="artylyze-gpu-") as temporary:
        files = files_of(arguments.data or drawn(Path(temporary)))
        for name in arguments.models.split(","):
            bundle = bundle_for(name, device)
            side = bundle.preprocessing.size
            decode, alone = decode_alone(files, side, size.seconds), model_alone(bundle, device, size.seconds)
            rate = min(decode["images_per_second"], alone["images_per_second"])
            images = max(64, int(rate * size.seconds))
            results["models"][name] = {
                "size": side,
                "decode": decode,
                "model": alone,
                "engine": engine(files, bundle, device, images, Path(temporary, name)),
                "least_cosine": agreement(files, bundle, device),
            }
            print(json.dumps({name: results["models"][name]}), flush=True)
    results["clustering"] = clustering(size, device)
    print(table(results))
    if arguments.out:
        name = re.sub(r"[^a-z0-9]+", "-", results["machine"]["device"].lower())
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / f"gpu-{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    if wrong := failures(results):
        raise SystemExit("\n".join(wrong))


def drawn(folder: Path) -> Path:
    """A few generated images."""
    from artylyze.sample import write_sample

    write_sample(folder / "images", 48, seed=0)
    return folder / "images"


if __name__ == "__main__":
    main()
