"""A canvas in centred units on which compositions are drawn: shapes, shaded solids, gradients and light."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

Points = Sequence[tuple[float, float]]
Color = tuple[int, int, int]


def mix(a: Color, b: Color, t: float) -> Color:
    """The colour a share `t` of the way from `a` to `b`, component by component, clipped to 0..255."""
    return (
        min(255, max(0, round(a[0] + (b[0] - a[0]) * t))),
        min(255, max(0, round(a[1] + (b[1] - a[1]) * t))),
        min(255, max(0, round(a[2] + (b[2] - a[2]) * t))),
    )


@dataclass(frozen=True)
class Palette:
    """The colours of one picture, named by what they do in it."""

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

    @property
    def accents(self) -> tuple[Color, Color, Color]:
        """The three colours that things other than land, sky and flesh may have."""
        return self.a, self.b, self.c


@dataclass
class Canvas:
    """A picture under way. The shorter side is 2 units long, (0, 0) is the centre, y grows downwards.

    `flat` draws areas of one colour without light and shade, `outline` is the width of the contour in units (0: none),
    `plain` asks compositions to leave small things out.
    """

    width: int
    height: int
    palette: Palette
    rng: np.random.Generator
    flat: bool = False
    outline: float = 0.0
    plain: bool = False
    image: Image.Image = field(init=False)
    draw: ImageDraw.ImageDraw = field(init=False)

    def __post_init__(self) -> None:
        self.unit = min(self.width, self.height) / 2
        self.ax = self.width / 2 / self.unit
        self.ay = self.height / 2 / self.unit
        self.image = Image.new("RGB", (self.width, self.height), self.palette.sky)
        self.draw = ImageDraw.Draw(self.image)

    def u(self, low: float, high: float) -> float:
        """A random number between `low` and `high`."""
        return low + (high - low) * float(self.rng.random())

    def chance(self, share: float) -> bool:
        """True in `share` of all calls."""
        return bool(self.rng.random() < share)

    def n(self, low: int, high: int) -> int:
        """A random whole number from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))

    def pick(self, *colors: Color) -> Color:
        """One of the colours."""
        return colors[int(self.rng.integers(len(colors)))]

    def x(self, x: float) -> float:
        """Pixels from the left."""
        return (x + self.ax) * self.unit

    def y(self, y: float) -> float:
        """Pixels from the top."""
        return (y + self.ay) * self.unit

    def _pen(self) -> tuple[Color | None, int]:
        if self.outline <= 0:
            return None, 0
        return self.palette.dark, max(1, round(self.outline * self.unit))

    def poly(self, points: Points, color: Color, *, contour: bool = True) -> None:
        """A filled polygon."""
        pixels = [(self.x(x), self.y(y)) for x, y in points]
        self.draw.polygon(pixels, fill=color)
        pen, width = self._pen()
        if pen and contour:
            self.draw.line([*pixels, pixels[0]], fill=pen, width=width, joint="curve")

    def rect(self, x0: float, y0: float, x1: float, y1: float, color: Color, *, contour: bool = True) -> None:
        """A filled rectangle."""
        pen, width = self._pen() if contour else (None, 0)
        box = (self.x(min(x0, x1)), self.y(min(y0, y1)), self.x(max(x0, x1)), self.y(max(y0, y1)))
        self.draw.rectangle(box, fill=color, outline=pen, width=width)

    def oval(self, x: float, y: float, rx: float, ry: float, color: Color, *, contour: bool = True) -> None:
        """A filled ellipse of one colour."""
        pen, width = self._pen() if contour else (None, 0)
        box = (self.x(x - rx), self.y(y - ry), self.x(x + rx), self.y(y + ry))
        self.draw.ellipse(box, fill=color, outline=pen, width=width)

    def line(self, points: Points, color: Color, width: float) -> None:
        """An open line, `width` in units."""
        pixels = [(self.x(x), self.y(y)) for x, y in points]
        self.draw.line(pixels, fill=color, width=max(1, round(width * self.unit)), joint="curve")

    def curve(self, points: Points, color: Color, width: float) -> None:
        """A smooth open line through the points."""
        self.line(smooth(points), color, width)

    def gradient(self, top: Color, bottom: Color, y0: float | None = None, y1: float | None = None) -> None:
        """A vertical gradient over the full width between two heights."""
        start = 0 if y0 is None else max(0, round(self.y(y0)))
        stop = self.height if y1 is None else min(self.height, round(self.y(y1)))
        if stop <= start:
            return
        column = Image.new("RGB", (1, 2))
        column.putpixel((0, 0), top)
        column.putpixel((0, 1), bottom)
        steps = column.resize((1, stop - start), Image.Resampling.BILINEAR, box=(0, 0.5, 1, 1.5))
        self.image.paste(steps.resize((self.width, stop - start), Image.Resampling.NEAREST), (0, start))

    def ball(self, x: float, y: float, rx: float, ry: float, color: Color, depth: float = 0.55) -> None:
        """An ellipsoid lit from the upper left; `depth` is how far its shade goes towards dark."""
        box = self._box(x, y, rx, ry)
        if self.flat or min(box[2:]) < 5:
            self.oval(x, y, rx, ry, color)
            return
        disc, lit = _sphere(_near(box[2]), _near(box[3]))
        left, top = box[0] + (box[2] - disc.width) // 2, box[1] + (box[3] - disc.height) // 2
        self.image.paste(mix(color, self.palette.dark, depth), (left, top), disc)
        self.image.paste(mix(color, self.palette.light, 0.45), (left, top), lit)
        pen, width = self._pen()
        if pen:
            self.draw.ellipse((left, top, left + disc.width, top + disc.height), outline=pen, width=width)

    def glow(self, x: float, y: float, r: float, color: Color, strength: float = 1.0) -> None:
        """Light that fades with the distance; a disc where areas are flat."""
        if self.flat:
            if strength > 0.6:
                self.oval(x, y, r * 0.38, r * 0.38, color, contour=False)
            return
        box = self._box(x, y, r, r)
        halo = _halo(round(strength * 20)).resize(box[2:], Image.Resampling.BILINEAR)
        self.image.paste(color, (box[0], box[1]), halo)

    def shadow(self, x: float, y: float, rx: float, ry: float, strength: float = 0.5) -> None:
        """A soft cast shadow."""
        if self.flat:
            return
        box = self._box(x, y, rx, ry)
        halo = _halo(round(strength * 20)).resize(box[2:], Image.Resampling.BILINEAR)
        self.image.paste(self.palette.dark, (box[0], box[1]), halo)

    def lathe(self, x: float, y0: float, profile: Sequence[float], height: float, color: Color) -> None:
        """A turned vessel standing on `y0`: half widths from foot to lip, lit from the left."""
        n = len(profile) - 1
        radii = [float(r) for r in np.interp(np.linspace(0, n, 25), np.arange(n + 1), profile)]
        ys = [y0 - height * i / 24 for i in range(25)]
        outline = [(x - r, y) for r, y in zip(radii, ys, strict=True)]
        outline += [(x + r, y) for r, y in zip(reversed(radii), reversed(ys), strict=True)]
        if not self.flat:
            box = self._box(x, y0 - height / 2, max(radii), height / 2)
            disc = Image.new("L", box[2:])
            pixels = [(self.x(px) - box[0], self.y(py) - box[1]) for px, py in outline]
            ImageDraw.Draw(disc).polygon(pixels, fill=255)
            shade = ImageChops.multiply(disc, _column().resize(box[2:], Image.Resampling.BILINEAR))
            self.image.paste(mix(color, self.palette.dark, 0.6), (box[0], box[1]), disc)
            self.image.paste(mix(color, self.palette.light, 0.5), (box[0], box[1]), shade)
        else:
            self.poly(outline, color)
        self.oval(x, ys[-1], radii[-1], radii[-1] * 0.22, mix(color, self.palette.dark, 0.5))

    def blob(self, x: float, y: float, rx: float, ry: float, color: Color, rough: float = 0.2) -> None:
        """A filled irregular rounded shape."""
        t = np.linspace(0, 2 * math.pi, 28, endpoint=False)
        r = np.ones_like(t)
        for k in (2, 3, 5):
            r += rough / k * 1.6 * math.cos(self.u(0, 6)) * np.cos(k * t + self.u(0, 2 * math.pi))
        xs, ys = x + rx * r * np.cos(t), y + ry * r * np.sin(t)
        self.poly(list(zip(xs.tolist(), ys.tolist(), strict=True)), color)

    def ridge(self, y: float, height: float, color: Color, waves: float = 1.0) -> None:
        """Land whose upper edge rolls about the height `y`, filled to the foot of the picture."""
        xs = np.linspace(-self.ax, self.ax, 49)
        ys = np.full_like(xs, y)
        for k in (0.9, 2.1, 4.3):
            ys -= height / k * 0.5 * np.sin(xs * k * waves * 1.6 + self.u(0, 2 * math.pi))
        points = list(zip(xs.tolist(), ys.tolist(), strict=True))
        self.poly([*points, (self.ax + 0.1, self.ay + 0.1), (-self.ax - 0.1, self.ay + 0.1)], color)

    def _box(self, x: float, y: float, rx: float, ry: float) -> tuple[int, int, int, int]:
        left, top = round(self.x(x - rx)), round(self.y(y - ry))
        return left, top, max(1, round(2 * rx * self.unit)), max(1, round(2 * ry * self.unit))


def smooth(points: Points, steps: int = 8) -> list[tuple[float, float]]:
    """A Catmull-Rom curve through the points."""
    p = [points[0], *points, points[-1]]
    out: list[tuple[float, float]] = []
    for (ax, ay), (bx, by), (cx, cy), (dx, dy) in zip(p, p[1:], p[2:], p[3:], strict=False):
        for i in range(steps):
            t = i / steps
            t2, t3 = t * t, t * t * t
            ka, kb = -0.5 * t3 + t2 - 0.5 * t, 1.5 * t3 - 2.5 * t2 + 1
            kc, kd = -1.5 * t3 + 2 * t2 + 0.5 * t, 0.5 * t3 - 0.5 * t2
            out.append((ka * ax + kb * bx + kc * cx + kd * dx, ka * ay + kb * by + kc * cy + kd * dy))
    return [*out, points[-1]]


def _near(n: int) -> int:
    """A size within 4% of `n`, out of few, so that the cache of spheres is hit."""
    if n < 24:
        return n
    step = max(1, 1 << (n.bit_length() - 5))
    return (n + step // 2) // step * step


@lru_cache(maxsize=1024)
def _small_sphere(width: int, height: int) -> tuple[Image.Image, Image.Image]:
    return _resized(width, height)


def _sphere(width: int, height: int) -> tuple[Image.Image, Image.Image]:
    """The outline of an ellipsoid and its lit side, as masks in L."""
    return _small_sphere(width, height) if max(width, height) <= 128 else _resized(width, height)


def _resized(width: int, height: int) -> tuple[Image.Image, Image.Image]:
    disc, lit = _unit_sphere()
    size = (width, height)
    return disc.resize(size, Image.Resampling.BILINEAR), lit.resize(size, Image.Resampling.BILINEAR)


@lru_cache(maxsize=1)
def _unit_sphere() -> tuple[Image.Image, Image.Image]:
    y, x = np.mgrid[0:256, 0:256].astype(np.float64)
    x, y = (x + 0.5) / 128 - 1, (y + 0.5) / 128 - 1
    disc = np.clip((1 - np.sqrt(x * x + y * y)) * 128 + 0.5, 0, 1)
    light = np.clip(1.08 - np.sqrt((x + 0.38) ** 2 + (y + 0.42) ** 2) * 0.78, 0, 1) ** 1.1
    return Image.fromarray((disc * 255).astype(np.uint8)), Image.fromarray((light * disc * 255).astype(np.uint8))


@lru_cache(maxsize=32)
def _halo(strength: int) -> Image.Image:
    """A round fading light as a mask in L, `strength` twentieths of full."""
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    r = np.clip(1 - np.sqrt(x * x + y * y), 0, 1)
    return Image.fromarray((np.clip(255 * strength / 20, 0, 255) * r * r * (3 - 2 * r)).astype(np.uint8))


@lru_cache(maxsize=1)
def _column() -> Image.Image:
    x = np.linspace(0, 1, 64)
    light = np.exp(-(((x - 0.3) / 0.26) ** 2)) + 0.18 * np.exp(-(((x - 0.95) / 0.08) ** 2))
    return Image.fromarray(np.repeat((np.clip(light, 0, 1) * 255).astype(np.uint8)[None], 2, axis=0))
