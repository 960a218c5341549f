"""Decisions on tags: one file for each session, and the latest counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.errors import InputError
from artylyze.exploring.reviews import DECISIONS, Session, as_dicts, check_decision, read_decisions


def decision(image: str = "a.jpg", kind: str = "accept", **values: Any) -> dict[str, Any]:
    return check_decision({"image_id": image, "task": "genre", "decision": kind, "term": "portrait", **values})


def kinds(catalog: Path, **options: bool) -> list[tuple[str, str]]:
    return [(row["image_id"], row["decision"]) for row in as_dicts(read_decisions(str(catalog), **options))]


def test_a_catalog_without_reviews_has_no_decisions(tmp_path: Path) -> None:
    assert kinds(tmp_path) == []


def test_the_latest_decision_wins_over_all_sessions(tmp_path: Path) -> None:
    first, second = Session(str(tmp_path)), Session(str(tmp_path))
    second.save([decision(kind="reject", time="2026-01-02T00:00:00Z")])
    first.save([decision(time="2026-01-01T00:00:00Z"), decision("b.jpg", time="2026-01-03T12:00:00+02:00")])
    first.save([decision("b.jpg", "unsure", time="2026-01-03T10:00:00Z")])  # the same time, later in the file

    assert kinds(tmp_path) == [("a.jpg", "reject"), ("b.jpg", "unsure")]
    assert len(kinds(tmp_path, history=True)) == 4
    assert len(list((tmp_path / "reviews").glob("decisions-*.parquet"))) == 2


def test_undo_takes_back_what_was_decided_before(tmp_path: Path) -> None:
    session = Session(str(tmp_path))
    session.save([decision(time="2026-01-01T00:00:00Z"), decision(kind="undo", time="2026-01-02T00:00:00Z")])

    assert kinds(tmp_path) == []
    session.save([decision(kind="reject", time="2026-01-03T00:00:00Z")])
    assert kinds(tmp_path) == [("a.jpg", "reject")]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "reviews").mkdir()
    (tmp_path / "reviews/decisions-1.parquet").write_bytes(b"no parquet")

    with pytest.raises(InputError, match=r"decisions-1\.parquet is damaged"):
        read_decisions(str(tmp_path))


@pytest.mark.parametrize(
    "values",
    [
        None,
        {},
        {"image_id": "a", "task": "genre"},
        {"image_id": "a", "task": "genre", "decision": "perhaps"},
        {"image_id": "a", "task": "genre", "decision": "correct"},
        {"image_id": "a", "task": "genre", "decision": "accept", "score": 2},
        {"image_id": "a", "task": "genre", "decision": "accept", "score": float("nan")},
        {"image_id": "a", "task": "genre", "decision": "accept", "time": "yesterday"},
        {"image_id": "a", "task": "genre", "decision": "accept", "note": "x" * 3000},
        {"image_id": ["a"], "task": "genre", "decision": "accept"},
    ],
)
def test_what_is_no_decision_is_refused(values: Any) -> None:
    with pytest.raises(InputError):
        check_decision(values)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(DECISIONS)), max_size=12))
def test_decisions_are_those_of_a_dictionary(tmp_path_factory: pytest.TempPathFactory, made: Any) -> None:
    folder = tmp_path_factory.mktemp("catalog")
    Session(str(folder)).save(
        decision(image, kind, time=f"2026-01-01T00:00:{second:02}Z") for second, (image, kind) in enumerate(made)
    )

    expected = {image: kind for image, kind in dict(made).items() if kind != "undo"}
    assert dict(kinds(folder)) == expected
