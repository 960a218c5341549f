"""Which files are read: `python benchmarks/formats.py [NAME=FOLDER ...] -o benchmarks/results/formats.json`.

Every file below the folders, and files that are written here as scanners, cameras and phones write them, is decoded to
224 pixels in the child that `tag` uses, and by other decoders as a whole. One that is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageDraw

from artylyze.errors import ImageError
from artylyze.workers.fetching import Fetches, FetchThreads, Refusals, Source
from artylyze.workers.process import ImageProcess
from artylyze.workers.protocol import Seen
from benchmarks import report

SIZE = 224
PACKAGES = {
    "pillow": "PIL",
    "imagecodecs": "imagecodecs",
    "pi-heif": "pi_heif",
    "rawpy": "rawpy",
    "pypdfium2": "pypdfium2",
}
LOST = (1, 2, 10, 24, 50, 104)  # bytes at the end of real scans that broke off


def picture() -> Image.Image:
    image = Image.radial_gradient("L").resize((640, 480)).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 60, 320, 240), fill=(180, 60, 40))
    draw.ellipse((320, 80, 580, 440), fill=(40, 90, 160))
    return image


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def written_tiff(*pages: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as tif:
        for page in pages:
            tif.write(page, metadata=None, **options)
    return out.getvalue()


def generated() -> dict[str, bytes]:
    """Files by name, that Pillow or others have trouble with."""
    image = picture()
    rgb, gray = np.asarray(image), np.asarray(image.convert("L"))
    deep, whole = rgb.astype(np.uint16) * 16, saved(image, "JPEG", quality=92)
    mosaic = [(33421, "H", 2, (2, 2), True), (33422, "B", 4, (0, 1, 1, 2), True), (50706, "B", 4, (1, 4, 0, 0), True)]
    return {
        **{f"jpeg-minus-{count}.jpg": whole[:-count] for count in LOST},
        "jpeg-progressive-minus-104.jpg": saved(image, "JPEG", quality=92, progressive=True)[:-104],
        "jpeg-12-bit.jpg": bytes(imagecodecs.jpeg8_encode(deep, bitspersample=12, level=92)),
        "jpeg-lossless.jpg": bytes(imagecodecs.jpeg8_encode(rgb, lossless=True)),
        "jpeg-ls.jls": bytes(imagecodecs.jpegls_encode(rgb)),
        "jpeg-xr.jxr": bytes(imagecodecs.jpegxr_encode(rgb)),
        "jpeg-xl.jxl": bytes(imagecodecs.jpegxl_encode(rgb)),
        "jpeg-xl-16-bit.jxl": bytes(imagecodecs.jpegxl_encode(deep * 16)),
        "jpeg-2000-gray-alpha.jp2": saved(image.convert("LA"), "JPEG2000"),
        "jpeg-2000-high-throughput.jph": bytes(imagecodecs.htj2k_encode(rgb)),
        "tiff-pages.tif": written_tiff(rgb, rgb[::-1], photometric="rgb"),
        "tiff-planes-16-bit.tif": written_tiff(
            np.moveaxis(deep * 16, -1, 0), photometric="rgb", planarconfig="separate"
        ),
        "tiff-float.tif": written_tiff((rgb / 255).astype(np.float32), photometric="rgb"),
        "tiff-jpeg-xl.tif": written_tiff(rgb, photometric="rgb", compression="jpegxl", tile=(128, 128)),
        "camera.dng": written_tiff(gray.astype(np.uint16) * 200, photometric="cfa", extratags=mosaic),
        "pages.pdf": saved(image, "PDF", save_all=True, append_images=[image]),
    }


def artylyze_reads(paths: list[Path]) -> list[Seen | ImageError | None]:
    outcomes: list[Seen | ImageError | None] = [None] * len(paths)
    with ImageProcess(SIZE) as process:
        fetches = Fetches(FetchThreads(), [Source(str(path)) for path in paths])
        process.run(fetches, outcomes, Refusals(None), lambda *_: None)
    return outcomes


def pillow_reads(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def imagecodecs_reads(path: Path) -> None:
    imagecodecs.imread(path)


def vips_reads(path: Path) -> None:
    pyvips = importlib.import_module("pyvips")
    pyvips.Image.new_from_file(str(path), access="sequential").avg()


PEERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "Pillow": ("PIL", pillow_reads),
    "imagecodecs": ("imagecodecs", imagecodecs_reads),
    "libvips": ("pyvips", vips_reads),
}


def succeeds(read: Callable[[Path], None], path: Path) -> bool:
    try:
        read(path)
    except Exception:  # whatever it raises: it did not read the file
        return False
    return True


def covered(folder: Path) -> dict[str, Any]:
    """What is read of the files below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    outcomes = artylyze_reads(paths)
    seen = [one for one in outcomes if isinstance(one, Seen)]
    refused = [one for one in outcomes if isinstance(one, ImageError)]
    peers = {
        name: sum(succeeds(read, path) for path in paths)
        for name, (module, read) in PEERS.items()
        if importlib.util.find_spec(module)
    }
    return {
        "files": len(paths),
        "read": len(seen),
        "formats": dict(sorted(Counter(one.format for one in seen).items())),
        "warnings": dict(sorted(Counter(name for one in seen for name in one.warnings).items())),
        "refused": dict(sorted(Counter(str(one.code) for one in refused).items())),
        "peers": peers,
    }


def section(result: Mapping[str, Any]) -> str:
    """The table of the documentation."""
    peers = list(next(iter(result["sets"].values()))["peers"])
    headings = ["files", "number", "artylyze", *peers, "refused", "of the read, with a warning"]
    rows = [
        [
            name,
            str(one["files"]),
            str(one["read"]),
            *(str(one["peers"][peer]) for peer in peers),
            _listed(one["refused"]),
            _listed(one["warnings"]),
        ]
        for name, one in result["sets"].items()
    ]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return f"{report.markdown(headings, rows)}\n\nWith {versions}."


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", help="name=folder")
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    sets = {}
    for name, _, folder in (one.partition("=") for one in arguments.folders):
        sets[name] = covered(Path(folder))
    with TemporaryDirectory() as folder:
        for name, data in generated().items():
            Path(folder, name).write_bytes(data)
        sets["written here"] = covered(Path(folder))
    versions = {name: version(name) for name, module in PACKAGES.items() if importlib.util.find_spec(module)}
    arguments.out.write_text(json.dumps({"sets": sets, "versions": versions}, indent=1) + "\n", encoding="utf-8")
    print(section({"sets": sets, "versions": versions}))


if __name__ == "__main__":
    main()
