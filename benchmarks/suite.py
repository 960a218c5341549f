"""The benchmarks behind `artylyze bench`: on anybody's images, from any storage, into any storage.

It knows what each benchmark needs and how long a laptop may take over it; what is measured, and how, the scripts know.
Peers and limits run beside each other on the machine that this process runs on, on local copies of the images: also in
a Ray job, whose cluster they leave alone.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from artylyze.errors import ArtylyzeError, ImageError, InputError, StorageError, UsageError
from artylyze.images import decode
from artylyze.progress import Watcher
from artylyze.storage import Store, fetch, open_store
from benchmarks import cluster, finetune, report, scale, scaling, sweep, tag
from benchmarks.measure import ARTYLYZE, ContestantError, run_contestant
from benchmarks.peers import SIZE
from benchmarks.picture import Panel, draw
from benchmarks.report import NAMES

Result = dict[str, Any]
ALL = "all"
SAMPLE = 300
"""Images that are drawn where none are given."""
STEADY = 1_500
"""Images that count as a whole collection for the lengths of runs (see LENGTHS in tag.py): images are taken again."""
ROWS = 20_000
"""Rows that are clustered, drawn after the images' embeddings."""
RATES = 3
"""Learning rates of the sweep."""
MANY = (100_000, 1_000_000)
"""Rows of `scale`, whose own script goes to ten million."""
FOR_ALL = ("startup", "scale")
"""Benchmarks that take no images, and whose targets hold for everybody."""
LEAST = {"cluster": 100, "train": 100}
"""Images without which a benchmark says nothing."""
PANELS = (
    "steady_per_second",
    "efficiency",
    "per_second",
    "first_epoch_per_second",
    "further_epochs_per_second",
    "seconds",
    "peak_mib",
)
HEADINGS = {"per_second": "images/s, with start-up", **report.HEADINGS}


@dataclass(frozen=True)
class SuiteRequest:
    """What to measure, and on what.

    Attributes:
        benchmarks: names of BENCHMARKS.
        output: a folder, or s3://, gs://, az://bucket/prefix.
        images: a folder, bucket, table of addresses or manifest; None: drawn ones.
        count: how many of them, evenly over the collection.
        repeats: runs of each contestant of `tag`, of which the median counts.
        quick: a few images only, to see that everything runs; its figures mean nothing.
    """

    benchmarks: tuple[str, ...]
    output: str
    images: str | None = None
    count: int = SAMPLE
    repeats: int = 1
    quick: bool = False

    def __post_init__(self) -> None:
        unknown = sorted({*self.benchmarks} - {*BENCHMARKS, ALL})
        if unknown:
            raise UsageError(f"There is no benchmark {', '.join(unknown)}. Choose of {', '.join((*BENCHMARKS, ALL))}.")
        if self.count < 1 or self.repeats < 1:
            raise UsageError("--count and --repeats must be at least 1.")
        for name in self.chosen:
            if self.count < LEAST.get(name, 1):
                raise UsageError(f"--count {self.count}: the benchmark {name} needs at least {LEAST[name]} images.")

    @property
    def chosen(self) -> tuple[str, ...]:
        """The benchmarks, each once, in their own order."""
        return tuple(name for name in BENCHMARKS if name in self.benchmarks or ALL in self.benchmarks)


@dataclass(frozen=True)
class Work:
    """What a benchmark is given: the request, the images on this machine, a folder of its own."""

    request: SuiteRequest
    images: tuple[Path, ...]
    scratch: Path


def run_suite(request: SuiteRequest, watcher: Watcher) -> dict[str, Any]:
    """Run benchmarks one after the other, each written as soon as it ends; return what was written.

    Raises:
        UsageError: for what does not fit together.
        InputError, StorageError: if images cannot be had, or the output cannot be written.
        ArtylyzeError: if artylyze itself failed in one of them; the others are written.
    """
    store = open_store(request.output)
    written: dict[str, Any] = {}
    failed = []
    with tempfile.TemporaryDirectory(prefix="artylyze-bench-") as folder, _alone():
        scratch = Path(folder)
        images = _images(request, scratch / "images", watcher) if {*request.chosen} - {*FOR_ALL} else ()
        for name in request.chosen:
            if len(images) < LEAST.get(name, 0):
                raise UsageError(
                    f"The benchmark {name} needs at least {LEAST[name]} images, {request.images} has {len(images):,}."
                )
        for name in request.chosen:
            watcher.say(f"Benchmark {name} ...")
            own = scratch / name
            own.mkdir()
            try:
                results = BENCHMARKS[name](Work(request, images, own))
            except ContestantError as error:
                failed.append(f"{name}: {error}")
                continue
            written[name] = _write(store, name, request, results)
            for result in results:
                for who, why in result.get("left_out", {}).items():
                    watcher.say(f"{NAMES.get(who, who)} was left out: {why.splitlines()[0]}")
                failed += [f"{name}: {why}" for who, why in result.get("left_out", {}).items() if who == report.FUSED]
    if failed:
        raise ArtylyzeError("artylyze failed in a benchmark. " + "\n".join(failed))
    return {"output": request.output, "images": len(images), "benchmarks": written}


@contextmanager
def _alone() -> Iterator[None]:
    """Let processes find artylyze and the benchmarks where this one did, and no Ray but one of their own."""
    import artylyze

    roots = [str(Path(file).resolve().parent.parent) for file in (__file__, str(artylyze.__file__))]
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="b-", ignore_cleanup_errors=True) as ray:  # Ray's sockets: short paths
        for name in ("RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
            os.environ.pop(name, None)
        path = [*dict.fromkeys(roots), *filter(None, [before.get("PYTHONPATH")])]
        os.environ.update(PYTHONPATH=os.pathsep.join(path), RAY_TMPDIR=ray)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _images(request: SuiteRequest, folder: Path, watcher: Watcher) -> tuple[Path, ...]:
    """Have images on this machine: drawn, or taken evenly from the collection; those in storage are fetched."""
    if request.images is None:
        from artylyze.sample import write_sample

        watcher.say(f"Drawing {request.count:,} images")
        write_sample(folder, request.count)
        return tuple(sorted((folder / "images").rglob("*.jpg")))
    addresses = _addresses(request.images, request.count, folder, watcher)
    folder.mkdir(exist_ok=True)
    targets = [folder / f"{number:06d}-{Path(uri).name[-60:]}" for number, uri in enumerate(addresses)]
    with ThreadPoolExecutor(16) as pool:
        reasons = list(pool.map(_have, addresses, targets))
    paths = tuple(path for path, reason in zip(targets, reasons, strict=True) if reason is None)
    if not paths:
        raise StorageError(f"None of {len(targets):,} images of {request.images} can be read: {reasons[0]}")
    if len(paths) < len(targets):
        watcher.say(f"{len(targets) - len(paths):,} of {len(targets):,} images cannot be read, and are left out.")
    return paths


def _have(uri: str, target: Path) -> str | None:
    """Fetch an image that we and Pillow can read, for a peer stops at one that it cannot; return why there is none."""
    from PIL import Image

    try:
        data = bytes(fetch(uri))
        decode(data, SIZE)
        with Image.open(io.BytesIO(data)) as image:
            image.convert("RGB")
    except ImageError as error:
        return str(error)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow's plugins raise
        return f"Pillow cannot read it: {error}"
    target.write_bytes(data)
    return None


def _addresses(source: str, count: int, folder: Path, watcher: Watcher) -> list[str]:
    from artylyze.collection.manifest import open_rows, read_rows
    from artylyze.collection.scan import scan
    from artylyze.tagging.planning import check, is_manifest
    from artylyze.tagging.request import TagRequest

    check(TagRequest(source=source, output=str(folder)))
    manifest = source
    if not is_manifest(source):
        manifest = str(folder.with_suffix(".parquet"))
        scan(source, manifest)
    with open_rows(manifest) as file:
        rows = file.metadata.num_rows
        if not rows:
            raise InputError(f"{source} holds no images.")
        chosen = np.unique(np.linspace(0, rows - 1, min(count, rows)).astype(int)).tolist()
        watcher.say(f"Taking {len(chosen):,} of {rows:,} images of {source}")
        return [read_rows(file, row, row + 1).column("uri")[0].as_py() for row in chosen]


def _bench(work: Work) -> tag.Bench:
    return tag.Bench(
        out=work.scratch / "results",
        scratch=work.scratch,
        contestants=(),
        backbone="mobilenetv2_100",
        images=None,
        few=None,
        shard_size=None,
        repeats=work.request.repeats,
        cores=len(os.sched_getaffinity(0)),
    )


def _tag(work: Work) -> list[Result]:
    bench = _bench(work)
    quick = min(60, len(work.images)) if work.request.quick else None
    tag.compare(report.ANY, bench, work.images, unit=1, quick=quick, size=STEADY)
    return _recorded(bench)


def _memory(work: Work) -> list[Result]:
    bench = _bench(work)
    few = 60 if work.request.quick else STEADY
    tag.memory(bench, work.images, few, 4 * few)
    return _recorded(bench)


def _startup(work: Work) -> list[Result]:
    bench = _bench(work)
    tag.startup(bench)
    return _recorded(bench)


def _recorded(bench: tag.Bench) -> list[Result]:
    return [json.loads(path.read_text()) for path in sorted(bench.out.glob("*.json"))]


def _train(work: Work) -> list[Result]:
    """Fine-tuning and a sweep. Speed does not depend on labels: they are made up, and nothing is said of accuracy."""
    labelled = [(path, f"class {number % finetune.CLASSES}") for number, path in enumerate(work.images)]
    plan = finetune.Plan(images=len(labelled), few=max(50, len(labelled) // 5), epochs=2 if work.request.quick else 6)
    plan = replace(plan, contestants=(finetune.REFERENCE, finetune.OURS))
    tuned = finetune.measure(labelled, plan, work.scratch)
    rates = sweep.RATES[: 2 if work.request.quick else RATES]
    swept = sweep.measure(str(work.scratch / str(len(labelled)) / "dataset.parquet"), rates, [], work.scratch)
    figures = {
        "separate trainings": {"trainings": len(rates), "seconds": swept["separate_total_seconds"]},
        "artylyze tune": {"trainings": len(rates), "seconds": swept["sweep_seconds"]},
    }
    check = report.Check("seconds of separate trainings / of one sweep", swept["times_faster"])
    settings = {"images": swept["images"], "learning_rates": swept["learning_rates"]}
    return [
        tuned,
        {**swept, "benchmark": "sweep", "settings": settings, "contestants": figures, "checks": [check.as_dict()]},
    ]


def _scale(work: Work) -> list[Result]:
    """Every command at two numbers of rows, of a synthetic listing: no image is read."""
    rows = (1_000, 10_000) if work.request.quick else MANY
    return [scale.run(work.scratch / "results", rows=rows, scratch=work.scratch)]


def _scaling(work: Work) -> list[Result]:
    """Tagging on Ray nodes of one CPU, all on this machine."""
    return [scaling.measure(work.images, work.scratch, quick=work.request.quick)]


def _cluster(work: Work) -> list[Result]:
    folder, catalog = work.scratch / "images", work.scratch / "catalog"
    folder.mkdir()
    for number, path in enumerate(work.images):
        (folder / f"{number:06d}{path.suffix}").hardlink_to(path)
    command = [*ARTYLYZE, "tag", str(folder), "-o", str(catalog), "--model", "timm:tf_efficientnet_lite0"]
    run_contestant([*command, "--device", "cpu", "--max-error-rate", "1"], work.scratch / "tag.log")
    rows = 2_000 if work.request.quick else ROWS
    groups = ("kmeans",) if work.request.quick else ("kmeans", "gmm", "elbow")
    return list(cluster.measure(str(catalog), rows, groups, work.scratch))


BENCHMARKS: Mapping[str, Callable[[Work], list[Result]]] = {
    "tag": _tag,
    "train": _train,
    "cluster": _cluster,
    "memory": _memory,
    "startup": _startup,
    "scale": _scale,
    "scaling": _scaling,
}


def _write(store: Store, name: str, request: SuiteRequest, results: Sequence[Result]) -> dict[str, Any]:
    """Write NAME.json, NAME.png and NAME.md; return where, and the figures."""
    if name not in FOR_ALL:  # the targets of the others are for their own images and lengths, not for these
        for result in results:
            result["checks"] = [{**check, "target": "none", "passed": True} for check in result["checks"]]
    made = {"benchmark": name, "images": _source(request), "quick": request.quick, "results": list(results)}
    files = {
        f"{name}.json": (json.dumps(made, indent=1, ensure_ascii=False) + "\n").encode(),
        f"{name}.png": draw(f"artylyze bench {name}", _panels(results)),
        f"{name}.md": _document(name, request, results).encode(),
    }
    for key, data in files.items():
        store.put(key, data)
    figures = {result["benchmark"]: result["contestants"] for result in results}
    left_out = {who: why for result in results for who, why in result.get("left_out", {}).items()}
    return {"files": [store.uri(key) for key in files], "figures": figures, "left_out": left_out}


def _panels(results: Sequence[Result]) -> list[Panel]:
    panels = []
    for result in results:
        figures = result["contestants"]
        if result["benchmark"] == "scale":  # of each command those at the most rows
            figures = {report.SCALE_NAMES.get(who, who): one[max(one, key=int)] for who, one in figures.items()}
        rates = any(
            field.endswith("per_second") for one in figures.values() for field in one
        )  # of unlike numbers of images: seconds mislead
        for field in PANELS:
            bars = {NAMES.get(who, who): one[field] for who, one in figures.items() if one.get(field)}
            if bars and not (rates and field == "seconds"):
                panels.append(Panel(f"{result['benchmark']}: {HEADINGS[field]}", bars))
    return panels


def _source(request: SuiteRequest) -> str:
    return request.images or "drawn images"


def _document(name: str, request: SuiteRequest, results: Sequence[Result]) -> str:
    where = "" if name in FOR_ALL else f" on {_source(request)}"
    quick = " With `--quick`: it shows that everything runs, and the figures mean nothing." if request.quick else ""
    parts = [f"# {name}", f"`artylyze bench {name}`{where}.{quick}", report.document(results)]
    for result in results:
        parts += [f"Left out: {NAMES.get(who, who)}: {why}" for who, why in result.get("left_out", {}).items()]
    return "\n\n".join([*parts, f"![{name}]({name}.png)"]) + "\n"


def describe(written: Mapping[str, Any]) -> str:
    """What was written, in words for a terminal."""
    files = [file for one in written["benchmarks"].values() for file in one["files"]]
    return "\n".join(["Wrote", *(f"  {file}" for file in files)])
