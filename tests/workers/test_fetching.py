from __future__ import annotations

import threading
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artylyze.errors import ErrorCode, ImageError, StorageError
from artylyze.images import decode
from artylyze.workers.fetching import Fetches, FetchThreads, Source
from artylyze.workers.protocol import Seen
from artylyze.workers.reading import Reader
from tests.faults.poison import PLUGINS, hang_jpeg, segv_jpeg
from tests.tagging.conftest import fill, picture


def read(
    reader: Reader, sources: list[Source], batch_size: int = 4
) -> tuple[list[Seen | ImageError | None], dict[int, np.ndarray]]:
    outcomes: list[Seen | ImageError | None] = [None] * len(sources)
    pixels: dict[int, np.ndarray] = {}
    for batch in reader.read(sources, outcomes, batch_size):
        pixels.update(zip(batch.rows, batch.filled.copy(), strict=True))
    return outcomes, pixels


def codes(outcomes: list[Seen | ImageError | None]) -> list[str]:
    return [str(one.code) if isinstance(one, ImageError) else "ok" for one in outcomes]


@pytest.mark.parametrize("decoders", [1, 3])
@pytest.mark.parametrize(("count", "size"), [(0, None), (1, None), (3, 2000), (4, None), (5, 2000), (70, 2000)])
def test_gives_the_pixels_of_each_source_at_its_row(
    tmp_path: Path, decoders: int, count: int, size: int | None
) -> None:
    fill(tmp_path, count)
    sources = [Source(str(tmp_path / f"{n:04d}.jpg"), size=size) for n in range(count)]
    with Reader(64, decoders=decoders) as reader:
        outcomes, pixels = read(reader, sources)
    assert codes(outcomes) == ["ok"] * count
    assert sorted(pixels) == list(range(count))
    for row in range(count):
        np.testing.assert_array_equal(pixels[row], decode(picture(row), 64).pixels)


def test_is_used_for_shard_after_shard(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    sources = [Source(str(tmp_path / f"{n:04d}.jpg")) for n in range(5)]
    with Reader(64) as reader:
        first, second = read(reader, sources), read(reader, sources)
    assert codes(first[0]) == codes(second[0])


def test_a_failure_costs_itself_only(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    (tmp_path / "0001.jpg").write_bytes(b"")
    (tmp_path / "0002.jpg").unlink()
    with Reader(64) as reader:
        outcomes, pixels = read(reader, [Source(str(tmp_path / f"{n:04d}.jpg")) for n in range(4)])
    assert codes(outcomes) == ["ok", "empty", "missing", "ok"]
    assert sorted(pixels) == [0, 3]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.sampled_from([None, 100, 2000, 300_000, 200 * 2**20]), max_size=120),
    missing=st.sets(st.integers(0, 119)),
)
def test_fetches_come_in_order_and_fail_alone_in_whatever_groups(
    tmp_path: Path, sizes: list[int | None], missing: set[int]
) -> None:
    (tmp_path / "there").write_bytes(b"an image")
    sources = [Source(str(tmp_path / ("gone" if n in missing else "there")), size=size) for n, size in enumerate(sizes)]
    with closing(FetchThreads(3)) as threads:
        fetches = Fetches(threads, sources)
        for row in range(len(sizes)):
            found = fetches.next()
            assert found is not None
            assert found.row == row
            if row in missing:
                with pytest.raises(ImageError, match="missing"):
                    found.result()
            else:
                assert found.result() == b"an image"
        assert fetches.next() is None


def test_whoever_waits_for_closed_threads_fails_and_never_hangs(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"an image")
    threads = FetchThreads(1)
    fetches = Fetches(threads, [Source(str(tmp_path / "there"))] * 9)
    taken = [fetches.next() for _ in range(2)]
    threads.close()
    for fetch in (*taken, fetches.next()):
        assert fetch is not None
        with suppress(RuntimeError):
            assert fetch.result() == b"an image"
    with pytest.raises(RuntimeError, match="were closed"):
        threads.submit([Source(str(tmp_path / "there"))]).result(timeout=10)
    fetches.stop()
    assert fetches.next() is None


def test_a_reader_that_is_abandoned_reads_no_further_whatever_the_images_are(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"no image")
    (tmp_path / "good").write_bytes(picture(1))
    sources = [Source(str(tmp_path / "good"), size=400)] * 8 + [Source(str(tmp_path / "bad"), size=8)] * 4000
    outcomes: list[Seen | ImageError | None] = [None] * len(sources)
    with Reader(64) as reader:
        batches = reader.read(sources, outcomes, 4)
        next(batches)
        batches.close()
    assert sum(outcome is not None for outcome in outcomes) < 1000


def test_closed_threads_end_and_keep_no_process_alive(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    threads = FetchThreads(3)
    assert threads.submit([Source(str(tmp_path))]).result()
    threads.close()
    for thread in set(threading.enumerate()) - before:
        assert thread.daemon
        thread.join(10)
        assert not thread.is_alive()


def test_an_image_that_changed_since_the_scan_is_told(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with Reader(64) as reader:
        outcomes, _ = read(reader, [Source(str(tmp_path / "0000.jpg"), "mtime:1:2")])
    assert codes(outcomes) == ["changed"]


@pytest.mark.slow
def test_a_decoder_that_dies_or_hangs_costs_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    fill(tmp_path, 6)
    (tmp_path / "0001.jpg").write_bytes(segv_jpeg())
    (tmp_path / "0004.jpg").write_bytes(hang_jpeg())
    with Reader(64, deadline=2.0) as reader:
        outcomes, pixels = read(reader, [Source(str(tmp_path / f"{n:04d}.jpg")) for n in range(6)])
    assert codes(outcomes) == ["ok", "crashed_decoder", "ok", "ok", "timeout", "ok"]
    assert sorted(pixels) == [0, 2, 3, 5]


def test_storage_that_began_to_refuse_everything_stops_the_run(unprivileged: Path) -> None:
    fill(unprivileged, 2)
    for path in unprivileged.iterdir():
        path.chmod(0)
    sources = [Source(str(path)) for path in unprivileged.iterdir()]
    with Reader(64, canary=sources[0].uri) as reader, pytest.raises(StorageError, match="refuses every image"):
        read(reader, sources)


@pytest.mark.slow
def test_a_dead_server_stops_the_run_when_the_canary_is_dead_too() -> None:
    sources = [Source(f"http://127.0.0.1:9/{n}.jpg") for n in range(2)]
    with Reader(64, canary=sources[0].uri) as reader, pytest.raises(StorageError, match="refuses every image"):
        read(reader, sources)


@pytest.mark.slow
def test_a_dead_server_is_rows_while_the_canary_answers(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with Reader(64, canary=str(tmp_path / "0000.jpg")) as reader:
        outcomes, _ = read(reader, [Source("http://127.0.0.1:9/a.jpg")])
    assert codes(outcomes) == [ErrorCode.UNREACHABLE]


def test_a_reader_that_is_abandoned_in_the_middle_ends(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    sources = [Source(str(tmp_path / f"{n:04d}.jpg")) for n in range(20)]
    outcomes: list[Seen | ImageError | None] = [None] * 20
    with Reader(64, decoders=2) as reader:
        batches = reader.read(sources, outcomes, 2)
        next(batches)
        batches.close()
        assert codes(read(reader, sources)[0]) == ["ok"] * 20
