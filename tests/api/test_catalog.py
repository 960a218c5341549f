"""A catalog in Python: what is read of it, here and in object storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import artylyze
from artylyze.catalog.snapshot import read_catalog
from artylyze.errors import InputError
from artylyze.storage import open_store
from tests.api.conftest import IMAGES
from tests.conftest import S3


@pytest.fixture
def remote(made: Path, moto_server: S3, aws: Callable[[S3], None]) -> str:
    """The address of a copy of the catalog."""
    aws(moto_server)
    try:
        address = moto_server.bucket("api") + "/a folder/catalog"
    except moto_server.client().exceptions.BucketAlreadyOwnedByYou:
        address = "s3://api/a folder/catalog"
    store = open_store(address)
    for path in (made / "catalog").rglob("*"):
        if path.is_file():
            store.upload(str(path.relative_to(made / "catalog")), path)
    return address


@pytest.fixture(params=["local", "s3"])
def catalog(request: pytest.FixtureRequest, made: Path) -> artylyze.Catalog:
    where = str(made / "catalog") if request.param == "local" else request.getfixturevalue("remote")
    return artylyze.open_catalog(where)


def test_it_knows_what_it_is(catalog: artylyze.Catalog) -> None:
    assert len(catalog) == IMAGES
    assert catalog.tasks == ("genre", "style")
    assert catalog.errors == {"truncated": 1}
    assert catalog.columns[:3] == ["image_id", "record_id", "uri"]
    assert repr(catalog).endswith("24 images, 1 error)")
    assert all(path.endswith(".parquet") for path in catalog.paths)


def test_all_of_it_is_what_the_parts_hold(catalog: artylyze.Catalog) -> None:
    assert catalog.to_arrow().equals(read_catalog(catalog.address).combine_chunks())
    assert catalog.dataset().count_rows() == IMAGES


def test_columns_and_rows_are_chosen(catalog: artylyze.Catalog) -> None:
    whole = read_catalog(catalog.address)
    wanted = [row for row in whole.to_pylist() if row["genre"] == "portrait" and row["genre_score"] > 0.2]

    found = catalog.to_arrow(["genre_score", "image_id"], where="genre = 'portrait' and genre_score > 0.2 -- sure")

    assert found.column_names == ["genre_score", "image_id"]
    assert found.to_pylist() == [{key: row[key] for key in ("genre_score", "image_id")} for row in wanted]


def test_rows_are_chosen_by_own_columns_and_keep_their_types(catalog: artylyze.Catalog) -> None:
    found = catalog.to_arrow(where="metadata.artist = 'Artist 1'")

    assert found.schema.equals(catalog.dataset().schema)
    assert found.column("image_id").to_pylist() == ["004.png", "005.png", "006.png", "007.png"]
    assert found.column("embedding").to_pylist()[0] is not None


def test_pandas(catalog: artylyze.Catalog) -> None:
    frame = catalog.to_pandas(["image_id", "status"], where="status = 'error'")

    assert frame.to_dict("list") == {"image_id": ["broken.jpg"], "status": ["error"]}


def test_embeddings_are_those_of_images_that_could_be_read(catalog: artylyze.Catalog) -> None:
    ids, matrix = catalog.embeddings()

    rows = {row["image_id"]: row["embedding"] for row in catalog.to_arrow(["image_id", "embedding"]).to_pylist()}
    assert rows.pop("broken.jpg") is None
    assert ids == list(rows)
    np.testing.assert_array_equal(matrix, np.array(list(rows.values()), np.float32))
    assert matrix.dtype == np.float32


def test_failures(catalog: artylyze.Catalog) -> None:
    (row,) = catalog.failures()

    assert (row["image_id"], row["record_id"], row["error_code"]) == ("broken.jpg", "broken", "truncated")
    warned = catalog.to_arrow(["image_id"], where="len(warnings) > 0").column("image_id").to_pylist()
    assert [row["image_id"] for row in catalog.failures(warnings=True)] == warned


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"columns": ["image_id", "gnre"]},
            "There is no column 'gnre'. Did you mean genre .* The catalog .* image_id, .* genre, .* metadata",
        ),
        ({"where": "gnre = 'portrait'"}, "`where` \"gnre = 'portrait'\": .*gnre.* columns image_id, .* genre,"),
        ({"where": "genre = "}, "`where` 'genre = ': .*[Ss]yntax"),
        ({"where": "genre_score > 'much'"}, "`where` \"genre_score > 'much'\".*much"),
    ],
)
def test_what_it_does_not_have_is_said(made: Path, arguments: dict[str, object], message: str) -> None:
    catalog = artylyze.open_catalog(made / "catalog")

    with pytest.raises(InputError, match=message):
        catalog.to_arrow(**arguments)  # type: ignore[arg-type]


def test_there_is_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no complete catalog"):
        artylyze.open_catalog(tmp_path)


def test_a_damaged_part_is_an_error(museum: Path) -> None:
    catalog = artylyze.open_catalog("catalog")
    Path(catalog.paths[0]).write_bytes(b"no Parquet")

    with pytest.raises(InputError, match="is damaged"):
        catalog.to_arrow()


def test_an_open_catalog_stays_as_it_is(museum: Path) -> None:
    before = artylyze.open_catalog("catalog")
    (museum / "scans" / "000.png").unlink()

    after = artylyze.tag(
        "scans",
        "catalog",
        model="bundle",
        metadata="objects.csv",
        id_column="number",
        file_column="file",
        update=True,
        max_error_rate=1,
    )

    assert (len(before), len(after)) == (IMAGES, IMAGES - 1)
    assert before.to_arrow(["image_id"]).num_rows == IMAGES
    assert pa.concat_tables(map(pq.read_table, after.paths)).num_rows == IMAGES - 1
