"""Searches: what the conditions mean, how they combine, and what is said where they cannot be met."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.catalog.snapshot import read_snapshot
from artylyze.collection.scan import scan
from artylyze.errors import InputError, UsageError
from artylyze.models.folder import load
from artylyze.searching.basis import unit
from artylyze.searching.colors import parse_color
from artylyze.searching.models import catalog_model, embed_image
from artylyze.searching.results import as_json, describe, print_csv, write_results
from artylyze.searching.search import Searcher, SearchRequest
from tests.commandline import run
from tests.pieces import Cut, catalogs, few_examples
from tests.searching.catalogs import blobs, write_catalog
from tests.searching.test_colors import palette_column
from tests.small import paint

COUNT = 60
METADATA = [
    {"title": f"{'Étude' if row % 5 == 0 else 'River'} {row}", "maker": f"Artist {row % 3}", "date": str(1600 + row)}
    for row in range(COUNT)
]


@pytest.fixture
def catalog(tmp_path: Path) -> str:
    """60 works in three parts, the fifth with an error, red from 0 to blue at 59."""
    red, blue = parse_color("#c00000"), parse_color("#0000c0")
    colors = palette_column([[(red, 1 - row / 59), (blue, row / 59)] for row in range(COUNT)])
    return write_catalog(
        tmp_path / "catalog",
        blobs(COUNT, 16),
        ends=[20, 45],
        errors=[5],
        metadata=METADATA,
        colors=colors,
    )


def records(catalog: str, **asked: object) -> list[str]:
    hits = Searcher.open(catalog).search(SearchRequest(**asked))  # type: ignore[arg-type]
    return list(hits.table.column("record_id").to_pylist())


def test_works_like_another_come_by_their_cosine_without_itself(catalog: str) -> None:
    hits = Searcher.open(catalog).search(SearchRequest(like="000012", k=10))

    matrix = unit(blobs(COUNT, 16))
    cosines = matrix @ matrix[12]
    cosines[[5, 12]] = -1
    expected = np.argsort(-cosines, kind="stable")[:10]
    assert hits.table.column("record_id").to_pylist() == [f"{row:06}" for row in expected]
    assert np.allclose(hits.table.column("likeness").to_numpy(), cosines[expected], atol=1e-5)
    assert hits.searched == COUNT - 2  # all but itself and the one with an error


@pytest.mark.parametrize("name", ["000012.jpg", "/nowhere/000012.jpg"])
def test_an_image_is_named_by_its_id_or_its_address_too(catalog: str, name: str) -> None:
    assert records(catalog, like=name, k=5) == records(catalog, like="000012", k=5)


def test_conditions_combine(catalog: str) -> None:
    found = records(
        catalog, text="etude", color=("#0000c0",), where="metadata.date < '1630' and genre = 'portrait'", k=9
    )

    assert found == ["000020", "000010", "000000"]
    assert records(catalog, like="000012", where="metadata.maker = 'Artist 1' and status = 'ok'", k=40) == sorted(
        records(catalog, like="000012", where="metadata.maker = 'Artist 1' and status = 'ok'", k=40),
        key=lambda record: -(unit(blobs(COUNT, 16)) @ unit(blobs(COUNT, 16))[12])[int(record)],
    )


def test_where_alone_returns_rows_in_their_order_also_those_with_errors(catalog: str) -> None:
    assert records(catalog, where="metadata.date between '1604' and '1607'") == [f"{row:06}" for row in (4, 5, 6, 7)]


def test_several_rankings_are_fused(catalog: str) -> None:
    both = records(catalog, like="000000", color=("#c00000",), k=60)
    by_likeness, by_color = records(catalog, like="000000", k=60), records(catalog, color=("#c00000",), k=60)

    def fused(record: str) -> float:
        others = [record for record in by_color if record in by_likeness]
        return 1 / (61 + by_likeness.index(record)) + 1 / (61 + others.index(record))

    assert len(both) == 58
    assert [fused(record) for record in both] == pytest.approx(sorted(map(fused, both), reverse=True))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"like": "00001"}, r"no record and no image '00001', and there is no such file\. .*'000001'"),
        ({"like": "000005"}, r"'000005' could not be read when .* was made"),
        ({"where": "metadata.dat < '1'"}, r"Did you mean metadata\.date\?.* has the columns image_id, "),
        ({"where": "gnre = 'x'"}, r'"gnre" not found.* Did you mean genre'),
        ({"where": "genre = "}, "`where`"),
    ],
)
def test_what_is_not_there_is_an_error_with_what_is_near(catalog: str, asked: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        records(catalog, **asked)


@pytest.mark.parametrize(
    "asked", [{}, {"text": " -- "}, {"color": ("brown",)}, {"text": "a", "k": 0}, {"text": "a", "model": "x"}]
)
def test_what_cannot_be_meant_is_a_usage_error(asked: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        SearchRequest(**asked)  # type: ignore[arg-type]


def test_a_catalog_without_metadata_or_colours(tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path, blobs(10, 8))

    assert records(catalog, text="000003") == ["000003"]
    assert Searcher.open(catalog).search(SearchRequest(like="000003", k=2)).titles == (None, None)
    with pytest.raises(InputError, match="no column `colors`"):
        records(catalog, color=("#753",))


@pytest.mark.parametrize("errors", [[], [0]])
def test_a_catalog_of_one_image(errors: list[int], tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path, blobs(1, 8), errors=errors, metadata=[{"title": "Alone"}])

    assert records(catalog, text="alone") == ["000000"]
    assert describe(Searcher.open(catalog).search(SearchRequest(where="status = 'nowhere'"))) == "No work matches."
    if errors:
        with pytest.raises(InputError, match="could not be read"):
            records(catalog, like="000000")
    else:
        assert records(catalog, like="000000") == []


@few_examples
@given(cut=catalogs(), k=st.integers(1, 40))
def test_however_a_catalog_is_cut_every_row_can_be_reached(
    cut: Cut, k: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    catalog = cut.write(tmp_path_factory.mktemp("catalog"))
    searcher = Searcher.open(catalog)
    rows = cut.rows.to_pylist()
    good = {row["image_id"] for row in rows if any(row["embedding"] or [])}

    everything = searcher.search(SearchRequest(where="true", k=k)).table
    assert everything.column("image_id").to_pylist() == [row["image_id"] for row in rows][:k]
    assert everything.column("record_id").to_pylist() == [row["record_id"] for row in rows][:k]
    for row in rows[:3]:
        if row["image_id"] in good:
            found = searcher.search(SearchRequest(like=row["image_id"], k=k)).table.column("image_id").to_pylist()
            assert set(found) <= good - {row["image_id"]}
            assert len(found) == min(k, len(good) - 1)


def test_an_image_that_is_not_in_the_catalog_is_embedded_by_its_model(model: Path, tmp_path: Path) -> None:
    bundle = load(model)
    for number in range(8):
        paint(tmp_path / f"{number}.png", number)
    matrix = np.concatenate([embed_image(str(tmp_path / f"{number}.png"), bundle) for number in range(8)])
    catalog = write_catalog(tmp_path / "catalog", matrix, model_id=bundle.model_id)
    asked = SearchRequest(like=str(tmp_path / "3.png"), model=str(model), k=1)

    hits = Searcher.open(catalog).search(asked)

    assert hits.table.column("record_id").to_pylist() == ["000003"]
    assert hits.table.column("likeness")[0].as_py() == pytest.approx(1, abs=1e-5)


def test_a_model_that_is_not_there_or_another_one_is_refused(model: Path, tmp_path: Path) -> None:
    paint(tmp_path / "0.png", 0)
    catalog = write_catalog(tmp_path / "catalog", blobs(4, 8), model_id="of somebody else")

    with pytest.raises(InputError, match=r"`model=.* is the model .*, the embeddings of .* are of of somebody else"):
        records(catalog, like=str(tmp_path / "0.png"), model=str(model))
    with pytest.raises(InputError, match=r"which is not on this machine: give `model=MODEL`"):
        catalog_model(catalog, read_snapshot(catalog))


def test_a_file_that_is_no_image_is_an_error(model: Path, tmp_path: Path) -> None:
    (tmp_path / "no.txt").write_text("no image")

    with pytest.raises(InputError, match=r"no\.txt cannot be read: unsupported"):
        embed_image(str(tmp_path / "no.txt"), load(model))


def test_results_are_written_in_four_formats(catalog: str, tmp_path: Path) -> None:
    hits = Searcher.open(catalog).search(SearchRequest(text="river", like="000012", k=3))
    out = io.StringIO()
    print_csv(hits, out)

    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    found = json.loads(as_json(hits))
    for name in ("a.csv", "b.json", "c.parquet", "d.png"):
        write_results(hits, str(tmp_path / name))

    assert found["search"] == {"like": "000012", "text": "river", "k": 3}
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert [row["metadata.date"] for row in rows] == [hit["metadata"]["date"] for hit in found["hits"]]
    assert {"likeness", "text", "title", "artist", "genre"} <= rows[0].keys()
    assert pq.read_table(tmp_path / "c.parquet").num_rows == 3
    assert json.loads((tmp_path / "d.json").read_text())["hits"] == found["hits"]
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    assert "The best 3 of" in describe(hits)


def test_a_sheet_is_no_image_of_the_collection(catalog: str, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    paint(tmp_path / "scans" / "0.png", 0)
    write_results(
        Searcher.open(catalog).search(SearchRequest(where="true", k=2)), str(tmp_path / "scans" / "sheet.png")
    )

    scan(str(tmp_path / "scans"), str(tmp_path / "manifest.parquet"))

    assert pq.read_table(tmp_path / "manifest.parquet").column("image_id").to_pylist() == ["0.png"]


def test_dates_and_missing_values_of_the_collection_are_printed_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    dated: list[dict[str, object]] = [
        {"title": "Dated", "acquired": date(1889, 3, 1)},
        {"title": None, "acquired": None},
    ]
    catalog = write_catalog(tmp_path, blobs(2, 8), metadata=dated)

    assert run("search", catalog, "--like", "000001", "--json") == 0
    (work,) = json.loads(capsys.readouterr().out)["hits"]
    assert work["metadata"] == {"title": "Dated", "acquired": "1889-03-01"}


def test_cells_are_no_formulas_and_markup_stays_text(tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path, blobs(2, 8), metadata=[{"title": "=cmd|'/c calc'!A1"}, {"title": "<b>"}])
    out = io.StringIO()
    print_csv(Searcher.open(catalog).search(SearchRequest(where="true")), out)

    assert "'=cmd" in out.getvalue()
    assert pa.types.is_struct(
        Searcher.open(catalog).search(SearchRequest(text="b")).table.schema.field("metadata").type
    )
