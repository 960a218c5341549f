"""The index of a catalog: what it holds, how it is mended, and whether it finds what comparing everything finds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from artylyze.catalog.snapshot import embeddings, read_snapshot
from artylyze.errors import InputError, StorageError
from artylyze.searching import sidecar
from artylyze.searching.basis import fit, unit
from artylyze.searching.exact import Embeddings
from artylyze.searching.index import _Best, build_index, nearest, open_index
from artylyze.storage import open_store
from tests.conftest import S3
from tests.pieces import Cut, catalogs, few_examples
from tests.searching.catalogs import blobs, write_catalog
from tests.small import Listener


def cosines(matrix: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(unit(queries) @ unit(matrix).T)


def test_it_finds_what_comparing_everything_finds(tmp_path: Path) -> None:
    matrix = blobs(3_000, 256)
    catalog = write_catalog(tmp_path, matrix, ends=[1_000, 2_500], errors=[5, 1_200])
    index = open_index(catalog)
    ids, exact = embeddings(catalog)
    queries = exact[::100]

    rows, scores = nearest(index, index.project(queries), 40)
    reranked = Embeddings(index)
    found = [
        set(some[np.argsort(-reranked.cosines(query[None], some)[0], kind="stable")[:10]].tolist())
        for query, some in zip(queries, rows, strict=True)
    ]
    best = np.argsort(-cosines(exact, queries), axis=1)[:, :10]

    assert index.image_ids.to_pylist() == ids
    assert np.mean([len(one & set(two.tolist())) / 10 for one, two in zip(found, best, strict=True)]) > 0.99
    assert np.abs(scores - np.take_along_axis(cosines(exact, queries), rows, 1)).max() < 0.1
    assert (np.diff(scores, axis=1) <= 0).all()


@few_examples
@given(cut=catalogs(), data=st.data())
def test_its_rows_are_those_of_the_parts_with_an_embedding(
    cut: Cut, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("catalog")
    catalog = cut.write(folder)
    snapshot = read_snapshot(catalog)

    index = open_index(catalog)

    good = [row for row in cut.good() if any(row["embedding"])]
    assert index.image_ids.to_pylist() == [row["image_id"] for row in good]
    starts = np.cumsum([0, *(part.rows for part in snapshot.parts)])
    places = [
        number for number, row in enumerate(cut.rows.to_pylist()) if row["status"] == "ok" and any(row["embedding"])
    ]
    assert (starts[index.part] + index.row).tolist() == places
    if good:
        asked = np.array(data.draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=8)))
        exact = unit(np.array([row["embedding"] for row in good], np.float32))
        assert np.allclose(
            Embeddings(index, cache_bytes=data.draw(st.sampled_from([0, 10**6]))).read(asked), exact[asked]
        )
        assert np.allclose(index.coordinates(slice(None)), index.project(exact), atol=0.02)


@few_examples
@given(data=st.data())
def test_after_an_update_it_is_complete_and_reads_new_parts_only(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("catalog")
    count = data.draw(st.integers(2, 60))
    matrix = blobs(count, 8, seed=data.draw(st.integers(0, 5)))
    ends = sorted(data.draw(st.sets(st.integers(count // 2 + 1, count), max_size=5)) - {count})
    errors = data.draw(st.sets(st.integers(count // 2, count - 1)))
    first = data.draw(st.integers(1, len(ends) + 1))
    write_catalog(folder, matrix, ends=ends, errors=errors, only=first)
    before = build_index(str(folder))
    old = [folder / part.path for part in read_snapshot(str(folder)).parts]
    write_catalog(folder, matrix, ends=ends, errors=errors)
    for path in old:
        path.rename(path.with_suffix(".away"))

    index = open_index(str(folder))

    for path in old:
        path.with_suffix(".away").rename(path)
    expected = index.basis.encode(embeddings(str(folder))[1])
    assert before.made == first
    assert index.codes.tolist() == expected.codes.tolist()
    assert np.allclose([index.scales, index.offsets], [expected.scales, expected.offsets])
    assert sidecar.fits(sidecar.read_state(open_store(str(folder))), index.snapshot)
    assert build_index(str(folder)).made == 0


def test_a_collection_that_has_doubled_gets_components_of_its_own(tmp_path: Path) -> None:
    matrix = blobs(400, 16)
    write_catalog(tmp_path, matrix, ends=[100], only=1)
    small = open_index(str(tmp_path))
    write_catalog(tmp_path, matrix, ends=[100])

    grown = open_index(str(tmp_path))

    assert (small.basis.fitted, grown.basis.fitted) == (100, 400)
    assert grown.codes.tolist() == grown.basis.encode(embeddings(str(tmp_path))[1]).codes.tolist()


def said(catalog: str) -> list[str]:
    listener = Listener()
    open_index(catalog, watcher=listener)
    return listener.said


def test_it_says_what_it_does(tmp_path: Path) -> None:
    matrix = blobs(100, 8)
    catalog = write_catalog(tmp_path, matrix, ends=[60, 80], only=2)

    first, second = said(catalog), said(catalog)
    write_catalog(tmp_path, matrix, ends=[60, 80])

    assert first == [f"Indexing the embeddings of {catalog}."]
    assert second == []
    assert said(catalog) == [f"The index of {catalog} is older than the catalog: indexing 1 part of 3."]
    write_catalog(tmp_path, matrix, ends=[60, 80], run_id="later")
    with pytest.raises(InputError, match="has an index of an earlier state of it: run `artylyze index "):
        open_index(catalog, build=False)


@pytest.mark.parametrize("damage", [b"", b"ARROW1 no more", None], ids=["empty", "garbage", "gone"])
@pytest.mark.parametrize("name", ["index.json", "part-*.arrow", "basis-*.npz"])
def test_what_is_damaged_is_made_again(name: str, damage: bytes | None, tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path, blobs(50, 8), ends=[20])
    sound = open_index(catalog)
    path = sorted((tmp_path / "index").glob(name))[0]
    path.unlink() if damage is None else path.write_bytes(damage)

    with pytest.raises(InputError, match="artylyze index"):
        open_index(catalog, build=False)
    mended = open_index(catalog)

    assert mended.codes.tolist() == sound.codes.tolist()
    assert open_index(catalog, build=False).image_ids.equals(sound.image_ids)


@few_examples
@given(cut=st.floats(0, 1, exclude_max=True), flip=st.none() | st.integers(0, 255))
def test_any_file_cut_short_is_noticed(cut: float, flip: int | None, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("catalog")
    catalog = write_catalog(folder, blobs(30, 8))
    sound = open_index(catalog)
    (path,) = (folder / "index").glob("part-*.arrow")
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data))] + (b"" if flip is None else bytes([flip])))

    assert open_index(catalog).codes.tolist() == sound.codes.tolist()


def test_embeddings_of_two_models_are_refused(tmp_path: Path) -> None:
    matrix = blobs(40, 8)
    write_catalog(tmp_path, matrix, ends=[20], only=1, model_id="old")
    write_catalog(tmp_path, matrix, ends=[20], model_id="new")

    with pytest.raises(InputError, match=r"part-00000-00020\.parquet holds embeddings of the model old, .* is of new"):
        open_index(str(tmp_path))


def test_the_index_of_another_model_is_replaced(tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path, blobs(40, 8))
    open_index(catalog)
    (tmp_path / "runs" / "run0" / "parts" / "part-00000-00040.parquet").unlink()
    write_catalog(tmp_path, blobs(40, 12), model_id="new", run_id="new")

    assert said(catalog) == [f"The index of {catalog} is of another model: it is made anew."]
    assert open_index(catalog, build=False).codes.shape == (40, 12)


def test_files_that_no_state_needs_are_removed(tmp_path: Path) -> None:
    matrix = blobs(100, 8)
    for only in (1, 2, 3, 4):  # at each step but the last the collection doubles, and the basis is fitted anew
        write_catalog(tmp_path, matrix, ends=[10, 30, 70], only=only)
        open_index(str(tmp_path))

    names = {path.name for path in (tmp_path / "index").iterdir()}
    assert len([name for name in names if name.startswith("basis-")]) <= 2
    assert len(names) <= 1 + 2 + 4 + 3


@pytest.mark.parametrize("errors", [[], [0]])
def test_a_catalog_of_one_image(errors: list[int], tmp_path: Path) -> None:
    index = open_index(write_catalog(tmp_path, blobs(1, 8), errors=errors))

    rows, scores = nearest(index, index.project(blobs(1, 8)), 3)

    assert len(index) == 1 - len(errors)
    assert rows.tolist() == ([[-1, -1, -1]] if errors else [[0, -1, -1]])
    assert errors or np.isclose(scores[0, 0], 1)


def test_embeddings_that_have_no_direction_are_left_out(tmp_path: Path) -> None:
    matrix = blobs(10, 8)
    matrix[2], matrix[4, 1], matrix[5, 0], matrix[6] = 0, np.nan, np.inf, matrix[6] * 1e30
    catalog = write_catalog(tmp_path, matrix)

    built = build_index(catalog)

    assert (built.rows, built.left_out) == (7, 3)
    assert np.isfinite(open_index(catalog).scales).all()
    assert np.allclose(Embeddings(open_index(catalog)).read(np.array([3])), unit(matrix[6:7]))


def test_only_allowed_rows_are_returned(tmp_path: Path) -> None:
    index = open_index(write_catalog(tmp_path, blobs(300, 16)))
    allowed = np.arange(300) % 7 == 3

    rows, _ = nearest(index, index.coordinates(slice(0, 5)), 50, allowed=allowed)

    assert set(rows.ravel().tolist()) == {*np.flatnonzero(allowed).tolist(), -1}
    assert all((one >= 0).sum() == allowed.sum() for one in rows)


@given(
    scores=st.lists(st.integers(0, 5), max_size=40),
    k=st.integers(0, 12),
    cuts=st.sets(st.integers(1, 39), max_size=5),
)
def test_the_best_of_blocks_are_the_best_of_all(scores: list[int], k: int, cuts: set[int]) -> None:
    matrix = np.array([scores, scores[::-1]], np.float32).reshape(2, -1)
    best = _Best(2, k)
    edges = [0, *sorted(cut for cut in cuts if cut < len(scores)), len(scores)]
    for start, stop in itertools.pairwise(edges):
        best.add(matrix[:, start:stop], np.arange(start, stop))

    for found, row in zip(best.rows, matrix, strict=True):
        expected = np.argsort(-row, kind="stable")[:k].tolist()
        assert found.tolist() == expected + [-1] * (k - len(expected))


def test_where_nothing_can_be_written_it_is_made_in_memory(unprivileged: Path) -> None:
    catalog = write_catalog(unprivileged, blobs(50, 8))
    unprivileged.chmod(0o500)

    try:
        (message,) = [line for line in said(catalog) if "cannot be kept" in line]
        index = open_index(catalog)
        with pytest.raises((StorageError, OSError)):
            build_index(catalog)
    finally:
        unprivileged.chmod(0o700)

    assert len(index) == 50
    assert "for each search" in message


def test_it_lies_in_object_storage(s3: S3, aws: Callable[[S3], None], tmp_path: Path) -> None:
    aws(s3)
    bucket = s3.bucket("index-" + ("moto" if s3.conditional else "juicefs"))
    matrix = blobs(60, 8)
    write_catalog(tmp_path, matrix, ends=[40])
    store = open_store(f"{bucket}/catalog")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            store.put(str(path.relative_to(tmp_path)), path.read_bytes())

    made = open_index(f"{bucket}/catalog")
    again = open_index(f"{bucket}/catalog", build=False)

    assert again.codes.tolist() == made.codes.tolist() == open_index(str(tmp_path)).codes.tolist()
    assert np.allclose(Embeddings(again).read(np.array([45, 3])), unit(matrix[[45, 3]]))


def test_a_basis_of_few_or_no_embeddings_is_orthonormal() -> None:
    for count in (0, 1, 5):
        basis = fit([blobs(count, 12)] if count else [], 12)
        assert np.allclose(basis.components @ basis.components.T, np.eye(12), atol=1e-5)
        assert basis.fitted == count
