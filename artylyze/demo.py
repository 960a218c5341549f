"""The demo: a generated collection, a model trained on part of it, its catalog, clusters and a report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from artylyze.catalog.snapshot import embeddings, part_paths, read_catalog, read_snapshot
from artylyze.clustering.cluster import cluster
from artylyze.clustering.request import ClusterRequest
from artylyze.collection.scan import scan
from artylyze.datasets.curate import CurateRequest, curate
from artylyze.drawing.contact_sheet import TILE, Tile, contact_sheet
from artylyze.errors import InputError
from artylyze.evaluation.evaluate import EvaluateRequest, Evaluation, evaluate
from artylyze.evaluation.figures import write_report as write_evaluation
from artylyze.exploring.export import ExploreRequest, export
from artylyze.images import decode
from artylyze.profiling.profile_files import write_profiles
from artylyze.profiling.profiling import make_profiles
from artylyze.progress import Watcher
from artylyze.reporting.page import ReportRequest, write_report
from artylyze.sample import write_sample
from artylyze.sample.shipped import write_shipped
from artylyze.storage import fetch
from artylyze.tagging.job import run
from artylyze.tagging.request import TagRequest
from artylyze.training.train import TrainRequest, train

TASKS = ("genre", "style")

LEAST = 300
"""Least number of images with which every style has artists for both training and test."""

QUERIES = 4
"""Works on the contact sheet, of different genres, each beside the works most similar to it."""

NEIGHBOURS = 5

CLUSTERS = 12

REAL_COLUMNS = 4
"""Pictures in a row of the sheet of real ones."""


@dataclass(frozen=True)
class DemoResult:
    """Outputs and results of the demo. Accuracy (0 to 1) of each task is on works by artists not in training."""

    catalog: str
    bundle: str
    evaluation: str
    contact_sheet: str
    real_pictures: str
    clusters: str
    report: str
    explorer: str
    rows: int
    ok: int
    errors: Mapping[str, int]
    accuracy: Mapping[str, float]
    review: Mapping[str, float]
    evaluated: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def run_demo(folder: Path, count: int, watcher: Watcher) -> DemoResult:
    """Draw a sample with some broken files, train on part of it, tag, evaluate, cluster, report and explore.

    Last, the starter tags some real pictures.

    Raises InputError for fewer than LEAST images, or a folder with the demo of another sample.
    """
    if count < LEAST:
        raise InputError(f"`count={count}`: the demo needs at least {LEAST} images, for training and for test.")
    sample, manifest, dataset = folder / "sample", folder / "manifest.parquet", folder / "dataset.parquet"
    bundle, catalog, evaluation = folder / "bundle", folder / "catalog", folder / "evaluation"
    watcher.say(f"1/10 Drawing a sample of {count:,} images, some broken on purpose: {sample}")
    write_sample(sample, count, awkward=True)
    watcher.say("2/10 Scanning it and joining its metadata.csv")
    scan(
        str(sample / "images"),
        str(manifest),
        metadata=str(sample / "metadata.csv"),
        id_column="record_id",
        file_column="file",
    )
    watcher.say("3/10 Curating a dataset: no artist is in both training and test")
    curate(CurateRequest((), str(manifest), str(dataset), TASKS, balance="none"), watcher)
    if not bundle.exists():
        watcher.say("4/10 Training heads for genre and style on the offline backbone")
        train(TrainRequest(str(dataset), str(bundle), TASKS), watcher)
    watcher.say("5/10 Tagging the whole sample")
    run(TagRequest(source=str(manifest), output=str(catalog), model=str(bundle), max_error_rate=1.0), watcher)
    watcher.say("6/10 Evaluating the heads on the test works")
    evaluated = evaluate(EvaluateRequest(str(bundle), str(dataset), str(evaluation), folds=0), watcher)
    write_evaluation(evaluated, str(evaluation), watcher)
    clusters = str(folder / "clusters")
    watcher.say(f"7/10 Clustering the embeddings, and describing each of {CLUSTERS} clusters")
    cluster(ClusterRequest(str(catalog), clusters, k=CLUSTERS), watcher)
    write_profiles(make_profiles(clusters), watcher)
    watcher.say("8/10 Writing the report")
    page = str(folder / "report.html")
    write_report(ReportRequest(str(catalog), page, clusters, str(bundle), str(evaluation)), watcher)
    watcher.say("9/10 Writing the explorer")
    export(ExploreRequest(str(catalog), str(folder / "explorer"), clusters, title="Drawn pictures"), watcher)
    watcher.say("10/10 Tagging real pictures that installed packages ship, with the starter")
    pictures, tagged = folder / "real-pictures", str(folder / "real-catalog")
    write_shipped(pictures)
    run(TagRequest(source=str(pictures), output=tagged, model="starter"), watcher)
    draw_tagged(tagged, folder / "real-pictures.png", "Real pictures of installed packages, tagged by the starter")
    return _result(folder, evaluated)


def draw_tagged(catalog: str, sheet: Path, title: str) -> None:
    """Draw all pictures of a small catalog with their tags on a contact sheet."""
    rows = sorted(read_catalog(catalog).to_pylist(), key=itemgetter("image_id"))
    contact_sheet(title, [_tile(row) for row in rows], REAL_COLUMNS).save(sheet)


def _result(folder: Path, evaluated: Evaluation) -> DemoResult:
    catalog, sheet = str(folder / "catalog"), folder / "contact-sheet.png"
    _draw(catalog, sheet)
    snapshot = read_snapshot(catalog)
    result = DemoResult(
        catalog=catalog,
        bundle=str(folder / "bundle"),
        evaluation=str(folder / "evaluation"),
        contact_sheet=str(sheet),
        real_pictures=str(folder / "real-pictures.png"),
        clusters=str(folder / "clusters"),
        report=str(folder / "report.html"),
        explorer=str(folder / "explorer"),
        rows=snapshot.rows,
        ok=snapshot.ok,
        errors=dict(snapshot.errors),
        accuracy={name: task.metrics.accuracy for name, task in evaluated.tasks.items()},
        review={name: 1 - task.review.coverage for name, task in evaluated.tasks.items()},
        evaluated=evaluated.predictions.table.num_rows,
    )
    (folder / "demo.json").write_text(json.dumps(result.as_dict(), indent=1, ensure_ascii=False) + "\n")
    return result


def _draw(catalog: str, sheet: Path) -> None:
    """Draw some works, each beside the most similar ones, with their tags."""
    rows = {row["image_id"]: row for row in read_catalog(catalog).to_pylist() if row["status"] == "ok"}
    ids, matrix = embeddings(catalog)
    nearest = _nearest(matrix)
    genres = [rows[image]["genre"] for image in ids]
    chosen = [genres.index(genre) for genre in sorted(set(genres))[:QUERIES]]
    tiles = [_tile(rows[ids[row]]) for query in chosen for row in [query, *nearest[query]]]
    title = "Each row: a work, then the works most similar to it by their embeddings, with their tags"
    contact_sheet(title, tiles, NEIGHBOURS + 1).save(sheet)


def _nearest(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return for each embedding the rows of the most similar others by cosine, int64 (n, NEIGHBOURS)."""
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1)[:, :NEIGHBOURS]


def _tile(row: dict[str, Any]) -> Tile:
    pixels = decode(bytes(fetch(row["uri"])), TILE).pixels
    title = (row.get("metadata") or {}).get("title") or row["image_id"]
    scores = {task: row[f"{task}_score"] for task in TASKS}
    tags = [
        f"{row[task]}{'' if score is None else f' {score:.0%}'}{' ?' * row[f'{task}_review']}"
        for task, score in scores.items()
    ]
    return Tile(pixels, row["width"] / row["height"], [title, *tags])


def describe(result: DemoResult) -> str:
    """Return the results in words for a terminal."""
    table = read_catalog(result.catalog, ["status", *TASKS]).to_pylist()
    genres = Counter(row["genre"] for row in table if row["status"] == "ok")
    wide = max(len(name) for name in [*genres, *result.errors])
    paths = part_paths(result.catalog, read_snapshot(result.catalog))
    pattern = str(Path(paths[0]).parent / "*.parquet")
    evaluated = "\n".join(
        f"  {task:<{wide}}  {result.accuracy[task]:5.0%} correct, {result.review[task]:.0%} of them marked for review"
        for task in TASKS
    )
    return f"""
{result.ok:,} of {result.rows:,} images are tagged. Number of images by genre:
{_counts(genres, wide)}
The others have a row with the reason:
{_counts(Counter(result.errors), wide)}

On {result.evaluated:,} works by artists that were not in training:
{evaluated}
These pictures are drawn so that genre and style are easy to see; real paintings are harder.

Explorer       {result.explorer}/index.html   (open it in a browser; `artylyze explore` serves it with review)
Report         {result.report}   (open it in a browser)
Contact sheet  {result.contact_sheet}   (a ? marks tags for review)
Real pictures  {result.real_pictures}   (photographs that installed packages ship, tagged by the starter)
Evaluation     {result.evaluation}   (figures, confusion matrix, reliability, best and worst classes)
Clusters       {result.clusters}   (profiles/: the content of each; `artylyze influences` shows one painting)
Model bundle   {result.bundle}
Catalog        {result.catalog}

Open it with DuckDB or pandas (`artylyze paths {result.catalog}` lists its files):
  duckdb.sql("select genre, style, count(*) from '{pattern}' group by all order by 3 desc")
  pandas.concat(pandas.read_parquet(path) for path in glob.glob("{pattern}"))"""


def _counts(counted: Counter[str], wide: int) -> str:
    return "\n".join(f"  {name:<{wide}}  {count:5,}" for name, count in counted.most_common())
