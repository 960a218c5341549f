"""What the jobs share: each runs one command of artylyze with its own arguments, answers and exit codes.

They are short forms; `ray job submit --working-dir . -- python -m artylyze COMMAND` runs any command so.

artylyze need not be installed: it is found beside this folder, in the working directory that was submitted.
"""

from __future__ import annotations

import sys
from pathlib import Path


def run(command: str) -> None:
    """Run a command with the arguments of this process."""
    # Ray hands the folder of argv[0] to its workers where no working directory was submitted; usage messages name it.
    sys.argv = [str(Path(__file__).resolve().parents[1] / "artylyze"), command, *sys.argv[1:]]
    from artylyze.cli import main

    main()
