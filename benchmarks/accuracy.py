"""Not speed but what it must not cost: embeddings of the scaled decode against full decode, and a light command line."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.inputs import masters

HEAVY = ("ray", "torch", "timm", "torchvision", "onnxruntime", "pyarrow", "numpy")


def cosines(data: Path) -> dict[str, float]:
    """Cosine of each master's embeddings: as artylyze makes them, and after full decode with torch.

    Ours: DecoderProcess (scaled decode) and OnnxRuntime. Theirs: Pillow's full decode, EXIF orientation, RGB, bicubic
    with antialiasing to the square, and the timm module that the weights were loaded into.
    """
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    from artylyze.decoder import DecoderProcess
    from artylyze.models.backbones import OFFLINE_BACKBONE, load_backbone
    from artylyze.models.resolve import resolve_model
    from artylyze.models.runtimes import OnnxRuntime

    bundle, reference = resolve_model(), load_backbone(OFFLINE_BACKBONE)
    size = bundle.preprocessing.size
    mean, std = (np.array(value, np.float32) for value in (reference.preprocessing.mean, reference.preprocessing.std))
    runtime, pixels = OnnxRuntime(bundle), np.empty((size, size, 3), np.uint8)
    found = {}
    with DecoderProcess(size) as decoder, torch.inference_mode():
        for path in masters(data, keys=1):
            decoder.decode(path.read_bytes(), pixels)
            ours = runtime.run(pixels[None]).embedding[0]
            with Image.open(path) as image:
                full = ImageOps.exif_transpose(image).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
            normalised = (np.asarray(full, np.float32) / 255 - mean) / std
            theirs = reference.module(torch.from_numpy(normalised.transpose(2, 0, 1)[None])).numpy()[0]
            found[path.name] = float(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs))
    return found


def help_seconds(times: int = 9) -> float:
    """Median wall-clock seconds of `artylyze --help`, after one that warms the disk."""
    command = [str(Path(sys.executable).parent / "artylyze"), "--help"]
    taken = []
    for _ in range(times + 1):
        began = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.monotonic() - began)
    return statistics.median(taken[1:])


def heavy_imports() -> list[str]:
    """Which of the heavy packages `artylyze --help` imports."""
    code = (
        "import sys, contextlib, io; from artylyze.cli import main; sys.argv = ['artylyze', '--help']\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main()\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
