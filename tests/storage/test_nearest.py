from __future__ import annotations

from pathlib import Path

import pytest

from artylyze.errors import InputError
from artylyze.storage.nearest import check_there, did_you_mean


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("Scans 2024/recto", "catalog", ".cache"):
        Path(name).mkdir(parents=True)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("catlog", "catalog"),
        ("CATALOG", "catalog"),
        ("scans 2024", "Scans 2024"),
        ("Scans 2024/rekto", "Scans 2024/recto"),
        ("Scnas 2024/recto/deep", "Scans 2024"),
    ],
)
def test_the_nearest_name_is_offered(typed: str, meant: str) -> None:
    assert did_you_mean(typed) == f" Did you mean {meant}?"


@pytest.mark.parametrize("typed", ["catalog", "nothing-like-it", "s3://catlog/x", "cache", "", "nowhere/at/all"])
def test_nothing_is_offered_that_is_not_alike(typed: str) -> None:
    assert did_you_mean(typed) == ""


def test_a_path_at_which_there_is_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"There is no folder or file catlog\. Did you mean catalog\?"):
        check_there("catlog")
    check_there("catalog")
    check_there("s3://bucket/anything")
