"""The tables of `docs/benchmarks/finding.md`: search, near-duplicates, the explorer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import report

Result = Mapping[str, Any]

SEARCHERS = {
    "artylyze": "artylyze, a whole search",
    "numpy": "NumPy, brute force in float32",
    "faiss": "faiss IVF",
    "usearch": "usearch",
}
FIGURES = {
    "first_picture_seconds": "seconds to the first picture",
    "first_picture_mib": "MiB until then",
    "pan_frames_per_second": "frames a second while panning",
    "facet_ms": "ms from a facet's click to its counts",
    "like_ms": 'ms to "more like this"',
    "tab_mib": "MiB of the tab",
}


def search(result: Result) -> str:
    """Recall and time of a query beside other indexes, and the first search of a process."""
    cells = [
        [
            SEARCHERS[name],
            f"{figures['recall_at_10']:.3f}",
            f"{figures['query_ms']:.1f}",
            f"{figures.get('build_seconds', result['index_seconds']):.1f}",
        ]
        for name, figures in result["contestants"].items()
    ]
    about = f"{result['settings']['rows']:,} embeddings, one core ({_machine(result)})"
    first = (
        f"The first search of a process takes {result['first_search_seconds']:.1f} s, with the start of Python; the "
        f"index has {result['index_bytes'] / 1e6:.1f} MB."
    )
    table = report.markdown(["", "recall@10", "ms a query", "seconds to build"], cells)
    return "\n\n".join([about, table, first, report.markdown(report.VERDICTS, report.check_rows(result))])


def duplicates(result: Result, others: Result) -> str:
    """Recall by kind of variant and precision beside imagededup, on other paintings too, and time at size."""
    contestants = result["contestants"]
    cells = [[name, *(f"{figures[name]:.3f}" for figures in contestants.values())] for name in ("recall", "precision")]
    kinds = next(iter(contestants.values()))["recall_by_kind"]
    cells += [
        [f"recall, {kind}", *(f"{figures['recall_by_kind'][kind]:.3f}" for figures in contestants.values())]
        for kind in kinds
    ]
    cells.append(["seconds", *(f"{figures['seconds']:.0f}" for figures in contestants.values())])
    settings, many = result["settings"], result["at_size"]
    about = (
        f"{settings['paintings']:,} paintings and eight variants of {settings['varied']:,} of them "
        f"({settings['images']:,} images, {_machine(result)})"
    )
    size = (
        f"{many['works']:,} works with thumbnails, once indexed: {many['seconds']:.0f} s, {many['peak_mib']:,} MiB, "
        f"{many['compared']:,} pairs compared in full."
    )
    table = report.markdown(["", *contestants], cells)
    found = others["contestants"]["artylyze"]
    about_others = others["settings"]
    again = (
        f"On {about_others['paintings']:,} other paintings and variants of {about_others['varied']:,} of them, which "
        f"no threshold was chosen on: recall {found['recall']:.3f}, precision {found['precision']:.3f}. All "
        f"{found['wrong']:,} further pairs among these paintings count as wrong; nobody has looked at them."
    )
    return "\n\n".join([about, table, again, size, report.markdown(report.VERDICTS, report.check_rows(result))])


def explorer(result: Result) -> str:
    """The explorer in a browser, at each number of works, and the writing of its folder."""
    collections = result["collections"]
    cells = [
        [called, *(report.number(figures[name]) for figures in collections.values())]
        for name, called in FIGURES.items()
    ]
    headings = ["", *(f"{int(works):,} works" for works in collections)]
    parts = [f"headless Chromium, software OpenGL ({_machine(result)})", report.markdown(headings, cells)]
    if (written := result.get("writing")) is not None:
        parts.append(
            f"`artylyze explore -o` of {written['works']:,} works with thumbnails: {written['write_seconds']:.0f} s "
            f"and {written['peak_mib']:,} MiB; again, with nothing changed: {written['again_seconds']:.0f} s. The "
            f"folder has {written['folder_mib']:,} MiB."
        )
    return "\n\n".join([*parts, report.markdown(report.VERDICTS, report.check_rows(result))])


def _machine(result: Result) -> str:
    return f"{result['machine']['cores']} cores of {result['machine']['processor']}"
