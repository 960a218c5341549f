"""Many small JPEGs, drawn in half a millisecond each: the same number and version, the same bytes.

The sample of `artylyze sample` takes some 70 ms for a picture that a person can look at; here only the count matters.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

SIDES = (64, 160)
"""Least and greatest side, pixels."""
GRID = 6
"""Colours a side, which are blown up to the whole image."""
PER_FOLDER = 1_000


def path_of(folder: Path, number: int) -> Path:
    """Where an image lies: a thousand in a folder, as scans do."""
    return folder / f"{number // PER_FOLDER:04d}" / f"{number:07d}.jpg"


def write_image(folder: Path, number: int, version: int = 0) -> None:
    """Draw one image; another version is another picture under the same name."""
    random = np.random.default_rng((number, version))
    width, height = (int(side) for side in random.integers(SIDES[0], SIDES[1] + 1, 2))
    colours = Image.fromarray(random.integers(0, 256, (GRID, GRID, 3), np.uint8))
    path = path_of(folder, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    colours.resize((width, height), Image.Resampling.BICUBIC).save(path, quality=80)


def write_images(folder: Path, count: int) -> None:
    """Draw images 0 to count - 1, on every core."""
    starts = range(0, count, PER_FOLDER)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(_write_folder, [folder] * len(starts), starts, [count] * len(starts)):
            pass


def _write_folder(folder: Path, start: int, count: int) -> None:
    for number in range(start, min(start + PER_FOLDER, count)):
        write_image(folder, number)


def change(folder: Path, numbers: list[int], cycle: int) -> tuple[list[int], int]:
    """Do to a collection what happens to one in a month: 1% redrawn, 0.1% gone, 0.1% new.

    Args:
        folder: of the images.
        numbers: of those that are there.
        cycle: how many times this happened before, plus one; it seeds the choice.

    Returns:
        The numbers that are there now, and how many images are to be read: redrawn or new.
    """
    few = max(1, len(numbers) // 1_000)
    chosen = np.random.default_rng(cycle).permutation(numbers)[: 11 * few].tolist()
    redrawn, gone = chosen[few:], set(chosen[:few])
    new = range(max(numbers) + 1, max(numbers) + 1 + few)
    for number in (*redrawn, *new):
        write_image(folder, number, version=cycle)
    for number in gone:
        path_of(folder, number).unlink()
    return [number for number in (*numbers, *new) if number not in gone], len(redrawn) + len(new)
