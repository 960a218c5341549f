"""Bombs and honest giants in the memory of the child that decodes; a collection of which 1% of the files are broken."""

from __future__ import annotations

import io
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from artylyze.errors import ImageError
from artylyze.sample.awkward import TRAITS
from artylyze.tagging.job import run
from artylyze.workers.fetching import Fetches, FetchThreads, Refusals, Source
from artylyze.workers.process import ImageProcess
from artylyze.workers.protocol import Seen
from artylyze.workers.supervision import MEMORY
from tests.faults.conftest import Museum
from tests.faults.invariant import check
from tests.tagging.conftest import Quiet, picture

pytestmark = pytest.mark.slow

MIB = 2**20


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A black RGB picture in a hundredth of a percent of its pixels' bytes."""
    squeeze = zlib.compressobj(1)
    row = bytes(1 + 3 * width)
    body = b"".join([squeeze.compress(row) for _ in range(height)] + [squeeze.flush()])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join([chunk(b"IHDR", header), *chunks, chunk(b"IDAT", body), chunk(b"IEND", b"")])


def jpeg(width: int, height: int, *, progressive: bool = False) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(out, "JPEG", progressive=progressive)
    return out.getvalue()


def tiff(width: int, height: int, rows: int) -> bytes:
    """A TIFF in strips of so many lines, each of which unpacks to all of them."""
    out = io.BytesIO()
    pixels = np.zeros((height, width), np.uint8)
    tifffile.imwrite(out, pixels, compression="zlib", rowsperstrip=rows, photometric="minisblack")
    return out.getvalue()


def gif(width: int, height: int) -> bytes:
    """A GIF whose size is a claim: it has a few bytes of pixels."""
    image = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00;"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + image


BOMBS = {
    "png of 600 MP": lambda: png(30_000, 20_000),
    "png, a profile of 1 GB": lambda: png(16, 16, chunk(b"iCCP", b"name\0\0" + _squeezed(2**30))),
    "png, a text of 1 GB": lambda: png(16, 16, chunk(b"zTXt", b"name\0\0" + _squeezed(2**30))),
    "gif of 4,290 MP": lambda: gif(65_500, 65_500),
    "tiff, one strip of 300 MP": lambda: tiff(20_000, 15_000, 15_000),
}
GIANTS = {
    "png of 132 MP": lambda: png(11_500, 11_500),
    "jpeg of 400 MP": lambda: jpeg(25_000, 16_000),
    "progressive jpeg of 132 MP": lambda: jpeg(11_500, 11_500, progressive=True),
    "tiff of 400 MP in strips": lambda: tiff(20_000, 20_000, 64),
}


def _squeezed(count: int) -> bytes:
    squeeze = zlib.compressobj(1)
    block = bytes(MIB)
    return b"".join([squeeze.compress(block) for _ in range(count // MIB)] + [squeeze.flush()])


@pytest.fixture
def process() -> Iterator[ImageProcess]:
    with ImageProcess(224, deadline=600.0) as found:
        yield found


def outcomes_of(process: ImageProcess, paths: Sequence[Path]) -> list[Seen | ImageError | None]:
    """Decode files in the child, one row for each."""
    outcomes: list[Seen | ImageError | None] = [None] * len(paths)
    delivered: list[int] = []

    def deliver(rows: Sequence[int], pixels: npt.NDArray[np.uint8]) -> None:
        delivered.extend(rows)

    threads = FetchThreads()
    process.run(Fetches(threads, [Source(str(path)) for path in paths]), outcomes, Refusals(None), deliver)
    threads.close()
    assert sorted(delivered) == [row for row, outcome in enumerate(outcomes) if isinstance(outcome, Seen)]
    return outcomes


def peak(process: ImageProcess) -> int:
    """The most bytes of memory that the child has had."""
    assert process.child.process is not None
    status = Path(f"/proc/{process.child.process.pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize(("files", "codes"), [(BOMBS, {"too_large", "truncated", "corrupt"}), (GIANTS, {"ok"})])
def test_bombs_and_giants_stay_below_the_memory_of_a_child(
    process: ImageProcess, tmp_path: Path, files: dict[str, object], codes: set[str]
) -> None:
    process.start()
    child = process.child.process
    for name, make in files.items():
        path = tmp_path / name
        path.write_bytes(make())  # type: ignore[operator]
        (outcome,) = outcomes_of(process, [path])
        assert (str(outcome.code) if isinstance(outcome, ImageError) else "ok") in codes, (name, outcome)
        assert process.child.process is child, name
        print(name, outcome, f"{peak(process) / MIB:.0f} MiB")
    assert peak(process) < MEMORY


def test_of_a_thousand_images_ten_that_are_broken_are_counted_and_named(
    museum: Museum, tmp_path: Path, watcher: Quiet
) -> None:
    kinds = ["truncated", "empty", "corrupt", "not an image"]
    images = tmp_path / "images"
    images.mkdir()
    broken = {}
    for number in range(1000):
        data = picture(number % len(museum.ids))
        if number % 100 == 57:
            trait = TRAITS[kinds[number // 100 % len(kinds)]]
            broken[f"{number:04d}.jpg"] = trait.expected
            data = trait.encode(Image.open(io.BytesIO(data)).resize((400, 300)))
        (images / f"{number:04d}.jpg").write_bytes(data)
    outcome = run(museum.request(str(tmp_path / "catalog"), str(images), shard_size=None), watcher)
    rows = check(str(tmp_path / "catalog"), [f"{number:04d}.jpg" for number in range(1000)])
    assert {key: row["error_code"] for key, row in rows.items() if row["status"] == "error"} == broken
    assert dict(outcome.snapshot.errors) == dict(Counter(broken.values()))
    for number in range(1000):
        row = rows[f"{number:04d}.jpg"]
        if row["status"] == "ok":
            clean = museum.clean[f"{number % len(museum.ids):04d}.jpg"]
            np.testing.assert_allclose(row["embedding"], clean["embedding"], atol=1e-5)
