"""Features are kept and read back alike in whatever batches they were computed, and between whatever interruptions."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from hypothesis import assume, given
from hypothesis import strategies as st

from artylyze.extraction.cached import _features, _keep, _Known, _load
from tests.pieces import few_examples

CODES = st.sampled_from(["ok", "corrupt", "unreachable"])


@few_examples
@given(
    codes=st.lists(CODES, min_size=1, max_size=30),
    order=st.randoms(use_true_random=False),
    batch=st.integers(1, 7),
    stop=st.integers(0, 5),
    views=st.integers(1, 2),
)
def test_features_do_not_depend_on_batches_or_interruptions(
    codes: list[str], order: object, batch: int, stop: int, views: int
) -> None:
    assume("ok" in codes)
    rows = list(range(len(codes)))
    order.shuffle(rows)  # type: ignore[attr-defined]
    table = pa.table({"image_id": [f"{row:02}" for row in range(len(codes))]})
    known = _Known(np.full(len(codes), "todo", object))
    with TemporaryDirectory() as folder:
        for number, start in enumerate(range(0, len(rows), batch)):
            chosen = rows[start : start + batch]
            good = [row for row in chosen if codes[row] == "ok"]
            if good:
                known.put(good, [np.array([[row, view] for row in good], np.float32) for view in range(views)])
            for row in set(chosen) - set(good):
                known.codes[row] = codes[row]
            if number == stop and known.views:
                _keep(Path(folder, "kept.safetensors"), known)
                kept = _load(Path(folder, "kept.safetensors"))
                assert kept is not None
                assert set(kept.todo()) == {
                    row for row in range(len(codes)) if known.codes[row] in ("todo", "unreachable")
                }
                known = kept
    found = _features(table, known)
    there = [row for row, code in enumerate(codes) if code == "ok"]
    assert found.rows.tolist() == there
    assert found.matrix.tolist() == [[row, 0] for row in there]
    assert (found.varied is not None) == (views == 2)
    if found.varied is not None:
        assert found.varied.tolist() == [[row, 1] for row in there]
    assert found.failed == {f"{row:02}": code for row, code in enumerate(codes) if code != "ok"}
