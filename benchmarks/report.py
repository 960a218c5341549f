"""From measured figures to verdicts and tables.

python benchmarks/report.py [RESULTS]     # writes the tables of README.md and docs/ (pages.py says which) from the JSON
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ANY = "images"
"""The collection of whoever runs `artylyze bench`."""
BENCHMARKS = ("paintings", "masters", "memory", "models", "embeddings", "startup")
DOCUMENTED = ("dataloader", "ray", "daft")
PEERS = (*DOCUMENTED, "draft")
HELP = "artylyze --help"
TWENTY = "artylyze tag, 20 images"
FUSED, SEPARATE, LIMIT = "artylyze", "artylyze-separate", "limit"
RAY_FUSED, RAY_SEPARATE = "artylyze-ray", "artylyze-ray-separate"
NAMES = {
    "dataloader": "PyTorch DataLoader",
    "ray": "Ray Data batch inference",
    "daft": "Daft",
    "draft": "DataLoader with `draft`",
    FUSED: "artylyze, fused",
    SEPARATE: "artylyze, separate stages",
    RAY_FUSED: "artylyze on Ray, fused",
    RAY_SEPARATE: "artylyze on Ray, separate stages",
    LIMIT: "limit: two bare processes",
    "fused": "artylyze, fused",
    "slow": "artylyze, separate, slow model",
    "starter": "the starter: genre, style and embedding at 384 pixels",
    "embedding": "its backbone alone: embedding at 224 pixels",
}

SCALE_MIB = 4096
"""MiB that any command may take at any number of rows."""
SCALE_SLACK = 1.1
"""How far CPU seconds may grow beyond n log n: caches hold less of more rows, and the machine is shared."""
SCALE_NAMES = {
    "scan-listing": "scan, listing from memory",
    "scan-folder": "scan, folder of empty files",
    "scan-s3": "scan, S3 listing through boto3",
    "scan-metadata": "scan, with a CSV of as many rows joined",
    "plan": "plan of a run, its manifest copied",
    "dry-run": "dry run",
    "update": "update: plan with 1% changed",
    "snapshot": "snapshot read, written and read",
    "embeddings-pieces": "embeddings, piece by piece",
    "embeddings": "embeddings, the whole matrix",
    "assign": "cluster --assign",
    "report-clusters": "report --clusters",
}

SHARES = tuple(f"{stage}_share" for stage in ("fetch", "decode", "inference", "commit", "idle", "other"))
"""Shares of the time of the workers of `tag`."""
FIELDS = {
    "finetune": ("first_epoch_per_second", "further_epochs_per_second", "peak_mib"),
    "sweep": ("trainings", "seconds"),
    "cluster-kmeans": ("seconds", "peak_mib", "inertia"),
    "cluster-gmm": ("seconds", "peak_mib", "log_likelihood"),
    "cluster-elbow": ("seconds", "peak_mib"),
    "startup": ("seconds",),
    "scaling": ("steady_per_second", "efficiency", *SHARES, "shards_per_second", "build_seconds"),
}
"""What tables show of other benchmarks than those of `tag`."""
HEADINGS = {
    "first_epoch_per_second": "first epoch, images/s",
    "further_epochs_per_second": "further epochs, images/s",
    "peak_mib": "peak MiB",
    "seconds": "seconds",
    "trainings": "trainings",
    "inertia": "inertia",
    "log_likelihood": "log-likelihood",
    "steady_per_second": "images/s, start-up left out",
    "efficiency": "of as many times 1 node",
    "shards_per_second": "shards/s",
    "build_seconds": "s before the first",
    **{share: share.removesuffix("_share") for share in SHARES},
}

Figures = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Check:
    """A figure beside its target: `least` is a lower bound, `most` an upper one."""

    what: str
    value: float
    least: float | None = None
    most: float | None = None

    def as_dict(self) -> dict[str, Any]:
        passed = (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)
        target = (
            f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}" if self.most is not None else "none"
        )
        return {"what": self.what, "value": round(self.value, 4), "target": target, "passed": passed}


def checks(benchmark: str, found: Figures) -> list[Check]:
    """The issue's targets that the contestants measured so far allow to judge."""
    if benchmark == "paintings":
        return [
            *_against_peers(found, PEERS, "fastest peer", steady=3, overall=3),
            *_against_limit(found, 0.95, 0.75),
            *_startup(found, 2.5),
        ]
    if benchmark == ANY:  # other images, other lengths: the targets are for those above and below
        present = [peer for peer in PEERS if peer in found]
        return [*_against_peers(found, present, "fastest peer", steady=None), *_against_limit(found, None, None)]
    if benchmark == "masters":
        return [
            *_against_peers(found, DOCUMENTED, "fastest documented peer", steady=5),
            *_against_peers(found, ("draft",), "DataLoader with draft", steady=2),
            *_against_limit(found, 0.95, None),
        ]
    if benchmark == "memory":
        return list(_growth(found))
    if benchmark == "startup":
        forbidden = {"ray", "torch", "timm"} & set(found[HELP]["imported"])
        return [
            Check(f"seconds of {HELP}", found[HELP]["seconds"], most=0.4),
            Check("of ray, torch and timm, imported by it", len(forbidden), most=0),
            *([Check(f"seconds of {TWENTY}", found[TWENTY]["seconds"], most=4)] if TWENTY in found else []),
        ]
    return []


def _against_peers(
    found: Figures, peers: Sequence[str], called: str, *, steady: float | None, overall: float | None = None
) -> Iterable[Check]:
    everyone = (FUSED, *peers)
    if not peers or any(one not in found or found[one]["steady_per_second"] is None for one in everyone):
        return
    for name, field, target in (("steady", "steady_per_second", steady), ("with start-up", "per_second", overall)):
        if target is not None or field == "steady_per_second":
            fastest = max(peers, key=lambda peer: found[peer][field])
            ratio = found[FUSED][field] / found[fastest][field]
            yield Check(f"artylyze / {called} ({fastest}), {name}", ratio, least=target)


def _startup(found: Figures, most: float) -> Iterable[Check]:
    if found.get(FUSED, {}).get("startup_seconds") is not None:
        yield Check("seconds of start-up, artylyze", found[FUSED]["startup_seconds"], most=most)


def _against_limit(found: Figures, fused: float | None, separate: float | None) -> Iterable[Check]:
    for name, target in ((FUSED, fused), (SEPARATE, separate), (RAY_FUSED, None), (RAY_SEPARATE, None)):
        rates = [found[one]["steady_per_second"] for one in (name, LIMIT) if one in found]
        if len(rates) == 2 and None not in rates:
            ratio = rates[0] / rates[1]
            yield Check(f"{name} / limit, steady", ratio, least=target)


def _growth(found: Figures) -> Iterable[Check]:
    for plan in ("fused", "slow"):
        runs = sorted((one for one in found.values() if one["plan"] == plan), key=lambda one: one["images"])
        if len(runs) > 1:
            few, many = runs[0], runs[-1]
            what = f"peak memory, {NAMES[plan]}: {many['images']:,} / {few['images']:,} images"
            yield Check(what, many["peak_mib"] / few["peak_mib"], most=1.1)


def merge(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> dict[str, Any]:
    """Add contestants to earlier ones of the same settings, machine and versions; others make a fresh start."""
    same = ("benchmark", "settings", "machine", "versions")
    if old is None or any(old.get(key) != new[key] for key in same):
        old = {"contestants": {}}
    merged = {**new, "contestants": {**old.get("contestants", {}), **new["contestants"]}}
    left_out = {**old.get("left_out", {}), **new.get("left_out", {})}
    merged["left_out"] = {name: why for name, why in left_out.items() if name not in merged["contestants"]}
    merged["checks"] = [check.as_dict() for check in checks(new["benchmark"], merged["contestants"])]
    return merged


def rows(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a result's table."""
    found = result.get("contestants", {})
    if result["benchmark"] == "memory":
        return ["plan", "images", "peak MiB", "images/s"], [
            [NAMES[one["plan"]], f"{one['images']:,}", f"{one['peak_mib']:,.0f}", f"{one['per_second']:.1f}"]
            for one in sorted(found.values(), key=lambda one: (one["plan"], one["images"]))
        ]
    if result["benchmark"] == "scale":
        return scale_rows(result)
    if result["benchmark"] in FIELDS:
        fields = [field for field in FIELDS[result["benchmark"]] if any(field in one for one in found.values())]
        return ["", *(HEADINGS[field] for field in fields)], [
            [NAMES.get(name, name), *(number(one.get(field)) for field in fields)] for name, one in found.items()
        ]
    if not found:
        return ["file", "cosine", "profile ignored"], [
            [name, *(f"{value:.4f}" for value in pair)] for name, pair in result.get("cosines", {}).items()
        ]
    headings = ["", "steady images/s", "with start-up", "start-up s", "peak MiB", "images", "skipped"]
    return headings, [
        [
            NAMES[name],
            _tenths(found[name]["steady_per_second"]),
            f"{found[name]['per_second']:.1f}",
            _tenths(found[name]["startup_seconds"]),
            f"{found[name]['peak_mib']:,.0f}",
            f"{found[name]['images']:,}",
            f"{found[name]['skipped']:,}",
        ]
        for name in NAMES
        if name in found
    ]


def number(value: float | None) -> str:
    """A figure as tables show it; a dash where there is none."""
    if value is None:
        return "\u2013"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _tenths(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.1f}"


def check_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Cells of a result's verdicts: what, value, target, and whether it is met."""
    return [
        [
            check["what"],
            f"{check['value']:.3g}",
            check["target"],
            "" if check["target"] == "none" else "yes" if check["passed"] else "no",
        ]
        for check in result["checks"]
    ]


def scale_checks(found: Figures) -> Iterable[Check]:
    """Judge what was measured at several numbers of rows: the memory of the most, the growth of CPU seconds to it."""
    for name, by_rows in found.items():
        sizes = sorted(by_rows, key=int)
        yield Check(f"{name}: peak MiB at {int(sizes[-1]):,} rows", by_rows[sizes[-1]]["peak_mib"], most=SCALE_MIB)
        for few, many in pairwise(sizes):
            what = f"{name}: CPU seconds at {int(many):,} / {int(few):,} rows"
            ratio = by_rows[many]["cpu_seconds"] / by_rows[few]["cpu_seconds"]
            yield Check(what, ratio, most=round(SCALE_SLACK * _n_log_n(int(many)) / _n_log_n(int(few)), 2))


def _n_log_n(rows: int) -> float:
    return rows * math.log(rows)


def scale_rows(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of one table of all that was measured at several numbers of rows."""
    found = result["contestants"]
    sizes = sorted({int(rows) for by_rows in found.values() for rows in by_rows})
    what = [("s", "seconds"), ("CPU s", "cpu_seconds"), ("MiB", "peak_mib")]
    headings = ["", *(f"{name}, {rows / 1e6:g} M" for name, _ in what for rows in sizes), "CPU growth", "met"]
    cells = []
    for name, by_rows in found.items():
        figures = [by_rows.get(str(rows), {}).get(field) for _, field in what for rows in sizes]
        judged = [one for one in result["checks"] if one["what"].startswith(f"{name}: ")]
        growth = [f"{one['value']:.1f}" for one in judged if "CPU" in one["what"]]
        met = "yes" if all(one["passed"] for one in judged) else "no"
        texts = ["" if one is None else f"{one:,.0f}" if one >= 10 else f"{one:.1f}" for one in figures]
        cells.append([SCALE_NAMES.get(name, name), *texts, ", ".join(growth), met])
    return headings, cells


def scale_section(result: Mapping[str, Any]) -> str:
    """The section on millions of images: the table, and what it was measured on."""
    machine = result["machine"]
    on = f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']:g} GiB"
    return f"{markdown(*scale_rows(result))}\n\n({on})"


VERDICTS = ["figure", "value", "target", "met"]


def markdown(headings: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def document(results: Iterable[Mapping[str, Any]]) -> str:
    """The Markdown of all results, in the order given."""
    parts = []
    for result in results:
        parts.append(f"**{result['benchmark']}** ({_settings(result)})")
        headings, cells = rows(result)
        if cells and "cosines" not in result:
            parts.append(markdown(headings, cells))
        if result["checks"]:
            parts.append(markdown(VERDICTS, check_rows(result)))
    return "\n\n".join(parts)


def _settings(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    words = [f"{name} {value}" for name, value in result["settings"].items() if value is not None]
    return ", ".join([*words, f"{machine['cores']} cores of {machine['processor']}"])


def placed(text: str, section: str, made: str) -> str:
    """A page with what was made for a section between its two marks. Raises ValueError where it has no marks."""
    marks = re.compile(rf"(<!-- {section}: [^\n]*? -->).*?(<!-- {section} ends -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"The page must have the lines <!-- {section}: ... --> and <!-- {section} ends -->")
    return marks.sub(lambda found: f"{found[1]}\n\n{made}\n\n{found[2]}", text, count=1)


def main(folder: Path) -> None:
    """Write the tables of the README and of the documentation."""
    from benchmarks import pages

    pages.write(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "benchmarks" / "results")
