"""An explorer as static files, from top to bottom: thumbnails, neighbours, the map, works, columns, the page."""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any

import numpy as np

from artylyze.catalog.snapshot import read_snapshot
from artylyze.exploring import atlases, details
from artylyze.exploring.atlases import from_jpeg, read_originals
from artylyze.exploring.details import Related
from artylyze.exploring.facets import INLINE_TERMS, Facet, FacetSet, facets_in, slug
from artylyze.exploring.folder import INDEX, INLINE, MADE, Folder, digest, open_folder, to_json
from artylyze.exploring.grouping import clusters_of, duplicates_of
from artylyze.exploring.palette import Palette, read_palette
from artylyze.exploring.projection import map_of, quantised
from artylyze.exploring.reviewed import apply_decisions
from artylyze.exploring.reviews import read_decisions
from artylyze.exploring.vectors import read_vectors
from artylyze.exploring.works import Works, read_works
from artylyze.models.scores import NONE as NONE_OF_THESE
from artylyze.profiling.columns import Column, standing
from artylyze.progress import Watcher
from artylyze.searching.neighbours import nearest
from artylyze.storage import check_output, open_store, reachable
from artylyze.wording import counted
from artylyze.workers.fetching import Source
from artylyze.workers.reading import Reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 2
"""Of the files; another version makes every piece anew."""

INLINE_WORKS = 2_000
"""Works up to which the folder can be opened without a web server: `data/inline.js` holds its data then."""

NEAREST = 24
"""Works most like it that are kept of each."""

NEIGHBOURS = 4096
"""Works of a file of neighbours."""

NONE = 0xFFFFFFFF
"""Where a work has fewer neighbours, or no embedding."""

LANGUAGES = ("en", "de", "fr")


@dataclass(frozen=True)
class ExploreRequest:
    """What is to be written.

    Attributes:
        catalog: its address.
        output: the explorer's folder, local or in object storage.
        clusters: what `cluster` wrote, None for no clusters.
        duplicates: what `duplicates` wrote, None for no near-duplicates.
        title: of the page, None for the name of the catalog's folder.
        inline: whether a small explorer is to open without a web server.
    """

    catalog: str
    output: str
    clusters: str | None = None
    duplicates: str | None = None
    title: str | None = None
    inline: bool = True


@dataclass(frozen=True)
class Explored:
    """What was written.

    Attributes:
        folder: of the explorer.
        title: of its page.
        works: in it.
        written: files that were written now.
        collection: the works themselves.
        missing: works whose picture could not be had, by reason.
        notes: sentences on what the explorer lacks.
    """

    folder: str
    title: str
    works: int
    written: int
    collection: Works = field(repr=False)
    missing: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "explorer": self.folder,
            "title": self.title,
            "works": self.works,
            "files_written": self.written,
            "missing_pictures": dict(self.missing),
            "notes": list(self.notes),
        }

    def in_words(self) -> str:
        """Return what was written and how it is opened, for a terminal."""
        page = f"{self.folder.rstrip('/')}/index.html"
        how = f"open {page} in a browser" if self.works <= INLINE_WORKS else "put it on any web server"
        lines = [f"Explorer of {counted(self.works, 'work')}, {counted(self.written, 'file')} written: {how}."]
        return "\n".join([*lines, *self.notes])


def export(request: ExploreRequest, watcher: Watcher) -> Explored:
    """Write the explorer of a catalog, or bring one up to date: what is there of the same works is not made again.

    Raises:
        UsageError: if the folder holds other files.
        InputError: if there is no catalog, or clusters or near-duplicates are of other images.
        StorageError: if the folder cannot be written.
    """
    check_output(request.output)
    snapshot = read_snapshot(request.catalog)
    folder = open_folder(request.output)
    watcher.say(f"Reading the catalog: {counted(snapshot.rows, 'work')}")
    works = read_works(request.catalog, snapshot)
    works, decisions, decided = apply_decisions(works, read_decisions(request.catalog))
    facet_set = facets_in(works)
    grouped = None if request.clusters is None else clusters_of(works, request.clusters, _columns(facet_set))
    influences = None if grouped is None else grouped.influences
    duplicates = {} if request.duplicates is None else duplicates_of(works, request.duplicates)
    palette = read_palette(works)

    pictures = _picture_digests(works)
    text = digest(VERSION, snapshot.run_id, request.clusters and _version(request.clusters), _listed(duplicates))
    vectors = digest(VERSION, snapshot.run_id, works.models)
    wanted = {f"thumbs/{number}": one for number, one in enumerate(pictures)}
    wanted |= {f"works/{number}": text for number in range(len(list(works.blocks(details.BLOCK))))}
    folder.begin(wanted | {"neighbours": vectors})

    gone, missing = _write_pictures(folder, works, pictures, watcher)
    mapped = _write_neighbours(folder, works, vectors, watcher)
    _write_details(folder, works, facet_set, Related(influences, duplicates), text, watcher)
    facets = [*facet_set.facets, *([] if grouped is None else [grouped.facet]), *decisions]
    columns = _columns_of(works, facet_set, facets, mapped, gone, palette)
    for name, values in columns.items():
        folder.put(
            f"data/columns/{name}.bin", np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()
        )
    for facet in facets:
        if len(facet.terms) > INLINE_TERMS:
            folder.put(f"data/terms/{facet.column}.json", to_json(list(facet.terms)))
    if palette is not None:
        folder.put("data/colors.bin", palette.colors.tobytes())
    folder.put("data/decisions.json", to_json(decided))
    notes = _notes(works, missing)
    index = {
        "version": VERSION,
        "title": request.title or _title(request.catalog),
        "n": len(works),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model_id": snapshot.model_id,
        "served": False,
        "token": None,
        "snapshot": snapshot.run_id,
        "columns": [{"name": name, "dtype": values.dtype.name} for name, values in columns.items()],
        "facets": [facet.as_dict() for facet in facets],
        "tasks": [{"name": task.name, "terms": list(task.terms)} for task in works.tasks],
        "clusters": None if grouped is None else dict(grouped.summary),
        "duplicates": bool(duplicates),
        "neighbours": NEAREST if mapped else 0,
        "colors": palette is not None,
        "thumbs": sorted(atlases.SIDES),
        "text": True,
        "projection": None if mapped is None else {"method": mapped.method, "trustworthiness": mapped.trustworthiness},
        "languages": list(LANGUAGES),
        "missing": missing,
        "notes": list(notes),
    }
    keys = set(_written_keys(works, columns, facets, palette is not None, mapped is not None))
    folder.remove_others("data/", {*keys, INDEX, MADE, *([INLINE] if _is_inline(request, works) else [])})
    for name, data in web_files():
        folder.put(name, data)
    if _is_inline(request, works):
        folder.put(INLINE, _inline(folder, keys, index))
    folder.put(INDEX, to_json(index))
    return Explored(request.output, str(index["title"]), len(works), folder.written, works, missing, notes)


def web_files(root: Traversable | None = None, under: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file of the page itself, which ships in the package."""
    folder = root or files("artylyze.exploring") / "web" / "dist"
    if not folder.is_dir():
        return
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from web_files(item, f"{under}{item.name}/")
        else:
            yield f"{under}{item.name}", item.read_bytes()


def _columns(facet_set: FacetSet) -> list[Column]:
    """What names clusters: what says what a work is, and tags; all metadata where there is neither."""
    predicted = [
        Column(f"{facet.name} (predicted)", "predicted", facet.terms, facet.codes.astype(np.int32) - 1)
        for facet in facet_set.facets
        if facet.kind == "task" and len(facet.terms) > 1
    ]
    described = facet_set.described.columns
    telling = [column for column in described if not standing(column.name, column.kind)]
    return [*telling, *predicted] or list(described)


def _version(clusters: str) -> str | None:
    return open_store(clusters).version("run.json")


def _listed(duplicates: Mapping[int, Sequence[tuple[int, str, float]]]) -> list[Any]:
    return [[row, list(map(list, others))] for row, others in sorted(duplicates.items())]


def _picture_digests(works: Works) -> list[str]:
    """Return for each block of thumbnails a digest of the images that it shows."""
    names = ["image_id", "validator", "status"]
    blocks = (works.rows.take(block, names) for block in works.blocks(atlases.BLOCK))
    return [digest(VERSION, [table.column(name).to_pylist() for name in names]) for table in blocks]


def _write_pictures(
    folder: Folder, works: Works, wanted: Sequence[str], watcher: Watcher
) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """Write the atlases, and return which works have no picture, uint8 (n,), and how many for each reason."""
    gone, missing = np.zeros(len(works), np.uint8), Counter[str]()
    cores = len(os.sched_getaffinity(0))
    watcher.start(len(works), 0, "Thumbnails")
    with ThreadPoolExecutor(cores) as pool, ExitStack() as stack:
        reading = _Reading(stack, cores)
        for number, block in enumerate(works.blocks(atlases.BLOCK)):
            piece = f"thumbs/{number}"
            before = folder.made.get(piece, {})
            if before.get("missing") and _is_back(works, block, before):
                del folder.made[piece]
            write = partial(_write_atlases, folder, works, block, pool, reading)
            noted = folder.make(piece, wanted[number], write)
            missing.update(noted["missing"])
            if noted["gone"]:
                bits = np.frombuffer(base64.b64decode(noted["gone"]), np.uint8)
                gone[block.start : block.stop] = np.unpackbits(bits)[: len(block)]
            watcher.advance(len(block), sum(noted["missing"].values()))
    return gone, dict(missing)


@dataclass
class _Reading:
    """The processes that read originals, started when the first is needed."""

    stack: ExitStack
    cores: int
    reader: Reader | None = None

    def start(self) -> Reader:
        if self.reader is None:
            self.reader = self.stack.enter_context(Reader(atlases.CELL, decoders=self.cores))
        return self.reader


def _write_atlases(folder: Folder, works: Works, block: range, pool: Executor, reading: _Reading) -> dict[str, Any]:
    """Write the atlases of a block from the catalog's thumbnails, and from the works where it has none."""
    table = works.rows.take(block, ["uri", "validator", "status", "thumbnail"])
    shapes = [(int(works.width[row]), int(works.height[row])) for row in block]
    stored = table.column("thumbnail").to_pylist() if "thumbnail" in table.column_names else [None] * len(block)
    images = list(pool.map(from_jpeg, stored, *zip(*shapes, strict=True)))
    rows = table.select(["uri", "validator", "status"]).to_pylist()
    absent = [place for place, row in enumerate(rows) if images[place] is None and row["status"] == "ok"]
    reasons: dict[str, int] = {}
    if absent:
        sources = [Source(rows[place]["uri"], rows[place]["validator"]) for place in absent]
        found, reasons = read_originals(reading.start(), sources, [shapes[place] for place in absent])
        for place, image in zip(absent, found, strict=True):
            images[place] = image
    for key, data in atlases.draw(images, shapes, block.start, pool):
        folder.put(key, data)
    gone = np.zeros(len(block), bool)
    gone[[place for place in absent if images[place] is None]] = True
    bits = base64.b64encode(np.packbits(gone).tobytes()).decode() if gone.any() else ""
    return {"missing": reasons, "gone": bits}


def _is_back(works: Works, block: range, noted: Mapping[str, Any]) -> bool:
    """Whether the first work of a block whose picture could not be had can be read now."""
    gone = np.unpackbits(np.frombuffer(base64.b64decode(noted["gone"]), np.uint8))
    row = block[int(np.argmax(gone))]
    return reachable(works.rows.take([row], ["uri"]).column("uri")[0].as_py())


@dataclass(frozen=True, eq=False)
class _Mapped:
    """The map of n works: uint16 (n, 2), 0 for works without an embedding; how it was made, and how true it is."""

    places: NDArray[np.uint16]
    method: str
    trustworthiness: float | None


def _write_neighbours(folder: Folder, works: Works, wanted: str, watcher: Watcher) -> _Mapped | None:
    """Write the nearest works of each, and return the map; None where embeddings cannot be compared, or are none."""
    if len(works.models) > 1 or not works.ok.any():
        return None
    vectors = read_vectors(works, watcher)
    watcher.say("Finding the nearest works of each")
    near = nearest(vectors, NEAREST)

    def write() -> None:
        table = np.full((len(works), NEAREST), NONE, np.uint32)
        table[vectors.rows] = np.where(near >= 0, vectors.rows[near], NONE)
        for number, block in enumerate(works.blocks(NEIGHBOURS)):
            folder.put(f"data/neighbours/{number}.bin", table[block.start : block.stop].astype("<u4").tobytes())

    folder.make("neighbours", wanted, write)
    watcher.say("Drawing the map")
    made = map_of(works, vectors, near)
    places = np.zeros((len(works), 2), np.uint16)
    places[vectors.rows] = quantised(made.places)
    return _Mapped(places, made.method, made.trustworthiness)


def _write_details(
    folder: Folder, works: Works, facet_set: FacetSet, related: Related, wanted: str, watcher: Watcher
) -> None:
    watcher.start(len(works), 0, "Works")
    for number, block in enumerate(works.blocks(details.BLOCK)):

        def write(block: range = block) -> None:
            for key, data in details.detail_files(works, facet_set, related, block):
                folder.put(key, data)

        folder.make(f"works/{number}", wanted, write)
        watcher.advance(len(block), 0)


def _columns_of(
    works: Works,
    facet_set: FacetSet,
    facets: Sequence[Facet],
    mapped: _Mapped | None,
    gone: NDArray[np.uint8],
    palette: Palette | None,
) -> dict[str, NDArray[Any]]:
    """Return the columns of numbers by their names."""
    places = np.zeros((len(works), 2), np.uint16) if mapped is None else mapped.places
    columns: dict[str, NDArray[Any]] = {
        "width": works.width,
        "height": works.height,
        "x": places[:, 0],
        "y": places[:, 1],
        "status": works.status,
        "year": facet_set.years,
        "gone": gone,
    }
    if palette is not None:
        columns["lightness"] = palette.lightness
    columns |= {facet.column: facet.codes for facet in facets}
    columns |= {f"{slug(task.name, set())}_score": task.scores for task in works.tasks}
    return columns


def _written_keys(
    works: Works, columns: Iterable[str], facets: Sequence[Facet], colors: bool, mapped: bool
) -> Iterator[str]:
    """Yield the keys of all data but the index."""
    yield from atlases.keys(len(works))
    yield from details.keys(len(works))
    yield from (f"data/columns/{name}.bin" for name in columns)
    yield from (f"data/terms/{facet.column}.json" for facet in facets if len(facet.terms) > INLINE_TERMS)
    if mapped:
        yield from (f"data/neighbours/{number}.bin" for number, _ in enumerate(works.blocks(NEIGHBOURS)))
    if colors:
        yield "data/colors.bin"
    yield "data/decisions.json"


def _is_inline(request: ExploreRequest, works: Works) -> bool:
    return request.inline and len(works) <= INLINE_WORKS


def _inline(folder: Folder, keys: Iterable[str], index: Mapping[str, Any]) -> bytes:
    """Return all data but the atlases as one script, in which no text can end it."""
    values: dict[str, Any] = {INDEX: index}
    for key in sorted(keys):
        if key.endswith((".json", ".bin")):
            data = folder.store.read(key) or b""
            values[key] = json.loads(data) if key.endswith(".json") else base64.b64encode(data).decode()
    text = to_json(values).decode()
    for letter in ("<", ">", "\u2028", "\u2029"):
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return f"window.ARTYLYZE_DATA = {text};\n".encode()


def _title(catalog: str) -> str:
    """The name of a catalog's folder, or of the folder that it is in where its own says nothing."""
    names = [name for name in open_store(catalog).url.split("/") if name and not name.endswith(":")]
    named = [name for name in names if name.casefold() not in ("catalog", "catalogue", "out", "output")]
    return (named or names or ["catalog"])[-1]


def _notes(works: Works, missing: Mapping[str, int]) -> tuple[str, ...]:
    """Sentences on what the explorer lacks."""
    notes = []
    if not len(works):
        return ("The catalog has no works.",)
    if not works.ok.any():
        notes.append("None of the images could be read: there are no neighbours and no map.")
    elif len(works.models) > 1:
        notes.append(
            f"The embeddings are of {len(works.models)} models ({', '.join(works.models)}), which cannot be compared: "
            "there are no neighbours and no map. Tag the collection again with one of them."
        )
    if not works.tasks:
        notes.append("The model has no tasks: works have no tags.")
    if works.snapshot.outside:
        notes.append(
            f"{works.snapshot.outside:,} of {works.snapshot.ok:,} works lie outside what the model knows: they are "
            f"tagged `{NONE_OF_THESE}`."
        )
    if works.rows.metadata is None:
        notes.append("The catalog has no metadata: titles, artists and dates are not known.")
    if missing:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(missing.items()))
        count = counted(sum(missing.values()), "picture")
        notes.append(f"{count} could not be read where the catalog says ({reasons}): their cells are grey.")
    return tuple(notes)
