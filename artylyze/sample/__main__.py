"""A worker of `write_sample`: its one argument is the share to paint, in JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from artylyze.workers.supervision import end_with_parent

from .plan import Spec
from .writing import paint_share

if __name__ == "__main__":
    end_with_parent()
    folder, spec, count, share, shares = json.loads(sys.argv[1])
    paint_share(Path(folder), Spec(**spec), count, share, shares)
