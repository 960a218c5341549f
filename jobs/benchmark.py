"""`artylyze bench` as a Ray job: the same arguments, answers and exit codes; progress is JSON lines in the job's log.

ray job submit --entrypoint-num-cpus 8 --working-dir . -- python jobs/benchmark.py tag --images s3://museum/scans -o s3://museum/bench
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The working directory that was submitted, or the checkout: artylyze need not be installed."""


def main() -> None:
    """Run `artylyze bench` with the arguments of this process."""
    sys.path[0] = str(ROOT)  # Python put jobs/ there
    # Ray hands the folder of argv[0] to its workers where no working directory was submitted; usage messages name it.
    sys.argv = [str(ROOT / "artylyze"), "bench", *sys.argv[1:]]
    from artylyze.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
