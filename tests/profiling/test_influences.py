"""Which clusters run through a record, and which pictures are only another photograph of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

from artylyze.catalog.snapshot import embeddings
from artylyze.cli.app import app
from artylyze.clustering.store import read_clusters
from artylyze.errors import InputError, UsageError
from artylyze.profiling.columns import Column, standing
from artylyze.profiling.influence_files import columns_beside, file_name, picture, write_influences
from artylyze.profiling.influences import ALONE, NEAREST, Influences, _nearest, describe, influences
from artylyze.profiling.works import read_works
from tests.pictures import MARKUP, Gallery


def of(gallery: Gallery, record: str, threshold: float = 0.05) -> Influences:
    clusters = read_clusters(gallery.clusters)
    return influences(clusters, read_works(clusters), record, threshold)


def ids(found: Influences, rows: tuple[int, ...] | list[int]) -> list[str]:
    return [found.works.table.column("image_id")[row].as_py() for row in rows]


def test_a_work_between_two_kinds_has_both(gallery: Gallery) -> None:
    found = of(gallery, "between")
    assert [(one.profile.cluster, round(one.share, 2)) for one in found.found] == [(0, 0.5), (1, 0.5)]
    assert found.rest == pytest.approx(0, abs=0.01)
    assert ids(found, found.found[0].typical)[0] == "k0-0.png"


def test_the_threshold_decides(gallery: Gallery) -> None:
    found = of(gallery, "between", 0.6)
    assert found.found == ()
    assert found.rest == 1
    assert "100.0%  clusters below 60% each" in describe(found)


def test_another_photograph_is_no_influence(gallery: Gallery) -> None:
    found = of(gallery, "k0-1")
    assert ids(found, list(found.duplicates)) == ["twin.png"]
    assert "twin.png" not in ids(found, found.found[0].typical)
    assert "k0-1.png" not in ids(found, found.found[0].typical)
    assert "perhaps the same work photographed twice: twin, A twin" in describe(found)


def test_all_images_of_a_record_count(gallery: Gallery) -> None:
    found = of(gallery, "k1-0")
    assert ids(found, found.rows) == ["k1-0-verso.png", "k1-0.png"]
    assert found.shares.shape == (2, 3)
    assert found.found[0].share == pytest.approx(found.shares.mean(axis=0).max())
    assert not set(ids(found, found.found[0].typical)) & {"k1-0-verso.png", "k1-0.png"}


def test_an_images_own_id_serves_too(gallery: Gallery) -> None:
    assert ids(of(gallery, "k1-0-verso.png"), of(gallery, "k1-0-verso.png").rows) == ["k1-0-verso.png"]


def test_what_cannot_be_answered_is_told(gallery: Gallery) -> None:
    with pytest.raises(InputError, match="No image of a record 'nobody'"):
        of(gallery, "nobody")
    with pytest.raises(InputError, match="could not be read"):
        of(gallery, "broken")
    with pytest.raises(UsageError, match="between 0 and 1"):
        of(gallery, "between", 5)


def test_picture_and_json_are_written(gallery: Gallery, tmp_path: Path) -> None:
    files = write_influences(of(gallery, "k0-0"), str(tmp_path))
    assert files == ["influences-k0-0.png", "influences-k0-0.json"]
    with Image.open(tmp_path / files[0]) as picture:
        assert picture.width == 2400
    found = json.loads((tmp_path / files[1]).read_text())
    assert found["images"][0]["title"] == MARKUP, "a title is data"
    assert found["influences"][0]["cluster"] == 0


@pytest.mark.parametrize("record", ["../../etc/passwd", "a/b", "", ".hidden", "<b>", "Ölbild 7", "x" * 300])
def test_any_record_gives_a_file_name(record: str) -> None:
    name = file_name(record)
    assert name.startswith("influences-")
    assert not set(name) & set("/\\<> ")
    assert len(name) < 80


def test_the_command(gallery: Gallery, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["influences", gallery.clusters, "between", "-o", str(tmp_path), "--json"])
    assert result.exit_code == 0
    assert [one["cluster"] for one in json.loads(result.stdout)["influences"]] == [0, 1]


def test_the_command_tells_of_the_columns_that_were_asked_for(gallery: Gallery, tmp_path: Path) -> None:
    command = ["influences", gallery.clusters, "between", "-o", str(tmp_path), "--json", "--columns", "artist"]
    found = json.loads(CliRunner().invoke(app, command).stdout)["influences"]
    assert {table["column"] for one in found for table in one["distributions"]} == {"artist"}


def test_neighbours_are_nearest_by_cosine(gallery: Gallery) -> None:
    found = of(gallery, "k1-1")
    near = _nearest(found.works, found.rows)
    assert len(near) == NEAREST
    ids, matrix = embeddings(gallery.catalog)
    assert ids == found.works.table.column("image_id").to_pylist()
    unit = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    cosines = unit @ unit[found.rows[0]]
    assert cosines[near].min() >= np.sort(cosines)[-NEAREST - 1] - 1e-6


def test_where_one_cluster_has_a_work_to_itself_the_picture_and_the_terminal_say_so(
    gallery: Gallery, drawn: list[Figure]
) -> None:
    shares = np.array(read_clusters(gallery.clusters).assignments.column("responsibilities").to_pylist())
    sure = shares.max(axis=1) >= ALONE
    table = of(gallery, "between").works.table
    found = of(gallery, next(table.column("record_id")[int(row)].as_py() for row in np.flatnonzero(sure)))
    assert found.undivided == pytest.approx(sure.mean())
    assert found.alone is not None
    assert f"{sure.mean():.0%} of the works" in found.alone
    assert found.alone in describe(found)
    picture(found)
    said = [axes.get_xlabel().replace("\n", " ") for part in drawn[0].subfigs[0].subfigs for axes in part.axes]
    assert found.alone in said
    assert of(gallery, "between").alone is None


def test_five_columns_stand_beside_a_cluster_those_of_the_study_first(gallery: Gallery) -> None:
    found = of(gallery, "between")
    one = found.found[0]
    assert [panel.name for panel in columns_beside(found, one)] == ["artist", "genre"]
    names = (
        "medium",
        "genre (predicted)",
        "style (predicted)",
        "genre",
        "artist",
        "date (half-century)",
        "nationality",
    )
    nothing = np.full(found.works.table.num_rows, -1, np.int32)
    columns = tuple(Column(name, "predicted" if "(p" in name else "given", ("a",), nothing) for name in names)
    columns = tuple(sorted(columns, key=lambda column: standing(column.name, column.kind)))
    works = replace(found.works, described=replace(found.works.described, columns=columns))
    beside = columns_beside(replace(found, works=works), one)
    assert [panel.name for panel in beside] == [
        "nationality",
        "date (half-century)",
        "artist",
        "genre",
        "style (predicted)",
    ]
    assert [panel.known for panel in beside if panel.name not in ("artist", "genre")] == [0, 0, 0]


def test_names_of_clusters_are_whole_in_the_picture(gallery: Gallery, drawn: list[Figure]) -> None:
    found = of(gallery, "between")
    long = tuple(
        replace(mark, share=replace(mark.share, term=term))
        for mark, term in zip(
            [found.found[0].profile.marks[0]] * 3,
            ("Northern Renaissance", "mythological painting", "Post-Impressionism"),
            strict=True,
        )
    )
    named = replace(found.found[0], profile=replace(found.found[0].profile, marks=long))
    picture(replace(found, found=(named, *found.found[1:])))
    labels = [
        label.get_text().replace("\n", " ")
        for part in drawn[0].subfigs[0].subfigs
        for axes in part.axes
        for label in axes.get_yticklabels()
    ]
    assert "mixture cluster 0: Northern Renaissance, mythological painting, Post-Impressionism" in labels


def test_the_strongest_clusters_are_drawn_whatever_the_threshold(gallery: Gallery) -> None:
    assert len(of(gallery, "between", 0).found) == 3
    assert picture(of(gallery, "between", 0)).startswith(b"\x89PNG")
