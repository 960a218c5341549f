"""Each plot is a PNG with room for its classes; what cannot be asserted was looked at."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from artylyze.drawing import plots
from tests.fixtures import texts


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    assert len(set(image.convert("L").get_flattened_data())) > 20, "it is empty"
    return image


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


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
    assert opened(plots.reliability("genre: 12 images", bins, 0.05)).size == (1280, 1160)


def test_reliability_bars_say_how_many_images_they_stand_for(drawn: list[Figure]) -> None:
    plots.reliability(
        "genre", [(0.0, 0.5, 0, 0.0, 0.0), (0.5, 0.9, 3, 0.8, 1.0), (0.9, 1.0, 1200, 0.95, 0.9)], 0.05, 20
    )
    top, bottom = drawn[0].axes
    assert texts(bottom) == ["0", "3", "1,200"]
    assert [bool(bar.get_hatch()) for bar in top.patches] == [False, True]
    shown = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert "accuracy, of fewer than 20 images" in shown


def test_axes_of_shares_begin_at_zero(drawn: list[Figure]) -> None:
    plots.coverage("genre", [(0.5, 0.99), (1.0, 0.97)], {})
    plots.sweep("genre", {"vgg16": [(1e-4, 0.97, 0.01), (1e-3, 0.99, 0.01)]})
    plots.curves("genre", {"genre loss, train": [9.0, 8.9], "genre accuracy, train": [0.97, 0.98]})
    plots.histories("genre", [plots.History("vgg16", "vgg16 at 0.1", [9.0, 8.9], [0.97, 0.98], best=True)])
    assert [axes.get_ylim()[0] for figure in drawn for axes in figure.axes] == [0] * 6


def test_coverage_marks_its_points() -> None:
    curve = [(0.5, 1.0), (1.0, 0.7)]
    plain = opened(plots.coverage("genre: 20 images", curve, {}))
    marked = opened(plots.coverage("genre: 20 images", curve, {"not flagged for review": (0.6, 0.9)}))
    assert plain.tobytes() != marked.tobytes()


def test_curves_of_one_epoch_and_of_no_accuracy_are_drawn() -> None:
    assert opened(plots.curves("1 epoch", {"genre loss, train": [0.5]})).size == (2000, 840)


def test_curves_of_one_epoch_say_their_values_and_that_there_is_no_course(drawn: list[Figure]) -> None:
    plots.curves("1 epoch", {"genre accuracy, train": [0.5], "genre accuracy, held out": [0.25]})
    axes = drawn[0].axes[1]
    assert "only one" in axes.get_xlabel()
    assert legend(axes) == ["genre, train: 0.500", "genre, held out: 0.250"]


def test_all_models_curves_are_in_one_picture_the_best_of_each_with_a_name(drawn: list[Figure]) -> None:
    runs = [
        plots.History(model, f"{model} at {rate}", [2.0, 1.0], [0.3, 0.5 - rate], best=rate == 0.1)
        for model in ("cnn3", "vgg16")
        for rate in (0.1, 0.2)
    ]
    opened(plots.histories("Curves of all models", runs))
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == [
        "cnn3 at 0.1",
        "vgg16 at 0.1",
        "thin lines: their other learning rates",
    ]
    assert [len(axes.lines) for axes in drawn[0].axes] == [4, 4]
    opened(plots.histories("No curves", []))


def test_a_sweeps_bars_are_95_percent_of_the_error(drawn: list[Figure]) -> None:
    plots.sweep("genre", {"vgg16": [(1e-3, 0.5, 0.1)]})
    (container,) = drawn[0].axes[0].containers
    _, (_, _), (bars,) = container
    assert bars.get_segments()[0][:, 1] == pytest.approx([0.5 - 0.196, 0.5 + 0.196])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Post-Impressionism", "Post-Impressionism"),
        (
            "mixture cluster 7: Northern Renaissance, Post-Impressionism",
            "mixture cluster 7:\nNorthern Renaissance,\nPost-Impressionism",
        ),
        ("a b " * 40, "a b a b a b a b a b a b\na b a b a b a b a b a b\na b a b a b a b a b a..."),
        ("", ""),
    ],
)
def test_names_are_wrapped_and_only_what_fits_no_line_is_cut(name: str, expected: str) -> None:
    assert plots.wrapped(name, 24, 3) == expected


def test_held_out_curves_differ_from_those_of_training() -> None:
    train = plots.curves("2 epochs", {"genre loss, train": [0.5, 0.4], "genre accuracy, train": [0.5, 0.6]})
    held = plots.curves("2 epochs", {"genre loss, held out": [0.5, 0.4], "genre accuracy, held out": [0.5, 0.6]})
    assert opened(train).tobytes() != opened(held).tobytes()


def test_a_sweep_of_one_trial_and_of_many_series_is_drawn() -> None:
    nan = float("nan")
    opened(plots.sweep("genre: 1 trial", {"cnn3": [(1e-3, 0.5, 0.02)]}))
    opened(plots.sweep("genre: 2 trials that diverged", {"cnn3": [(1e-3, nan, nan), (1e-2, nan, nan)]}))
    opened(plots.sweep("genre: 18 trials", {f"net{n}": [(1e-4, 0.5, 0.03), (1e-3, 0.1 * n, 0.03)] for n in range(9)}))


def test_names_are_text_and_no_formulas() -> None:
    """As a formula `$x$` would lose its dollars, and an unbalanced one would be an error."""
    rows = [plots.Score(term, 3, 0.5, 0.5, 0.5) for term in (r"$\frac{1$", "$x$", "a_b^c", "<b>bold</b>")]
    opened(plots.classes("4 classes, $y$", rows))
    assert plots.classes("t", [plots.Score("$x$", 1, 1, 1, 1)]) != plots.classes("t", [plots.Score("x", 1, 1, 1, 1)])
