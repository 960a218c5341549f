"""The account of a curation: what came in, what was dropped and why, and what each class has; as data and as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.collection.artists import ArtistsFile
from artylyze.collection.labels import Artists, Labels
from artylyze.collection.names import nearest
from artylyze.datasets.dataset import MEASURABLE
from artylyze.datasets.selection import Mask, Selection
from artylyze.datasets.sources import Catalogue
from artylyze.drawing.table import columns, rendered
from artylyze.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN = 6


@dataclass(frozen=True)
class Counts:
    """Images on each side of the split."""

    train: int
    test: int

    @property
    def both(self) -> int:
        """Images on both sides."""
        return self.train + self.test


@dataclass(frozen=True)
class ClassAccount:
    """One class before and after balancing; `groups` are the artists (or records) that it has before."""

    term: str
    before: Counts
    after: Counts
    groups: int


@dataclass(frozen=True)
class TaskAccount:
    """One task.

    Attributes:
        classes: those that were kept, the best represented first.
        not_kept: other terms -> images.
        outside: terms that the taxonomy does not know, kept as given -> images.
        contradicted: images of which two catalogues say different things.
        several: images with several terms in a cell, of which one was chosen.
    """

    classes: tuple[ClassAccount, ...]
    not_kept: Mapping[str, int]
    outside: Mapping[str, int]
    contradicted: int
    several: int = 0


@dataclass(frozen=True)
class ArtistsAccount:
    """Artists.

    Attributes:
        found: artists that images name.
        spellings: spelling -> others that were taken for the same artist.
        file: the artists file, None without.
        rows: artists in it.
        matched: of these, how many have images.
        without_images: names in the file that no image has -> the most similar name that one has, or None.
        not_in_file: how many artists of images the file has not.
        perhaps: names of images that the file has not -> the similar name that it has.
        ambiguous: names of several rows in the file that say different things.
    """

    found: int
    spellings: Mapping[str, tuple[str, ...]]
    file: str | None = None
    rows: int = 0
    matched: int = 0
    without_images: Mapping[str, str | None] | None = None
    not_in_file: int = 0
    perhaps: Mapping[str, str] | None = None
    ambiguous: tuple[str, ...] = ()


@dataclass(frozen=True)
class CatalogueAccount:
    """One catalogue: which column names the images, and its rows, each of one of the four kinds of `Catalogue`.

    `ambiguous_images` are left without a row because several could be meant; `notes` say what else to know.
    """

    name: str
    column: str | None
    rows: int
    joined: int
    repeated: int
    ambiguous: int
    unnamed: int
    ambiguous_images: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Account:
    """What a curation did.

    Attributes:
        dataset: where it was written.
        digest: of the dataset.
        present: False if the images are not here (the dataset is a plan).
        catalogues: the label tables.
        images: images that came in: those dropped and those in the dataset.
        dropped: reason -> images; each has one reason.
        rows: images in the dataset.
        groups: artists (or records) on each side.
        group: "artist", "artist,source" or "none".
        balance: "undersample" or "none".
        tasks: task -> its classes.
        artists: what is known of the artists.
        charts: pictures of the classes before and after balancing, and of some images.
        classes_asked: how many classes each task was to keep, None for all.
    """

    dataset: str
    digest: str
    present: bool
    catalogues: tuple[CatalogueAccount, ...]
    images: int
    dropped: Mapping[str, int]
    rows: Counts
    groups: Counts
    group: str
    balance: str
    tasks: Mapping[str, TaskAccount]
    artists: ArtistsAccount
    charts: tuple[str, ...]
    classes_asked: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def of_catalogues(catalogues: Sequence[Catalogue]) -> tuple[CatalogueAccount, ...]:
    """Account for the rows of the catalogues."""
    names = [field.name for field in fields(CatalogueAccount)]
    return tuple(CatalogueAccount(*(getattr(table, name) for name in names)) for table in catalogues)


def of_task(task: str, usable: Selection, chosen: Selection, final: Selection, test: Mask) -> TaskAccount:
    """Account for the classes of a task: as they came, as they were chosen, and as they are in the dataset."""
    read, before, after = (selection.labels[task] for selection in (usable, chosen, final))
    counts = before.counts()
    classes = [
        ClassAccount(
            read.terms[code],
            _sides(before, code, test),
            _sides(after, code, test),
            groups=chosen.units.number(before.codes == code),
        )
        for code in map(int, np.argsort(-counts, kind="stable"))
        if counts[code]
    ]
    came = zip(read.terms, read.counts().tolist(), counts, strict=True)
    others = {term: count for term, count, kept in came if count and not kept}
    return TaskAccount(tuple(classes), others, read.outside, read.contradicted, read.several)


def _sides(labels: Labels, code: int, test: Mask) -> Counts:
    rows = labels.codes == code
    return Counts(int((rows & ~test).sum()), int((rows & test).sum()))


def of_artists(artists: Artists, file: ArtistsFile | None) -> ArtistsAccount:
    """Account for the artists: who is in the file, and whom the others may be."""
    if file is None:
        return ArtistsAccount(len(artists.keys), artists.spellings)
    names = {key: name for key, name in zip(artists.own_keys(), artists.names, strict=True) if key and name}
    absent, foreign = file.by_key.keys() - names.keys(), names.keys() - file.by_key.keys()
    likely, perhaps = nearest(absent, names), nearest(foreign, file.by_key)
    return ArtistsAccount(
        found=len(artists.keys),
        spellings=artists.spellings,
        file=file.address,
        rows=file.rows,
        matched=len(file.by_key) - len(absent),
        without_images={file.by_key[key].name: names.get(likely.get(key, "")) for key in sorted(absent)},
        not_in_file=len(foreign),
        perhaps={names[key]: file.by_key[other].name for key, other in perhaps.items()},
        ambiguous=file.ambiguous,
    )


def describe(account: Account) -> str:
    """Return the account as text for a terminal."""
    parts = [_flow(account), *(_task(name, task, account) for name, task in account.tasks.items())]
    tables = [note for table in account.catalogues for note in table.notes]
    notes = [*tables, *_notes_on_classes(account), *_notes_on_terms(account.tasks)]
    notes += _notes_on_artists(account.artists)
    if notes:
        parts.append("\n".join(notes))
    where = [
        f"Dataset  {account.dataset} (digest {account.digest})",
        *(f"Picture  {chart}" for chart in account.charts),
    ]
    if not account.present:
        where.insert(0, "No images were given: this dataset is a plan. To train on it, curate again with `images`.")
    return "\n\n".join([*parts, "\n".join(where)])


def _flow(account: Account) -> str:
    """How many rows and images came in, were left out and are in the dataset."""
    lines: list[tuple[str, int, str]] = []
    for table in account.catalogues:
        by = f"by its column '{table.column}'" if table.column else ""
        lines.append((f"rows in {Path(table.name).name}", table.rows, ""))
        lines.append(("  describe an image", table.joined, by))
        left = f"{counted(table.ambiguous_images, 'image')} left without a row: see below"
        more = (
            ("  repeat an image", table.repeated, "another row describes it as well or better"),
            ("  are ambiguous", table.ambiguous, left),
            ("  name no image", table.unnamed, ""),
        )
        lines += [line for line in more if line[1]]
    lines.append(("images" if account.present else "images (none is here)", account.images, ""))
    lines += [(f"  dropped: {reason}", count, "") for reason, count in account.dropped.items()]
    rows, groups = account.rows, account.groups
    shares = f"{rows.train:,} train, {rows.test:,} test; {groups.train:,} and {groups.test:,} {_unit(account)}"
    lines.append(("  in the dataset", rows.both, shares))
    return rendered([columns([(text, f"{count:,}", note) for text, count, note in lines], left=(0, 2))])


def _task(name: str, task: TaskAccount, account: Account) -> str:
    """The classes of a task, before and, if they were balanced, after."""
    balanced = account.balance == "undersample"
    sides = ("train", "test")
    heads = ("before", *sides, "after", *sides) if balanced else ("images", *sides)
    rows = [(name, *heads, _unit(account))]
    for row in task.classes:
        counts = [count for side in (row.before, row.after) for count in (side.both, side.train, side.test)]
        rows.append((f"  {row.term}", *(f"{count:,}" for count in counts[: len(heads)]), f"{row.groups:,}"))
    parts: list[RenderableType] = [columns(rows)]
    if task.not_kept:
        count, images = len(task.not_kept), sum(task.not_kept.values())
        parts.append(
            f"  not kept: {counted(count, 'class', 'classes')}, {counted(images, 'image')} ({_top(task.not_kept)})"
        )
    return rendered(parts)


def _unit(account: Account) -> str:
    return "records" if account.group == "none" else "artists"


def _notes_on_classes(account: Account) -> Iterable[str]:
    for name, task in account.tasks.items():
        asked, kept = account.classes_asked, len(task.classes)
        if asked is not None and kept < asked:
            why = "every other one is left out" if task.not_kept else "the images have no others"
            yield f"`classes={asked}`: {name} has {counted(kept, 'class', 'classes')}, for {why}."
        few = {row.term: row.after.test for row in task.classes if row.after.test < MEASURABLE}
        if few:
            yield (
                f"{name}: {counted(len(few), 'class has', 'classes have')} fewer than {MEASURABLE} test images "
                f"({_some([f'{term} {count:,}' for term, count in few.items()])}): "
                "uncertain, yet as heavy as any other in macro figures."
            )


def _notes_on_terms(tasks: Mapping[str, TaskAccount]) -> Iterable[str]:
    for name, task in tasks.items():
        if task.outside:
            yield f"Outside the taxonomy of {name}, kept as given: {_top(task.outside)}."
        if task.contradicted:
            yield f"The catalogues contradict each other on {task.contradicted:,} images' {name}: the first counts."
        if task.several:
            have = counted(task.several, "image has", "images have")
            yield f"{have} several terms of {name} in a cell: the first that the vocabulary knows counts."


def _notes_on_artists(artists: ArtistsAccount) -> Iterable[str]:
    if artists.spellings:
        same = [f"{name} = {' = '.join(others)}" for name, others in artists.spellings.items()]
        yield f"Taken for one artist: {_some(same, '; ')}."
    if artists.file is None:
        return
    file = Path(artists.file).name
    yield (
        f"{artists.matched:,} of the {artists.rows:,} artists in {file} have images here; "
        f"{counted(artists.not_in_file, 'artist', 'artists')} of the images are not in it."
    )
    if artists.without_images:
        likely = {name: other for name, other in artists.without_images.items() if other}
        names = [f"{name} (perhaps {other})" for name, other in likely.items()]
        names += [name for name in artists.without_images if name not in likely]
        yield f"Without images: {_some(names)}."
    elif artists.perhaps:
        yield f"Perhaps meant: {_some([f'{name} as {other}' for name, other in artists.perhaps.items()])}."
    if artists.ambiguous:
        yield f"Several artists of one name in {file}, their facts left out: {_some(artists.ambiguous, '; ')}."


def _top(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return _some([f"{term} {count:,}" for term, count in ranked])


def _some(items: Sequence[str], between: str = ", ") -> str:
    more = len(items) - _SHOWN
    return between.join(items[:_SHOWN]) + (f"{between}and {more:,} more" if more > 0 else "")
