"""A canvas in centred units: filled shapes that are shaded as if rounded, lines, gradients and soft light.

A point is a complex number, x + iy, so that a shape moves by adding a number and turns or grows by multiplying by one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageOps

T = TypeVar("T")
Color = tuple[int, int, int]
Shape = npt.NDArray[np.complex128]  # (n,): the corners of a polygon or the points of a line
_HALO = Image.radial_gradient("L").point([round(200 * max(0, 1 - v / 181) ** 1.5) for v in range(256)])


def mix(a: Color, b: Color, t: float) -> Color:
    """Return the color a share `t` of the way from `a` to `b`."""
    return (round(a[0] + (b[0] - a[0]) * t), round(a[1] + (b[1] - a[1]) * t), round(a[2] + (b[2] - a[2]) * t))


@lru_cache(maxsize=256)
def points(text: str) -> Shape:
    """Return the points that are written as "x,y x,y", in hundredths of a unit."""
    return np.array([complex(*map(float, pair.split(","))) for pair in text.split()], np.complex128) / 100


def oval(center: complex, rx: float, ry: float) -> Shape:
    """Return an ellipse."""
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return center + rx * np.cos(t) + 1j * ry * np.sin(t)


def symmetric(text: str) -> Shape:
    """Return a closed curve through the points of its right half, from x = 0 at the top to x = 0, and their mirror."""
    return closed(np.concatenate([points(text), -points(text)[-2:0:-1].conj()]))


def closed(p: Shape) -> Shape:
    """Return a closed Catmull-Rom curve through the points, six steps between each two."""
    a, b, c, d, t = np.roll(p, 1), p, np.roll(p, -1), np.roll(p, -2), np.arange(6)[:, None] / 6
    return np.ravel((b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))).T)


class Palette(NamedTuple):
    """The colors of one picture, named by what they do in it; `a`, `b` and `c` are its accents."""

    sky: Color
    horizon: Color
    far: Color
    mid: Color
    near: Color
    dark: Color
    light: Color
    skin: Color
    a: Color
    b: Color
    c: Color


class Canvas:
    """A picture under way: its shorter side is 2 units long, 0 is the center, y grows downwards (see also Style)."""

    def __init__(self, size: tuple[int, int], p: Palette, rng: np.random.Generator, flat: bool, outline: float) -> None:
        self.palette, self.rng, self.flat, self.outline = p, rng, flat, outline
        self.unit = min(size) / 2
        self.w, self.h = size[0] / min(size), size[1] / min(size)  # half the width and height in units
        self.image = Image.new("RGB", size)
        self.draw = ImageDraw.Draw(self.image)

    def u(self, low: float, high: float) -> float:
        """Return a random number between `low` and `high`."""
        return float(self.rng.uniform(low, high))

    def pick(self, *choices: T) -> T:
        """Return one of the choices."""
        return choices[int(self.rng.integers(len(choices)))]

    def fill(self, shape: Shape, color: Color, depth: float = 0, *, contour: bool = True) -> None:
        """Fill a polygon, shaded from the upper left by `depth`: 0 is flat, 1 is round."""
        pixels = self._pixels(shape)
        if depth and not self.flat and np.ptp(pixels, axis=0).min() > 5:
            self._shade(pixels, color, depth)
        else:
            self.draw.polygon(pixels.ravel().tolist(), fill=color)
        if self.outline and contour:
            self.line(np.append(shape, shape[0]), self.palette.dark, self.outline)

    def line(self, shape: Shape, color: Color, width: float) -> None:
        """Draw an open line, `width` in units."""
        pixels, pen = self._pixels(shape).ravel().tolist(), max(1, round(width * self.unit))
        self.draw.line(pixels, color, pen, "curve" if pen > 6 else None)

    def gradient(self, top: Color, bottom: Color, y0: float, y1: float) -> None:
        """Fill the whole width between two heights with a vertical gradient."""
        start, stop = (round((y + self.h) * self.unit) for y in (y0, y1))
        ends = Image.fromarray(np.array([[top], [bottom]], np.uint8))
        size = (self.image.width, max(1, stop - start))
        self.image.paste(ends.resize(size, Image.Resampling.BILINEAR, (0, 0.5, 1, 1.5)), (0, start))

    def glow(self, center: complex, rx: float, ry: float, color: Color) -> None:
        """Add light, or a shadow, that fades with the distance; nothing where areas are flat."""
        if not self.flat:
            left, top = self._pixels(np.array([center - complex(rx, ry)]))[0]
            size = (max(1, round(2 * rx * self.unit)), max(1, round(2 * ry * self.unit)))
            self.image.paste(color, (round(left), round(top)), _HALO.resize(size, Image.Resampling.BILINEAR))

    def reflect(self, y: float, strength: float) -> None:
        """Mirror what is above a height in what is below it, as water does."""
        edge = round((y + self.h) * self.unit)
        reach, width = min(edge, self.image.height - edge), self.image.width
        above, water = (self.image.crop((0, top, width, top + reach)) for top in (edge - reach, edge))
        self.image.paste(Image.blend(water, ImageOps.flip(above), strength), (0, edge))

    def _pixels(self, shape: Shape) -> npt.NDArray[np.float64]:
        return np.stack([shape.real + self.w, shape.imag + self.h], axis=1) * self.unit

    def _shade(self, pixels: npt.NDArray[np.float64], color: Color, depth: float) -> None:
        """Paste a polygon lit by the slope of its blurred mask, as if it were inflated."""
        corner = np.floor(pixels.min(axis=0)).astype(int)
        width, height = np.ceil(pixels.max(axis=0)).astype(int) - corner + 1
        mask = Image.new("L", (width, height))
        ImageDraw.Draw(mask).polygon((pixels - corner).ravel().tolist(), fill=255)
        scale, pad = min(1.0, 28 / min(width, height), 112 / max(width, height)), 12  # light is smooth: few pixels do
        small = Image.new("L", (max(1, round(width * scale)) + 2 * pad, max(1, round(height * scale)) + 2 * pad))
        ImageDraw.Draw(small).polygon(((pixels - corner) * scale + pad).ravel().tolist(), fill=255)
        soft = np.asarray(small.filter(ImageFilter.GaussianBlur(min(small.size) / 5 - 4.8)), np.float32) / 255
        slope = (soft[pad:-pad, pad:-pad, None] - soft[pad - 3 : -pad - 3, pad - 3 : -pad - 3, None]) * 1.6 * depth
        tint, light, dark = (np.array(each, np.float32) for each in (color, self.palette.light, self.palette.dark))
        lit = (tint + np.where(slope > 0, (light - tint) * slope, (tint - dark) * slope)).clip(0, 255).astype(np.uint8)
        self.image.paste(Image.fromarray(lit).resize(mask.size, Image.Resampling.BILINEAR), (*corner,), mask)
