"""A row for each page of a document: through scan, tag, update and failures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import artylyze
from artylyze.collection.scan import scan
from artylyze.duplication.confirmation import _same_bytes
from artylyze.errors import ImageError
from artylyze.images import decode
from artylyze.storage import fetch, open_store, split_page
from artylyze.workers.fetching import Fetches, FetchThreads, Source
from tests.conftest import S3

SHADES = (40, 90, 140, 190, 240)


def pages(count: int = 3) -> list[Image.Image]:
    """Pages of different grays with a lighter half, all of one size."""
    shades = [Image.new("L", (120, 90), shade) for shade in SHADES[:count]]
    for shade in shades:
        shade.paste(255, (60, 0, 120, 90))
    return [shade.convert("RGB") for shade in shades]


def document(kind: str, count: int = 3) -> bytes:
    first, *others = pages(count)
    buffer = io.BytesIO()
    first.save(buffer, kind, **({"save_all": True, "append_images": others} if others else {}))
    return buffer.getvalue()


def museum(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.tif").write_bytes(document("TIFF"))
    (folder / "b.pdf").write_bytes(document("PDF", 5))
    (folder / "c.tif").write_bytes(document("TIFF", 1))
    (folder / "d.tif").write_bytes(b"II*\0 no TIFF")
    (folder / "e.jpg").write_bytes(document("JPEG", 1))
    return folder


IDS = [
    *("a.tif#page=1", "a.tif#page=2", "a.tif#page=3"),
    *("b.pdf#page=1", "b.pdf#page=2", "b.pdf#page=3", "b.pdf#page=4", "b.pdf#page=5"),
    *("c.tif", "d.tif", "e.jpg"),
]


@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
def test_each_page_is_decoded_by_its_number(kind: str) -> None:
    data = document(kind)
    for number, shade in enumerate(SHADES[:3], 1):
        decoded = decode(data, 32, page=number)
        assert abs(int(decoded.pixels[16, 8, 0]) - shade) <= 2
        assert (decoded.pages, "several-pages" in decoded.warnings) == (3, False)
    first = decode(data, 32)
    assert first.warnings == ("several-pages",)
    assert np.array_equal(first.pixels, decode(data, 32, page=1).pixels)


@pytest.mark.parametrize("kind", ["TIFF", "PDF", "JPEG"])
def test_a_page_that_is_not_there_is_an_error(kind: str) -> None:
    with pytest.raises(ImageError, match="there is no page 4: the file has"):
        decode(document(kind, 1 if kind == "JPEG" else 3), 32, page=4)


@pytest.mark.parametrize("batch", [1, 3, 4096])
def test_scan_makes_a_row_of_each_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr("artylyze.collection.pages.BATCH", batch)  # of the four documents, one alone does not fit
    report = scan(str(museum(tmp_path / "scans")), str(tmp_path / "m.parquet"), pages=True)
    assert (report.images, report.documents, report.passed_over) == (11, 2, 0)
    table = pq.read_table(tmp_path / "m.parquet")
    assert table.column("image_id").to_pylist() == IDS
    assert table.column("record_id").to_pylist() == ["a"] * 3 + ["b"] * 5 + ["c", "d", "e"]
    assert table.column("uri").to_pylist() == [f"{tmp_path}/scans/{name}" for name in IDS]
    without = scan(str(tmp_path / "scans"), str(tmp_path / "m.parquet"))
    assert (without.images, without.documents, without.passed_over) == (4, 0, 1)


def test_pages_share_the_metadata_of_their_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("number,title\nb,Book\nc,Card\n")
    scan(
        str(museum(tmp_path / "scans")),
        str(tmp_path / "m.parquet"),
        metadata=str(tmp_path / "t.csv"),
        id_column="number",
        pages=True,
    )
    titles = [row and row["title"] for row in pq.read_table(tmp_path / "m.parquet").column("metadata").to_pylist()]
    assert titles == [None] * 3 + ["Book"] * 5 + ["Card", None, None]


def test_pages_are_tagged_updated_and_listed(tmp_path: Path, model: Path) -> None:
    scans, manifest, out = museum(tmp_path / "scans"), tmp_path / "m.parquet", tmp_path / "out"
    artylyze.scan(scans, manifest, pages=True, progress=False)
    options = {"model": model, "shard_size": 4, "thumbnails": True, "max_error_rate": 1, "progress": False}
    catalog = artylyze.tag(manifest, out, **options)  # type: ignore[arg-type]
    assert [row["image_id"] for row in catalog.failures()] == ["d.tif"]
    rows = {row["image_id"]: row for row in catalog.to_arrow().to_pylist()}
    assert list(rows) == IDS
    for name, data in (("a.tif", document("TIFF")), ("b.pdf", document("PDF", 5))):
        for number in range(1, 4):
            row = rows[f"{name}#page={number}"]
            shown = np.asarray(Image.open(io.BytesIO(row["thumbnail"])))
            assert abs(int(shown[30, 20, 0]) - int(decode(data, 96, page=number).pixels[48, 12, 0])) <= 4
            assert row["warnings"] == []
    (scans / "a.tif").write_bytes(document("TIFF", 2))
    (scans / "f.pdf").write_bytes(document("PDF", 2))
    artylyze.scan(scans, manifest, pages=True, progress=False)
    again = artylyze.tag(manifest, out, update=True, **options)  # type: ignore[arg-type]
    ids = [*IDS[:2], *IDS[3:], "f.pdf#page=1", "f.pdf#page=2"]
    assert sorted(again.to_arrow(["image_id"]).column("image_id").to_pylist()) == ids
    kept = {row["image_id"]: row for row in again.to_arrow(where="image_id like 'b.pdf%'").to_pylist()}
    assert all(kept[name]["embedding"] == rows[name]["embedding"] for name in kept)


def test_the_file_of_neighbouring_pages_is_fetched_once(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"1" * (1 << 20))
    sources = [Source(f"{path}#page={number}", None, 1 << 20) for number in range(1, 6)] + [Source(str(path))]
    threads = FetchThreads(2)
    try:
        fetches = Fetches(threads, sources)
        taken = [fetch.result() for fetch in iter(fetches.next, None)]
    finally:
        threads.close()
    assert len({id(data) for data in taken[:5]}) == 1
    assert taken[5] == taken[0]


def test_pages_of_one_file_are_not_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(document("PDF"))
    first, second = (Source(f"{tmp_path}/a.pdf#page={number}", "etag:1") for number in (1, 2))
    assert not _same_bytes((first, second))
    assert _same_bytes((first, first))


def test_pages_in_a_bucket(moto_server: S3, aws: Callable[[S3], None], tmp_path: Path) -> None:
    aws(moto_server)
    bucket = moto_server.bucket("collection-pages")
    open_store(bucket).put("scans/a.pdf", document("PDF"))
    report = scan(f"{bucket}/scans", str(tmp_path / "m.parquet"), pages=True)
    assert report.images == 3
    uri = pq.read_table(tmp_path / "m.parquet").column("uri")[2].as_py()
    assert uri.endswith("/a.pdf#page=3")
    decoded = decode(bytes(fetch(uri)), 32, page=split_page(uri)[1])
    assert abs(int(decoded.pixels[16, 8, 0]) - SHADES[2]) <= 2
