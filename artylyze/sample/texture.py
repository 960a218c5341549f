"""Surfaces that many pictures share, made once per process: brush marks, grain, cracks, halftone.

Each is a square sheet from which every picture takes a piece at random; `k` is the picture's scale, 1 at 480 pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .canvas import Palette

_SIDE = 800  # of a sheet at scale 1: no picture of scale 1 is longer
_SCALES = tuple(2 ** (n / 2) for n in range(-8, 5))

Array = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Work:
    """A drawn picture that is to be treated: `k` is its scale."""

    image: Image.Image
    palette: Palette
    rng: np.random.Generator
    k: float

    def u(self, low: float, high: float) -> float:
        """A random number between `low` and `high`."""
        return low + (high - low) * float(self.rng.random())


@dataclass(frozen=True)
class Marks:
    """Brush marks that cover a sheet: `labels[y, x]` is the mark on top, `centres` their (y, x), `relief` their paint.

    Label 0 is bare ground. `relief` is a picture in L, 128 where the surface is level.
    """

    labels: Array
    centres: Array
    relief: Image.Image


def scale_of(width: int, height: int) -> float:
    """The scale of a picture: the smallest whose sheets it fits into and whose marks suit its shorter side."""
    wanted = max(min(width, height) / 480, max(width, height) / _SIDE)
    return next((s for s in _SCALES if s >= wanted * 0.999), _SCALES[-1])


def grained(image: Image.Image, kind: str, work: Work) -> Image.Image:
    """The picture with the relief of a ground (see `grain`)."""
    return ImageChops.add(image, piece(grain(kind, work.k), image.size, work.rng), 1, -128)


def piece(sheet: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A piece of a sheet, from a random place."""
    x, y = place(sheet.size, size, rng)
    return sheet.crop((x, y, x + size[0], y + size[1]))


def place(sheet: tuple[int, int], size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """Left and top of a random piece of `size`; sheets are large enough, see `scale_of`."""
    a, b = rng.random(2)
    return int(a * max(0, sheet[0] - size[0])), int(b * max(0, sheet[1] - size[1]))


def strokes(image: Image.Image, marks: Marks, rng: np.random.Generator, jitter: float, hue: float) -> Image.Image:
    """Repaint a picture with marks, each of the colour under its centre, off by `jitter` in value and `hue` in colour.

    Bare ground keeps the picture.
    """
    width, height = image.size
    left, top = place((marks.labels.shape[1], marks.labels.shape[0]), image.size, rng)
    pixels = np.asarray(image)
    ys = np.clip(marks.centres[:, 0] - top, 0, height - 1)
    xs = np.clip(marks.centres[:, 1] - left, 0, width - 1)
    colors = pixels[ys, xs].astype(np.float32)
    count = len(colors)
    colors += rng.standard_normal((count, 1), dtype=np.float32) * jitter
    colors += rng.standard_normal((count, 3), dtype=np.float32) * hue
    painted = gather(colors, marks.labels[top : top + height, left : left + width])
    relief = marks.relief.crop((left, top, left + width, top + height))
    painted = ImageChops.add(painted, Image.merge("RGB", (relief, relief, relief)), 1, -128)
    return _over_ground(image, painted, marks.labels[top : top + height, left : left + width])


def gather(colors: npt.NDArray[np.float32], labels: npt.NDArray[np.integer]) -> Image.Image:
    """The picture whose pixel (y, x) has the colour `colors[labels[y, x]]`."""
    table = np.full((len(colors), 4), 255, dtype=np.uint8)
    table[:, :3] = np.clip(colors, 0, 255)
    packed = table.view(np.uint32)[:, 0].take(labels)
    return Image.frombuffer("RGBX", (labels.shape[1], labels.shape[0]), packed.tobytes(), "raw", "RGBX", 0, 1).convert(
        "RGB"
    )


def _over_ground(image: Image.Image, painted: Image.Image, labels: Array) -> Image.Image:
    bare = labels == 0
    if not bare.any():
        return painted
    painted.paste(image, (0, 0), Image.fromarray((bare * 255).astype(np.uint8)))
    return painted


def blur(image: Image.Image, radius: float) -> Image.Image:
    """A wide soft blur, made small and enlarged."""
    small = image.reduce(4) if min(image.size) >= 32 else image
    return small.filter(ImageFilter.BoxBlur(radius)).resize(image.size, Image.Resampling.BILINEAR)


def gains(r: float, g: float, b: float) -> list[int]:
    """A table for `Image.point` that multiplies the three bands."""
    return [min(255, round(v * gain)) for gain in (r, g, b) for v in range(256)]


@lru_cache(maxsize=12)
def marks(kind: str, k: float) -> Marks:
    """Brush marks: `dab` short and broken, `dot` round, `swirl` long and curved, `broad` of a wide brush."""
    side = round(_SIDE * k)
    rng = np.random.default_rng([ord(ch) for ch in kind])
    sheet = Image.new("I", (side, side), 0)
    draw = ImageDraw.Draw(sheet)
    step = {"dab": 6.5, "dot": 5.4, "swirl": 7.5, "broad": 62.0}[kind] * k
    cells = math.ceil(side / step)
    layers = {"dab": 2, "dot": 1, "swirl": 2, "broad": 2}[kind]
    total = layers * cells * cells
    order = rng.permutation(total)
    jitter = rng.random((total, 6))
    centres = np.zeros((total + 1, 2), np.int32)
    for label, cell in enumerate(order.tolist(), start=1):
        r = jitter[cell]
        cell %= cells * cells
        x, y = (cell % cells + r[0]) * step, (cell // cells + r[1]) * step
        centres[label] = (y, x)
        _mark(draw, kind, x, y, step, r, label, side)
    labels = np.array(sheet, dtype=np.int32)
    return Marks(labels, centres, _relief(labels, rng, total, k))


def _mark(
    draw: ImageDraw.ImageDraw,
    kind: str,
    x: float,
    y: float,
    step: float,
    r: npt.NDArray[np.float64],
    label: int,
    side: int,
) -> None:
    if kind == "dot":
        q = step * (0.42 + 0.16 * r[2])
        draw.ellipse((x - q, y - q, x + q, y + q), fill=label)
        return
    if kind == "dab":
        angle, length, width = (r[2] - 0.5) * 1.1 + 0.25, step * (1.1 + r[3]), step * (0.75 + 0.4 * r[4])
        bend = 0.0
    elif kind == "swirl":
        angle = 1.2 * math.sin(x / side * 9) + 1.2 * math.cos(y / side * 8) + (r[2] - 0.5) * 0.5
        length, width, bend = step * (1.6 + 1.4 * r[3]), step * (0.6 + 0.4 * r[4]), (r[5] - 0.5) * 0.8
    else:
        angle, length, width, bend = (r[2] - 0.5) * 3.1, step * (1.0 + r[3]), step * (0.6 + 0.5 * r[4]), r[5] - 0.5
    dx, dy = math.cos(angle) * length / 2, math.sin(angle) * length / 2
    line = [(x - dx, y - dy), (x - dy * bend, y + dx * bend), (x + dx, y + dy)]
    draw.line(line, fill=label, width=max(1, round(width)), joint="curve")
    for px, py in (line[0], line[2]):
        q = width * 0.42
        draw.ellipse((px - q, py - q, px + q, py + q), fill=label)


def _relief(labels: Array, rng: np.random.Generator, total: int, k: float) -> Image.Image:
    heights = rng.integers(98, 158, total + 1).astype(np.uint8)
    surface = Image.fromarray(heights[labels]).filter(ImageFilter.BoxBlur(0.6 * k))
    lit = ImageChops.subtract(surface, ImageChops.offset(surface, max(1, round(1.2 * k))), 2.4, 128)
    return lit.filter(ImageFilter.BoxBlur(0.4 * k))


@lru_cache(maxsize=6)
def grain(kind: str, k: float) -> Image.Image:
    """Fine relief in RGB about 128: `weave` of a canvas, `paper` with fibres, `grit` of a ground."""
    side = round(_SIDE * k)
    rng = np.random.default_rng([ord(ch) for ch in kind])
    noise = rng.standard_normal((side, side), dtype=np.float32)
    t = np.arange(side, dtype=np.float32) * (2 * np.pi / (4.2 * max(k, 0.5)))
    if kind == "weave":
        level = 128 + 2.6 * np.sin(t)[None] * np.sin(t * 0.97)[:, None] + 2.2 * noise
    elif kind == "paper":
        soft = Image.fromarray(np.clip(128 + 60 * noise, 0, 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(2 * k))
        level = np.asarray(soft, dtype=np.float32) * 0.3 + 89.6 + 1.5 * noise
    else:
        level = 128 + 4.5 * noise
    flat = Image.fromarray(np.clip(level, 0, 255).astype(np.uint8))
    return Image.merge("RGB", (flat, flat, flat))


@lru_cache(maxsize=3)
def cracks(k: float) -> Image.Image:
    """Craquelure to multiply with, in RGB: white, with fine dark lines between small irregular fields."""
    side = round(_SIDE * k)
    rng = np.random.default_rng(17)
    step = 30 * k
    cells = math.ceil(side / step) + 1
    px = (np.arange(cells)[None] + rng.random((cells, cells)) * 0.9) * step - step / 2
    py = (np.arange(cells)[:, None] + rng.random((cells, cells)) * 0.9) * step - step / 2
    image = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(image)
    for j in range(cells):
        for i in range(cells):
            for jj, ii in ((j, i + 1), (j + 1, i)):
                if jj < cells and ii < cells and rng.random() < 0.8:
                    a, b = (px[j, i], py[j, i]), (px[jj, ii], py[jj, ii])
                    bow = rng.standard_normal(2) * step * 0.12
                    mid = ((a[0] + b[0]) / 2 + bow[0], (a[1] + b[1]) / 2 + bow[1])
                    draw.line([a, mid, b], fill=int(rng.integers(95, 175)), width=max(1, round(0.9 * k)))
    return Image.merge("RGB", (image, image, image))


@lru_cache(maxsize=3)
def halftone(k: float) -> Image.Image:
    """A screen of dots at 45 degrees in L: a pixel is inked where it is brighter than the picture."""
    side = round(_SIDE * k)
    t = np.arange(side, dtype=np.float32) * (2 * np.pi / (9.5 * max(k, 0.45)))
    u, v = (t[None] + t[:, None]) * 0.7071, (t[None] - t[:, None]) * 0.7071
    return Image.fromarray((127.5 + 63.7 * (np.cos(u) + np.cos(v))).clip(0, 255).astype(np.uint8))


@lru_cache(maxsize=1)
def spot() -> Image.Image:
    """A round fall of light in L, 255 at the centre, soft to 0 at the rim."""
    y, x = np.mgrid[-1:1:160j, -1:1:160j]
    r = np.clip(1 - np.sqrt(x * x + y * y), 0, 1)
    return Image.fromarray((255 * (r * r * (3 - 2 * r)) ** 0.8).astype(np.uint8))
