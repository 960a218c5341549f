"""Curation: from catalogues as they are to a dataset that a model can learn from and be judged by.

Reads from top to bottom as the way of a label: joined to an image, merged, given an artist, kept or not with its class,
put on a side, evened out, written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa

from artylyze.collection.artists import ArtistsFile, read_artists
from artylyze.collection.labels import Artists, Labels, filled, merge_artists, read_labels
from artylyze.collection.scan import is_table
from artylyze.datasets.account import Account, Counts, TaskAccount, of_artists, of_catalogues, of_task
from artylyze.datasets.classes import check_units, choose_classes, name_tasks, random_order, undersample
from artylyze.datasets.dataset import SPLITS, Dataset, schema, write_dataset
from artylyze.datasets.samples import sample_sheet
from artylyze.datasets.selection import Mask, Selection, artists_as_units, records_as_units, sources_as_units
from artylyze.datasets.sources import Joined, Wanted, join
from artylyze.datasets.split import split_by_source, split_selection
from artylyze.drawing.plots import Bar, class_bars
from artylyze.errors import UsageError
from artylyze.progress import Watcher
from artylyze.storage import check_output, open_store, split_target
from artylyze.tables import DEFAULT_READING, Reading, check_options

GROUPS = ("artist", "artist,source", "none")
"""What a split keeps on one side."""

_SOURCE = ("source", "source_repo", "image_source", "photographer", "photo_credit")
_ARTIST = ("artist", "artist_name", "artists", "creator", "maker", "painter", "author")
_TELLS = {"nationality": "a column of nationalities", "period": "years of birth and death"}


@dataclass(frozen=True)
class CurateRequest:
    """One curation. Raises UsageError for what does not go together.

    Attributes:
        labels: label catalogues, the one that counts first; may be empty if the images' manifest has metadata.
        images: a manifest, or a folder, bucket or table that is scanned; None plans a dataset without images.
        output: the dataset, a .parquet file.
        tasks: columns of the catalogues, or `nationality` and `period` from the artists file.
        artists: the artists whose works are taken, with nationality and years; None takes all.
        classes: how many classes a task keeps, the best represented; None keeps all.
        leave_out: (task, term) of classes that are not kept in any case.
        min_artists: artists that a class needs to be kept.
        balance: `none` leaves classes as they are, `undersample` evens them out to the least of them. Heads weight
            classes: on paintings they did better with all images (docs/benchmarks/quality.md).
        split: shares of train and test.
        group: `artist` keeps each artist on one side, `artist,source` each source of photographs too, `none` each
            record.
        seed: of every random choice.
        id_column: column that identifies a record.
        file_column: column that names the image file.
        file_separator: between several files in a cell.
        label_separator: between several terms of a task in a cell; None: a cell is one term.
        reading: how tables are to be read.
        task_columns: (task, column) of tasks whose column has another name.
    """

    labels: tuple[str, ...]
    images: str | None
    output: str
    tasks: tuple[str, ...]
    artists: str | None = None
    classes: int | None = None
    leave_out: tuple[tuple[str, str], ...] = ()
    min_artists: int = 1
    balance: str = "none"
    split: tuple[float, ...] = (0.75, 0.25)
    group: str = "artist"
    seed: int = 0
    id_column: str | None = None
    file_column: str | None = None
    file_separator: str | None = None
    label_separator: str | None = None
    reading: Reading = DEFAULT_READING
    task_columns: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.output.lower().endswith(".parquet"):
            raise UsageError("A dataset is a .parquet file: give `output` a name that ends so.")
        check_output(self.output)
        if not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise UsageError("`tasks`: name each task once, such as genre,style.")
        schema(self.tasks)
        tables = bool(self.labels) or (self.images is not None and is_table(self.images))
        check_options("`labels`", tables, self.reading)
        if self.balance not in ("undersample", "none"):
            raise UsageError(f"`balance={self.balance!r}`: choose undersample or none.")
        if self.group not in GROUPS:
            raise UsageError(f"`group={self.group!r}`: choose one of {'; '.join(GROUPS)}.")
        if self.classes is not None and self.classes < 2:
            raise UsageError(f"`classes={self.classes}`: a model tells at least 2 classes apart.")
        if self.min_artists < 1:
            raise UsageError(f"`min_artists={self.min_artists}`: give 1 or more.")
        if self.min_artists > 1 and not self.by_artist:
            raise UsageError("`min_artists` goes with `group='artist'`: without it artists are not asked for.")
        if self.seed < 0:
            raise UsageError(f"`seed={self.seed}`: a seed is 0 or more.")
        sound = len(self.split) == 2 and all(0 < share < 1 for share in self.split)
        if not sound or abs(sum(self.split) - 1) > 1e-6:
            given = ",".join(f"{share:g}" for share in self.split)
            raise UsageError(f"`split={given}`: give the shares of train and test, which make 1, such as 0.75,0.25.")
        if foreign := [task for task, _ in self.leave_out if task not in self.tasks]:
            raise UsageError(f"`leave_out` {foreign[0]}=...: that is none of the tasks ({', '.join(self.tasks)}).")

    @property
    def by_artist(self) -> bool:
        """Whether no artist may be on both sides."""
        return self.group != "none"


def parse_split(text: str) -> tuple[float, ...]:
    """Return `0.75,0.25`, as the command line gives it, as numbers; raise UsageError for what is none."""
    try:
        return tuple(float(share) for share in text.split(","))
    except ValueError:
        raise UsageError(f"`split={text!r}`: give two shares that make 1, such as 0.75,0.25.") from None


def parse_left_out(given: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return `TASK=TERM`, as the command line gives it, as pairs; raise UsageError for what is none."""
    pairs = [(task.strip(), term.strip()) for task, _, term in (text.partition("=") for text in given)]
    for text, (task, term) in zip(given, pairs, strict=True):
        if not task or not term:
            raise UsageError(f"`leave_out={[text]}`: give TASK=TERM, such as 'style=Pop Art'.")
    return tuple((next(iter(name_tasks([task]))), term) for task, term in pairs)


@dataclass(frozen=True)
class Curated:
    """What came of a curation: the dataset as it was written, and the account of how."""

    dataset: Dataset
    account: Account


def curate(request: CurateRequest, watcher: Watcher) -> Curated:
    """Curate a dataset and write it, with bar charts of its classes and a sheet of some of its images beside it.

    The same request on the same rows gives the same dataset, whatever the order of the rows.

    Raises:
        UsageError: a task or a column that no catalogue has.
        InputError: a table that cannot be read or names no image, a task with one class, a class with one artist.
        StorageError: storage that refuses.
    """
    file = None if request.artists is None else read_artists(request.artists)
    for task, column in request.task_columns:
        if task != column:
            watcher.say(f"The column '{column}' is the task {task}")
    watcher.say("Reading the catalogues, and finding the images that they describe")
    joined = join(request.labels, request.images, _wanted(request, file))
    artists = merge_artists([catalogue.table for catalogue in joined.catalogues], joined.images.num_rows)
    labels = _read_labels(request, joined, artists, file)
    sources = read_labels("source", [catalogue.table for catalogue in joined.catalogues], joined.images.num_rows)
    usable = _drop_what_is_no_use(request, joined, labels, artists, file, sources)
    chosen = _choose(request, usable)
    watcher.say("Splitting, and evening out the classes")
    chosen, test = _split(request, chosen, sources)
    final = _balance(request, joined, chosen, test)
    terms = {task: kept.present() for task, kept in final.labels.items()}
    table = _table(joined, artists, {"source": sources, **labels, **final.labels}, test, final)
    dataset = write_dataset(request.output, table, terms, asdict(request))
    tasks = {task: of_task(task, usable, chosen, final, test) for task in request.tasks}
    account = Account(
        dataset=request.output,
        digest=dataset.digest,
        present=request.images is not None,
        catalogues=of_catalogues(joined.catalogues),
        images=joined.images.num_rows,
        dropped=final.dropped(),
        rows=Counts(*(int((final.kept & (test == side)).sum()) for side in (False, True))),
        groups=Counts(*(final.units.number(final.kept & (test == side)) for side in (False, True))),
        group=request.group,
        balance=request.balance,
        tasks=tasks,
        artists=of_artists(artists, file),
        charts=_draw(request, tasks, dataset),
        classes_asked=request.classes,
    )
    return Curated(dataset, account)


def _wanted(request: CurateRequest, file: ArtistsFile | None) -> Wanted:
    known = file.has if file else ()
    required = {
        task: f"`artists` with {_TELLS[task]} would tell it." if task in _TELLS else "`tasks` names columns of theirs."
        for task in request.tasks
        if task not in known
    }
    if request.by_artist or file:
        required["artist"] = "Give that name to the column of artists, or split with `group='none'` and no `artists`."
    if request.group == "artist,source":
        required["source"] = "Give that name to the column that says where a photograph is from."
    given = dict(request.task_columns)
    columns = {task: (given.get(task, task), task) for task in (*request.tasks, *_TELLS)}
    return Wanted(
        {"artist": _ARTIST, "source": _SOURCE, **columns, "record_id": ("record_id",)},
        required,
        request.id_column,
        request.file_column,
        request.file_separator,
        request.reading,
    )


def _read_labels(
    request: CurateRequest, joined: Joined, artists: Artists, file: ArtistsFile | None
) -> dict[str, Labels]:
    """Return the labels of the tasks, and nationality and period in any case.

    What the catalogues do not say of those two the artists file does.
    """
    tables = [catalogue.table for catalogue in joined.catalogues]
    labels = {}
    for name in dict.fromkeys([*request.tasks, *_TELLS]):
        labels[name] = read_labels(name, tables, joined.images.num_rows, request.label_separator)
        if name in _TELLS and file is not None:
            facts = [None if key is None else file.by_key.get(key) for key in artists.own_keys()]
            labels[name] = filled(labels[name], [None if fact is None else getattr(fact, name) for fact in facts])
    return labels


def _drop_what_is_no_use(
    request: CurateRequest,
    joined: Joined,
    labels: dict[str, Labels],
    artists: Artists,
    file: ArtistsFile | None,
    sources: Labels,
) -> Selection:
    records = joined.images.column("record_id").to_pylist()
    units = artists_as_units(artists) if request.by_artist else records_as_units(records)
    selection = Selection.of({task: labels[task] for task in request.tasks}, units)
    described = np.any([catalogue.described.to_numpy() for catalogue in joined.catalogues], axis=0)
    selection = selection.drop(~described, "described by no catalogue")
    if request.by_artist or file:
        selection = selection.drop(artists.codes < 0, "without an artist")
    if request.group == "artist,source":
        selection = selection.drop(sources.codes < 0, "without a source")
    if file:
        of_file = np.array([key in file.by_key for key in artists.own_keys()])
        selection = selection.drop(~of_file, f"by artists that {file.name} does not have")
    return selection.drop_unlabelled(f"without a label for {' or '.join(request.tasks)}")


def _choose(request: CurateRequest, selection: Selection) -> Selection:
    for task in request.tasks:
        left_out = [term for name, term in request.leave_out if name == task]
        selection = choose_classes(selection, task, request.classes, left_out, request.min_artists)
    check_units(selection, request.tasks)
    return selection.drop_unlabelled("of classes that are not kept")


def _split(request: CurateRequest, chosen: Selection, sources: Labels) -> tuple[Selection, Mask]:
    if request.group != "artist,source":
        return chosen, split_selection(chosen, request.split[1], request.seed)
    units = sources_as_units(sources)
    check_units(replace(chosen, units=units), request.tasks)
    return split_by_source(chosen, units, request.split[1], request.seed)


def _balance(request: CurateRequest, joined: Joined, chosen: Selection, test: Mask) -> Selection:
    if request.balance == "none":
        return chosen
    order = random_order(request.seed, joined.images.column("image_id").to_pylist())
    codes = {
        task: undersample(labels.codes, test, chosen.units.codes, order, request.split[1])
        for task, labels in chosen.labels.items()
    }
    return chosen.with_codes(codes).drop_unlabelled("beyond the least class's count")


def _table(joined: Joined, artists: Artists, labels: dict[str, Labels], test: Mask, final: Selection) -> pa.Table:
    columns = {name: joined.images.column(name) for name in ("image_id", "record_id", "uri", "size", "validator")}
    columns["artist"] = pa.array(artists.names, pa.string())
    columns["group"] = pa.array([None if code < 0 else artists.keys[code] for code in artists.codes], pa.string())
    columns["split"] = pa.array([SPLITS[side] for side in test.astype(int)], pa.string())
    for name, values in labels.items():
        columns[name] = pa.array([None if code < 0 else values.terms[code] for code in values.codes], pa.string())
    return pa.table(columns).filter(pa.array(final.kept))


def _draw(request: CurateRequest, tasks: dict[str, TaskAccount], dataset: Dataset) -> tuple[str, ...]:
    """Write the pictures beside the dataset: one chart is enough without balancing; samples where images are here."""
    titles = {"before": "Classes before undersampling", "after": "Classes after undersampling"}
    if request.balance == "none":
        titles = {"classes": "Classes"}
    pictures = {}
    for when, title in titles.items():
        bars = {task: _bars(account, after=when == "after") for task, account in tasks.items()}
        pictures[when] = class_bars(title, bars)
    if request.images is not None:
        pictures["samples"] = sample_sheet(dataset.table, request.tasks, request.seed)
    addresses = {f"{request.output[: -len('.parquet')]}.{name}.png": picture for name, picture in pictures.items()}
    for address, picture in addresses.items():
        folder, name = split_target(address)
        open_store(folder).put(name, picture)
    return tuple(addresses)


def _bars(task: TaskAccount, *, after: bool) -> Sequence[Bar]:
    counted = [(row.term, row.after if after else row.before) for row in task.classes]
    return [Bar(term, counts.train, counts.test) for term, counts in counted]
