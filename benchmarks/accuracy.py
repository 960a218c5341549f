"""What speed must not cost: embeddings of the scaled decode against full decode, and a light command line."""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.inputs import masters
from benchmarks.measure import ARTYLYZE

if TYPE_CHECKING:
    from PIL import Image

HEAVY = ("ray", "torch", "timm", "torchvision", "openvino", "pyarrow", "numpy")


def full_decode(path: Path, size: int, *, managed: bool) -> Image.Image:
    """Decode all pixels with Pillow, turn by EXIF, convert to RGB, bicubic with antialiasing to the square.

    `managed` applies the embedded ICC profile, as artylyze does: without, the two would differ by colour too and not
    only by the scaled decode, which is what is judged.
    """
    from PIL import Image, ImageCms, ImageOps

    with Image.open(path) as opened:
        profile = opened.info.get("icc_profile")
        image = ImageOps.exif_transpose(opened).convert("RGB")
    if managed and profile:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if str(source.profile.xcolor_space).strip() == "RGB":
            ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), inPlace=True)
    return image.resize((size, size), Image.Resampling.BICUBIC)


def cosines(data: Path) -> dict[str, tuple[float, float]]:
    """Cosines of each master's embeddings: as artylyze makes them, and after full decode with torch.

    Ours: scaled decode and CpuRuntime. Theirs: `full_decode`, with the profile applied and without,
    and the timm module that the weights were loaded into.
    """
    import numpy as np
    import torch

    from artylyze.images import decode
    from artylyze.models.backbones import OFFLINE_BACKBONE, load_backbone
    from artylyze.models.resolve import resolve_model
    from artylyze.models.runtimes import CpuRuntime

    bundle, reference = resolve_model(f"timm:{OFFLINE_BACKBONE}"), load_backbone(OFFLINE_BACKBONE)
    size = bundle.preprocessing.size
    mean, std = (np.array(value, np.float32) for value in (reference.preprocessing.mean, reference.preprocessing.std))
    runtime = CpuRuntime(bundle)
    found = {}
    with torch.inference_mode():
        for path in masters(data, keys=1):
            ours = runtime.run(decode(path.read_bytes(), size).pixels[None]).embedding[0]
            pair = []
            for managed in (True, False):
                full = np.asarray(full_decode(path, size, managed=managed), np.float32)
                normalised = torch.from_numpy(((full / 255 - mean) / std).transpose(2, 0, 1)[None])
                theirs = reference.module(normalised).numpy()[0]
                pair.append(float(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)))
            found[path.name] = (pair[0], pair[1])
    return found


def help_seconds(times: int = 9) -> float:
    """Median wall-clock seconds of `artylyze --help`, after one that warms the disk."""
    command = [*ARTYLYZE, "--help"]
    taken = []
    for _ in range(times + 1):
        began = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.monotonic() - began)
    return statistics.median(taken[1:])


def heavy_imports() -> list[str]:
    """Which of the heavy packages `artylyze --help` imports."""
    code = (
        "import sys, contextlib, io; from artylyze.cli.app import main; sys.argv = ['artylyze', '--help']\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main()\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
