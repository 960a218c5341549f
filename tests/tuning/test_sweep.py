"""What a sweep is: its learning rates, its trials, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.errors import UsageError
from artylyze.tuning.sweep import TuneRequest, absolute, parse_range, parse_rates, parse_weights


def request_(**more: Any) -> TuneRequest:
    return TuneRequest("dataset.parquet", "sweep", **({"rates": (1e-3,)} | more))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_drawn_rates_lie_in_the_range_and_are_the_same_for_the_same_seed(seed: int, count: int) -> None:
    request = request_(rates=None, rate_range=(1e-5, 1e-2), trials=count, seed=seed)
    rates = request.learning_rates
    assert len(rates) == count
    assert list(rates) == sorted(rates)
    assert all(1e-5 <= rate <= 1e-2 for rate in rates)
    assert replace(request).learning_rates == rates


def test_rates_are_drawn_evenly_on_a_logarithmic_scale() -> None:
    rates = request_(rates=None, rate_range=(1e-5, 1e-1), trials=4000).learning_rates
    shares = [sum(low <= rate < 10 * low for rate in rates) / 4000 for low in (1e-5, 1e-4, 1e-3, 1e-2)]
    assert shares == pytest.approx([0.25] * 4, abs=0.03)


def test_frozen_has_a_trial_for_each_backbone_and_finetune_one_for_each_rate_too() -> None:
    frozen = request_(rates=(1e-3, 1e-4), backbones=("vgg16", "densenet121"))
    assert [(one.name, one.rates) for one in frozen.plan()] == [
        ("vgg16", (1e-4, 1e-3)),
        ("densenet121", (1e-4, 1e-3)),
    ]
    tuned = replace(frozen, mode="finetune")
    assert [one.name for one in tuned.plan()] == [
        "vgg16 at 0.0001",
        "densenet121 at 0.0001",
        "vgg16 at 0.001",
        "densenet121 at 0.001",
    ]
    assert len({one.folder for one in tuned.plan()}) == 4


def test_each_trial_says_where_its_weights_come_from() -> None:
    request = request_(
        mode="finetune", backbones=("vgg16", "cnn3", "densenet121"), weights={"vgg16": "random", "densenet121": "d.pth"}
    )
    assert [one.weights for one in request.plan()] == ["random", "from scratch", "d.pth"]
    assert [request.training(one).weights for one in request.plan()] == [
        "sweep/trials/vgg16-0.001/random.safetensors",
        None,
        "d.pth",
    ]


def test_what_makes_a_sweep_are_its_settings_and_not_where_or_on_what_it_runs() -> None:
    request = request_()
    found = request.settings("abc")
    assert json.loads(json.dumps(found)) == found
    assert replace(request, output="other", workers=2, device="cpu").settings("abc") == found
    assert replace(request, concurrent=4, cpus_per_trial=8, gpus_per_trial=0.5).settings("abc") == found
    assert replace(request, seed=1).settings("abc") != found
    assert request.settings("def") != found


def test_paths_are_absolute_and_addresses_stay() -> None:
    there = absolute(request_(weights={"vgg16": "w.pth"}, backbones=("vgg16",)))
    assert all(path.startswith("/") for path in (there.dataset, there.output, there.weights["vgg16"]))
    assert absolute(replace(there, dataset="s3://bucket/d.parquet")).dataset == "s3://bucket/d.parquet"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"output": ""}, "`output`"),
        ({"rates": None}, "one of the two"),
        ({"rate_range": (1e-5, 1e-2), "trials": 3}, "one of the two"),
        ({"rates": (0.0, 1e-3)}, "above 0"),
        ({"rates": (-1e-3,)}, "above 0"),
        ({"rates": (float("nan"),)}, "above 0"),
        ({"rates": ()}, "above 0"),
        ({"rates": (1e-3, 1e-3)}, "once"),
        ({"rates": None, "rate_range": (1e-2, 1e-5), "trials": 3}, "lower rate first"),
        ({"rates": None, "rate_range": (1e-5, 1e-2)}, "`trials=8`"),
        ({"rates": None, "rate_range": (1e-5, 1e-2), "trials": 0}, "`trials=8`"),
        ({"trials": 3}, "`trials"),
        ({"scheduler": "median"}, "asha or none"),
        ({"mode": "both"}, "frozen or finetune"),
        ({"backbones": ("vgg16", "vgg16")}, "once"),
        ({"weights": {"vgg16": "w.pth"}}, "no such backbone"),
        ({"backbones": ("cnn3",)}, "`mode='finetune'`"),
        ({"backbones": ("cnn3",), "mode": "finetune", "weights": {"cnn3": "random"}}, "leave it out of `weights`"),
        ({"epochs": 0}, "`epochs"),
        ({"concurrent": 0}, "`concurrent=0`: it must be at least 1"),
        ({"cpus_per_trial": 0}, "`cpus_per_trial=0`: it must be at least 1"),
        ({"gpus_per_trial": 0.0}, "give a fraction"),
        ({"gpus_per_trial": 1.5}, "give a fraction"),
        ({"gpus_per_trial": 1.0, "device": "cpu"}, "do not go together"),
        ({"gpus_per_trial": 1.0, "mode": "finetune"}, "give `workers`"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        replace(request_(), **wrong)


def test_the_command_line_is_parsed() -> None:
    assert parse_rates("1e-4, 5e-4") == (1e-4, 5e-4)
    assert parse_rates(None) is None
    assert parse_range("1e-5,1e-2") == (1e-5, 1e-2)
    assert parse_weights(["vgg16=a=b.pth", "resnet18=random"]) == {"vgg16": "a=b.pth", "resnet18": "random"}
    for wrong in (lambda: parse_rates("fast"), lambda: parse_range("1e-3"), lambda: parse_weights(["w.pth"])):
        with pytest.raises(UsageError):
            wrong()
