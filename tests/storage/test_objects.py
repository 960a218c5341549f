from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artylyze.errors import ErrorCode, ImageError, StorageError
from artylyze.storage import ConflictError, Store, fetch, objects, open_store
from artylyze.storage.objects import Bucket, ObjectStore
from tests.conftest import S3
from tests.storage.servers import HEAD, Server, drip, say

NUMBERS = itertools.count()
OBJECT_HEAD = HEAD + b'ETag: "a"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n'
KEYS = [
    "<script>alert(1)</script>.jpg",
    "=1+1.jpg",
    "two  spaces.jpg",
    'it\'s "quoted".jpg',
    "caf\u00e9.jpg",
    "cafe\u0301.jpg",
    "😀.jpg",
    "a%20b%2Fc.jpg",
    "a?b#c&d+e.jpg",
    "back\\slash.jpg",
    "x~y^z`{|}[1]*.jpg",
    "tab\t.jpg",
    "..dots.jpg",
]
PATHLIKE = ["a//b.jpg", "../c.jpg", "a/../b.jpg", "./d.jpg", "/lead.jpg", "//two.jpg"]
"""Keys that a path would resolve; MinIO's servers refuse them, Amazon's and moto take them."""

keys = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda key: key not in (".", "..")
)


@pytest.fixture
def bucket(s3: S3, aws: Callable[[S3], None]) -> str:
    aws(s3)
    return s3.bucket(f"objects-{next(NUMBERS)}")


@pytest.fixture
def s3_of(aws: Callable[[S3], None]) -> Callable[[str], None]:
    """Take the server at an address for S3."""
    return lambda url: aws(S3(url, conditional=False))


@pytest.fixture
def store(bucket: str) -> Store:
    return open_store(f"{bucket}/some/prefix")


@pytest.fixture
def moto_bucket(moto_server: S3, aws: Callable[[S3], None]) -> str:
    aws(moto_server)
    return moto_server.bucket(f"moto-{next(NUMBERS)}")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that nobody listens to, and that nobody else is given meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def code_of(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(ImageError) as caught:
        call()
    return caught.value.code


class TestKeys:
    def test_listed_keys_are_read_back_through_their_addresses(self, s3: S3, bucket: str) -> None:
        client = s3.client()
        for key in KEYS:
            client.put_object(Bucket=bucket[5:], Key=f"some/prefix/{key}", Body=key.encode())
        store = open_store(f"{bucket}/some/prefix")
        found = {entry.key: bytes(fetch(store.uri(entry.key), entry.validator)) for entry in store.list()}
        assert found == {key: key.encode() for key in KEYS}

    def test_a_key_is_never_a_path(self, moto_server: S3, moto_bucket: str) -> None:
        every = [*PATHLIKE, "lead.jpg", "two.jpg", "c.jpg", "b.jpg", "d.jpg", "a/b.jpg"]
        client = moto_server.client()
        for key in every:
            client.put_object(Bucket=moto_bucket[5:], Key=key, Body=key.encode())
        store = open_store(moto_bucket)
        found = {entry.key: bytes(fetch(store.uri(entry.key), entry.validator)) for entry in store.list()}
        assert found == {key: key.encode() for key in every}

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(key=st.lists(keys, min_size=1, max_size=3).map("/".join))
    def test_any_key_is_read_as_it_was_written(self, moto_bucket: str, key: str) -> None:
        store = open_store(f"{moto_bucket}/{next(NUMBERS)}")
        store.put(key, key.encode())
        assert [entry.key for entry in store.list()] == [key]
        assert bytes(fetch(store.uri(key))) == key.encode()

    def test_we_write_no_key_that_the_client_would_alter(self, moto_bucket: str) -> None:
        store = open_store(f"{moto_bucket}//slash")
        with pytest.raises(StorageError, match="begin with a slash"):
            store.put("a", b"")

    def test_a_prefix_is_a_folder(self, store: Store, bucket: str) -> None:
        open_store(bucket).put("some/prefix-of-another/a.jpg", b"")
        store.put("a.jpg", b"")
        assert [entry.key for entry in store.list()] == ["a.jpg"]

    def test_markers_of_folders_are_not_listed(self, moto_server: S3, moto_bucket: str) -> None:
        moto_server.client().put_object(Bucket=moto_bucket[5:], Key="folder/", Body=b"")
        assert list(open_store(moto_bucket).list()) == []

    def test_a_listing_goes_on_beyond_one_page(self, moto_bucket: str) -> None:
        store = open_store(moto_bucket)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda number: store.put(f"{number:04d}", b""), range(1001)))
        assert len({entry.key for entry in store.list()}) == 1001

    def test_the_names_of_a_scheme_mean_the_same(self, bucket: str) -> None:
        open_store(bucket).put("a", b"1")
        assert bytes(fetch("s3a" + bucket.removeprefix("s3") + "/a")) == b"1"


class TestObjects:
    def test_an_object_is_read_as_it_was_written(self, store: Store) -> None:
        store.put("a", b"12345")
        assert store.read("a") == b"12345"
        assert bytes(store.get("a").data) == b"12345"
        assert store.open("a").read() == b"12345"

    def test_the_tail_of_a_short_object_is_all_of_it(self, store: Store) -> None:
        store.put("a", b"12345")
        assert (store.tail("a", 3), store.tail("a", 99)) == (b"345", b"12345")

    def test_the_tail_of_nothing_is_nothing(self, store: Store) -> None:
        store.put("a", b"")
        assert store.tail("a", 8) == b""

    def test_what_is_not_there_reads_as_none(self, store: Store) -> None:
        assert store.read("a") is None
        assert store.version("a") is None
        store.delete("a")

    def test_a_deleted_object_is_gone(self, store: Store) -> None:
        store.put("a", b"")
        store.delete("a")
        assert store.read("a") is None

    def test_a_file_is_uploaded_whole(self, store: Store, tmp_path: Path) -> None:
        content = os.urandom(11 * 2**20)  # beyond one part of a multipart upload
        (tmp_path / "file").write_bytes(content)
        store.upload("folder/file", tmp_path / "file")
        assert store.read("folder/file") == content

    def test_an_object_above_the_limit_is_too_large(self, store: Store) -> None:
        store.put("a", b"12345")
        assert code_of(lambda: store.get("a", 4)) is ErrorCode.TOO_LARGE


class TestConditions:
    @pytest.fixture
    def store(self, moto_bucket: str) -> Store:
        return open_store(moto_bucket)

    def test_if_absent_never_replaces(self, store: Store) -> None:
        store.put("a", b"first", if_absent=True)
        with pytest.raises(ConflictError):
            store.put("a", b"second", if_absent=True)
        assert store.read("a") == b"first"

    def test_if_match_replaces_that_version_only(self, store: Store) -> None:
        first = store.put("a", b"one")
        second = store.put("a", b"two", if_match=first)
        assert second == store.version("a")
        with pytest.raises(ConflictError):
            store.put("a", b"three", if_match=first)
        assert store.read("a") == b"two"


class TestImages:
    def test_a_deleted_object_is_missing(self, store: Store) -> None:
        store.put("a.jpg", b"one")
        (entry,) = store.list()
        store.delete("a.jpg")
        assert code_of(lambda: fetch(store.uri("a.jpg"), entry.validator)) is ErrorCode.MISSING

    def test_an_unchanged_object_is_read(self, store: Store) -> None:
        store.put("a.jpg", b"one")
        (entry,) = store.list()
        assert bytes(fetch(store.uri("a.jpg"), entry.validator)) == b"one"

    def test_a_replaced_object_is_changed(self, store: Store) -> None:
        store.put("a.jpg", b"one")
        (entry,) = store.list()
        store.put("a.jpg", b"three")
        assert code_of(lambda: fetch(store.uri("a.jpg"), entry.validator)) is ErrorCode.CHANGED

    def test_an_object_of_a_bucket_that_is_not_there_is_unreachable(self, bucket: str) -> None:
        assert code_of(lambda: fetch(f"{bucket}-that-is-not/a.jpg")) is ErrorCode.UNREACHABLE

    def test_an_archived_object_is_archived(self, moto_server: S3, moto_bucket: str) -> None:
        moto_server.client().put_object(Bucket=moto_bucket[5:], Key="a.tif", Body=b"cold", StorageClass="GLACIER")
        assert code_of(lambda: fetch(f"{moto_bucket}/a.tif")) is ErrorCode.ARCHIVED

    @pytest.mark.parametrize("key", ["a.jpg", "a//b.jpg"], ids=["plain key", "odd key"])
    def test_an_object_that_is_refused_is_denied(
        self, juicefs_server: S3, aws: Callable[[S3], None], monkeypatch: pytest.MonkeyPatch, key: str
    ) -> None:
        aws(juicefs_server)
        bucket = juicefs_server.bucket(f"denied-{next(NUMBERS)}")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        assert code_of(lambda: fetch(f"{bucket}/{key}")) is ErrorCode.DENIED

    @pytest.mark.parametrize("key", ["a.jpg", "a//b.jpg"], ids=["plain key", "odd key"])
    def test_an_object_on_a_server_that_does_not_answer_is_unreachable(
        self, moto_bucket: str, silent_port: int, monkeypatch: pytest.MonkeyPatch, key: str
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent_port}")
        assert code_of(lambda: fetch(f"{moto_bucket}/{key}")) is ErrorCode.UNREACHABLE

    @pytest.mark.parametrize("key", ["a.jpg", "a//b.jpg"], ids=["plain key", "odd key"])
    def test_an_object_that_never_ends_is_given_up(
        self, serve: Callable[..., Server], s3_of: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, key: str
    ) -> None:
        monkeypatch.setattr(objects, "OBJECT_SECONDS", 1.0)
        monkeypatch.setattr(objects, "_RETRIES", {"max_retries": 4, "retry_timeout": timedelta(seconds=1)})
        server = serve(drip(OBJECT_HEAD + b"Content-Length: 3000000\r\n\r\n"))
        s3_of(server.url)
        assert code_of(lambda: fetch(f"s3://bucket/{key}")) is ErrorCode.UNREACHABLE
        assert len(server.requests) == 1

    def test_an_odd_key_whose_object_breaks_off_is_unreachable(
        self, serve: Callable[..., Server], s3_of: Callable[[str], None]
    ) -> None:
        s3_of(serve(say(OBJECT_HEAD + b"Connection: close\r\nContent-Length: 9\r\n\r\nhalf")).url)
        assert code_of(lambda: fetch("s3://bucket/a//b.jpg")) is ErrorCode.UNREACHABLE

    def test_an_object_without_credentials_is_denied(
        self, moto_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_credentials(monkeypatch, tmp_path)
        assert code_of(lambda: fetch(f"{moto_bucket}/a.jpg")) is ErrorCode.DENIED


def without_credentials(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


OPERATIONS: dict[str, Callable[[Store], object]] = {
    "list": lambda store: list(store.list()),
    "read": lambda store: store.read("a"),
    "tail": lambda store: store.tail("a", 8),
    "put": lambda store: store.put("a", b""),
    "conditional put": lambda store: store.put("a", b"", if_absent=True),
    "upload": lambda store: store.upload("a", Path(__file__)),
}
MORE: dict[str, Callable[[Store], object]] = {
    **OPERATIONS,
    "open": lambda store: store.open("a"),
    "version": lambda store: store.version("a"),
    "delete": lambda store: store.delete("a"),
}


class TestRefusals:
    def test_no_such_bucket_says_what_to_check(self, bucket: str) -> None:
        store = open_store(f"{bucket}-that-is-not")
        for call in OPERATIONS.values():
            with pytest.raises(StorageError, match=r"There is no bucket s3://.*Check the name, the region and the end"):
                call(store)

    def test_an_object_that_must_be_there_and_is_not_is_told(self, store: Store) -> None:
        for call in (lambda: store.tail("a", 1), lambda: store.open("a")):
            with pytest.raises(StorageError, match="a not found"):
                call()

    @pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    def test_wrong_credentials_say_what_to_check(
        self, juicefs_server: S3, aws: Callable[[S3], None], monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        aws(juicefs_server)
        monkeypatch.setenv(variable, "wrong")
        store = open_store("s3://bucket")
        for call in MORE.values():
            with pytest.raises(StorageError, match=r"access denied \(.*aws sts get-caller-identity"):
                call(store)

    def test_no_credentials_say_what_to_set(
        self, moto_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_credentials(monkeypatch, tmp_path)
        with pytest.raises(StorageError, match=r"No AWS credentials were found for s3://.*AWS_SKIP_SIGNATURE=true"):
            open_store(moto_bucket)

    def test_a_server_that_does_not_answer_is_told(
        self, moto_bucket: str, silent_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent_port}")
        store = open_store(moto_bucket)
        with ThreadPoolExecutor(len(MORE)) as pool:
            asked = [pool.submit(call, store) for call in MORE.values()]
        for answer in asked:
            with pytest.raises(StorageError, match=r"gave no valid answer: .*Check the network, AWS_ENDPOINT"):
                answer.result()

    def test_no_message_is_longer_than_a_few_lines(
        self, moto_bucket: str, silent_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent_port}")
        with pytest.raises(StorageError) as caught:
            open_store(moto_bucket).read("a")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500

    def test_a_server_that_hangs_up_is_asked_a_bounded_number_of_times(
        self, moto_bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = 0
        with socket.create_server(("127.0.0.1", 0)) as server:

            def hang_up() -> None:
                nonlocal asked
                while True:
                    try:
                        connection, _ = server.accept()
                    except OSError:
                        return
                    asked += 1
                    connection.close()

            thread = threading.Thread(target=hang_up)
            thread.start()
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
            with pytest.raises(StorageError):
                open_store(moto_bucket).read("a")
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
        assert 1 <= asked <= 10

    def test_an_anonymous_reader_needs_no_credentials(
        self, moto_server: S3, moto_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moto_server.client().put_object(Bucket=moto_bucket[5:], Key="a.jpg", Body=b"image", ACL="public-read")
        without_credentials(monkeypatch, tmp_path)
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        assert bytes(fetch(f"{moto_bucket}/a.jpg")) == b"image"

    def test_a_profile_that_is_not_there_is_told(self, moto_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(StorageError, match="nobody"):
            open_store(moto_bucket)


class TestOtherProviders:
    """Google's and Azure's stores list through obstore; its store in memory stands for them."""

    @pytest.fixture
    def store(self) -> ObjectStore:
        from obstore.store import MemoryStore

        return ObjectStore(Bucket("gs", "bucket", MemoryStore()), "some/prefix/")

    def test_a_listing_holds_keys_sizes_and_validators(self, store: ObjectStore) -> None:
        store.put("a.jpg", b"123")
        ((key, size, validator),) = [(entry.key, entry.size, entry.validator) for entry in store.list()]
        assert (key, size) == ("a.jpg", 3)
        assert validator is not None

    def test_a_key_prefix_need_not_end_at_a_folder(self, store: ObjectStore) -> None:
        for key in ("parts/part-1", "parts/other", "elsewhere"):
            store.put(key, b"")
        assert [entry.key for entry in store.list("parts/part-")] == ["parts/part-1"]

    def test_an_odd_key_is_a_failure_of_the_image(self, store: ObjectStore) -> None:
        assert code_of(lambda: store.get("a//b.jpg")) is ErrorCode.UNREACHABLE

    def test_what_was_listed_is_unchanged(self, store: ObjectStore) -> None:
        store.put("a.jpg", b"123")
        (entry,) = store.list()
        assert entry.validator in store.get("a.jpg").validators


def test_an_object_without_an_etag_is_told_by_whole_seconds() -> None:
    from artylyze.storage.contract import time_validator

    when: Any = datetime(2024, 5, 6, 7, 8, 9, 999_999, tzinfo=UTC)
    assert time_validator(when, 3) == time_validator(when.replace(microsecond=0), 3)
