"""The loop of fine-tuning, in plain torch: one backbone, a head for each task, epoch after epoch.

In several processes (torch.distributed) each holds its own part of the images and takes as many steps as the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import distributed

from artylyze.training.augment import augment, normalise
from artylyze.training.heads import class_weights
from artylyze.training.student import Student

if TYPE_CHECKING:
    from numpy.typing import NDArray

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""

HEAD_RATE = 10.0
"""Learning rate of the heads, which begin with nothing, as a multiple of the backbone's."""

BALANCE = 0.5
"""An image of a class of n images weighs n ** -BALANCE, as in frozen mode."""

MEASURED = 512
"""Images of each process that the standardisation of the features is measured on."""


@dataclass(frozen=True)
class Recipe:
    """How a network is tuned.

    Attributes:
        learning_rate: AdamW's for the backbone, at its peak.
        epochs: times that every image is seen.
        batch_size: images for each step of this process.
        weight_decay: AdamW's, of matrices and filters; biases and norms do not decay.
        label_smoothing: share of each label that is spread over all classes.
        seed: of the order and the augmentation of the images.
        from_scratch: whether the backbone begins with random weights.
        half: whether the network computes in bfloat16 where that is safe.
    """

    learning_rate: float
    epochs: int
    batch_size: int
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    seed: int = 0
    from_scratch: bool = False
    half: bool = False


@dataclass(frozen=True, eq=False)
class Part:
    """The images that one process holds.

    Attributes:
        pixels: uint8 (n, size, size, 3).
        labels: for each task int64 (n,), -1 where an image has no label.
        train: places of the images that are learned from.
        held_out: places of those that the curves are drawn for.
    """

    pixels: NDArray[np.uint8]
    labels: Sequence[NDArray[np.int64]]
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]


@dataclass(frozen=True)
class Sums:
    """What was seen of each task: loss and right answers as means over the images that have a label, and their number.

    The loss is the cross-entropy, neither weighted nor smoothed.
    """

    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    images: tuple[int, ...]


class Loop:
    """A training as it stands: network, optimizer, schedule.

    Args:
        student: the network, in any state.
        part: the images of this process.
        recipe: the same in all processes, but for the seed's use.
        device: of this process.
    """

    def __init__(self, student: Student, part: Part, recipe: Recipe, device: torch.device) -> None:
        self.student = student.to(device).to(memory_format=torch.channels_last)
        self._part, self._recipe, self._device = part, recipe, device
        self._rank, world = (distributed.get_rank(), distributed.get_world_size()) if _several() else (0, 1)
        self.steps = max(gathered(math.ceil(len(part.train) / recipe.batch_size)))
        self._network: torch.nn.Module = self.student
        if world > 1:
            self._network = torch.nn.parallel.DistributedDataParallel(
                self.student, device_ids=[device] if device.type == "cuda" else None
            )
        self._weights = [
            self._class_weights(labels, size) for labels, size in zip(part.labels, student.sizes, strict=True)
        ]
        self._labels = torch.from_numpy(np.stack(part.labels)).to(device)
        self._optimizer = torch.optim.AdamW(_groups(student, recipe), fused=True)
        total = recipe.epochs * self.steps
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, lambda step: rate(step, total))

    def measure(self) -> None:
        """Standardise the features by what the images of all processes give now."""
        chosen = self._part.train[:: max(1, len(self._part.train) // MEASURED)]
        with torch.inference_mode():
            self.student.eval()
            parts = [self.student.features(images).double() for images, _ in self._batches(chosen)]
            features = torch.cat(parts)
            count = torch.full_like(features[0], len(features))
            sums = torch.stack([features.sum(0), features.square().sum(0), count])
        count = _total(sums := sums.clone())[2]
        mean = sums[0] / count
        self.student.standardise(mean, (sums[1] / count - mean.square()).clamp(min=0).sqrt())

    def train(self, epoch: int, advance: Callable[[int], None]) -> Sums:
        """Learn from every image once; `advance` is called with the number seen since the last call."""
        random = torch.Generator().manual_seed(_seed(self._recipe.seed, epoch, self._rank))
        torch.manual_seed(_seed(self._recipe.seed, epoch, self._rank))  # of dropout
        self.student.learning(frozen_norms=not self._recipe.from_scratch)
        seen = torch.zeros(3, len(self._weights), device=self._device)
        order = self._part.train[torch.randperm(len(self._part.train), generator=random).numpy()]
        left, size = len(order), min(self._recipe.batch_size, len(order))
        # All batches are full and all processes take as many: the last ones hold some images again.
        for images, labels in self._batches(np.resize(order, self.steps * size), size):
            varied = augment(images, random)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._recipe.half):
                logits = self._network(varied)
            self._optimizer.zero_grad()
            self._loss(logits, labels).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._schedule.step()
            seen += _sums(logits, labels)
            advance(min(left, len(images)))
            left -= min(left, len(images))
        return _means(seen)

    def evaluate(self, advance: Callable[[int], None]) -> Sums:
        """Classify the held-out images, in float32."""
        seen = torch.zeros(3, len(self._weights), device=self._device)
        with torch.inference_mode():
            self.student.eval()
            for images, labels in self._batches(self._part.held_out):
                seen += _sums(self.student(images), labels)
                advance(len(images))
        return _means(seen.clone())

    def state(self) -> dict[str, Any]:
        """Where the optimizer and the schedule stand, to go on from."""
        return {"optimizer": self._optimizer.state_dict(), "schedule": self._schedule.state_dict()}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._optimizer.load_state_dict(dict(state["optimizer"]))
        self._schedule.load_state_dict(dict(state["schedule"]))

    def _batches(
        self, places: NDArray[np.int64], size: int | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Normalised images (n, 3, size, size), channels last, and labels (tasks, n) of `places`, batch by batch."""
        size = size or self._recipe.batch_size
        for start in range(0, len(places), size):
            mine = places[start : start + size]
            pixels = torch.from_numpy(self._part.pixels[mine])
            if self._device.type == "cuda":
                pixels = pixels.pin_memory()
            sent = pixels.to(self._device, non_blocking=True).permute(0, 3, 1, 2)
            yield normalise(sent, self.student.preprocessing), self._labels[:, torch.from_numpy(mine)]

    def _loss(self, logits: Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """The mean over the tasks; of each task the weighted mean over the images that have a label."""
        losses = []
        for scores, targets, weights in zip(logits, labels, self._weights, strict=True):
            total = torch.nn.functional.cross_entropy(
                scores, targets, weights, ignore_index=-1, label_smoothing=self._recipe.label_smoothing, reduction="sum"
            )
            # A batch may have no label of a task at all, whose mean would be 0 / 0.
            losses.append(total / (weights[targets.clamp(min=0)] * (targets >= 0)).sum().clamp(min=1e-6))
        return torch.stack(losses).mean()

    def _class_weights(self, labels: NDArray[np.int64], size: int) -> torch.Tensor:
        mine = labels[self._part.train]
        counts = np.sum(gathered(np.bincount(mine[mine >= 0], minlength=size)), axis=0)
        return torch.from_numpy(class_weights(counts, BALANCE)).to(self._device)


def rate(step: int, steps: int) -> float:
    """The learning rate at a step as a share of its peak: it rises along a line and falls along half a cosine."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


def _groups(student: Student, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters by learning rate and weight decay."""
    groups = []
    for module, factor in ((student.backbone, 1.0), (student.heads, 1.0 if recipe.from_scratch else HEAD_RATE)):
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        for decays in (True, False):
            chosen = [parameter for parameter in parameters if (parameter.ndim > 1) == decays]
            if chosen:
                decay = recipe.weight_decay if decays else 0.0
                groups.append({"params": chosen, "lr": factor * recipe.learning_rate, "weight_decay": decay})
    return groups


def _sums(logits: Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, right answers and images with a label, summed for each task: (3, tasks)."""
    columns = []
    for scores, targets in zip(logits, labels, strict=True):
        loss = torch.nn.functional.cross_entropy(scores.detach().float(), targets, ignore_index=-1, reduction="sum")
        columns.append(torch.stack([loss, (scores.argmax(1) == targets).sum(), (targets >= 0).sum()]))
    return torch.stack(columns, dim=1)


def _means(seen: torch.Tensor) -> Sums:
    losses, right, images = _total(seen).tolist()
    safe = [max(1.0, count) for count in images]
    return Sums(
        tuple(loss / count for loss, count in zip(losses, safe, strict=True)),
        tuple(hits / count for hits, count in zip(right, safe, strict=True)),
        tuple(int(count) for count in images),
    )


def _seed(*numbers: int) -> int:
    """One seed from several, unlike those of their neighbours."""
    state = np.random.SeedSequence(numbers).generate_state(1)
    return int(state[0])


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _total(tensor: torch.Tensor) -> torch.Tensor:
    """The sum over the processes, in place."""
    if _several():
        distributed.all_reduce(tensor)
    return tensor


def gathered(value: Any) -> list[Any]:
    """The value of each process, by rank."""
    if not _several():
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values
