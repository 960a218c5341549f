"""Files as archives really hold them: broken, oddly encoded, wrongly named; each says what reading it must give."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..errors import ErrorCode

if TYPE_CHECKING:
    from .plan import Record


@dataclass(frozen=True)
class Trait:
    """One way of being awkward: the bytes it makes of a picture, the file's suffix, what reading it gives."""

    encode: Callable[[Image.Image], bytes]
    suffix: str = ".jpg"
    expected: str = "ok"
    stem: str = "{id}"
    title: str = "{title}"


def jpeg(image: Image.Image) -> bytes:
    """The picture as an ordinary JPEG."""
    return _saved(image, "JPEG", quality=88)


def disguise(record: Record, rng: np.random.Generator) -> Record:
    """The record with a trait drawn from `TRAITS`, its file name and what is expected of it changed accordingly."""
    name = tuple(TRAITS)[int(rng.integers(len(TRAITS)))]
    trait = TRAITS[name]
    folder = record.file.rpartition("/")[0]
    file = f"{folder}/{trait.stem.format(id=record.record_id)}{trait.suffix}"
    return replace(record, file=file, title=trait.title.format(title=record.title), trait=name, expected=trait.expected)


def encode(image: Image.Image, trait: str) -> bytes:
    """The bytes of the file of a picture with this trait ("" for none)."""
    return TRAITS[trait].encode(image) if trait else jpeg(image)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _truncated(image: Image.Image) -> bytes:
    whole = jpeg(image)
    scan = whole.index(b"\xff\xda")
    return whole[: scan + (len(whole) - scan) * 2 // 5]


def _corrupt(image: Image.Image) -> bytes:
    whole = bytearray(_saved(image, "PNG"))
    start = whole.index(b"IDAT") + 4
    whole[start : start + 64] = bytes(range(200, 264 - 8)) + bytes(8)
    return bytes(whole)


def _sixteen_bit(image: Image.Image) -> bytes:
    gray = np.asarray(image.convert("L"), dtype=np.uint16) * 257
    return _saved(Image.fromarray(gray), "TIFF", compression="tiff_lzw")


def _rotated(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=88, exif=exif)


def _cutout(image: Image.Image) -> bytes:
    mask = Image.radial_gradient("L").point([255 if v < 128 else 0 for v in range(256)]).resize(image.size)
    cut = image.convert("RGBA")
    cut.putalpha(mask)
    return _saved(cut, "PNG")


TRAITS: Mapping[str, Trait] = {
    "truncated": Trait(_truncated, expected=ErrorCode.TRUNCATED),
    "empty": Trait(lambda _: b"", expected=ErrorCode.EMPTY),
    "corrupt": Trait(_corrupt, ".png", ErrorCode.CORRUPT),
    "not an image": Trait(
        lambda _: b"<!doctype html><title>404</title><p>The image server is being maintained.</p>\n",
        expected=ErrorCode.UNSUPPORTED,
    ),
    "wrong extension": Trait(lambda image: _saved(image, "PNG")),
    "16-bit TIFF": Trait(_sixteen_bit, ".tif"),
    "CMYK JPEG": Trait(lambda image: _saved(image.convert("CMYK"), "JPEG", quality=88)),
    "EXIF-rotated": Trait(_rotated),
    "PNG with alpha": Trait(_cutout, ".png"),
    "palette GIF": Trait(lambda image: _saved(image.quantize(64), "GIF"), ".gif"),
    "spaces in the name": Trait(jpeg, stem="scan of  {id} (recto)"),
    "accents in the name": Trait(jpeg, stem="Ölgemälde_été_絵_{id}"),
    "markup in the name": Trait(jpeg, stem="<script>alert('{id}')", title="<script>alert(1)</script> & <b>{title}</b>"),
    "formula in the name": Trait(jpeg, stem="=1+1 {id}", title='=HYPERLINK("http://example.org","{title}")'),
}
