"""Decoding no more pixels than a small square needs: drafts, wavelet levels; TIFF has its own module."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from PIL import Image

from artylyze.errors import ErrorCode, ImageError
from artylyze.images.jpeg2000 import load_level

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile
    from PIL.JpegImagePlugin import JpegImageFile

    from artylyze.images.colour import Box

PROGRESSIVE = 4
"""How many times the pixel limit a progressive JPEG may have in full: 6 bytes of coefficients each, held at once."""

QUARTER_TURNS = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange width and height."""

_TAG_ORIENTATION = 274
_ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF"})  # to Pillow the layers of a PSD are frames too


@dataclass(frozen=True, slots=True)
class Scaled:
    """A loaded image, perhaps of reduced size, and what it shows.

    `box` is the region of it (pixels) that is the whole picture, None: all; `orientation` is the EXIF orientation
    still to be applied; `width` and `height` are the full resolution as displayed, pixels; `profile` is ICC; `missing`
    is the share of the lines that the file lacks, at most, 0 to 1, None for a file that is whole; `pages` is the number
    of pictures in a file of pages, of which this is the first that it offers.
    """

    image: Image.Image
    box: Box | None
    orientation: int
    width: int
    height: int
    profile: bytes | None
    missing: float | None = None
    pages: int = 1
    animated: bool = False


def load_scaled(opened: ImageFile, data: bytes, need: int, max_pixels: int) -> Scaled:
    """Decode the image `opened` from `data`, with both sides at least `need` pixels where the file has them.

    Raises ImageError (too_large) before anything is decoded, and whatever Pillow raises.
    """
    check = functools.partial(check_size, max_pixels=max_pixels)
    image: Image.Image = opened
    box = None
    size = opened.size
    match opened.format:
        case "JPEG" | "MPO":
            box = _load_draft(cast("JpegImageFile", opened), need, max_pixels)
        case "JPEG2000":
            image = load_level(opened, data, need, check)
        case _:
            check(opened.size)
            opened.load()
    return scaled_of(opened, image, size, box)


def scaled_of(opened: Image.Image, image: Image.Image, size: tuple[int, int], box: Box | None = None) -> Scaled:
    """What `image` shows, as the file `opened` (and loaded) says; `size`, in pixels, is that of the full picture."""
    turn = _orientation(opened)  # after loading: in a PNG it may come behind the pixels
    width, height = reversed(size) if turn in QUARTER_TURNS else size
    profile = opened.info.get("icc_profile")
    return Scaled(image, box, turn, width, height, profile, animated=_is_animated(opened))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none, or none that can be read."""
    try:
        value = image.getexif().get(_TAG_ORIENTATION, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _is_animated(opened: Image.Image) -> bool:
    if opened.format not in _ANIMATED:
        return False
    try:
        return bool(getattr(opened, "is_animated", False))
    except Exception:  # the second frame is broken, which is no matter of the first
        return True


def check_page(page: int | None, pages: int) -> None:
    """Raise ImageError for a page, from 1, that a file does not have."""
    if (page or 1) > pages:
        raise ImageError(ErrorCode.CORRUPT, f"there is no page {page or 1}: the file has {pages}")


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Raise ImageError (too_large) for more pixels than may be decoded."""
    if size[0] * size[1] > max_pixels:
        detail = f"{size[0]} x {size[1]} pixels to decode, the limit is {max_pixels / 1e6:g} million"
        raise ImageError(ErrorCode.TOO_LARGE, detail)


def _load_draft(image: JpegImageFile, need: int, max_pixels: int) -> Box | None:
    if image.info.get("progressive"):
        check_size(image.size, PROGRESSIVE * max_pixels)
    drafted = image.draft(None, (need, need))
    check_size(image.size, max_pixels)
    image.load()
    return None if drafted is None else drafted[1]
