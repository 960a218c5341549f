"""Makes an image fatal to the process that decodes it, or to its parent, if its bytes hold a marker.

Put this folder on PYTHONPATH. It acts in the decoder child only, so that a fault that the product fails to contain does
not hide in the test itself.
"""

import os
import signal
import sys
import time

SEGV = b"artylyze-test:SEGV"
HANG = b"artylyze-test:HANG"
WORKER = b"artylyze-test:WORKER"
GREEDY = b"artylyze-test:GREEDY"


def _poison_pillow() -> None:
    from PIL import Image

    honest = Image.open

    def fatal(fp, *args, **kwargs):  # type: ignore[no-untyped-def]
        data = fp.getvalue()
        if SEGV in data:
            os.kill(os.getpid(), signal.SIGSEGV)
        if WORKER in data:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(3600)
        while HANG in data:
            time.sleep(3600)
        taken = []
        while GREEDY in data:
            taken.append(bytes(1 << 28))  # which is not written to
        return honest(fp, *args, **kwargs)

    Image.open = fatal


if "artylyze.workers.child" in sys.orig_argv:
    _poison_pillow()
