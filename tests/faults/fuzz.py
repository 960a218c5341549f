"""Damaged files, and what may become of them: an answer, or an error of artylyze's own.

python -m tests.faults.fuzz KIND COUNT FOLDER

Damages COUNT files of a kind, each by a seed of its own, reads them, and prints those that end in anything else. A case
that takes longer than SECONDS ends the process; it has no more than MEMORY.
"""

from __future__ import annotations

import contextlib
import io
import random
import resource
import signal
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

SECONDS = 120
MEMORY = 6 * 2**30
SIZE, PIXELS = 48, 2**24


def damaged(data: bytes, random: random.Random) -> bytes:
    """Return data with some bytes changed, at the start as often as anywhere; of five files one is cut too."""
    out = bytearray(data)
    for _ in range(random.randint(1, 8)):
        place = random.randrange(min(len(out), 256) if random.random() < 0.5 else len(out))
        out[place] = random.choice((out[place] ^ (1 << random.randrange(8)), random.randrange(256), 0, 255))
    if random.random() < 0.2:
        del out[random.randrange(len(out)) :]
    return bytes(out)


def pictures() -> dict[str, bytes]:
    """A small picture in every format and layout that is read."""
    shown = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)).resize((40, 30))
    gray = np.asarray(shown.convert("L"))
    saved: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "JPEG": (shown, {}),
        "JPEG progressive": (shown, {"progressive": True}),
        "JPEG cmyk": (shown.convert("CMYK"), {}),
        "PNG": (shown, {}),
        "PNG palette": (shown.quantize(16), {}),
        "PNG alpha": (shown.convert("RGBA"), {}),
        "PNG 16": (Image.fromarray(gray.astype(np.uint16) * 257), {}),
        "TIFF": (shown, {}),
        "TIFF lzw": (shown, {"compression": "tiff_lzw"}),
        "TIFF jpeg": (shown, {"compression": "jpeg"}),
        "TIFF 1": (shown.convert("1"), {"compression": "group4"}),
        "WEBP": (shown, {}),
        "WEBP lossless": (shown.convert("RGBA"), {"lossless": True}),
        "GIF": (shown, {}),
        "JPEG2000": (shown, {}),
        "AVIF": (shown, {}),
        "BMP": (shown, {}),
        "PPM": (shown, {}),
        "PCX": (shown, {}),
        "SGI": (shown, {}),
        "QOI": (shown, {}),
        "TGA": (shown, {"compression": "tga_rle"}),
        "MPO": (shown, {"save_all": True, "append_images": [shown]}),
    }
    found = {name: encoded(image, name.split()[0], options) for name, (image, options) in saved.items()}
    planes = np.asarray(shown).transpose(2, 0, 1).tobytes()
    found["PSD"] = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30, 40, 8, 3) + bytes(12) + b"\0\0" + planes
    sun = struct.pack(">8I", 0x59A66A95, 40, 30, 24, 3600, 1, 0, 0)
    found["SUN"] = sun + np.asarray(shown)[:, :, ::-1].tobytes()
    layouts: dict[str, dict[str, Any]] = {
        "tiles": {"tile": (16, 16), "compression": "zlib", "predictor": True},
        "strips": {"rowsperstrip": 4},
        "big": {"bigtiff": True},
    }
    for name, options in layouts.items():
        out = io.BytesIO()
        tifffile.imwrite(out, gray.astype(np.uint16) * 17, **options)
        found[f"TIFF {name}"] = out.getvalue()
    return found


def encoded(image: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def others() -> dict[str, bytes]:
    """A file of each kind that the second decoder reads."""
    from tests.images.test_second import KINDS, raw_file

    developed = raw_file(np.arange(480 * 640, dtype=np.uint32).reshape(480, 640).astype(np.uint16))
    return {name: data for name, (data, _) in KINDS.items()} | {"RAW": developed}


def fuzz_images(count: int, folder: Path) -> Iterator[str]:
    """Decode in the child that decodes: one that dies or hangs is a finding."""
    from artylyze.errors import ErrorCode, ImageError
    from artylyze.workers.fetching import Fetches, FetchThreads, Refusals, Source
    from artylyze.workers.process import ImageProcess

    whole = sorted((pictures() | others()).items())
    threads = FetchThreads()
    with ImageProcess(SIZE, colors=True, thumbnails=True, max_pixels=PIXELS, deadline=SECONDS) as process:
        for start in range(0, count, 500):
            cases = range(start, min(start + 500, count))
            for case in cases:
                data = damaged(whole[case % len(whole)][1], random.Random(case))
                (folder / f"{case}").write_bytes(data)
            outcomes: list[Any] = [None] * len(cases)
            sources = [Source(str(folder / f"{case}")) for case in cases]
            process.run(Fetches(threads, sources), outcomes, Refusals(None), lambda *_: None)
            for case, outcome in zip(cases, outcomes, strict=True):
                (folder / f"{case}").unlink()
                if isinstance(outcome, ImageError):
                    if outcome.code in (ErrorCode.CRASHED_DECODER, ErrorCode.TIMEOUT):
                        yield f"{case} ({whole[case % len(whole)][0]}): {outcome}"
                elif outcome is None:
                    yield f"{case} ({whole[case % len(whole)][0]}): no answer"


def fuzz_files(folder: Path, count: int, files: Sequence[Path], use: Callable[[], object]) -> Iterator[str]:
    """Damage the files in turn, each for one `use`."""
    from artylyze.errors import ArtylyzeError

    for case in range(count):
        path = files[case % len(files)]
        whole = path.read_bytes()
        path.write_bytes(damaged(whole, random.Random(case)))
        signal.alarm(SECONDS)
        try:
            use()
        except ArtylyzeError as error:
            if len(str(error)) > 2000:
                yield f"{case} ({path.relative_to(folder)}): a message of {len(str(error)):,} characters"
        except Exception as error:
            yield f"{case} ({path.relative_to(folder)}): {type(error).__name__}: {str(error)[:300]}"
        finally:
            signal.alarm(0)
            path.write_bytes(whole)


def use_manifest(path: Path) -> None:
    from artylyze.collection.manifest import looks_like_manifest, open_manifest, open_rows, read_rows
    from artylyze.tagging.shard import sources

    looks_like_manifest(str(path))
    manifest = open_manifest(str(path))
    with open_rows(str(path)) as file:
        sources(read_rows(file, 0, manifest.rows))


def use_table(path: Path) -> None:
    from artylyze.tables import load_table, open_database

    with open_database() as database:
        load_table(database, str(path))
        database.execute("SELECT * FROM catalogue").fetchall()


def use_catalog(catalog: str) -> None:
    """What commands do that read a catalog, and those that plan to write to one."""
    from artylyze.catalog.compaction import plan_targets, read_sources
    from artylyze.catalog.garbage import find_garbage
    from artylyze.catalog.snapshot import embeddings, failures, read_catalog, read_snapshot
    from artylyze.catalog.status import run_states
    from artylyze.catalog.takeover import committed_parts, unpublished_runs
    from artylyze.errors import ArtylyzeError
    from artylyze.storage import open_store

    store = open_store(catalog)
    calls: list[Callable[[], object]] = [
        lambda: [state.as_dict() for state in run_states(catalog)],
        lambda: read_catalog(catalog),
        lambda: embeddings(catalog),
        lambda: list(failures(catalog)),
        lambda: find_garbage(catalog),
        lambda: [committed_parts(catalog, run) for run in unpublished_runs(catalog, None)],
        lambda: plan_targets(store, read_sources(store, read_snapshot(catalog)), 10**6),
    ]
    for call in calls:
        with contextlib.suppress(ArtylyzeError):
            call()


def use_bundle(folder: Path) -> None:
    from artylyze.models.folder import load

    load(folder)


def fuzz_manifest(count: int, folder: Path) -> Iterator[str]:
    path = folder / "manifest.parquet"
    yield from fuzz_files(folder, count, [path], lambda: use_manifest(path))


def fuzz_tables(count: int, folder: Path) -> Iterator[str]:
    files = sorted(folder.glob("table.*"))
    for place, path in enumerate(files):
        share = count // len(files) + (place < count % len(files))
        yield from fuzz_files(folder, share, [path], lambda path=path: use_table(path))  # type: ignore[misc]


def fuzz_catalog(count: int, folder: Path) -> Iterator[str]:
    catalog = folder / "catalog"
    files = sorted(path for path in catalog.rglob("*") if path.is_file() and not path.name.startswith("."))
    yield from fuzz_files(folder, count, files, lambda: use_catalog(str(catalog)))


def fuzz_bundle(count: int, folder: Path) -> Iterator[str]:
    files = sorted((folder / "bundle").iterdir())
    yield from fuzz_files(folder, count, files, lambda: use_bundle(folder / "bundle"))


KINDS = {
    "images": fuzz_images,
    "manifest": fuzz_manifest,
    "tables": fuzz_tables,
    "catalog": fuzz_catalog,
    "bundle": fuzz_bundle,
}


def main(kind: str, count: str, folder: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))
    for finding in KINDS[kind](int(count), Path(folder)):
        print(finding, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
