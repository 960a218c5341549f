"""From the name of a model to its bundle. A cached or stored bundle is loaded without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from artylyze.errors import InputError, UsageError
from artylyze.models.bundle import DESCRIPTION, Bundle
from artylyze.models.cache import cache_folder, cached
from artylyze.models.folder import load
from artylyze.models.open_clip import PREFIX, package_version, resolve_reference
from artylyze.models.open_clip import load_backbone as load_vision_tower
from artylyze.models.starter import has_starter, load_starter
from artylyze.storage import is_url, open_store
from artylyze.storage.nearest import did_you_mean

__all__ = ["EMBEDDINGS_ONLY", "cache_folder", "resolve_model"]

STARTER = "starter"
"""Name of the model that ships with artylyze, unless there is a folder of that name."""

EMBEDDINGS_ONLY = "timm:tf_efficientnet_lite0"  # the backbone of the starter, without its heads
_UNPUBLISHED = "cnn3"  # NAME of artylyze.models.cnn3, which needs torch


def resolve_model(
    spec: str | Path | None = None, *, weights: str | Path | None = None, size: int | None = None
) -> Bundle:
    """Return the bundle of `spec`: its folder or address, 'timm:NAME', 'open_clip:NAME', or None for the starter.

    Those of timm and open_clip give embeddings only; `artylyze.models.open_clip` says what else may follow its name.

    `weights` (a file) and `size` (pixels a side; None: the model's own) are for 'timm:NAME', whose bundle is built once
    and cached. An artylyze without a starter uses EMBEDDINGS_ONLY instead. Raises InputError for an unknown model,
    UsageError for `weights` or `size` with another model.
    """
    if spec == STARTER and not Path(STARTER).is_dir():
        spec = None
    name = str(spec) if spec is not None else None if has_starter() else EMBEDDINGS_ONLY
    if name is not None and name.startswith("timm:"):
        return _timm_bundle(name.removeprefix("timm:"), Path(weights) if weights is not None else None, size)
    if name is not None and name.startswith(PREFIX) and weights is None and size is None:
        return _open_clip_bundle(name)
    address = name is not None and is_url(name)
    if not (name is None or address or (name and Path(name).is_dir()) or name.startswith(PREFIX)):
        raise InputError(
            f"There is no model {name!r}: give the folder or address of a bundle, timm:NAME for the backbone NAME of "
            f"timm, open_clip:NAME for that of a CLIP model, or nothing for the model that ships with artylyze."
            f"{did_you_mean(name)}"
        )
    if weights is not None or size is not None:
        raise UsageError("A bundle has its own weights and input size: give `weights` with timm:NAME only.")
    if name is None:
        return load_starter()
    return _stored_bundle(name) if address else load(name)


def _stored_bundle(address: str) -> Bundle:
    """Return the bundle at an address, cached by the digest of its description, which holds those of its files."""
    described = open_store(address).read(DESCRIPTION)
    digest = None if described is None else hashlib.sha256(described).hexdigest()
    return load(address) if digest is None else cached("stored", {"description": digest}, lambda: load(address))


def _timm_bundle(name: str, weights: Path | None, size: int | None) -> Bundle:
    if name == _UNPUBLISHED and weights is None:
        raise InputError(
            f"{name} has no published weights, and random ones are of no use: train it first (`artylyze train "
            f"--backbone {name} --mode finetune`) and give the folder of the bundle."
        )

    def build() -> Bundle:
        from artylyze.models.backbones import load_backbone
        from artylyze.models.build import build_bundle

        return build_bundle(load_backbone(name, weights=weights, size=size))

    return cached(
        name, {"name": name, "size": size, "weights": None if weights is None else _file_digest(weights)}, build
    )


def _open_clip_bundle(reference: str) -> Bundle:
    reference = resolve_reference(reference)

    def build() -> Bundle:
        from artylyze.models.build import build_bundle

        return build_bundle(load_vision_tower(reference), training={"text_encoder": reference})

    return cached("open_clip", open_clip_ingredients(reference), build)


def open_clip_ingredients(reference: str) -> dict[str, Any]:
    """Return what a bundle of a CLIP model is made from, for `cached`; `reference` as `resolve_reference` gives it."""
    folder = Path(reference.removeprefix(PREFIX))
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_absolute() else []
    return {
        "reference": reference,
        "files": {path.name: _file_digest(path) for path in files},
        "open_clip": package_version(reference),
    }


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"The weights file {path} cannot be read: {error.strerror}.") from error
