"""What a soak says: rows against files, slope of memory, figures, verdicts, the picture. It runs no command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.report import Check
from benchmarks.soak_watch import Attempt, Sample

SETTLED = 0.25
"""Share of an attempt's samples, its first, that the line of its memory leaves out: models load, pools fill."""
LEAST = 4
"""Samples of an attempt that tell a slope."""


@dataclass
class Counts:
    """What must be 0, added up over all pairs of commands."""

    missing: int = 0
    doubled: int = 0
    unknown: int = 0
    stale: int = 0
    failed: int = 0
    read_again: int = 0
    parts_changed: int = 0


NAMES = {
    "missing": "images without a row",
    "doubled": "images with more than one row",
    "unknown": "rows without an image",
    "stale": "rows of an earlier version of their file",
    "failed": "images that could not be read",
    "read_again": "images read in a run beyond those that were new or changed",
    "parts_changed": "parts committed before a kill and changed after it",
}


def compare(rows: pa.Table, files: Mapping[str, str | None], run_id: str, read: int, counts: Counts) -> None:
    """Add to the counts where the catalog and the folder differ.

    Args:
        rows: image_id, validator, status and run_id of every row; one that was copied has the run that read it.
        files: validator of every file, by image_id.
        run_id: of the last run.
        read: images that were new or changed for it.
        counts: to add to.
    """
    columns = {name: rows.column(name).to_pylist() for name in ("image_id", "validator", "status", "run_id")}
    times = Counter(columns["image_id"])
    counts.missing += len(files.keys() - times.keys())
    counts.doubled += sum(count > 1 for count in times.values())
    counts.unknown += sum(name not in files for name in columns["image_id"])
    versions = zip(columns["image_id"], columns["validator"], strict=True)
    counts.stale += sum(name in files and files[name] != validator for name, validator in versions)
    counts.failed += sum(status != "ok" for status in columns["status"])
    counts.read_again += max(0, columns["run_id"].count(run_id) - read)


def slope(samples: Sequence[Sample]) -> float | None:
    """MiB per 10,000 images, by least squares: one slope for all attempts, a height for each; None without enough.

    Samples of an attempt's last commit and after it are left out: processes end then.
    """
    products = squares = 0.0
    for whole in _by_attempt(samples):
        own = [one for one in whole if one.rows < whole[-1].rows]
        settled = own[round(len(own) * SETTLED) :]
        if len(settled) >= LEAST:
            images = np.array([one.rows for one in settled], float) / 10_000
            mib = np.array([one.mib for one in settled])
            products += float(((images - images.mean()) * (mib - mib.mean())).sum())
            squares += float(np.square(images - images.mean()).sum())
    return products / squares if squares else None


def _by_attempt(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The samples of each attempt, from its first committed row on."""
    found = []
    for number in sorted({one.attempt for one in samples}):
        own = [one for one in samples if one.attempt == number]
        first = own[0].rows
        found.append([one for one in own if one.rows > first])
    return found


def figures(attempts: Sequence[Attempt], samples: Sequence[Sample]) -> dict[str, Any]:
    """Rates and memory: of tagging, which is the first pair of commands, and of all."""
    tagging = [one for one in samples if one.attempt < 2]
    steady = [(own[-1].rows - own[0].rows, own[-1].seconds - own[0].seconds) for own in _by_attempt(tagging) if own]
    seconds = sum(time for _, time in steady)
    rise = slope(tagging)
    return {
        "kills": sum(one.killed for one in attempts),
        "tagging_seconds": round(sum(one.ended - one.began for one in attempts[:2]), 1),
        "images_per_second": round(sum(rows for rows, _ in steady) / seconds, 1) if seconds else None,
        "peak_mib": round(max((one.mib for one in samples), default=0)),
        "mib_per_10000_images": None if rise is None else round(rise, 2),
        "leftover_processes": sum(one.leftovers for one in attempts),
        "leftover_mib": round(sum(one.leftover_mib for one in attempts), 1),
    }


def checks(counts: Counts, attempts: Sequence[Attempt], stopped: str | None) -> list[Check]:
    """What must be 0, and that there was a kill at all."""
    found = [Check(text, getattr(counts, name), most=0) for name, text in NAMES.items()]
    found.append(Check("processes left behind", sum(one.leftovers for one in attempts), most=0))
    found.append(Check("commands that failed", int(stopped is not None), most=0))
    return [*found, Check("kills", sum(one.killed for one in attempts), least=1)]


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draw images committed each second, and memory, over time, with the kills; write it as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from artylyze.drawing.plots import BLUE, ORANGE, QUIET

    samples = [Sample(*values) for values in result["samples"]]
    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    for number in sorted({one.attempt for one in samples}):
        own = [one for one in samples if one.attempt == number]
        minutes = [one.seconds / 60 for one in own]
        below.plot(minutes, [one.mib for one in own], color=BLUE, linewidth=1.2)
        steps = _steps(own)
        above.step([end / 60 for end, _ in steps], [rate for _, rate in steps], where="pre", color=BLUE, linewidth=1.2)
    for attempt in result["attempts"]:
        for axes in (above, below):
            if attempt["killed"]:
                axes.axvline(attempt["ended"] / 60, color=ORANGE, linestyle="--", linewidth=1)
    settings = result["settings"]
    above.set_title(
        f"{settings['images']:,} small images, tagged, then updated; dashed: SIGKILL, then the same command again",
        loc="left",
        fontsize=10,
    )
    above.set_ylabel("rows committed / s")
    below.set_ylabel("memory, MiB")
    below.set_xlabel("minutes")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(QUIET)
        axes.grid(color="#E4E4E4", linewidth=0.7)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _steps(samples: Sequence[Sample], least: float = 5.0) -> list[tuple[float, float]]:
    """Rates over stretches of at least so many seconds, for shards are committed as a whole: (end, rows a second)."""
    kept = samples[:1]
    for one in samples[1:]:
        if one.seconds - kept[-1].seconds >= least:
            kept = [*kept, one]
    return [(b.seconds, max(0, b.rows - a.rows) / (b.seconds - a.seconds)) for a, b in pairwise(kept)]


def paragraph(result: Mapping[str, Any]) -> str:
    """What the documentation says of it."""
    machine, pairs = result["machine"], len(result["attempts"]) // 2
    missed = [f"{check['what']} ({check['value']:g})" for check in result["checks"] if not check["passed"]]
    rise = result["mib_per_10000_images"]
    counted = (
        "After each pair of commands there was exactly one row for each image, of the file's present version; no part "
        "committed before the kill had changed, and nothing had been read twice."
    )
    sentences = [
        f"`artylyze tag` on {result['settings']['images']:,} generated images of 64 to 160 pixels with timm's test "
        f"network, then {_times(pairs - 1, '`--update`')} with 1.2% of them new, changed or gone. SIGKILL ended the "
        f"driver's process group half way {_times(result['kills'])}, and the same command was given again.",
        f"Targets missed: {'; '.join(missed)}." if missed else counted,
        f"On {machine['cores']} cores, {result['machine_busy_before_percent']:.0f}% busy with other work, tagging "
        f"did {result['images_per_second'] or 0:,.0f} images/s from its first commit to its last. Memory peaked at "
        f"{result['peak_mib']:,} MiB, all processes together"
        + ("." if rise is None else f", and changed by {rise:+.1f} MiB for each 10,000 images."),
        f"Left behind: {result['leftover_processes']} processes, {result['left_in_temporary_folder_mib']:,.0f} MiB in "
        f"the temporary folder ({result['of_it_ray_sessions']} of Ray's sessions: "
        f"{result['of_it_ray_sessions_mib']:,.0f} MiB), {result['cache_growth_mib']:,.0f} MiB more in the cache.",
    ]
    picture = "![Rows committed each second, and memory, over time](../../benchmarks/results/soak-hour.png)"
    return f"**soak** {' '.join(sentences)}\n\n{picture}"


def _times(count: int, what: str = "") -> str:
    return f"{what} {count} time{'' if count == 1 else 's'}".strip()
