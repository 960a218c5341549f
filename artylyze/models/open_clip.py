"""CLIP models of open_clip: the vision tower as a backbone, the text tower as an encoder of words.

A reference is `open_clip:NAME`, `open_clip:NAME/TAG` (a set of weights that open_clip lists for NAME) or
`open_clip:FOLDER`, a folder with `open_clip_config.json` and weights, as open_clip saves it.
"""

from __future__ import annotations

import difflib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch
    from numpy.typing import NDArray

    from artylyze.models.backbones import Backbone

PREFIX = "open_clip:"
CONFIG = "open_clip_config.json"
BATCH = 64
"""Texts that are encoded at once."""

_VISION = ("embed_dim", "vision_cfg", "quick_gelu")


def resolve_reference(reference: str) -> str:
    """Return a reference that stays the same wherever it is used: NAME/TAG, or the absolute path of a folder.

    NAME alone gets the first weights that open_clip lists for it and that were trained with its activation function.
    Raises InputError for unknown names and tags, and without open_clip.
    """
    name = reference.removeprefix(PREFIX)
    package_version(reference)
    if Path(name).is_dir():
        if not (Path(name) / CONFIG).is_file():
            raise InputError(f"{name} is not a model of open_clip: it has no {CONFIG}.")
        return f"{PREFIX}{Path(name).resolve()}"
    import open_clip

    name, _, tag = name.partition("/")
    if name not in open_clip.list_models():
        near = difflib.get_close_matches(name, open_clip.list_models(), n=3)
        raise InputError(
            f"open_clip has no model {name!r}, and there is no such folder"
            + (f": did you mean {', '.join(near)}?" if near else ".")
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag and tag not in tags:
        raise InputError(f"open_clip has no weights {tag!r} for {name}: choose {', '.join(tags) or 'another model'}.")
    gelu = bool(open_clip.get_model_config(name).get("quick_gelu"))
    fitting = [each for each in tags if bool(open_clip.get_pretrained_cfg(name, each).get("quick_gelu")) == gelu]
    if not tags:
        raise InputError(f"open_clip lists no weights for {name}: give a folder with a model, or another name.")
    return f"{PREFIX}{name}/{tag or (fitting or tags)[0]}"


def package_version(reference: str) -> str:
    """Return the version of open_clip. Raises InputError if it is not installed."""
    try:
        return version("open-clip-torch")
    except PackageNotFoundError:
        raise InputError(f"{reference} needs open_clip: pip install 'artylyze[text]'") from None


def load_backbone(reference: str) -> Backbone:
    """Return the vision tower as a backbone; `reference` as `resolve_reference` returns it.

    Images are squashed to the tower's square, not cropped, and normalised by its own mean and standard deviation.
    Raises InputError if the weights cannot be loaded.
    """
    import open_clip

    from artylyze.models.backbones import measured
    from artylyze.models.bundle import Preprocessing

    model = _load(reference)
    preprocess = open_clip.get_model_preprocess_cfg(model)
    size = preprocess["size"]
    if not isinstance(size, int):
        if len(set(size)) > 1:
            raise InputError(
                f"{reference} takes images of {size[0]} x {size[1]} pixels: choose one that takes squares."
            )
        size = int(size[0])
    name = _architecture(_config(reference))
    module = create_vision_tower(name, size)
    _tower(module).load_state_dict(_visual(model).state_dict())
    preprocessing = Preprocessing(size, tuple(preprocess["mean"]), tuple(preprocess["std"]))
    return measured(name, module, preprocessing, ())


def create_vision_tower(name: str, size: int | None = None) -> torch.nn.Module:
    """Return the vision tower of a backbone's name, with random weights, in evaluation mode.

    It takes float32 (n, 3, size, size), normalised, and gives (n, dim). Raises InputError without open_clip.
    """
    import torch

    package_version(name)
    import open_clip
    from open_clip.model import _build_vision_tower  # its towers have no other constructor

    described = name.removeprefix(PREFIX)
    config = json.loads(described) if described.startswith("{") else open_clip.get_model_config(described)
    if config is None:
        raise InputError(f"This open_clip has no model {described!r}: install a newer one.")
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}
    if size is not None:
        vision["image_size"] = size

    class VisionTower(torch.nn.Module):
        """The tower's first output: some give the tokens, too."""

        def __init__(self) -> None:
            super().__init__()
            self.visual = _build_vision_tower(config["embed_dim"], vision, config.get("quick_gelu", False))
            self.pretrained_cfg = {"input_size": (3, vision["image_size"], vision["image_size"])}

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            outputs = self.visual(images)
            features: torch.Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
            return features

    return VisionTower().eval()


def text_encoder(reference: str) -> Callable[[list[str]], NDArray[np.float32]]:
    """Return what encodes texts into the space of the embeddings that the vision tower of `reference` gives.

    Args:
        reference: `open_clip:NAME`, `open_clip:NAME/TAG` or `open_clip:FOLDER`. A catalog keeps that of its model as
            `text_encoder` among the settings of its snapshot.

    Returns:
        A function of n texts that returns float32 (n, d), each row of length 1; longer texts than the tower takes are
        cut. To be compared by the cosine: the cosines of text and image are small, and good for ranks only.

    Raises:
        InputError: without open_clip, or if the model cannot be loaded.
    """
    reference = resolve_reference(reference)
    import open_clip
    import torch

    model, tokenizer = _load(reference), open_clip.get_tokenizer(_address(reference)[0])
    dim = int(_config(reference)["embed_dim"])

    def encode(texts: list[str]) -> NDArray[np.float32]:
        batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        with torch.inference_mode():
            encoded = [model.encode_text(tokenizer(batch), normalize=True).numpy() for batch in batches]
        return np.concatenate([np.empty((0, dim)), *encoded]).astype(np.float32)

    return encode


def _address(reference: str) -> tuple[str, str | None]:
    """Return the model and the weights in the words of open_clip."""
    name = reference.removeprefix(PREFIX)
    if Path(name).is_absolute():
        return f"local-dir:{name}", None
    name, _, tag = name.partition("/")
    return name, tag


def _load(reference: str) -> Any:
    import open_clip

    from artylyze.models.backbones import hub_or_cache

    name, tag = _address(reference)
    try:
        with hub_or_cache():
            return open_clip.create_model(name, pretrained=tag, require_pretrained=True, weights_only=True).eval()
    except Exception as error:  # each source of weights raises its own kind
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        what = "put the weights beside its configuration" if tag is None else "connect to a network, or give a folder"
        raise InputError(f"{reference} cannot be loaded ({reason}): {what}.") from error


def _config(reference: str) -> Mapping[str, Any]:
    import open_clip

    config: Mapping[str, Any] = open_clip.get_model_config(_address(reference)[0])
    return config


def _architecture(config: Mapping[str, Any]) -> str:
    """Return the name of a tower that says how to build it: that of open_clip's first model with it, or its JSON."""
    import open_clip

    wanted = {key: config.get(key) for key in _VISION}
    for name in open_clip.list_models():
        listed = open_clip.get_model_config(name)
        if {key: listed.get(key) for key in _VISION} == wanted:
            return f"{PREFIX}{name}"
    return PREFIX + json.dumps({key: value for key, value in wanted.items() if value is not None}, sort_keys=True)


def _visual(model: Any) -> torch.nn.Module:
    visual: torch.nn.Module = model.visual
    return visual


def _tower(module: Any) -> torch.nn.Module:
    visual: torch.nn.Module = module.visual
    return visual
