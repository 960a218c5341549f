"""The folder of an explorer: files that appear whole, and a list of what is finished, so that a second run resumes.

`data/made.json` names each finished piece with a digest of what it was made from. A piece whose digest is unchanged is
not made again. `data/index.json` is removed before any other file changes, and written last: with it, the folder is
complete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artylyze.errors import UsageError
from artylyze.storage import Store, is_url, open_store

INDEX, MADE, INLINE = "data/index.json", "data/made.json", "data/inline.js"


def digest(*values: Any) -> str:
    """Return 16 hexadecimal digits that identify JSON values, or bytes."""
    state = hashlib.sha256()
    for value in values:
        data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()[:16]


def to_json(value: Any) -> bytes:
    """Return a value as compact JSON in UTF-8. Raises ValueError for NaN and infinite numbers, which JSON lacks."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


@dataclass
class Folder:
    """An explorer's folder while it is written.

    Attributes:
        store: the folder, local or in object storage.
        made: piece -> {"digest": of what it was made from, ...}, of an earlier run and of this one.
        written: number of files that this run has written.
        kept: number of pieces that an earlier run had finished.
    """

    store: Store
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    written: int = 0
    kept: int = 0

    def put(self, key: str, data: bytes) -> None:
        """Write a file atomically."""
        self.store.put(key, data)
        self.written += 1

    def begin(self, wanted: Mapping[str, str]) -> None:
        """Forget pieces that are to be made anew, before their files change.

        Args:
            wanted: piece -> digest of what it is to be made from.
        """
        self.store.delete(INDEX)
        stale = [piece for piece in self.made if not self.has(piece, wanted.get(piece, ""))]
        if stale:
            for piece in stale:
                del self.made[piece]
            self._save()

    def has(self, piece: str, wanted: str) -> bool:
        """Whether a piece is finished, and of that digest."""
        return self.made.get(piece, {}).get("digest") == wanted

    def make(self, piece: str, wanted: str, write: Callable[[], Mapping[str, Any] | None]) -> Mapping[str, Any]:
        """Make a piece unless it is finished, and return what is noted of it.

        Args:
            piece: its name.
            wanted: digest of what it is made from.
            write: writes its files, and returns what is to be noted besides the digest.
        """
        if not self.has(piece, wanted):
            self.made[piece] = {"digest": wanted, **(write() or {})}
            self._save()
        else:
            self.kept += 1
        return self.made[piece]

    def remove_others(self, under: str, keys: Iterable[str]) -> None:
        """Remove the files below a folder that are not among `keys`: what a larger collection left there."""
        kept = set(keys)
        for key in [entry.key for entry in self.store.list(under) if entry.key not in kept]:
            self.store.delete(key)

    def _save(self) -> None:
        self.store.put(MADE, to_json(self.made))


def open_folder(address: str) -> Folder:
    """Open the folder of an explorer, new or as an earlier run left it.

    Raises:
        UsageError: if it is a file, a catalog, or a folder with files that no explorer wrote.
    """
    store = open_store(address)
    made = store.read(MADE)
    if made is None:
        _check_free(address, store)
        return Folder(store)
    try:
        found = json.loads(made)
        return Folder(store, {str(piece): dict(noted) for piece, noted in found.items()})
    except (ValueError, AttributeError, TypeError):
        return Folder(store)


def _check_free(address: str, store: Store) -> None:
    if not is_url(address):
        path = Path(address)
        if path.is_file():
            raise UsageError(f"`output={address!r}` is a file: an explorer is a folder.")
        if not path.exists():
            return
    first = next(iter(store.list()), None)
    if first is not None:
        what = "is a catalog" if store.version("catalog.json") is not None else f"holds other files ({first.key})"
        raise UsageError(f"`output={address!r}` {what}: name a new folder for the explorer.")
