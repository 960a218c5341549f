"""The cache: bundles, features and decoded images of limited total size, which can be computed again.

It also holds unfinished outputs for addresses, which are only removed by the user.

An entry is a folder, or files with the same name and different suffixes, in the folder of its kind. A process that uses
an entry holds a shared lock on it until it ends, and removing takes an exclusive lock: what a running process uses is
never removed. The modification time of the lock is the time of the last use.
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

BOUNDED = ("bundles", "explorers", "features", "images")
KINDS = (*BOUNDED, "outputs")

LARGEST, SHARE = 10 * 10**9, 0.1
"""Limit of the entries of BOUNDED together: bytes, and share of the disk, whichever is less."""

ABANDONED = 86_400.0
"""Seconds after which unfinished files are assumed to be those of a killed process."""


@dataclass(frozen=True)
class Entry:
    """An entry of the cache.

    Attributes:
        kind: one of KINDS.
        path: of its folder, or of its files without suffix.
        files: number of files.
        bytes: size on disk.
        used: time of the last use, seconds since 1970.
        in_use: whether a running process uses it.
    """

    kind: str
    path: Path
    files: int
    bytes: int
    used: float
    in_use: bool


def cache_folder(kind: str) -> Path:
    """Return the folder of a kind, below $XDG_CACHE_HOME or ~/.cache. It may be deleted while no command runs."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "artylyze" / kind


def bound() -> int:
    """Return the limit of the entries of BOUNDED, bytes: $ARTYLYZE_CACHE_GB, else LARGEST or SHARE of the disk.

    Raises:
        InputError: if the variable is not a number.
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
    """Protect an entry (the path of its folder, or of one of its files) from removal while this process runs."""
    lock = _lock(path.parent, _name(path))
    if lock in _held:
        os.utime(lock)
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = lock.open("a")
        fcntl.flock(file, fcntl.LOCK_SH)
        if _is_same(lock, file):
            break
        file.close()  # the lock was removed between the two lines
    os.utime(lock)
    _held[lock] = file


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time create or repair an entry; the lock ends with its process, however that ends."""
    lock = _lock(path.parent, _name(path)).with_suffix(".making")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold an entry exclusively while the body runs.

    Raises:
        BlockingIOError: if another process uses it.
        OSError: if the cache cannot be written.
    """
    lock = _lock(folder.parent, folder.name)
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_same(lock, file):
                continue  # the lock was removed between the two lines
            os.utime(lock)
            yield
            if not folder.exists():
                lock.unlink(missing_ok=True)
            return


def free_space(count: int) -> list[Entry]:
    """Remove the least recently used entries of BOUNDED until `count` more bytes fit; return them.

    Entries in use stay, whatever their size.
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
    """List the entries by kind and path."""
    return [entry for kind in kinds for entry in _entries(kind)]


def remove(entry: Entry) -> bool:
    """Remove an entry; return False if a process uses it by now."""
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
    """Return the folder of an entry, or its files."""
    if path.is_dir():
        return [path]
    return [file for file in path.parent.iterdir() if file.is_file() and file.stem == path.name]


def _name(path: Path) -> str:
    """Return the name of the entry of a folder or file; names of models may have dots."""
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


def _is_same(path: Path, file: IO[str]) -> bool:
    """Whether an open file is still the file at its path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
