"""Outputs that must be a local folder while they are written: for an address, a folder that is uploaded at the end."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from artylyze.cache import cache_folder, exclusive
from artylyze.errors import InputError, StorageError, UsageError
from artylyze.ray_session import cluster_address
from artylyze.storage import Store, is_url, open_store


@contextmanager
def local_output(output: str, *, marker: str, resume: bool = False, leave: str = "") -> Iterator[str]:
    """Yield the local folder to write: `output` itself, or for an address one that is uploaded when the body ends well.

    An address has the same folder each time: the same command on the same machine finds what an interrupted one left.

    Args:
        output: a folder, or the address of one.
        marker: name of the file that makes the output complete: it is uploaded last.
        resume: whether to continue what is in the folder, else under the address. Otherwise the folder is removed
            first, and the address must not hold a marker.
        leave: name of a folder in it that is of use on this machine only. It is not uploaded, nor are hidden files.

    Raises:
        InputError: if there is a complete output already and `resume` is not set, or if the folder cannot be made.
        UsageError: if another process on this machine writes the same output.
        StorageError: if the storage refuses.
    """
    if not is_url(output):
        yield output
        return
    store = open_store(output)
    if not resume and store.version(marker) is not None:
        raise InputError(f"{output} exists already: remove it or choose another address.")
    name = output.rstrip("/").rpartition("/")[2]
    staged = cache_folder("outputs") / hashlib.sha256(output.rstrip("/").encode()).hexdigest()[:16]
    folder = staged / name
    with ExitStack() as stack:
        _occupy(stack, staged, output)
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        elif not folder.exists():
            _download(store, folder, marker)
        yield str(folder)
        _upload(store, folder, marker, leave)
        shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def local_file(output: str) -> Iterator[Path]:
    """Yield a path for a file to be written; its content becomes `output`, a file or the address of one, at the end."""
    folder, name = os.path.split(output)
    if is_url(output) and not is_url(folder):
        raise InputError(f"{output} names no file: an address is scheme://bucket/name.")
    store = open_store(folder or ".")
    with TemporaryDirectory(prefix="artylyze-") as temporary:
        yield Path(temporary, name)
        store.upload(name, Path(temporary, name))


def refuse_cluster(output: str) -> None:
    """Raise InputError for an address when training on a Ray cluster, whose machines need a shared folder."""
    if is_url(output) and cluster_address():
        raise InputError(
            f"`output={output!r}`: training on a Ray cluster keeps its checkpoints in a folder that all machines can "
            "reach. Give a folder on a shared file system and copy the result, or unset RAY_ADDRESS to train on this "
            "machine."
        )


def local_path(path: str, option: str) -> Path:
    """Return a path that must be local. Raises UsageError for an address."""
    if is_url(path):
        raise UsageError(f"{option} {path}: give a local path, not an address.")
    return Path(path)


def _occupy(stack: ExitStack, folder: Path, output: str) -> None:
    try:
        stack.enter_context(exclusive(folder))
        folder.mkdir(exist_ok=True)
    except BlockingIOError as error:
        raise UsageError(f"Another process on this machine is writing {output}: wait until it ends.") from error
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}.") from error


def _download(store: Store, folder: Path, marker: str) -> None:
    """Download what an earlier command uploaded, the marker last; without a marker the upload was not complete."""
    if store.version(marker) is None:
        return
    keys = [entry.key for entry in store.list() if entry.key != marker]
    for key in [*keys, marker]:
        if key.startswith("/") or ".." in key.split("/"):
            raise StorageError(f"{store.uri(key)} does not name a file below {folder}: remove that object.")
        target = folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        with store.open(key) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 2**20)


def _upload(store: Store, folder: Path, marker: str, leave: str) -> None:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    names = [name for name in names if not any(part.startswith(".") for part in Path(name).parts)]
    names = [name for name in names if name != marker and Path(name).parts[0] != leave]
    for name in [*names, marker]:
        store.upload(name, folder / name)
