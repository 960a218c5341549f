"""From a catalog to its clusters: the steps in order."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.filesize import decimal

from artylyze.clustering import choice, em
from artylyze.clustering.assign import assign_pieces, assignments, left_out
from artylyze.clustering.draws import read_sample, row_keys
from artylyze.clustering.gpu_node import PROGRAM, is_needed, on_gpu_node
from artylyze.clustering.kmeans import Fit, KMeans, kmeans_for
from artylyze.clustering.request import K_RANGE
from artylyze.clustering.scores import score_fits
from artylyze.clustering.stability import stability
from artylyze.clustering.store import ASSIGNMENTS, Clusters, check_folder, read_clusters, write_clusters
from artylyze.errors import InputError
from artylyze.extraction.vectors import (
    WHY,
    Pieces,
    Vectors,
    describe_left_out,
    open_pieces,
    read_vectors,
    sampled,
)
from artylyze.models.runtimes import resolve_device

if TYPE_CHECKING:
    from artylyze.clustering.mixture import Mixture
    from artylyze.clustering.request import ClusterRequest
    from artylyze.progress import Watcher

PACKAGES = ("artylyze", "numpy", "scikit-learn", "kneed")
FEW = 2
"""Different images for each cluster: with fewer, no number of clusters that nobody asked for is taken."""
BIC_ROWS = 10_000
"""Rows that mixtures are compared on where k is chosen."""
BIC_TRIALS = 8
"""Numbers of clusters for which a mixture is fitted where k is chosen: it costs far more than KMeans."""


@dataclass(frozen=True)
class Plan:
    """What a clustering would do.

    Attributes:
        rows: vectors.
        dim: of the features.
        left_out: images without usable features, by reason.
        k: numbers of clusters that would be fitted.
        components: dimensions of the mixture, None without one.
        memory_bytes: at the peak.
        seconds_per_step: of EM on all rows at the largest k, measured on some.
        seconds_at_most: of EM at the chosen k, were no step to spare.
    """

    rows: int
    dim: int
    left_out: dict[str, int]
    k: tuple[int, ...]
    components: int | None
    memory_bytes: int
    seconds_per_step: float
    seconds_at_most: float


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What a fit found.

    Attributes:
        clusters: with the assignments of the rows that were fitted.
        picture: elbow.png, None where one k was fitted.
        pieces: all rows, where those that were fitted are a sample of them.
    """

    clusters: Clusters
    picture: bytes | None
    pieces: Pieces | None


def plan(request: ClusterRequest, watcher: Watcher) -> Plan:
    """Say what a request would do and cost, from the data and a short probe of this machine, or of a GPU node."""
    if is_needed(request.device):
        memory = _memory_bytes(request, open_pieces(request.source))
        return on_gpu_node(partial(_plan, replace(request, device="cuda")), memory, watcher)
    return _plan(request, watcher)


def _plan(request: ClusterRequest, watcher: Watcher) -> Plan:
    vectors, pieces = _vectors(request, watcher)
    ks = _ks(request, vectors, watcher, sample=pieces is not None)
    rows, dim = vectors.matrix.shape
    components, seconds = None, 0.0
    if "gmm" in request.algorithms:
        projection = em.reduce(vectors.matrix, request.variance, request.seed, request.components)
        components, points = len(projection.components), projection.apply(vectors.matrix)
        device = resolve_device(request.device)
        seconds = em.seconds_per_step(points, projection, max(ks), request.covariance, request.seed, device)
    memory = peak_bytes(rows, dim, components or 0, max(ks))
    return Plan(rows, dim, dict(vectors.left_out), ks, components, memory, seconds, seconds * em.STEPS)


def peak_bytes(rows: int, dim: int, components: int, k: int) -> int:
    """Memory of a fit at its peak, besides the program's own: the matrix, points, shares, and a copy of each."""
    return rows * (2 * dim + 2 * components + 2 * k) * 4


def _memory_bytes(request: ClusterRequest, pieces: Pieces) -> int:
    """Memory that a fit may take, from what is known before a vector is read."""
    rows = pieces.vectors if request.sample is None else min(pieces.vectors, 2 * request.sample)  # see read_sample
    components = request.components if "gmm" in request.algorithms else 0
    return PROGRAM + peak_bytes(rows, pieces.dim, components, request.k or request.k_range[1])


def cluster(request: ClusterRequest, watcher: Watcher) -> Clusters:
    """Cluster, and write the folder.

    Where RAY_ADDRESS names a cluster and this machine has no GPU, as the head of a cluster, `device="cuda"` fits in a
    task on one of its GPU nodes.

    Raises:
        InputError: for a source that cannot be clustered: one image, too few different rows, several models.
        UsageError: for an output that is a file or a catalog.
    """
    began = time.monotonic()
    check_folder(request.output)
    if is_needed(request.device):
        memory = _memory_bytes(request, open_pieces(request.source))
        fitted = on_gpu_node(partial(fit, replace(request, device="cuda")), memory, watcher)
    else:
        fitted = fit(request, watcher)
    run = {**fitted.clusters.run, "seconds": round(time.monotonic() - began, 2)}
    clusters = replace(fitted.clusters, run=run)
    if fitted.pieces is not None:
        return _assign_all(clusters, fitted.pieces, fitted.picture, watcher, began)
    write_clusters(clusters, fitted.picture)
    return clusters


def fit(request: ClusterRequest, watcher: Watcher) -> _Fitted:
    """Fit on this machine, writing nothing; raise InputError for a source that cannot be clustered."""
    device = resolve_device(request.device)
    vectors, pieces = _vectors(request, watcher)
    ks = _ks(request, vectors, watcher, sample=pieces is not None)
    matrix, keys = vectors.matrix, row_keys(vectors.ids.to_pylist())
    kmeans = kmeans_for(matrix, request.seed, device, keys)
    sketches = _sketches(kmeans, ks, watcher) if len(ks) > 1 else {}
    chosen, why = _elbow(sketches) if sketches else (ks[0], _given(request, ks[0]))
    watcher.say(f"Fitting k = {chosen}: {why}")
    best = kmeans.fit(chosen)
    mixture, bics, em_summary = _mixtures(request, vectors, sketches, best, device, watcher)
    watcher.say("Scoring")
    tried = score_fits(matrix, sketches, bics, request.seed)
    bic = {chosen: em_summary["bic"]} if em_summary else {}
    final = asdict(score_fits(matrix, {chosen: best}, bic, request.seed)[chosen])
    stable = stability(matrix, best.labels, chosen, keys, request.seed)
    scores = {"chosen": chosen, "why": why, "fitted": final, "stability": asdict(stable) if stable else None}
    scores["preferred"] = choice.preferred(tried, chosen) if len(tried) > 1 else None
    scores["k"] = {str(k): asdict(of_k) for k, of_k in sorted(tried.items())} or {str(chosen): final}
    kept = best if "kmeans" in request.algorithms else None
    clusters = Clusters(
        request.output,
        _run(request, vectors, chosen, why, device) | {"em": em_summary},
        assignments(vectors, kept, mixture),
        None if kept is None else kept.centroids,
        mixture,
        scores,
    )
    title = f"{len(matrix):,} images, features: {vectors.method}" + (
        " (random weights)" if vectors.random_weights else ""
    )
    picture = choice.draw(title, tried, chosen) if len(tried) > 1 else None
    return _Fitted(clusters, picture, pieces)


def _assign_all(fitted: Clusters, pieces: Pieces, picture: bytes | None, watcher: Watcher, began: float) -> Clusters:
    """Assign every image to clusters of a sample, streaming; write the folder and return it."""
    with TemporaryDirectory(prefix="artylyze-") as temporary:
        path = Path(temporary, ASSIGNMENTS)
        rows = assign_pieces(pieces, fitted.centroids, fitted.mixture, path, watcher)
        run = {
            **fitted.run,
            "rows": rows,
            "left_out": left_out(pieces, rows),
            "fitted_rows": fitted.run["rows"],
            "seconds": round(time.monotonic() - began, 2),
        }
        write_clusters(replace(fitted, run=run), picture, path)
    return read_clusters(fitted.folder)


def _vectors(request: ClusterRequest, watcher: Watcher) -> tuple[Vectors, Pieces | None]:
    """Read the vectors to fit; where they are a sample, say of what."""
    watcher.say(f"Reading {request.source}")
    if request.sample is not None and (pieces := open_pieces(request.source)).rows > request.sample:
        return read_sample(pieces, request.sample, request.seed), pieces
    return read_vectors(request.source), None


def _ks(request: ClusterRequest, vectors: Vectors, watcher: Watcher, *, sample: bool) -> tuple[int, ...]:
    """Return the numbers of clusters to fit."""
    for reason, count in vectors.left_out.items():
        why = f": {WHY[reason]}" if reason in WHY else ""
        watcher.say(f"Left out: {count:,} image{'' if count == 1 else 's'}, {reason}{why}")
    rows = len(vectors.matrix)
    name = f"the sample of {request.source}" if sample else request.source
    if rows == 1:
        raise InputError(f"{name} has one image: there is nothing to tell apart.")
    low, high = request.k_range
    most = FEW * request.k if request.k is not None else high
    different = _different(vectors.matrix, most)
    if request.few_rows and different < most:
        if different == 1:
            raise InputError(f"{name} has the same features for all {rows:,} images: there is nothing to tell apart.")
        ks = tuple(range(2, max(2, different // FEW) + 1))
        watcher.say(
            f"{different:,} different images are few for {request.k} clusters: choosing k from {ks[0]} to {ks[-1]} "
            "instead. `k` asks for another number."
        )
        return ks
    if request.k is not None and request.k > different:
        what = "rows" if different == rows else "different rows"
        raise InputError(f"`k={request.k}`: {name} has only {different:,} {what}. Ask for fewer clusters.")
    if request.k is not None:
        return (request.k,)
    if different <= low and request.k_range == K_RANGE:
        watcher.say(f"{different:,} different images are few for k from {low}: trying k from 2 instead.")
        low = 2
        if different == low:
            return (low,)
    if different <= low:
        raise InputError(
            f"`k='auto'`: {name} has only {different:,} different rows, too few for k from {low}. Lower `k_range`."
        )
    return tuple(range(low, min(high, different - 1, rows - 1) + 1))


def _different(matrix: Any, most: int) -> int:
    """Number of different rows, counted up to one more than `most`."""
    different: set[bytes] = set()
    for row in matrix:
        different.add((row + np.float32(0)).tobytes())  # -0 + 0 is 0
        if len(different) > most:
            break
    return len(different)


def _sketches(kmeans: KMeans, ks: tuple[int, ...], watcher: Watcher) -> dict[int, Fit]:
    watcher.start(len(ks), 0, "Fitting")
    sketches = {}
    for k in ks:
        sketches[k] = kmeans.sketch(k)
        watcher.advance(1, 0)
    return sketches


def _given(request: ClusterRequest, k: int) -> str:
    """Why there are k clusters where none were tried beside them."""
    if k != request.k:
        return "all that fit"
    return "the default; `k='auto'` looks for the number" if request.few_rows else "as asked for"


def _elbow(sketches: dict[int, Fit]) -> tuple[int, str]:
    ks = sorted(sketches)
    return choice.elbow(ks, [sketches[k].inertia for k in ks])


def _mixtures(
    request: ClusterRequest,
    vectors: Vectors,
    sketches: dict[int, Fit],
    fit: Fit,
    device: str,
    watcher: Watcher,
) -> tuple[Mixture | None, dict[int, float], dict[str, Any] | None]:
    """The mixture at the chosen k; the BICs of several k, all of sketches on the same rows; how EM went."""
    if "gmm" not in request.algorithms:
        return None, {}, None
    watcher.say(f"Fitting the mixture ({request.covariance} covariances)")
    projection = em.reduce(vectors.matrix, request.variance, request.seed, request.components)
    points = projection.apply(vectors.matrix)
    bics, rows = {}, sampled(len(points), BIC_ROWS, request.seed)
    ks = sorted(sketches)
    tried = {ks[place] for place in np.linspace(0, len(ks) - 1, BIC_TRIALS).astype(int)} if ks else set()
    for k in tried | ({len(fit.centroids)} & set(ks)):
        labels = em.dense(sketches[k].labels[rows])
        bics[k] = em.fit_mixture(points[rows], projection, labels, request.covariance, request.seed, device).bic
    fitted = em.fit_mixture(points, projection, em.dense(fit.labels), request.covariance, request.seed, device)
    summary = {name: getattr(fitted, name) for name in ("steps", "converged", "log_likelihood", "bic")} | {
        "components": points.shape[1]
    }
    return fitted.mixture, bics, summary


def _run(request: ClusterRequest, vectors: Vectors, k: int, why: str, device: str) -> dict[str, Any]:
    rows, dim = vectors.matrix.shape
    settings = {
        name: value for name, value in asdict(request).items() if name not in ("source", "output", "device", "few_rows")
    }
    return {
        "source": vectors.source,
        "catalog": vectors.catalog,
        "method": vectors.method,
        "model_id": vectors.model_id,
        "random_weights": vectors.random_weights,
        "rows": rows,
        "dim": dim,
        "left_out": dict(vectors.left_out),
        "settings": settings
        | {"k": k, "k_chosen": why, "algorithms": list(request.algorithms), "k_range": list(request.k_range)},
        "versions": {name: version(name) for name in PACKAGES},
        "device": device,
    }


def describe_plan(planned: Plan) -> str:
    """Say in a few lines what a clustering would do and cost."""
    mixture = "none"
    if planned.components is not None:
        mixture = (
            f"{planned.components:,} components; {planned.seconds_per_step:.2g} s a step of EM at k = {planned.k[-1]}, "
            f"measured on some rows; at most {em.STEPS} steps, {planned.seconds_at_most:,.0f} s"
        )
    vectors = f"{planned.rows:,} of {planned.dim:,} dimensions"
    if planned.left_out:
        vectors += f"; left out: {describe_left_out(planned.left_out)}"
    ks = f" to {planned.k[-1]}, to choose the elbow of inertia" if len(planned.k) > 1 else ""
    return (
        f"Vectors    {vectors}\nClusters   k = {planned.k[0]}{ks}\nMixture    {mixture}\n"
        f"Memory     about {decimal(planned.memory_bytes)} at the peak, besides the program's own"
    )


def describe(clusters: Clusters) -> str:
    """Say in a few lines what came of a clustering."""
    run, scores = clusters.run, clusters.scores
    lines = [f"{run['rows']:,} images in {scores['chosen']} clusters ({scores['why']}): {clusters.folder}"]
    if silhouette := scores["fitted"]["silhouette"]:
        interval = "" if silhouette["exact"] else f" ({silhouette['low']:.3f} to {silhouette['high']:.3f}, sampled)"
        spread = scores["fitted"]["davies_bouldin"]
        lines.append(f"silhouette {silhouette['value']:.3f}{interval}, Davies-Bouldin {spread:.3f}")
    lines += choice.describe(scores)
    if run["left_out"]:
        lines.append(f"Left out: {describe_left_out(run['left_out'])}")
    return "\n".join(lines)
