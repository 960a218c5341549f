"""Where the time of a run's workers goes: on fetching, decoding, inference and committing, and on waiting."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic

Seconds = dict[str, float]
"""By stage: `fetch` is the time in which nothing is decoded because no image is there yet, `other` what is not measured
apart, `idle` the time without a shard."""


class Clock:
    """Measures one worker, shard after shard, from its start on.

    Args:
        rest: the stage that gets what is not measured apart.
    """

    def __init__(self, rest: str = "other") -> None:
        self._rest = rest
        self._ended = monotonic()

    @contextmanager
    def shard(self) -> Iterator[Seconds]:
        """Measure the body; it adds what it measures itself to the seconds, which are complete after it."""
        began = monotonic()
        spent: Seconds = defaultdict(float)
        yield spent
        idle, self._ended = began - self._ended, monotonic()
        spent[self._rest] += self._ended - began - sum(spent.values())
        spent["idle"] += idle


@contextmanager
def timed(spent: Seconds, stage: str) -> Iterator[None]:
    """Add the time that the body takes to a stage."""
    began = monotonic()
    yield
    spent[stage] = spent.get(stage, 0.0) + monotonic() - began


class Spent:
    """The seconds of all workers of a run, by kind of worker and stage, and the images that they read."""

    def __init__(self) -> None:
        self.seconds: dict[str, Seconds] = {}
        self.images = 0
        self._lock = threading.Lock()

    def add(self, kind: str, seconds: Mapping[str, float], images: int = 0) -> None:
        """Add what a worker spent on a shard. Any thread may."""
        with self._lock:
            total = self.seconds.setdefault(kind, defaultdict(float))
            for stage, spent in seconds.items():
                total[stage] += spent
            self.images += images

    def as_dict(self) -> dict[str, dict[str, dict[str, float]]]:
        """By kind and stage: seconds, share of the kind's time, and images/s of one worker that does only that."""
        return {
            kind: {
                stage: {
                    "seconds": round(spent, 3),
                    "share": round(spent / max(1e-9, sum(stages.values())), 4),
                    "images_per_second": round(self.images / spent, 2) if spent > 0 and stage != "idle" else 0.0,
                }
                for stage, spent in sorted(stages.items(), key=lambda one: -one[1])
            }
            for kind, stages in self.seconds.items()
        }


def describe(spent: Spent) -> str:
    """Say where the workers' time went, and what one worker would do if it did nothing but one stage."""
    kinds = [
        f"{kind}: "
        + ", ".join(
            _describe_stage(stage, figures["share"], figures["images_per_second"])
            for stage, figures in stages.items()
            if figures["share"] >= 0.01
        )
        for kind, stages in spent.as_dict().items()
    ]
    return f"Time of the {'; '.join(kinds)}. Rates are those of one worker that does only that stage."


def _describe_stage(stage: str, share: float, images_per_second: float) -> str:
    rate = f"{images_per_second:,.0f}" if images_per_second >= 10 else f"{images_per_second:.2g}"
    return f"{stage} {share:.0%}" + (f" ({rate} images/s)" if images_per_second else "")
