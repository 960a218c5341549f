"""Folders as stores. Files are written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import heapq
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn
from urllib.parse import quote

from artylyze.errors import ErrorCode, ImageError, StorageError
from artylyze.storage.contract import MAX_OBJECT_BYTES, ConflictError, Content, Entry, Survey, Version, check_bytes


@dataclass(frozen=True)
class LocalStore:
    """A folder."""

    root: Path

    @property
    def url(self) -> str:
        """The folder as an absolute path."""
        return str(self.root.absolute())

    def uri(self, key: str) -> str:
        """Return the absolute path; a name that is not UTF-8 becomes a percent-encoded file:// address."""
        path = f"{self.url}/{key}"
        try:
            path.encode()
        except UnicodeEncodeError:
            return f"file://{quote(os.fsencode(path))}"
        return path

    def list(self, under: str = "") -> Iterator[Entry]:
        """Yield every regular file below the folder; hidden folders and links to folders are not entered."""
        folder, _, _ = under.rpartition("/")
        top = self._path(folder) if folder else self.root
        if folder and not top.exists():
            return
        for where, folders, files in os.walk(top, onerror=_raise_listing):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                path = f"{where}/{name}"
                key = os.path.relpath(path, self.root)
                if not key.startswith(under):
                    continue
                try:
                    status = os.stat(path)
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.ELOOP):  # removed meanwhile, or a broken link
                        continue
                    raise _local_error(error) from error
                if stat.S_ISREG(status.st_mode):
                    yield Entry(key, status.st_size, _file_validator(status))

    def survey(self, survey: Survey) -> Iterator[Entry]:
        """Yield the files of a collection, following links; no folder is listed twice.

        Links to folders come last and in the order of their names, so that a folder's own name is the one that counts,
        today and at the next listing.
        """
        entered = {_identity(folder.stat()) for folder in Path(self.url).resolve().parents}
        folders, links = [""], list[str]()
        while folders or links:
            is_link = not folders
            folder = heapq.heappop(links) if is_link else folders.pop()
            try:
                identity = _identity(os.stat(f"{self.url}/{folder}"))
                # Some network file systems have no inode numbers: there, only links can lead in a circle.
                if identity in entered and (is_link or identity[1]):
                    survey.repeats.add(folder)
                    continue
                entered.add(identity)
                with os.scandir(f"{self.url}/{folder}") as entries:
                    for entry in entries:
                        key = f"{folder}/{entry.name}" if folder else entry.name
                        status = _stat_entry(entry, key, survey)
                        if status is None:
                            continue
                        if stat.S_ISREG(status.st_mode):
                            yield Entry(key, status.st_size, _file_validator(status))
                        elif stat.S_ISDIR(status.st_mode) and not survey.leaves_out(key):
                            heapq.heappush(links, key) if entry.is_symlink() else folders.append(key)
            except OSError as error:
                if not folder:
                    raise _local_error(error) from error
                survey.unreadable.add(f"{folder} ({error.strerror or error})")

    def get(self, key: str, max_bytes: int = MAX_OBJECT_BYTES) -> Content:
        """Read one file."""
        return get_file(self._path(key), max_bytes)

    def read(self, key: str) -> bytes | None:
        """Read one small file; None if there is none."""
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _local_error(error) from error

    def tail(self, key: str, count: int) -> bytes:
        """Read the last `count` bytes of a file."""
        with self.open(key) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - count))
            return file.read()

    def open(self, key: str) -> IO[bytes]:
        """Open a file for random access."""
        try:
            return self._path(key).open("rb")
        except OSError as error:
            raise _local_error(error) from error

    def put(self, key: str, data: bytes | memoryview, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Write a file whole or not at all; it survives a power cut."""
        target = self._path(key)
        try:
            _make_folder(target.parent)
            with _temporary(target) as temporary:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if if_match is not None:
                    with _locked(target):
                        if self.version(key) != if_match:
                            raise ConflictError(key)
                        temporary.replace(target)
                elif if_absent:
                    _link(temporary, target)
                else:
                    temporary.replace(target)
                _sync_folder(target.parent)
        except FileExistsError as error:
            raise ConflictError(key) from error
        except OSError as error:
            raise _local_error(error, target) from error
        return self.version(key) or ""

    def version(self, key: str) -> str | None:
        """Return inode, time and size: two writes never share them while both are there."""
        try:
            status = self._path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _local_error(error) from error
        return f"{status.st_ino}:{_file_validator(status)}"

    def upload(self, key: str, path: Path) -> None:
        """Copy a file in, atomically."""
        target = self._path(key)
        try:
            _make_folder(target.parent)
            with _temporary(target) as temporary:
                with temporary.open("xb") as out, path.open("rb") as file:
                    while block := file.read(2**24):
                        out.write(block)
                    out.flush()
                    os.fsync(out.fileno())
                temporary.replace(target)
                _sync_folder(target.parent)
        except OSError as error:
            raise _local_error(error, target) from error

    def delete(self, key: str) -> None:
        """Remove a file."""
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise _local_error(error) from error

    def _path(self, key: str) -> Path:
        """Return the path of a key, which must be below the folder."""
        if key.startswith("/") or ".." in key.split("/"):
            raise StorageError(f"{key!r} does not name a file below {self.url}.")
        return self.root / key


def _file_validator(status: os.stat_result) -> str:
    return f"mtime:{status.st_mtime_ns}:{status.st_size}"


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _stat_entry(entry: os.DirEntry[str], key: str, survey: Survey) -> os.stat_result | None:
    """Follow an entry of a folder; None, and counted, for a broken link or an entry that may not be read."""
    try:
        return entry.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            survey.unreadable.add(f"{key} ({error.strerror or error})")
        elif entry.is_symlink():  # otherwise it is gone meanwhile
            survey.dead_links.add(key)
    return None


def head_file(path: Path) -> Version:
    """Ask for the version of one regular file; raise ImageError if it cannot be had."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(ErrorCode.MISSING, "no such file") from error
    except PermissionError as error:
        raise ImageError(ErrorCode.DENIED, str(error.strerror)) from error
    except (OSError, ValueError) as error:
        raise ImageError(ErrorCode.UNREACHABLE, str(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(ErrorCode.UNSUPPORTED, "not a regular file")
    return Version(status.st_size, _file_validator(status))


def get_file(path: Path, max_bytes: int) -> Content:
    """Read one regular file; raise ImageError if it cannot be had."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe must not block the reader
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(ErrorCode.MISSING, "no such file") from error
    except PermissionError as error:
        raise ImageError(ErrorCode.DENIED, str(error.strerror)) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise ImageError(ErrorCode.UNREACHABLE, str(error)) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(ErrorCode.UNSUPPORTED, "not a regular file")
        check_bytes(status.st_size, max_bytes)
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            data = file.read()
    except OSError as error:
        raise ImageError(ErrorCode.UNREACHABLE, error.strerror or str(error)) from error
    finally:
        os.close(descriptor)
    return Content(data or b"", (_file_validator(status),))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # not a conflict over the key
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from error


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    with target.with_name(f".{target.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _link(temporary: Path, target: Path) -> None:
    """Publish without replacing. Some network file systems have no links: there, check and then rename."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        if target.exists():
            raise FileExistsError(str(target)) from None
        temporary.replace(target)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_listing(error: OSError) -> NoReturn:
    raise _local_error(error) from error


def _local_error(error: OSError, path: Path | None = None) -> StorageError:
    """Name the file: the error of a full disk names none."""
    return StorageError(f"{path or error.filename2 or error.filename or 'File system'}: {error.strerror or error}.")
