"""`artylyze bench` as a Ray job: the same arguments, answers and exit codes; progress is JSON lines in the job's log.

ray job submit --entrypoint-num-cpus 8 --working-dir . -- python jobs/benchmark.py tag --images s3://museum/scans -o s3://museum/bench
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python put jobs/ there
    from jobs.entry import run

    run("bench")
