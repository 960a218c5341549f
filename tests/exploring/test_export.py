"""An explorer as files: what is in them, that a second run resumes, and what becomes of poor catalogs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from artylyze.duplication.store import FORMAT, GROUP_SCHEMA
from artylyze.errors import InputError, UsageError
from artylyze.exploring import details, facets
from artylyze.exploring.atlases import size_in
from artylyze.exploring.details import iiif_info
from artylyze.exploring.reviews import Session, check_decision
from artylyze.exploring.years import UNKNOWN
from artylyze.images.quality import WARNINGS
from tests.catalogues import Silent
from tests.exploring.museum import TITLE, column, jpeg, loaded, metadata, museum, written
from tests.searching.catalogs import blobs, write_catalog


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> str:
    return museum(tmp_path_factory.mktemp("museum") / "catalog", ends=[40])


@pytest.fixture(scope="module")
def folder(catalog: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explorer") / "page"
    written(catalog, folder, title="Museum")
    return folder


def test_the_index_names_what_there_is(folder: Path) -> None:
    index = loaded(folder, "data/index.json")

    assert (index["version"], index["title"], index["n"], index["served"], index["token"]) == (
        2,
        "Museum",
        90,
        False,
        None,
    )
    assert index["thumbs"] == [32, 64, 128]
    assert index["neighbours"] == 24
    assert index["projection"]["method"] == "t-SNE"
    for one in index["columns"]:
        assert len(column(folder, one["name"])) == 90
    for facet in index["facets"]:
        codes = column(folder, facet["column"])
        assert len(facet["terms"]) == len(facet["counts"])
        assert [int((codes == code).sum()) for code in range(1, len(facet["terms"]) + 1)] == facet["counts"]


def test_facets_are_those_that_sort_works(folder: Path) -> None:
    kinds = {(facet["name"], facet["kind"]): facet["terms"] for facet in loaded(folder, "data/index.json")["facets"]}

    assert kinds["genre", "task"] == ["landscape", "portrait"]
    assert kinds["place", "metadata"] == ["Köln", "Paris"]
    assert kinds["error", "error"] == ["missing"]
    assert ("title", "metadata") not in kinds
    assert len(kinds["artist", "metadata"]) == 23


def test_works_that_could_not_be_read_are_marked(folder: Path) -> None:
    status = column(folder, "status")

    assert np.flatnonzero(status).tolist() == [7]
    assert loaded(folder, "data/works/0.json")[7]["error"] == "missing"
    assert (column(folder, "width")[7], column(folder, "x")[7], column(folder, "y")[7]) == (0, 0, 0)


def test_warnings_are_a_facet_and_explained_with_the_work(tmp_path: Path) -> None:
    warnings = {0: ["animated", "upscaled"], 1: ["animated"], 2: ["animated", "upscaled"]}
    written(museum(tmp_path / "catalog", 12, warnings=warnings), tmp_path / "page")
    (facet,) = [facet for facet in loaded(tmp_path / "page", "data/index.json")["facets"] if facet["kind"] == "warning"]
    assert dict(zip(facet["terms"], facet["counts"], strict=True)) == {"animated": 1, "animated, upscaled": 2}
    codes = column(tmp_path / "page", facet["column"])
    assert [facet["terms"][code - 1] for code in codes[:2]] == ["animated, upscaled", "animated"]
    works = loaded(tmp_path / "page", "data/works/0.json")
    assert works[1]["warning"] == WARNINGS["animated"]
    assert works[3]["warning"] is None


def test_works_come_in_the_order_of_their_ids_with_all_that_is_known(folder: Path) -> None:
    works = loaded(folder, "data/works/0.json")
    work = works[1]

    assert [one["id"] for one in works] == [f"{number:06}.jpg" for number in range(90)]
    assert works[0]["title"] == TITLE
    assert (work["title"], work["artist"], work["date"]) == ("Élan 1", "Artist 0", "c. 1601")
    assert work["metadata"]["place"] == "Köln"
    assert (work["image"], work["iiif"]) == (None, None)
    assert column(folder, "year")[:3].tolist() == [1600, 1601, 1602]
    assert loaded(folder, "data/text/0.json")[1].startswith("elan 1 | artist 0 | 000001")


def test_thumbnails_lie_in_their_cells(folder: Path) -> None:
    for cell, side in ((128, 8), (64, 32), (32, 64)):
        with Image.open(folder / f"data/thumbs/{cell}/0.jpg") as atlas:
            assert atlas.size == (cell * side, cell * side)
            for number in (0, 3, 9):
                left, top = number % side * cell, number // side * cell
                width, height = size_in(cell, 300, 200)
                inside = np.array(atlas.crop((left + 2, top + 2, left + width - 2, top + height - 2))).reshape(-1, 3)
                with Image.open(io.BytesIO(jpeg(number))) as picture:
                    expected = np.array(picture)[5, 5]
                assert np.abs(inside.mean(axis=0) - expected).max() < 12
    with Image.open(folder / "data/thumbs/128/0.jpg") as atlas:
        assert np.abs(np.array(atlas)[64, 7 * 128 + 64].astype(int) - 214).max() < 8  # the error is a grey cell


def test_neighbours_and_colours_are_plain_arrays(folder: Path) -> None:
    near = np.fromfile(folder / "data/neighbours/0.bin", "<u4").reshape(90, 24)
    colors = np.fromfile(folder / "data/colors.bin", np.uint8).reshape(90, 5, 4)

    assert (near[7] == 0xFFFFFFFF).all()
    assert 7 not in near[[0, 50]]
    assert all(row not in near[row] for row in range(90))
    assert colors[0, 0].view(np.int8)[:3].tolist() == [50, -20, 30]
    assert colors[0, 0, 3] == 191
    assert not colors[89].any()
    assert column(folder, "lightness")[0] == round((50 * 0.75 + 90 * 0.25) * 2.55)


def test_all_but_the_atlases_is_in_one_script_that_no_text_can_end(folder: Path) -> None:
    script = (folder / "data/inline.js").read_text("utf-8")
    head, _, rest = script.partition(" = ")
    values = json.loads(rest.removesuffix(";\n"))

    assert head == "window.ARTYLYZE_DATA"
    assert not {"<", ">", "\u2028", "\u2029"} & {*script}
    assert values["data/index.json"] == loaded(folder, "data/index.json")
    assert values["data/works/0.json"][0]["title"] == TITLE
    files = {str(path.relative_to(folder)) for path in (folder / "data").rglob("*") if path.is_file()}
    atlases = {name for name in files if name.startswith("data/thumbs/")}
    assert files - atlases == {*values, "data/inline.js", "data/made.json"}


def test_a_second_run_makes_nothing_again(catalog: str, folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "data").rglob("*.jpg")}
    before |= {path: path.stat().st_mtime_ns for path in (folder / "data/works").iterdir()}

    written(catalog, folder)

    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_an_interrupted_run_leaves_no_index_and_is_resumed(
    catalog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(details, "detail_files", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            written(catalog, tmp_path / "page")
    assert not (tmp_path / "page/data/index.json").exists()
    atlas = (tmp_path / "page/data/thumbs/128/0.jpg").stat().st_mtime_ns

    written(catalog, tmp_path / "page")

    assert (tmp_path / "page/data/index.json").exists()
    assert (tmp_path / "page/data/thumbs/128/0.jpg").stat().st_mtime_ns == atlas


def test_a_smaller_catalog_leaves_no_files_of_the_larger(tmp_path: Path) -> None:
    written(museum(tmp_path / "large", 300), tmp_path / "page")
    written(museum(tmp_path / "small", 60), tmp_path / "page")

    assert [path.name for path in (tmp_path / "page/data/works").iterdir()] == ["0.json"]
    assert [path.name for path in (tmp_path / "page/data/thumbs/128").iterdir()] == ["0.jpg"]


def test_a_folder_with_other_files_is_left_alone(catalog: str, tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("mine")

    with pytest.raises(UsageError, match=r"holds other files \(thesis.doc\)"):
        written(catalog, tmp_path)
    with pytest.raises(UsageError, match="is a catalog"):
        written(catalog, Path(catalog))
    with pytest.raises(UsageError, match="is a file"):
        written(catalog, tmp_path / "thesis.doc")


def test_originals_are_read_where_the_catalog_has_no_thumbnails(tmp_path: Path) -> None:
    table = museum_of_files(tmp_path, 3)
    (tmp_path / "scans/1.jpg").unlink()

    explored = written(table, tmp_path / "page")

    assert explored.missing == {"missing": 1}
    assert column(tmp_path / "page", "gone").tolist() == [0, 1, 0]
    assert "1 picture could not be read" in explored.notes[-1]
    (tmp_path / "scans/1.jpg").write_bytes(jpeg(1, (300, 200)))
    assert written(table, tmp_path / "page").missing == {}  # it is back, and is read now


def museum_of_files(folder: Path, count: int, prefix: str = "") -> str:
    """Write a catalog whose images are there, without thumbnails; it knows the formats of every other one."""
    catalog = write_catalog(folder / "catalog", blobs(count, 8))
    (folder / "scans").mkdir()
    part = next((folder / "catalog").rglob("*.parquet"))
    with pq.ParquetFile(part) as file:
        table = file.read()
    uris = []
    for number in range(count):
        path = folder / f"scans/{number}.jpg"
        path.write_bytes(jpeg(number, (300, 200)))
        uris.append(str(path))
    place = table.schema.get_field_index("uri")
    table = table.set_column(place, table.schema.field(place), pa.array(uris))
    place = table.schema.get_field_index("format")
    formats = pa.array(["JPEG" if number % 2 else None for number in range(count)], pa.string())
    table = table.set_column(place, table.schema.field(place), formats)
    ids = pa.array([f"{prefix}{one}" for one in table.column("image_id").to_pylist()])
    pq.write_table(table.set_column(0, table.schema.field("image_id"), ids), part)
    return catalog


def test_poor_catalogs_are_shown_with_what_they_lack(tmp_path: Path) -> None:
    all_bad = written(museum(tmp_path / "bad", 20, errors=range(20)), tmp_path / "bad-page")
    single = written(museum(tmp_path / "single", 1, errors=[], metadata=None), tmp_path / "single-page")
    plain = written(write_catalog(tmp_path / "plain", blobs(40, 8)), tmp_path / "plain-page")

    assert all_bad.notes[0].startswith("None of the images could be read")
    assert loaded(tmp_path / "bad-page", "data/index.json")["projection"] is None
    assert loaded(tmp_path / "single-page", "data/index.json")["n"] == 1
    assert any("no metadata" in note for note in single.notes)
    assert any("pictures could not be read" in note for note in plain.notes)
    assert loaded(tmp_path / "plain-page", "data/index.json")["colors"] is False
    assert set(column(tmp_path / "plain-page", "year").tolist()) == {UNKNOWN}


def test_embeddings_of_two_models_have_no_map(tmp_path: Path) -> None:
    museum(tmp_path / "catalog", 40, ends=[20], only=1, errors=[])
    catalog = museum(tmp_path / "catalog", 40, ends=[20], errors=[], model_id="another")

    explored = written(catalog, tmp_path / "page")

    assert "2 models (another, model)" in explored.notes[0]
    assert loaded(tmp_path / "page", "data/index.json")["neighbours"] == 0


def test_no_catalog_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no complete catalog"):
        written(str(tmp_path / "nothing"), tmp_path / "page")


def test_ten_thousand_artists_have_a_file_of_terms(tmp_path: Path) -> None:
    count = 10_200
    rows = [{"artist": f"Zacharias Nr. {number:05}", "number": str(number)} for number in range(count)]
    catalog = write_catalog(tmp_path / "catalog", blobs(count, 4), metadata=rows, errors=range(count))

    written(catalog, tmp_path / "page")

    facets_there = {facet["name"]: facet for facet in loaded(tmp_path / "page", "data/index.json")["facets"]}
    assert facets_there["artist"]["terms"] is None
    assert len(loaded(tmp_path / "page", "data/terms/meta_artist.json")) == len(facets_there["artist"]["counts"])
    assert "number" not in facets_there
    assert not (tmp_path / "page/data/inline.js").exists()


def test_decisions_take_the_place_of_the_tags(tmp_path: Path) -> None:
    catalog = museum(tmp_path / "catalog", 40)
    decisions = [
        {"image_id": "000000.jpg", "decision": "correct", "term": "still life"},
        {"image_id": "000001.jpg", "decision": "reject"},
        {"image_id": "000002.jpg", "decision": "accept", "suggestion": "portrait"},
        {"image_id": "gone.jpg", "decision": "reject"},
    ]
    Session(catalog).save(check_decision({"task": "genre", **decision}) for decision in decisions)

    written(catalog, tmp_path / "page")

    index = loaded(tmp_path / "page", "data/index.json")
    decided = next(facet for facet in index["facets"] if facet["kind"] == "decision")
    assert index["tasks"] == [{"name": "genre", "terms": ["landscape", "portrait", "still life"]}]
    assert column(tmp_path / "page", "genre")[:4].tolist() == [3, 0, 2, 1]
    assert (decided["terms"], decided["counts"]) == (["human", "rejected", "unsure"], [2, 1, 0])
    assert [one["row"] for one in loaded(tmp_path / "page", "data/decisions.json")] == [0, 1, 2]


def test_near_duplicates_are_named_with_their_reasons(tmp_path: Path) -> None:
    groups = [
        {"group": 0, "image_id": "000003.jpg", "role": "representative", "reason": None, "score": None},
        {"group": 0, "image_id": "000005.jpg", "role": "member", "reason": "detail", "score": 0.9},
    ]
    (tmp_path / "duplicates").mkdir()
    pq.write_table(pa.Table.from_pylist(groups, GROUP_SCHEMA), tmp_path / "duplicates/groups.parquet")
    (tmp_path / "duplicates/run.json").write_text(json.dumps({"format": FORMAT, "pairs": 1}))

    written(museum(tmp_path / "catalog", 40), tmp_path / "page", duplicates=str(tmp_path / "duplicates"))

    works = loaded(tmp_path / "page", "data/works/0.json")
    assert (works[3]["duplicates"], works[5]["duplicates"]) == ([[5, "detail", 0.9]], [[3, "detail", 0.9]])
    assert "duplicates" not in works[4]
    with pytest.raises(InputError, match="no duplicates in"):
        written(str(tmp_path / "catalog"), tmp_path / "page", duplicates=str(tmp_path / "page"))


def test_clusters_have_names_and_influences(tmp_path: Path) -> None:
    from artylyze.clustering.cluster import cluster
    from artylyze.clustering.request import ClusterRequest

    catalog = museum(tmp_path / "catalog", 90)
    cluster(ClusterRequest(catalog, str(tmp_path / "clusters"), k=3), Silent())

    written(catalog, tmp_path / "page", clusters=str(tmp_path / "clusters"))

    summary = loaded(tmp_path / "page", "data/index.json")["clusters"]
    codes = column(tmp_path / "page", "cluster")
    work = loaded(tmp_path / "page", "data/works/0.json")[0]
    assert (summary["k"], len(set(summary["names"])), sum(summary["sizes"])) == (3, 3, 89)
    assert codes[7] == 0
    assert all(codes[row] == number + 1 for number, rows in enumerate(summary["typical"]) for row in rows)
    assert work["influences"][0][0] == codes[0] - 1
    other = museum_of_files(tmp_path / "other", 3, "other")
    with pytest.raises(InputError, match="clusters of other images"):
        written(other, tmp_path / "other-page", clusters=str(tmp_path / "clusters"))


def test_an_explorer_in_the_collection_is_no_part_of_it(tmp_path: Path) -> None:
    from artylyze.collection.scan import scan

    (tmp_path / "scans").mkdir()
    (tmp_path / "scans/work.jpg").write_bytes(jpeg(1))
    written(museum(tmp_path / "catalog", 40), tmp_path / "scans/page")

    assert scan(str(tmp_path / "scans"), str(tmp_path / "manifest.parquet")).images == 1


def test_text_is_searched_without_accents_and_case(tmp_path: Path) -> None:
    told = metadata(40)
    told[1] |= {"title": "  Ölbild,  ÉTÉ ﬁn ", "artist": "P. S. Krøyer", "place": "Weiße Stadt"}
    written(museum(tmp_path / "catalog", 40, metadata=told), tmp_path / "page")

    text = loaded(tmp_path / "page", "data/text/0.json")[1]
    assert text == "olbild, ete fin | p. s. kroyer | 000001 | c. 1601 | weisse stadt"


@pytest.mark.parametrize(
    ("uri", "info"),
    [
        ("https://iiif.example.org/2/abc/full/full/0/default.jpg", "https://iiif.example.org/2/abc/info.json"),
        ("https://iiif.example.org/3/abc/full/843,/0/default.jpg", "https://iiif.example.org/3/abc/info.json"),
        ("https://example.org/full/picture.jpg", None),
        ("s3://bucket/full/full/0/default.jpg", None),
    ],
)
def test_iiif_images_have_a_description(uri: str, info: str | None) -> None:
    assert iiif_info(uri) == info


def test_names_of_columns_are_safe_as_files() -> None:
    assert facets.slug("../Höhe (cm)", {"h_he_cm"}) == "h_he_cm_2"
    assert facets.slug("日本", set()) == "column"
