"""Images are decoded once, into a file that outlives the training; what cannot be read is counted and named."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from artylyze.errors import StorageError
from artylyze.extraction.pixels import read_images
from artylyze.images import decode
from artylyze.workers.fetching import Source
from tests.small import paint

SIZE, COUNT = 32, 40


class Told:
    """Remembers how far it was."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def __call__(self, images: int, errors: int) -> None:
        self.steps.append((images, errors))

    @property
    def total(self) -> tuple[int, int]:
        images, errors = zip(*self.steps, strict=True)
        return sum(images), sum(errors)


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    found = []
    for number in range(COUNT):
        path = tmp_path / f"{number:02d}.png"
        paint(path, number)
        found.append(Source(str(path)))
    return found


def test_pixels_are_those_that_the_decoder_gives(sources: list[Source], tmp_path: Path) -> None:
    images = read_images(sources, SIZE, tmp_path / "cache")
    for source, pixels in zip(sources, images.pixels, strict=True):
        np.testing.assert_array_equal(pixels, decode(Path(source.uri).read_bytes(), SIZE).pixels)
    assert not images.failed
    assert not images.pixels.flags.writeable


def test_what_was_decoded_is_found_again_without_its_source(sources: list[Source], tmp_path: Path) -> None:
    first = read_images(sources, SIZE, tmp_path / "cache")
    for source in sources:
        Path(source.uri).unlink()
    told = Told()
    again = read_images(sources, SIZE, tmp_path / "cache", advance=told)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert told.steps == [(COUNT, 0)]


def test_another_size_or_another_version_of_an_image_is_decoded_anew(sources: list[Source], tmp_path: Path) -> None:
    for wanted, size in ((sources, SIZE), (sources, 16), ([*sources[:-1], Source(sources[-1].uri, size=1)], SIZE)):
        read_images(wanted, size, tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 3


def test_what_cannot_be_read_is_counted_and_named_and_leaves_its_neighbours_alone(
    sources: list[Source], tmp_path: Path
) -> None:
    Path(sources[3].uri).write_bytes(b"no image")
    Path(sources[8].uri).unlink()
    told = Told()
    images = read_images(sources, SIZE, tmp_path / "cache", advance=told)
    assert images.failed == {3: "unsupported", 8: "missing"}
    assert images.read.tolist() == [place for place in range(COUNT) if place not in (3, 8)]
    assert told.total == (COUNT, 2)


def test_only_a_failure_that_can_pass_is_tried_again(sources: list[Source], tmp_path: Path) -> None:
    Path(sources[3].uri).write_bytes(b"no image")
    Path(sources[8].uri).unlink()
    read_images(sources, SIZE, tmp_path / "cache")
    paint(Path(sources[3].uri), 3)
    paint(Path(sources[8].uri), 8)
    images = read_images(sources, SIZE, tmp_path / "cache")
    assert images.failed == {3: "unsupported"}
    np.testing.assert_array_equal(images.pixels[8], decode(Path(sources[8].uri).read_bytes(), SIZE).pixels)


def test_an_interrupted_reading_goes_on_where_it_stopped(sources: list[Source], tmp_path: Path) -> None:
    def interrupt(images: int, errors: int) -> None:
        if images:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_images(sources, SIZE, tmp_path / "cache", advance=interrupt)
    told = Told()
    images = read_images(sources, SIZE, tmp_path / "cache", advance=told)
    assert told.steps[0][0] > 0
    assert told.total == (COUNT, 0)
    assert len(images.read) == COUNT


def test_a_cache_that_was_not_written_whole_is_made_again(sources: list[Source], tmp_path: Path) -> None:
    read_images(sources, SIZE, tmp_path / "cache")
    (found,) = (tmp_path / "cache").glob("*.npy")
    found.write_bytes(found.read_bytes()[:1000])
    assert len(read_images(sources, SIZE, tmp_path / "cache").read) == COUNT


def test_of_several_that_want_the_same_images_one_decodes(sources: list[Source], tmp_path: Path) -> None:
    told = [Told(), Told()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: read_images(sources, SIZE, tmp_path / "cache", advance=one), told))
    assert [(COUNT, 0)] in [one.steps for one in told]
    assert [one.total for one in told] == [(COUNT, 0)] * 2


def test_a_disk_without_room_is_told_before_anything_is_decoded(sources: list[Source], tmp_path: Path) -> None:
    with files_of_at_most(COUNT * SIZE * SIZE), pytest.raises(StorageError, match="make room there"):
        read_images(sources, SIZE, tmp_path / "cache")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
