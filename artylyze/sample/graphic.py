"""Compositions that are drawn rather than seen: abstract painting, sketch and study, design."""

from __future__ import annotations

import itertools
import math

from .canvas import Canvas, Color, mix


def abstract(c: Canvas) -> None:
    """Circles and beams, blocks, or bands: nothing that can be named."""
    (_circles, _blocks, _bands)[c.n(0, 2)](c)


def study(c: Canvas) -> None:
    """A drawing on paper: a figure in outline, hatched, with a detail repeated beside it."""
    p = c.palette
    paper = mix(p.light, c.pick(p.skin, p.horizon, p.light), 0.35)
    c.gradient(paper, mix(paper, p.skin, 0.2))
    if not c.flat:
        for _ in range(3):
            c.glow(c.u(-c.ax, c.ax), c.u(-c.ay, c.ay), c.u(0.5, 1.1), mix(paper, p.skin, 0.55), 0.3)
    ink = mix(p.dark, c.pick(p.b, p.dark, p.c), 0.35)
    x = c.u(-0.35, 0.1) * c.ax
    kind = c.n(0, 2)
    if kind == 0:
        _standing(c, x, ink)
    elif kind == 1:
        _head_study(c, x, -0.1, 0.85, ink)
    else:
        _still_study(c, x, ink)
    if not c.plain:
        side = c.ax * 0.62 if x < 0 else -c.ax * 0.62
        _head_study(c, side, c.u(-0.6, 0.4) * c.ay, 0.3, mix(ink, paper, 0.3))
        for _ in range(5):
            y = c.u(-0.85, 0.85) * c.ay
            c.line([(c.u(-c.ax, 0), y), (c.u(0, c.ax), y + c.u(-0.05, 0.05))], mix(ink, paper, 0.78), 0.008)


def design(c: Canvas) -> None:
    """An ornament: a rosette in a border, or a pattern that repeats."""
    p = c.palette
    pairs = ((p.light, p.dark), (p.dark, p.light), (mix(p.c, p.dark, 0.3), p.light))
    ground, line = pairs[0 if c.plain else c.n(0, 2)]
    c.gradient(ground, mix(ground, p.dark, 0.12))
    colors = [p.a, p.b, mix(p.c, p.mid, 0.4), line]
    if c.chance(0.5):
        step = c.u(0.42, 0.62)
        for i in range(-math.ceil(c.ax / step), math.ceil(c.ax / step) + 1):
            for j in range(-math.ceil(c.ay / step), math.ceil(c.ay / step) + 1):
                k = (i + j) % 2
                _rosette(c, i * step, j * step, step * (0.46 if k else 0.34), 4 if k else 8, colors[k:] + colors[:k])
                c.oval((i + 0.5) * step, (j + 0.5) * step, 0.045, 0.045, colors[2])
        return
    petals = c.n(3, 6) * 2
    _rosette(c, 0, 0, 0.76, petals, colors)
    for i in range(0 if c.plain else petals):
        t = 2 * math.pi * (i + 0.5) / petals
        _rosette(c, 0.72 * math.cos(t), 0.72 * math.sin(t), 0.13, 6, colors[1:])
    _border(c, colors, line)


def _circles(c: Canvas) -> None:
    p = c.palette
    c.gradient(mix(p.light, p.horizon, 0.3), mix(p.light, p.skin, 0.35))
    for _ in range(3 if c.plain else 6):
        x, y, t, r = c.u(-c.ax, c.ax), c.u(-c.ay, c.ay), c.u(0, math.pi), c.u(0.5, 1.4)
        w = c.u(0.03, 0.16)
        dx, dy = r * math.cos(t), r * math.sin(t)
        nx, ny = -w * math.sin(t), w * math.cos(t)
        c.poly(
            [(x - dx, y - dy), (x + dx + nx, y + dy + ny), (x + dx - nx, y + dy - ny)],
            c.pick(*p.accents, p.mid, p.dark),
        )
    for _ in range(3 if c.plain else 9):
        x, y, r = c.u(-0.85, 0.85) * c.ax, c.u(-0.85, 0.85) * c.ay, c.u(0.08, 0.42)
        for k, tint in (
            (1.0, c.pick(*p.accents, p.dark)),
            (0.72, c.pick(*p.accents, p.light)),
            (0.4, c.pick(*p.accents)),
        ):
            c.oval(x, y, r * k, r * k, tint)
    for _ in range(2 if c.plain else 7):
        x, y, r, t = c.u(-c.ax, c.ax), c.u(-c.ay, c.ay), c.u(0.3, 0.9), c.u(0, 6)
        arc = [(x + r * math.cos(t + k * 0.25), y + r * math.sin(t + k * 0.25)) for k in range(8)]
        c.line(arc, c.pick(p.dark, *p.accents), c.u(0.012, 0.035))


def _blocks(c: Canvas) -> None:
    p = c.palette
    line = mix(p.dark, p.near, 0.1)
    xs, ys = _cuts(c, c.ax), _cuts(c, c.ay)
    for x0, x1 in itertools.pairwise(xs):
        for y0, y1 in itertools.pairwise(ys):
            tint = c.pick(p.light, p.light, p.a, p.b, p.c, mix(p.horizon, p.light, 0.5), p.mid)
            c.rect(x0, y0, x1, y1, tint, contour=False)
    bar = c.u(0.02, 0.05)
    for x in xs:
        c.line([(x, -c.ay), (x, c.ay)], line, bar)
    for y in ys:
        c.line([(-c.ax, y), (c.ax, y)], line, bar)


def _cuts(c: Canvas, half: float) -> list[float]:
    inner = sorted(c.u(-0.85, 0.85) * half for _ in range(3 if c.plain else c.n(3, 6)))
    return [-half - 0.1, *inner, half + 0.1]


def _bands(c: Canvas) -> None:
    p = c.palette
    colors = [p.sky, p.a, p.horizon, p.b, p.light, p.c, p.mid, p.dark]
    count = 4 if c.plain else c.n(7, 11)
    tilt, wave, phase = c.u(-0.5, 0.5), c.u(0.1, 0.3), c.u(0, 6)
    start = c.n(0, 7)
    for i in range(count + 2):
        base = -1.5 * c.ay + 3 * c.ay * i / count
        xs = [-c.ax * 1.05 + 2.1 * c.ax * k / 24 for k in range(25)]
        edge = [(x, base + tilt * x + wave * math.sin(x * 2.2 + phase + i * 0.5)) for x in xs]
        c.poly([*edge, (c.ax * 1.1, c.ay * 1.2), (-c.ax * 1.1, c.ay * 1.2)], colors[(start + i) % 8])
    x, y, r = c.u(-0.5, 0.5) * c.ax, c.u(-0.5, 0.5) * c.ay, c.u(0.2, 0.4)
    c.ball(x, y, r, r, c.pick(*p.accents, p.light), 0.4)


def _rosette(c: Canvas, x: float, y: float, r: float, petals: int, colors: list[Color]) -> None:
    rings = ((1.0, 0.42), (0.66, 0.3), (0.38, 0.18)) if r > 0.2 else ((0.9, 0.4),)
    for n, (reach, width) in enumerate(rings):
        for i in range(petals):
            t = 2 * math.pi * (i + 0.5 * (n % 2)) / petals
            cos, sin = math.cos(t) * r, math.sin(t) * r
            w = width * min(1.0, 5 / petals)
            shape = [(0.0, 0.0), (0.45 * reach, -w / 2), (0.8 * reach, -w / 2.4), (reach, 0.0)]
            shape += [(a, -b) for a, b in reversed(shape[1:3])]
            c.poly([(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in shape], colors[n % len(colors)])
    c.ball(x, y, 0.16 * r, 0.16 * r, colors[-1], 0.4)


def _border(c: Canvas, colors: list[Color], line: Color) -> None:
    inset, step = 0.12, 0.15
    for ax, ay, swap in ((c.ax, c.ay, False), (c.ay, c.ax, True)):
        count = max(3, round(2 * ax / step))
        for i in range(count):
            a, b = -ax + 2 * ax * i / count, -ax + 2 * ax * (i + 1) / count
            for side in (-1, 1):
                points = [(a, side * ay), (b, side * ay), ((a + b) / 2, side * (ay - inset))]
                c.poly([(q, s) for s, q in points] if swap else points, colors[i % 2])
    for k in (inset + 0.02, inset + 0.06):
        x, y = c.ax - k, c.ay - k
        c.line([(-x, -y), (x, -y), (x, y), (-x, y), (-x, -y)], line, 0.014)


def _stroke(c: Canvas, points: list[tuple[float, float]], ink: Color, width: float = 0.014) -> None:
    for _ in range(1 if c.plain else 2):
        c.curve([(x + c.u(-0.012, 0.012), y + c.u(-0.012, 0.012)) for x, y in points], ink, width * c.u(0.7, 1.3))


def _hatch(c: Canvas, x: float, y: float, rx: float, ry: float, ink: Color) -> None:
    for i in range(4 if c.plain else 14):
        t = -1 + 2 * (i + 0.5) / 14
        half = math.sqrt(max(0.02, 1 - t * t))
        c.line([(x + rx * (t - 0.25 * half), y + ry * half), (x + rx * (t + 0.25 * half), y - ry * half)], ink, 0.009)


def _standing(c: Canvas, x: float, ink: Color) -> None:
    k, sway = 0.92 * c.ay, c.u(-0.12, 0.12)
    paper = mix(c.palette.light, c.palette.skin, 0.35)
    head = (x + sway, -0.76 * k)
    ring = [(head[0] + 0.1 * math.cos(t / 2), head[1] + 0.13 * math.sin(t / 2)) for t in range(14)]
    _stroke(c, ring, ink)
    shoulder, hip = (x + sway * 0.6, -0.55 * k), (x - sway * 0.4, 0.02 * k)
    for d in (-1.0, 1.0):
        side = [(shoulder[0] + d * 0.2, shoulder[1]), (x + d * 0.12, -0.25 * k), (hip[0] + d * 0.17, hip[1])]
        _stroke(c, side, ink, 0.018)
        elbow = (shoulder[0] + d * c.u(0.28, 0.42), c.u(-0.35, -0.2) * k)
        hand = (elbow[0] + d * c.u(-0.25, 0.12), elbow[1] + c.u(-0.2, 0.3) * k)
        _stroke(c, [(shoulder[0] + d * 0.2, shoulder[1]), elbow, hand], ink, 0.018)
        _stroke(
            c, [(hip[0] + d * 0.15, hip[1]), (x + d * 0.2, 0.45 * k), (x + d * c.u(0.12, 0.3), 0.92 * k)], ink, 0.02
        )
        _stroke(c, [(hip[0], hip[1] + 0.08), (x + d * 0.08, 0.45 * k), (x + d * 0.12, 0.9 * k)], ink)
    _hatch(c, x + 0.1, -0.25 * k, 0.1, 0.2 * k, mix(ink, paper, 0.35))
    _hatch(c, x + 0.2, 0.4 * k, 0.08, 0.3 * k, mix(ink, paper, 0.35))
    _hatch(c, x + 0.3, 0.93 * k, 0.4, 0.03, mix(ink, paper, 0.3))


def _head_study(c: Canvas, x: float, y: float, k: float, ink: Color) -> None:
    s = 1.0 if c.chance(0.5) else -1.0
    profile = [(0.1, -0.75), (0.38, -0.6), (0.42, -0.25), (0.4, -0.08), (0.56, 0.16), (0.43, 0.22), (0.47, 0.32),
               (0.42, 0.4), (0.44, 0.5), (0.32, 0.62), (0.08, 0.56), (0.02, 0.95)]  # fmt: skip
    back = [(0.1, -0.75), (-0.32, -0.7), (-0.56, -0.35), (-0.5, 0.1), (-0.36, 0.4), (-0.42, 0.95)]
    for points in (profile, back):
        _stroke(c, [(x + s * k * a, y + k * b) for a, b in points], ink, 0.02 * max(0.6, k))
    eye = [(0.22, -0.05), (0.3, -0.1), (0.38, -0.06)]
    _stroke(c, [(x + s * k * a, y + k * b) for a, b in eye], ink, 0.02 * k)
    c.oval(x + s * k * 0.31, y - k * 0.05, 0.025 * k, 0.03 * k, ink, contour=False)
    _stroke(c, [(x + s * k * a, y + k * b) for a, b in ((0.28, 0.4), (0.36, 0.39), (0.43, 0.36))], ink, 0.014)
    for i in range(4 if c.plain else 12):
        t = -0.75 + 0.09 * i
        lock = [(0.1 - 0.03 * i, -0.74), (-0.2 - 0.02 * i, t), (-0.46, t + 0.35)]
        _stroke(c, [(x + s * k * a, y + k * b) for a, b in lock], ink, 0.008)
    _hatch(c, x - s * 0.08 * k, y + 0.3 * k, 0.2 * k, 0.24 * k, ink)


def _still_study(c: Canvas, x: float, ink: Color) -> None:
    y = 0.5 * c.ay
    faint = mix(ink, c.palette.light, 0.35)
    for dx, r, h in ((-0.25, 0.26, 0.95), (0.42, 0.17, 0.6)):
        for d in (-1.0, 1.0):
            a = [(0.5, 0), (1.0, 0.35), (0.8, 0.6), (0.3, 0.78), (0.4, 1.0)]
            _stroke(c, [(x + dx + d * r * q, y - h * t) for q, t in a], ink, 0.018)
        for t, q in ((1.0, 0.4), (0.0, 0.5), (0.35, 1.0)):
            rim = [(x + dx + r * q * math.cos(v / 2), y - h * t + 0.22 * r * q * math.sin(v / 2)) for v in range(14)]
            _stroke(c, rim, ink if t != 0.35 else faint, 0.01)
        _hatch(c, x + dx + r * 0.5, y - 0.4 * h, r * 0.4, 0.28 * h, faint)
    for dx, r in ((0.1, 0.16), (0.72, 0.13), (-0.62, 0.14)):
        ring = [(x + dx + r * math.cos(v / 2), y + 0.1 + r * math.sin(v / 2)) for v in range(14)]
        _stroke(c, ring, ink, 0.014)
        _hatch(c, x + dx + 0.4 * r, y + 0.12, r * 0.5, r * 0.7, faint)
    _stroke(c, [(x - 0.95, y + 0.02), (x, y + 0.0), (x + 1.1, y + 0.03)], faint, 0.01)
    _hatch(c, x + 0.3, y + 0.3, 0.8, 0.03, faint)
