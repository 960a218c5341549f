"""A LanceDB table holds each work once, in a folder and on S3, also after an interruption and an update."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest

from artylyze.catalog.snapshot import embeddings
from artylyze.errors import InputError
from artylyze.searching import lance
from artylyze.searching.basis import unit
from artylyze.searching.lance import storage_options, write_lance
from tests.commandline import run
from tests.conftest import S3
from tests.searching.catalogs import blobs, write_catalog

METADATA = [{"title": f"Work {number}", "date": str(1600 + number)} for number in range(60)]


def museum(folder: Path, *, only: int | None = None, model_id: str = "model") -> str:
    """60 works in three parts that do not align with the row groups; the fifth has an error, the sixth no length."""
    matrix = blobs(60, 16)
    matrix[6] = 0
    return write_catalog(folder, matrix, ends=[20, 45], errors=[5], metadata=METADATA, only=only, model_id=model_id)


def ids(address: str) -> list[str]:
    table = lancedb.connect(address, storage_options=storage_options(address)).open_table("works")
    return sorted(table.to_arrow().column("image_id").to_pylist())


EXPECTED = [f"{number:06}.jpg" for number in range(60) if number not in (5, 6)]


def test_a_search_with_a_condition_returns_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    catalog = museum(tmp_path / "catalog")
    assert run("index", catalog, "--to", "lance", str(tmp_path / "lance"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 58
    assert ids(str(tmp_path / "lance")) == EXPECTED

    names, matrix = embeddings(catalog)
    cosines = unit(matrix) @ unit(matrix)[0]
    table = lancedb.connect(str(tmp_path / "lance")).open_table("works")
    search: Any = table.search(matrix[0], vector_column_name="vector")
    found = search.metric("cosine").where("genre = 'portrait' AND metadata.date < '1650'").limit(9).to_arrow()

    allowed = [row for row in np.argsort(-cosines) if int(names[row][:6]) % 2 == 0 and int(names[row][:6]) < 50]
    expected = [names[row] for row in allowed if names[row] in EXPECTED][:9]
    assert found.column("image_id").to_pylist() == expected


@pytest.mark.parametrize("together", [1, 21, 65_536])
def test_a_second_run_writes_new_parts_alone(tmp_path: Path, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance, "TOGETHER", together)
    address = str(tmp_path / "lance")
    first = write_lance(museum(tmp_path / "catalog", only=2), address)
    second = write_lance(museum(tmp_path / "catalog"), address)
    third = write_lance(museum(tmp_path / "catalog"), address)
    less = write_lance(museum(tmp_path / "catalog", only=1), address)

    assert [(one.added, one.removed, one.rows) for one in (first, second, third, less)] == [
        (2, 0, 43),
        (1, 0, 58),
        (0, 0, 58),
        (0, 2, 18),
    ]
    assert ids(address) == EXPECTED[:18]


def test_an_interrupted_run_leaves_no_work_twice(tmp_path: Path) -> None:
    catalog, address = museum(tmp_path / "catalog"), str(tmp_path / "lance")
    write_lance(catalog, address)
    lancedb.connect(address).open_table("parts").delete("path LIKE '%00020-00045%'")  # as if it had ended there

    assert write_lance(catalog, address).added == 1
    assert ids(address) == EXPECTED


def test_another_model_makes_the_table_anew(tmp_path: Path) -> None:
    address = str(tmp_path / "lance")
    write_lance(museum(tmp_path / "catalog"), address)
    assert write_lance(museum(tmp_path / "other", model_id="other"), address).added == 3
    assert write_lance(museum(tmp_path / "other", model_id="other"), address, rebuild=True).added == 3
    assert ids(address) == EXPECTED


def test_many_vectors_are_indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance, "INDEXED", 300)
    matrix, address = blobs(600, 16), str(tmp_path / "lance")
    made = write_lance(write_catalog(tmp_path / "catalog", matrix, ends=[250], only=1), address)
    grown = write_lance(write_catalog(tmp_path / "catalog", matrix, ends=[250]), address)

    table = lancedb.connect(address).open_table("works")
    search: Any = table.search(matrix[3], vector_column_name="vector")
    search = search.metric("cosine").nprobes(20).refine_factor(10)
    assert (made.indexed, grown.indexed) == (False, True)
    assert search.limit(1).to_arrow().column("image_id").to_pylist() == ["000003.jpg"]


def test_on_object_storage(tmp_path: Path, moto_server: S3, aws: Callable[[S3], None]) -> None:
    aws(moto_server)
    address = f"{moto_server.bucket('lance')}/museum"
    write_lance(museum(tmp_path / "catalog", only=2), address)
    write_lance(museum(tmp_path / "catalog"), address)
    assert ids(address) == EXPECTED


def test_what_cannot_be_written_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    (tmp_path / "file").write_text("")
    assert run("index", museum(tmp_path / "catalog"), "--to", "lance", str(tmp_path / "file")) == 4
    assert str(tmp_path / "file") in capsys.readouterr().err
    assert run("index", str(tmp_path / "catalog"), "--to", "faiss", str(tmp_path / "lance")) == 2
    assert "`lance` is" in capsys.readouterr().err
    monkeypatch.setattr(lance, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="pip install"):
        write_lance(str(tmp_path / "catalog"), str(tmp_path / "lance"))
