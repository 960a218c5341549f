from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artylyze.catalog.parts import Receipt, commit, read_receipt, read_receipts, serialise, shard_hash
from artylyze.catalog.plan import Shard
from artylyze.catalog.schema import build_rows, catalog_schema
from artylyze.collection.manifest import COLUMNS
from artylyze.errors import ErrorCode, ImageError, StorageError
from artylyze.storage import ConflictError, Store, open_store
from artylyze.storage.local import LocalStore
from artylyze.workers.protocol import Seen

if TYPE_CHECKING:
    from tests.conftest import S3

SHARD = Shard(0, 0, 3)
IDS = ["a<script>.jpg", "caf\u00e9.jpg", "cafe\u0301 \"='\n.jpg"]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def planned(ids: list[str] | None = None) -> pa.Table:
    rows = [{"image_id": i, "record_id": i, "uri": f"s3://b/{i}", "size": 1, "validator": None} for i in ids or IDS]
    return pa.Table.from_pylist(rows, pa.schema(COLUMNS))


def tagged(rows: pa.Table, run_id: str = "run", *, good: bool = True) -> pa.Table:
    seen: list[Seen | ImageError] = [
        Seen(1, 1, "JPEG") if good and n else ImageError(ErrorCode.EMPTY, "") for n in range(rows.num_rows)
    ]
    count = sum(isinstance(one, Seen) for one in seen)
    vectors = np.full((count, 4), 0.5, np.float32)
    return build_rows(catalog_schema([], None), rows, seen, vectors, {}, model_id="m", run_id=run_id)


def publish(store: Store, run_id: str = "run", shard: Shard = SHARD, *, conditional: bool = True) -> Receipt:
    return commit(store, run_id, shard, planned(), tagged(planned(), run_id), conditional=conditional)


@dataclass(frozen=True)
class Unlucky:
    """A store whose conditional puts arrive, and whose answers are lost: the client's retry finds its own object."""

    store: Store

    def put(self, key: str, data: bytes | memoryview, *, if_absent: bool = False, if_match: str | None = None) -> str:
        self.store.put(key, data, if_absent=if_absent, if_match=if_match)
        raise ConflictError(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class TestCommit:
    def test_a_receipt_says_what_the_part_holds(self, store: LocalStore) -> None:
        receipt = publish(store)
        assert (receipt.rows, receipt.ok, receipt.errors) == (3, 2, {"empty": 1})
        assert read_receipt(store, SHARD.key) == receipt

    def test_the_part_is_alone_in_its_folder(self, store: LocalStore) -> None:
        publish(store)
        assert [path.name for path in (store.root / "parts").iterdir()] == ["part-00000.parquet"]

    def test_a_lost_answer_is_settled_by_the_footer(self, store: LocalStore) -> None:
        receipt = publish(Unlucky(store))
        assert receipt == read_receipt(store, SHARD.key)

    def test_the_first_of_two_workers_wins_and_both_are_content(self, store: LocalStore) -> None:
        first = publish(store)
        before = store.version(SHARD.key)
        assert publish(store) == first
        assert store.version(SHARD.key) == before

    @pytest.mark.parametrize("conditional", [True, False])
    def test_it_works_on_real_servers(self, s3: S3, aws: Callable[[S3], None], conditional: bool) -> None:
        aws(s3)
        store = open_store(f"{s3.bucket(f'parts-{conditional}'.lower())}/runs/1")
        first = publish(store, conditional=conditional)
        assert publish(store, conditional=conditional) == first
        assert read_receipts(store, "run", [SHARD]) == {0: first}

    @pytest.mark.parametrize(
        "foreign", [b"", b"PAR1", b"not Parquet at all", b"PAR1" + b"\xff" * 40 + b"PAR1"], ids=len
    )
    def test_foreign_bytes_are_never_replaced(self, store: LocalStore, foreign: bytes) -> None:
        store.put(SHARD.key, foreign)
        with pytest.raises(StorageError, match=r"was not written by this run\. Move it away"):
            publish(store)
        assert store.read(SHARD.key) == foreign

    def test_a_part_of_another_run_is_never_replaced(self, store: LocalStore) -> None:
        publish(store, "another")
        with pytest.raises(StorageError, match="was not written by this run"):
            publish(store, "run")

    def test_a_part_of_other_images_is_never_replaced(self, store: LocalStore) -> None:
        others = planned(["x", "y", "z"])
        commit(store, "run", SHARD, others, tagged(others), conditional=True)
        with pytest.raises(StorageError, match="was not written by this run"):
            publish(store)

    def test_rows_that_the_plan_did_not_ask_for_are_our_own_mistake(self, store: LocalStore) -> None:
        with pytest.raises(AssertionError, match="not those of the plan"):
            commit(store, "run", SHARD, planned(), tagged(planned(IDS[::-1])), conditional=True)
        assert not (store.root / "parts").exists()


class TestReceipts:
    def test_only_committed_shards_have_one(self, store: LocalStore) -> None:
        publish(store)
        assert list(read_receipts(store, "run", [SHARD, Shard(1, 3, 6)])) == [0]

    def test_none_are_there_before_the_first_commit(self, store: LocalStore) -> None:
        assert read_receipts(store, "run", [SHARD]) == {}

    def test_objects_outside_the_plan_are_left_alone(self, store: LocalStore) -> None:
        publish(store)
        store.put("parts/part-00009.parquet", b"garbage")
        store.put("parts/.tmp", b"garbage")
        assert list(read_receipts(store, "run", [SHARD])) == [0]

    @pytest.mark.parametrize("keep", [0, 3, 0.5, 0.99])
    def test_a_truncated_part_is_told(self, store: LocalStore, keep: float) -> None:
        publish(store)
        whole = store.read(SHARD.key) or b""
        store.put(SHARD.key, whole[: int(keep * len(whole)) if keep < 1 else int(keep)])
        with pytest.raises(StorageError, match=r"is not a part of this run\. Move it away"):
            read_receipts(store, "run", [SHARD])

    @pytest.mark.parametrize("keep", [0, 100])
    def test_a_truncated_object_is_told(self, s3: S3, aws: Callable[[S3], None], keep: int) -> None:
        aws(s3)
        store = open_store(s3.bucket(f"truncated-{keep}"))
        publish(store)
        store.put(SHARD.key, (store.read(SHARD.key) or b"")[:keep])
        with pytest.raises(StorageError, match=r"is not a part of this run\. Move it away"):
            read_receipts(store, "run", [SHARD])

    def test_a_part_of_another_run_is_told(self, store: LocalStore) -> None:
        publish(store, "another")
        with pytest.raises(StorageError, match="is not a part of this run"):
            read_receipts(store, "run", [SHARD])

    def test_a_part_under_the_name_of_another_is_told(self, store: LocalStore) -> None:
        publish(store)
        second = Shard(1, 3, 6)
        store.put(second.key, store.read(SHARD.key) or b"")
        with pytest.raises(StorageError, match=r"part-00001.parquet is not a part of this run"):
            read_receipts(store, "run", [SHARD, second])

    def test_somebody_elses_parquet_is_no_part(self, store: LocalStore) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(planned(), sink)
        store.put(SHARD.key, memoryview(sink.getvalue()))
        assert read_receipt(store, SHARD.key) is None

    def test_a_footer_above_what_is_read_at_first_is_read_whole(self, store: LocalStore) -> None:
        rows = pa.table({f"column {number} {'x' * 200}": [1] for number in range(2000)})
        receipt = Receipt(SHARD.key, "run", "hash", 0, 1, 1, {})
        data = serialise(rows.append_column("image_id", pa.array(["a"])), receipt)
        assert int.from_bytes(bytes(data[-8:-4]), "little") > 256 * 1024
        store.put(SHARD.key, data)
        assert read_receipt(store, SHARD.key) == receipt

    @given(st.binary(max_size=80), st.integers(0, 2**32 - 1), st.booleans())
    def test_no_garbage_is_taken_for_a_part(self, data: bytes, length: int, honest: bool) -> None:
        whole = data + (len(data) if honest else length).to_bytes(4, "little") + b"PAR1"
        assert read_receipt(Held(whole), "key") is None  # type: ignore[arg-type]

    @given(st.data())
    def test_a_damaged_footer_is_no_error_of_ours(self, data: st.DataObject) -> None:
        whole = bytearray(serialise(tagged(planned()), Receipt(SHARD.key, "run", "hash", 0, 3, 2, {})))
        footer = len(whole) - int.from_bytes(whole[-8:-4], "little") - 8
        for _ in range(data.draw(st.integers(1, 5))):
            whole[data.draw(st.integers(footer, len(whole) - 1))] = data.draw(st.integers(0, 255))
        found = read_receipt(Held(bytes(whole)), "key")  # type: ignore[arg-type]
        assert found is None or isinstance(found, Receipt)


@dataclass(frozen=True)
class Held:
    """A store that holds one object."""

    data: bytes

    def tail(self, _: str, count: int) -> bytes:
        return self.data[-count:]


class TestHash:
    @given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
    def test_other_images_have_another_hash(self, one: list[str], other: list[str]) -> None:
        try:
            assert (shard_hash(one) == shard_hash(other)) == (one == other)
        except UnicodeEncodeError:
            assert any("\ud800" <= char <= "\udfff" for char in "".join([*one, *other]))

    def test_ids_are_delimited(self) -> None:
        assert shard_hash(["ab", "c"]) != shard_hash(["a", "bc"])


class TestPlainReaders:
    @pytest.fixture
    def part(self, store: LocalStore) -> str:
        publish(store)
        return store.uri(SHARD.key)

    def test_duckdb_opens_a_part(self, part: str) -> None:
        found = duckdb.execute(f"SELECT image_id, status, embedding[1] FROM '{part}' ORDER BY 1").fetchall()
        assert found == [(IDS[0], "error", None), (IDS[2], "ok", 0.5), (IDS[1], "ok", 0.5)]

    def test_pandas_opens_a_part(self, part: str) -> None:
        frame = pd.read_parquet(part)
        assert frame["image_id"].tolist() == IDS
        assert frame["embedding"][1].tolist() == [0.5] * 4

    def test_a_part_is_one_row_group(self, part: str) -> None:
        assert pq.read_metadata(part).num_row_groups == 1

    def test_a_part_of_nothing_but_errors_is_opened(self, store: LocalStore) -> None:
        commit(store, "run", SHARD, planned(), tagged(planned(), good=False), conditional=True)
        (found,) = duckdb.execute(f"SELECT count(embedding) FROM '{store.uri(SHARD.key)}'").fetchall()
        assert found == (0,)
