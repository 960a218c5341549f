"""The whole job in this process, on real files and a real Ray."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from artylyze.catalog.compaction import compact
from artylyze.catalog.run import Lease, run_store
from artylyze.catalog.schema import COLORS
from artylyze.catalog.snapshot import embeddings, failures, read_catalog, read_snapshot
from artylyze.collection.manifest import write_manifest
from artylyze.collection.scan import scan
from artylyze.errors import InputError, StorageError, TooManyErrorsError, UsageError
from artylyze.images import decode
from artylyze.images.palette import dominant_colors
from artylyze.images.thumbnail import thumbnail
from artylyze.storage import open_store
from artylyze.tagging.job import check_error_rate, drive, run
from artylyze.tagging.local_engine import LocalEngine
from artylyze.tagging.planning import plan
from artylyze.tagging.request import TagRequest
from tests.tagging.conftest import Quiet, fill, picture

SIZE = 64
"""Side of the squares that the tests' model takes, pixels."""


def ids(catalog: str) -> list[str]:
    return sorted(read_catalog(catalog, ["image_id"]).column("image_id").to_pylist())


def parts(catalog: str) -> dict[Path, int]:
    """Every part there is, with the time it was written."""
    return {path: path.stat().st_mtime_ns for path in Path(catalog).glob("runs/*/parts/*.parquet")}


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> str:
    """Both must keep every promise."""
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return str(request.param)


@pytest.fixture
def request_for(tmp_path: Path, model: Path, engine: str) -> TagRequest:
    fill(tmp_path / "images", 50)
    return TagRequest(str(tmp_path / "images"), str(tmp_path / "out"), model=str(model), engine=engine, shard_size=10)


def test_tags_every_image_once(request_for: TagRequest, watcher: Quiet) -> None:
    outcome = run(request_for, watcher)
    assert (outcome.committed, outcome.resumed, outcome.snapshot.rows, outcome.snapshot.ok) == (50, 0, 50, 50)
    assert ids(request_for.output) == [f"{n:04d}.jpg" for n in range(50)]
    assert sum(watcher.advanced) == 50
    names, matrix = embeddings(request_for.output)
    assert len(names) == len(matrix) == 50


def test_an_image_that_ends_early_is_tagged_counted_and_said(request_for: TagRequest, watcher: Quiet) -> None:
    path = Path(str(request_for.source), "0007.jpg")
    path.write_bytes(path.read_bytes()[:-2])
    snapshot = run(request_for, watcher).snapshot
    assert (snapshot.ok, snapshot.warnings) == (50, 1)
    assert read_snapshot(request_for.output).warnings == 1
    (warned,) = failures(request_for.output, warnings=True)
    assert (warned["image_id"], warned["warnings"]) == ("0007.jpg", ["truncated"])
    assert warned["warning"].startswith("the file ends early: up to ")
    assert list(failures(request_for.output)) == []


@pytest.mark.parametrize("separate", [False, True])
def test_rows_carry_the_colors_of_their_image(request_for: TagRequest, watcher: Quiet, separate: bool) -> None:
    Path(str(request_for.source), "0007.jpg").write_bytes(b"broken")
    run(replace(request_for, separate=separate), watcher)
    table = read_catalog(request_for.output, ["image_id", "colors"])
    assert table.schema.field("colors").type == COLORS
    assert "thumbnail" not in read_catalog(request_for.output).column_names
    for row in table.to_pylist():
        if row["image_id"] == "0007.jpg":
            assert row["colors"] is None
            continue
        data = Path(str(request_for.source), row["image_id"]).read_bytes()
        found = [list(color.values()) for color in row["colors"]]
        np.testing.assert_array_equal(np.array(found, np.float32), dominant_colors(decode(data, SIZE).pixels))


@pytest.mark.parametrize("separate", [False, True])
def test_thumbnails_are_kept_by_updates_and_compaction(
    request_for: TagRequest, watcher: Quiet, separate: bool, tmp_path: Path
) -> None:
    (tmp_path / "images" / "0007.jpg").write_bytes(b"broken")
    request = replace(request_for, thumbnails=True, separate=separate)
    run(request, watcher)
    fill(tmp_path / "images", 5, start=50)
    (tmp_path / "images" / "0003.jpg").write_bytes(picture(1003))
    run(replace(request, update=True), watcher)
    compact(request.output, watcher)
    rows = read_catalog(request.output, ["image_id", "status", "thumbnail"]).to_pylist()
    assert [row["image_id"] for row in rows] == [f"{n:04d}.jpg" for n in range(55)]
    for row in rows:
        assert (row["thumbnail"] is None) == (row["status"] == "error") == (row["image_id"] == "0007.jpg")
        if row["thumbnail"] is not None:
            decoded = decode((tmp_path / "images" / row["image_id"]).read_bytes(), SIZE)
            assert row["thumbnail"] == thumbnail(decoded.pixels, 80, 60)


def test_a_resume_keeps_the_thumbnails_of_the_run(request_for: TagRequest, watcher: Quiet) -> None:
    request = replace(request_for, thumbnails=True)
    outcome = run(request, watcher)
    for name in ("_SUCCESS.json", "parts/part-00001.parquet"):
        Path(request.output, "runs", outcome.run_id, name).unlink()
    Path(request.output, "catalog.json").unlink()
    again = run(request, watcher)
    assert (again.run_id, again.committed, again.resumed) == (outcome.run_id, 10, 40)
    assert read_catalog(request.output, ["thumbnail"]).column("thumbnail").null_count == 0


@pytest.mark.parametrize(("before", "says"), [(False, "has no thumbnails. Leave out"), (True, "has thumbnails. Give")])
@pytest.mark.parametrize("update", [False, True])
def test_thumbnails_or_none_are_not_changed_in_silence(
    request_for: TagRequest, watcher: Quiet, before: bool, says: str, update: bool
) -> None:
    run(replace(request_for, thumbnails=before), watcher)
    with pytest.raises(InputError, match=rf"{says} `thumbnails`, give another `output`, or `replace`"):
        run(replace(request_for, thumbnails=not before, update=update), watcher)


def test_rows_carry_scores_for_each_task(request_for: TagRequest, watcher: Quiet) -> None:
    run(request_for, watcher)
    row = read_catalog(request_for.output).to_pylist()[0]
    assert row["genre"] == row["genre_top"][0]["term"]
    assert row["genre_score"] == row["genre_top"][0]["score"]
    assert sum(top["score"] for top in row["genre_top"]) == pytest.approx(1, abs=1e-5)
    assert row["style_review"] is (row["style_score"] < 0.7)


def test_parts_lie_alone_in_their_folder(request_for: TagRequest, watcher: Quiet) -> None:
    outcome = run(request_for, watcher)
    folder = Path(request_for.output, "runs", outcome.run_id)
    assert sorted(p.name for p in (folder / "parts").iterdir()) == [f"part-{n:05d}.parquet" for n in range(5)]
    visible = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert visible == {"run.json", "manifest.parquet", "parts", "status.json", "_SUCCESS.json"}


def test_the_same_command_again_does_nothing(request_for: TagRequest, watcher: Quiet) -> None:
    run(request_for, watcher)
    before = parts(request_for.output)
    outcome = run(request_for, watcher)
    assert (outcome.committed, outcome.resumed) == (0, 50)
    assert parts(request_for.output) == before


def test_a_resume_does_only_what_is_missing(request_for: TagRequest, watcher: Quiet) -> None:
    outcome = run(request_for, watcher)
    folder = Path(request_for.output, "runs", outcome.run_id)
    for name in ("_SUCCESS.json", "parts/part-00001.parquet", "parts/part-00003.parquet"):
        (folder / name).unlink()
    Path(request_for.output, "catalog.json").unlink()
    kept = parts(request_for.output)
    again = run(request_for, watcher)
    assert (again.committed, again.resumed) == (20, 30)
    assert ids(request_for.output) == [f"{n:04d}.jpg" for n in range(50)]
    assert {path: at for path, at in parts(request_for.output).items() if path in kept} == kept


def test_a_resume_keeps_the_plan_and_the_device_of_the_run(
    request_for: TagRequest, watcher: Quiet, tmp_path: Path
) -> None:
    outcome = run(request_for, watcher)
    path = Path(request_for.output, "runs", outcome.run_id, "run.json")
    written = json.loads(path.read_text())
    assert (written["device"], written["precision"], written["settings"]["device"]) == ("cpu", "float32", "auto")
    assert written["shards"] == [10, 20, 30, 40, 50]
    before = path.stat().st_mtime_ns
    run(request_for, watcher)
    assert path.stat().st_mtime_ns == before


def test_a_part_that_is_not_ours_is_never_believed(request_for: TagRequest, watcher: Quiet) -> None:
    outcome = run(request_for, watcher)
    Path(request_for.output, "runs", outcome.run_id, "parts", "part-00002.parquet").write_bytes(b"PAR1 rubbish PAR1")
    with pytest.raises(StorageError, match=r"part-00002.*Move it away"):
        run(request_for, watcher)


def test_a_run_that_is_being_driven_is_refused(request_for: TagRequest, watcher: Quiet, tmp_path: Path) -> None:
    prepared = plan(request_for, watcher, str(tmp_path))
    assert prepared is not None
    store = run_store(request_for.output, prepared.spec.run_id)
    with Lease(store, 50, conditional=True), pytest.raises(StorageError, match="is already running"):
        drive(request_for, prepared, LocalEngine(), watcher, conditional=True)


def test_update_tags_new_and_changed_images_only(request_for: TagRequest, watcher: Quiet, tmp_path: Path) -> None:
    run(request_for, watcher)
    images = tmp_path / "images"
    (images / "0003.jpg").write_bytes(picture(1003))
    (images / "0014.jpg").unlink()
    fill(images, 5, start=50)
    before = parts(request_for.output)
    request = TagRequest(request_for.source, request_for.output, model=request_for.model, update=True)
    outcome = run(request, watcher)
    assert outcome.snapshot.rows == 54
    assert ids(request.output) == [f"{n:04d}.jpg" for n in range(55) if n != 14]
    assert {path: at for path, at in parts(request.output).items() if path in before} == before
    runs = read_catalog(request.output, ["image_id", "run_id"]).to_pylist()
    tagged = sorted(row["image_id"] for row in runs if row["run_id"] == outcome.run_id)
    assert tagged == ["0003.jpg", *(f"{n:04d}.jpg" for n in range(50, 55))]


def test_update_of_an_unchanged_collection_has_nothing_to_do(request_for: TagRequest, watcher: Quiet) -> None:
    before = run(request_for, watcher)
    outcome = run(TagRequest(request_for.source, request_for.output, model=request_for.model, update=True), watcher)
    assert outcome.run_id == before.run_id
    assert "Nothing has changed: the catalog is up to date." in watcher.messages


def test_an_update_that_only_drops_images_reads_none(request_for: TagRequest, watcher: Quiet, tmp_path: Path) -> None:
    manifest, fewer = str(tmp_path / "manifest.parquet"), str(tmp_path / "fewer.parquet")
    scan(str(request_for.source), manifest)
    run(TagRequest(manifest, request_for.output, model=request_for.model, shard_size=10), watcher)
    table = pq.read_table(manifest)
    write_manifest(table.slice(1).to_batches(), table.schema, fewer)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    outcome = run(TagRequest(fewer, request_for.output, model=request_for.model, shard_size=10, update=True), watcher)
    assert outcome.snapshot.ok == outcome.snapshot.rows == 49


def test_updating_twice_keeps_every_row_once(request_for: TagRequest, watcher: Quiet, tmp_path: Path) -> None:
    run(request_for, watcher)
    request = TagRequest(request_for.source, request_for.output, model=request_for.model, update=True)
    for start in (50, 60):
        fill(tmp_path / "images", 10, start=start)
        run(request, watcher)
    assert ids(request.output) == [f"{n:04d}.jpg" for n in range(70)]


def test_update_with_another_model_is_refused(request_for: TagRequest, watcher: Quiet) -> None:
    run(request_for, watcher)
    request = TagRequest(request_for.source, request_for.output, update=True)
    with pytest.raises(InputError, match="was made by model"):
        run(request, watcher)


def test_retry_tags_again_only_what_can_pass(request_for: TagRequest, watcher: Quiet, tmp_path: Path) -> None:
    images = tmp_path / "images"
    listed = tmp_path / "list.csv"
    listed.write_text("uri\n" + "".join(f"{images}/{n:04d}.jpg\n" for n in (1, 2, 60)) + f"{images}/empty.jpg\n")
    (images / "empty.jpg").write_bytes(b"")
    request = TagRequest(str(listed), request_for.output, model=request_for.model, max_error_rate=1)
    assert dict(run(request, watcher).snapshot.errors) == {"empty": 1, "missing": 1}
    fill(images, 1, start=60)
    (images / "empty.jpg").write_bytes(picture(61))
    again = TagRequest(None, request.output, model=request.model, retry_failed=True, max_error_rate=1)
    outcome = run(again, watcher)
    assert dict(outcome.snapshot.errors) == {"empty": 1}
    assert outcome.snapshot.rows == 4


def test_more_errors_than_allowed_is_told_after_the_catalog_is_complete(
    request_for: TagRequest, watcher: Quiet, tmp_path: Path
) -> None:
    for number in range(5):
        (tmp_path / "images" / f"{number:04d}.jpg").write_bytes(b"")
    outcome = run(request_for, watcher)
    assert read_snapshot(request_for.output).rows == 50
    with pytest.raises(TooManyErrorsError, match="5 of 50 images failed"):
        check_error_rate(request_for, outcome)


def test_limit_takes_the_first_images(request_for: TagRequest, watcher: Quiet) -> None:
    request = TagRequest(request_for.source, request_for.output, model=request_for.model, limit=7)
    assert run(request, watcher).snapshot.rows == 7


def test_keys_may_hold_anything(tmp_path: Path, model: Path, watcher: Quiet) -> None:
    images = tmp_path / "images"
    names = [
        "=1+1.jpg",
        "<script>alert(1)<\x01script>.jpg",
        "e\u0301.jpg",
        "\u00e9.jpg",
        "a b'\"`$(x).jpg",
        "..\\up.jpg",
        "#?%20.jpg",
    ]
    (images / "up.." / " ").mkdir(parents=True)
    for number, name in enumerate(names):
        (images / name).write_bytes(picture(number))
    (images / "up.." / " " / "x.jpg").write_bytes(picture(99))
    with open(os.path.join(os.fsencode(images), b"caf\xe9.jpg"), "wb") as file:  # noqa: PTH118
        file.write(picture(100))
    request = TagRequest(str(images), str(tmp_path / "out"), model=str(model))
    assert run(request, watcher).snapshot.ok == len(names) + 2
    assert ids(request.output) == sorted([*names, "up../ /x.jpg", "caf\\xe9.jpg"])


def test_an_unreadable_bundle_is_one_sentence(request_for: TagRequest, watcher: Quiet, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "bundle.json").write_text("{")
    with pytest.raises(InputError):
        run(TagRequest(request_for.source, request_for.output, model=str(tmp_path / "broken")), watcher)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"shard_size": 0}, "`shard_size"),
        ({"max_error_rate": 1.5}, "`max_error_rate"),
        ({"source": None}, "Give a `source`"),
        ({"limit": 3, "update": True}, "`limit"),
        ({"device": "tpu"}, "`device"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TagRequest(**({"source": "images", "output": "out"} | wrong))  # type: ignore[arg-type]


def test_a_snapshot_that_another_run_replaced_is_not_overwritten(
    request_for: TagRequest, watcher: Quiet, tmp_path: Path
) -> None:
    run(request_for, watcher)
    fill(tmp_path / "images", 5, start=50)
    request = TagRequest(request_for.source, request_for.output, model=request_for.model, update=True)
    prepared = plan(request, watcher, str(tmp_path))
    assert prepared is not None
    store = open_store(request.output)
    snapshot = json.loads(store.read("catalog.json") or b"")
    store.put("catalog.json", json.dumps(snapshot | {"run_id": "another"}).encode())
    with pytest.raises(StorageError, match="Another run has replaced"):
        drive(request, prepared, LocalEngine(), watcher, conditional=True)


def test_a_collection_that_has_gone_writes_no_rows(request_for: TagRequest, watcher: Quiet, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("uri\n" + "".join(f"{tmp_path}/unmounted/{n}.jpg\n" for n in range(20)))
    with pytest.raises(StorageError, match="None of the 12 images that were tried can be had"):
        run(TagRequest(str(listed), request_for.output, model=request_for.model), watcher)
    assert not parts(request_for.output)


def test_a_retry_after_the_catalog_was_made_again_tries_again(watcher: Quiet, tmp_path: Path, model: Path) -> None:
    images = fill(tmp_path / "images", 2)
    listed = tmp_path / "list.csv"
    listed.write_text(f"uri\n{images}/0000.jpg\n{images}/0009.jpg\n")
    tag = TagRequest(str(listed), str(tmp_path / "out"), model=str(model))
    retry = TagRequest(None, tag.output, model=tag.model, retry_failed=True)
    run(tag, watcher)
    assert run(retry, watcher).snapshot.ok == 1
    run(tag, watcher)
    fill(images, 1, start=9)
    assert run(retry, watcher).snapshot.ok == 2


def test_a_file_that_is_no_table_is_refused(request_for: TagRequest, watcher: Quiet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a file: give a folder"):
        run(TagRequest(str(tmp_path / "images" / "0000.jpg"), request_for.output), watcher)
