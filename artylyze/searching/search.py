"""Searching a catalog: by likeness to a work or an image, by words, by colours, among the rows of a condition.

Each of likeness, words and colours ranks the rows. Where several are given, ranks are fused (Cormack, Clarke and
Buettcher, "Reciprocal Rank Fusion", 2009): a row counts 1 / (60 + rank) in each, since a cosine, a share of words and a
share of colours have no common measure. `where` leaves rows out, and so do words that nothing in a row matches. Where
the model of a catalog has a text tower, words rank images too, by the cosine of text and image; such cosines are small
and good for ranks alone, so they leave nothing out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.catalog.snapshot import Snapshot, read_snapshot
from artylyze.collection.known_columns import ARTIST, TITLE
from artylyze.errors import InputError, UsageError
from artylyze.progress import Watcher
from artylyze.searching import rows as catalog_rows
from artylyze.searching.colors import closeness, no_palettes, palettes, parse_color
from artylyze.searching.exact import Embeddings
from artylyze.searching.index import Index, nearest, open_index, scores_of
from artylyze.searching.light import as_numpy, numbers, texts
from artylyze.searching.words import Spellings, Words, fold, index_words, words_of
from artylyze.storage import is_url

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANDIDATES = 32
"""Rows nearest by the index that are compared exactly, at least: each may lie in a part of its own, to be read."""

PER_ROW = 4
"""Such rows for each one that is asked for. Of the 10 nearest of 30,000 embeddings, 0.996 were among the first 30 by
the index and all among the first 64; of the 20 nearest, 0.991 among the first 64."""

FEW = 64
"""Rows that are left out up to which all are scanned."""

FUSED = 60
"""Added to each rank before ranks are fused; the authors' choice, which nobody has found to matter much."""


@dataclass(frozen=True)
class SearchRequest:
    """What is looked for.

    Attributes:
        like: a record or image of the catalog, or the file or address of an image.
        text: words.
        color: colours, each written `#rrggbb`.
        where: a condition in DuckDB's SQL.
        k: number of rows.
        model: of an image that is not in the catalog; None looks for the catalog's.
    """

    like: str | None = None
    text: str | None = None
    color: tuple[str, ...] = ()
    where: str | None = None
    k: int = 20
    model: str | None = None

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError("`k` must be at least 1.")
        if self.like is None and self.text is None and not self.color and self.where is None:
            raise UsageError("Say what to look for: `like`, `text`, `color` or `where`, or several of them.")
        if self.text is not None and not words_of(self.text):
            raise UsageError("`text` has no words.")
        if self.model is not None and self.like is None:
            raise UsageError("`model` embeds the image of `like`: give that too.")
        for color in self.color:
            parse_color(color)


@dataclass(frozen=True, eq=False)
class Hits:
    """The rows that a search returns, the best first.

    Attributes:
        request: what was looked for.
        searched: number of rows that the conditions let through.
        table: columns of the catalog without the embedding, preceded by `rank` (from 1), and `likeness` (a cosine),
            `text` (0 to 1), `text_likeness` (the cosine of text and image, -inf without an embedding) and `color` (0 to
            1) as far as they were asked for.
        titles, artists: of each row, None where the catalog has none.
    """

    request: SearchRequest
    searched: int
    table: pa.Table
    titles: tuple[str | None, ...]
    artists: tuple[str | None, ...]

    @property
    def scores(self) -> list[str]:
        """Names of the columns of scores that there are."""
        return [name for name in self.table.column_names[1 : 1 + len(SCORES)] if name in SCORES]


SCORES = ("likeness", "text", "text_likeness", "color")
"""Columns of scores, in their order."""


@dataclass
class Searcher:
    """A catalog that is searched, several times perhaps: what searches need of it is read once and kept.

    Attributes:
        catalog: its address.
        snapshot: of it.
        watcher: receives the progress of an index that is made.
    """

    catalog: str
    snapshot: Snapshot
    watcher: Watcher | None = None

    @classmethod
    def open(cls, catalog: str, watcher: Watcher | None = None) -> Searcher:
        """Open a catalog; raise InputError if there is none."""
        return cls(catalog, read_snapshot(catalog), watcher)

    def search(self, request: SearchRequest) -> Hits:
        """Return the k best rows.

        Raises:
            InputError: for a record or image that is not there, an image or a model that cannot be used, a condition
                that DuckDB rejects, or colours in a catalog that has none.
            UsageError: for a colour that is not one.
        """
        allowed = np.ones(self.snapshot.rows, bool)
        if request.where is not None:
            allowed &= catalog_rows.holding(self.catalog, self.snapshot, self._names.column("image_id"), request.where)
        scores: dict[str, NDArray[np.float32]] = {}
        if request.text is not None:
            scores["text"] = self.words.match(request.text)
            if self._encoder is None:
                allowed &= scores["text"] > 0
            else:
                scores["text_likeness"] = self._likeness(self._encoder([request.text]), allowed)
                allowed &= (scores["text"] > 0) | np.isfinite(scores["text_likeness"])
        if request.color:
            lab, shares = self._palettes
            scores["color"] = closeness(lab, shares, [parse_color(color) for color in request.color])
            allowed &= shares.any(axis=1)
        if request.like is not None:
            queries, own = self._queries(request.like, request.model)
            allowed[own] = False
            if not scores:
                return self._most_alike(request, queries, allowed)
            scores["likeness"] = self._likeness(queries, allowed)
            allowed &= np.isfinite(scores["likeness"])
        order = _fused(scores, allowed)[: request.k]
        ranked = {name: values[order] for name, values in scores.items()}
        return self._hits(request, order, ranked, int(allowed.sum()))

    @cached_property
    def index(self) -> Index:
        """The index of the embeddings, made or mended if need be."""
        return open_index(self.catalog, self.snapshot, watcher=self.watcher)

    @cached_property
    def words(self) -> Words:
        """The words that the collection says of its works."""
        return index_words(catalog_rows.texts(self.catalog, self.snapshot))

    @cached_property
    def _encoder(self) -> Callable[[list[str]], NDArray[np.float32]] | None:
        """The text tower of the catalog's model, where it has one that can be loaded here."""
        reference = self.snapshot.settings.get("text_encoder")
        if not isinstance(reference, str):
            return None
        from artylyze.models.open_clip import text_encoder  # needed by few searches

        try:
            return text_encoder(reference)
        except InputError as error:
            if self.watcher is not None:
                self.watcher.say(f"Words are compared with texts alone, not with images: {error}")
            return None

    @cached_property
    def _rows(self) -> catalog_rows.Rows:
        return catalog_rows.Rows(self.catalog, self.snapshot)

    @cached_property
    def _names(self) -> pa.Table:
        """The columns image_id, record_id and uri of all rows."""
        names = ["image_id", "record_id", "uri"]
        tables = [table for _, table in catalog_rows.pieces(self.catalog, self.snapshot, names)]
        return pa.concat_tables(tables).combine_chunks()

    @cached_property
    def _palettes(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The dominant colours of all rows; none in parts that an earlier version wrote."""
        tables = catalog_rows.pieces(self.catalog, self.snapshot, ["image_id", "colors"])
        columns = [table.column("colors") if "colors" in table.column_names else None for _, table in tables]
        if all(column is None for column in columns):
            raise InputError(
                f"{self.catalog} has no column `colors`: it was made by an earlier version. Tag the collection again "
                "(`artylyze tag --replace`)."
            )
        rows = [part.rows for part in self.snapshot.parts]
        read = [
            no_palettes(count) if column is None else palettes(column)
            for count, column in zip(rows, columns, strict=True)
        ]
        return np.concatenate([lab for lab, _ in read]), np.concatenate([shares for _, shares in read])

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        """The number of each row of the index among all rows."""
        return np.asarray(catalog_rows.starts_of(self.snapshot)[self.index.part] + self.index.row)

    def _queries(self, like: str, model: str | None) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the embeddings that are looked for, float32 (m, d), and the rows of the catalog that they are of."""
        own = self._rows_named(like)
        if len(own):
            chosen = np.flatnonzero(np.isin(self._places, own))
            if not len(chosen):
                raise InputError(
                    f"{like!r} could not be read when {self.catalog} was made, so it cannot be compared: "
                    f"`artylyze failures {self.catalog}` says why."
                )
            return self._exact.read(chosen), own
        if is_url(like) or Path(like).is_file():
            from artylyze.searching.models import catalog_model, embed_image  # needed by few searches

            return embed_image(like, catalog_model(self.catalog, self.snapshot, model)), own
        raise InputError(
            f"{self.catalog} has no record and no image {like!r}, and there is no such file.{self._alike(like)}"
        )

    def _rows_named(self, name: str) -> NDArray[np.int64]:
        """Return the rows of a record, or that of an image by its id or address."""
        for column in ("image_id", "record_id", "uri"):
            held = pc.is_in(self._names.column(column), value_set=texts([name]))
            rows = as_numpy(pc.indices_nonzero(held)).astype(np.int64)
            if len(rows):
                return rows
        return np.empty(0, np.int64)

    def _alike(self, name: str) -> str:
        ids = pc.unique(
            pa.chunked_array([*self._names.column("record_id").chunks, *self._names.column("image_id").chunks])
        )
        near = Spellings(fold(ids).to_pylist()).nearest(fold(texts([name]))[0].as_py())
        named = [repr(ids[number].as_py()) for number in near]
        if not named:
            return ""
        return f" Did you mean {named[0]}?" if len(named) == 1 else f" The nearest are {', '.join(named)}."

    @cached_property
    def _exact(self) -> Embeddings:
        return Embeddings(self.index)

    def _most_alike(self, request: SearchRequest, queries: NDArray[np.float32], allowed: NDArray[np.bool_]) -> Hits:
        """Return the rows most like one of some embeddings: the index proposes, their embeddings decide."""
        index, places = self.index, self._places
        some, count = allowed[places], max(CANDIDATES, PER_ROW * request.k)
        out = len(some) - int(some.sum())
        few = out <= FEW  # faster left out afterwards
        found, _ = nearest(index, index.project(queries), count + out * few, allowed=None if few else some)
        best = [row[(row >= 0) & some[row]][:count] for row in found]
        chosen = np.unique(np.concatenate(best))
        cosines = self._exact.cosines(queries, chosen).max(axis=0)
        order = np.lexsort((places[chosen], -cosines))[: request.k]
        return self._hits(request, places[chosen][order], {"likeness": cosines[order]}, int(some.sum()))

    def _likeness(self, queries: NDArray[np.float32], allowed: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the cosine of every row to the nearest of some embeddings, float32 (n,); exactly for the best.

        It is -inf for a row without an embedding.
        """
        index, places = self.index, self._places
        values = scores_of(index, index.project(queries)).max(axis=0, initial=-np.inf)
        held = np.flatnonzero(allowed[places])
        best = held[np.argsort(-values[held], kind="stable")[: 2 * CANDIDATES]]
        values[best] = self._exact.cosines(queries, best).max(axis=0, initial=-np.inf)
        scores = np.full(self.snapshot.rows, -np.inf, np.float32)
        scores[places] = values
        return scores

    def _hits(
        self,
        request: SearchRequest,
        chosen: NDArray[np.int64],
        scores: Mapping[str, NDArray[np.float32]],
        searched: int,
    ) -> Hits:
        taken = self._rows.take(chosen)
        columns: dict[str, Any] = {"rank": numbers(np.arange(1, len(chosen) + 1, dtype=np.int32))}
        columns |= {name: numbers(scores[name]) for name in SCORES if name in scores}
        columns |= {name: taken.column(name) for name in taken.column_names}
        titles, artists = (tuple(catalog_rows.first_of(taken, names)) for names in (TITLE, ARTIST))
        table = pa.Table.from_arrays(list(columns.values()), list(columns))
        return Hits(request, searched, table, titles, artists)


def _fused(scores: Mapping[str, NDArray[np.float32]], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the allowed rows by their scores, the best first; several scores by the fusion of their ranks."""
    rows = np.flatnonzero(allowed)
    if not scores:
        return rows
    total = np.zeros(len(rows))
    for values in scores.values():
        ranks = 1 + np.searchsorted(np.sort(-values[rows]), -values[rows])  # equal scores have equal ranks
        total += 1 / (FUSED + ranks)
    return rows[np.argsort(-total, kind="stable")]
