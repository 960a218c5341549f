"""Which images are still in, with which labels, and the one reason of each that is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from artylyze.collection.labels import Artists, Labels

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Units:
    """What a split never cuts.

    Attributes:
        what: "artist", "record" or "source".
        names: of all units, sorted.
        codes: (images,) the place of each image's unit among `names`, -1 for none.
        shown: names as people write them, of those that have another.
    """

    what: str
    names: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    shown: Mapping[str, str] = field(default_factory=dict)

    def number(self, rows: Mask) -> int:
        """Return how many units the images in `rows`, a mask, belong to."""
        return len(np.unique(self.codes[rows & (self.codes >= 0)]))


def artists_as_units(artists: Artists) -> Units:
    """Keep each artist on one side, with what is only near the artist."""
    shown = {key: name for key, name in zip(artists.own_keys(), artists.names, strict=True) if key and name}
    return Units("artist", artists.keys, artists.codes, shown)


def records_as_units(records: Sequence[str]) -> Units:
    """Keep each record on one side: recto and verso, two files of one work."""
    names, codes = np.unique(np.array(records, object), return_inverse=True)
    return Units("record", tuple(names), codes.astype(np.int64))


def sources_as_units(sources: Labels) -> Units:
    """Keep all photographs of one source on one side."""
    return Units("source", sources.terms, sources.codes)


@dataclass(frozen=True, eq=False)
class Selection:
    """The images that are still in.

    Attributes:
        labels: task -> labels, -1 for images that are out or whose class is not kept.
        units: what a split must not cut.
        reasons: why images are out, in the order in which they fell out.
        out: (images,) the place of each image's reason among `reasons`, -1 for those that are in.
    """

    labels: Mapping[str, Labels]
    units: Units
    reasons: tuple[str, ...]
    out: npt.NDArray[np.int64]

    @classmethod
    def of(cls, labels: Mapping[str, Labels], units: Units) -> Self:
        """Begin with all images."""
        return cls(labels, units, (), np.full(len(units.codes), -1))

    @property
    def kept(self) -> Mask:
        """(images,) which are in."""
        kept: Mask = self.out < 0
        return kept

    def drop(self, rows: Mask, reason: str) -> Self:
        """Return the selection without the images in `rows`; those that are out already keep their reason."""
        falling = rows & self.kept
        labels = {task: labels.without(falling) for task, labels in self.labels.items()}
        out = np.where(falling, len(self.reasons), self.out)
        return replace(self, labels=labels, reasons=(*self.reasons, reason), out=out)

    def drop_unlabelled(self, reason: str) -> Self:
        """Return the selection without the images that have no label for any task."""
        return self.drop(np.all([labels.codes < 0 for labels in self.labels.values()], axis=0), reason)

    def with_codes(self, codes: Mapping[str, npt.NDArray[np.int64]]) -> Self:
        """Return the selection with other labels for some tasks."""
        changed = {task: replace(self.labels[task], codes=new) for task, new in codes.items()}
        return replace(self, labels={**self.labels, **changed})

    def dropped(self) -> dict[str, int]:
        """Return how many images are out for each reason that holds for any, in the order in which they fell out."""
        counts = np.bincount(self.out[self.out >= 0], minlength=len(self.reasons)).tolist()
        return {reason: count for reason, count in zip(self.reasons, counts, strict=True) if count}
