"""The limit: the same decode and the same ONNX model in bare processes, one per core. `python limits.py JOB.json`.

No Ray, no supervision, no manifest, no commit: each process takes the next few files, decodes them in process, runs the
model with one thread, and at the end writes its embeddings to one Parquet file.
"""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers import Job, paths_of, read_job

TAKEN = 4
"""Files that a process takes at a time."""


def work(job: Job, number: int, paths: list[str], following: Any) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from artylyze.images import decode
    from artylyze.models.folder import load
    from artylyze.models.runtimes import load_runtime

    bundle = load(job.bundle)
    size = bundle.preprocessing.size
    runtime = load_runtime(bundle, "cpu", threads=1)
    done: list[str] = []
    embeddings: list[Any] = []
    while True:
        with following.get_lock():
            first, following.value = following.value, following.value + TAKEN
        taken = paths[first : first + TAKEN]
        if not taken:
            break
        pixels = np.stack([decode(Path(path).read_bytes(), size).pixels for path in taken])
        embeddings.extend(runtime.run(pixels).embedding)
        done.extend(taken)
    pq.write_table(pa.table({"path": done, "embedding": embeddings}), f"{job.out}/part-{number}.parquet")


def main(job: Job) -> None:
    Path(job.out).mkdir()
    paths, following = paths_of(job), multiprocessing.Value("q", 0)
    workers = [
        multiprocessing.Process(target=work, args=(job, number, paths, following)) for number in range(job.cores)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(max(abs(worker.exitcode or 0) for worker in workers))


if __name__ == "__main__":
    main(read_job(sys.argv[1]))
