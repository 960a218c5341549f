from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artylyze.errors import ErrorCode, ImageError, InputError, StorageError
from artylyze.storage import ConflictError, Survey, fetch, is_url, open_store, unchanged
from artylyze.storage.local import LocalStore

ODD_NAMES = [
    "<script>alert(1).jpg",
    "=1+1.jpg",
    "two  spaces.jpg",
    'it\'s "quoted".jpg',
    "caf\u00e9.jpg",
    "cafe\u0301.jpg",
    "😀.jpg",
    "..dots.jpg",
    "100%25.jpg",
    "a?b#c&d.jpg",
    "back\\slash.jpg",
    "new\nline.jpg",
    "s3:",
    os.fsdecode(b"\xff\xfe.jpg"),
]
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..") and not name.startswith(".")
)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "root")


def keys(store: LocalStore, under: str = "") -> list[str]:
    return sorted(entry.key for entry in store.list(under))


class TestKeys:
    @pytest.mark.parametrize("key", ODD_NAMES)
    def test_a_listed_name_is_read_back_through_its_address(self, store: LocalStore, key: str) -> None:
        store.put(f"folder/{key}", b"content")
        (entry,) = store.list()
        assert entry.key == f"folder/{key}"
        assert bytes(fetch(store.uri(entry.key), entry.validator)) == b"content"

    @settings(deadline=None)
    @given(key=st.lists(names, min_size=1, max_size=3).map("/".join), data=st.binary(max_size=100))
    def test_any_name_is_listed_and_read_as_it_was_written(self, key: str, data: bytes) -> None:
        if max(len(part.encode()) for part in key.split("/")) > 200:
            return
        with tempfile.TemporaryDirectory() as folder:
            store = LocalStore(Path(folder))
            store.put(key, data)
            assert keys(store) == [key]
            assert bytes(fetch(store.uri(key))) == data

    def test_addresses_are_valid_utf8(self, store: LocalStore) -> None:
        assert store.uri(os.fsdecode(b"a/\xff.jpg")).endswith("/a/%FF.jpg")

    def test_both_normal_forms_of_a_name_are_two_files(self, store: LocalStore) -> None:
        store.put("caf\u00e9.jpg", b"nfc")
        store.put("cafe\u0301.jpg", b"nfd")
        assert {bytes(store.get(key).data) for key in keys(store)} == {b"nfc", b"nfd"}

    @pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/hostname"])
    def test_a_key_never_leads_out_of_the_folder(self, store: LocalStore, key: str) -> None:
        for call in (store.read, store.get, store.open, store.version, store.delete):
            with pytest.raises(StorageError, match="does not name a file below"):
                call(key)
        with pytest.raises(StorageError, match="does not name a file below"):
            store.put(key, b"")


class TestListing:
    def test_hidden_folders_are_not_entered(self, store: LocalStore) -> None:
        store.put(".git/a.jpg", b"")
        store.put("b.jpg", b"")
        assert keys(store) == ["b.jpg"]

    def test_only_regular_files_and_links_to_them_are_listed(self, store: LocalStore, tmp_path: Path) -> None:
        store.put("file.jpg", b"image")
        root = store.root
        os.mkfifo(root / "pipe.jpg")
        (root / "folder.jpg").mkdir()
        (root / "dangling.jpg").symlink_to(root / "nowhere")
        (root / "loop.jpg").symlink_to(root / "loop.jpg")
        (root / "link.jpg").symlink_to(root / "file.jpg")
        (root / "link-to-folder.jpg").symlink_to(tmp_path)
        assert keys(store) == ["file.jpg", "link.jpg"]

    def test_a_key_prefix_need_not_end_at_a_folder(self, store: LocalStore) -> None:
        for key in ("parts/part-1", "parts/other", "part"):
            store.put(key, b"")
        assert keys(store, "parts/part-") == ["parts/part-1"]
        assert keys(store, "part") == ["part", "parts/other", "parts/part-1"]

    def test_a_prefix_below_which_nothing_lies_is_empty(self, store: LocalStore) -> None:
        store.root.mkdir()
        assert keys(store, "runs/") == []

    def test_no_such_folder_is_told(self, store: LocalStore) -> None:
        with pytest.raises(StorageError, match="No such file or directory"):
            list(store.list())

    def test_a_folder_that_may_not_be_read_stops_the_listing(self, unprivileged: Path) -> None:
        store = LocalStore(unprivileged)
        store.put("closed/a.jpg", b"")
        (unprivileged / "closed").chmod(0)
        with pytest.raises(StorageError, match=r"closed.*Permission denied"):
            list(store.list())
        (unprivileged / "closed").chmod(0o700)


class TestSurvey:
    def survey(self, store: LocalStore, *, skips: str = "-") -> tuple[list[str], Survey]:
        survey = Survey(lambda folder: folder.rpartition("/")[2] == skips)
        return sorted(entry.key for entry in store.survey(survey)), survey

    def test_a_folder_that_is_skipped_is_not_entered_and_counted_by_name(self, store: LocalStore) -> None:
        for key in ("a/x/1.jpg", "b/x/y/2.jpg", "b/3.jpg"):
            store.put(key, b"")
        found, survey = self.survey(store, skips="x")
        assert found == ["b/3.jpg"]
        assert survey.folders == {"x": 2}

    def test_a_link_to_a_folder_elsewhere_is_followed(self, store: LocalStore, tmp_path: Path) -> None:
        (tmp_path / "nas" / "box").mkdir(parents=True)
        (tmp_path / "nas" / "box" / "1.jpg").write_bytes(b"image")
        store.root.mkdir()
        (store.root / "linked").symlink_to("../nas")
        found, survey = self.survey(store)
        assert found == ["linked/box/1.jpg"]
        assert bytes(fetch(store.uri(found[0]))) == b"image"
        assert not survey.repeats.count

    def test_links_never_lead_in_a_circle_nor_list_a_folder_twice(self, store: LocalStore, tmp_path: Path) -> None:
        store.put("z/1.jpg", b"")
        (tmp_path / "beside.jpg").write_bytes(b"")
        for name, target in (("up", ".."), ("here", "."), ("a", "z"), ("z/root", "../../root"), ("z/self", ".")):
            (store.root / name).symlink_to(target)
        found, survey = self.survey(store)
        assert found == ["z/1.jpg"]
        assert survey.repeats.count == 5
        assert sorted(survey.repeats.first) == ["a", "here", "up", "z/root", "z/self"]

    def test_of_two_links_to_a_folder_the_first_by_name_counts(self, store: LocalStore, tmp_path: Path) -> None:
        (tmp_path / "nas" / "box").mkdir(parents=True)
        (tmp_path / "nas" / "box" / "1.jpg").write_bytes(b"")
        store.root.mkdir()
        (store.root / "b").symlink_to(tmp_path / "nas" / "box")
        (store.root / "a").symlink_to(tmp_path / "nas")
        found, survey = self.survey(store)
        assert found == ["a/box/1.jpg"]
        assert survey.repeats.first == ["b"]

    def test_links_that_lead_nowhere_are_noted(self, store: LocalStore) -> None:
        store.put("a.jpg", b"")
        for name, target in (("alias.jpg", "a.jpg"), ("dead.jpg", "nowhere"), ("self.jpg", "self.jpg")):
            (store.root / name).symlink_to(target)
        found, survey = self.survey(store)
        assert found == ["a.jpg", "alias.jpg"]
        assert (survey.dead_links.count, sorted(survey.dead_links.first)) == (2, ["dead.jpg", "self.jpg"])

    def test_what_may_not_be_read_is_noted_and_the_rest_listed(self, unprivileged: Path) -> None:
        store = LocalStore(unprivileged)
        for key in ("closed/a.jpg", "no-entry/b.jpg", "open/c.jpg"):
            store.put(key, b"")
        (unprivileged / "closed").chmod(0)
        (unprivileged / "no-entry").chmod(0o400)  # names can be listed, and nothing about them learnt
        found, survey = self.survey(store)
        assert found == ["open/c.jpg"]
        assert sorted(survey.unreadable.first) == [
            "closed (Permission denied)",
            "no-entry/b.jpg (Permission denied)",
        ]
        for name in ("closed", "no-entry"):
            (unprivileged / name).chmod(0o700)

    def test_a_root_that_cannot_be_read_stops_it(self, store: LocalStore) -> None:
        with pytest.raises(StorageError, match="No such file or directory"):
            self.survey(store)

    def test_a_folder_that_fails_in_the_middle_keeps_what_was_listed(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for key in ("a/1.jpg", "a/2.jpg", "b/3.jpg"):
            store.put(key, b"")
        real = os.scandir

        class Failing:
            """A folder on a disk that fails after its first name: no file system here can be made to."""

            def __init__(self, path: str) -> None:
                self.entries = real(path)

            def __enter__(self) -> Iterator[os.DirEntry[str]]:
                yield_one = next(self.entries)

                def entries() -> Iterator[os.DirEntry[str]]:
                    yield yield_one
                    raise OSError(errno.EIO, "Input/output error")

                return entries()

            def __exit__(self, *_: object) -> None:
                self.entries.close()

        monkeypatch.setattr(os, "scandir", lambda path: Failing(path) if path.endswith("/a") else real(path))
        found, survey = self.survey(store)
        assert len(found) == 2
        assert "b/3.jpg" in found
        assert survey.unreadable.first == ["a (Input/output error)"]


class TestFetching:
    @pytest.mark.parametrize(
        ("make", "code"),
        [
            (str, ErrorCode.MISSING),
            (lambda path: path.mkdir(), ErrorCode.UNSUPPORTED),
            (os.mkfifo, ErrorCode.UNSUPPORTED),
            (lambda path: path.symlink_to("nowhere"), ErrorCode.MISSING),
            (lambda path: path.symlink_to(path), ErrorCode.UNREACHABLE),
        ],
        ids=["nothing", "folder", "pipe", "dangling link", "link to itself"],
    )
    def test_what_is_no_file_is_a_typed_failure(self, tmp_path: Path, make: object, code: ErrorCode) -> None:
        assert callable(make)
        make(tmp_path / "a.jpg")
        with pytest.raises(ImageError) as caught:
            fetch(str(tmp_path / "a.jpg"))
        assert caught.value.code is code

    def test_a_file_below_a_file_is_missing(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"")
        with pytest.raises(ImageError) as caught:
            fetch(str(tmp_path / "a" / "b.jpg"))
        assert caught.value.code is ErrorCode.MISSING

    def test_a_file_that_may_not_be_read_is_denied(self, unprivileged: Path) -> None:
        path = unprivileged / "a.jpg"
        path.write_bytes(b"image")
        path.chmod(0)
        with pytest.raises(ImageError) as caught:
            fetch(str(path))
        assert caught.value.code is ErrorCode.DENIED

    @pytest.mark.parametrize("name", ["a\0b.jpg", "x" * 300 + ".jpg"])
    def test_a_name_that_no_file_can_have_is_a_failure_of_the_image(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ImageError):
            fetch(f"{tmp_path}/{name}")

    def test_a_file_that_changed_since_the_scan_is_changed(self, store: LocalStore) -> None:
        store.put("a.jpg", b"one")
        (entry,) = store.list()
        store.put("a.jpg", b"two")
        with pytest.raises(ImageError) as caught:
            fetch(store.uri("a.jpg"), entry.validator)
        assert caught.value.code is ErrorCode.CHANGED

    def test_a_file_above_the_limit_is_too_large(self, store: LocalStore) -> None:
        store.put("a.jpg", b"12345")
        assert len(store.get("a.jpg", 5).data) == 5
        with pytest.raises(ImageError) as caught:
            store.get("a.jpg", 4)
        assert caught.value.code is ErrorCode.TOO_LARGE

    def test_a_scheme_that_nobody_reads_is_unsupported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        LocalStore(tmp_path).put("host/a.jpg", b"a local file of that name")
        with pytest.raises(ImageError) as caught:
            fetch("ftp://host/a.jpg")
        assert caught.value.code is ErrorCode.UNSUPPORTED


class TestPuts:
    def test_a_reader_sees_the_old_file_or_the_new_one(self, store: LocalStore) -> None:
        contents = {bytes([number]) * 200_000 for number in range(8)}
        store.put("file", min(contents))
        stop, seen = threading.Event(), set()

        def look() -> None:
            while not stop.is_set():
                seen.add(store.read("file"))

        reader = threading.Thread(target=look)
        reader.start()
        for _ in range(5):
            for content in contents:
                store.put("file", content)
        stop.set()
        reader.join()
        assert seen <= contents

    def test_nothing_but_the_file_is_left(self, store: LocalStore) -> None:
        store.put("a", b"one")
        store.put("a", b"two")
        with pytest.raises(ConflictError):
            store.put("a", b"three", if_absent=True)
        with pytest.raises(ConflictError):
            store.put("b", b"four", if_match="other")
        assert [path.name for path in store.root.iterdir() if not path.name.endswith(".lock")] == ["a"]

    def test_nothing_is_left_of_a_put_that_fails(self, store: LocalStore) -> None:
        (store.root / "a").mkdir(parents=True)
        with pytest.raises(StorageError):
            store.put("a", b"a folder is there")
        assert [path.name for path in store.root.iterdir()] == ["a"]

    def test_if_absent_never_replaces(self, store: LocalStore) -> None:
        store.put("a", b"first", if_absent=True)
        with pytest.raises(ConflictError):
            store.put("a", b"second", if_absent=True)
        assert store.read("a") == b"first"

    def test_if_absent_never_replaces_where_there_are_no_links(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_links(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_links)
        store.put("a", b"first", if_absent=True)
        with pytest.raises(ConflictError):
            store.put("a", b"second", if_absent=True)
        assert store.read("a") == b"first"

    def test_one_of_many_writers_wins(self, store: LocalStore) -> None:
        won = []

        def write(number: int) -> None:
            try:
                store.put("a", bytes([number]), if_absent=True)
            except ConflictError:
                return
            won.append(bytes([number]))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [store.read("a")]

    def test_if_match_replaces_that_version_only(self, store: LocalStore) -> None:
        first = store.put("a", b"one")
        second = store.put("a", b"two", if_match=first)
        assert second == store.version("a")
        with pytest.raises(ConflictError):
            store.put("a", b"three", if_match=first)
        assert store.read("a") == b"two"

    def test_a_file_where_a_folder_should_be_is_no_conflict(self, store: LocalStore) -> None:
        store.put("runs", b"a file")
        with pytest.raises(StorageError, match="Not a directory"):
            store.put("runs/1/part", b"", if_absent=True)

    def test_a_folder_that_takes_no_files_is_told(self, unprivileged: Path) -> None:
        unprivileged.chmod(0o500)
        with pytest.raises(StorageError, match="Permission denied"):
            LocalStore(unprivileged).put("a", b"")

    def test_a_full_disk_is_told_and_leaves_nothing(self, store: LocalStore) -> None:
        code = """
import resource, signal, sys
from pathlib import Path
from artylyze.errors import StorageError
from artylyze.storage.local import LocalStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    LocalStore(Path(sys.argv[1])).put("a", bytes(2000))
except StorageError as error:
    print(error)
"""
        done = subprocess.run([sys.executable, "-c", code, str(store.root)], check=True, capture_output=True, text=True)
        assert "File too large" in done.stdout
        assert list(store.root.iterdir()) == []

    def test_upload_is_whole_and_leaves_nothing_else(self, store: LocalStore, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"content")
        store.upload("folder/a", tmp_path / "source")
        assert store.read("folder/a") == b"content"
        assert len(list((store.root / "folder").iterdir())) == 1


class TestReading:
    def test_what_is_not_there_reads_as_none(self, store: LocalStore) -> None:
        assert store.read("a") is None
        assert store.version("a") is None
        store.delete("a")

    def test_the_tail_of_a_short_file_is_all_of_it(self, store: LocalStore) -> None:
        store.put("a", b"12345")
        assert (store.tail("a", 3), store.tail("a", 99)) == (b"345", b"12345")

    def test_what_must_be_there_and_is_not_is_told(self, store: LocalStore) -> None:
        for call in (lambda: store.tail("a", 1), lambda: store.open("a")):
            with pytest.raises(StorageError, match="No such file"):
                call()


class TestAddresses:
    @pytest.mark.parametrize("address", ["s3://bucket", "HTTP://host/a", "file:///a"])
    def test_addresses_have_a_scheme(self, address: str) -> None:
        assert is_url(address)

    @pytest.mark.parametrize("path", ["/a/b", "a:b", "C:/scans", "s3:/bucket", "c://x", "?a=http://b"])
    def test_paths_have_none(self, path: str) -> None:
        assert not is_url(path)

    def test_a_file_address_is_a_folder(self, tmp_path: Path) -> None:
        assert open_store(f"{tmp_path.as_uri()}/with%20space").url == f"{tmp_path}/with space"

    @pytest.mark.parametrize("address", ["ftp://host/a", "s3://", "s3:///a", "http://host/"])
    def test_other_addresses_are_refused(self, address: str) -> None:
        with pytest.raises(InputError, match="is not a folder"):
            open_store(address)


class TestValidators:
    def test_null_is_unchecked(self) -> None:
        assert unchanged(None, ("etag:x",))

    def test_like_is_compared_with_like(self) -> None:
        assert unchanged("etag:x", ("etag:x", "mtime:1:2"))
        assert not unchanged("etag:x", ("etag:y", "mtime:1:2"))
        assert not unchanged("mtime:1:3", ("etag:x", "mtime:1:2"))

    def test_what_has_nothing_like_it_is_unchecked(self) -> None:
        assert unchanged("mtime:1:2", ("etag:x",))
        assert unchanged("etag:x", ())
