"""Compositions of things: still life and flower painting."""

from __future__ import annotations

import math

from .canvas import Canvas, Color, mix


def still_life(c: Canvas) -> None:
    """Vessels and fruit on a table before a wall."""
    p = c.palette
    edge = c.u(0.15, 0.3) * c.ay
    c.gradient(mix(p.far, p.dark, 0.35), mix(p.mid, p.dark, 0.25), None, edge)
    c.glow(-0.6 * c.ax, -0.5, 1.6, mix(p.horizon, p.light, 0.2), 0.5)
    top = c.pick(mix(p.light, p.skin, 0.25), mix(p.a, p.dark, 0.45), mix(p.near, p.skin, 0.4))
    c.gradient(mix(top, p.dark, 0.2), mix(top, p.light, 0.1), edge, 0.8 * c.ay)
    c.gradient(mix(top, p.dark, 0.5), mix(top, p.dark, 0.7), 0.8 * c.ay, None)
    c.line([(-c.ax, edge), (c.ax, edge)], mix(top, p.dark, 0.6), 0.012 + c.outline)
    if c.chance(0.6) and not c.plain:
        _drape(c, c.u(-0.6, 0.6) * c.ax, edge, mix(p.light, c.pick(p.horizon, p.b), 0.3))
    back = edge + 0.12
    xs = [c.ax * (-0.55 + 0.55 * i) + c.u(-0.12, 0.12) for i in range(3)]
    for i, x in enumerate(xs if not c.plain else xs[:2]):
        _vessel(c, x, back + c.u(0, 0.1), c.u(0.75, 1.15) * (1.05 if i == 1 else 0.9), c.n(0, 3))
    spots = 2 if c.plain else c.n(6, 10)
    for i in range(spots):
        x = c.ax * (-0.75 + 1.5 * (i + c.u(0, 0.6)) / spots)
        fruit(c, x, back + 0.2 + 0.25 * ((i * 7) % 5) / 5, c.u(0.12, 0.18), c.pick(*p.accents, mix(p.near, p.a, 0.4)))


def flowers(c: Canvas) -> None:
    """A bouquet in a vase that fills the picture."""
    p = c.palette
    c.gradient(mix(p.far, p.dark, 0.45), mix(p.near, p.dark, 0.4))
    c.glow(-0.3, -0.3, 1.7, mix(p.horizon, p.mid, 0.3), 0.55)
    table = 0.74 * c.ay
    c.gradient(mix(p.a, p.dark, 0.5), mix(p.dark, p.a, 0.15), table, None)
    x = c.u(-0.1, 0.1)
    c.shadow(x + 0.15, table + 0.1, 0.5, 0.1, 0.8)
    foot = table + 0.1
    c.lathe(x, foot, [0.16, 0.14, 0.28, 0.3, 0.2, 0.15, 0.19], 0.62, mix(p.c, p.light, 0.25))
    top = foot - 0.62
    heads = []
    for i in range(7 if c.plain else 17):
        t, r = i * 2.39996, math.sqrt((i + 0.4) / 17)
        heads.append((x + 0.72 * r * math.cos(t) * min(1.25, c.ax), top - 0.5 + 0.56 * r * math.sin(t)))
    leaf = mix(p.near, p.mid, 0.4)
    for hx, hy in heads:
        c.curve([(x, top + 0.05), ((x + hx) / 2 + c.u(-0.05, 0.05), (top + hy) / 2 + 0.1), (hx, hy)], leaf, 0.02)
    for _ in range(4 if c.plain else 16):
        t, r = c.u(0, 2 * math.pi), c.u(0.3, 0.8)
        _leaf(
            c,
            x + r * math.cos(t),
            top - 0.38 + 0.5 * r * math.sin(t),
            t + c.u(-0.5, 0.5),
            c.u(0.16, 0.28),
            mix(leaf, p.dark, c.u(0, 0.5)),
        )
    for hx, hy in reversed(heads):
        _flower(c, hx, hy, c.u(0.13, 0.21), c.pick(p.a, p.b, p.light, mix(p.b, p.light, 0.45), mix(p.c, p.light, 0.3)))
    if not c.plain:
        for _ in range(c.n(1, 4)):
            _leaf(c, x + c.u(-0.7, 0.7), table + c.u(0.05, 0.2), c.u(-0.5, 0.5), 0.1, c.pick(p.a, p.b, p.light))


def fruit(c: Canvas, x: float, y: float, r: float, color: Color) -> None:
    """A round fruit with its shadow and stalk."""
    p = c.palette
    c.shadow(x + 0.5 * r, y + 0.75 * r, 1.4 * r, 0.45 * r, 0.75)
    c.ball(x, y, r, r * c.u(0.88, 1.05), color)
    if not c.plain:
        c.line([(x, y - 0.8 * r), (x + 0.12 * r, y - 1.2 * r)], p.dark, 0.02)


def _vessel(c: Canvas, x: float, y: float, h: float, kind: int) -> None:
    p = c.palette
    color = c.pick(p.a, p.b, p.c, mix(p.dark, p.near, 0.5), mix(p.light, p.c, 0.3))
    c.shadow(x + 0.22, y, 0.42, 0.1, 0.85)
    if kind == 0:
        c.lathe(x, y, [0.14, 0.24, 0.27, 0.2, 0.1, 0.09, 0.13], 0.8 * h, color)
    elif kind == 1:
        c.lathe(x, y, [0.13, 0.13, 0.13, 0.12, 0.05, 0.045, 0.055], 0.95 * h, mix(p.near, p.dark, 0.45))
    elif kind == 2:
        c.lathe(x, y, [0.1, 0.06, 0.22, 0.34, 0.38], 0.38 * h, mix(p.light, color, 0.25))
        for dx in (-0.18, 0.16, 0.0):
            c.ball(x + dx, y - 0.42 * h, 0.13, 0.13, c.pick(*p.accents))
    else:
        c.lathe(x, y, [0.17, 0.2, 0.22, 0.2, 0.16, 0.18], 0.6 * h, color)
        c.curve(
            [(x + 0.18, y - 0.5 * h), (x + 0.36, y - 0.42 * h), (x + 0.19, y - 0.18 * h)], mix(color, p.dark, 0.3), 0.04
        )


def _drape(c: Canvas, x: float, edge: float, color: Color) -> None:
    p = c.palette
    for i in range(6):
        x0, x1 = x + 0.14 * (i - 3), x + 0.14 * (i - 2)
        c.poly(
            [
                (x0, edge + 0.03),
                (x1, edge + 0.03),
                (x1 + 0.06 * (i - 2), 0.95 * c.ay - 0.12 * abs(i - 3)),
                (x0 + 0.06 * (i - 3), 0.95 * c.ay - 0.1 * abs(i - 2.4)),
            ],
            mix(color, p.dark, 0.12 if i % 2 else 0.32),
            contour=False,
        )


def _flower(c: Canvas, x: float, y: float, r: float, color: Color) -> None:
    p = c.palette
    petals, start = c.n(5, 8), c.u(0, 6)
    for ring, size in ((0.62, 0.5), (0.32, 0.38)) if not c.plain else ((0.55, 0.55),):
        tint = color if ring > 0.5 else mix(color, p.light, 0.3)
        for i in range(petals):
            t = start + 2 * math.pi * i / petals + ring
            c.ball(x + ring * r * math.cos(t), y + ring * r * math.sin(t), size * r, size * r, tint, 0.4)
    c.ball(x, y, 0.24 * r, 0.24 * r, mix(p.a, p.dark, 0.3), 0.4)


def _leaf(c: Canvas, x: float, y: float, t: float, r: float, color: Color) -> None:
    cos, sin = math.cos(t), math.sin(t)
    shape = [(0.0, 0.0), (0.35, -0.2), (0.7, -0.16), (1.0, 0.0), (0.7, 0.16), (0.35, 0.2)]
    c.poly([(x + r * (a * cos - b * sin), y + r * (a * sin + b * cos)) for a, b in shape], color)
