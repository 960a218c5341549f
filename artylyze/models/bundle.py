"""The model bundle: a folder with everything that tagging needs, and its identity. Imports neither torch nor ONNX.

The hashes detect damage and manual edits. They are not a signature: they do not prove who made a bundle.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from artylyze.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT_VERSION = 2  # of bundle.json and the folder
GRAPH_VERSION = 3  # of the graph that artylyze.models.export builds: raise it there, and cached bundles are rebuilt
DESCRIPTION, TENSORS, ONNX, CARD = "bundle.json", "model.safetensors", "model.onnx", "CARD.md"
OUTSIDE = ("mean", "scale", "components")  # tensors of `artylyze.models.outside`, after `outside.`
_TASK_NAME = re.compile(r"[a-z][a-z0-9_]*")  # it becomes part of column and tensor names


@dataclass(frozen=True)
class Preprocessing:
    """The input of a backbone: RGB squares of `size` pixels a side, `(pixel / 255 - mean) / std` for each channel.

    Raises InputError for invalid values.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 1:
            raise InputError(f"the input size must be a whole number of pixels, not {self.size!r}")
        if not (_three_numbers(self.mean) and _three_numbers(self.std) and min(self.std) > 0):
            raise InputError(
                f"mean and std must be three finite numbers each, std above 0, not {self.mean!r}, {self.std!r}"
            )


@dataclass(frozen=True)
class Task:
    """The task of a head: which of `terms` an image shows. `terms[i]` belongs to logit i.

    `temperature` divides the logits before the softmax; an image whose top score (0 to 1) lies below
    `review_threshold`, or below that of its top term in `term_thresholds`, is marked for review. Without a temperature
    the terms are ranked, nothing has a score, and all images are for review. With `cosine` a runtime divides logits by
    the length of the embedding. `uris[i]` identifies `terms[i]`, "" where it has no identifier; there are none where no
    term has. Raises InputError for invalid values.
    """

    name: str
    terms: tuple[str, ...]
    temperature: float | None = 1.0
    review_threshold: float = 0.0
    term_thresholds: Mapping[str, float] = field(default_factory=dict)
    cosine: bool = False
    uris: tuple[str, ...] = ()

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Task:
        """The task that `described`, the values of `as_dict`, is."""
        lists = {name: tuple(described[name]) for name in ("terms", "uris") if name in described}
        return cls(**{**described, **lists})

    def as_dict(self) -> dict[str, Any]:
        """JSON values; what earlier versions do not know only where it is used, as in their bundles."""
        later = ("term_thresholds", "cosine", "uris")
        return {name: value for name, value in asdict(self).items() if name not in later or value}

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _TASK_NAME.fullmatch(self.name):
            raise InputError(f"task name {self.name!r}: use lower-case letters, digits and underscores, a letter first")
        if not self.terms or not all(isinstance(term, str) and term.strip() for term in self.terms):
            raise InputError(f"task {self.name}: give at least one term, none of them empty")
        if len(set(self.terms)) != len(self.terms):
            raise InputError(f"task {self.name}: each term may be given once")
        if self.uris and len(self.uris) != len(self.terms):
            raise InputError(f"task {self.name}: give an identifier for each term, or for none")
        if self.temperature is not None and not (_is_number(self.temperature) and self.temperature > 0):
            raise InputError(f"task {self.name}: the temperature must be a number above 0, not {self.temperature!r}")
        if not (_is_number(self.review_threshold) and 0 <= self.review_threshold <= 1):
            raise InputError(
                f"task {self.name}: the review threshold must lie in 0 to 1, not {self.review_threshold!r}"
            )
        for term, threshold in self.term_thresholds.items():
            if term not in self.terms or not (_is_number(threshold) and 0 <= threshold <= 1):
                raise InputError(f"task {self.name}: {threshold!r} is no review threshold of a term {term!r}")


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle. It holds plain bytes, so it can be sent to workers without torch.

    The features of an image are the pooled ones of its backbone, then statistics of the stages `taps`
    (`artylyze.models.taps`). The heads use all of them; the embedding is the first `embedding_dim`. `tensors` is a
    safetensors file: `backbone.*`, `heads.<task>.weight` (terms, feature_dim) and `.bias` (terms,), and if `outside`
    those of `artylyze.models.outside`. `onnx` is an ONNX file with the input and outputs that `artylyze.models.export`
    describes; either is empty after `for_device`. `metrics` and `training` are JSON values; the card shows those that
    `artylyze.models.card` names.
    Raises InputError for parts that do not fit together.
    """

    model_id: str
    backbone: str  # the timm name of the architecture, or cnn3
    preprocessing: Preprocessing
    embedding_dim: int
    feature_dim: int
    tasks: tuple[Task, ...]
    tensors: bytes = field(repr=False)
    onnx: bytes = field(repr=False)
    taps: tuple[int, ...] = ()  # indices of timm's `feature_info`, ascending
    outside: bool = False  # whether the model tells how far an image lies from what it learned
    training_data: str | None = None  # the digest of the data that the model was trained on
    metrics: Mapping[str, Any] = field(default_factory=dict)  # measured by training
    training: Mapping[str, Any] = field(default_factory=dict)  # settings and data of the training

    def __post_init__(self) -> None:
        widths = (self.embedding_dim, self.feature_dim)
        if not (all(type(width) is int for width in widths) and 1 <= self.embedding_dim <= self.feature_dim):
            raise InputError(
                "the embedding dimension must be a whole number above 0 and at most the number of features, "
                f"not {self.embedding_dim!r} of {self.feature_dim!r}"
            )
        if not (all(type(tap) is int and tap >= 0 for tap in self.taps) and list(self.taps) == sorted(set(self.taps))):
            raise InputError(f"taps are numbers of stages from 0, in ascending order, not {self.taps!r}")
        if not (isinstance(self.metrics, Mapping) and isinstance(self.training, Mapping)):
            raise InputError("metrics and training are mappings of names to JSON values")
        if len({task.name for task in self.tasks}) != len(self.tasks):
            raise InputError("two tasks of the bundle have the same name")
        if self.tensors:
            self._check_tensors()

    def _check_tensors(self) -> None:
        given = {name: tuple(entry["shape"]) for name, (entry, _) in tensor_views(self.tensors).items()}
        if self.outside != has_outside(self.tensors):
            raise InputError(f"the tensors {'lack' if self.outside else 'have'} those of `outside`")
        if self.outside:
            width = (self.feature_dim,)
            if not given["outside.mean"] == given["outside.scale"] == given["outside.components"][1:] == width:
                raise InputError(f"the tensors of `outside` do not fit {self.feature_dim} features")
        shapes = {name: shape for name, shape in given.items() if name.startswith("heads.")}
        wanted: dict[str, tuple[int, ...]] = {}
        for task in self.tasks:
            wanted[f"heads.{task.name}.weight"] = (len(task.terms), self.feature_dim)
            wanted[f"heads.{task.name}.bias"] = (len(task.terms),)
        if shapes != wanted:
            raise InputError(f"the heads {shapes} do not fit the tasks, which need {wanted}")

    def for_device(self, device: str) -> Bundle:
        """Return the bundle with only the bytes that the runtime of `device` ('cpu' or 'cuda') needs."""
        return replace(self, tensors=b"") if device == "cpu" else replace(self, onnx=b"")


def model_id(
    backbone: str,
    preprocessing: Preprocessing,
    tasks: Sequence[Task],
    tensors: bytes,
    *,
    embedding_dim: int,
    taps: Sequence[int] = (),
) -> str:
    """Return the identity of what a model computes: 16 hexadecimal digits of a SHA-256.

    It covers the architecture, taps, embedding dimension, preprocessing, tasks, and the tensors of the safetensors file
    `tensors` by name, dtype, shape and content, in any order; not the ONNX bytes, which differ between versions of the
    exporter, nor metrics and training. Raises InputError if `tensors` is not a safetensors file.
    """
    identity = {
        "backbone": backbone,
        "taps": list(taps),
        "embedding_dim": embedding_dim,
        "preprocessing": asdict(preprocessing),
        "tasks": sorted((task.as_dict() for task in tasks), key=lambda task: str(task["name"])),
        "tensors": [
            [name, entry["dtype"], entry["shape"], hashlib.sha256(content).hexdigest()]
            for name, (entry, content) in sorted(tensor_views(tensors).items())
        ],
    }
    return json_digest(identity)[:16]


def has_outside(tensors: bytes) -> bool:
    """Tell whether a safetensors file has the tensors of `artylyze.models.outside`."""
    return {f"outside.{name}" for name in OUTSIDE} <= tensor_views(tensors).keys()


def tensor_views(tensors: bytes) -> dict[str, tuple[dict[str, Any], memoryview]]:
    """Return each tensor of a safetensors file: its header entry (dtype, shape) and its bytes, not copied.

    Format: https://github.com/huggingface/safetensors#format. The library's readers copy, or need torch for bfloat16.
    Raises InputError for other bytes.
    """
    try:
        (length,) = struct.unpack_from("<Q", tensors)
        header = json.loads(tensors[8 : 8 + length])
        header.pop("__metadata__", None)
        data = memoryview(tensors)[8 + length :]
        return {
            name: (entry, data[entry["data_offsets"][0] : entry["data_offsets"][1]]) for name, entry in header.items()
        }
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("the tensors are not a safetensors file") from error


def output_names(tasks: Sequence[str], *, outside: bool) -> list[str]:
    """Return the names of a graph's outputs, in order."""
    return ["embedding", *(f"logits_{name}" for name in tasks), *(["outside"] if outside else [])]


def json_digest(values: object) -> str:
    """Return the SHA-256, in hexadecimal, of JSON values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _three_numbers(values: Sequence[object]) -> bool:
    return len(values) == 3 and all(map(_is_number, values))
