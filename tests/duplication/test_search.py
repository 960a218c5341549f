"""Near-duplicates of a drawn collection: pairs with their reasons, groups, and updates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from artylyze.catalog.snapshot import read_catalog
from artylyze.duplication.hashes import turned
from artylyze.duplication.reasons import Reason
from artylyze.duplication.search import Duplicates, describe, find_duplicates
from artylyze.duplication.store import read_groups, read_pairs, read_run
from artylyze.errors import InputError, UsageError
from tests.catalogues import Silent
from tests.pictures import Painted, collection, painting, reencoded

BASE = painting(5, 240)


def cropped() -> npt.NDArray[np.uint8]:
    return BASE[20:220, 12:222]


def images() -> dict[str, Painted]:
    """A painting and what becomes of it, and ten other paintings about as near by their embeddings."""
    grey = np.asarray(Image.fromarray(BASE).convert("L").convert("RGB"))
    changed: Mapping[str, npt.NDArray[np.uint8]] = {
        "base.png": BASE,
        "base-again.png": BASE,
        "base-small.png": reencoded(BASE),
        "base-cropped.png": cropped(),
        "base-grey.png": grey,
        "base-mirrored.png": turned(BASE, 4),
        "base-turned.png": turned(BASE, 1),
    }
    random = np.random.default_rng(1)
    places = random.normal(size=(30, 3))

    def place(x: float, y: float, z: float) -> tuple[float, float, float]:
        return float(x), float(y), float(z)

    made = {
        name: Painted(pixels, place(*(np.array([5.0, 1, 0]) + 0.1 * places[row])))
        for row, (name, pixels) in enumerate(changed.items())
    }
    for row in range(10):
        made[f"other-{row}.png"] = Painted(painting(100 + row, 240), place(*(5 * places[10 + row])))
    made["other-3-verso.png"] = Painted(painting(300, 240), (0.0, 0.0, 9.0))
    made["broken.png"] = Painted(None, (0, 0, 0))
    return made


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> str:
    return collection(tmp_path_factory.mktemp("duplicates"), images())


@pytest.fixture(scope="module")
def found(catalog: str, tmp_path_factory: pytest.TempPathFactory) -> Duplicates:
    return find_duplicates(catalog, str(tmp_path_factory.mktemp("out") / "duplicates"), Silent())


def reasons(folder: str) -> dict[tuple[str, str], tuple[str, str]]:
    rows = read_pairs(folder).to_pylist()
    return {(row["image_id_a"], row["image_id_b"]): (row["reason"], row["transform"]) for row in rows}


def test_each_pair_has_its_reason(found: Duplicates) -> None:
    pairs = reasons(found.folder)

    assert pairs["base-again.png", "base.png"] == (Reason.FILE, "none")
    assert pairs["base-small.png", "base.png"] == (Reason.PHOTOGRAPH, "none")
    assert pairs["base-cropped.png", "base.png"] == (Reason.CROP, "none")
    assert pairs["base-grey.png", "base.png"] == (Reason.LIGHT, "none")
    assert pairs["base-mirrored.png", "base.png"] == (Reason.PHOTOGRAPH, "mirrored")
    assert pairs["base-turned.png", "base.png"][1] in ("rotated 90", "rotated 270")
    assert pairs["other-3-verso.png", "other-3.png"] == (Reason.SIDES, "none")
    assert not [pair for pair in pairs if pair[0].startswith("base") != pair[1].startswith("base")]


def test_groups_hold_each_image_once(found: Duplicates) -> None:
    groups = read_groups(found.folder).to_pylist()

    first = [row for row in groups if row["group"] == 0]
    assert {row["image_id"] for row in first} == {name for name in images() if name.startswith("base")}
    assert [row["role"] for row in first] == ["representative", *["member"] * 6]
    assert (first[0]["reason"], first[0]["score"]) == (None, None)
    assert len({row["image_id"] for row in groups}) == len(groups)
    assert found.run["works"] == 18 - 6 - 1
    assert "2 groups" in describe(found)


def test_the_folder_has_a_table_for_spreadsheets_and_a_sheet(found: Duplicates) -> None:
    folder = Path(found.folder)

    assert (folder / "groups.csv").read_text("utf-8-sig").splitlines()[0] == (
        "group,role,image_id,record_id,reason,score,uri"
    )
    with Image.open(folder / "groups.png") as sheet:
        assert sheet.width > 1000
    assert read_run(found.folder)["groups"] == 2


def test_an_update_finds_what_a_fresh_search_finds(found: Duplicates, catalog: str, tmp_path: Path) -> None:
    few = {name: one for name, one in images().items() if name not in ("base-cropped.png", "other-2.png", "base.png")}
    before = collection(tmp_path / "few", few)
    out = str(tmp_path / "duplicates")
    find_duplicates(before, out, Silent())
    shutil.rmtree(tmp_path / "few")
    now = collection(tmp_path / "few", images())

    updated = find_duplicates(now, out, Silent(), update=True)
    fresh = find_duplicates(now, str(tmp_path / "fresh"), Silent())

    assert updated.run["compared_before"] > 0
    assert fresh.run["compared_before"] == 0
    for read in (read_pairs, read_groups):
        assert read(out).equals(read(str(tmp_path / "fresh")))
    assert read_pairs(out).equals(read_pairs(found.folder))


def test_nothing_is_compared_again_where_nothing_changed(found: Duplicates, catalog: str, tmp_path: Path) -> None:
    out = tmp_path / "duplicates"
    shutil.copytree(found.folder, out)

    again = find_duplicates(catalog, str(out), Silent(), update=True)

    assert again.run["compared_before"] == again.run["compared"] == found.run["compared"]
    assert read_groups(str(out)).equals(read_groups(found.folder))


def test_an_update_without_an_earlier_search_is_refused(catalog: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There are no duplicates"):
        find_duplicates(catalog, str(tmp_path / "none"), Silent(), update=True)


def test_other_folders_are_not_overwritten(catalog: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a catalog"):
        find_duplicates(catalog, catalog, Silent())
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, "method": "embedding"}))
    with pytest.raises(UsageError, match="holds something else"):
        find_duplicates(catalog, str(tmp_path), Silent())


def test_a_catalog_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no complete catalog"):
        find_duplicates(str(tmp_path / "nowhere"), str(tmp_path / "out"), Silent())


def test_images_that_are_gone_are_counted(tmp_path: Path) -> None:
    catalog = collection(tmp_path, images())
    (tmp_path / "images" / "base-small.png").unlink()

    found = find_duplicates(catalog, str(tmp_path / "out"), Silent())

    assert found.run["unread"] == {"missing": 1}
    assert "Pairs may be missing" in describe(found)
    assert len(read_catalog(catalog)) == 19
