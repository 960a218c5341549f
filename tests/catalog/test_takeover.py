from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from artylyze.catalog.parts import Receipt, serialise
from artylyze.catalog.plan import Shard
from artylyze.catalog.run import RunSpec, run_store
from artylyze.catalog.snapshot import Part
from artylyze.catalog.takeover import Base, Unpublished, committed_parts, read_base, write_base
from artylyze.storage.local import LocalStore

SHARD = Shard(0, 0, 3)
SPEC = RunSpec("run", "tag", None, "model", (), 3, {}, "cpu", "float32", {}, "digest", (SHARD,))


def test_what_a_run_builds_on_is_read_as_it_was_written(tmp_path: Path) -> None:
    base = Base((Part("runs/a/parts/part-00000.parquet", 5, 4, {"empty": 1}, warnings=2),), 3, {"a": 1})
    write_base(LocalStore(tmp_path), base)
    assert read_base(LocalStore(tmp_path)) == base


def test_rows_that_are_taken_over_keep_the_count_of_their_warnings(tmp_path: Path) -> None:
    receipt = Receipt(SHARD.key, SPEC.run_id, "hash", SHARD.start, 3, 2, {"empty": 1}, warnings=1)
    part = serialise(pa.table({"image_id": ["a", "b", "c"]}), receipt)
    run_store(str(tmp_path), SPEC.run_id).put(SHARD.key, part)
    (found,) = committed_parts(str(tmp_path), Unpublished(SPEC, 1, 0, None))
    assert found == Part("runs/run/parts/part-00000.parquet", 3, 2, {"empty": 1}, warnings=1)
