from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artylyze.catalog.snapshot import part_paths, read_snapshot
from artylyze.catalog.update import Changes
from artylyze.errors import InputError

if TYPE_CHECKING:
    from tests.catalog.conftest import Library

KEYS = ["../c.jpg", "a//b.jpg", "<b>.jpg", "=1+1.jpg", "caf\u00e9.jpg", "cafe\u0301.jpg", "😀", "d", "e", "f", "g", "h"]
contents = st.sampled_from([1, 2, 3, -1, -2])
titles = st.sampled_from([None, "", "Ophelia", "=x"])
collections = st.tuples(
    st.booleans(), st.dictionaries(st.sampled_from(KEYS), st.tuples(contents, titles), min_size=1, max_size=10)
)


def step(library: Library, images: Mapping[str, tuple[int, str | None]], *, titles: bool) -> Changes:
    return library.update(library.manifest(library.titled(images), titles=titles))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(collections, min_size=2, max_size=4))
def test_an_updated_catalog_is_a_fresh_one(history: list[Any], new_library: Callable[..., Library]) -> None:
    updated, fresh = new_library(), new_library()
    (described, images), *later = history
    updated.tag(updated.manifest(updated.titled(images), titles=described))
    before = images
    for also, images in later:
        described = described or also  # metadata that goes is refused
        changes = step(updated, images, titles=described)
        changed = {key for key, (content, _) in images.items() if key not in before or before[key][0] != content}
        assert sorted(updated.read) == sorted(changed)
        assert (changes.tagged, changes.removed) == (len(changed), len(before.keys() - images.keys()))
        before = images
    fresh.tag(fresh.manifest(fresh.titled(images), titles=described))
    assert updated.rows() == fresh.rows()


class TestPlan:
    @pytest.fixture
    def old(self, library: Library) -> Library:
        """A catalog of three parts: abc, def, ghi; b can pass with time, e cannot."""
        library.before |= {key: (n, f"title of {key}") for n, key in enumerate("abcdefghi")}
        library.before |= {"b": (-1, "b"), "e": (-2, "e")}
        library.tag(library.manifest(library.titled(library.before), titles=True))
        return library

    def change(self, old: Library, change: Mapping[str, tuple[int, str | None] | None]) -> Changes:
        images = {key: value for key, value in ({**old.before, **change}).items() if value is not None}
        return step(old, images, titles=True)

    def kept(self, changes: Changes) -> list[str]:
        return [part.path[-13:-8] for part in changes.kept]

    def test_nothing_changed_is_nothing_to_do(self, old: Library) -> None:
        changes = self.change(old, {})
        assert (changes.shards, changes.tagged, changes.copied, changes.removed) == ((), 0, 0, 0)
        assert self.kept(changes) == ["00000", "00001", "00002"]

    def test_a_new_image_is_a_new_shard(self, old: Library) -> None:
        changes = self.change(old, {"bb": (7, "new"), "z": (8, "new")})
        assert (len(changes.kept), changes.tagged, changes.copied) == (3, 2, 0)
        assert old.read == ["bb", "z"]

    def test_new_images_are_cut_into_shards(self, old: Library) -> None:
        changes = self.change(old, {f"new{n}": (n, None) for n in range(7)})
        assert [shard.rows for shard in changes.shards] == [3, 3, 1]

    def test_a_changed_image_rewrites_its_part_and_no_other(self, old: Library) -> None:
        changes = self.change(old, {"d": (70, "title of d")})
        assert self.kept(changes) == ["00000", "00002"]
        assert (old.read, changes.tagged, changes.copied) == (["d"], 1, 2)

    def test_a_removed_image_drops_out(self, old: Library) -> None:
        changes = self.change(old, {"d": None})
        assert (old.read, changes.copied, changes.removed) == ([], 2, 1)
        assert sorted(old.rows()) == list("abcefghi")

    def test_a_part_whose_images_are_all_gone_is_gone(self, old: Library) -> None:
        changes = self.change(old, dict.fromkeys("def"))
        assert (changes.shards, self.kept(changes)) == ((), ["00000", "00002"])
        assert sorted(old.rows()) == list("abcghi")

    def test_new_metadata_is_written_without_reading_an_image(self, old: Library) -> None:
        changes = self.change(old, {"d": (3, "a better title")})
        assert (old.read, changes.copied) == ([], 3)
        assert old.rows()["d"]["metadata"] == {"title": "a better title"}

    def test_a_source_without_the_metadata_is_refused(self, old: Library) -> None:
        with pytest.raises(InputError, match="carries your metadata, and this source has none"):
            step(old, old.before, titles=False)

    def test_an_image_that_moved_is_read_again(self, old: Library) -> None:
        images = old.titled(old.before)
        images["d"] = old.moved(images["d"], "s3://elsewhere/d")
        old.update(old.manifest(images, titles=True))
        assert old.read == ["d"]

    def test_a_failure_is_not_tried_again_by_an_update(self, old: Library) -> None:
        old.healed = True
        assert self.change(old, {}).tagged == 0

    def test_a_retry_reads_only_what_can_pass(self, old: Library) -> None:
        old.healed = True
        changes = old.update(None, retry_failed=True)
        assert (old.read, changes.copied, self.kept(changes)) == (["b"], 2, ["00001", "00002"])
        assert {key: row["status"] for key, row in old.rows().items() if row["status"] == "error"} == {"e": "error"}

    def test_a_retry_keeps_the_metadata(self, old: Library) -> None:
        before = {key: row["metadata"] for key, row in old.rows().items()}
        old.update(None, retry_failed=True)
        assert {key: row["metadata"] for key, row in old.rows().items()} == before

    def test_a_retry_that_succeeds_leaves_nothing_to_retry(self, old: Library) -> None:
        old.healed = True
        old.update(None, retry_failed=True)
        assert old.update(None, retry_failed=True).shards == ()

    def test_an_update_may_retry_as_well(self, old: Library) -> None:
        old.healed = True
        images = {**old.before, "z": (9, None)}
        old.update(old.manifest(old.titled(images), titles=True), retry_failed=True)
        assert old.read == ["b", "z"]

    def test_validators_of_another_kind_are_not_compared_and_not_taken_over(self, old: Library) -> None:
        images = old.titled(old.before)
        before = {key: row["validator"] for key, row in old.rows().items()}
        old.update(old.manifest(images, titles=True, validator="mtime:1:2"))
        assert old.read == []
        assert {key: row["validator"] for key, row in old.rows().items()} == before

    def test_rows_that_were_copied_know_the_run_that_read_them(self, old: Library) -> None:
        self.change(old, {"d": (70, None)})
        columns = {row["image_id"]: row["run_id"] for row in old.table().to_pylist()}
        assert (columns["c"], columns["d"], columns["f"]) == ("run0", "run1", "run0")

    def test_no_part_is_overwritten(self, old: Library) -> None:
        paths = part_paths(old.catalog, read_snapshot(old.catalog))
        before = [pq.read_table(path) for path in paths]
        self.change(old, {"a": (70, None), "d": None, "z": (1, None)})
        assert [pq.read_table(path) for path in paths] == before


class TestRefusals:
    def test_a_manifest_that_repeats_an_image_is_refused(self, library: Library) -> None:
        library.tag(library.manifest(library.titled({"a": (1, None)})))
        manifest = library.manifest(library.titled({"a": (1, None), "b": (2, None)}))
        table = pq.read_table(manifest)
        pq.write_table(pa.concat_tables([table, table.slice(1)]), manifest)
        with pytest.raises(InputError, match="repeats the image_id 'b'"):
            library.update(manifest)

    def test_a_manifest_of_no_images_is_refused(self, library: Library) -> None:
        library.tag(library.manifest(library.titled({"a": (1, None)})))
        with pytest.raises(InputError, match="holds no images"):
            library.update(library.manifest({}))


@pytest.mark.parametrize("column", ["warning", "warnings", "colors"])
def test_an_update_gives_parts_of_an_earlier_version_the_columns_they_lack(library: Library, column: str) -> None:
    images: dict[str, tuple[int, str | None]] = {key: (n, None) for n, key in enumerate("abcdefghi")}
    library.tag(library.manifest(library.titled(images)))
    snapshot = read_snapshot(library.catalog)
    for path in part_paths(library.catalog, snapshot):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns(column), path)
    del images["a"]
    changes = step(library, images, titles=False)
    assert (changes.tagged, changes.copied, changes.removed) == (0, 8, 1)
    assert library.read == []
    assert library.table().column(column).null_count == 8


@pytest.mark.parametrize("name", ["it's", "a [b] *", 'a "quote"', "a;b -- c"])
def test_a_folder_for_temporary_files_may_have_any_name(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    library.tag(library.manifest(library.titled({"a": (1, None)}), titles=False))
    changes = step(library, {"a": (1, None), "b": (2, None)}, titles=False)
    assert (changes.tagged, changes.removed) == (1, 0)
