"""What a sweep is asked to do: which models, at which learning rates; and the trials that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from artylyze.errors import UsageError
from artylyze.storage import check_output, is_url
from artylyze.training.request import CommonOptions, TrainRequest

Scheduler = Literal["asha", "none"]

RANDOM = "random"
"""Said of a backbone in place of a file of weights: it begins with random ones, to try the path and no more."""

DIGITS = 4
"""Significant digits of a learning rate that was drawn."""

_UNIMPORTANT = (  # the same sweep whatever they are
    *("output", "workers", "device", "dataset"),
    *("concurrent", "cpus_per_trial", "gpus_per_trial"),
)


@dataclass(frozen=True)
class Trial:
    """A training of one backbone, at all learning rates at once in frozen mode, at one in finetune mode.

    Attributes:
        number: among the trials of the sweep.
        model: the backbone's name.
        weights: `published`, `random`, `from scratch` or the file they come from.
        rates: learning rates.
        folder: where all that it leaves lies.
    """

    number: int
    model: str
    weights: str
    rates: tuple[float, ...]
    folder: Path

    @property
    def name(self) -> str:
        """What a terminal calls it."""
        return self.model if len(self.rates) > 1 else f"{self.model} at {self.rates[0]:g}"


@dataclass(frozen=True)
class TuneRequest(CommonOptions):
    """One sweep over learning rates and backbones. Raises UsageError for what does not go together.

    Its output is absent, empty or that of the same sweep, which then goes on.

    Attributes:
        rates: learning rates to try.
        rate_range: lowest and highest learning rate: `trials` of them are drawn, evenly on a logarithmic scale.
        trials: number of learning rates that are drawn.
        backbones: timm's names, or cnn3; none: EfficientNet-Lite0.
        weights: backbone -> file of its weights, or `random`; others begin with those that are published.
        scheduler: `asha` stops trials that do worse than others did at the same epoch (finetune only), `none` lets all
            end; None: asha for finetune.
        concurrent: trials at the same time; None: as many as the machines that are there have room for. A cluster that
            grows with its work has none at first: one.
        cpus_per_trial: cores that a trial reserves; None: those of a machine, or its share of them. Where no machine is
            there yet: 1.
        gpus_per_trial: GPUs that a trial reserves in frozen mode, a fraction or a whole number; None: 1 if there are
            GPUs or `device` is cuda. Fine-tuning takes one for each of its `workers`.
    """

    rates: tuple[float, ...] | None = None
    rate_range: tuple[float, float] | None = None
    trials: int | None = None
    backbones: tuple[str, ...] = ()
    weights: Mapping[str, str] = field(default_factory=dict)
    scheduler: Scheduler | None = None
    concurrent: int | None = None
    cpus_per_trial: int | None = None
    gpus_per_trial: float | None = None

    def __post_init__(self) -> None:
        if not self.output:
            raise UsageError("Say where the sweep goes: `output`.")
        check_output(self.output)
        if self.scheduler is not None and self.scheduler not in get_args(Scheduler):
            raise UsageError(f"`scheduler={self.scheduler!r}`: choose asha or none.")
        self._check_rates()
        self._check_resources()
        if len(set(self.backbones)) != len(self.backbones):
            raise UsageError("`backbone`: name each backbone once, such as vgg16,densenet121.")
        if foreign := [name for name in self.weights if name not in self.models]:
            raise UsageError(f"`weights` of {foreign[0]}: the sweep has no such backbone, name it with `backbone`.")
        if self.weights.get("cnn3") == RANDOM:
            raise UsageError("cnn3 learns from random weights as it is: leave it out of `weights`.")
        for trial in self.plan():
            self.training(trial)

    def _check_rates(self) -> None:
        if (self.rates is None) == (self.rate_range is None):
            raise UsageError("Give the learning rates with `lr`, or a range of them with `lr_range`: one of the two.")
        if self.rate_range is None and self.trials is not None:
            raise UsageError("`trials` is the number of rates drawn from `lr_range`: leave it out with `lr`.")
        if self.rate_range is not None and (self.trials is None or self.trials < 1):
            raise UsageError("`lr_range`: say how many learning rates to draw from it, for example `trials=8`.")
        given = self.rates if self.rate_range is None else self.rate_range
        if not given or any(not 0 < rate < math.inf for rate in given):
            raise UsageError("Learning rates must be numbers above 0.")
        if self.rate_range is not None and not self.rate_range[0] < self.rate_range[1]:
            raise UsageError("`lr_range`: give the lower rate first, for example `lr_range=(1e-5, 1e-2)`.")
        if self.rates is not None and len(set(self.rates)) != len(self.rates):
            raise UsageError("`lr`: give each learning rate once.")

    def _check_resources(self) -> None:
        for name in ("concurrent", "cpus_per_trial"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise UsageError(f"`{name}={number}`: it must be at least 1.")
        if (gpus := self.gpus_per_trial) is None:
            return
        if self.mode == "finetune":
            raise UsageError("`gpus_per_trial`: fine-tuning takes a GPU for each of its processes, give `workers`.")
        if self.device == "cpu":
            raise UsageError(f"`gpus_per_trial={gpus}` and `device='cpu'` do not go together.")
        if not 0 < gpus < math.inf or (gpus > 1 and gpus != int(gpus)):
            raise UsageError(f"`gpus_per_trial={gpus}`: give a fraction such as 0.5, or a whole number.")

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the backbones."""
        return self.backbones or ("tf_efficientnet_lite0",)

    @property
    def halving(self) -> bool:
        """Whether trials that do badly are stopped."""
        return self.mode == "finetune" and self.scheduler != "none"

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """The learning rates that every backbone is trained at, ascending; the same for the same seed."""
        if self.rate_range is None:
            return tuple(sorted(self.rates or ()))
        low, high = np.log(self.rate_range)
        drawn = np.exp(np.random.default_rng(self.seed).uniform(low, high, self.trials))
        return tuple(sorted(float(f"{rate:.{DIGITS}g}") for rate in drawn))

    def plan(self) -> list[Trial]:
        """The trials, in the order in which they begin."""
        rates = self.learning_rates
        parts = [rates] if self.mode == "frozen" else [(rate,) for rate in rates]
        folder = Path(self.output, "trials")
        plan: list[Trial] = []
        for part in parts:
            for model in self.models:
                name = model if self.mode == "frozen" else f"{model}-{part[0]:g}"
                weights = self.weights.get(model, "from scratch" if model == "cnn3" else "published")
                plan.append(Trial(len(plan), model, weights, part, folder / name.replace("/", "-").replace(":", "-")))
        return plan

    def training(self, trial: Trial) -> TrainRequest:
        """What a trial asks of a training; in frozen mode at the first of its rates."""
        given = self.weights.get(trial.model)
        random = str(trial.folder / f"{RANDOM}.safetensors")
        common = {option.name: getattr(self, option.name) for option in fields(CommonOptions)}
        return TrainRequest(
            **(common | {"output": str(trial.folder / "bundle")}),
            backbone=trial.model,
            weights=random if given == RANDOM else given,
            lr=trial.rates[0],
        )

    def settings(self, digest: str) -> dict[str, Any]:
        """What makes it this sweep and no other, as JSON values; `digest` is that of the dataset."""
        asked = {name: value for name, value in asdict(self).items() if name not in _UNIMPORTANT}
        asked |= {name: list(value) for name, value in asked.items() if isinstance(value, tuple)}
        resolved = {
            "rates": list(self.learning_rates),
            "backbones": list(self.models),
            "scheduler": "asha" if self.halving else "none",
            "epochs": self.training(self.plan()[0]).epoch_count,
        }
        return {"dataset": digest, **asked, **resolved}


def absolute(request: TuneRequest) -> TuneRequest:
    """The same request with paths that hold wherever a trial runs."""
    dataset = request.dataset if is_url(request.dataset) else str(Path(request.dataset).absolute())
    weights = {name: file if file == RANDOM else str(Path(file).absolute()) for name, file in request.weights.items()}
    return replace(request, dataset=dataset, output=str(Path(request.output).absolute()), weights=weights)


def parse_rates(text: str | None, option: str = "lr") -> tuple[float, ...] | None:
    """`1e-4,1e-3` as the command line gives it -> the numbers. Raises UsageError for what is no number."""
    try:
        return None if text is None else tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"`{option}={text!r}`: give numbers, such as 1e-4,1e-3.") from None


def parse_range(text: str | None) -> tuple[float, float] | None:
    """`1e-5,1e-2` as the command line gives it -> two numbers. Raises UsageError for anything else."""
    rates = parse_rates(text, "lr_range")
    if rates is None:
        return None
    if len(rates) != 2:
        raise UsageError(
            f"`lr_range={text!r}`: give the lowest and the highest rate, for example `lr_range=(1e-5, 1e-2)`."
        )
    return rates[0], rates[1]


def parse_weights(texts: Sequence[str]) -> dict[str, str]:
    """`vgg16=vgg16.safetensors` as the command line gives it -> backbone -> file. Raises UsageError for other forms."""
    pairs = [text.partition("=") for text in texts]
    if wrong := [text for text, (name, _, file) in zip(texts, pairs, strict=True) if not (name and file)]:
        raise UsageError(f"`weights={wrong!r}`: give BACKBONE=FILE, or BACKBONE=random.")
    return {name: file for name, _, file in pairs}
