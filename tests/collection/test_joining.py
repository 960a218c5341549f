"""One join of a catalogue and its images, for scan and for curate: what names what, and what stays unmatched."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artylyze.collection.joining import match, name_images
from artylyze.collection.scan import ScanReport, scan
from artylyze.datasets.sources import Catalogue, Wanted, join
from artylyze.errors import InputError, UsageError
from artylyze.tables import open_database


def collection(folder: Path, keys: Sequence[str], names: Sequence[str]) -> tuple[str, str]:
    """Files, and a table whose row says of the file that it names which row it is."""
    for key in keys:
        path = folder / "images" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    with (folder / "objects.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label"])
        writer.writerows([name, f"row {number}"] for number, name in enumerate(names))
    return str(folder / "images"), str(folder / "objects.csv")


def scanned(folder: Path, keys: Sequence[str], names: Sequence[str], **options: Any) -> tuple[ScanReport, list[Any]]:
    images, table = collection(folder, keys, names)
    target = str(folder / "manifest.parquet")
    report = scan(images, target, metadata=table, id_column="file", **options)
    rows = {row["image_id"]: row["metadata"] and row["metadata"]["label"] for row in pq.read_table(target).to_pylist()}
    return report, [rows[key] for key in keys]


def curated(folder: Path, keys: Sequence[str], names: Sequence[str], **options: Any) -> tuple[Catalogue, list[Any]]:
    images, table = collection(folder, keys, names)
    joined = join([table], images, Wanted({"label": ("label",)}, {}, id_column="file", **options))
    (catalogue,) = joined.catalogues
    labels = catalogue.table.column("label").to_pylist()
    rows = dict(zip(joined.images.column("image_id").to_pylist(), labels, strict=True))
    return catalogue, [rows[key] for key in keys]


CASES: dict[str, tuple[list[str], list[str], list[str | None]]] = {
    "folders tell files of one name apart": (
        ["north/0001.jpg", "south/0001.jpg"],
        ["south/0001.tif", "north/0001.tif"],
        ["row 1", "row 0"],
    ),
    "and longer paths of another machine do": (
        ["north/0001.jpg", "south/0001.jpg"],
        ["D:\\scans\\south\\0001.tif", "\\\\nas\\scans\\north\\0001.tif"],
        ["row 1", "row 0"],
    ),
    "a name of two files is nobody's": (
        ["north/0001.jpg", "south/0001.jpg", "b.jpg"],
        ["0001", "b"],
        [None, None, "row 1"],
    ),
    "a folder that is none of ours is no match for another of ours": (
        ["north/0001.jpg", "south/0002.jpg"],
        ["south/0001.jpg", "south/0002.jpg"],
        [None, "row 1"],
    ),
    "letter case does not matter where it is unique": (
        ["IMG_0001.JPG", "b.jpg"],
        ["img_0001.jpg", "B"],
        ["row 0", "row 1"],
    ),
    "and matters where it is not": (["a.jpg", "A.jpg"], ["A.jpg", "a.jpg"], ["row 1", "row 0"]),
    "two spellings of one file are one too many": (["a.jpg", "b.jpg"], ["A.JPG", "A.jpg", "b.jpg"], [None, "row 2"]),
    "percent signs of addresses are read": (
        ["my scan.jpg"],
        ["https://museum.org/images/my%20scan.jpg?size=full"],
        ["row 0"],
    ),
    "another format of the same scan": (["a/1.jpg", "a/2.jpg"], ["a/1.tif", "a/2.PSD"], ["row 0", "row 1"]),
}


@pytest.mark.parametrize(("keys", "names", "wanted"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("way", [scanned, curated])
def test_names_and_files(way: Any, keys: list[str], names: list[str], wanted: list[str | None], tmp_path: Path) -> None:
    found, labels = way(tmp_path, keys, names)
    assert labels == wanted
    missing = wanted.count(None)
    if isinstance(found, ScanReport):
        assert found.without_metadata == missing
    else:
        assert found.described.to_pylist() == [label is not None for _, label in sorted(zip(keys, labels, strict=True))]
        assert found.joined + found.repeated + found.ambiguous + found.unnamed == found.rows == len(names)


@pytest.mark.parametrize("way", [scanned, curated])
def test_what_is_ambiguous_is_counted_and_shown(way: Any, tmp_path: Path) -> None:
    found, labels = way(tmp_path, ["north/1.jpg", "south/1.jpg", "2.jpg"], ["1", "2"])
    assert labels == [None, None, "row 1"]
    assert (found.ambiguous if way is scanned else found.ambiguous_images) == 2
    (note,) = [note for note in found.notes if "left unmatched" in note]
    assert "2 images were left unmatched" in note
    assert "'north/1.jpg', and '1' in the table" in note


@pytest.mark.parametrize("way", [scanned, curated])
@pytest.mark.parametrize("mark", [";", "|", ",", "\n"])
def test_a_separator_is_offered_where_it_would_match_and_used_where_it_is_given(
    way: Any, mark: str, tmp_path: Path
) -> None:
    keys, names = ["a1.jpg", "a2.jpg", "b.jpg"], [f"a1.jpg{mark} a2.jpg", "b.jpg"]
    found, labels = way(tmp_path, keys, names)
    assert labels == [None, None, "row 1"]
    shown = mark.replace("\n", "\\n")
    assert any(f"give `file_separator='{shown}'`" in note and "1 cell of" in note for note in found.notes)
    found, labels = way(tmp_path, keys, names, file_separator=mark)
    assert labels == ["row 0", "row 0", "row 1"]
    assert not [note for note in found.notes if "file_separator" in note]


@pytest.mark.parametrize("way", [scanned, curated])
def test_where_fewer_than_half_match_a_value_and_a_file_are_shown_side_by_side(way: Any, tmp_path: Path) -> None:
    keys = [f"scan_{number}.jpg" for number in range(5)]
    found, _ = way(tmp_path, keys, ["scan_0", *(f"1999.{number}" for number in range(5))])
    assert any("Only 1 image of 5" in note and "'1999.0'" in note and "'scan_1.jpg'" in note for note in found.notes)


@pytest.mark.parametrize("way", [scanned, curated])
def test_where_nothing_matches_both_are_in_the_error(way: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'file' is like 'x1'.*the images are like 'a.jpg'"):
        way(tmp_path, ["a.jpg", "b.jpg"], ["x1", "x2"])


def test_more_rows_are_joined_than_a_row_group_of_the_database_has() -> None:
    """DuckDB 2.0 loses such rows of a table that was made in the same transaction."""
    count = 130_000
    keys = [f"{number // 1000:03d}/{number:06d}.jpg" for number in range(count)]
    images = pa.table({"image_id": keys, "uri": keys, "record_id": pa.nulls(count, pa.string())})
    rows = [{"file": f"{(number * 7919) % count:06d}.tif"} for number in range(count)]
    catalogue = pa.table({"row": range(count), "metadata": rows})
    with open_database() as database:
        for name, table in (("images", images), ("catalogue", catalogue)):
            database.register("given", table)
            database.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
        name_images(database)
        matching = match(database, "file")
        assert (matching.described, matching.joined) == (count, count)
        wrong = "SELECT count(*) FROM matches JOIN images ON images.rowid = image WHERE image <> row * 7919 % ?"
        assert database.execute(wrong, [count]).fetchall() == [(0,)]


def test_a_value_is_shown_as_it_is_written_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape("'file' is like 'D:\\scans\\x\ufffd[2J1.tif'")):
        scanned(tmp_path, ["a.jpg"], ["D:\\scans\\x\x1b[2J1.tif"])


def test_an_empty_separator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`file_separator`"):
        scanned(tmp_path, ["a.jpg"], ["a"], file_separator="")


PARTS = st.sampled_from(["a", "b", "A", "north", "North", "1", "01"])
KEYS = st.lists(st.tuples(st.lists(PARTS, max_size=3), PARTS), min_size=1, max_size=12, unique_by=str)


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(keys=KEYS, before=st.sampled_from(["", "D:\\scans\\", "//nas/share/", "/Volumes/disk 2/"]), data=st.data())
def test_whole_paths_name_every_file_and_no_other(
    keys: list[tuple[list[str], str]], before: str, data: st.DataObject
) -> None:
    files = ["/".join([*folders, f"{name}.jpg"]) for folders, name in keys]
    order = data.draw(st.permutations(range(len(files))))
    names = [before + files[place].replace("/", "\\" if "\\" in before else "/") for place in order]
    for way in (scanned, curated):
        with tempfile.TemporaryDirectory() as folder:
            _, labels = way(Path(folder), files, names)
        assert labels == [f"row {order.index(place)}" for place in range(len(files))]


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(keys=KEYS, cut=st.integers(0, 3))
def test_cut_paths_name_the_right_file_or_none(keys: list[tuple[list[str], str]], cut: int) -> None:
    files = ["/".join([*folders, f"{name}.jpg"]) for folders, name in keys]
    names = ["/".join(file.split("/")[-1 - cut :]) for file in files]
    with tempfile.TemporaryDirectory() as folder:
        try:
            _, labels = scanned(Path(folder), files, names)
        except InputError:  # all are ambiguous
            return
    for file, label in zip(files, labels, strict=True):
        if label is not None:
            name = names[int(label.removeprefix("row "))]
            assert f"/{file}".lower().endswith(f"/{name}".lower())
