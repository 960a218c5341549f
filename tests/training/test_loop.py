"""The loop of fine-tuning: it learns, leaves out what has no label, and goes on exactly where it stood."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from artylyze.models.backbones import load_backbone
from artylyze.training.checkpoints import Progress, resume, save
from artylyze.training.loop import Loop, Part, Recipe, rate
from artylyze.training.student import Student

SIZE, COUNT = 64, 48
CPU = torch.device("cpu")
RECIPE = Recipe(learning_rate=3e-3, epochs=3, batch_size=8)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def part() -> Part:
    """Red or blue by the first task; dark or light by the second, which a third of the images have no label of."""
    random = np.random.default_rng(0)
    colour, light = random.integers(0, 2, COUNT), random.integers(0, 2, COUNT)
    pixels = random.integers(0, 40, (COUNT, SIZE, SIZE, 3))
    pixels[np.arange(COUNT), :, :, 2 * colour] += 150
    pixels[light == 1] += 60
    labels = [colour, np.where(np.arange(COUNT) % 3 == 0, -1, light)]
    places = np.arange(COUNT)
    return Part(pixels.astype(np.uint8), labels, places[:36], places[36:])


def student(name: str = "test_efficientnet") -> Student:
    torch.manual_seed(0)
    return Student(load_backbone(name, pretrained=False, size=SIZE), [2, 2])


def nothing(count: int) -> None:
    """Nobody wants to hear of it."""


def test_it_learns_every_task_and_judges_what_it_did_not_see(part: Part) -> None:
    loop = Loop(student(), part, replace(RECIPE, epochs=4), CPU)
    loop.measure()
    train = [loop.train(epoch, nothing) for epoch in range(4)]
    held = loop.evaluate(nothing)
    assert train[-1].loss < train[0].loss
    assert min(held.accuracy) > 0.9
    assert held.images == (12, 8)


def test_the_three_layer_cnn_learns_from_nothing(part: Part) -> None:
    recipe = replace(RECIPE, learning_rate=1e-3, epochs=10, from_scratch=True)
    loop = Loop(student("cnn3"), part, recipe, CPU)
    for epoch in range(10):
        loop.train(epoch, nothing)
    assert min(loop.evaluate(nothing).accuracy) > 0.9


def test_every_image_is_counted_once_an_epoch(part: Part) -> None:
    counted: list[int] = []
    loop = Loop(student(), replace_train(part, 35), RECIPE, CPU)
    sums = loop.train(0, counted.append)
    assert sum(counted) == 35
    assert loop.steps == 5
    assert sums.images[0] == 40  # all batches are full


def test_a_task_without_labels_teaches_nothing_and_breaks_nothing(part: Part) -> None:
    blank = Part(part.pixels, [part.labels[0], np.full(COUNT, -1)], part.train, part.held_out)
    loop = Loop(student(), blank, replace(RECIPE, weight_decay=0.0), CPU)
    before = [head.weight.clone() for head in loop.student.heads if isinstance(head, torch.nn.Linear)]
    loop.train(0, nothing)
    after = [head.weight for head in loop.student.heads if isinstance(head, torch.nn.Linear)]
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    held = loop.evaluate(nothing)
    assert (held.images[1], held.loss[1]) == (0, 0.0)


def test_an_image_without_a_label_of_a_task_does_not_move_its_head(part: Part) -> None:
    """The loss of a batch is that of its labelled images alone, weighted by class."""
    loop = Loop(student(), part, RECIPE, CPU)
    logits = [torch.randn(4, 2, generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    some = torch.tensor([[0, 1, 0, 1], [1, -1, 0, -1]])
    few = loop._loss([logits[0], logits[1][[0, 2]]], [some[0], some[1][[0, 2]]])  # type: ignore[arg-type]
    torch.testing.assert_close(loop._loss(logits, some), few)


def test_a_rare_class_weighs_more(part: Part) -> None:
    rare = Part(part.pixels, [np.array([1] + [0] * (COUNT - 1)), part.labels[1]], part.train, part.held_out)
    weights = Loop(student(), rare, RECIPE, CPU)._weights[0]
    assert weights[1] / weights[0] == pytest.approx(35**0.5)


def test_a_training_that_goes_on_equals_one_that_was_not_interrupted(part: Part, tmp_path: Path) -> None:
    whole = Loop(student(), part, RECIPE, CPU)
    whole.measure()
    progress = Progress(failed={"x": "missing"})
    for epoch in range(3):
        if epoch == 1:
            save(tmp_path, whole, progress)
        progress.note(["genre", "style"], whole.train(epoch, nothing), whole.evaluate(nothing))
    other = Loop(student(), part, RECIPE, CPU)
    found = resume(tmp_path, other)
    assert (found.epochs, found.failed) == (1, {"x": "missing"})
    for epoch in range(found.epochs, 3):
        found.note(["genre", "style"], other.train(epoch, nothing), other.evaluate(nothing))
    assert found == progress
    for name, tensor in whole.student.state_dict().items():
        assert torch.equal(tensor, other.student.state_dict()[name]), name


def test_mixed_precision_learns_as_full_precision_does(part: Part) -> None:
    """The first gradient has the direction of float32's, and the weights stay float32."""
    whole, half = (Loop(student(), part, replace(RECIPE, half=half), CPU) for half in (False, True))
    for loop in (whole, half):
        loop.measure()
        loop.train(0, nothing)
    before = student().state_dict()
    full, rounded = (
        torch.cat([(after - before[name]).flatten() for name, after in weights_of(loop)]) for loop in (whole, half)
    )
    assert torch.nn.functional.cosine_similarity(full, rounded, dim=0) > 0.5
    assert not torch.equal(full, rounded)
    assert all(tensor.dtype != torch.bfloat16 for tensor in half.student.state_dict().values())


def weights_of(loop: Loop) -> list[tuple[str, torch.Tensor]]:
    return [(name, tensor.detach()) for name, tensor in loop.student.named_parameters()]


@given(st.integers(1, 500))
def test_the_learning_rate_rises_then_falls_to_almost_nothing(steps: int) -> None:
    rates = [rate(step, steps) for step in range(steps)]
    top = rates.index(max(rates))
    assert max(rates) == 1
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert top <= max(1, round(0.1 * steps))
    assert min(rates) > 0


def replace_train(part: Part, count: int) -> Part:
    return Part(part.pixels, part.labels, part.train[:count], part.held_out)
