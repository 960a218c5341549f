"""The report's part on clusters: how many, what each holds, and what runs through one painting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from artylyze.clustering.choice import describe
from artylyze.clustering.store import read_responsibilities
from artylyze.drawing.thumbnails import Thumbnail
from artylyze.profiling.influences import THRESHOLD, Influences, check, of_record
from artylyze.profiling.profiles import Distribution, Profile
from artylyze.profiling.profiling import Profiled, profiled, read_pictures
from artylyze.profiling.works import Works
from artylyze.reporting.content import (
    Cluster,
    Clustering,
    Counts,
    Example,
    Figures,
    Row,
    Work,
    facts,
    figure,
    picture_of,
    plot,
)

_TYPICAL, _MARGINAL = 6, 2
_TERMS = 6  # of a distribution
_CAPTION = (
    "Clusters of the mixture that run through it, numbered apart from those of KMeans: their responsibility, from 5% on"
)


def clustering(found: Profiled, record: str | None, read: int) -> Clustering:
    """Describe clusters that were profiled, and what runs through `record` (None: through the most mixed work).

    `read` images of the catalog could be read.

    Raises InputError for a record that is not among them, UsageError for one where no mixture tells of influences.
    """
    if record is not None:
        check(found.clusters, THRESHOLD)
    works, run = found.works, found.clusters.run
    shown = [row for one in found.profiles for row in (*one.typical[:_TYPICAL], *one.marginal[:_MARGINAL])]
    pictures = read_pictures(works, shown)
    example = None
    if found.clusters.mixture is not None and works.table.num_rows > 1:
        chosen = record or _most_mixed(found.clusters.folder, works)
        example = _example(of_record(profiled(found.clusters, works, "gmm"), chosen, THRESHOLD))
    return Clustering(
        facts(
            "The clustering",
            [
                ("clusters", found.clusters.folder),
                ("shown below, of", found.algorithm),
                ("features", run.get("method")),
                ("images", run.get("rows")),
                ("left out", run.get("left_out") or None),
                ("images of the catalog in no cluster", max(0, read - works.table.num_rows) or None),
                ("random weights: not to be ranked", run.get("random_weights") or None),
                *((name, value) for name, value in run.get("settings", {}).items()),
                *(("how firm it is", sentence) for sentence in describe(found.clusters.scores)),
                *((name, _score(value)) for name, value in found.clusters.scores.get("fitted", {}).items() if value),
            ],
        ),
        _scores(found.clusters.scores),
        plot(
            found.clusters.folder,
            "elbow.png",
            "How the number of clusters was chosen: scores of each k, the chosen one marked",
        ),
        found.note,
        tuple(_cluster(one, works, pictures) for one in found.profiles),
        example,
    )


def _cluster(one: Profile, works: Works, pictures: Mapping[int, Thumbnail]) -> Cluster:
    return Cluster(
        f"Cluster {one.cluster}",
        f"{one.images:,} images, {one.share:.1%} of all",
        tuple(
            f"{mark.column}: {mark.share.term}, {mark.share.share:.0%} here, x {mark.share.lift:.1f}"
            for mark in one.marks
        ),
        tuple(_work(works, row, pictures[row]) for row in one.typical[:_TYPICAL]),
        tuple(_work(works, row, pictures[row]) for row in one.marginal[:_MARGINAL]),
        tuple(_counts(one, each) for each in one.distributions),
    )


def _counts(one: Profile, each: Distribution) -> Counts:
    lifts = ((term, "" if term.lift_shown is None else f"x {term.lift:.1f}") for term in each.terms[:_TERMS])
    rows = [Row(term.term, term.images, term.share, lift) for term, lift in lifts]
    images = each.images - sum(row.count for row in rows)
    terms = len(each.terms) - len(rows) + each.other_terms
    if terms:
        rows.append(Row(f"{terms:,} other terms", images, images / each.images))
    return Counts(
        f"{each.column} in cluster {one.cluster} ({each.images:,} of {one.images:,} have one)",
        "term",
        "lift",
        tuple(rows),
    )


def _work(works: Works, row: int, thumbnail: Thumbnail, *lines: str) -> Work:
    record = works.table.column("record_id")[row].as_py()
    title, artist = works.described.titles[row] or record, works.described.artists[row]
    caption = ", ".join(one for one in (title, artist, thumbnail.why) if one)
    return Work(picture_of(thumbnail, caption), title, (*([artist] if artist else []), *lines))


def _scores(scores: Mapping[str, Any]) -> Figures | None:
    """The scores of each k as a table; what else scores.json holds is left to it."""
    by_k = scores.get("k") if isinstance(scores.get("k"), Mapping) else scores
    rows = {k: one for k, one in (by_k or {}).items() if str(k).isdigit() and isinstance(one, Mapping)}
    if not rows:
        return None
    names = list(dict.fromkeys(name for one in rows.values() for name in one))
    ordered = sorted(rows.items(), key=lambda item: int(item[0]))
    chosen = str(scores.get("chosen", ""))
    cells = tuple(
        (f"{k} (chosen)" if str(k) == chosen else str(k), *(_score(one.get(name)) for name in names))
        for k, one in ordered
    )
    return Figures("Scores of each number of clusters", ("k", *(name.replace("_", " ") for name in names)), cells)


def _score(value: Any) -> str:
    """A score as text: a number, or a value with the interval of its sample."""
    if not isinstance(value, Mapping):
        return figure(value)
    interval = "" if value.get("exact") else f" ({figure(value.get('low'))} to {figure(value.get('high'))})"
    return figure(value.get("value")) + interval


def _most_mixed(folder: str, works: Works) -> str:
    """The record of the image whose responsibilities have the greatest entropy."""
    most, mixed = -1.0, 0
    for rows, given in read_responsibilities(folder):
        shares = given.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.where(shares > 0, shares * np.log(shares), 0.0).sum(axis=1)
        if entropy.max() > most:
            most, mixed = float(entropy.max()), int(rows[entropy.argmax()])
    return str(works.table.column("record_id")[mixed].as_py())


def _example(found: Influences) -> Example:
    works, pictures = found.works, found.pictures
    rows = [
        Row(
            f"mixture cluster {one.profile.cluster}",
            one.profile.images,
            one.share,
            "; ".join(f"{mark.column}: {mark.share.term} (x {mark.share.lift:.1f})" for mark in one.profile.marks[:3]),
        )
        for one in found.found
    ]
    if found.rest > 0.0005:
        rows.append(Row("clusters below the threshold", 0, found.rest))
    currents = tuple(
        (
            f"Typical of mixture cluster {one.profile.cluster}",
            tuple(_work(works, row, pictures[row]) for row in one.typical),
        )
        for one in found.found
    )
    return Example(
        works.described.titles[found.rows[0]] or found.record,
        tuple(_work(works, row, pictures[row], f"record {found.record}") for row in found.rows),
        Counts(_CAPTION, "cluster", "marked by", tuple(rows)),
        currents,
        tuple(
            _work(works, row, pictures[row], f"correlation {how.correlation:.2f}")
            for row, how in found.duplicates.items()
        ),
        " ".join(filter(None, (found.alone, found.blind))) or None,
    )
