"""The facets of an explorer: columns of numbers of which each stands for a term, and the terms with their counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from artylyze.collection.known_columns import folded
from artylyze.exploring.works import Works
from artylyze.exploring.years import UNKNOWN, year_in
from artylyze.profiling.columns import DATE, Column, Described, describe
from artylyze.profiling.works import own_metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

INLINE_TERMS = 500
"""Terms of a facet up to which they stand in index.json; more have a file of their own."""


@dataclass(frozen=True, eq=False)
class Facet:
    """One facet of n works.

    Attributes:
        name: as people read it.
        kind: task, metadata, cluster, error, warning, review or decision.
        column: name of the column of numbers, safe as a file name.
        terms: the term of number k is `terms[k - 1]`.
        codes: unsigned integers (n,), 0 for none.
    """

    name: str
    kind: str
    column: str
    terms: tuple[str, ...]
    codes: NDArray[Any]

    def as_dict(self) -> dict[str, Any]:
        """Return what index.json says of it: terms are null where there are more than INLINE_TERMS."""
        counts = np.bincount(self.codes, minlength=len(self.terms) + 1)[1:]
        terms = list(self.terms) if len(self.terms) <= INLINE_TERMS else None
        return {
            "name": self.name,
            "kind": self.kind,
            "column": self.column,
            "terms": terms,
            "counts": [int(count) for count in counts],
        }


@dataclass(frozen=True, eq=False)
class FacetSet:
    """What the catalog says of n works, and how it sorts them.

    Attributes:
        facets: of the tasks, the metadata, the errors and the warnings.
        described: what the metadata say, with titles and artists.
        years: int16 (n,), UNKNOWN where none is known.
        dates: name of the metadata's column of dates, None if there is none.
        texts: names of the metadata's columns that are searched, besides title and artist.
    """

    facets: tuple[Facet, ...]
    described: Described
    years: NDArray[np.int16]
    dates: str | None
    texts: tuple[str, ...]


def facets_in(works: Works) -> FacetSet:
    """Find the facets of a catalog: its tasks, every metadata column that sorts works into kinds, and reading errors.

    A column in which nearly every work has a value of its own is none, nor is prose or a column of measures.
    """
    tables = own_metadata(works.rows)
    names = [name for table in tables for name in table.column_names]
    described = describe(tables, len(works), {}, None)
    taken = {name for task in works.tasks for name in (task.name, f"{task.name}_score", f"{task.name}_review")}
    facets = []
    for task in works.tasks:
        facets.append(Facet(task.name, "task", slug(task.name, set()), task.terms, task.codes))
        flag = f"{slug(task.name, set())}_review"
        facets.append(Facet(flag, "review", flag, ("flagged",), task.review))
    for column in described.columns:
        name = slug(f"meta_{column.name}", taken)
        taken.add(name)
        facets.append(_of_metadata(column, name))
    facets.append(Facet("error", "error", "status", works.errors, works.status))
    if works.warnings:
        codes = fitting(works.warned, len(works.warnings))
        facets.append(Facet("warnings", "warning", slug("warnings", taken), works.warnings, codes))
    dates = next((name for known in DATE for name in names if folded(name) == known), None)
    return FacetSet(tuple(facets), described, _years(works, dates), dates, tuple(names))


def fitting(codes: NDArray[Any], terms: int) -> NDArray[Any]:
    """Return codes from 0 to `terms` in the smallest unsigned type that holds them."""
    return codes.astype(np.uint8 if terms < 256 else np.uint16 if terms < 65_536 else np.uint32)


def slug(name: str, taken: set[str]) -> str:
    """Return a file name for a column's name, which may be anything, different from those that are taken."""
    base = re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")[:40] or "column"
    found, number = base, 2
    while found in taken:
        found, number = f"{base}_{number}", number + 1
    return found


def _of_metadata(column: Column, name: str) -> Facet:
    return Facet(column.name, "metadata", name, column.terms, fitting(column.codes + 1, len(column.terms)))


def _years(works: Works, dates: str | None) -> NDArray[np.int16]:
    if dates is None:
        return np.full(len(works), UNKNOWN, np.int16)
    coded = works.rows.field(dates).combine_chunks()
    if isinstance(coded, pa.ChunkedArray):
        coded = pa.concat_arrays(coded.chunks)
    years: Sequence[int] = [year_in(text) for text in coded.dictionary.to_pylist()]
    codes = coded.indices.fill_null(len(years)).to_numpy()
    of_works: NDArray[np.int16] = np.array([*years, UNKNOWN], np.int16)[codes]
    return of_works
