"""What is skipped among the images of a collection: by default, on request, and by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from artylyze.collection.exclusion import Exclusion
from artylyze.collection.scan import scan
from artylyze.errors import InputError, UsageError
from artylyze.storage import open_store
from tests.conftest import S3, obey_permissions
from tests.tagging.conftest import fill

ARTYLYZE = str(Path(sys.executable).parent / "artylyze")
LEFT_OUT = (
    "box/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg",
    "box/@eadir/1.jpg",
    "#recycle/gone.jpg",
    "$RECYCLE.BIN/gone.jpg",
    "@Recycle/gone.jpg",
    ".@__thumb/default1.jpg",
    "__MACOSX/box/1.jpg",
    ".Trashes/501/gone.jpg",
    ".snapshot/daily/box/1.jpg",
    "lost+found/#123.jpg",
    "System Volume Information/x.jpg",
    ".hidden.jpg",
    "box/._1.jpg",
)
TAKEN = ("box/1.jpg", "box/eaDir/2.jpg", "recycle/3.jpg", "..dots.jpg")


def write(folder: Path, *keys: str) -> str:
    for key in keys:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    return str(folder)


def ids(source: str, tmp_path: Path, **options: object) -> list[str]:
    target = str(tmp_path / "manifest.parquet")
    scan(source, target, **options)  # type: ignore[arg-type]
    return [str(key) for key in pq.read_table(target).column("image_id").to_pylist()]


def artylyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a user whom file permissions bind."""
    return subprocess.run(
        [ARTYLYZE, *map(str, arguments)], capture_output=True, text=True, preexec_fn=obey_permissions, timeout=300
    )


def test_what_systems_leave_among_the_images_is_passed_over(tmp_path: Path) -> None:
    assert ids(write(tmp_path / "scans", *LEFT_OUT, *TAKEN), tmp_path) == sorted(TAKEN)


def test_it_is_passed_over_in_a_bucket_too(s3: S3, aws: Callable[[S3], None], tmp_path: Path) -> None:
    aws(s3)
    store = open_store(s3.bucket("exclusion") + "/scans")
    for key in (*LEFT_OUT, *TAKEN):
        store.put(key, b"image")
    report = scan(store.url, str(tmp_path / "m.parquet"), exclude=["eaDir"])
    assert report.images == len(TAKEN) - 1
    assert report.left_out.folders["@eaDir"] == report.left_out.folders["eaDir"] == 1


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (["*_t.jpg"], ["a/1.jpg", "a/b/2.jpg", "c/3.jpg"]),
        (["b"], ["a/1.jpg", "a/1_t.jpg", "c/3.jpg"]),
        (["a/"], ["c/3.jpg"]),
        (["a/*"], ["c/3.jpg"]),
        (["a/b", "c"], ["a/1.jpg", "a/1_t.jpg"]),
    ],
)
def test_patterns_exclude_files_and_folders_by_key_or_name(tmp_path: Path, exclude: list[str], left: list[str]) -> None:
    source = write(tmp_path / "scans", "a/1.jpg", "a/1_t.jpg", "a/b/2.jpg", "c/3.jpg")
    assert ids(source, tmp_path, exclude=exclude) == left


def test_a_glob_that_spells_the_name_of_such_a_folder_takes_what_is_in_it(tmp_path: Path) -> None:
    source = write(tmp_path / "scans", "@eaDir/1.jpg", ".old/2.jpg", "3.jpg", ".4.jpg")
    assert ids(source, tmp_path, glob="*") == ["3.jpg"]
    assert ids(source, tmp_path, glob="@eaDir/*") == ["@eaDir/1.jpg"]
    assert ids(source, tmp_path, glob=".old/*.jpg") == [".old/2.jpg"]
    assert ids(source, tmp_path, glob=".4.jpg") == [".4.jpg"]


def test_the_names_are_compared_without_their_case() -> None:
    assert Exclusion().skips_folder("a/$Recycle.Bin")
    assert not Exclusion().skips_folder("a/recycle.bin")


def test_a_list_of_addresses_has_nothing_to_exclude(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("uri\na.jpg\n")
    with pytest.raises(UsageError, match="`exclude"):
        scan(str(tmp_path / "list.csv"), str(tmp_path / "m.parquet"), exclude=["a"])


def test_where_nothing_is_left_the_reasons_are_said(tmp_path: Path) -> None:
    source = write(tmp_path / "scans", "@eaDir/1.jpg", "notes.txt")
    with pytest.raises(InputError, match=r"1 other file skipped.*1 folder \(@eaDir\)"):
        scan(source, str(tmp_path / "m.parquet"))


def test_scan_says_what_it_left_out(tmp_path: Path) -> None:
    source = Path(write(tmp_path / "scans", "a/1.jpg", "a/@eaDir/1.jpg", "b/@eaDir/2.jpg", "#recycle/3.jpg", "x_t.jpg"))
    write(source / "closed", "4.jpg")
    (source / "closed").chmod(0)
    (source / "dead.jpg").symlink_to("nowhere")
    (source / "up").symlink_to("..")
    result = artylyze("scan", source, "-o", tmp_path / "m.parquet", "--exclude", "*_t.jpg")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[:5] == [
        "1 image, 5 bytes; 1 other file skipped.",
        "Skipped, as hidden, created by a system, or excluded: 3 folders (@eaDir 2 times, #recycle).",
        "Not readable: 1 folder or file (closed (Permission denied)).",
        "Broken: 1 link (dead.jpg).",
        "Not followed, as their content is listed already or contains the collection: 1 link to a folder (up).",
    ]
    found = json.loads(artylyze("scan", source, "-o", tmp_path / "m.parquet", "--json").stdout)
    assert found["left_out"]["folders"] == {"@eaDir": 2, "#recycle": 1}
    assert found["left_out"]["unreadable"] == {"count": 1, "first": ["closed (Permission denied)"]}
    (source / "closed").chmod(0o755)


def test_an_update_keeps_the_rows_of_a_folder_that_cannot_be_read_today(tmp_path: Path, model: Path) -> None:
    for name in ("open", "closed"):
        fill(tmp_path / "scans" / name, 2)
    arguments = ("tag", tmp_path / "scans", "-o", tmp_path / "out", "--model", model, "--workers", "1")
    assert artylyze(*arguments).returncode == 0
    (tmp_path / "scans" / "closed").chmod(0)
    result = artylyze(*arguments, "--update")
    assert result.returncode == 4
    assert "closed (Permission denied)" in result.stderr
    assert "would drop their images" in result.stderr
    result = artylyze(*arguments, "--update", "--exclude", "closed", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["rows"] == 2
    (tmp_path / "scans" / "closed").chmod(0o755)
