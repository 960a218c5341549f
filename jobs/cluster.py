"""`artylyze cluster` as a Ray job: the same arguments, answers and exit codes; progress is JSON lines in the job's log.

ray job submit --working-dir . -- python jobs/cluster.py s3://museum/catalog -o s3://museum/clusters --k auto
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python put jobs/ there
    from jobs.entry import run

    run("cluster")
