"""The child of a worker: decodes images, and tags them if it was given a model.

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

Finish = Callable[[Decoded], memoryview]
"""Makes the row of a decoded image."""


def main(arguments: list[str]) -> None:
    """Answer each batch until the parent closes the socket.

    Arguments: number of the socket's file descriptor, size (pixels; 0: pages are counted and nothing is decoded),
    max_pixels, deadline (seconds), and whether the headers hold colors and thumbnails (0 or 1). The payload is the
    pickled bundle, or nothing.
    """
    descriptor, size, max_pixels, deadline = *map(int, arguments[:3]), float(arguments[3])
    colors, thumbnails = (bool(int(argument)) for argument in arguments[4:])
    link, payload = accept(descriptor)
    finish = _model(payload, deadline) if payload else _pixels
    del payload
    with link, link.makefile("rb") as requests:
        ready(link)
        while request := requests.read(LENGTH.size):
            (count,) = LENGTH.unpack(request)
            headers: list[bytes] = []
            rows: list[memoryview] = []
            began, on_model = perf_counter(), 0.0
            for _ in range(count):
                length, page = IMAGE.unpack(requests.read(IMAGE.size))
                decoded = _decode(requests.read(length), page or None, size, max_pixels, deadline)
                headers.append(_header(decoded, colors=colors, thumbnails=thumbnails))
                if count == 1:
                    send(link, _packed(headers))  # before the model's turn: the parent sees whose death it would be
                if not isinstance(decoded, ImageError):
                    before = perf_counter()
                    rows.append(finish(decoded))
                    on_model += perf_counter() - before
            answer = [] if count == 1 else _packed(headers)
            send(link, [*answer, *rows, TIMES.pack(perf_counter() - began - on_model, on_model)])


def _packed(headers: list[bytes]) -> list[bytes | memoryview]:
    return [LENGTH.pack(sum(map(len, headers))), *headers]


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


def _pixels(image: Decoded) -> memoryview:
    return image.pixels.data.cast("B") if image.pixels.size else memoryview(b"")


def _model(payload: bytes, deadline: float) -> Finish:
    """Return what tags an image: float32, its embedding, all logits and `outside`."""
    from artylyze.models.runtimes import CpuRuntime

    runtime = CpuRuntime(pickle.loads(payload))  # noqa: S301 - from the parent alone

    def tag(image: Decoded) -> memoryview:
        watch(deadline + GRACE)
        outputs = runtime.run(image.pixels[None])
        watch(0)
        outside = [] if outputs.outside is None else [outputs.outside[:, None]]
        return np.concatenate([outputs.embedding, *outputs.logits.values(), *outside], axis=1).data.cast("B")

    return tag


if __name__ == "__main__":
    main(sys.argv[1:])
