"""`artylyze tune` as a Ray job: the same arguments, answers and exit codes; progress is JSON lines in the job's log.

ray job submit --working-dir . -- python jobs/tune.py /shared/dataset.parquet -o /shared/sweep --lr 1e-4,1e-3
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python put jobs/ there
    from jobs.entry import run

    run("tune")
