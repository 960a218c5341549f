"""What is kept between commands: within a bound bundles, features and decoded images, which could be made again.

Beside them the outputs for addresses that are not uploaded yet, which go only when they are cleared.

An entry is a folder, or the files that share a name but for their suffix, below the folder of its kind. Whoever uses
one holds a shared lock on it until the process ends, whoever removes one an exclusive lock: what a running process uses
is never removed. When it was used last is the time of its lock.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import IO

from artylyze.errors import InputError

BOUNDED = ("bundles", "features", "images")
KINDS = (*BOUNDED, "outputs")

LARGEST, SHARE = 10 * 10**9, 0.1
"""Bytes that the entries of BOUNDED may take together, and share of the disk, if that is less."""

ABANDONED = 86_400.0
"""Seconds after which what was begun and not finished is taken for what a killed process left."""


@dataclass(frozen=True)
class Entry:
    """One thing that is kept.

    Attributes:
        kind: one of KINDS.
        path: of its folder, or of its files without suffix.
        files: their number.
        bytes: what they take on the disk.
        used: when it was used last, seconds since 1970.
        in_use: whether a running process holds it.
    """

    kind: str
    path: Path
    files: int
    bytes: int
    used: float
    in_use: bool


def cache_folder(kind: str) -> Path:
    """Where entries of a kind are kept: below $XDG_CACHE_HOME or ~/.cache. Deleting it is safe while nothing runs."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "artylyze" / kind


def bound() -> int:
    """Bytes that the entries of BOUNDED may take: $ARTYLYZE_CACHE_GB, else the least of LARGEST and SHARE of the disk.

    Raises:
        InputError: if the variable is no number.
    """
    text = os.environ.get("ARTYLYZE_CACHE_GB")
    if text:
        if not re.fullmatch(r"\d+(\.\d*)?", text):
            raise InputError(f"ARTYLYZE_CACHE_GB={text} is not a number of gigabytes.")
        return int(float(text) * 10**9)
    root = cache_folder("")
    existing = next(folder for folder in (root, *root.absolute().parents) if folder.is_dir())
    return min(LARGEST, int(SHARE * shutil.disk_usage(existing).total))


_SUFFIXES = (".npy", ".json", ".lock", ".safetensors")
_held: dict[Path, IO[str]] = {}


def hold(path: Path) -> None:
    """Keep an entry (a path of its folder, or of one of its files) from being removed while this process runs."""
    lock = _lock(path.parent, _name(path))
    if lock in _held:
        os.utime(lock)
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = lock.open("a")
        fcntl.flock(file, fcntl.LOCK_SH)
        if _is(lock, file):
            break
        file.close()  # it was removed between the two lines
    os.utime(lock)
    _held[lock] = file


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time make an entry, or mend it; the lock ends with its holder, however that ends."""
    lock = _lock(path.parent, _name(path)).with_suffix(".making")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Be the only process that uses an entry while the body runs.

    Raises:
        BlockingIOError: if another process uses it.
        OSError: if the cache cannot be written.
    """
    lock = _lock(folder.parent, folder.name)
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is(lock, file):
                continue  # it was removed between the two lines
            os.utime(lock)
            yield
            if not folder.exists():
                lock.unlink(missing_ok=True)
            return


def make_room(count: int) -> list[Entry]:
    """Remove entries of BOUNDED until `count` more bytes fit, the least recently used first; return them.

    What is in use stays, whatever it takes.
    """
    held = entries(BOUNDED)
    excess = sum(entry.bytes for entry in held) + count - bound()
    removed = []
    for entry in sorted(held, key=lambda entry: entry.used):
        if excess > 0 and not entry.in_use and remove(entry):
            excess -= entry.bytes
            removed.append(entry)
    return removed


def entries(kinds: Sequence[str] = KINDS) -> list[Entry]:
    """List what is kept, by kind and path."""
    return [entry for kind in kinds for entry in _entries(kind)]


def remove(entry: Entry) -> bool:
    """Remove an entry; False where a process has begun to use it."""
    lock = _lock(entry.path.parent, entry.path.name)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        for path in _paths(entry.path):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        lock.with_suffix(".making").unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
    return True


def _entries(kind: str) -> Iterator[Entry]:
    folder = cache_folder(kind)
    if not folder.is_dir():
        return
    now = time.time()
    names = set()
    for path in folder.iterdir():
        if not path.name.startswith("."):
            names.add(_name(path))
        elif path.suffix not in (".use", ".making") and now - path.stat().st_mtime > ABANDONED:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    for name in sorted(names):
        yield _entry(kind, folder / name)


def _entry(kind: str, path: Path) -> Entry:
    stats = []
    for part in _paths(path):
        for file in part.rglob("*") if part.is_dir() else [part]:
            try:
                stats.append(file.stat())
            except FileNotFoundError:  # removed meanwhile
                continue
    files = sum(not S_ISDIR(each.st_mode) for each in stats)
    lock = _lock(path.parent, path.name)
    used = lock.stat().st_mtime if lock.exists() else max((each.st_mtime for each in stats), default=0.0)
    return Entry(kind, path, files, sum(each.st_blocks * 512 for each in stats), used, _in_use(lock))


def _paths(path: Path) -> list[Path]:
    """The folder of an entry, or its files."""
    if path.is_dir():
        return [path]
    return [file for file in path.parent.iterdir() if file.is_file() and file.stem == path.name]


def _name(path: Path) -> str:
    """The name of the entry that a folder or file belongs to; names of models may have dots."""
    return path.stem if path.suffix in _SUFFIXES else path.name


def _lock(folder: Path, name: str) -> Path:
    return folder / f".{name}.use"


def _in_use(lock: Path) -> bool:
    if not lock.exists():
        return False
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _is(path: Path, file: IO[str]) -> bool:
    """Whether an open file is still the one at its path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
