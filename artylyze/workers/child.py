"""The child of a worker: decodes images in batches, and tags them if it was given a model.

Run as `python -m artylyze.workers.child`; `artylyze.workers.process` is the parent's half. Without a model it imports
`images` and no runtime.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from time import perf_counter

import numpy as np

from artylyze.errors import ImageError
from artylyze.images import Decoded, count_pages, decode
from artylyze.images.palette import dominant_colors
from artylyze.images.thumbnail import thumbnail
from artylyze.workers.protocol import IMAGE, LENGTH, TIMES, pack_header
from artylyze.workers.supervision import accept, ready, send, watch

GRACE = 5.0
"""Seconds past the deadline after which a child ends itself: its parent is gone, or waits for a whole batch."""

Finish = Callable[[list[Decoded]], memoryview]
"""Makes the rows of a few decoded images."""


def main(arguments: list[str]) -> None:
    """Answer each batch until the parent closes the socket.

    Arguments: number of the socket's file descriptor, size (pixels; 0: pages are counted and nothing is decoded),
    max_pixels, deadline (seconds), and whether the headers hold colors and thumbnails (0 or 1). The payload is the
    pickled bundle, or nothing.
    """
    descriptor, size, max_pixels, deadline = *map(int, arguments[:3]), float(arguments[3])
    colors, thumbnails = (bool(int(argument)) for argument in arguments[4:])
    link, payload = accept(descriptor)
    together, finish = _model(payload, deadline) if payload else (1, _pixels)
    del payload
    with link, link.makefile("rb") as requests:
        ready(link)
        while count := requests.read(LENGTH.size):
            headers: list[bytes] = []
            rows: list[memoryview] = []
            waiting: list[Decoded] = []
            began, on_model = perf_counter(), 0.0
            for _ in range(*LENGTH.unpack(count)):
                length, page = IMAGE.unpack(requests.read(IMAGE.size))
                decoded = _decode(requests.read(length), page or None, size, max_pixels, deadline)
                headers.append(_header(decoded, colors=colors, thumbnails=thumbnails))
                if not isinstance(decoded, ImageError):
                    waiting.append(decoded)
                if len(waiting) == together:
                    before = perf_counter()
                    rows.append(finish(waiting))
                    on_model += perf_counter() - before
                    waiting = []
            answer: list[bytes | memoryview] = [LENGTH.pack(sum(map(len, headers))), *headers]
            if waiting:
                if len(headers) == 1:
                    send(link, answer)  # before the model's turn: the parent sees whose death it would be
                    answer = []
                before = perf_counter()
                rows.append(finish(waiting))
                on_model += perf_counter() - before
            send(link, [*answer, *rows, TIMES.pack(perf_counter() - began - on_model, on_model)])


def _decode(data: bytes, page: int | None, size: int, max_pixels: int, deadline: float) -> Decoded | ImageError:
    """Decode, at most for as long as the parent would wait."""
    watch(deadline + GRACE)
    try:
        return decode(data, size, max_pixels=max_pixels, page=page) if size else count_pages(data)
    except ImageError as error:
        return error
    finally:
        watch(0)


def _header(decoded: Decoded | ImageError, *, colors: bool, thumbnails: bool) -> bytes:
    if isinstance(decoded, ImageError):
        return pack_header(decoded)
    return pack_header(
        decoded,
        dominant_colors(decoded.pixels).tobytes() if colors else b"",
        thumbnail(decoded.pixels, decoded.width, decoded.height) if thumbnails else b"",
    )


def _pixels(images: list[Decoded]) -> memoryview:
    (image,) = images
    return image.pixels.data.cast("B") if image.pixels.size else memoryview(b"")


def _model(payload: bytes, deadline: float) -> tuple[int, Finish]:
    """How many images are tagged together, and what tags them: float32 rows of the embedding, all logits, `outside`."""
    from artylyze.models.runtimes import CPU_BATCH, OnnxRuntime

    bundle = pickle.loads(payload)  # noqa: S301 - from the parent alone
    runtime, size = OnnxRuntime(bundle), bundle.preprocessing.size
    pixels = np.empty((CPU_BATCH, size, size, 3), np.uint8)

    def tagged(images: list[Decoded]) -> memoryview:
        for slot, image in zip(pixels, images, strict=False):
            slot[:] = image.pixels
        watch(deadline + GRACE)
        outputs = runtime.run(pixels[: len(images)])
        watch(0)
        outside = [] if outputs.outside is None else [outputs.outside[:, None]]
        return np.concatenate([outputs.embedding, *outputs.logits.values(), *outside], axis=1).data.cast("B")

    return CPU_BATCH, tagged


if __name__ == "__main__":
    main(sys.argv[1:])
