"""All access to bytes: folders and object stores, read, listed and written under one contract.

A store is rooted at a folder or at `scheme://bucket/prefix`; a key names an object below that root and may hold any
text: keys are data, never paths to resolve or URLs to parse.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

from artylyze.errors import ErrorCode, ImageError, InputError, StorageError
from artylyze.storage.contract import (
    MAX_OBJECT_BYTES,
    ConflictError,
    Content,
    Entry,
    Store,
    Survey,
    Tally,
    Version,
    unchanged,
)
from artylyze.storage.local import LocalStore, get_file, head_file
from artylyze.storage.objects import ObjectStore, open_bucket
from artylyze.storage.web import get_http, head_http

__all__ = [
    "CLOUD",
    "MAX_OBJECT_BYTES",
    "ConflictError",
    "Content",
    "Entry",
    "Store",
    "Survey",
    "Tally",
    "Version",
    "check_output",
    "fetch",
    "head",
    "is_url",
    "open_store",
    "reachable",
    "same_place",
    "split_page",
    "unchanged",
]

CLOUD = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
"""Schemes of object storage, by the scheme of the provider that they mean."""


_PAGE = re.compile(r"#page=([1-9]\d{0,6})$")


def is_url(source: str) -> bool:
    """Whether a source is a `scheme://` address, and not a local path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source) is not None


def open_store(root: str | os.PathLike[str]) -> Store:
    """Open the store rooted at a local folder or at `s3://`, `gs://` or `az://bucket/prefix`.

    Raises:
        InputError: for a scheme that is none of these.
        StorageError: if there are no credentials.
    """
    text = os.fspath(root)
    if not is_url(text):
        return LocalStore(Path(text))
    scheme, _, rest = text.partition("://")
    if scheme.lower() == "file":
        return LocalStore(Path(os.fsdecode(unquote_to_bytes(rest))))
    bucket, _, prefix = rest.partition("/")
    if scheme.lower() not in CLOUD or not bucket:
        raise InputError(f"{text} is not a folder, nor s3://, gs:// or az://bucket/prefix.")
    prefix = prefix if not prefix or prefix.endswith("/") else prefix + "/"
    return ObjectStore(open_bucket(CLOUD[scheme.lower()], bucket), prefix)


def same_place(first: str, second: str) -> bool:
    """Whether two addresses mean the same folder or file, however they are spelled."""
    return _canonical(first) == _canonical(second)


def _canonical(address: str) -> str:
    if not is_url(address):
        return os.path.realpath(address)
    scheme, _, rest = address.partition("://")
    scheme = scheme.lower()
    if scheme == "file":
        return os.path.realpath(os.fsdecode(unquote_to_bytes(rest)))
    return f"{CLOUD.get(scheme, scheme)}://{rest.rstrip('/')}"


def check_output(address: str | os.PathLike[str]) -> None:
    """Raise InputError for an address that cannot be written to, such as a web page, before work begins."""
    scheme, _, rest = os.fspath(address).partition("://")
    if is_url(os.fspath(address)) and (scheme.lower() not in {*CLOUD, "file"} or not rest):
        raise InputError(f"{address} is not a folder, nor s3://, gs:// or az://bucket/prefix.")


def reachable(uri: str) -> bool:
    """Whether an object can be read, without reading it."""
    try:
        fetch(uri, max_bytes=0)
    except ImageError as error:
        return error.code is ErrorCode.TOO_LARGE
    return True


def split_page(uri: str) -> tuple[str, int | None]:
    """Split the address of a page into that of its file and its number, from 1; None for a file without one.

    `a.pdf#page=3` is as RFC 8118 (PDF) has it. A file whose own name ends so cannot be read.
    """
    match = _PAGE.search(uri) if "#page=" in uri else None
    return (uri, None) if match is None else (uri[: match.start()], int(match[1]))


def fetch(uri: str, validator: str | None = None, max_bytes: int = MAX_OBJECT_BYTES) -> bytes | memoryview:
    """Read the image at a manifest row's address; of a page its whole file.

    Raises:
        ImageError: missing, changed, denied, archived, unreachable or too_large.
    """
    uri, _ = split_page(uri)
    location, key = _locate(uri)
    if isinstance(location, ObjectStore):
        content = location.get(key, max_bytes)
    else:
        content = get_file(location, max_bytes) if isinstance(location, Path) else get_http(uri, max_bytes)
    if not unchanged(validator, content.validators):
        raise ImageError(ErrorCode.CHANGED, f"scanned as {validator}, is now {', '.join(content.validators)}")
    return content.data


def head(uri: str) -> Version:
    """Return the version of the image at an address without reading it, with the validator that `fetch` compares.

    Raises:
        ImageError: missing, denied, unreachable or unsupported.
    """
    uri, _ = split_page(uri)
    location, key = _locate(uri)
    if isinstance(location, ObjectStore):
        return location.head(key)
    return head_file(location) if isinstance(location, Path) else head_http(uri)


def _locate(uri: str) -> tuple[ObjectStore | Path | None, str]:
    """Return the bucket and key, or the path, of an address; None for the web. Raises ImageError."""
    scheme, _, rest = uri.partition("://") if is_url(uri) else ("", "", uri)
    scheme = scheme.lower()
    if scheme in ("http", "https"):
        return None, ""
    if scheme in CLOUD:
        bucket, _, key = rest.partition("/")
        try:
            return ObjectStore(open_bucket(CLOUD[scheme], bucket), ""), key
        except StorageError as error:
            raise ImageError(ErrorCode.DENIED, str(error)) from error
    if scheme not in ("", "file"):
        raise ImageError(ErrorCode.UNSUPPORTED, f"{scheme}:// addresses are not read")
    return Path(os.fsdecode(unquote_to_bytes(rest)) if scheme == "file" else rest), ""


def split_target(target: str) -> tuple[str, str]:
    """Split the address of a file into its folder and its name."""
    if is_url(target):
        folder, _, name = target.rpartition("/")
        if not is_url(folder):
            raise InputError(f"{target} names no file: an address is scheme://bucket/name.")
        return folder, name
    path = Path(target)
    return str(path.parent), path.name
