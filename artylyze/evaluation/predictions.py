"""What a bundle says of labelled images, and what is right; here computed from the images of a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.datasets.dataset import labels
from artylyze.extraction.cached import Features, embed, features_folder
from artylyze.models.cache import cached
from artylyze.models.scores import probabilities
from artylyze.training.heads import Head

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.models.bundle import Bundle, Task


@dataclass(frozen=True, eq=False)
class Answers:
    """What a bundle says for one task of n images, and what is right.

    Attributes:
        task: of the bundle.
        scores: float32 (n, terms), calibrated. From a catalog only the best terms have one, the others have 0.
        labels: int64 (n,), -1 where an image has no label, or one that the bundle does not know.
        unknown: labels that the bundle does not know, and how many images have them.
    """

    task: Task
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    unknown: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Predictions:
    """The answers to all tasks of the same n images.

    Attributes:
        table: image_id, record_id, uri, size and validator of each image; of a dataset, all its columns.
        answers: by task.
        failed: image_id -> error code of the labelled images that have no answer.
    """

    table: pa.Table
    answers: Mapping[str, Answers]
    failed: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Computed(Predictions):
    """Answers that were computed; `features` are those of the whole table, whether judged or not."""

    features: Features


def of_dataset(
    bundle: Bundle,
    table: pa.Table,
    tasks: Sequence[Task],
    judged: NDArray[np.bool_],
    device: str,
    advance: Callable[[int, int], None],
) -> Computed:
    """Compute the answers to images of a dataset.

    The features are those that training computed, the mirror images' included: they may lie in its cache.

    Args:
        bundle: the model.
        table: rows of the dataset (n).
        tasks: of the bundle and the dataset.
        judged: which of them are answered, bool (n,); of the others there are features only.
        device: auto, cpu or cuda.
        advance: is told how many images were done since, and how many of them could not be read.
    """
    features = embed(
        table,
        _all_features(bundle),
        device=device,
        mirror=bool(bundle.training.get("mirror", False)),
        cache=features_folder(),
        advance=lambda count: advance(count, 0),
    )
    places = np.flatnonzero(judged[features.rows])
    answered, heads = table.take(features.rows[places]), heads_of(bundle)
    answers = {
        task.name: Answers(
            task,
            probabilities(heads[task.name].logits(features.matrix[places]), task.temperature),
            *known_labels(answered, task),
        )
        for task in tasks
    }
    wanted = set(table.column("image_id").filter(pa.array(judged)).to_pylist())
    failed = {image: code for image, code in features.failed.items() if image in wanted}
    return Computed(answered, answers, failed, features)


def labelled_rows(table: pa.Table, tasks: Sequence[Task]) -> NDArray[np.int64]:
    """Return the rows that have a label of one of the tasks at least, known to the bundle or not, ascending."""
    has = np.any([pc.is_valid(table.column(task.name)).to_numpy() for task in tasks], axis=0)
    return np.asarray(np.flatnonzero(has), np.int64)


def known_labels(table: pa.Table, task: Task) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Return the class of each row among the bundle's terms, -1 for none, and the labels that are none of them."""
    found = labels(table, task.name, task.terms)
    strange = table.column(task.name).filter(pa.array(found < 0)).drop_null().to_pylist()
    return found, dict(sorted(Counter(strange).items()))


def heads_of(bundle: Bundle) -> dict[str, Head]:
    """Return the heads of a bundle, which act on all features."""
    from safetensors.numpy import load

    tensors = load(bundle.tensors)
    names = (task.name for task in bundle.tasks)
    return {name: Head(tensors[f"heads.{name}.weight"], tensors[f"heads.{name}.bias"]) for name in names}


def _all_features(bundle: Bundle) -> Bundle:
    """The bundle whose embedding is all features, under the identity that training keeps them by."""
    if bundle.training.get("mode") != "frozen" and bundle.embedding_dim == bundle.feature_dim:
        return bundle  # nobody else keeps its features, and its own embedding is all of them

    def build() -> Bundle:
        from artylyze.models.build import features_bundle
        from artylyze.models.network import build_backbone

        return features_bundle(build_backbone(bundle))

    return cached(f"features-{bundle.backbone}", {"features_of": bundle.model_id}, build)
