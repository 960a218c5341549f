"""Files as archives really have them: broken, unusually encoded, wrongly named; with the expected result of reading."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from artylyze.errors import ErrorCode


@dataclass(frozen=True)
class Trait:
    """A kind of awkward file: its encoder, the expected result of reading, the file's name and the work's title."""

    encode: Callable[[Image.Image], bytes]
    expected: str = "ok"
    name: str = "{id}.jpg"
    title: str = "{title}"


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _jpeg(image: Image.Image, **options: object) -> bytes:
    return _saved(image, "JPEG", quality=88, **options)


def _truncated(image: Image.Image) -> bytes:
    whole = _jpeg(image)
    scan = whole.index(b"\xff\xda")
    return whole[: scan + (len(whole) - scan) * 2 // 5]


def _corrupt(image: Image.Image) -> bytes:
    whole = _saved(image, "PNG")
    start = whole.index(b"IDAT") + 4
    return whole[:start] + bytes(range(200, 256)) + bytes(8) + whole[start + 64 :]


def _sixteen_bit(image: Image.Image) -> bytes:
    return _saved(Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257), "TIFF", compression="tiff_lzw")


def _rotated(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _jpeg(image.transpose(Image.Transpose.ROTATE_90), exif=exif)


def _cutout(image: Image.Image) -> bytes:
    cut = image.convert("RGBA")
    cut.putalpha(Image.radial_gradient("L").point(lambda value: 255 * (value < 128)).resize(image.size))
    return _saved(cut, "PNG")


ORDINARY = Trait(_jpeg)
TRAITS: Mapping[str, Trait] = {
    "truncated": Trait(_truncated, ErrorCode.TRUNCATED),
    "empty": Trait(lambda _: b"", ErrorCode.EMPTY),
    "corrupt": Trait(_corrupt, ErrorCode.CORRUPT, "{id}.png"),
    "not an image": Trait(lambda _: b"<!doctype html><title>404</title>\n", ErrorCode.UNSUPPORTED),
    "wrong extension": Trait(lambda image: _saved(image, "PNG")),
    "16-bit TIFF": Trait(_sixteen_bit, name="{id}.tif"),
    "CMYK JPEG": Trait(lambda image: _jpeg(image.convert("CMYK"))),
    "EXIF-rotated": Trait(_rotated),
    "PNG with alpha": Trait(_cutout, name="{id}.png"),
    "palette GIF": Trait(lambda image: _saved(image.quantize(64), "GIF"), name="{id}.gif"),
    "spaces in the name": Trait(_jpeg, name="scan of  {id} (recto).jpg"),
    "accents in the name": Trait(_jpeg, name="Ölgemälde_été_絵_{id}.jpg"),
    "markup in the name": Trait(_jpeg, name="<script>alert('{id}').jpg", title="<script>alert(1)</script> & {title}"),
    "formula in the name": Trait(_jpeg, name="=1+1 {id}.jpg", title='=HYPERLINK("http://example.org","{title}")'),
}
