"""What every store promises: entries, validators, and the operations on the objects below one root."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from artylyze.errors import ErrorCode, ImageError

if TYPE_CHECKING:
    from datetime import datetime

MAX_OBJECT_BYTES = 2**30
"""Image files above this size, bytes, are `too_large`: a file is held in memory whole."""

NAMED = 5
"""Names that a Tally keeps."""


class ConflictError(Exception):
    """A conditional put found another object under its key."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One listed object: its key below the root, its size in bytes and its validator."""

    key: str
    size: int
    validator: str | None


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an object, with what the storage says of their version."""

    data: bytes | memoryview
    validators: tuple[str, ...]


@dataclass
class Tally:
    """How many things of one kind there were, and the names of the first few."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        r"""Count one more; bytes of its name that are not UTF-8 are written as \xNN."""
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


@dataclass
class Survey:
    """What the listing of a collection leaves out, and why; filled in while it is listed.

    Attributes:
        skips: whether the folder of this key is left out, with all that is in it.
        folders: names of the folders that were left out, with the number of each.
        unreadable: folders and files that cannot be read, with the reason.
        dead_links: broken links.
        repeats: links to folders that are listed under another name, or that contain the collection.
    """

    skips: Callable[[str], bool]
    folders: Counter[str] = field(default_factory=Counter)
    unreadable: Tally = field(default_factory=Tally)
    dead_links: Tally = field(default_factory=Tally)
    repeats: Tally = field(default_factory=Tally)
    _last: str = ""

    def leaves_out(self, folder: str) -> bool:
        """Whether a folder is left out; counts it, unless it was the last to be counted."""
        if not self.skips(folder):
            return False
        if folder != self._last:
            self.folders[folder.rpartition("/")[2]] += 1
            self._last = folder
        return True


@dataclass(frozen=True, slots=True)
class Version:
    """An object's size in bytes and its validator, None if unknown."""

    size: int | None
    validator: str | None


class Store(Protocol):
    """Objects below one root. Every method raises StorageError when the storage refuses or does not answer."""

    @property
    def url(self) -> str:
        """The address of the root."""

    def uri(self, key: str) -> str:
        """Return the address that `fetch` takes for a key."""

    def list(self, under: str = "") -> Iterator[Entry]:
        """Yield every object whose key begins with `under`, in no promised order."""

    def survey(self, survey: Survey) -> Iterator[Entry]:
        """Yield the objects of a collection; what is left out or cannot be listed is counted, not raised."""

    def get(self, key: str, max_bytes: int = MAX_OBJECT_BYTES) -> Content:
        """Read one object; raise ImageError if it cannot be had."""

    def read(self, key: str) -> bytes | None:
        """Read one small object that artylyze wrote; None if there is none."""

    def tail(self, key: str, count: int) -> bytes:
        """Read the last `count` bytes of an object, or all of it if it is shorter."""

    def open(self, key: str) -> IO[bytes]:
        """Open an object for random access."""

    def put(self, key: str, data: bytes | memoryview, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Write an object atomically and return its version; raise ConflictError if a condition does not hold."""

    def version(self, key: str) -> str | None:
        """Return the version of an object as `put` does; None if there is none."""

    def upload(self, key: str, path: Path) -> None:
        """Write a local file, of any size, under a key."""

    def delete(self, key: str) -> None:
        """Remove an object; removing what is not there is no error."""


def etag_validator(etag: str | None) -> str | None:
    """Return the validator for an ETag."""
    return f"etag:{etag}" if etag else None


def time_validator(modified: datetime, size: int) -> str:
    """Return the validator for an object without an ETag: HTTP dates carry whole seconds."""
    return f"mtime:{int(modified.timestamp())}:{size}"


def unchanged(validator: str | None, current: tuple[str, ...]) -> bool:
    """Whether an object is still the scanned one: validators of the same kind are compared; None is not checked."""
    if validator is None:
        return True
    comparable = [other for other in current if other.partition(":")[0] == validator.partition(":")[0]]
    return not comparable or validator in comparable


def check_bytes(size: int, max_bytes: int) -> None:
    """Raise `too_large` for an object above the limit."""
    if size > max_bytes:
        raise ImageError(ErrorCode.TOO_LARGE, f"{size:,} bytes, the limit is {max_bytes:,}")


def first_line(error: Exception) -> str:
    """Return an error's message in one line."""
    text = str(error).partition("\n")[0]
    return re.sub(r"\s*<\?xml.*", "", text)[:300]
