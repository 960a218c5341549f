"""artylyze with what its command line does not offer: three separate stages on a CPU, and a slow model.

Run by tag.py: `python ours.py JOB.json`. The fused plan needs no script: it is `artylyze tag`.
"""

from __future__ import annotations

import sys
import time

import pyarrow as pa

from artylyze.progress import Reporter
from artylyze.tagging import ray_engine as pipeline
from artylyze.tagging.job import run
from artylyze.tagging.request import TagRequest
from benchmarks.peers import Job, read_job


def slowed(seconds: float) -> type[pipeline.TagStage]:
    """TagStage that takes `seconds` more for each image, without using a core, so that reading outruns it."""

    class SlowTagStage(pipeline.TagStage):
        def __call__(self, block: pa.Table) -> pa.Table:
            time.sleep(seconds * (block.column("stop")[0].as_py() - block.column("start")[0].as_py()))
            return super().__call__(block)

    return SlowTagStage


def main(job: Job) -> None:
    if "slow_seconds" in job.options:
        setattr(pipeline, "TagStage", slowed(job.options["slow_seconds"]))  # noqa: B010 - build() looks it up there
    with Reporter() as reporter:
        request = TagRequest(
            source=job.folder,
            output=job.out,
            model=job.bundle,
            device="cpu",
            separate=True,
            shard_size=job.options.get("shard_size"),
        )
        run(request, reporter)


if __name__ == "__main__":
    main(read_job(sys.argv[1]))
