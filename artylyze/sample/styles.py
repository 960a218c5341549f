"""How each style paints: its palettes, how a scene is drawn for it, and what is then done to the drawing."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from artylyze.sample.canvas import Canvas, Palette, mix
from artylyze.sample.scenes import SCENES

Rng = np.random.Generator
_LONGEST = 640  # pixels: larger pictures are painted at this length and enlarged; they are there to be decoded


@dataclass(frozen=True)
class Style:
    """How scenes are drawn for a style, and what is then done to the drawing: brush marks, a finish."""

    flat: bool = False  # areas of one color, without light and shade
    outline: float = 0  # width of contours in units of the canvas
    saturation: float = 1
    step: float = 0  # pixels between brush marks at full size; 0: no brush
    length: float = 0  # of a mark, in steps
    width: float = 1  # of a mark, in steps
    turn: float = 0  # radians within which marks turn at random
    swirl: float = 0  # radians by which they follow a common swirl
    noise: float = 0  # of the colors of marks, of 255
    shift: float = 0  # above 0, a mark is no color but a piece of the picture, moved by so many pixels
    finish: Callable[[Image.Image, Palette, Rng], Image.Image] | None = None


def paint(genre: str, name: str, size: tuple[int, int], p: Palette, rng: Rng) -> Image.Image:
    """Paint a picture in RGB of `size` (width, height) in the style of this name; the arguments alone decide on it."""
    style, shrink = STYLES[name], min(1.0, _LONGEST / max(size))
    width, height = (max(1, round(side * shrink)) for side in size)
    zoom = 1 if style.step else 2  # twice the size, for smooth edges where no brush goes over them
    canvas = Canvas((zoom * width, zoom * height), p, rng, style.flat, style.outline)
    SCENES[genre](canvas)
    image = ImageEnhance.Color(canvas.image.reduce(zoom)).enhance(style.saturation)
    image = _strokes(image, style, rng) if style.step else image
    image = style.finish(image, p, rng) if style.finish else image
    noise = np.frombuffer(rng.bytes(width * height), np.uint8).reshape(height, width)
    image = ImageChops.add(image, Image.merge("RGB", [Image.fromarray(noise % 9)] * 3), 1, -4)  # grain of the ground
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def palette(style: str, number: int, hue: float, value: float) -> Palette:
    """Return palette 0 or 1 of a style, its hues turned by `hue` (1 is a whole turn), its brightness times `value`."""
    colors = []
    for digits in _PALETTES[style][number].split():
        h, s, v = colorsys.rgb_to_hsv(*(int(digit, 16) / 15 for digit in digits))
        red, green, blue = colorsys.hsv_to_rgb((h + hue) % 1, s, min(1.0, v * value))
        colors.append((round(255 * red), round(255 * green), round(255 * blue)))
    return Palette(*colors)


@lru_cache(maxsize=16)
def _marks(style: Style, side: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Image.Image]:
    """Cover a square: the mark on top at each pixel (side, side), x and y of each (marks, 2), the relief about 128."""
    rng, scale = np.random.default_rng(side), side / _LONGEST
    step = max(2.0, style.step * scale)
    grid = np.mgrid[-1 : side / step + 1, -1 : side / step + 1, :2].reshape(3, -1).T[:, :2]  # two layers
    centers = rng.permutation(grid + rng.random(grid.shape)) * step
    angle = style.swirl * np.sin(centers / side * 9).sum(axis=1) + style.turn * rng.uniform(-0.3, 0.7, len(centers))
    reach = step * style.length / 2 * np.stack([np.cos(angle), np.sin(angle)], 1)
    draw = ImageDraw.Draw(sheet := Image.new("I", (side, side)))
    for label, (x0, y0, x1, y1) in enumerate(np.concatenate([centers - reach, centers + reach], 1).tolist()):
        r = step * style.width * (0.4 + 0.2 * (label % 7) / 6)
        draw.line((x0, y0, x1, y1), fill=label, width=max(1, round(2 * r)))
        for x, y in ((x0, y0), (x1, y1)) if not style.shift else ():
            draw.ellipse((x - r, y - r, x + r, y + r), fill=label)
    labels = np.array(sheet, np.int32)
    heights = Image.fromarray(rng.integers(98, 158, len(centers), np.uint8)[labels])
    soft = heights.filter(ImageFilter.BoxBlur(0.6 * scale))
    relief = ImageChops.subtract(soft, ImageChops.offset(soft, max(1, round(1.2 * scale))), 2.4, 128)
    return labels, centers.astype(np.int32), relief


def _strokes(image: Image.Image, style: Style, rng: Rng) -> Image.Image:
    """Repaint a drawing in marks of the color under their centers."""
    side = next(side for side in (80, 160, 320, _LONGEST) if side >= max(image.size))
    labels, centers, relief = _marks(style, side)
    (x, y), (width, height) = (int(rng.integers(side - n + 1)) for n in image.size), image.size
    labels, last = labels[y : y + height, x : x + width], (width - 1, height - 1)
    noise, pixels = rng.normal(0, style.noise, (len(centers), 3)).astype(np.float32), np.asarray(image)
    if style.shift:
        shift = rng.normal(0, style.shift * side / _LONGEST, centers.shape).astype(np.int32)[labels]
        at = (np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1) + shift).clip(0, last)
        painted = pixels[at[..., 1], at[..., 0]] + noise[labels, :1]
    else:
        at = (centers - (x, y)).clip(0, last)
        painted = (pixels[at[:, 1], at[:, 0]] + noise).clip(0, 255).astype(np.uint8)[labels]
    relief = Image.merge("RGB", [relief.crop((x, y, x + width, y + height))] * 3)
    return ImageChops.add(Image.fromarray(painted.clip(0, 255).astype(np.uint8)), relief, 1, -128)


def _spotlight(image: Image.Image, p: Palette, rng: Rng) -> Image.Image:
    """Let one warm light fall from the side, and leave the rest in brown darkness."""
    warm = image.point([min(255, round(v * gain)) for gain in (1.35, 1.25, 1.05) for v in range(256)])
    y, x = np.mgrid[0:1:48j, 0:1:48j]
    distance = np.hypot(x - rng.uniform(0.3, 0.5), y - rng.uniform(0.3, 0.5)) / rng.uniform(0.55, 0.7)
    light = Image.fromarray((255 * (1.25 - distance**1.5).clip(0.08, 1)).astype(np.uint8)).resize(image.size)
    return Image.composite(warm, Image.new("RGB", image.size, p.dark), light)


def _print(image: Image.Image, p: Palette, rng: Rng) -> Image.Image:
    """Print a picture with a graded band at its top, a cartouche and a seal, and leave a border of paper."""
    (width, height), unit = image.size, min(image.size)
    band = ImageOps.flip(Image.linear_gradient("L")).resize((width, round(height * rng.uniform(0.15, 0.3))))
    image.paste(mix(p.c, p.dark, 0.15), (0, 0), band)
    draw, left, top = ImageDraw.Draw(image), rng.choice([0.06 * unit, width - 0.15 * unit]), 0.06 * unit
    draw.rectangle((left, top, left + 0.09 * unit, top + 0.3 * unit), p.light, p.dark, max(1, unit // 240))
    draw.rectangle((left + 0.02 * unit, top + 0.32 * unit, left + 0.07 * unit, top + 0.37 * unit), p.b)
    for x, y in rng.uniform((0.02, 0.03), (0.05, 0.25), (18, 2)) * unit + (left, top):
        draw.line((x, y, x + 0.02 * unit, y + rng.uniform(-0.02, 0.02) * unit), p.dark, max(1, unit // 240))
    draw.rectangle((0, 0, width - 1, height - 1), None, p.light, max(1, unit // 40))
    return image


def _halftone(image: Image.Image, p: Palette, rng: Rng) -> Image.Image:
    """Put dots of ink over the darker parts of a picture."""
    (width, height), pitch = image.size, 2 * np.pi / max(4.0, min(image.size) / 48)
    x, y = np.arange(width, dtype=np.float32) * pitch, np.arange(height, dtype=np.float32)[:, None] * pitch
    screen = 110 + 75 * np.cos((x + y) / 2) * np.cos((x - y) / 2)
    dots = Image.fromarray(((screen - np.asarray(image.convert("L"))).clip(0, 15) * 17).astype(np.uint8))
    ink = Image.new("RGB", image.size, mix((p.b, p.c)[rng.integers(2)], p.light, 0.3))
    return Image.composite(ImageChops.multiply(image, ink), image, dots)


STYLES: Mapping[str, Style] = {
    "Impressionism": Style(saturation=1.1, step=7, length=2, width=0.9, turn=1.2, noise=9),
    "Pointillism": Style(saturation=1.4, step=6, width=1.1, noise=25),
    "Cubism": Style(step=70, length=1.8, width=1.3, turn=3.1, noise=22, shift=16),
    "Baroque": Style(finish=_spotlight),
    "Ukiyo-e": Style(flat=True, outline=0.011, finish=_print),
    "Expressionism": Style(False, 0.02, 1.3, step=8, length=3, width=0.8, turn=0.5, swirl=1.2, noise=14),
    "Pop Art": Style(flat=True, outline=0.026, finish=_halftone),
    "Realism": Style(saturation=1.15),
}
_PALETTES: Mapping[str, tuple[str, str]] = {  # hexadecimal digits of red, green and blue, in the order of Palette
    "Impressionism": ("8bd edb abc 8b8 696 457 fed eca ea4 d78 58b", "89c fc9 9ac 7a9 587 447 fed eca eb4 d77 67c"),
    "Pointillism": ("8be fda 9cb 9c5 594 448 ffd ec9 fb3 e65 48c", "aad fca abd bc5 6a4 448 fed eca f93 d58 67d"),
    "Cubism": ("ba8 dca a97 875 654 322 edb ca7 b84 854 778", "aaa ccb 898 777 555 222 edc ba8 a85 754 678"),
    "Baroque": ("432 753 543 432 321 110 eda d96 b83 832 345", "333 653 443 432 221 111 eda d96 b83 932 354"),
    "Ukiyo-e": ("9cc edb 8aa ab8 687 235 eec eca da4 c54 368", "eca eb8 ab9 ba8 786 224 eec eca da3 b43 368"),
    "Expressionism": ("259 e82 638 384 164 112 fd6 ea4 eb0 d22 27c", "b22 eb2 824 c52 362 111 fe8 ea4 fc2 e32 25a"),
    "Pop Art": ("3be fe4 f8b 5c6 195 111 fff fc9 fd0 e24 26d", "f6a fd4 4cd 95d 53a 111 ffe fca fe0 f42 09d"),
    "Realism": ("abb ddc 999 886 654 322 eec da8 a83 943 577", "9aa cca 898 775 553 222 edc ca7 b84 843 577"),
}
