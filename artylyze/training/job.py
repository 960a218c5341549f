"""What fine-tuning is about to do, found out before Ray starts; where it keeps itself; what each worker holds of it."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from artylyze.datasets.examples import Examples, examples_of
from artylyze.datasets.folds import halve, hold_out
from artylyze.errors import InputError, UsageError
from artylyze.extraction.pixels import images_folder, read_images
from artylyze.models import cnn3
from artylyze.models.runtimes import resolve_device
from artylyze.ray_session import cluster_address
from artylyze.training.loop import Part, Recipe
from artylyze.training.start import starting_backbone
from artylyze.workers.fetching import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artylyze.datasets.dataset import Dataset
    from artylyze.models.backbones import Backbone
    from artylyze.progress import Watcher
    from artylyze.training.request import TrainRequest

_UNIMPORTANT = ("output", "device", "workers", "precision_target", "augment")  # the same training whatever they are


@dataclass(frozen=True, eq=False)
class Job:
    """What every worker is given.

    Attributes:
        backbone: the beginning.
        examples: of the whole dataset.
        train: rows of the examples' table that are learned from, ascending.
        validation: rows that the curves are drawn for and the epoch is chosen by, ascending.
        held_out: rows that scores are calibrated on and reported for, ascending: apart from the others, or the same.
        method: how the latter were chosen, in words.
        recipe: its batch size is that of all workers together.
    """

    backbone: Backbone
    examples: Examples
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    held_out: NDArray[np.int64]
    method: str
    recipe: Recipe

    @property
    def sizes(self) -> list[int]:
        """The number of classes of each task."""
        return [len(terms) for terms in self.examples.tasks.values()]


def prepare(request: TrainRequest, dataset: Dataset, watcher: Watcher) -> Job:
    """Plan a training. Raises UsageError and InputError for all that can be known to be wrong by now."""
    if request.device == "cuda" and not cluster_address():
        resolve_device("cuda")
    examples = examples_of(dataset, request.tasks)
    rows = examples.labelled[examples.train[examples.labelled]]
    if examples.table.column("uri").take(rows).null_count:
        raise InputError("The dataset names no images: make it again with `artylyze curate --images`.")
    apart, cut = hold_out(examples, rows, request.folds, request.seed)
    for warning in cut.warnings:
        watcher.say(warning)
    train = np.setdiff1d(rows, apart)
    validation, held_out, halved = halve(examples, apart, request.seed)
    how = "half of one part of {}; the other half chose the epoch" if halved else "one part of {}; it chose the epoch"
    if request.workers > len(train):
        raise UsageError(f"`workers={request.workers}`: there are {len(train):,} images to learn from; ask for fewer.")
    backbone = starting_backbone(request)
    recipe = Recipe(
        learning_rate=request.learning_rate,
        epochs=request.epoch_count,
        batch_size=request.batch_size,
        weight_decay=request.weight_decay,
        label_smoothing=request.label_smoothing,
        seed=request.seed,
        from_scratch=backbone.name == cnn3.NAME and request.init_from is None and request.weights is None,
    )
    return Job(backbone, examples, train, validation, held_out, how.format(cut.method), recipe)


def run_folder(request: TrainRequest, dataset: Dataset, backbone: Backbone) -> Path:
    """Where checkpoints lie: beside the output, under a name that only the same training has."""
    asked = {name: value for name, value in asdict(request).items() if name not in _UNIMPORTANT}
    hashed = hashlib.sha256(json.dumps([asked, dataset.digest], sort_keys=True).encode())
    for name, tensor in backbone.module.state_dict().items():
        hashed.update(name.encode() + tensor.numpy().tobytes())
    output = Path(request.output).absolute()
    return output.with_name(f".{output.name}.finetune-{hashed.hexdigest()[:16]}")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make the folder, and keep its training from being driven twice at once."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(f"{folder.parent} cannot be written: {error.strerror or error}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"This training runs already (it holds {folder}/.lock): wait for its end.") from error
        yield


def part_of(
    job: Job, rank: int, workers: int, decoders: int, advance: Callable[[int, int], None]
) -> tuple[Part, Mapping[str, str]]:
    """The images that one of several workers holds, read now, and image_id -> error code of those that cannot be read.

    Raises InputError where the worker is left with nothing to learn from, StorageError as `read_images` does.
    """
    train, validation = job.train[rank::workers], job.validation[rank::workers]
    rows = np.concatenate([train, validation])
    table = job.examples.table.take(rows)
    columns = (table.column(name).to_pylist() for name in ("uri", "validator", "size"))
    sources = [Source(*row) for row in zip(*columns, strict=True)]
    size = job.backbone.preprocessing.size
    images = read_images(sources, size, images_folder(), decoders=decoders, advance=advance)
    read = images.read
    if not (read < len(train)).any():
        codes = ", ".join(sorted(set(images.failed.values())))
        raise InputError(
            f"None of the {len(train):,} images of a worker can be read ({codes}): see that they still are where the "
            "dataset says, or ask for fewer `workers`."
        )
    labels = [_usable_labels(labels, job.train, rows, len(train)) for labels in job.examples.labels.values()]
    ids = table.column("image_id")
    failed = {ids[place].as_py(): code for place, code in images.failed.items()}
    return Part(images.pixels, labels, read[read < len(train)], read[read >= len(train)]), failed


def _usable_labels(
    labels: NDArray[np.int64], train: NDArray[np.int64], rows: NDArray[np.int64], learned: int
) -> NDArray[np.int64]:
    """The labels of `rows`, of which the first `learned` are learned from; -1 for others of classes not in `train`."""
    mine = labels[rows]
    mine[learned:][~np.isin(mine[learned:], labels[train])] = -1
    return mine


def threads_of(nodes: Sequence[tuple[float, float]], workers: int, *, gpu: bool) -> int:
    """Cores that each worker may have so that all find room; 0 if there is none.

    `nodes` are the (cores, GPUs) of the machines; a worker lies on one of them, with a GPU of its own if it needs one.
    """
    most = int(max((cores for cores, _ in nodes), default=0))
    for threads in range(most, 0, -1):
        room = sum(min(cores // threads, gpus) if gpu else cores // threads for cores, gpus in nodes)
        if room >= workers:
            return threads
    return 0
