"""The model of a catalog, to embed an image that is not in it: found again by its id, which is all that must agree."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.catalog.snapshot import Snapshot
from artylyze.errors import ArtylyzeError, ImageError, InputError
from artylyze.images import decode
from artylyze.models.bundle import DESCRIPTION, Bundle
from artylyze.models.resolve import cache_folder, resolve_model
from artylyze.models.runtimes import load_runtime
from artylyze.storage import fetch, split_page
from artylyze.workers.supervision import cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def catalog_model(catalog: str, snapshot: Snapshot, model: str | None = None) -> Bundle:
    """Return the model that made the embeddings of a catalog.

    Without `model` it is looked for where it may be: what the run that made the catalog names, the bundles that this
    machine keeps, the model that ships with artylyze.

    Args:
        catalog: its address, for messages.
        snapshot: of it.
        model: a bundle's folder or address, or `timm:NAME`.

    Raises:
        InputError: if it is another model, or is not found on this machine.
    """
    if model is not None:
        bundle = resolve_model(model)
        if bundle.model_id != snapshot.model_id:
            raise InputError(
                f"`model={model!r}` is the model {bundle.model_id}, the embeddings of {catalog} are of "
                f"{snapshot.model_id}: those of two models cannot be compared. Give the model that tagged the catalog."
            )
        return bundle
    for candidate in _candidates(snapshot):
        with suppress(ArtylyzeError, OSError):
            bundle = resolve_model(candidate)
            if bundle.model_id == snapshot.model_id:
                return bundle
    raise InputError(
        f"An image that is not in {catalog} is compared by the model that tagged it, {snapshot.model_id}, which is not "
        "on this machine: give `model=MODEL`, a bundle's folder or address, or timm:NAME."
    )


def model_reference(snapshot: Snapshot) -> str | None:
    """Return what the run that made a catalog calls its model: a folder, an address, a name; None if unknown."""
    reference = snapshot.settings.get("model")
    return reference if isinstance(reference, str) else None


def _candidates(snapshot: Snapshot) -> Iterator[str | None]:
    reference = model_reference(snapshot)
    if reference is not None:
        yield reference
    folder = cache_folder()
    for description in sorted(folder.glob(f"*/{DESCRIPTION}")) if folder.is_dir() else []:
        if _model_id(description) == snapshot.model_id:
            yield str(description.parent)
    yield None


def _model_id(description: Path) -> Any:
    with suppress(OSError, ValueError, TypeError, KeyError):
        return json.loads(description.read_text("utf-8"))["model_id"]
    return None


def embed_image(address: str, bundle: Bundle) -> NDArray[np.float32]:
    """Return the embedding of an image file or address, float32 (1, d).

    Raises:
        InputError: if it cannot be read, with the reason.
    """
    try:
        pixels = decode(bytes(fetch(address)), bundle.preprocessing.size, page=split_page(address)[1]).pixels
    except ImageError as error:
        raise InputError(f"{address} cannot be read: {error.code}, {error.detail.rstrip('.')}.") from error
    return load_runtime(bundle, "cpu", threads=cores()).run(pixels[None]).embedding
