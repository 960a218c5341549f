"""Treatments with a smooth or a printed surface: light, glaze, paper, screen, mist."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from . import texture
from .canvas import Color, mix
from .texture import Work

Rng = np.random.Generator


def baroque(work: Work) -> Image.Image:
    """Chiaroscuro: one warm light from the side, the rest in brown darkness."""
    warm = ImageEnhance.Contrast(work.image).enhance(1.25).point(texture.gains(1.18, 1.04, 0.84))
    lit = _spotlit(
        warm,
        work.u(0.28, 0.5),
        work.u(0.28, 0.46),
        work.u(0.62, 0.78),
        mix(work.palette.dark, work.palette.a, 0.12),
    )
    return texture.grained(lit, "weave", work)


def ukiyo_e(work: Work) -> Image.Image:
    """Flat areas in outlines on fibrous paper, a graded band at the top, a cartouche and a seal."""
    width, height = work.image.size
    band = np.clip(1 - np.arange(height, dtype=np.float32) / (height * work.u(0.14, 0.3)), 0, 1) ** 1.3
    mask = Image.fromarray((band * 205).astype(np.uint8)[:, None].repeat(2, axis=1)).resize(work.image.size)
    work.image.paste(mix(work.palette.c, work.palette.dark, 0.15), (0, 0), mask)
    draw = ImageDraw.Draw(work.image)
    unit = min(width, height)
    left = work.u(0, 1) < 0.5
    w, h, m = unit * 0.085, unit * 0.3, unit * 0.05
    x = m if left else width - m - w
    draw.rectangle(
        (x, m, x + w, m + h),
        fill=work.palette.light if work.u(0, 1) < 0.6 else work.palette.a,
        outline=work.palette.dark,
        width=max(1, round(1.5 * work.k)),
    )
    _glyphs(draw, work.rng, (x + w * 0.2, m + h * 0.06, w * 0.6, h * 0.88), 4, work.palette.dark, work.k)
    s = unit * 0.062
    sx = x + (w - s) / 2
    draw.rectangle((sx, m + h * 1.1, sx + s, m + h * 1.1 + s), fill=work.palette.b)
    _glyphs(draw, work.rng, (sx + s * 0.15, m + h * 1.1 + s * 0.1, s * 0.7, s * 0.8), 1, work.palette.light, work.k)
    rim = unit * 0.022
    draw.rectangle((0, 0, width - 1, height - 1), outline=work.palette.light, width=max(1, round(rim)))
    draw.rectangle(
        (rim, rim, width - 1 - rim, height - 1 - rim), outline=work.palette.dark, width=max(1, round(work.k))
    )
    worn = work.image.point(texture.gains(0.97, 0.955, 0.91))
    return texture.grained(worn, "paper", work)


def rococo(work: Work) -> Image.Image:
    """Pastel, soft and light, in an oval of cream with gilt corners."""
    clear = ImageEnhance.Color(ImageEnhance.Contrast(work.image).enhance(1.3)).enhance(1.45)
    pale = clear.point([round(14 + v * 0.93) for v in range(256)] * 3)
    soft = Image.blend(pale, ImageChops.screen(pale, texture.blur(work.image, 3.5)), 0.2)
    width, height = work.image.size
    mask = (
        texture.spot().point([min(255, v * 5) for v in range(256)]).resize((round(width * 1.12), round(height * 1.12)))
    )
    x, y = (mask.width - width) // 2, (mask.height - height) // 2
    out = Image.new("RGB", work.image.size, mix(work.palette.light, work.palette.b, 0.14))
    out.paste(soft, (0, 0), mask.crop((x, y, x + width, y + height)))
    if work.u(0, 1) < 0.6:
        _scrolls(out, mix(work.palette.a, work.palette.dark, 0.12))
    return texture.grained(out, "weave", work)


def minimalism(work: Work) -> Image.Image:
    """A small still picture in a wide quiet field."""
    width, height = work.image.size
    share = work.u(0.56, 0.7)
    small = work.image.resize((round(width * share), round(height * share)), Image.Resampling.BOX)
    out = Image.new("RGB", work.image.size, mix(work.palette.light, work.palette.horizon, work.u(0, 1)))
    x, y = (width - small.width) // 2, round((height - small.height) * work.u(0.4, 0.55))
    out.paste(small, (x, y))
    if work.u(0, 1) < 0.5:
        draw = ImageDraw.Draw(out)
        bar = max(2, round(height * 0.012))
        draw.rectangle(
            (x, y + small.height + 3 * bar, x + small.width // 5, y + small.height + 4 * bar), fill=work.palette.b
        )
    return out


def pop_art(work: Work) -> Image.Image:
    """Loud flat colours in thick contours, halftone dots over them, at times the same again in other colours."""
    inked = ImageChops.subtract(
        texture.piece(texture.halftone(work.k), work.image.size, work.rng), work.image.convert("L")
    )
    mask = inked.point([0, 0, 0, 0] + [min(255, 60 + v * 8) for v in range(252)])
    ink = mix(work.palette.b if work.u(0, 1) < 0.5 else work.palette.c, work.palette.light, 0.28)
    tint = Image.new("RGB", work.image.size, ink)
    out = work.image.copy()
    out.paste(ImageChops.multiply(work.image, tint), (0, 0), mask)
    if work.u(0, 1) < 0.22:
        width, height = work.image.size
        half = out.resize(((width + 1) // 2, (height + 1) // 2), Image.Resampling.BOX)
        r, g, b = half.split()
        for n, bands in enumerate(((r, g, b), (g, b, r), (b, r, g), (g, r, b))):
            out.paste(Image.merge("RGB", bands), ((n % 2) * (width // 2), (n // 2) * (height // 2)))
    return out


def realism(work: Work) -> Image.Image:
    """Smooth and sober, in even light, on canvas."""
    cloud = work.rng.integers(119, 138, (5, 6)).astype(np.uint8)
    uneven = Image.fromarray(cloud).resize(work.image.size, Image.Resampling.BICUBIC)
    clear = ImageEnhance.Color(work.image.point([round(255 * (v / 255) ** 0.92) for v in range(256)] * 3)).enhance(1.22)
    toned = ImageChops.add(clear, Image.merge("RGB", (uneven, uneven, uneven)), 1, -128)
    return texture.grained(toned, "weave", work)


def northern_renaissance(work: Work) -> Image.Image:
    """Jewel colours, crisp detail, a warm varnish and a fine net of cracks, in a dark moulding."""
    crisp = work.image.filter(ImageFilter.SHARPEN)
    aged = ImageChops.multiply(
        crisp.point(texture.gains(1.12, 1.06, 0.9)), texture.piece(texture.cracks(work.k), work.image.size, work.rng)
    )
    width, height = work.image.size
    draw = ImageDraw.Draw(aged)
    rim = 0.03 * min(width, height)
    for inset, color in (
        (0.0, mix(work.palette.dark, work.palette.a, 0.18)),
        (0.62, mix(work.palette.a, work.palette.dark, 0.2)),
        (0.82, work.palette.dark),
    ):
        d = rim * inset
        draw.rectangle(
            (d, d, width - 1 - d, height - 1 - d), outline=color, width=max(1, round(rim * (1 - inset) * 0.9))
        )
    return aged


def symbolism(work: Work) -> Image.Image:
    """Mist and an inner glow, gold dust in the dusk."""
    width, height = work.image.size
    mist = texture.blur(work.image, 5)
    dim, light = work.image.point(texture.gains(0.8, 0.8, 0.85)), mist.point(texture.gains(0.62, 0.58, 0.55))
    glow = Image.blend(work.image, ImageChops.screen(dim, light), 0.6)
    fog = np.clip((np.arange(height, dtype=np.float32) / height - 0.45) * 1.5, 0, 1) ** 1.4
    mask = Image.fromarray((fog * 130).astype(np.uint8)[:, None].repeat(2, axis=1)).resize(work.image.size)
    glow.paste(mix(work.palette.sky, work.palette.light, 0.3), (0, 0), mask)
    out = _spotlit(glow, work.u(0.4, 0.6), work.u(0.3, 0.5), 1.0, mix(work.palette.dark, work.palette.sky, 0.35))
    gold = mix(work.palette.a, work.palette.light, 0.45)
    unit = min(width, height)
    dust = work.rng.random((46, 3))
    for x, y, s in dust.tolist():
        r = max(2, round(unit * (0.006 + 0.022 * s**3)))
        halo = texture.spot().resize((2 * r, 2 * r), Image.Resampling.BILINEAR)
        out.paste(gold, (round(x * width) - r, round(y * height) - r), halo)
    return texture.grained(out, "grit", work)


def _spotlit(image: Image.Image, x: float, y: float, reach: float, dark: Color) -> Image.Image:
    width, height = image.size
    r = round(reach * max(width, height) * 1.25)
    left, top = round(x * width) - r, round(y * height) - r
    light = texture.spot().resize(image.size, Image.Resampling.BILINEAR, box=_inside(left, top, 2 * r, width, height))
    light = light.point([min(255, 26 + round(v * 1.25)) for v in range(256)])
    return Image.composite(image, Image.new("RGB", image.size, dark), light)


def _inside(left: int, top: int, side: int, width: int, height: int) -> tuple[float, float, float, float]:
    """The box of the spot (160 pixels wide) that a picture sees when the spot covers `side` pixels at left, top."""
    q = 160 / side
    box = (-left * q, -top * q, (width - left) * q, (height - top) * q)
    return max(0.0, box[0]), max(0.0, box[1]), min(160.0, box[2]), min(160.0, box[3])


def _glyphs(
    draw: ImageDraw.ImageDraw, rng: Rng, box: tuple[float, float, float, float], count: int, ink: Color, k: float
) -> None:
    x, y, w, h = box
    for n in range(count):
        top, size = y + n * h / count, h / count * 0.8
        for _ in range(5):
            a, b, c, d = rng.random(4).tolist()
            flat = c < 0.55
            end = (x + w * (0.2 + 0.8 * b), top + size * d) if flat else (x + w * a, top + size)
            draw.line(
                [(x + w * a * 0.5, top + size * d) if flat else (x + w * a, top + size * d * 0.5), end],
                fill=ink,
                width=max(1, round(1.6 * k)),
            )


def _scrolls(image: Image.Image, gold: Color) -> None:
    draw = ImageDraw.Draw(image)
    width, height = image.size
    unit = min(width, height)
    for right in (False, True):
        for low in (False, True):
            for n, turns in enumerate((2.2, 1.6)):
                points = []
                for i in range(26):
                    t = i / 25
                    r = unit * (0.075 - 0.02 * n) * (1 - 0.75 * t)
                    angle = turns * 2 * math.pi * t * 0.5 + (0.0 if n else 1.57)
                    x, y = (
                        unit * (0.09 + 0.06 * n) + r * math.cos(angle),
                        unit * (0.1 - 0.015 * n) + r * math.sin(angle),
                    )
                    points.append((width - x if right else x, height - y if low else y))
                draw.line(points, fill=gold, width=max(1, round(0.008 * unit)), joint="curve")
