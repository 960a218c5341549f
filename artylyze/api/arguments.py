"""Arguments and results that the functions share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

StrPath: TypeAlias = str | os.PathLike[str]
"""A path or an address; also the output of another step, a `Catalog` or a `Model`."""


@dataclass(frozen=True)
class Output:
    """The output of a step. It can be passed to the next step as a path, and prints the text of the command.

    Attributes:
        path: Path or address of the file or folder.
        figures: What the command prints with `--json`.
        text: What the command prints without `--json`.
    """

    path: str
    figures: Mapping[str, Any] = field(repr=False)
    text: str = field(repr=False)

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.text


def optional(address: StrPath | None) -> str | None:
    """Return an address as text, or None."""
    return None if address is None else os.fspath(address)


def addresses(given: StrPath | Iterable[StrPath]) -> tuple[str, ...]:
    """Return one address or several as a tuple."""
    return (os.fspath(given),) if isinstance(given, str | os.PathLike) else tuple(os.fspath(path) for path in given)


def several(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return one text or several as a tuple."""
    return (given,) if isinstance(given, str) else tuple(given)


def names(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return names as a tuple, from a sequence or from one text with commas, as on a command line."""
    return tuple(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else tuple(given)
