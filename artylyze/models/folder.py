"""A bundle as a folder: written whole or not at all, its hashes verified when it is loaded."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artylyze.errors import InputError
from artylyze.models.bundle import (
    CARD,
    DESCRIPTION,
    FORMAT_VERSION,
    ONNX,
    TENSORS,
    Bundle,
    Preprocessing,
    as_task,
    has_outside,
    json_digest,
    model_id,
)
from artylyze.models.bundle import described as described_task
from artylyze.models.card import render_card
from artylyze.storage import is_url, open_store

if TYPE_CHECKING:
    from collections.abc import Callable


def save(folder: str | Path, bundle: Bundle, extra: Mapping[str, bytes] | None = None) -> None:
    """Write `bundle` to `folder`, atomically.

    `extra` are further files for people, such as pictures: bytes by name. They are not loaded. Raises InputError if
    `folder` exists and is not empty or cannot be written, or if the bundle was reduced by `for_device`.
    """
    folder = Path(folder)
    if not (bundle.tensors and bundle.onnx):
        raise InputError("this bundle was reduced for one device: save the complete one")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} exists already: remove it or choose another folder for the bundle")
    files = {TENSORS: bundle.tensors, ONNX: bundle.onnx}
    described = _describe(bundle, {name: hashlib.sha256(content).hexdigest() for name, content in files.items()})
    files[DESCRIPTION] = (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode()
    files = {**(extra or {}), **files, CARD: render_card(bundle).encode()}
    unfinished = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    try:
        unfinished.mkdir(parents=True)
        for name, content in files.items():
            (unfinished / name).write_bytes(content)
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except OSError as error:
        raise InputError(f"cannot write the bundle {folder}: {error.strerror or error}") from error


def load(folder: str | Path) -> Bundle:
    """Read and verify the bundle in `folder`, a path or an address. CARD.md is not read: people may edit it.

    Raises StorageError if the storage refuses; InputError for files that are missing, unreadable, damaged, edited, or
    written by a newer version.
    """
    name, read = str(folder).rstrip("/"), _reader(folder)
    described = _read_description(name, read)
    tensors, onnx = (_read_verified(name, file, read, described) for file in (TENSORS, ONNX))
    try:
        preprocessing = Preprocessing(described["input_size"], tuple(described["mean"]), tuple(described["std"]))
        tasks = tuple(map(as_task, described["tasks"]))
        taps, dim = tuple(described["taps"]), described["embedding_dim"]
        identity = model_id(described["backbone"], preprocessing, tasks, tensors, embedding_dim=dim, taps=taps)
        bundle = Bundle(
            model_id=identity,
            backbone=described["backbone"],
            preprocessing=preprocessing,
            embedding_dim=dim,
            feature_dim=described["feature_dim"],
            tasks=tasks,
            tensors=tensors,
            onnx=onnx,
            taps=taps,
            outside=has_outside(tensors),
            training_data=described["training_data"],
            metrics=described["metrics"],
            training=described["training"],
        )
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name}/{DESCRIPTION} is not valid ({error}): build or copy the bundle again") from error
    if identity != described["model_id"]:
        raise InputError(f"{name} does not have its model id {described['model_id']}: build or copy the bundle again")
    return bundle


def _describe(bundle: Bundle, hashes: Mapping[str, str]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "model_id": bundle.model_id,
        "backbone": bundle.backbone,
        "input_size": bundle.preprocessing.size,
        "mean": bundle.preprocessing.mean,
        "std": bundle.preprocessing.std,
        "taps": bundle.taps,
        "embedding_dim": bundle.embedding_dim,
        "feature_dim": bundle.feature_dim,
        "tasks": [described_task(task) for task in bundle.tasks],
        "training_data": bundle.training_data,
        "metrics": dict(bundle.metrics),
        "training": dict(bundle.training),
        "files": dict(hashes),
    }
    return {**described, "sha256": json_digest(described)}


def _reader(folder: str | Path) -> Callable[[str], bytes]:
    """Return a function that reads a file of a bundle by its name, or raises OSError."""
    if not is_url(str(folder)):
        return lambda name: (Path(folder) / name).read_bytes()
    store = open_store(str(folder))

    def read(name: str) -> bytes:
        data = store.read(name)
        if data is None:
            raise FileNotFoundError(name)
        return data

    return read


def _read_description(folder: str, read: Callable[[str], bytes]) -> dict[str, Any]:
    path = f"{folder}/{DESCRIPTION}"
    try:
        described = json.loads(read(DESCRIPTION).decode("utf-8"))
        version, recorded = described["format_version"], described.pop("sha256", None)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise InputError(
            f"{folder} is not a model bundle (it has no {DESCRIPTION}): give the folder of a bundle"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be read ({error}): build or copy the bundle again") from error
    if version != FORMAT_VERSION:
        raise InputError(
            f"{folder} has bundle format {version}, this artylyze reads {FORMAT_VERSION}: "
            "install the version that wrote it, or build the bundle again"
        )
    if recorded != json_digest(described):
        raise InputError(f"{path} was edited or damaged: build or copy the bundle again")
    return dict(described)


def _read_verified(folder: str, name: str, read: Callable[[str], bytes], described: Mapping[str, Any]) -> bytes:
    try:
        content = read(name)
    except OSError as error:
        raise InputError(f"{folder}/{name} cannot be read: build or copy the bundle again") from error
    if hashlib.sha256(content).hexdigest() != described.get("files", {}).get(name):
        raise InputError(f"{folder}/{name} was edited or damaged: build or copy the bundle again")
    return content
