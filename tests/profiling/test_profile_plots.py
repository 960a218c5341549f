"""What is written into the pictures of clusters: how many works are behind a share, and names as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from artylyze.collection.taxonomy import GENRES, STYLES
from artylyze.profiling.profile_plots import Bar, Panel, cluster_plot, column_plot, draw_panel
from tests.fixtures import texts


def drawn_panel(panel: Panel, rows: int = 5) -> Any:
    axes = Figure().subplots()
    draw_panel(axes, panel, rows)
    return axes


def test_a_panel_says_how_many_works_have_a_value() -> None:
    axes = drawn_panel(Panel("style", 12, 300, [Bar("Cubism", 12, 1.0, 0.1, 10.0, True)]))
    assert axes.get_title(loc="left") == "style: 12 of 300"


def test_a_bar_of_a_few_works_has_no_lift() -> None:
    bars = [Bar("Cubism", 1200, 0.9, 0.1, 9.04, True), Bar("Fauvism", 2, 0.1, 0.01, None, False)]
    assert texts(drawn_panel(Panel("style", 1202, 1300, bars))) == ["1,200, x 9.0", "2"]


def test_a_panel_without_a_value_is_hatched_and_says_so() -> None:
    axes = drawn_panel(Panel("nationality", 0, 40, ()))
    assert texts(axes) == ["no work has a value"]
    assert [bool(patch.get_hatch()) for patch in axes.patches] == [True]
    assert axes.get_title(loc="left") == "nationality: 0 of 40"


def test_no_name_of_the_taxonomy_is_cut() -> None:
    for terms in (GENRES, STYLES):
        bars = [Bar(term.name, 5, 0.1, 0.1, 1.0, False) for term in terms]
        axes = drawn_panel(Panel("style", 100, 100, bars), len(bars))
        shown = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
        assert [name.replace("- ", "-") for name in shown] == [term.name for term in terms]


def test_a_cluster_without_a_value_is_a_hatched_row(drawn: list[Figure]) -> None:
    shares, none = np.array([[1.0, 0.0], [0.0, 0.0]]), np.zeros((2, 2), bool)
    column_plot("style", ["cluster 0 (3 of 4)", "cluster 1 (0 of 9)"], ["a", "b"], shares, none, np.array([3, 0]))
    (hatched,) = (patch for patch in drawn[0].axes[0].patches if patch.get_hatch())
    assert isinstance(hatched, Rectangle)
    assert hatched.get_y() == pytest.approx(0.54)


def test_the_legend_says_what_the_numbers_are(drawn: list[Figure]) -> None:
    cluster_plot("Cluster 0", [Panel("style", 3, 3, [Bar("Cubism", 3, 1.0, 0.1, 10.0, True)])])
    (legend,) = drawn[0].legends
    said = " ".join(text.get_text() for text in legend.get_texts())
    assert "works that have a value" in said
    assert "at each bar: works" in said
