"""artylyze with what its command line does not offer: three separate stages on a CPU, and a slow model.

Run by tag.py: `python ours.py JOB.json ENGINE`. The fused plan needs no script: it is `artylyze tag`.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from artylyze.progress import Reporter
from artylyze.tagging.job import run
from artylyze.tagging.request import TagRequest
from benchmarks.peers import Job, read_job


def slow_down(engine: str, seconds: float) -> None:
    """Let tagging take `seconds` more for each image, without using a core, so that reading outruns it."""
    if engine == "local":
        from artylyze.tagging.shard import Tagger

        tag = Tagger.tag

        def slow_tag(self: Tagger, pixels: Any) -> Any:
            time.sleep(seconds * len(pixels))
            return tag(self, pixels)

        Tagger.tag = slow_tag  # type: ignore[method-assign]
        return
    from artylyze.tagging import ray_engine

    class SlowTagStage(ray_engine.TagStage):
        def __call__(self, block: Any) -> Any:
            time.sleep(seconds * (block.column("stop")[0].as_py() - block.column("start")[0].as_py()))
            return super().__call__(block)

    setattr(ray_engine, "TagStage", SlowTagStage)  # noqa: B010 - build() looks it up there


def main(job: Job, engine: str) -> None:
    if "slow_seconds" in job.options:
        slow_down(engine, job.options["slow_seconds"])
    with Reporter() as reporter:
        request = TagRequest(
            source=job.folder,
            output=job.out,
            model=job.bundle,
            device="cpu",
            engine=engine,
            separate=True,
            shard_size=job.options.get("shard_size"),
        )
        run(request, reporter)


if __name__ == "__main__":
    main(read_job(sys.argv[1]), sys.argv[2])
