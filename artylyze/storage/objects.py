"""Buckets as stores: obstore moves the bytes, boto3 finds the credentials and lists S3.

boto3 also reads the few keys that obstore rejects (`a//b`, `../c`).
"""

from __future__ import annotations

import functools
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from artylyze.errors import ErrorCode, ImageError, StorageError
from artylyze.storage.contract import (
    MAX_OBJECT_BYTES,
    ConflictError,
    Content,
    Entry,
    Survey,
    Version,
    check_bytes,
    etag_validator,
    first_line,
    time_validator,
)

OBJECT_SECONDS = 900.0
"""Time limit for one object, against servers that send it byte by byte."""

RANGE_BYTES = 2**20
"""Bytes that a ranged request asks for at least."""

AGAIN = (0.2, 0.5, 1.0, 2.0)
"""Seconds before each other try of what obstore tries once: a conditional put whose connection broke (it may have
succeeded, and then the next finds its own object and is a conflict), and an error message that broke off."""

_RETRIES = {"max_retries": 4, "retry_timeout": timedelta(minutes=3)}  # none after an object has used up its time
_HELP = {
    "s3": "Check the AWS_* variables or `aws sts get-caller-identity`; for a public bucket AWS_SKIP_SIGNATURE=true.",
    "gs": "Check GOOGLE_APPLICATION_CREDENTIALS or `gcloud auth application-default login`.",
    "az": "Check AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or `az login`.",
}
_WHERE = {
    "s3": "the network, AWS_ENDPOINT_URL and AWS_DEFAULT_REGION",
    "gs": "the network",
    "az": "the network and AZURE_STORAGE_ACCOUNT_NAME",
}


@dataclass(frozen=True)
class Bucket:
    """One bucket of one provider: the obstore client, and for S3 the boto3 client beside it."""

    scheme: str
    name: str
    store: Any
    s3: Any = None


@functools.cache
def open_bucket(scheme: str, name: str) -> Bucket:
    """Open a bucket once per process; raise StorageError without credentials."""
    import obstore.store

    options = {
        "connect_timeout": "10s",
        "read_timeout": "60s",
        "timeout": f"{OBJECT_SECONDS:g}s",
        "pool_max_idle_per_host": "64",
        "allow_http": True,
    }
    common: dict[str, Any] = {"client_options": options, "retry_config": _RETRIES}
    if scheme == "s3":
        return _s3_bucket(name, common)
    try:
        if scheme == "gs":
            return Bucket(scheme, name, obstore.store.GCSStore(name, **common))
        return Bucket(scheme, name, obstore.store.AzureStore(name, **common))
    except Exception as error:
        raise StorageError(f"{scheme}://{name} cannot be opened: {first_line(error)}. {_HELP[scheme]}") from error


def _s3_bucket(name: str, common: dict[str, Any]) -> Bucket:
    import boto3
    import botocore.session
    import obstore.store
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from obstore.auth.boto3 import Boto3CredentialProvider

    anonymous = any(
        os.environ.get(variable, "").lower() in ("1", "true", "yes")
        for variable in ("AWS_SKIP_SIGNATURE", "AWS_NO_SIGN_REQUEST")
    )
    options: dict[str, Any] = {"connect_timeout": 10, "retries": {"max_attempts": 4, "mode": "standard"}}
    if anonymous:
        options["signature_version"] = UNSIGNED
    try:
        core = botocore.session.get_session()
        core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
        session = boto3.Session(botocore_session=core)
        if not anonymous and session.get_credentials() is None:
            raise StorageError(f"No AWS credentials were found for s3://{name}. {_HELP['s3']}")
        probe = session.client("s3", region_name=session.region_name or "us-east-1")
        own = not str(probe.meta.endpoint_url).endswith(("amazonaws.com", "amazonaws.com.cn"))
        if own:  # servers that are not AWS rarely resolve bucket.host
            options["s3"] = {"addressing_style": "path"}
        client = session.client("s3", region_name=session.region_name or "us-east-1", config=Config(**options))
        region = client.meta.region_name
        if not own:
            try:
                region = client.head_bucket(Bucket=name).get("BucketRegion", region)
            except ClientError as error:
                headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
                region = headers.get("x-amz-bucket-region", region)
    except BotoCoreError as error:
        raise StorageError(f"s3://{name} cannot be opened: {error} {_HELP['s3']}") from error
    settings = {"region": region, "virtual_hosted_style_request": not own and "." not in name, **common}
    if own:
        settings["endpoint"] = client.meta.endpoint_url
    if anonymous:
        settings["skip_signature"] = True
    else:
        settings["credential_provider"] = Boto3CredentialProvider(session)
    return Bucket("s3", name, obstore.store.S3Store(name, **settings), client)


def _timestamp(value: Any) -> datetime:
    """Parse a time of an S3 listing. botocore's own parser takes two thirds of the time of a listing."""
    from botocore.utils import parse_timestamp

    if isinstance(value, str) and value.endswith("Z"):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    parsed: datetime = parse_timestamp(value)  # of headers, and of other servers
    return parsed


@dataclass(frozen=True)
class ObjectStore:
    """The objects of one bucket whose keys begin with a prefix (empty, or ending in a slash)."""

    bucket: Bucket
    prefix: str

    @property
    def url(self) -> str:
        """The address of the root, without a slash at its end."""
        return f"{self.bucket.scheme}://{self.bucket.name}/{self.prefix}".rstrip("/")

    def uri(self, key: str) -> str:
        """Return the address of a key, the key as it is."""
        return f"{self.bucket.scheme}://{self.bucket.name}/{self.prefix}{key}"

    def list(self, under: str = "") -> Iterator[Entry]:
        """Yield every object below the root."""
        start = len(self.prefix)
        for key, size, etag, modified in (self._list_s3 if self.bucket.s3 else self._list_other)(self.prefix + under):
            if not key.endswith("/"):  # an empty object that a console made to show a folder
                yield Entry(key[start:], size, etag_validator(etag) or time_validator(modified, size))

    def survey(self, survey: Survey) -> Iterator[Entry]:
        """Yield the objects of a collection, except those in folders that are left out."""
        last, left_out = "", False
        for entry in self.list():
            folder = entry.key.rpartition("/")[0]
            if folder != last:
                last, left_out = folder, any(survey.leaves_out(part) for part in _with_parents(folder))
            if not left_out:
                yield entry

    def _list_s3(self, prefix: str) -> Iterator[tuple[str, int, str | None, datetime]]:
        pages = self.bucket.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket.name, Prefix=prefix)
        with self._storage_errors():
            for page in pages:
                for item in page.get("Contents", ()):
                    yield item["Key"], item["Size"], item.get("ETag"), item["LastModified"]

    def _list_other(self, prefix: str) -> Iterator[tuple[str, int, str | None, datetime]]:
        import obstore

        folder, _, _ = prefix.rpartition("/")
        with self._storage_errors():
            for chunk in obstore.list(self.bucket.store, folder or None, chunk_size=1000):
                for item in chunk:
                    if item["path"].startswith(prefix):
                        yield item["path"], item["size"], item["e_tag"], item["last_modified"]

    def get(self, key: str, max_bytes: int = MAX_OBJECT_BYTES) -> Content:
        """Read one object in one request."""
        import obstore
        from obstore.exceptions import BaseError, InvalidPathError

        if (self.prefix + key).startswith("/"):  # obstore would drop the slash, and read another object
            return self._get_by_boto3(key, max_bytes)
        try:
            result = obstore.get(self.bucket.store, self.prefix + key)
            meta = result.meta
            check_bytes(meta["size"], max_bytes)
            data = memoryview(result.bytes())
        except (InvalidPathError, ValueError):
            return self._get_by_boto3(key, max_bytes)
        except (BaseError, OSError) as error:
            raise _image_error(error) from error
        return Content(data, _validators(meta["e_tag"], meta["last_modified"], meta["size"]))

    def head(self, key: str) -> Version:
        """Ask for the version of one object; raise ImageError if it cannot be had."""
        import obstore
        from obstore.exceptions import BaseError, InvalidPathError

        name = self.prefix + key
        try:
            if name.startswith("/"):
                raise InvalidPathError(name)
            meta = obstore.head(self.bucket.store, name)
            etag, modified, size = meta["e_tag"], meta["last_modified"], meta["size"]
        except (InvalidPathError, ValueError):
            etag, modified, size = self._head_by_boto3(name)
        except (BaseError, OSError) as error:
            raise _image_error(error) from error
        return Version(size, _validators(etag, modified, size)[0])

    def _head_by_boto3(self, name: str) -> tuple[str | None, datetime, int]:
        """Ask for the version of a key that obstore rejects."""
        if self.bucket.s3 is None:
            raise ImageError(ErrorCode.UNREACHABLE, "the storage client does not support this key")
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self.bucket.s3.head_object(Bucket=self.bucket.name, Key=name)
        except (ClientError, BotoCoreError) as error:
            raise _image_error(error) from error
        return answer.get("ETag"), answer["LastModified"], answer["ContentLength"]

    def _get_by_boto3(self, key: str, max_bytes: int) -> Content:
        """Read a key that obstore rejects."""
        if self.bucket.s3 is None:
            raise ImageError(ErrorCode.UNREACHABLE, "the storage client does not support this key")
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            answer = self.bucket.s3.get_object(Bucket=self.bucket.name, Key=self.prefix + key)
            check_bytes(answer["ContentLength"], max_bytes)
            data = _body(answer["Body"], answer["ContentLength"])
        except (ClientError, BotoCoreError, HTTPError) as error:
            raise _image_error(error) from error
        return Content(data, _validators(answer.get("ETag"), answer["LastModified"], answer["ContentLength"]))

    def read(self, key: str) -> bytes | None:
        """Read one small object; None if there is none."""
        import obstore

        name = self._name(key)
        with self._storage_errors():
            try:
                return bytes(_repeated(lambda: obstore.get(self.bucket.store, name)).bytes())
            except FileNotFoundError as error:
                if _code(error) == "NoSuchBucket":
                    raise
                return None

    def tail(self, key: str, count: int) -> bytes:
        """Read the last `count` bytes of an object."""
        import obstore

        name = self._name(key)
        with self._storage_errors():
            try:
                return bytes(obstore.get(self.bucket.store, name, options={"range": {"suffix": count}}).bytes())
            except Exception:
                if self._is_empty(name):  # an empty object has no valid range
                    return b""
                raise

    def _is_empty(self, name: str) -> bool:
        import obstore

        try:
            return bool(obstore.head(self.bucket.store, name)["size"] == 0)
        except Exception:
            return False

    def open(self, key: str) -> IO[bytes]:
        """Open an object for random access."""
        name = self._name(key)
        with self._storage_errors():
            return io.BufferedReader(_RangeReader(self.bucket.store, name), RANGE_BYTES)

    def put(self, key: str, data: bytes | memoryview, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Write an object in one request."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        name = self._name(key)
        mode: Any = "create" if if_absent else {"e_tag": if_match} if if_match else "overwrite"
        with self._storage_errors():
            try:
                result = _repeated(lambda: obstore.put(self.bucket.store, name, data, mode=mode, use_multipart=False))
            except (AlreadyExistsError, PreconditionError) as error:
                raise ConflictError(key) from error
        return result["e_tag"] or ""

    def version(self, key: str) -> str | None:
        """Return the ETag of an object."""
        import obstore

        name = self._name(key)
        with self._storage_errors():
            try:
                return obstore.head(self.bucket.store, name)["e_tag"] or ""
            except FileNotFoundError:
                return None

    def upload(self, key: str, path: Path) -> None:
        """Write a local file, in parts if it is large."""
        import obstore

        name = self._name(key)
        with self._storage_errors():
            obstore.put(self.bucket.store, name, path)

    def delete(self, key: str) -> None:
        """Remove an object."""
        import obstore

        name = self._name(key)
        with self._storage_errors(), suppress(FileNotFoundError):
            if self.bucket.s3:  # obstore deletes in batches, which not every server supports
                self.bucket.s3.delete_object(Bucket=self.bucket.name, Key=name)
            else:
                obstore.delete(self.bucket.store, name)

    def _name(self, key: str) -> str:
        name = self.prefix + key
        if name.startswith("/"):
            raise StorageError(f"{self.url}: keys that begin with a slash can be read but not written.")
        return name

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        """Raise StorageError for what obstore and boto3 raise."""
        try:
            yield
        except (ConflictError, AttributeError, TypeError):  # the last two are defects of artylyze
            raise
        except Exception as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> StorageError:
        code, scheme, name = _code(error), self.bucket.scheme, self.bucket.name
        if code in ("NoSuchBucket", "404", "ContainerNotFound"):
            return StorageError(f"There is no bucket {scheme}://{name}. Check the name, the region and the endpoint.")
        if _code_class(code) is ErrorCode.DENIED or "PermissionDenied" in type(error).__name__:
            return StorageError(f"{self.url}: access denied ({code or first_line(error)}). {_HELP[scheme]}")
        if isinstance(error, FileNotFoundError):
            return StorageError(f"{self.url}: {first_line(error)}")
        what = first_line(error).rstrip(".: ")
        what += f" ({code})" if code and code not in what else ""
        return StorageError(f"{self.url} gave no valid answer: {what}. Check {_WHERE[scheme]}.")


class _RangeReader(io.RawIOBase):
    """An object as a file for random access, as Parquet readers want. obstore's own reader lacks `closed`.

    Raises what obstore raises on construction (no such object), StorageError on reading.
    """

    def __init__(self, store: Any, name: str) -> None:
        import obstore

        self._store, self._name = store, name
        self._size: int = obstore.head(store, name)["size"]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        import obstore

        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        if count:
            try:
                view[:count] = obstore.get_range(self._store, self._name, start=self._at, length=count)
            except (obstore.exceptions.BaseError, OSError) as error:
                raise StorageError(f"{self._name} can no longer be read: {first_line(error)}.") from error
            self._at += count
        return count


def _body(stream: Any, size: int) -> memoryview:
    """Read a body that boto3 opened, within OBJECT_SECONDS: its own `read` waits without limit for a slow server."""
    end, data = time.monotonic() + OBJECT_SECONDS, bytearray()
    while piece := stream._raw_stream.read1(2**18):
        data += piece
        if time.monotonic() > end:
            raise ImageError(
                ErrorCode.UNREACHABLE, f"timed out after {OBJECT_SECONDS:,.0f} s: {len(data):,} of {size:,} bytes"
            )
    if len(data) < size:
        raise ImageError(ErrorCode.UNREACHABLE, f"the connection broke off after {len(data):,} of {size:,} bytes")
    return memoryview(data)


def _repeated(call: Callable[[], Any]) -> Any:
    """Return what a request gives; ask again while its connection breaks and obstore has not asked again itself."""
    from obstore.exceptions import GenericError

    for wait in AGAIN:
        try:
            return call()
        except GenericError as error:
            if "HTTP error" not in str(error) or re.search(r"after \d+ retries", str(error)):
                raise
            time.sleep(wait)
    return call()


def _with_parents(folder: str) -> Iterator[str]:
    """Yield the parents of a folder from the top, and the folder itself."""
    names = folder.split("/")
    return ("/".join(names[:count]) for count in range(1, len(names) + 1))


def _validators(etag: str | None, modified: datetime, size: int) -> tuple[str, ...]:
    tag = etag_validator(etag)
    return (*((tag,) if tag else ()), time_validator(modified, size))


def _code(error: Exception) -> str:
    """Return the error code of S3's answer: boto3 parses it, obstore quotes it."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    match = re.search(r"<Code>(\w+)</Code>", str(error))
    return match[1] if match else ""


def _code_class(code: str) -> ErrorCode | None:
    """Map the codes of S3's error responses (Amazon S3 API reference, "Error responses") to ours."""
    if code in ("NoSuchKey", "NoSuchVersion", "404"):
        return ErrorCode.MISSING
    if code in ("NoSuchBucket", "ContainerNotFound"):
        return ErrorCode.UNREACHABLE  # of every image, not of this one
    if code == "InvalidObjectState":
        return ErrorCode.ARCHIVED
    denied = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403")
    clock = "RequestTimeTooSkewed"  # that of this machine is wrong
    return ErrorCode.DENIED if code in (*denied, clock) or code.startswith(("AllAccess", "Account")) else None


def _image_error(error: Exception) -> ImageError:
    code = _code(error)
    kind = _code_class(code)
    if kind is None and isinstance(error, FileNotFoundError):
        kind = ErrorCode.MISSING
    if kind is None and type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
        kind = ErrorCode.DENIED
    return ImageError(kind or ErrorCode.UNREACHABLE, code or first_line(error))
