"""What an epoch of fine-tuning leaves behind: a folder from which training goes on, and from which a model is made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch

if TYPE_CHECKING:
    from artylyze.training.loop import Loop, Sums
    from artylyze.training.student import Student

MODEL, OPTIMIZER, PROGRESS = "model.safetensors", "optimizer.pt", "progress.json"

TIE = 1e-4
"""What a nat of loss counts as, in accuracy: it decides between epochs that are right as often."""


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        epochs: that are done.
        curves: loss and accuracy per epoch, by series (`artylyze.drawing.plots.curves` names them).
        failed: image_id -> error code of the images that could not be read.
        score: of each epoch; the best one is kept.
    """

    epochs: int = 0
    curves: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    score: list[float] = field(default_factory=list)

    def note(self, tasks: Sequence[str], train: Sums, held_out: Sums) -> None:
        """Add an epoch of the `tasks`, in the order of the sums; there are no curves of what no image shows."""
        for part, sums in (("train", train), ("held out", held_out)):
            for place, task in enumerate(tasks):
                if not sums.images[place]:
                    continue
                self.curves.setdefault(f"{task} loss, {part}", []).append(sums.loss[place])
                self.curves.setdefault(f"{task} accuracy, {part}", []).append(sums.accuracy[place])
        self.score.append(score_of(held_out))
        self.epochs += 1


def score_of(held_out: Sums) -> float:
    """The share of right answers, the mean over the tasks that have held-out images; of equal ones the less loss.

    Loss alone kept epoch 2 of 6 on real paintings, with 0.587 of the held-out genres right, where epoch 5 had 0.636:
    of artists that it has not seen a network soon is too sure, and goes on learning. Calibration mends the former.
    """
    measurable = [task for task, images in enumerate(held_out.images) if images]
    score = sum(held_out.accuracy[task] - TIE * held_out.loss[task] for task in measurable)
    return score / max(1, len(measurable))


def save(folder: Path, loop: Loop, progress: Progress) -> None:
    """Write where a training stands into an empty folder."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in loop.student.state_dict().items()}
    safetensors.torch.save_file(tensors, folder / MODEL)
    torch.save(loop.state(), folder / OPTIMIZER)
    (folder / PROGRESS).write_text(json.dumps(asdict(progress)))


def read_progress(folder: Path) -> Progress:
    """How far the training was when it wrote `folder`."""
    return Progress(**json.loads((folder / PROGRESS).read_text()))


def restore(folder: Path, student: Student) -> None:
    """Give the network the tensors that it had."""
    student.load_state_dict(safetensors.torch.load_file(folder / MODEL))


def resume(folder: Path, loop: Loop) -> Progress:
    """Let a training go on from `folder`, and tell how far it was."""
    restore(folder, loop.student)
    loop.resume(torch.load(folder / OPTIMIZER, weights_only=True))
    return read_progress(folder)
