"""Clustering against scikit-learn's defaults and faiss, each in a process of its own, on the same rows.

python benchmarks/cluster.py CATALOG [--rows 100000] [--only kmeans,gmm,elbow,nystroem,mixture,assign]

CATALOG holds real embeddings (`artylyze tag ../shared/data/paintings -o CATALOG --model timm:tf_efficientnet_lite0`);
`benchmarks/cluster_data.py` says how the rows that are clustered are drawn after them. Seconds are those of the work,
not of imports or of reading the rows. The naive elbow is measured at `ELBOW` values of k and interpolated between them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measure import busy, machine, not_installed, run_contestant, versions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

RESULTS = Path(__file__).resolve().parent / "results"
K, COMPONENTS, SEED = 25, 128, 0
RANGE = (5, 60)
ELBOW = (5, 30, 60)
GROUPS = {
    "kmeans": ("kmeans-sklearn", "kmeans-faiss", "kmeans-artylyze"),
    "gmm": ("gmm-sklearn", "gmm-artylyze"),
    "elbow": ("elbow-sklearn", "elbow-artylyze"),
    "nystroem": ("nystroem-sklearn", "nystroem-artylyze"),
    "mixture": ("mixture-table",),
    "assign": ("assign-few", "assign-many"),
}
FAISS = ("faiss", "faiss-cpu")
IMAGES, SIDE, LEADING = 20_000, 16, 8
"""Of the comparison of kernel PCA: images, pixels a side, components that are compared."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or be one of those that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", help="a catalog of real embeddings")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only", default=",".join(GROUPS))
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.contestant:
        own = asked.contestant.startswith("assign")
        found = CONTESTANTS[asked.contestant](Path(asked.catalog) if own else np.load(asked.catalog))
        if "array" in found:
            np.save(Path(asked.catalog).with_name(f"{asked.contestant}.npy"), found.pop("array"))
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory(prefix="artylyze-cluster-") as temporary:
        for result in measure(asked.catalog, asked.rows, asked.only.split(","), Path(temporary)):
            (RESULTS / f"{result['benchmark']}.json").write_text(json.dumps(result, indent=1) + "\n")


def measure(catalog: str, rows: int, groups: Sequence[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what was seen of each group, on rows that are drawn after a catalog's embeddings."""
    paths, data = _draw(catalog, rows, folder)
    for group in groups:
        if group == "assign":
            _write_streams(np.load(paths["kmeans"]), folder)
        yield _measure(group, paths.get(group, paths["kmeans"]), data, folder)


def _write_streams(drawn: Matrix, folder: Path) -> None:
    from benchmarks import cluster_stream

    for name, rows in zip(GROUPS["assign"], cluster_stream.ROWS, strict=True):
        cluster_stream.write(folder / f"{name}.parquet", drawn, rows)
    cluster_stream.fit(folder / f"{GROUPS['assign'][0]}.parquet", folder / "clusters")


def _draw(catalog: str, rows: int, folder: Path) -> tuple[dict[str, Path], dict[str, Any]]:
    """Draw the rows, and their principal components for the mixtures; say how alike both are."""
    from artylyze.catalog.snapshot import embeddings
    from artylyze.clustering.kmeans import principal
    from benchmarks.cluster_data import model_of, spectrum

    _, real = embeddings(catalog)
    drawn = model_of(real).draw(rows)
    points = principal(drawn, COMPONENTS, SEED).apply(drawn)
    paths = {name: folder / f"{name}.npy" for name in ("kmeans", "gmm", "nystroem", "mixture")}
    np.save(paths["mixture"], real)
    np.save(paths["kmeans"], drawn)
    np.save(paths["gmm"], points / np.sqrt(points.var(axis=0).mean()))
    np.save(paths["nystroem"], _pictures())
    about = {"rows": rows, "dim": drawn.shape[1], "real_rows": len(real)}
    return paths, {**about, "variance_held_by_components": {"real": spectrum(real), "drawn": spectrum(drawn)}}


def _pictures() -> NDArray[np.uint8]:
    """Images whose amplitudes fall with frequency, as those of natural images do (Field 1987)."""
    from scipy.fft import idctn

    random = np.random.default_rng(SEED)
    frequency = 1 + np.hypot(*np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
    waves = random.standard_normal((IMAGES, SIDE, SIDE, 3)) / frequency[:, :, None] ** 1.5
    fields = idctn(waves, axes=(1, 2), norm="ortho")
    pixels: NDArray[np.uint8] = np.clip(128 + 60 * fields / fields.std(), 0, 255).astype(np.uint8)
    return pixels


def _measure(group: str, path: Path, data: dict[str, Any], folder: Path) -> dict[str, Any]:
    before, found = busy(), {}
    left_out = not_installed({name: FAISS for name in GROUPS[group] if name.endswith("faiss")})
    for name in GROUPS[group]:
        if name in left_out:
            continue
        log = folder / f"{name}.txt"
        data_of = folder / f"{name}.parquet" if group == "assign" else path
        run = run_contestant([sys.executable, __file__, str(data_of), "--contestant", name], log)
        found[name] = {**json.loads(log.read_text().splitlines()[-1]), "peak_mib": round(run.peak / 2**20)}
        print(name, found[name], flush=True)
    return {
        "benchmark": f"cluster-{group}",
        "settings": {"k": K, "components": COMPONENTS, "seed": SEED, **data},
        "contestants": found,
        "left_out": left_out,
        "checks": _checks(group, found, path),
        "busy_before_percent": before,
        "machine": machine(),
        "versions": versions(("artylyze", "numpy", "scikit-learn", "faiss-cpu", "kneed")),
    }


def _checks(group: str, found: dict[str, dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    from benchmarks.report import Check

    if group == "mixture":
        return []
    if group == "assign":
        few, many = (found[name]["peak_mib"] for name in GROUPS[group])
        return [Check("peak memory, 1,000,000 / 100,000 rows", many / few, most=1.1).as_dict()]
    seconds = {name.rpartition("-")[2]: one["seconds"] for name, one in found.items()}
    ours = found[f"{group}-artylyze"]
    faster = seconds["sklearn"] / seconds["artylyze"]
    checks = [Check("scikit-learn's seconds / ours", faster, least={"elbow": 5, "nystroem": 10}.get(group, 3))]
    if group == "kmeans":
        if "faiss" in seconds:
            checks.append(Check("our seconds / faiss's", seconds["artylyze"] / seconds["faiss"], most=1.5))
        ratio = ours["inertia"] / found["kmeans-sklearn"]["inertia"]
        checks.append(Check("our inertia / scikit-learn's", ratio, most=1.001))
    if group == "gmm":
        theirs = found["gmm-sklearn"]["log_likelihood"]
        lost = (theirs - ours["log_likelihood"]) / abs(theirs)
        checks.append(Check("share of scikit-learn's log-likelihood lost", lost, most=0.001))
    elif group == "nystroem":
        exact, near = (np.linalg.qr(np.load(path.with_name(f"{name}.npy")))[0] for name in GROUPS[group])
        cosine = float(np.linalg.svd(exact.T @ near, compute_uv=False).min())
        checks.append(Check(f"least cosine of principal angles, {LEADING} leading components", cosine, least=0.95))
    else:
        memory = ours["peak_mib"] / (path.stat().st_size / 2**20)
        checks.append(Check("peak memory / size of the matrix", memory, most=3))
    return [check.as_dict() for check in checks]


def _timed(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    began = time.perf_counter()
    found = work()
    return {"seconds": round(time.perf_counter() - began, 2), **found}


def _kmeans_sklearn(rows: Matrix) -> dict[str, Any]:
    from sklearn.cluster import KMeans

    def work() -> dict[str, Any]:
        fitted = KMeans(K, random_state=SEED).fit(rows)
        return {"inertia": float(fitted.inertia_), "steps": int(fitted.n_iter_)}

    return _timed(work)


def _kmeans_faiss(rows: Matrix) -> dict[str, Any]:
    import faiss

    fitted = faiss.Kmeans(rows.shape[1], K, niter=25, seed=1, max_points_per_centroid=len(rows))
    found = _timed(lambda: {"steps": 25} if fitted.train(rows) is not None else {})
    return found | {"inertia": float(fitted.index.search(rows, 1)[0].sum(dtype=np.float64))}


def _kmeans_artylyze(rows: Matrix) -> dict[str, Any]:
    import sklearn.cluster  # noqa: F401 - as for the others, its import is not counted

    from artylyze.clustering.kmeans import kmeans_for

    return _timed(lambda: {"inertia": kmeans_for(rows, SEED, "cpu").fit(K).inertia})


def _gmm_sklearn(points: Matrix) -> dict[str, Any]:
    from sklearn.mixture import GaussianMixture

    def work() -> dict[str, Any]:
        fitted = GaussianMixture(K, random_state=SEED).fit(points)
        return {"steps": int(fitted.n_iter_), "converged": bool(fitted.converged_), "model": fitted}

    found = _timed(work)
    return found | {"log_likelihood": float(found.pop("model").score(points))}


def _gmm_artylyze(points: Matrix) -> dict[str, Any]:
    import sklearn.mixture  # noqa: F401

    from artylyze.clustering.em import fit_mixture
    from artylyze.clustering.kmeans import kmeans_for
    from artylyze.clustering.mixture import Projection

    same = Projection(np.zeros(COMPONENTS, np.float32), np.eye(COMPONENTS, dtype=np.float32))

    def work() -> dict[str, Any]:
        labels = kmeans_for(points, SEED, "cpu").fit(K).labels
        fitted = fit_mixture(points, same, labels, "full", SEED, "cpu")
        return {"steps": fitted.steps, "converged": fitted.converged, "log_likelihood": fitted.log_likelihood}

    return _timed(work)


def _elbow_sklearn(rows: Matrix) -> dict[str, Any]:
    from sklearn.cluster import KMeans

    def one(k: int) -> dict[str, Any]:
        return {"k": k, "inertia": float(KMeans(k, random_state=SEED).fit(rows).inertia_)}

    taken = [_timed(partial(one, k)) for k in ELBOW]
    ks = range(RANGE[0], RANGE[1] + 1)
    total = float(np.interp(ks, ELBOW, [run["seconds"] for run in taken]).sum())
    return {"seconds": round(total, 2), "interpolated_from": taken}


def _elbow_artylyze(rows: Matrix) -> dict[str, Any]:
    import kneed  # noqa: F401
    import sklearn.cluster  # noqa: F401

    from artylyze.clustering.choice import elbow
    from artylyze.clustering.kmeans import kmeans_for

    def work() -> dict[str, Any]:
        kmeans, ks = kmeans_for(rows, SEED, "cpu"), range(RANGE[0], RANGE[1] + 1)
        inertias = [kmeans.sketch(k).inertia for k in ks]
        at = {str(k): inertias[k - RANGE[0]] for k in ELBOW}
        return {"chosen": elbow(list(ks), inertias)[0], "inertias": at}

    return _timed(work)


def _nystroem_sklearn(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    from sklearn.decomposition import KernelPCA

    from artylyze.extraction.transform import flat

    rows = flat(pixels)
    gamma = 1 / float(2 * rows.var(axis=0).sum())
    model = KernelPCA(LEADING, kernel="rbf", gamma=gamma, eigen_solver="arpack", random_state=SEED, copy_X=False)
    return _timed(lambda: {"array": model.fit_transform(rows)})


def _nystroem_artylyze(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    from artylyze.extraction.fitting import fit
    from benchmarks.cluster_stream import Silent

    return _timed(lambda: {"array": fit("kernel_pca", pixels, 0.95, SEED, Silent())[1][:, :LEADING]})


def _mixture_table(real: Matrix) -> dict[str, Any]:
    from benchmarks.cluster_mixture import table

    return table(real, K, SEED)


def _assign(source: Path) -> dict[str, Any]:
    from benchmarks.cluster_stream import assign

    return assign(source)


CONTESTANTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "kmeans-sklearn": _kmeans_sklearn,
    "kmeans-faiss": _kmeans_faiss,
    "kmeans-artylyze": _kmeans_artylyze,
    "gmm-sklearn": _gmm_sklearn,
    "gmm-artylyze": _gmm_artylyze,
    "elbow-sklearn": _elbow_sklearn,
    "elbow-artylyze": _elbow_artylyze,
    "nystroem-sklearn": _nystroem_sklearn,
    "nystroem-artylyze": _nystroem_artylyze,
    "mixture-table": _mixture_table,
    "assign-few": _assign,
    "assign-many": _assign,
}

if __name__ == "__main__":
    main()
