"""The tags of works as people have decided: their own terms in place of the model's, and a facet of who decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artylyze.exploring.facets import Facet, slug
from artylyze.exploring.reviews import as_dicts
from artylyze.exploring.works import Task, Works

KINDS = ("human", "rejected", "unsure")
"""Terms of a facet of decisions; a work without one has the model's tag."""

_KIND_OF = {"accept": 1, "correct": 1, "reject": 2, "unsure": 3}


def apply_decisions(works: Works, decisions: pa.Table) -> tuple[Works, list[Facet], list[dict[str, Any]]]:
    """Apply decisions, as `read_decisions` returns them, to the tags of works.

    A term that a person accepted or gave takes the place of the model's; a rejected one goes. A decision on an image
    that has changed since is passed over.

    Returns:
        The works, a facet for each task, and the decisions that count as JSON values, each with the row of its work.
    """
    listed = with_rows(works, decisions)
    there = [decision for decision in listed if decision["row"] is not None]
    current = _validators(works, [decision["row"] for decision in there])
    valid = [
        decision
        for decision, validator in zip(there, current, strict=True)
        if decision["validator"] is None or validator is None or decision["validator"] == validator
    ]
    tasks, facets = [], []
    for task in works.tasks:
        task_reviewed, kinds = _of_task(task, [decision for decision in valid if decision["task"] == task.name])
        tasks.append(task_reviewed)
        name = f"{slug(task.name, set())}_decision"
        facets.append(Facet(name, "decision", name, KINDS, kinds))
    return replace(works, tasks=tuple(tasks)), facets, valid


def with_rows(works: Works, decisions: pa.Table) -> list[dict[str, Any]]:
    """Return decisions as JSON values, each with the row of its work, null where the catalog has it no more."""
    rows = pc.index_in(decisions.column("image_id").combine_chunks(), value_set=works.ids).to_pylist()
    return [decision | {"row": row} for decision, row in zip(as_dicts(decisions), rows, strict=True)]


def _validators(works: Works, rows: Sequence[int]) -> list[str | None]:
    if not rows:
        return []
    validators: list[str | None] = works.rows.take(rows, ["validator"]).column("validator").to_pylist()
    return validators


def _of_task(task: Task, decisions: Sequence[dict[str, Any]]) -> tuple[Task, np.ndarray[Any, np.dtype[np.uint8]]]:
    kinds = np.zeros(len(task.codes), np.uint8)
    if not decisions:
        return task, kinds
    given: dict[int, str | None] = {}
    for decision in decisions:
        kinds[decision["row"]] = kind = _KIND_OF[decision["decision"]]
        if kind == 1:
            given[decision["row"]] = decision["term"] or decision["suggestion"]
        elif kind == 2:
            given[decision["row"]] = None
    terms = tuple(sorted({*task.terms, *(term for term in given.values() if term)}))
    place = {term: number for number, term in enumerate(terms, 1)}
    codes = np.array([0, *(place[term] for term in task.terms)], np.uint16)[task.codes]
    for row, term in given.items():
        codes[row] = place[term] if term else 0
    review = np.where(kinds > 0, 0, task.review).astype(np.uint8)
    return replace(task, terms=terms, codes=codes, review=review), kinds
