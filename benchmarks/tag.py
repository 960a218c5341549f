"""Measure `artylyze tag` against peers and limits on the same images, in one run. See README.md.

python benchmarks/tag.py --data ../shared/data --out benchmarks/results [--only paintings,masters] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import accuracy, inputs, report
from benchmarks.measure import (
    ARTYLYZE,
    ContestantError,
    Run,
    busy,
    machine,
    not_installed,
    quickest_run,
    rate,
    run_contestant,
    versions,
)
from benchmarks.peers import PACKAGES, SIZE
from benchmarks.report import BENCHMARKS, FUSED, LIMIT, RAY_FUSED, RAY_SEPARATE, SEPARATE, Check

HERE = Path(__file__).parent
CONTESTANTS = ("dataloader", "draft", "ray", "daft", FUSED, SEPARATE, RAY_FUSED, RAY_SEPARATE, LIMIT)
MEMORY_PLANS = ("fused", "slow")
ANY = "paintings"
LENGTHS: dict[str, dict[str, tuple[float, float]]] = {
    "paintings": {"dataloader": (0.2, 0.6), "draft": (0.2, 0.6), "ray": (0.1, 0.3), "daft": (1, 2), "": (1, 4)},
    "masters": {"dataloader": (1, 3), "draft": (1, 3), "ray": (0.2, 1), "daft": (0.2, 1), "": (1, 4)},
}
"""How many times over each contestant ("": any other) takes the collection, in its shorter and in its longer run.

Ray's own processes go on starting for some six seconds beside the first images: a shorter run that ends before would
leave a part of that in the slope; and they start within a second of each other or not, which a long run makes small.
Slow contestants take less, for time's sake."""
MODELS = {"starter": [], "embedding": ["--model", "timm:tf_efficientnet_lite0"]}
SLOW_SECONDS = 0.008
"""What the slow model adds to each image, three times what reading a painting takes."""
REPEAT_BELOW = 180.0
"""Seconds: contestants whose longer run takes less are repeated, and the quickest run counts."""
MIB = 2**20

console = Console(stderr=True)


@dataclass(frozen=True)
class Bench:
    """What the command line asks for, and where things lie meanwhile."""

    out: Path
    scratch: Path
    contestants: tuple[str, ...]
    backbone: str
    images: int | None
    few: int | None
    shard_size: int | None
    repeats: int
    cores: int


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="artylyze-bench-", dir=asked.scratch) as scratch:
        bench = Bench(
            out=asked.out,
            scratch=Path(scratch),
            contestants=asked.contestants,
            backbone=asked.backbone,
            images=asked.images,
            few=asked.few,
            shard_size=asked.shard_size,
            repeats=asked.repeats,
            cores=len(os.sched_getaffinity(0)),
        )
        for name in asked.only:
            measure(name, bench, asked.data, quick=asked.quick)


def measure(name: str, bench: Bench, data: Path, *, quick: bool) -> None:
    """Run one benchmark on our own collections and add its figures to its file."""
    if name == "paintings":
        sources = inputs.paintings(data)
        compare(name, bench, sources, unit=1, quick=200 if quick else None)
    elif name == "masters":
        sources = inputs.masters(data)
        compare(name, bench, sources, unit=30, quick=60 if quick else None)
    elif name == "memory":
        few, many = bench.few or (100 if quick else 5000), bench.images or (400 if quick else 20_000)
        memory(bench, inputs.paintings(data), few, many)
    elif name == "models":
        models(bench, inputs.paintings(data)[: bench.images or (200 if quick else 3000)])
    elif name == "embeddings":
        found = accuracy.cosines(data)
        managed, plain = (min(pair[index] for pair in found.values()) for index in (0, 1))
        judged = [
            Check("least cosine to full decode with torch", managed, least=0.99),
            Check("the same, were profiles ignored in full decode", plain),
        ]
        record(
            name,
            bench,
            {"backbone": "tf_efficientnet_lite0"},
            cosines={file: [round(value, 5) for value in pair] for file, pair in found.items()},
            checks=[check.as_dict() for check in judged],
        )
    else:
        startup(bench, inputs.paintings(data))


def startup(bench: Bench, sources: Sequence[Path] = ()) -> None:
    """What a user waits for: help, and, of images that are given, twenty tagged with the model in the cache."""
    figures = {"seconds": round(accuracy.help_seconds(), 4), "imported": accuracy.heavy_imports()}
    record("startup", bench, {}, contestants={report.HELP: figures})
    if not sources:
        return
    folder = inputs.lay_out(sources[:20], bench.scratch / "twenty")
    runs = []
    for turn in range(1 + 5):  # the first builds the model
        out = bench.scratch / f"twenty-{turn}"
        command = [*ARTYLYZE, "tag", str(folder), "-o", str(out), "--engine", "local", "--json"]
        runs.append(run_contestant(command, bench.scratch / "twenty.log"))
    seconds = sorted(run.seconds for run in runs[1:])
    twenty = {"seconds": round(seconds[2], 2), "all_seconds": [round(one, 2) for one in seconds]}
    record("startup", bench, {}, contestants={report.TWENTY: twenty})


def compare(
    name: str, bench: Bench, sources: Sequence[Path], *, unit: int, quick: int | None, size: int | None = None
) -> None:
    """Run the contestants on a collection, each twice: on more and on fewer images of the same list.

    Args:
        name: of the benchmark.
        bench: what was asked for.
        sources: the collection.
        unit: images that are a fair sample of it.
        quick: images of the longer run of everyone, and a third of them of the shorter.
        size: images that count as the whole collection for LENGTHS; default: those there are.
    """
    size = size or len(sources)
    many = bench.images or quick
    few = bench.few or (many and max(unit, many // 3 // unit * unit))
    model = inputs.prepare_model(bench.backbone, _made(bench.scratch / "model"))
    settings = {"backbone": bench.backbone, "collection": len(sources), "pixels": SIZE}
    if many:
        settings |= {"images": many, "few": few}
    asked = [one for one in CONTESTANTS if one in bench.contestants or not bench.contestants]
    left_out = not_installed({one: PACKAGES[one] for one in asked if one in PACKAGES})
    record(name, bench, settings, contestants={}, left_out=left_out)
    folders: dict[int, Path] = {}
    runs, lengths = {}, {}
    for one in asked:
        if one not in left_out:
            by_contestant = LENGTHS.get(name, LENGTHS[ANY])
            shares = by_contestant.get(one, by_contestant[""])
            counts = [round(share * size / unit) * unit for share in shares]
            lengths[one] = (few or counts[0], many or counts[1])
            runs[one] = _Runs(size)
    for count in sorted({count for pair in lengths.values() for count in pair}):
        listed = [sources[number % len(sources)] for number in range(count)]
        folders[count] = inputs.lay_out(listed, bench.scratch / f"{name}-{count}")
        inputs.warm(folders[count])
    for turn in range(bench.repeats):  # in turns: what disturbs the machine for a minute disturbs them all
        for contestant, found in list(runs.items()):
            if turn and found.long[0].seconds >= REPEAT_BELOW:
                continue
            try:
                found.add(contestant, turn, bench, model, {count: folders[count] for count in lengths[contestant]})
                record(name, bench, settings, contestants={contestant: found.figures(lengths[contestant][1])})
            except (ContestantError, ValueError) as error:
                console.print(f"{contestant}: {error}", style="red", markup=False)
                record(name, bench, settings, contestants={}, left_out={contestant: f"it failed: {error}"})
                del runs[contestant]


class _Runs:
    """What one contestant did: runs on fewer and on more images."""

    def __init__(self, collection: int) -> None:
        self._collection = collection
        self.short: list[Run] = []
        self.long: list[Run] = []
        self._counted = [0, 0]
        self._others: list[float] = []

    def add(self, contestant: str, turn: int, bench: Bench, model: dict[str, Any], folders: dict[int, Path]) -> None:
        """Run it once more on both folders."""
        self._others.append(busy())
        few, many = sorted(folders)
        for count, runs in ((many, self.long), (few, self.short)):
            out = bench.scratch / f"{contestant}-{count}-{turn}"
            job = inputs.write_job(model, folders[count], out, bench.cores, shard_size=bench.shard_size)
            runs.append(_run(contestant, job, bench))
            self._counted[count == many] = inputs.embedded(out)
            shutil.rmtree(out)

    def figures(self, images: int) -> dict[str, Any]:
        """What goes into the file: of the runs that the machine disturbed least."""
        short, long = quickest_run(self.short), quickest_run(self.long)
        few, many = self._counted
        found = None
        with suppress(ValueError):  # so few images that start-up drowns the rate: what was seen is said, and no rate
            found = rate(few, short.seconds, many, long.seconds)
        return {
            "images": many,
            "skipped": images - many,
            "seconds": round(long.seconds, 2),
            "few_images": few,
            "few_seconds": round(short.seconds, 2),
            "all_seconds": [[round(run.seconds, 2) for run in runs] for runs in (self.long, self.short)],
            "per_second": round(found.overall(self._collection) if found else many / long.seconds, 2),
            "steady_per_second": round(found.steady, 2) if found else None,
            "startup_seconds": round(found.startup, 2) if found else None,
            "peak_mib": round(long.peak / MIB),
            "machine_busy_before_percent": max(self._others),
        }


def memory(bench: Bench, sources: Sequence[Path], few: int, many: int) -> None:
    """Peak memory of artylyze on few and on many images, fused, and separate with a model that reading outruns."""
    model = inputs.prepare_model(bench.backbone, _made(bench.scratch / "model"))
    settings = {"backbone": bench.backbone, "shard_size": bench.shard_size, "slow_seconds": SLOW_SECONDS}
    for count in (few, many):
        copies = [sources[number % len(sources)] for number in range(count)]
        folder = inputs.lay_out(copies, bench.scratch / f"memory-{count}")
        for plan in [one for one in MEMORY_PLANS if one in bench.contestants or not bench.contestants]:
            out = bench.scratch / f"{plan}-{count}"
            options: dict[str, Any] = {"shard_size": bench.shard_size}
            if plan == "slow":
                options["slow_seconds"] = SLOW_SECONDS
            job = inputs.write_job(model, folder, out, bench.cores, **options)
            run = _run(FUSED if plan == "fused" else SEPARATE, job, bench, interval=0.25)
            figures = {
                "plan": plan,
                "images": inputs.embedded(out),
                "seconds": round(run.seconds, 2),
                "per_second": round(count / run.seconds, 2),
                "peak_mib": round(run.peak / MIB),
            }
            shutil.rmtree(out)
            record("memory", bench, settings, contestants={f"{plan}-{count}": figures})
        shutil.rmtree(folder)


def models(bench: Bench, sources: Sequence[Path]) -> None:
    """The command as it is, with the starter and with its backbone alone: what genre and style cost."""
    counts = (len(sources) // 3, len(sources))
    few, many = (inputs.lay_out(sources[:count], bench.scratch / f"models-{count}") for count in counts)
    inputs.warm(many)
    for name, options in MODELS.items():
        runs = []
        for folder, limit in ((few, "8"), (few, str(counts[0])), (many, str(counts[1]))):  # the first builds the model
            out = bench.scratch / name
            command = [*ARTYLYZE, "tag", str(folder), "-o", str(out), "--device", "cpu", "--json", "--limit", limit]
            runs.append(run_contestant([*command, *options], bench.scratch / f"{name}.log"))
            shutil.rmtree(out)
        found = rate(counts[0], runs[1].seconds, counts[1], runs[2].seconds)
        figures = {
            "images": counts[1],
            "skipped": 0,
            "per_second": round(found.overall(counts[1]), 2),
            "steady_per_second": round(found.steady, 2),
            "startup_seconds": round(found.startup, 2),
            "peak_mib": round(runs[2].peak / MIB),
        }
        record("models", bench, {}, contestants={name: figures})


def _run(contestant: str, job: Path, bench: Bench, interval: float = 0.4) -> Run:
    python = [sys.executable]
    if contestant in (FUSED, RAY_FUSED):
        asked = json.loads(job.read_text())
        command = [*ARTYLYZE, "tag", asked["folder"], "-o", asked["out"]]
        command += ["--model", asked["bundle"], "--device", "cpu", "--json"]
        command += ["--engine", "local" if contestant == FUSED else "ray"]
        if asked["options"].get("shard_size"):
            command += ["--shard-size", str(asked["options"]["shard_size"])]
    elif contestant in (SEPARATE, RAY_SEPARATE):
        command = [*python, str(HERE / "ours.py"), str(job), "local" if contestant == SEPARATE else "ray"]
    elif contestant == LIMIT:
        command = [*python, str(HERE / "limits.py"), str(job)]
    else:
        command = [*python, str(HERE / "peers.py"), contestant, str(job)]
    return run_contestant(command, bench.scratch / f"{job.stem}.log", interval=interval)


def record(name: str, bench: Bench, settings: dict[str, Any], **found: Any) -> None:
    """Merge figures into the benchmark's file, and show it."""
    path = bench.out / f"tag-{name}.json"
    new = {"benchmark": name, "settings": settings, "machine": machine(), "versions": versions(), **found}
    if "contestants" in found:
        new = report.merge(json.loads(path.read_text()) if path.exists() else None, new)
    bench.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(new, indent=1, ensure_ascii=False) + "\n")
    show(new)


def show(result: dict[str, Any]) -> None:
    """Print a result's tables."""
    for headings, cells in (report.rows(result), (report.VERDICTS, report.check_rows(result))):
        if cells:
            table = Table(title=str(result["benchmark"]))
            for number, heading in enumerate(headings):
                table.add_column(heading, justify="right" if number else "left")
            for line in cells:
                table.add_row(*line)
            console.print(table)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with paintings/ and masters/")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where the JSON goes")
    parser.add_argument("--only", type=_names(BENCHMARKS), default=BENCHMARKS, help=f"of {', '.join(BENCHMARKS)}")
    all_contestants = (*CONTESTANTS, *MEMORY_PLANS)
    parser.add_argument(
        "--contestants",
        type=_names(all_contestants),
        default=(),
        help=f"of {', '.join(CONTESTANTS)}; of memory: {', '.join(MEMORY_PLANS)}. Others keep their earlier figures",
    )
    parser.add_argument("--images", type=int, help="images of the longer run (default: all; memory: 20,000)")
    parser.add_argument("--few", type=int, help="images of the shorter run (default: a sixth; memory: 5,000)")
    parser.add_argument("--backbone", default="mobilenetv2_100", help="a timm model; its weights are random")
    parser.add_argument("--shard-size", type=int, help="artylyze's --shard-size")
    parser.add_argument("--repeats", type=int, default=3, help="of contestants that take less than three minutes")
    parser.add_argument("--scratch", type=Path, help="folder for links and outputs (default: the system's)")
    parser.add_argument("--quick", action="store_true", help="a few images, to see that everything runs")
    asked = parser.parse_args(arguments)
    if asked.quick:
        asked.repeats = 1
    return asked


def _names(allowed: Sequence[str]) -> Any:
    def parse(text: str) -> tuple[str, ...]:
        found = tuple(text.split(","))
        unknown = [name for name in found if name not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}: choose of {', '.join(allowed)}")
        return found

    return parse


if __name__ == "__main__":
    main()
