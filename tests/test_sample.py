from __future__ import annotations

import csv
import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from artylyze.collection import taxonomy
from artylyze.errors import ErrorCode, InputError, UsageError
from artylyze.sample import AWKWARD_SHARE, LARGE_SHARE, Record, Spec, describe, render, write_sample
from artylyze.sample.awkward import TRAITS
from artylyze.sample.plan import ARTISTS
from artylyze.sample.scenes import SCENES
from artylyze.sample.shipped import read_resource, write_shipped
from artylyze.sample.styles import STYLES

SMALL = "64x48"


def digests(folder: Path) -> dict[str, str]:
    files = (folder / "images").rglob("*.*")
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_worker_count_and_process_change_nothing(tmp_path: Path) -> None:
    write_sample(tmp_path / "one", 70, size=SMALL, workers=1)
    write_sample(tmp_path / "two", 70, size=SMALL, workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert (tmp_path / "one" / "metadata.csv").read_bytes() == (tmp_path / "two" / "metadata.csv").read_bytes()


def test_a_script_without_a_guard_may_use_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    call = f"write_sample(Path({str(tmp_path / 'out')!r}), 70, size={SMALL!r}, workers=2)"
    script.write_text(f"from pathlib import Path\nfrom artylyze.sample import write_sample\n{call}\n")
    subprocess.run([sys.executable, str(script)], check=True, cwd=Path(__file__).parents[1])
    assert len(digests(tmp_path / "out")) == 70


def test_a_smaller_sample_is_the_beginning_of_a_larger(tmp_path: Path) -> None:
    write_sample(tmp_path / "few", 5, size=SMALL, awkward=True)
    write_sample(tmp_path / "more", 12, size=SMALL, awkward=True)
    few, more = digests(tmp_path / "few"), digests(tmp_path / "more")
    assert few.items() <= more.items()
    assert rows(tmp_path / "few") == rows(tmp_path / "more")[:5]


def test_seed_and_size_give_other_pictures() -> None:
    first = render(Spec(0, SMALL, awkward=False), 0)
    assert first.tobytes() == render(Spec(0, SMALL, awkward=False), 0).tobytes()
    assert first.tobytes() != render(Spec(1, SMALL, awkward=False), 0).tobytes()
    assert render(Spec(0, "40x90", awkward=False), 0).size == (40, 90)


def test_metadata_and_files_are_the_same_set(tmp_path: Path) -> None:
    summary = write_sample(tmp_path / "s", 30, size=SMALL, awkward=True)
    table = rows(tmp_path / "s")
    assert summary.count == len(table) == 30
    assert {row["file"] for row in table} == set(digests(tmp_path / "s"))
    assert len({row["record_id"] for row in table}) == 30
    assert list(table[0])[:8] == ["record_id", "file", "title", "artist", "nationality", "date", "genre", "style"]
    assert summary.awkward == sum(row["awkward"] != "" for row in table)


def test_an_ordinary_sample_has_no_column_for_expectations(tmp_path: Path) -> None:
    write_sample(tmp_path / "s", 1, size=SMALL)
    assert "expected" not in rows(tmp_path / "s")[0]
    readme = (tmp_path / "s" / "README.md").read_text(encoding="utf-8")
    assert "drawn by a program" in readme
    assert "--count 1 --size 64x48 --seed 0" in readme
    assert "Do not judge" in readme


def test_labels_are_terms_and_artists_paint_in_their_own_styles() -> None:
    styles = {name: artist[3] for name, artist in ARTISTS.items()}
    seen = [describe(Spec(0, SMALL, awkward=False), index) for index in range(600)]
    assert {r.genre for r in seen} == set(SCENES)
    assert {r.style for r in seen} == set(STYLES)
    for record in seen:
        assert record.style in styles[record.artist]
    for genre in SCENES:
        term = taxonomy.normalise("genre", genre)
        assert term is not None
        assert term.name == genre
    for style in STYLES:
        term = taxonomy.normalise("style", style)
        assert term is not None
        assert term.name == style
        assert sum(style in own for own in styles.values()) >= 3


def test_the_shares_are_as_stated() -> None:
    odd = [describe(Spec(0, SMALL, awkward=True), index).trait for index in range(2000)]
    assert sum(trait != "" for trait in odd) / 2000 == pytest.approx(AWKWARD_SHARE, abs=0.02)
    assert set(odd) - {""} == set(TRAITS)
    longest = [max(r.width, r.height) for r in (describe(Spec(0, "mixed", awkward=False), i) for i in range(2000))]
    assert sum(n >= 2000 for n in longest) / 2000 == pytest.approx(LARGE_SHARE, abs=0.01)
    assert max(longest) <= 4000


@pytest.mark.parametrize("size", ["32x32", "320x240"])
@pytest.mark.parametrize("trait", TRAITS)
def test_pillow_reads_an_awkward_file_as_expected(trait: str, size: str, tmp_path: Path) -> None:
    file = tmp_path / TRAITS[trait].name.format(id="x")
    file.write_bytes(TRAITS[trait].encode(render(Spec(0, size, awkward=True), 3)))
    assert reading(file) == TRAITS[trait].expected


def reading(file: Path) -> str:
    if file.stat().st_size == 0:
        return ErrorCode.EMPTY
    try:
        with Image.open(file) as image:
            image.load()
    except UnidentifiedImageError:
        return ErrorCode.UNSUPPORTED
    except OSError as error:
        return ErrorCode.TRUNCATED if "truncated" in str(error) else ErrorCode.CORRUPT
    return "ok"


def test_an_odd_name_stays_in_its_folder(tmp_path: Path) -> None:
    write_sample(tmp_path / "s", 60, size="32x32", awkward=True)
    assert {len(Path(row["file"]).parts) for row in rows(tmp_path / "s")} == {3}


def test_the_same_command_leaves_a_sample_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write_sample(folder, 4, size=SMALL)
    before = {path: path.stat().st_mtime_ns for path in (folder / "images").rglob("*.jpg")}
    assert write_sample(folder, 4, size=SMALL).written == 0
    assert write_sample(folder, 2, size=SMALL).count == 4
    assert {path: path.stat().st_mtime_ns for path in (folder / "images").rglob("*.jpg")} == before


def test_a_sample_is_topped_up_and_mended(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write_sample(folder, 4, size=SMALL)
    whole = digests(folder)
    (folder / rows(folder)[1]["file"]).unlink()
    assert write_sample(folder, 6, size=SMALL).written == 3
    assert whole.items() <= digests(folder).items()
    assert len(rows(folder)) == 6


def test_a_foreign_folder_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match="not empty"):
        write_sample(tmp_path, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    with pytest.raises(InputError, match="is a file"):
        write_sample(tmp_path / "holiday.jpg", 3)


def test_another_sample_is_refused(tmp_path: Path) -> None:
    write_sample(tmp_path / "s", 1, size=SMALL)
    with pytest.raises(InputError, match="another sample"):
        write_sample(tmp_path / "s", 1, size=SMALL, seed=1)
    (tmp_path / "s" / "sample.json").write_text("[]")
    with pytest.raises(InputError, match=r"sample\.json"):
        write_sample(tmp_path / "s", 1, size=SMALL)


@pytest.mark.parametrize("size", ["", "640", "640x", "axb", "0x0", "16x16", "9000x9000", "1000x100", "640x480 "])
def test_a_bad_size_is_a_usage_error(size: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_sample(tmp_path / "s", 1, size=size)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(("count", "seed", "workers"), [(0, 0, 1), (-5, 0, 1), (1, -1, 1), (1, 0, 0)])
def test_bad_numbers_are_usage_errors(count: int, seed: int, workers: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_sample(tmp_path / "s", count, seed=seed, workers=workers)
    assert not (tmp_path / "s").exists()


def test_neither_ray_nor_torch_is_imported() -> None:
    code = (
        "import sys, artylyze.sample, artylyze.collection.taxonomy; sys.exit(bool({'ray', 'torch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


def features(image: Image.Image) -> np.ndarray:
    """A thumbnail, and how colours and edges are spread."""
    pixels = np.asarray(image, dtype=np.float32) / 255
    gray = pixels.mean(axis=2)
    edges = [np.abs(np.diff(gray, axis=axis)) for axis in (0, 1)]
    spread = [np.percentile(band, [1, 10, 25, 50, 75, 90, 99]) for band in (*pixels.transpose(2, 0, 1), *edges)]
    chroma = np.percentile(np.ptp(pixels, axis=2), [10, 50, 90])
    thumbnail = np.asarray(image.resize((12, 9), Image.Resampling.BOX), dtype=np.float32) / 255
    return np.concatenate([thumbnail.ravel(), *spread, chroma])


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, list[Record]]:
    spec = Spec(0, "64x48", awkward=False)
    return np.stack([features(render(spec, index)) for index in range(360)]), [describe(spec, i) for i in range(360)]


@pytest.mark.parametrize(("task", "chance", "floor"), [("genre", 1 / 6, 0.7), ("style", 1 / 8, 0.7)])
def test_labels_can_be_learned_from_pixels(
    task: str, chance: float, floor: float, drawn: tuple[np.ndarray, list[Record]]
) -> None:
    x, labels = drawn[0], np.array([getattr(record, task) for record in drawn[1]])
    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=100)).fit(x[:260], labels[:260])
    assert model.score(x[260:], labels[260:]) > floor > 4 * chance


def resource_file(files: dict[str, bytes], *, compressed: str = "") -> bytes:
    """Return a Qt resource file, version 2, with a folder that holds `files`."""
    names, data, nodes = b"", b"", [(0, 2, 1, 1), (0, 2, len(files), 2)]
    for name, content in files.items():
        nodes.append((len(names), 1 if name == compressed else 0, 0, len(data)))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        data += struct.pack(">I", len(content)) + content
    tree = b"".join(struct.pack(">IHIIQ", *node, 0) for node in nodes)
    start = 20
    return (
        struct.pack(">4sIIII", b"qres", 2, start, start + len(tree), start + len(tree) + len(data))
        + tree
        + data
        + names
    )


def test_real_pictures_are_those_that_packages_ship(tmp_path: Path) -> None:
    resource = tmp_path / "details.rcc"
    resource.write_bytes(resource_file({"board.qml": b"x", "Café_background.webp": b"whole", "Café_0.webp": b"detail"}))
    write_shipped(tmp_path / "with", resource)
    write_shipped(tmp_path / "without", tmp_path / "missing.rcc")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "with").iterdir()}
    write_shipped(tmp_path / "with", resource)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "with").iterdir()} == before
    photographs = {path.name for path in (tmp_path / "without").iterdir()}
    assert photographs == {"china.jpg", "flower.jpg", "grace_hopper.jpg"}
    assert {path.name for path in (tmp_path / "with").iterdir()} == photographs | {"Café.webp"}
    assert (tmp_path / "with" / "Café.webp").read_bytes() == b"whole"
    for name in photographs:
        Image.open(tmp_path / "with" / name).load()


def test_a_resource_file_is_read_but_for_what_is_compressed(tmp_path: Path) -> None:
    path, files = tmp_path / "a.rcc", {"a.webp": b"first", "b.webp": b"", "c.webp": b"third"}
    path.write_bytes(resource_file(files, compressed="c.webp"))
    assert dict(read_resource(path)) == {"a.webp": b"first", "b.webp": b""}
    path.write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"a\.rcc is no Qt resource file"):
        next(read_resource(path))
