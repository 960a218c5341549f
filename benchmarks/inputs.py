"""What all contestants are given: the same folder of images, and the same weights in the form that each reads."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.peers import SIZE, Job

SEED = 7


def paintings(data: Path, folder: str = "paintings") -> list[Path]:
    """All paintings of a folder, shuffled once, so that the first n are a fair sample of all."""
    found = sorted((data / folder).iterdir())
    random.Random(SEED).shuffle(found)
    return found


def masters(data: Path, keys: int = 10) -> list[Path]:
    """All masters, again and again, so that the first multiple of their number is a fair sample of all."""
    return sorted((data / "masters").iterdir()) * keys


def lay_out(sources: Sequence[Path], folder: Path) -> Path:
    """Make a flat folder of images whose sorted names keep the order of `sources`: hard links, else copies."""
    folder.mkdir(parents=True)
    for number, source in enumerate(sources):
        target = folder / f"{number:06d}-{source.name}"
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    return folder


def warm(folder: Path) -> None:
    """Read every file once, so that the first contestant does not pay for the disk."""
    for path in folder.iterdir():
        path.read_bytes()


def prepare_model(backbone: str, folder: Path) -> dict[str, Any]:
    """Make random weights of a fixed seed and artylyze's bundle of them; return the fields of a Job that name them."""
    described = folder / "model.json"
    if not described.exists():
        import timm
        import torch
        from safetensors.torch import save_file

        from artylyze.models.backbones import load_backbone
        from artylyze.models.build import build_bundle
        from artylyze.models.folder import save

        torch.manual_seed(SEED)
        weights = folder / "weights.safetensors"
        save_file(timm.create_model(backbone, num_classes=0, pretrained=False).state_dict(), weights)
        loaded = load_backbone(backbone, weights=weights, size=SIZE)
        save(folder / "bundle", build_bundle(loaded))
        described.write_text(
            json.dumps(
                {
                    "backbone": backbone,
                    "weights": str(weights),
                    "bundle": str(folder / "bundle"),
                    "mean": loaded.preprocessing.mean,
                    "std": loaded.preprocessing.std,
                }
            )
        )
    found: dict[str, Any] = json.loads(described.read_text())
    return found


def write_job(model: dict[str, Any], folder: Path, out: Path, cores: int, **options: Any) -> Path:
    """Write a contestant's job file beside its output folder."""
    job = Job(folder=str(folder), out=str(out), cores=cores, options=options, **model)
    path = out.with_suffix(".json")
    path.write_text(json.dumps(asdict(job)))
    return path


def embedded(out: Path) -> int:
    """Number of images with an embedding in what a contestant wrote. Raises ValueError if one is empty."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    files = [path for path in out.rglob("*.parquet") if path.parent.name == "parts" or "runs" not in path.parts]
    count = 0
    for path in files:
        with pq.ParquetFile(path) as file:
            column = file.read(columns=["embedding"]).column("embedding").combine_chunks().drop_null()
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        if len(column) and not pc.min(pc.list_value_length(column)).as_py():
            raise ValueError(f"an empty embedding in {path.name}")
        count += len(column)
    return count
