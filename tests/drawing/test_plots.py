"""Each plot is a PNG with room for its classes; what cannot be asserted was looked at."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from artylyze.drawing import plots


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    assert len(set(image.convert("L").get_flattened_data())) > 20, "it is empty"
    return image


def names(count: int) -> list[str]:
    return [f"{number}th period of Post-Painterly Abstraction" for number in range(count)]


def confusion(count: int) -> Image.Image:
    matrix = np.random.default_rng(0).integers(0, 50, (count, count))
    return opened(plots.confusion(f"style: {matrix.sum():,} images", matrix, names(count)))


def scores(count: int) -> list[plots.Score]:
    return [plots.Score(term, 10 + number, 0.5, 1 / (number + 1), 0.4) for number, term in enumerate(names(count))]


def test_a_confusion_matrix_grows_with_its_classes() -> None:
    two, fifteen, many = (confusion(count).width for count in (2, 15, 45))
    assert 600 < two < fifteen < many < 4000


def test_a_confusion_matrix_of_an_empty_class_is_drawn_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(plots.confusion("genre: 3 images", np.array([[3, 0], [0, 0]]), names(2)))


def test_a_chart_of_classes_grows_with_them() -> None:
    few, more = (opened(plots.classes(f"style: {count} classes", scores(count))).height for count in (4, 20))
    assert more - few > 16 * 40


def test_the_reliability_diagram_bears_empty_bins() -> None:
    bins = [(0.0, 0.5, 0, 0.0, 0.0), (0.5, 1.0, 12, 0.8, 0.75)]
    assert opened(plots.reliability("genre: 12 images", bins, 0.05)).size == (1120, 1120)


def test_coverage_marks_its_points() -> None:
    curve = [(0.5, 1.0), (1.0, 0.7)]
    plain = opened(plots.coverage("genre: 20 images", curve, {}))
    marked = opened(plots.coverage("genre: 20 images", curve, {"not flagged for review": (0.6, 0.9)}))
    assert plain.tobytes() != marked.tobytes()


def test_curves_of_one_epoch_and_of_no_accuracy_are_drawn() -> None:
    assert opened(plots.curves("1 epoch", {"genre loss, train": [0.5]})).size == (2000, 840)


def test_held_out_curves_differ_from_those_of_training() -> None:
    train = plots.curves("2 epochs", {"genre loss, train": [0.5, 0.4], "genre accuracy, train": [0.5, 0.6]})
    held = plots.curves("2 epochs", {"genre loss, held out": [0.5, 0.4], "genre accuracy, held out": [0.5, 0.6]})
    assert opened(train).tobytes() != opened(held).tobytes()


def test_a_sweep_of_one_trial_and_of_many_series_is_drawn() -> None:
    opened(plots.sweep("genre: 1 trial", {"cnn3": [(1e-3, 0.5)]}))
    opened(plots.sweep("genre: 2 trials that diverged", {"cnn3": [(1e-3, float("nan")), (1e-2, float("nan"))]}))
    opened(plots.sweep("genre: 18 trials", {f"net{n}": [(1e-4, 0.5), (1e-3, 0.1 * n)] for n in range(9)}))


def test_names_are_text_and_no_formulas() -> None:
    """As a formula `$x$` would lose its dollars, and an unbalanced one would be an error."""
    rows = [plots.Score(term, 3, 0.5, 0.5, 0.5) for term in (r"$\frac{1$", "$x$", "a_b^c", "<b>bold</b>")]
    opened(plots.classes("4 classes, $y$", rows))
    assert plots.classes("t", [plots.Score("$x$", 1, 1, 1, 1)]) != plots.classes("t", [plots.Score("x", 1, 1, 1, 1)])
