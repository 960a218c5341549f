"""Searching 100,000 embeddings: recall, time of a query, and time of the first search of a process, beside peers.

python benchmarks/search.py --catalog CATALOG --out benchmarks/results [--rows 100000] [--quick]

CATALOG is one of real images (`artylyze tag ../shared/data/paintings -o CATALOG`). Its embeddings are extended to so
many rows: each further one lies between a real one and one of its 20 nearest, up to half of the way, with noise of a
tenth of its length, and no number below 0 where the model has none. So neighbourhoods are as dense as in a collection
of that size, though made up. Queries are real rows; a row is not its own neighbour. Every contestant runs in a process
of its own on one core (importing faiss after usearch in one process crashed). Truth is the cosine in float32 over all
rows. The time of artylyze is that of a whole search, from the name of a record to the rows of the catalog; that of the
others is the comparison of vectors alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from artylyze.catalog.parts import ROW_GROUP
from artylyze.catalog.schema import catalog_schema
from artylyze.catalog.snapshot import Part, Snapshot, embeddings, read_snapshot, write_snapshot
from benchmarks.measure import machine
from benchmarks.report import Check

PEERS = ("numpy", "faiss", "usearch")
K = 10
QUERIES = 200
SHARD = 1_024
"""Rows of a part, as `tag` makes them."""
SEED = 0

Find = Callable[[NDArray[np.float32], int], NDArray[np.int64]]


def unit(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), np.float32)


def extended(real: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """The real embeddings, then made-up ones among them."""
    random = np.random.default_rng(SEED)
    cosines = unit(real) @ unit(real).T
    near = np.argpartition(-cosines, min(20, len(real) - 1), axis=1)[:, :20]
    pieces = [real]
    for start in range(len(real), rows, 8_192):
        count = min(8_192, rows - start)
        one = random.integers(0, len(real), count)
        other = near[one, random.integers(0, near.shape[1], count)]
        share = random.uniform(0, 0.5, (count, 1)).astype(np.float32)
        rows_made = real[one] + share * (real[other] - real[one])
        noise = random.standard_normal(rows_made.shape, np.float32)
        noise *= 0.1 * np.linalg.norm(rows_made, axis=1, keepdims=True) / np.sqrt(real.shape[1])
        rows_made += noise
        pieces.append(np.maximum(rows_made, 0) if real.min() >= 0 else rows_made)
    return np.concatenate(pieces)[:rows]


def write_catalog(
    folder: Path, matrix: NDArray[np.float32], pictures: Callable[[range], Mapping[str, pa.Array]] | None = None
) -> str:
    """Write a catalog of embeddings as `tag` would; record i is row i.

    Args:
        folder: of the catalog.
        matrix: the embeddings, float32 (n, d).
        pictures: the columns uri, width, height and thumbnail of some rows; None: no image is there.
    """
    schema = catalog_schema((), None, thumbnails=pictures is not None)
    parts = []
    for start in range(0, len(matrix), SHARD):
        some = matrix[start : start + SHARD]
        count, dim = some.shape
        names = [f"{row:08}" for row in range(start, start + count)]
        columns = {
            "image_id": pa.array([f"{name}.jpg" for name in names]),
            "record_id": pa.array(names),
            "uri": pa.array([f"/nowhere/{name}.jpg" for name in names]),
            "status": pa.array(["ok"] * count),
            "model_id": pa.array(["benchmark"] * count),
            "run_id": pa.array(["run0"] * count),
            "embedding": pa.ListArray.from_arrays(
                pa.array(np.arange(count + 1) * dim, pa.int32()), pa.array(some.ravel())
            ),
        }
        columns |= {} if pictures is None else pictures(range(start, start + count))
        filled = [columns[f.name] if f.name in columns else pa.nulls(count, f.type) for f in schema]
        path = folder / "runs" / "run0" / "parts" / f"part-{start // SHARD:05}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_arrays(filled, schema=schema)
        plain = [name for name in schema.names if name != "embedding"]
        pq.write_table(table, path, compression="zstd", use_dictionary=plain, row_group_size=ROW_GROUP)
        parts.append(Part(str(path.relative_to(folder)), count, count))
    write_snapshot(str(folder), Snapshot("run0", "tag", "benchmark", (), matrix.shape[1], {}, tuple(parts)))
    return str(folder)


def ours(catalog: str) -> tuple[Find, dict[str, Any]]:
    from artylyze.searching.search import Searcher, SearchRequest

    began = time.perf_counter()
    searcher = Searcher.open(catalog)
    held = len(searcher.index)

    def find(_: NDArray[np.float32], row: int) -> NDArray[np.int64]:
        hits = searcher.search(SearchRequest(like=f"{row:08}", k=K))
        return np.array([int(record) for record in hits.table.column("record_id").to_pylist()])

    return find, {"open_seconds": time.perf_counter() - began, "indexed": held}


def peer(name: str, matrix: NDArray[np.float32]) -> tuple[Find, dict[str, Any]]:
    rows = unit(matrix)
    began = time.perf_counter()
    if name == "numpy":

        def exact(query: NDArray[np.float32], row: int) -> NDArray[np.int64]:
            scores = rows @ query
            scores[row] = -2
            best = np.argpartition(-scores, K)[:K]
            return np.asarray(best[np.argsort(-scores[best])])

        return exact, {"build_seconds": 0.0}
    if name == "faiss":
        import faiss

        faiss.omp_set_num_threads(1)
        lists = max(1, int(2 * np.sqrt(len(rows))))
        ivf = faiss.IndexIVFFlat(faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
        ivf.train(rows[:: max(1, len(rows) // (40 * lists))])
        ivf.add(rows)
        ivf.nprobe = max(1, lists // 20)
        search: Callable[[NDArray[np.float32]], Any] = lambda query: ivf.search(query[None], K + 1)[1][0]  # noqa: E731
        settings: dict[str, Any] = {"lists": lists, "probed": ivf.nprobe}
    else:
        from usearch.index import Index

        hnsw = Index(ndim=rows.shape[1], metric="cos", dtype="f16")
        hnsw.add(np.arange(len(rows)), rows, threads=1)
        search = lambda query: hnsw.search(query, K + 1, threads=1).keys  # noqa: E731
        settings = {"dtype": "f16"}

    def find(query: NDArray[np.float32], row: int) -> NDArray[np.int64]:
        found = np.asarray(search(query), np.int64)
        return np.asarray(found[found != row][:K])

    return find, {"build_seconds": time.perf_counter() - began, **settings}


def work(name: str, folder: Path, queries: int) -> dict[str, Any]:
    """Measure a contestant in this process: recall, and the median time of a query, the first time and then again."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    matrix, truth = np.load(folder / "matrix.npy", mmap_mode="r"), np.load(folder / "truth.npy")
    asked = np.load(folder / "asked.npy")[:queries]
    find, about = ours(str(folder / "catalog")) if name == "artylyze" else peer(name, np.asarray(matrix))
    vectors = unit(np.asarray(matrix[asked]))
    rounds = []
    for _ in range(2):
        times, shares = [], []
        for vector, row, best in zip(vectors, asked.tolist(), truth, strict=False):
            began = time.perf_counter()
            found = find(vector, row)
            times.append(time.perf_counter() - began)
            shares.append(len(set(found.tolist()) & set(best.tolist())) / len(best))
        rounds.append((float(np.median(times)), float(np.mean(shares))))
    return {
        "recall_at_10": rounds[1][1],
        "query_ms": 1e3 * rounds[1][0],
        "first_round_query_ms": 1e3 * rounds[0][0],
        **about,
    }


def prepare(folder: Path, matrix: NDArray[np.float32], real: int, queries: int) -> None:
    """Write what the contestants read: the matrix, the queries, the true neighbours, and the catalog with its index."""
    from artylyze.searching.index import build_index

    asked = np.random.default_rng(SEED).choice(real, min(queries, real), replace=False)
    rows = unit(matrix)
    truth = []
    for row in asked:
        scores = rows @ rows[row]
        scores[row] = -2
        truth.append(np.argsort(-scores, kind="stable")[:K])
    folder.mkdir(parents=True)
    np.save(folder / "matrix.npy", matrix)
    np.save(folder / "asked.npy", asked)
    np.save(folder / "truth.npy", np.array(truth))
    catalog = write_catalog(folder / "catalog", matrix)
    began = time.perf_counter()
    built = build_index(catalog)
    about = {"index_seconds": time.perf_counter() - began, "index_bytes": built.bytes, "rows": built.rows}
    (folder / "about.json").write_text(json.dumps(about))


def first_search(folder: Path) -> float:
    """Seconds of a fresh process that searches once, on one core, as the command does; the best of three."""
    row = int(np.load(folder / "asked.npy")[0])
    command = [sys.executable, "-m", "artylyze", "search", str(folder / "catalog"), "--like", f"{row:08}", "--json"]
    times = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        times.append(time.perf_counter() - began)
    return min(times)


def measure(folder: Path, queries: int, names: Sequence[str]) -> dict[str, Any]:
    """Run each contestant in a process of its own; one that cannot run says why."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    found: dict[str, Any] = {}
    for name in names:
        command = [sys.executable, __file__, "--worker", name, "--folder", str(folder), "--queries", str(queries)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        lines = done.stdout.strip().splitlines()
        found[name] = json.loads(lines[-1]) if done.returncode == 0 else {"error": done.stderr.strip()[-300:]}
        print(name, found[name], flush=True)
    return found


def checks(figures: Mapping[str, Any]) -> list[Check]:
    """The targets: of recall, of a query once open, and of the first search of a process."""
    mine = figures["contestants"]["artylyze"]
    return [
        Check("recall@10 of artylyze against brute force", mine["recall_at_10"], least=0.99),
        Check("milliseconds of a search once open, on one core", mine["query_ms"], most=25),
        Check("seconds of the first search of a process", figures["first_search_seconds"], most=1.5),
    ]


def versions() -> dict[str, str]:
    found = {}
    for name in ("artylyze", "numpy", "pyarrow", "faiss-cpu", "usearch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--catalog", help="a catalog of real images")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--quick", action="store_true", help="2,000 rows, 20 queries, numpy alone")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(work(given.worker, given.folder, given.queries)))
        return
    if given.quick:
        given.rows, given.queries, given.peers = min(given.rows, 2_000), 20, "numpy"
    _, real = embeddings(given.catalog, read_snapshot(given.catalog))
    with tempfile.TemporaryDirectory(prefix="artylyze-") as scratch:
        folder = Path(scratch) / "search"
        prepare(folder, extended(real, given.rows), min(len(real), given.rows), given.queries)
        names = ["artylyze", *filter(None, given.peers.split(","))]
        figures = {
            "benchmark": "search",
            "machine": machine(),
            "versions": versions(),
            "settings": {"rows": given.rows, "real_rows": len(real), "queries": given.queries, "k": K},
            **json.loads((folder / "about.json").read_text()),
            "contestants": measure(folder, given.queries, names),
            "first_search_seconds": first_search(folder),
        }
    figures["checks"] = [check.as_dict() for check in checks(figures)]
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "search.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures["checks"], indent=1))


if __name__ == "__main__":
    main()
