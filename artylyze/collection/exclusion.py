"""What is skipped among the images of a collection: system folders, hidden files, what the user excludes."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Self

from artylyze.images import IMAGE_EXTENSIONS
from artylyze.storage import Survey, Tally
from artylyze.wording import counted

SYSTEM_FOLDERS = frozenset(
    {
        *("@eadir", "@tmp", "@sharebin", "@quarantine", "#recycle", "#snapshot"),  # Synology
        *("@recycle", "@recently-snapshot", "@transcode", "@upload_cache"),  # QNAP, whose .@__thumb is hidden
        *("$recycle.bin", "recycler", "recycled", "system volume information"),  # Windows
        *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder"),  # macOS
        *("lost+found", "~snapshot", "trashbox", "trash-$uid"),  # Linux, NetApp, Buffalo
    }
)
"""Lower-case names of folders that systems create: thumbnails, recycle bins, snapshots."""

_NAMES = 10  # of folders, in a message


@dataclass(frozen=True)
class Exclusion:
    """Which keys of a collection are skipped.

    Attributes:
        exclude: patterns of keys, or of the names of files or folders.
        glob: pattern of the keys or names that are taken, None for those with an image's extension. If it contains the
            name of a hidden file or of a system folder, that is taken.
        documents: whether PDF files are taken beside images.
    """

    exclude: Sequence[str] = ()
    glob: str | None = None
    documents: bool = False

    def skips_folder(self, key: str) -> bool:
        """Whether a folder is skipped with all that is in it."""
        return self._is_system(key) or self._is_excluded(key)

    def takes_file(self, key: str) -> bool:
        """Whether a file is an image of the collection; its folders are checked separately."""
        name = key.rpartition("/")[2]
        if self._is_excluded(key) or (_is_hidden(name) and name not in (self.glob or "")):
            return False
        if self.glob is not None:
            return _matches(key, self.glob)
        extension = PurePosixPath(name).suffix.lower()
        return extension in IMAGE_EXTENSIONS or (self.documents and extension == ".pdf")

    def _is_system(self, key: str) -> bool:
        name = key.rpartition("/")[2]
        return (_is_hidden(name) or name.lower() in SYSTEM_FOLDERS) and name not in (self.glob or "")

    def _is_excluded(self, key: str) -> bool:
        return any(_matches(key, pattern.rstrip("/")) for pattern in self.exclude)


@dataclass(frozen=True)
class LeftOut:
    """What a listing left out, besides files that are not images.

    Attributes:
        folders: names of the folders that were not entered (hidden, system, excluded), with the number of each.
        unreadable: folders and files that could not be read, with the reason.
        dead_links: broken links.
        repeats: links to folders that are listed under another name, or that contain the collection.
        written: number of files that artylyze wrote itself.
        written_in: their outermost folders.
    """

    folders: Mapping[str, int] = field(default_factory=dict)
    unreadable: Tally = field(default_factory=Tally)
    dead_links: Tally = field(default_factory=Tally)
    repeats: Tally = field(default_factory=Tally)
    written: int = 0
    written_in: Sequence[str] = ()

    @classmethod
    def from_survey(cls, survey: Survey) -> Self:
        """Return what a survey counted, once the listing has ended."""
        folders = dict(sorted(survey.folders.items(), key=lambda item: (-item[1], item[0])))
        return cls(folders, survey.unreadable, survey.dead_links, survey.repeats)

    def notes(self) -> list[str]:
        """Return a sentence for each kind of thing that was left out."""
        sentences = []
        if self.folders:
            what = counted(sum(self.folders.values()), "folder")
            sentences.append(f"Skipped, as hidden, created by a system, or excluded: {what} ({_names(self.folders)}).")
        if self.written:
            what = f"{counted(self.written, 'file')} in {counted(len(self.written_in), 'folder')}"
            where = ", ".join([*self.written_in[:_NAMES], *(["..."] if len(self.written_in) > _NAMES else [])])
            sentences.append(f"Skipped, as artylyze wrote them: {what} ({where}).")
        sentences += self.unreadable_note()
        sentences += _note(self.dead_links, "Broken", "link", "links")
        why = "Not followed, as their content is listed already or contains the collection"
        return sentences + _note(self.repeats, why, "link to a folder", "links to folders")

    def unreadable_note(self) -> list[str]:
        """Return the sentence about what could not be read, if there is any."""
        return _note(self.unreadable, "Not readable", "folder or file", "folders and files")


def _note(tally: Tally, why: str, singular: str, plural: str) -> list[str]:
    if not tally.count:
        return []
    more = [f"{tally.count - len(tally.first):,} more"] if tally.count > len(tally.first) else []
    return [f"{why}: {counted(tally.count, singular, plural)} ({', '.join([*tally.first, *more])})."]


def _names(folders: Mapping[str, int]) -> str:
    first = list(folders.items())[:_NAMES]
    more = [f"{len(folders) - len(first):,} other names"] if len(folders) > len(first) else []
    return ", ".join([*(name if count == 1 else f"{name} {count:,} times" for name, count in first), *more])


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and not name.startswith("..")  # keys of a bucket may be any text


def _matches(key: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(key, pattern) or fnmatch.fnmatchcase(key.rpartition("/")[2], pattern)
