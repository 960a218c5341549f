"""The child of a CPU worker: decodes images and tags them, in batches. `artylyze.workers.process` talks to it."""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING

import numpy as np

from artylyze.errors import ImageError
from artylyze.models.runtimes import CPU_BATCH, OnnxRuntime
from artylyze.workers.decoder import GRACE, decode_or_error, header_of
from artylyze.workers.supervision import LENGTH, accept, ready, send, watch

if TYPE_CHECKING:
    from artylyze.models.bundle import Bundle


def main(arguments: list[str]) -> None:
    """Answer each batch with headers and outputs, until the parent closes the socket.

    Arguments: number of the socket's file descriptor, max_pixels, deadline (seconds).
    """
    link, payload = accept(int(arguments[0]))
    max_pixels, deadline = int(arguments[1]), float(arguments[2])
    bundle: Bundle = pickle.loads(payload)  # noqa: S301 - from the parent alone
    del payload
    runtime, size = OnnxRuntime(bundle), bundle.preprocessing.size
    pixels = np.empty((CPU_BATCH, size, size, 3), np.uint8)

    def tagged(count: int) -> memoryview:
        watch(deadline + GRACE)
        outputs = runtime.run(pixels[:count])
        watch(0)
        return np.concatenate([outputs.embedding, *outputs.logits.values()], axis=1).data.cast("B")

    with link, link.makefile("rb") as requests:
        ready(link)
        while count := requests.read(LENGTH.size):
            headers: list[bytes] = []
            outputs: list[memoryview] = []
            waiting = 0
            for _ in range(*LENGTH.unpack(count)):
                image = requests.read(*LENGTH.unpack(requests.read(LENGTH.size)))
                found = decode_or_error(image, size, max_pixels, deadline)
                headers.append(header_of(found))
                if not isinstance(found, ImageError):
                    pixels[waiting] = found.pixels
                    waiting += 1
                if waiting == CPU_BATCH:
                    outputs.append(tagged(waiting))
                    waiting = 0
            answer = [LENGTH.pack(sum(map(len, headers))), *headers]
            if waiting:
                if len(headers) == 1:
                    send(link, answer)  # before the model's turn: the parent sees whose death it would be
                    answer = []
                outputs.append(tagged(waiting))
            send(link, [*answer, *outputs])


if __name__ == "__main__":
    main(sys.argv[1:])
