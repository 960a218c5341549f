"""A small model with two tasks, and collections of small pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artylyze.models.bundle import Bundle
from artylyze.models.folder import load


@pytest.fixture(scope="session")
def bundle(model: Path) -> Bundle:
    return load(model)


def picture(seed: int, size: tuple[int, int] = (96, 72)) -> bytes:
    """A JPEG that no other seed gives."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 10, size[0] // 10, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def fill(folder: Path, count: int, start: int = 0) -> Path:
    """Write pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        (folder / f"{number:04d}.jpg").write_bytes(picture(number))
    return folder


@pytest.fixture
def collection(tmp_path: Path) -> Callable[[int], Path]:
    return lambda count: fill(tmp_path / "images", count)


class Quiet:
    """A watcher that keeps what it hears."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.rows = self.done = self.errors = 0
        self.advanced: list[int] = []

    def say(self, message: str) -> None:
        self.messages.append(message)

    def start(self, rows: int, done: int, what: str) -> None:  # noqa: ARG002 - the interface
        self.rows, self.done = rows, done

    def advance(self, rows: int, errors: int) -> None:
        self.advanced.append(rows)
        self.errors += errors


@pytest.fixture
def watcher() -> Quiet:
    return Quiet()
