"""PCA and kernel PCA of the pixels of many images, by `artylyze features`: time, memory, and what the components hold.

python benchmarks/features.py --data ../shared/data --out benchmarks/results [--images 100000]

The images are random crops of the paintings (`CROP` of each side, half of them mirrored), as many of each: distinct, so
that they have as many directions as images, though two crops of one painting are more alike than two paintings, and
enlarged (the median painting is 224 pixels wide), so smoother than scans. Seconds run from the command's start to its
end, with decoding; the second method finds the first one's decoded images. Memory counts pages of the decoded images
that are mapped, which the system may drop. What the components hold is computed again here, from the features file and
the pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from sklearn.metrics.pairwise import rbf_kernel

from artylyze.extraction.pixels import images_folder
from artylyze.extraction.vectors import read_vectors
from benchmarks.inputs import SEED, paintings
from benchmarks.measure import ARTYLYZE, busy, machine, run_contestant
from benchmarks.report import Check

METHODS = ("pca", "kernel_pca")
ASKED = 0.95
JUDGED = 3_000
"""Images, other than landmarks, on which is computed what kernel PCA holds of the exact kernel."""
CROP = (0.4, 0.95)
SIDE = 256
GIB = 24
"""Memory in which both must work."""


def crops(numbered: tuple[int, Path], each: int, folder: Path) -> None:
    """Write `each` crops of a painting; their names follow from its number."""
    number, path = numbered
    draw = random.Random(f"{SEED} {number}")
    with Image.open(path) as file:
        painting = file.convert("RGB")
    for index in range(each):
        width, height = (round(side * draw.uniform(*CROP)) for side in painting.size)
        left, top = draw.randint(0, painting.width - width), draw.randint(0, painting.height - height)
        crop = painting.resize((SIDE, SIDE), Image.Resampling.BILINEAR, (left, top, left + width, top + height))
        if draw.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        crop.save(folder / f"{index:04d}-{number:05d}.jpg", quality=90)


def held_by_pca(pixels: NDArray[np.uint8], features: NDArray[np.float32]) -> float:
    """Share of the pixels' variance that features hold whose components are orthonormal: (n, ...), (n, p) -> 0 to 1."""
    rows = pixels.reshape(len(pixels), -1)
    sums, squares = np.zeros((2, rows.shape[1]))
    for start in range(0, len(rows), 256):
        block = rows[start : start + 256] / 255
        sums += block.sum(axis=0)
        squares += np.square(block).sum(axis=0)
    total = (squares / len(rows) - np.square(sums / len(rows))).sum()
    return float(features.var(axis=0, dtype=np.float64).sum() / total)


def held_by_kernel_pca(pixels: NDArray[np.uint8], features: NDArray[np.float32], transform: Path) -> float:
    """Share of the exact kernel's variance, on images that are no landmarks, computed in float64 by scikit-learn."""
    with safe_open(transform, framework="numpy") as file:
        about, landmarks = json.loads(file.metadata()["artylyze"]), file.get_tensor("landmarks")
    known = {landmark.tobytes() for landmark in landmarks}
    drawn = np.sort(np.random.default_rng(SEED).choice(len(pixels), min(JUDGED, len(pixels)), replace=False))
    places = [place for place in drawn if pixels[place].tobytes() not in known]
    rows = pixels[places].reshape(len(places), -1) / 255
    whole = 1 - rbf_kernel(rows, gamma=about["gamma"]).mean()
    return float(features[places].var(axis=0, dtype=np.float64).sum() / whole)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the images, run both methods, write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=100_000)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="artylyze-features-") as temporary:
        images = Path(temporary, "images")
        images.mkdir()
        sources = list(enumerate(paintings(asked.data)))
        each = -(-asked.images // len(sources))
        with ProcessPoolExecutor() as pool:
            list(pool.map(partial(crops, each=each, folder=images), sources, chunksize=20))
        for path in sorted(images.iterdir())[asked.images :]:
            path.unlink()
        os.environ["XDG_CACHE_HOME"] = str(Path(temporary, "cache"))
        before, found = busy(), {}
        for method in METHODS:
            output = Path(temporary, f"{method}.parquet")
            command = [*ARTYLYZE, "features", str(images), "-o", str(output)]
            run = run_contestant([*command, "--method", method], Path(temporary, f"{method}.txt"))
            about = json.loads(pq.read_schema(output).metadata[b"artylyze"])
            matrix = read_vectors(str(output)).matrix
            (decoded,) = images_folder().glob("*.npy")
            pixels = np.load(decoded, mmap_mode="r")
            if method == "pca":
                held = held_by_pca(pixels, matrix)
            else:
                held = held_by_kernel_pca(pixels, matrix, Path(about["transform"]))
            found[method] = {
                "seconds": round(run.seconds),
                "peak_mib": round(run.peak / 2**20),
                "rows": len(matrix),
                "dim": matrix.shape[1],
                "variance_kept": about["variance_kept"],
                "variance_kept_checked": round(held, 4),
            }
            print(method, found[method], flush=True)
    checks = [Check(f"{method}: peak GiB", one["peak_mib"] / 2**10, most=GIB) for method, one in found.items()]
    checks.append(Check("pca: variance kept", found["pca"]["variance_kept_checked"], least=ASKED - 0.0005))
    kernel = found["kernel_pca"]
    apart = abs(kernel["variance_kept_checked"] - kernel["variance_kept"])
    checks.append(Check("kernel_pca: variance kept, said and checked, apart", round(apart, 4), most=0.02))
    result = {
        "benchmark": "features",
        "settings": {"images": asked.images, "size": 180, "variance": ASKED, "paintings": len(sources), "crop": CROP},
        "methods": found,
        "checks": [check.as_dict() for check in checks],
        "busy_before_percent": before,
        "machine": machine(),
        "versions": {name: version(name) for name in ("artylyze", "numpy", "scipy")},
    }
    (asked.out / "features.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
