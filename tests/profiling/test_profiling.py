"""From a clustering on disk to tables, plots and sheets; what museums write is data."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from artylyze.cli.app import app
from artylyze.clustering.store import read_clusters
from artylyze.duplication.store import GROUP_SCHEMA
from artylyze.errors import InputError, StorageError, UsageError
from artylyze.profiling.influences import influences
from artylyze.profiling.profile_files import drawn_terms, write_profiles
from artylyze.profiling.profiling import NO_DESCRIPTION, make_profiles
from artylyze.profiling.works import read_works
from tests.fixtures import Quiet
from tests.pictures import FORMULA, Gallery, Painted, clustered, collection, painting, paintings


@pytest.fixture(scope="module")
def written(gallery: Gallery) -> Path:
    write_profiles(make_profiles(gallery.clusters), Quiet())
    return Path(gallery.clusters, "profiles", "kmeans")


def rows_of(path: Path) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))


def test_every_cluster_has_its_terms_works_and_pictures(written: Path) -> None:
    found = json.loads((written / "profiles.json").read_text())
    assert found["columns"] == ["artist", "genre"]
    assert set(found["left_out"]) == {"number", "title"}
    first = found["profiles"][0]
    assert {mark["share"]["term"] for mark in first["marks"]} == {"Anna Ancher", "portrait"}
    assert first["typical"][0]["image_id"] == "k0-0.png"
    names = {path.name for path in written.iterdir()}
    assert {"clusters.csv", "clusters.parquet", "distributions.csv", "works.csv", "column-01-artist.png"} <= names
    assert {"cluster-000-works.png", "cluster-002-columns.png"} <= names
    for path in written.glob("*.png"):
        Image.open(path).verify()


def test_periods_are_drawn_in_the_order_of_time_and_other_terms_by_their_works() -> None:
    assert drawn_terms(["1850-1899", "950-999", "1900-1949"], np.array([9, 1, 5])) == [1, 0, 2]
    assert drawn_terms(["Paris", "950-999", "London"], np.array([1, 2, 3])) == [2, 1, 0]


def test_the_three_forms_of_the_table_agree(written: Path) -> None:
    table = pq.read_table(written / "clusters.parquet").to_pylist()
    sheet = rows_of(written / "clusters.csv")
    data = json.loads((written / "profiles.json").read_text())["profiles"]
    images = [one["images"] for one in table]
    assert images == [int(one["images"]) for one in sheet] == [one["images"] for one in data]
    assert sum(images) == len([one for one in paintings().values() if one.pixels is not None])


def test_no_cell_is_a_formula(written: Path) -> None:
    for name in ("clusters", "distributions", "works"):
        assert not any(
            cell.startswith(("=", "+", "@")) for row in rows_of(written / f"{name}.csv") for cell in row.values()
        )
    assert FORMULA in pq.read_table(written / "distributions.parquet").column("term").to_pylist(), "as data it is whole"


def test_the_mixture_has_profiles_of_its_own(gallery: Gallery) -> None:
    found = make_profiles(gallery.clusters, algorithm="gmm")
    assert found.algorithm == "gmm"
    assert found.works.table.column("image_id")[found.profiles[0].typical[0]].as_py() == "k0-0.png"


def test_more_labels_can_be_given(gallery: Gallery, tmp_path: Path) -> None:
    table = tmp_path / "more.csv"
    table.write_text(
        "file,Technique\n" + "".join(f"k{n % 3}-{n}.png,{'oil' if n % 3 else 'pastel'}\n" for n in range(8))
    )
    found = make_profiles(gallery.clusters, labels=[str(table)])
    assert "Technique" in [column.name for column in found.works.described.columns]


def test_without_metadata_works_are_shown_and_a_sentence_says_why(tmp_path: Path) -> None:
    images = {f"{n}.png": Painted(painting(n), (10.0 * (n % 2), 0, 0.1 * n)) for n in range(5)}
    found = make_profiles(clustered(tmp_path, collection(tmp_path, images), images))
    files = write_profiles(found, Quiet())
    assert found.note == NO_DESCRIPTION
    assert "profiles/kmeans/cluster-000-works.png" in files
    assert not any("columns" in name for name in files)


def test_pictures_of_earlier_profiles_go_and_nothing_else(gallery: Gallery, tmp_path: Path) -> None:
    clusters = tmp_path / "clusters"
    shutil.copytree(gallery.clusters, clusters)
    folder = clusters / "profiles" / "kmeans"
    write_profiles(make_profiles(str(clusters)), Quiet())
    mine = folder / "column-notes.png"
    mine.write_bytes(b"")
    (folder / "cluster-999-works.png").write_bytes(b"")
    only = make_profiles(str(clusters), columns=["artist"])
    files = write_profiles(only, Quiet())
    assert {f"profiles/kmeans/{path.name}" for path in folder.iterdir()} == {*files, "profiles/kmeans/column-notes.png"}
    assert [path.name for path in folder.glob("column-0*")] == ["column-01-artist.png"]


def test_an_image_that_has_gone_is_a_grey_field(tmp_path: Path) -> None:
    images = {f"{n}.png": Painted(painting(n), (0, 0, 0.1 * n)) for n in range(3)}
    clusters = clustered(tmp_path, collection(tmp_path, images), images)
    (tmp_path / "images" / "1.png").unlink()
    write_profiles(make_profiles(clusters), Quiet())


def test_what_cannot_be_profiled_is_told(gallery: Gallery, tmp_path: Path) -> None:
    images = {"other.png": Painted(painting(1), (0, 0, 0))}
    other = collection(tmp_path, images)
    with pytest.raises(InputError, match=r"27 images of .* are not in the catalog .*'between.png'"):
        make_profiles(gallery.clusters, other)
    with pytest.raises(UsageError, match="kmeans or gmm"):
        make_profiles(gallery.clusters, algorithm="dbscan")
    unknown = tmp_path / "unknown"
    shutil.copytree(gallery.clusters, unknown)
    run = json.loads((unknown / "run.json").read_text())
    (unknown / "run.json").write_text(json.dumps(run | {"catalog": None}))
    with pytest.raises(UsageError, match="give `catalog"):
        make_profiles(str(unknown))


def test_the_command(gallery: Gallery) -> None:
    result = CliRunner().invoke(app, ["profiles", gallery.clusters, "--columns", "genre", "--json"])
    found = json.loads(result.stdout)
    assert found["columns"] == ["genre"]
    assert found["left_out"]["artist"] == "it was not asked for"
    assert result.exit_code == 0
    assert "profiles/kmeans/profiles.json" in found["files"]
    assert len(found["profiles"]) == 3


def test_an_image_that_lost_its_embedding_is_the_most_marginal(tmp_path: Path) -> None:
    images = {f"{n}.png": Painted(painting(n), (0, 0, 0.1 * n)) for n in range(4)}
    clusters = clustered(tmp_path / "before", collection(tmp_path / "before", images), images)
    now = collection(tmp_path / "now", {**images, "0.png": replace(images["0.png"], pixels=None)})
    found = make_profiles(clusters, now, algorithm="gmm").profiles[0]
    assert (found.images, found.typical[0], found.typical[-1]) == (4, 1, 0)
    stored = read_clusters(clusters)
    told = influences(stored, read_works(stored, now), "1")
    assert told.blind is not None
    assert "the works like it 1 could not be compared (not read: unsupported)" in told.blind
    assert influences(stored, read_works(stored, now), "0").rows == (0,)


def test_clusters_of_another_model_are_refused(gallery: Gallery, tmp_path: Path) -> None:
    other = tmp_path / "clusters"
    shutil.copytree(gallery.clusters, other)
    run = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(run | {"model_id": "another"}))
    with pytest.raises(InputError, match=r"by the model another, those of the catalog .* are by model"):
        make_profiles(str(other))
    (other / "run.json").write_text(json.dumps(run | {"model_id": "a transform", "method": "pca"}))
    assert len(make_profiles(str(other), algorithm="gmm").profiles) == 3


def test_the_column_that_names_the_images_can_be_said(gallery: Gallery, tmp_path: Path) -> None:
    table = tmp_path / "more.csv"
    table.write_text("a,b,mood\nk0-1,k0-2,calm\nk0-2,k0-3,calm\nk0-3,k0-4,wild\nk0-4,k0-5,wild\n")
    found = make_profiles(gallery.clusters, labels=[str(table)], columns=["mood"], id_column="b")
    (mood,) = found.works.described.columns
    records = found.works.table.column("record_id").to_pylist()
    assert {records[row]: mood.terms[code] for row, code in enumerate(mood.codes) if code >= 0} == {
        "k0-2": "calm",
        "k0-3": "calm",
        "k0-4": "wild",
        "k0-5": "wild",
    }
    table.write_text("inventory,mood\nx,calm\ny,calm\n")
    with pytest.raises(InputError, match=r"names an image of the catalog.*Give the column .* with `id_column`"):
        make_profiles(gallery.clusters, labels=[str(table)])


def test_profiles_that_were_cut_off_are_none(gallery: Gallery, tmp_path: Path) -> None:
    clusters = tmp_path / "clusters"
    shutil.copytree(gallery.clusters, clusters)
    write_profiles(make_profiles(str(clusters)), Quiet())
    (clusters / "profiles/kmeans/works.csv").unlink()
    (clusters / "profiles/kmeans/works.csv").mkdir()
    with pytest.raises(StorageError, match=r"works\.csv: Is a directory"):
        write_profiles(make_profiles(str(clusters)), Quiet())
    assert not (clusters / "profiles/kmeans/profiles.json").exists()


def test_a_work_of_several_images_counts_once(gallery: Gallery, tmp_path: Path) -> None:
    groups = pa.table(
        {
            "group": pa.array([0, 0, 1, 1], pa.int32()),
            "image_id": ["k0-1.png", "twin.png", "gone.png", "k1-2.png"],
            "role": ["representative", "member", "representative", "member"],
            "reason": [None, "same photograph", None, "same file"],
            "score": pa.array([None, 0.9, None, 1.0], pa.float32()),
        },
        GROUP_SCHEMA,
    )
    pq.write_table(groups, tmp_path / "groups.parquet")
    (tmp_path / "run.json").write_text('{"format": 1, "pairs": 2}')

    each, once = (
        sum(one.images for one in make_profiles(gallery.clusters, duplicates=folder).profiles)
        for folder in (None, str(tmp_path))
    )

    assert each - once == 1
