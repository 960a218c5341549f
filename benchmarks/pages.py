"""The generated tables of the README and of the documentation, from the committed JSON.

`python benchmarks/report.py [RESULTS]` writes each between its marks, `<!-- NAME: ... -->` and `<!-- NAME ends -->`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import backbones, balance, estimate, finding_tables, formats, outside, report, soak_figures, study_table

ROOT = report.ROOT
README, DOCS = "README.md", "docs/benchmarks"
SPEED, SCALE, QUALITY = f"{DOCS}/speed.md", f"{DOCS}/scale.md", f"{DOCS}/quality.md"
FINDING = f"{DOCS}/finding.md"

Result = Mapping[str, Any]

COLLECTIONS = {
    "paintings": "3,017 photographs of paintings (JPEG)",
    "masters": "30 museum scans (JPEG, TIFF, JPEG 2000)",
}
STARTER_ROWS = {
    "accuracy": "accuracy",
    "f1": "F1, macro",
    "top5": "top-5 accuracy",
    "ece": "expected calibration error",
    "accuracy_at_80": "accuracy on the 80% with the highest scores",
    "accuracy, classes by 5 artists or more": "accuracy, classes by 5 artists or more",
    "f1, all folds together": "F1, macro, all folds together",
    "ece, all folds together": "expected calibration error, all folds together",
    "n": "images",
}
SPLITS = {
    "artist- and source-disjoint": "artists and sources unseen",
    "artist-disjoint": "artists unseen",
    "random": "random split",
}
ALGORITHMS = {"kmeans": "KMeans", "gmm": "Gaussian mixture"}
LOOPS = {"reference": "torchvision's reference loop", "artylyze": "artylyze"}
CONTESTANTS = {"sklearn": "scikit-learn", "faiss": "faiss", "artylyze": "artylyze"}


@dataclass(frozen=True)
class Section:
    """A generated part of a page: the page, the results that it shows (names of files), and what makes its Markdown."""

    page: str
    results: tuple[str, ...]
    make: Callable[..., str]


def speed_summary(*results: Result) -> str:
    """The README's table: artylyze beside its fastest peer, any of them, and beside its limit."""
    headings = ["", "artylyze", "fastest peer", "ratio", "ratio with start-up", "share of the limit"]
    return report.markdown(headings, [_summary_row(result) for result in results])


def _summary_row(result: Result) -> list[str]:
    rates = result["contestants"]
    artylyze, limit = rates[report.FUSED], rates[report.LIMIT]
    peers = [name for name in report.PEERS if name in rates]
    peer = max(peers, key=lambda name: float(rates[name]["steady_per_second"]))
    quickest = max(rates[name]["per_second"] for name in peers)
    return [
        COLLECTIONS[result["benchmark"]],
        f"{artylyze['steady_per_second']:.1f} images/s",
        f"{rates[peer]['steady_per_second']:.1f} images/s ({report.NAMES[peer]})",
        f"{artylyze['steady_per_second'] / rates[peer]['steady_per_second']:.2f}",
        f"{artylyze['per_second'] / quickest:.2f}",
        f"{artylyze['steady_per_second'] / limit['steady_per_second']:.2f}",
    ]


MILLIONS = ("scan-listing", "scan-metadata", "update", "embeddings-pieces", "assign", "report")
"""Commands of the README's table of a million and ten million rows."""


def scale_summary(result: Result) -> str:
    """The README's table: seconds and memory of some commands at a million and at ten million rows."""
    sizes = ("1000000", "10000000")
    headings = ["", *(f"{what}, {int(size) / 1e6:g} million" for what in ("seconds", "peak MiB") for size in sizes)]
    cells = [
        [
            report.SCALE_NAMES.get(name, name),
            *(f"{result['contestants'][name][size][key]:,.0f}" for key in ("seconds", "peak_mib") for size in sizes),
        ]
        for name in MILLIONS
    ]
    return report.markdown(headings, cells)


def quality_summary(result: Result) -> str:
    """The README's table: the starter on artists that its heads did not learn from."""
    headings = ["task", "classes", *(f"accuracy, {called}" for called in SPLITS.values()), "top-5, artists unseen"]
    cells = [
        [
            task,
            str(len(splits["random"]["per_class"])),
            *(_spread(splits[split]["accuracy"]) for split in SPLITS),
            _spread(splits["artist-disjoint"]["top5"]),
        ]
        for task, splits in result["tasks"].items()
    ]
    return report.markdown(headings, cells)


def starter(result: Result) -> str:
    """All figures of the starter."""
    columns = [(task, split) for task in result["tasks"] for split in SPLITS]
    headings = ["", *(f"{task}, {SPLITS[split]}" for task, split in columns)]
    cells = [
        [called, *(_spread(result["tasks"][task][split][name]) for task, split in columns)]
        for name, called in STARTER_ROWS.items()
    ]
    same = []
    for task, splits in result["tasks"].items():
        taught = splits["artist- and source-disjoint"]["well taught"]
        figures = ", ".join(f"{taught['accuracy'][split]:.3f} ({called})" for split, called in SPLITS.items())
        same.append(
            f"- {task}: while a source is held out, few images of some classes are left. Accuracy on the "
            f"{taught['n']:,} images of whose class {taught['least']} were left to learn from: {figures}."
        )
    return "\n\n".join([report.markdown(headings, cells), "\n".join(same)])


def _spread(figure: float | Mapping[str, float]) -> str:
    if isinstance(figure, int):
        return f"{figure:,}"
    return f"{figure['mean']:.3f} ± {figure['spread']:.3f}" if isinstance(figure, Mapping) else f"{figure:.3f}"


def features(result: Result) -> str:
    """The study's two tables of features, by KMeans and by the mixture."""
    headings = ["features", "rank", "dim", "silhouette", "Davies-Bouldin"]
    tasks = list(result["rows"][0]["agreement"])
    headings += [f"{task} {figure}" for task in tasks for figure in ("AMI", "purity")]
    parts = []
    for algorithm, called in ALGORITHMS.items():
        rows = [row for row in result["rows"] if row["algorithm"] == algorithm]
        parts += [f"**{called}**", report.markdown(headings, [_feature_row(row, tasks) for row in rows])]
    return "\n\n".join(parts)


def _feature_row(row: Result, tasks: Sequence[str]) -> list[str]:
    figures = [row["agreement"][task][name] for task in tasks for name in ("adjusted_mutual_information", "purity")]
    return [
        row["method"] + (" (random weights, not ranked)" if row["random_weights"] else ""),
        "" if row["rank"] is None else str(row["rank"]),
        f"{row['dim']:,}",
        *(f"{figure:.3f}" for figure in (row["silhouette"], row["davies_bouldin"], *figures)),
    ]


def training(finetune: Result, sweep: Result) -> str:
    """Fine-tuning beside the reference loop, and a sweep beside separate trainings."""
    loops = [
        [LOOPS[name], *(report.number(figures[key]) for key in report.FIELDS["finetune"])]
        for name, figures in finetune["contestants"].items()
    ]
    settings = finetune["settings"]
    tuned = (
        f"**fine-tuning** ({settings['backbone']} at {settings['pixels']} pixels, {settings['learned_from']:,} images "
        f"to learn from, {_machine(finetune)})"
    )
    headings = ["", *(report.HEADINGS[key] for key in report.FIELDS["finetune"])]
    rates = len(sweep["learning_rates"])
    cells = [
        ["one sweep", report.number(sweep["sweep_seconds"]), ""],
        [f"{rates} separate trainings", report.number(sweep["separate_total_seconds"]), f"{sweep['times_faster']:.1f}"],
    ]
    about = f"**sweep** ({rates} learning rates, frozen backbone, {sweep['images']:,} images, {_machine(sweep)})"
    return "\n\n".join(
        [tuned, report.markdown(headings, loops), about, report.markdown(["", "seconds", "times as long"], cells)]
    )


def clustering(*results: Result) -> str:
    """Speed of clustering beside scikit-learn and faiss."""
    return "\n\n".join(_cluster_part(result) for result in results)


def _cluster_part(result: Result) -> str:
    settings, name = result["settings"], result["benchmark"].removeprefix("cluster-")
    about = f"**{name}** ({settings['rows']:,} rows of {settings['dim']:,} dimensions, {_machine(result)})"
    cells = [
        [_contestant(key, figures), report.number(figures["seconds"]), f"{figures['peak_mib']:,.0f}"]
        for key, figures in result["contestants"].items()
    ]
    return "\n\n".join(
        [
            about,
            report.markdown(["", "seconds", "peak MiB"], cells),
            report.markdown(report.VERDICTS, report.check_rows(result)),
        ]
    )


def _contestant(key: str, figures: Result) -> str:
    called = key.rpartition("-")[2]
    return CONTESTANTS.get(called) or f"artylyze, {figures['rows']:,} rows"


def parts(result: Result) -> str:
    """Requests and seconds to open a catalog of many parts and of few."""
    cells = [
        [entry["what"], f"{entry['parts']:,}", f"{entry['requests']:,}", report.number(entry["seconds"])]
        for entry in result["figures"]
    ]
    return report.markdown(["", "parts", "requests", "seconds"], cells)


def pixels(result: Result) -> str:
    """PCA and kernel PCA of the pixels of many images."""
    cells = [
        [name, *(f"{figures[key]:,}" for key in ("seconds", "peak_mib", "dim")), f"{figures['variance_kept']:.2f}"]
        for name, figures in result["methods"].items()
    ]
    about = f"**features** ({result['settings']['images']:,} images, {_machine(result)})"
    return "\n\n".join([about, report.markdown(["", "seconds", "peak MiB", "components", "variance kept"], cells)])


def gpu(result: Result) -> str:
    """Decoding, the model and the engine on a GPU, and clustering there beside the CPU."""
    cells = [
        [
            f"{name} at {model['size']} pixels",
            *(f"{model[part]['images_per_second']:,.0f}" for part in ("decode", "model", "engine")),
            f"{model['engine']['images_per_second'] / _bound(model):.2f}",
            f"{model['engine']['utilisation_mean']:.0%}",
            f"{model['least_cosine']:.3f}",
        ]
        for name, model in result["models"].items()
    ]
    headings = ["", "decoding alone", "model alone", "files to catalog", "of the lower", "GPU in use", "least cosine"]
    fits = result["clustering"]
    seconds = [
        [name, *(f"{fits[f'{key}_{where}']['seconds']:.1f}" for where in ("device", "cpu"))]
        for key, name in (("kmeans", "KMeans"), ("mixture", "mixture"))
    ]
    about = f"**{result['machine']['device']}**, {result['machine']['cores']} cores; images/s"
    clustered = (
        f"{fits['rows']:,} x {fits['columns']:,} in {fits['clusters']} clusters, seconds; KMeans in torch, for cuML is "
        "not installed there"
    )
    return "\n\n".join(
        [about, report.markdown(headings, cells), clustered, report.markdown(["", "GPU", "CPU"], seconds)]
    )


def _bound(model: Result) -> float:
    return float(min(model["decode"]["images_per_second"], model["model"]["images_per_second"]))


def _machine(result: Result) -> str:
    return f"{result['machine']['cores']} cores of {result['machine']['processor']}"


def tagging(*results: Result) -> str:
    """All benchmarks of `tag`."""
    return report.document(results)


CLUSTER_FILES = tuple(f"cluster-{name}" for name in ("kmeans", "gmm", "elbow", "nystroem", "assign"))
SECTIONS = {
    "speed": Section(README, ("tag-paintings", "tag-masters"), speed_summary),
    "millions": Section(README, ("scale",), scale_summary),
    "quality": Section(README, ("starter",), quality_summary),
    "tagging": Section(SPEED, tuple(f"tag-{name}" for name in report.BENCHMARKS), tagging),
    "soak": Section(SPEED, ("soak-hour",), soak_figures.paragraph),
    "training": Section(SPEED, ("train-finetune", "train-sweep"), training),
    "clustering": Section(SPEED, CLUSTER_FILES, clustering),
    "pixels": Section(SPEED, ("features",), pixels),
    "gpu": Section(SPEED, ("gpu-nvidia-h200",), gpu),
    "scale": Section(SCALE, ("scale",), report.scale_section),
    "scaling": Section(SCALE, ("scaling",), tagging),
    "ten-million": Section(SCALE, ("tag-models",), estimate.section),
    "parts": Section(SCALE, ("parts",), parts),
    "search": Section(FINDING, ("search",), finding_tables.search),
    "duplicates": Section(FINDING, ("duplicates", "duplicates-paintings_2"), finding_tables.duplicates),
    "explorer": Section(FINDING, ("explorer",), finding_tables.explorer),
    "starter": Section(QUALITY, ("starter",), starter),
    "backbones": Section(QUALITY, ("starter-backbones",), backbones.section),
    "outside": Section(QUALITY, ("outside",), outside.section),
    "balance": Section(QUALITY, ("train-balance",), balance.section),
    "study": Section(QUALITY, ("train-study",), study_table.section),
    "features": Section(QUALITY, ("compare-features",), features),
    "coverage": Section("docs/reference/formats.md", ("formats",), formats.section),
}


def filled(page: str, results: Path) -> str:
    """The text of a page with its sections made anew; one whose results are not all there stays as it is.

    Raises:
        ValueError: if the page lacks the marks of a section.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, section in SECTIONS.items():
        files = [results / f"{result}.json" for result in section.results]
        if section.page == page and all(file.exists() for file in files):
            text = report.placed(text, name, section.make(*(json.loads(file.read_text("utf-8")) for file in files)))
    return text


def write(results: Path) -> None:
    """Write the sections of every page."""
    for page in dict.fromkeys(section.page for section in SECTIONS.values()):
        (ROOT / page).write_text(filled(page, results), encoding="utf-8")
