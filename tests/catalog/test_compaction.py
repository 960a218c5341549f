from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from artylyze.catalog import compaction
from artylyze.catalog.compaction import Compacted, compact
from artylyze.catalog.garbage import find_garbage, remove_garbage
from artylyze.catalog.parts import commit
from artylyze.catalog.run import Lease, run_store
from artylyze.catalog.snapshot import embeddings, part_paths, read_snapshot, write_snapshot
from artylyze.cli.app import app
from artylyze.errors import InputError, StorageError
from artylyze.storage import open_store

if TYPE_CHECKING:
    from tests.catalog.conftest import Library
    from tests.conftest import S3

KEYS = ["../c.jpg", "a//b.jpg", "=1+1.jpg", "caf\u00e9.jpg", "cafe\u0301.jpg", "😀", *"defghijklmnop"]
contents = st.dictionaries(st.sampled_from(KEYS), st.sampled_from([1, 2, 3, -1, -2]), min_size=1)


class Silent:
    """Follows a run without a word."""

    def say(self, message: str) -> None: ...

    def start(self, rows: int, done: int, what: str) -> None: ...

    def advance(self, rows: int, errors: int) -> None: ...


def compacted(catalog: str, part_bytes: int = compaction.PART_BYTES) -> Compacted:
    return compact(catalog, Silent(), part_bytes=part_bytes)


def ids_by_part(catalog: str) -> list[list[str]]:
    paths = part_paths(catalog, read_snapshot(catalog))
    return [pq.read_table(path, columns=["image_id"]).column("image_id").to_pylist() for path in paths]


def scattered(library: Library, *histories: dict[str, int]) -> None:
    """Make a catalog in which each update's new images lie between the old ones."""
    library.tag(library.manifest(library.pictures(histories[0])))
    for images in histories[1:]:
        library.update(library.manifest(library.pictures(images)))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    histories=st.lists(contents, min_size=1, max_size=3),
    size=st.integers(1, 5),
    part_bytes=st.sampled_from([1, 3_000, 9_000, 10**9]),
    cache=st.sampled_from([0, 10**9]),
)
def test_a_compacted_catalog_has_the_same_rows_in_sorted_parts(
    histories: list[dict[str, int]], size: int, part_bytes: int, cache: int, new_library: Callable[..., Library]
) -> None:
    library = new_library()
    library.size = size
    scattered(library, *histories)
    before, parts = library.rows(), len(read_snapshot(library.catalog).parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "CACHE_BYTES", cache)
        result = compacted(library.catalog, part_bytes)
    assert library.rows() == before
    assert result.before == parts
    if result.written:
        listed = [image for ids in ids_by_part(library.catalog) for image in ids]
        assert listed == sorted(before, key=str.encode)
    # and it is a catalog like any other
    last = {key: content + 1 if content > 0 else content for key, content in histories[-1].items()}
    library.update(library.manifest(library.pictures(last | {"q": 1})))
    assert library.rows().keys() == last.keys() | {"q"}


class TestCompact:
    @pytest.fixture
    def old(self, library: Library) -> Library:
        """Five parts of at most three rows, the last of which lies between the others; one row is an error."""
        images = {key: n for n, key in enumerate("adgjmpsvy", 1)} | {"g": -2}
        library.tag(library.manifest(library.pictures(images)))
        library.update(library.manifest(library.pictures(images | dict.fromkeys("behk", 5))))
        return library

    def test_many_parts_become_one(self, old: Library) -> None:
        assert len(read_snapshot(old.catalog).parts) == 5
        result = compacted(old.catalog)
        assert (result.before, result.written, len(result.snapshot.parts)) == (5, 1, 1)
        assert ids_by_part(old.catalog) == [list("abdeghjkmpsvy")]
        assert read_snapshot(old.catalog).errors == {"corrupt": 1}
        assert len(embeddings(old.catalog)[0]) == 12

    def test_a_compacted_catalog_is_left_alone(self, old: Library) -> None:
        compacted(old.catalog)
        again = compacted(old.catalog)
        assert again.written == 0
        assert again.snapshot == read_snapshot(old.catalog)

    def test_the_old_parts_stay_for_readers(self, old: Library) -> None:
        before = part_paths(old.catalog, read_snapshot(old.catalog))
        compacted(old.catalog)
        assert sum(pq.read_metadata(path).num_rows for path in before) == 13

    def test_it_goes_on_where_it_was_killed(self, old: Library, monkeypatch: pytest.MonkeyPatch) -> None:
        before = old.rows()
        written: list[str] = []

        def failing(store: Any, run_id: str, shard: Any, *rest: Any, **options: Any) -> Any:
            if len(written) == 2:
                raise KeyboardInterrupt
            written.append(shard.key)
            return commit(store, run_id, shard, *rest, **options)

        monkeypatch.setattr(compaction, "commit", failing)
        with pytest.raises(KeyboardInterrupt):
            compacted(old.catalog, 1)
        assert old.rows() == before
        written.append("the third is not refused")
        assert compacted(old.catalog, 1).written > 2
        assert len(written) == len(set(written))
        assert old.rows() == before

    def test_another_run_that_was_faster_wins(self, old: Library, monkeypatch: pytest.MonkeyPatch) -> None:
        def meanwhile(*arguments: Any, **options: Any) -> Any:
            write_snapshot(old.catalog, old_snapshot)
            return commit(*arguments, **options)

        old_snapshot = replace(read_snapshot(old.catalog), run_id="another")
        monkeypatch.setattr(compaction, "commit", meanwhile)
        with pytest.raises(StorageError, match="Another run has replaced the snapshot"):
            compacted(old.catalog)
        assert read_snapshot(old.catalog).run_id == "another"

    def test_a_part_that_is_not_there_is_named(self, old: Library) -> None:
        path = part_paths(old.catalog, read_snapshot(old.catalog))[0]
        Path(path).unlink()
        with pytest.raises((InputError, StorageError), match="part-00000"):
            compacted(old.catalog)

    def test_an_image_in_two_parts_is_named(self, old: Library) -> None:
        snapshot = read_snapshot(old.catalog)
        write_snapshot(old.catalog, replace(snapshot, parts=(*snapshot.parts, snapshot.parts[0])))
        with pytest.raises(InputError, match="Two parts of the catalog have the image 'a'"):
            compacted(old.catalog)

    def test_on_object_storage(self, s3: S3, aws: Callable[[S3], None], new_library: Callable[..., Library]) -> None:
        aws(s3)
        library = new_library(f"{s3.bucket('compact')}/catalog")
        scattered(library, dict.fromkeys("aceg", 1), dict.fromkeys("abcdefg", 2))
        before = library.rows()
        assert len(compacted(library.catalog).snapshot.parts) == 1
        assert library.rows() == before
        remove_garbage(library.catalog, find_garbage(library.catalog))
        assert library.rows() == before
        assert [entry.key for entry in open_store(library.catalog).list("runs/") if "/parts/" in entry.key] == [
            part.path for part in read_snapshot(library.catalog).parts
        ]

    def test_by_the_command_line(self, old: Library) -> None:
        first = CliRunner().invoke(app, ["compact", old.catalog])
        assert first.exit_code == 0
        assert "has 1 part for 13 rows, sorted by image_id; before it had 5" in first.stdout
        second = CliRunner().invoke(app, ["compact", old.catalog])
        assert "there is nothing to compact" in second.stdout
        assert "compact" in CliRunner().invoke(app, ["status", old.catalog]).stdout


class TestUpdateOfLargeParts:
    def test_a_large_part_is_rewritten_in_shards_of_a_usual_size(
        self, library: Library, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("artylyze.catalog.parts.ROW_GROUP", 4)
        images = {f"{n:03}": n + 1 for n in range(50)}
        library.tag(library.manifest(library.pictures(images)))
        compacted(library.catalog)
        assert len(read_snapshot(library.catalog).parts) == 1
        changes = library.update(library.manifest(library.pictures(images | {"017": 99, "033": -1})))
        assert max(shard.rows for shard in changes.shards) == library.size
        assert (changes.tagged, changes.copied) == (2, 48)
        rows = library.rows()
        assert [row["width"] for row in rows.values() if row["image_id"] not in ("017", "033")] == [
            10 + images[key] for key in sorted(images) if key not in ("017", "033")
        ]
        assert rows["017"]["width"] == 109


class TestGarbage:
    def test_only_what_the_catalog_lists_stays(self, library: Library) -> None:
        images = dict.fromkeys("abcdef", 1)
        library.tag(library.manifest(library.pictures(images)))
        library.update(library.manifest(library.pictures(images | {"a": 2})))
        before = library.rows()
        garbage = find_garbage(library.catalog)
        assert (garbage.parts, garbage.runs) == (1, ())
        remove_garbage(library.catalog, garbage)
        assert library.rows() == before
        assert find_garbage(library.catalog).keys == ()

    def test_whole_runs_go_with_their_folders(self, library: Library) -> None:
        images = dict.fromkeys("abc", 1)
        library.tag(library.manifest(library.pictures(images)))
        library.update(library.manifest(library.pictures(dict.fromkeys("abc", 2))))
        result = CliRunner().invoke(app, ["gc", library.catalog, "--json"])
        assert json.loads(result.stdout)["runs"] == ["run0"]
        assert not Path(library.catalog, "runs", "run0").exists()
        assert len(library.rows()) == 3

    def test_a_dry_run_removes_nothing(self, library: Library) -> None:
        library.tag(library.manifest(library.pictures({"a": 1})))
        library.update(library.manifest(library.pictures({"a": 2})))
        result = CliRunner().invoke(app, ["gc", library.catalog, "--dry-run"])
        assert "Would remove 1 object" in result.stdout
        assert "1 replaced part, 1 whole run" in result.stdout
        assert Path(library.catalog, "runs", "run0", "parts", "part-00000.parquet").exists()

    def test_temporary_files_of_killed_writers_go(self, library: Library) -> None:
        library.tag(library.manifest(library.pictures({"a": 1})))
        orphan = Path(library.catalog, "runs", "run0", "parts", ".0123456789abcdef.tmp")
        orphan.write_bytes(b"half a part")
        remove_garbage(library.catalog, find_garbage(library.catalog))
        assert not orphan.exists()
        assert len(library.rows()) == 1

    def test_a_run_that_is_driven_stays(self, library: Library) -> None:
        library.tag(library.manifest(library.pictures({"a": 1})))
        store = run_store(library.catalog, "other")
        store.put("parts/part-00000.parquet", b"just written")
        with Lease(store, 1, conditional=True):
            assert find_garbage(library.catalog, interrupted=True).keys == ()
        assert find_garbage(library.catalog, interrupted=True).runs == ("other",)

    def test_a_compaction_that_stopped_stays_until_it_is_asked_for(
        self, library: Library, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        library.tag(library.manifest(library.pictures(dict.fromkeys("abcdef", 1))))

        def interrupted(*arguments: Any, **options: Any) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(compaction, "commit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compacted(library.catalog)
        garbage = find_garbage(library.catalog)
        assert garbage.keys == ()
        assert len(garbage.resumable) == 1
        assert find_garbage(library.catalog, interrupted=True).runs == garbage.resumable

    def test_without_a_complete_catalog_nothing_is_removed(self, tmp_path: Path) -> None:
        run_store(str(tmp_path), "first").put("parts/part-00000.parquet", b"may be needed")
        with pytest.raises(InputError, match="There is no complete catalog"):
            find_garbage(str(tmp_path))
