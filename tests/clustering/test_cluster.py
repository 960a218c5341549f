from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from artylyze.clustering.cluster import cluster, describe, describe_plan, plan
from artylyze.clustering.draws import drawn, row_keys, uniform
from artylyze.clustering.kmeans import kmeans_for
from artylyze.clustering.request import K_RANGE, ClusterRequest, parse_k, parse_range
from artylyze.clustering.store import read_clusters, same_folder
from artylyze.errors import ArtylyzeError, InputError, UsageError
from tests.fixtures import Quiet, blobs

Write = Callable[[Any], str]


def test_groups_are_found_and_read_back_as_written(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    matrix, groups = blobs()
    request = ClusterRequest(written(matrix), str(tmp_path / "out"), k=None, k_range=(2, 8), covariance="full")
    made = cluster(request, watcher)
    found = read_clusters(str(tmp_path / "out"))
    assert found.scores["chosen"] == 4
    for column in ("kmeans", "gmm"):
        assert adjusted_rand_score(groups, found.assignments.column(column).to_numpy()) == 1
    shares = np.array(found.assignments.column("responsibilities").to_pylist())
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert found.assignments.equals(made.assignments)
    assert found.centroids is not None
    assert found.mixture is not None
    labels = found.assignments.column("kmeans").to_numpy()
    away = np.linalg.norm(matrix - found.centroids[labels], axis=1)
    assert np.allclose(found.assignments.column("distance").to_numpy(), away, rtol=1e-4)
    assert np.allclose(found.mixture.responsibilities(matrix), shares, atol=1e-5)
    assert (tmp_path / "out" / "elbow.png").read_bytes().startswith(b"\x89PNG")
    assert "elbow" in describe(found)
    assert json.dumps(dict(found.run))


def test_nothing_of_an_earlier_clustering_stays_in_the_folder(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    request, out = ClusterRequest(written(blobs()[0]), str(tmp_path / "out"), k=None, k_range=(2, 5)), tmp_path / "out"
    cluster(request, watcher)
    drawn = [
        out / name
        for name in ("profiles/gmm/cluster-003-works.png", "profiles/kmeans/works.csv", "influences/influences-1.json")
    ]
    own = [
        out / name
        for name in ("profiles/kmeans/mine.csv", "influences/mine.json", "elsewhere/cluster-003-works.png", "mine.png")
    ]
    for file in (*drawn, *own):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert (out / "elbow.png").exists()
    cluster(replace(request, k=4, k_range=K_RANGE, algorithms=("kmeans",)), watcher)
    assert not any(file.exists() for file in (*drawn, out / "elbow.png", out / "mixture.safetensors"))
    assert all(file.exists() for file in own)
    cluster(replace(request, k=4, k_range=K_RANGE, algorithms=("gmm",)), watcher)
    assert not (out / "kmeans.safetensors").exists()


def test_a_clustering_that_was_cut_off_is_none(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    request = ClusterRequest(written(blobs()[0]), str(tmp_path / "out"), k=3)
    cluster(request, watcher)
    (tmp_path / "out" / "scores.json").unlink()
    (tmp_path / "out" / "scores.json").mkdir()  # what comes before the scores is written, they cannot be
    with pytest.raises(ArtylyzeError):
        cluster(replace(request, k=4), watcher)
    with pytest.raises(InputError, match="no clusters"):
        read_clusters(request.output)


def test_the_same_seed_gives_the_same_result(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    source = written(blobs()[0])
    first, second = (
        cluster(ClusterRequest(source, str(tmp_path / name), k=7, seed=3), watcher).assignments for name in "ab"
    )
    assert first.equals(second)


def test_images_without_usable_vectors_are_left_out_and_counted(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    vectors: list[Any] = list(blobs(40)[0])
    vectors[3], vectors[5] = None, [float("nan")] * 12
    found = cluster(ClusterRequest(written(vectors), str(tmp_path / "out"), k=3), watcher)
    assert found.run["left_out"] == {"without_features": 1, "not_finite": 1}
    assert any(
        line.startswith("Left out: 1 image, not_finite: features with an infinite value") for line in watcher.said
    )
    assert found.assignments.num_rows == 38
    assert not {"000003", "000005"} & set(found.assignments.column("image_id").to_pylist())


def test_an_algorithm_that_was_not_run_leaves_nulls(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    request = ClusterRequest(written(blobs(40)[0]), str(tmp_path / "out"), ("gmm",), k=2)
    cluster(request, watcher)
    found = read_clusters(str(tmp_path / "out"))
    assert found.centroids is None
    assert found.assignments.column("kmeans").null_count == 40


def test_constant_columns_do_no_harm(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    matrix, groups = blobs(80)
    matrix[:, 3:6] = 2
    found = cluster(ClusterRequest(written(matrix), str(tmp_path / "out"), k=4, covariance="full"), watcher)
    assert adjusted_rand_score(groups, found.assignments.column("gmm").to_numpy()) == 1


@pytest.mark.parametrize(
    ("vectors", "k", "says"),
    [
        (np.eye(3, 4), 5, "only 3 rows"),
        (np.ones((20, 4)), 2, "only 1 different rows"),
        (np.ones((20, 4)), None, "only 1 different rows"),
        (np.ones((1, 4)), 1, "one image"),
    ],
)
def test_what_cannot_be_clustered_gets_a_clear_answer(
    written: Write, tmp_path: Path, watcher: Quiet, vectors: Any, k: int | None, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        cluster(ClusterRequest(written(vectors), str(tmp_path / "out"), k=k), watcher)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_tells_the_cost_and_writes_nothing(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    found = plan(ClusterRequest(written(blobs()[0]), str(tmp_path / "out"), k=4), watcher)
    assert (found.rows, found.dim, found.k) == (300, 12, (4,))
    assert found.components
    assert found.seconds_per_step > 0
    assert not (tmp_path / "out").exists()
    assert "300 of 12 dimensions" in describe_plan(found)
    several = replace(found, k=(2, 3, 4), components=None, left_out={"not_finite": 2})
    for said in ("left out: 2 not_finite", "k = 2 to 4", "Mixture    none"):
        assert said in describe_plan(several)


@pytest.mark.parametrize(
    "change",
    [
        {"k": 0},
        {"k_range": (9, 3), "k": None},
        {"covariance": "x"},
        {"algorithms": ("x",)},
        {"variance": 0},
        {"seed": -1},
        {"seed": 2**32},
        {"k_range": (2, 9)},
    ],
)
def test_nonsense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ClusterRequest("in", "out", **change)


def test_words_of_the_command_line() -> None:
    assert (parse_k("auto"), parse_k("7"), parse_range("2,9")) == (None, 7, (2, 9))
    for wrong in (lambda: parse_k("x"), lambda: parse_range("3")):
        with pytest.raises(UsageError):
            wrong()


def test_no_clusters_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="artylyze cluster"):
        read_clusters(str(tmp_path))


def test_every_k_is_scored_by_a_fit_of_the_same_kind(
    written: Write, tmp_path: Path, watcher: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artylyze.clustering.kmeans.SAMPLE", 200)
    matrix = np.random.default_rng(0).normal(size=(900, 140)).astype(np.float32)
    found = cluster(ClusterRequest(written(matrix), str(tmp_path / "out"), k=None, k_range=(3, 9)), watcher)
    scores, chosen = found.scores, found.scores["chosen"]
    assert sorted(scores["k"], key=int) == [str(k) for k in range(3, 10)]
    sketch = scores["k"][str(chosen)]
    keys = row_keys(found.assignments.column("image_id").to_pylist())
    assert sketch["inertia"] == kmeans_for(matrix, 0, "cpu", keys).sketch(chosen).inertia
    assert scores["fitted"]["inertia"] < sketch["inertia"]
    assert sketch["bic"] is not None
    assert scores["fitted"]["bic"] == found.run["em"]["bic"]


def test_a_clustering_of_another_format_is_refused(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    found = cluster(ClusterRequest(written(blobs(40)[0]), str(tmp_path / "out"), k=2), watcher)
    (tmp_path / "out" / "run.json").write_text(json.dumps({**found.run, "format": 99}))
    with pytest.raises(InputError, match="cluster again"):
        read_clusters(str(tmp_path / "out"))


def test_clusters_go_into_a_folder_of_their_own(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "catalog.json").write_text("{}")
    for name, says in (("file", "is a file"), ("catalog", "is a catalog")):
        with pytest.raises(UsageError, match=says):
            cluster(ClusterRequest(written(blobs(40)[0]), str(tmp_path / name), k=2), watcher)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("one", ["out", "./out", "out/", "../here/out", "{here}/out"])
def test_one_folder_has_many_spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: str) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert same_folder(one.format(here=tmp_path / "here"), "out")
    assert not same_folder(one.format(here=tmp_path / "here"), "out2")
    assert same_folder("s3://bucket/out/", "s3://bucket/out")


def test_a_sample_that_is_too_small_is_named(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    with pytest.raises(InputError, match=r"the sample of .* has only 3 rows"):
        cluster(ClusterRequest(written(blobs(40)[0]), str(tmp_path / "out"), k=6, sample=3), watcher)


def groups_of(request: ClusterRequest, watcher: Quiet) -> Any:
    return cluster(request, watcher).assignments.column("kmeans").to_numpy()


@pytest.mark.parametrize("size", [1e-30, 1e-25, 1e-3, 1e15, 1e30])
def test_the_size_of_features_changes_no_cluster(written: Write, tmp_path: Path, watcher: Quiet, size: float) -> None:
    matrix = blobs()[0].astype(np.float64)
    plain = cluster(ClusterRequest(written(matrix.astype(np.float32)), str(tmp_path / "a"), k=4), watcher)
    sized = cluster(ClusterRequest(written((matrix * size).astype(np.float32)), str(tmp_path / "b"), k=4), watcher)
    for column in ("kmeans", "gmm"):
        assert sized.assignments.column(column).equals(plain.assignments.column(column))
    for name in ("davies_bouldin", "calinski_harabasz"):
        assert np.isclose(sized.scores["fitted"][name], plain.scores["fitted"][name], rtol=1e-3)
    first, second = (one.scores["fitted"]["silhouette"]["value"] for one in (sized, plain))
    assert first == pytest.approx(second, rel=1e-3)
    assert sized.centroids is not None
    assert plain.centroids is not None
    assert np.allclose(sized.centroids / size, plain.centroids, rtol=1e-3, atol=1e-3)
    assert np.isclose(sized.scores["fitted"]["inertia"] / size / size, plain.scores["fitted"]["inertia"], rtol=1e-3)
    labels = sized.assignments.column("kmeans").to_numpy()
    away = np.linalg.norm(matrix - sized.centroids.astype(np.float64)[labels] / size, axis=1)
    assert np.allclose(sized.assignments.column("distance").to_numpy() / size, away, rtol=1e-3)
    assert sized.mixture is not None
    shares = sized.mixture.responsibilities((matrix * size).astype(np.float32))
    assert np.array_equal(shares.argmax(axis=1), sized.assignments.column("gmm").to_numpy())


def test_rows_that_are_left_out_change_no_cluster_of_the_others(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    """What is drawn of a row is its own: neither rows that cannot be used nor rows that are gone change it."""
    matrix = blobs(rows=600, dim=24, groups=12)[0]
    broken = matrix.copy()
    broken[[3, 250, 599]] = np.nan
    source, lost = written(broken), np.array([3, 250, 599])
    request = ClusterRequest(source, str(tmp_path / "a"), k=12, algorithms=("kmeans",))
    found = groups_of(request, watcher)
    written([None if row in lost else vector for row, vector in enumerate(matrix)])  # the same rows without the others
    assert np.array_equal(groups_of(request, watcher), found)
    written(matrix)
    assert adjusted_rand_score(np.delete(groups_of(request, watcher), lost), found) > 0.99


@given(
    st.lists(st.text("abcdefgh 12", max_size=6), min_size=2, max_size=30, unique=True), st.integers(0, 99), st.data()
)
def test_what_is_drawn_of_a_row_is_its_own(names: list[str], seed: int, data: st.DataObject) -> None:
    kept = sorted(data.draw(st.sets(st.sampled_from(range(len(names))), min_size=1)))
    whole, part = row_keys(names), row_keys([names[row] for row in kept])
    assert np.array_equal(uniform(whole, seed, 1)[kept], uniform(part, seed, 1))
    most = data.draw(st.integers(1, len(names)))
    assert {row for row in drawn(whole, most, seed) if row in kept} <= {kept[row] for row in drawn(part, most, seed)}


def test_stability_tells_groups_from_noise(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    noise = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    found = [
        cluster(ClusterRequest(written(matrix), str(tmp_path / f"{n}"), k=4), watcher)
        for n, matrix in enumerate((blobs()[0], noise))
    ]
    firm, loose = (one.scores["stability"]["mean"] for one in found)
    assert firm > 0.99
    assert loose < 0.8
    assert "adjusted Rand index of 1.00 on average" in describe(found[0])


def test_criteria_that_disagree_on_k_are_said(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    noise = np.random.default_rng(1).normal(size=(200, 6)).astype(np.float32)
    found = cluster(ClusterRequest(written(noise), str(tmp_path / "out"), k=None, k_range=(2, 30)), watcher)
    wanted = found.scores["preferred"]
    assert set(wanted) == {"elbow", "silhouette", "davies_bouldin", "bic"}
    assert len(set(wanted.values())) > 1
    assert f"Criteria disagree on k: the elbow {wanted['elbow']}, silhouette {wanted['silhouette']}" in describe(found)


def test_a_default_is_not_called_what_was_asked_for(written: Write, tmp_path: Path, watcher: Quiet) -> None:
    matrix = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    request = ClusterRequest(written(matrix), str(tmp_path / "out"), k=25, few_rows=True)
    assert "60 images in 25 clusters (the default; `k='auto'`" in describe(cluster(request, watcher))
    assert "60 images in 25 clusters (as asked for)" in describe(cluster(replace(request, few_rows=False), watcher))


@pytest.mark.parametrize("rows", [2, 3, 20])
def test_few_images_get_a_number_of_clusters_that_fits_unless_another_is_asked_for(
    written: Write, tmp_path: Path, watcher: Quiet, rows: int
) -> None:
    matrix = np.random.default_rng(0).normal(size=(rows, 6)).astype(np.float32)
    request = ClusterRequest(written(matrix), str(tmp_path / "out"), few_rows=True)
    assert 2 <= cluster(request, watcher).scores["chosen"] <= max(2, rows // 2)
    assert any(f"{rows} different images are few for 25 clusters" in line for line in watcher.said)
    assert 2 <= cluster(replace(request, k=None, few_rows=False), watcher).scores["chosen"] <= max(2, rows - 1)
    with pytest.raises(InputError, match=f"`k=25`: .* has only {rows} rows"):
        cluster(replace(request, few_rows=False), watcher)
