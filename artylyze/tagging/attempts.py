"""How often workers died over the same work, which Ray tries again for as long as it takes.

A lost node costs any number of tries within seconds, before Ray knows that it is lost: a bound on tries would end a run
that should go on. Counted here are deaths on nodes that are still alive. Only a process that was started in the place
of a dead one records its attempts, in the run's folder, so a run that loses nothing writes nothing.

This module knows a store and the ids of nodes; it knows neither Ray nor what the work is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from artylyze.errors import StorageError
from artylyze.storage import Store

MAX_DEATHS = 3
"""Recorded deaths over the same work, on nodes that are alive, after which it is not tried again. The first death is
not among them: nobody knew of it before."""


class Attempts:
    """The attempts of one worker process, beside those of the processes before it.

    Args:
        store: of the run.
        session: of the command that drives the run: what killed workers before it does not count.
        node: id of the node of this process.
        living_nodes: returns the ids of the nodes that are alive now.
        restarted: whether this process was started in the place of a dead one.
    """

    def __init__(
        self,
        store: Store,
        session: str,
        node: str,
        living_nodes: Callable[[], Collection[str]],
        *,
        restarted: bool,
    ) -> None:
        self._store = store
        self._session = session
        self._node = node
        self._living_nodes = living_nodes
        self._restarted = restarted

    @contextmanager
    def record(self, name: str, describe: Callable[[], str]) -> Iterator[None]:
        """Record an attempt at some work, and its end: an attempt without an end is a death.

        Args:
            name: of the work, a part of a key.
            describe: says what the work is, in words that begin a sentence.

        Raises:
            StorageError: instead of another attempt, once MAX_DEATHS of them ended in the death of a worker; or if
                the file that counts them is damaged.
        """
        if not self._restarted:
            yield
            return
        key = f"attempts/{self._session}/{name}.json"
        attempts = self._read(key)
        self._check(attempts, describe)
        attempt = {"node": self._node, "ended": False}
        self._store.put(key, json.dumps([*attempts, attempt]).encode())
        yield
        self._store.put(key, json.dumps([*attempts, attempt | {"ended": True}]).encode())

    def _read(self, key: str) -> list[dict[str, object]]:
        data = self._store.read(key)
        try:
            return [{"node": attempt["node"], "ended": attempt["ended"]} for attempt in json.loads(data or b"[]")]
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(
                f"{self._store.uri(key)} is damaged. It counts how often workers died: delete it, and the same command "
                "resumes."
            ) from error

    def _check(self, attempts: list[dict[str, object]], describe: Callable[[], str]) -> None:
        died_on = [attempt["node"] for attempt in attempts if not attempt["ended"]]
        if len(died_on) < MAX_DEATHS:
            return
        living = self._living_nodes()
        deaths = sum(node in living for node in died_on)
        if deaths >= MAX_DEATHS:
            raise StorageError(
                f"{describe()} killed its worker {deaths + 1} times, on machines that still run. Most often memory ran "
                "out: the same command resumes, with fewer `workers` or on machines with more memory. (A smaller "
                "`shard_size` needs less as well, but holds for a new catalog only.) Ray's logs tell more."
            )
