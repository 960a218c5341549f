"""The child of a CPU worker: decodes images and tags them, in batches. `artylyze.tagging.process` talks to it."""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING

import numpy as np

from artylyze.decoder import GRACE, REQUEST, decode_or_error, header_of
from artylyze.errors import ImageError
from artylyze.models.runtimes import CPU_BATCH, OnnxRuntime
from artylyze.supervision import accept, ready, send, watch

if TYPE_CHECKING:
    from artylyze.models.bundle import Bundle

TAG_NOW = REQUEST.pack(2**64 - 1)
"""Stands for an image where no more follow, and the batch is not full."""


def main(arguments: list[str]) -> None:
    """Answer each image with its header, each batch with its outputs, until the parent closes the socket.

    Arguments: number of the socket's file descriptor, max_pixels, deadline (seconds).
    """
    link, payload = accept(int(arguments[0]))
    max_pixels, deadline = int(arguments[1]), float(arguments[2])
    bundle: Bundle = pickle.loads(payload)  # noqa: S301 - from the parent alone
    del payload
    runtime, size = OnnxRuntime(bundle), bundle.preprocessing.size
    pixels = np.empty((CPU_BATCH, size, size, 3), np.uint8)
    count = 0
    with link, link.makefile("rb") as requests:
        ready(link)
        while request := requests.read(REQUEST.size):
            if request != TAG_NOW:
                found = decode_or_error(requests.read(*REQUEST.unpack(request)), size, max_pixels, deadline)
                if not isinstance(found, ImageError):
                    pixels[count] = found.pixels
                    count += 1
                send(link, [header_of(found)])
            if count == CPU_BATCH or request == TAG_NOW:
                watch(deadline + GRACE)
                outputs = runtime.run(pixels[:count])
                watch(0)
                rows = np.concatenate([outputs.embedding, *outputs.logits.values()], axis=1)
                send(link, [rows.data.cast("B")])
                count = 0


if __name__ == "__main__":
    main(sys.argv[1:])
