"""What a training is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from artylyze.errors import UsageError
from artylyze.storage import check_output
from artylyze.storage.staging import local_path

Mode = Literal["frozen", "finetune"]

LEARNING_RATES: dict[Mode, float] = {"frozen": 5e-4, "finetune": 1e-4}
EPOCHS: dict[Mode, int] = {"frozen": 20, "finetune": 10}


@dataclass(frozen=True)
class CommonOptions:
    """What a training and a sweep of trainings are both asked.

    Attributes:
        dataset: the dataset, a Parquet file that `curate` wrote.
        output: where the bundle or the sweep goes: a folder or an address.
        tasks: which of the dataset's tasks to learn; None: all.
        mode: `frozen` trains heads on the features of a backbone that stays as it is, `finetune` trains all of it.
        epochs: times that every image is seen; None: `EPOCHS`.
        batch_size: images for each step.
        image_size: side of the square that the model sees, pixels; None: that of the bundle to begin with, else 180
            for finetune and the backbone's own for frozen.
        taps: feature stages of the backbone whose channel statistics join the features.
        workers: processes that train, in finetune mode.
        device: auto, cpu or cuda.
        precision_target: precision that what is not flagged for review shall have, above 0, at most 1.
        seed: of every random choice.
    """

    dataset: str
    output: str
    tasks: tuple[str, ...] | None = None
    mode: Mode = "frozen"
    epochs: int | None = None
    batch_size: int = 32
    image_size: int | None = None
    taps: tuple[int, ...] = ()
    workers: int = 1
    device: str = "auto"
    precision_target: float = 0.85
    seed: int = 0


@dataclass(frozen=True)
class TrainRequest(CommonOptions):
    """One training: from a dataset to a bundle, a folder that is absent or empty.

    Raises UsageError for what does not go together.

    Attributes:
        backbone: timm's name, or cnn3; None: that of `init_from`, else EfficientNet-Lite0, which needs no network.
        weights: a file of weights for the backbone; None: those that the backbone is published with.
        lr: learning rate; None: `LEARNING_RATES`.
        init_from: folder of a bundle whose backbone is the beginning.
        augment: whether heads of a frozen backbone also learn from each image mirrored and a little rotated, as a
            network that is fine-tuned always does; it takes twice as long to embed.
        label_smoothing: share of each label that is spread over all classes, 0 to below 1.
        weight_decay: AdamW's.
        folds: parts that the training data is cut into for held-out scores.
    """

    backbone: str | None = None
    weights: str | None = None
    lr: float | None = None
    init_from: str | None = None
    augment: bool = False
    label_smoothing: float = 0.0
    weight_decay: float = 0.01
    folds: int = 5

    def __post_init__(self) -> None:
        if not self.output:
            raise UsageError("Say where the bundle goes: `output`.")
        check_output(self.output)
        if self.mode not in get_args(Mode):
            raise UsageError(f"`mode={self.mode!r}`: choose frozen or finetune.")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"`device={self.device!r}`: choose auto, cpu or cuda.")
        if self.tasks is not None and (not self.tasks or len(set(self.tasks)) != len(self.tasks)):
            raise UsageError("`tasks`: name each task once, such as genre,style.")
        if self.weights is not None and self.init_from is not None:
            raise UsageError("`weights` and `init_from` are two beginnings of one backbone: give one of them.")
        if self.mode == "frozen" and self.backbone == "cnn3" and self.init_from is None and self.weights is None:
            raise UsageError("cnn3 begins with random weights, which frozen would stay random: give `mode='finetune'`.")
        if self.augment and self.mode == "finetune":
            raise UsageError(
                "`augment` is for frozen backbones: a network that is fine-tuned sees varied images anyway."
            )
        if self.weights is not None:
            local_path(self.weights, "`weights`")
        self._check_numbers()

    def _check_numbers(self) -> None:
        wrong = {
            "`lr` must be above 0": self.lr is not None and not 0 < self.lr < float("inf"),
            "`epochs` must be at least 1": self.epochs is not None and self.epochs < 1,
            "`batch_size` must be at least 1": self.batch_size < 1,
            "`image_size` must be at least 1": self.image_size is not None and self.image_size < 1,
            "`workers` must be at least 1": self.workers < 1,
            "`precision` must lie above 0 and at most at 1": not 0 < self.precision_target <= 1,
            "`label_smoothing` must lie in 0 to below 1": not 0 <= self.label_smoothing < 1,
            "`weight_decay` must be at least 0": not 0 <= self.weight_decay < float("inf"),
            "the number of folds must be at least 2": self.folds < 2,
            "`taps` must name stages by numbers from 0": any(tap < 0 for tap in self.taps),
        }
        for sentence, is_wrong in wrong.items():
            if is_wrong:
                raise UsageError(f"{sentence}.")

    @property
    def learning_rate(self) -> float:
        """The learning rate that is used."""
        return LEARNING_RATES[self.mode] if self.lr is None else self.lr

    @property
    def epoch_count(self) -> int:
        """The number of epochs that are trained."""
        return EPOCHS[self.mode] if self.epochs is None else self.epochs


def parse_taps(text: str | None) -> tuple[int, ...]:
    """`1,2,3` as the command line gives it -> the numbers of stages. Raises UsageError for what is no number."""
    try:
        return () if text is None else tuple(int(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"`taps={text!r}`: give numbers of stages, for example `taps=(1, 2, 3)`.") from None
