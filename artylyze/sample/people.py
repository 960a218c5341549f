"""Compositions of people: portrait, religious painting, genre painting."""

from __future__ import annotations

import math

from .canvas import Canvas, Color, mix


def portrait(c: Canvas) -> None:
    """Head and shoulders of one person, large and central."""
    p = c.palette
    c.gradient(mix(p.mid, p.dark, 0.35), mix(p.near, p.dark, 0.5))
    c.glow(c.u(-0.4, 0.4), -0.2, 1.5, mix(p.far, p.light, 0.25), 0.6)
    if c.chance(0.35) and not c.plain:
        side = 1.0 if c.chance(0.5) else -1.0
        for fold in range(5):
            x = side * (c.ax - 0.12 * fold)
            c.poly(
                [(x, -c.ay), (x - side * 0.12, -c.ay), (x - side * (0.16 - 0.02 * fold), c.ay), (x, c.ay)],
                mix(p.b, p.dark, 0.35 + 0.12 * (fold % 2)),
                contour=False,
            )
    x, y, k = c.u(-0.1, 0.1), c.u(-0.28, -0.18), c.u(0.92, 1.1)
    hair = c.pick(mix(p.dark, p.skin, 0.12), mix(p.a, p.dark, 0.5), mix(p.light, p.dark, 0.35), p.dark)
    cloth = c.pick(p.a, p.b, p.c, mix(p.dark, p.c, 0.3))
    long_hair = c.chance(0.5)
    if long_hair:
        c.ball(x, y + 0.12 * k, 0.5 * k, 0.68 * k, hair, 0.5)
    _shoulders(c, x, y, k, cloth)
    _head(c, x, y, k, hair)
    if not long_hair and c.chance(0.5):
        _hat(c, x, y, k)


def religious(c: Canvas) -> None:
    """Robed figures with haloes under a golden arch."""
    p = c.palette
    gold = mix(p.a, p.light, 0.25)
    c.gradient(mix(p.dark, p.c, 0.25), mix(p.dark, p.b, 0.2))
    half, spring = min(0.8 * c.ax, 1.0), -0.35 * c.ay
    for k, tint in ((0.1, mix(gold, p.dark, 0.25)), (0.05, mix(gold, p.light, 0.3)), (0.0, mix(p.sky, p.c, 0.4))):
        c.oval(0, spring, half + k, 0.6 * c.ay - 0.06 + k, tint)
        c.rect(-half - k, spring, half + k, 0.92 * c.ay, tint, contour=False)
    for i in range(0 if c.plain else 18):
        t = math.pi * (1 + (i + 0.5) / 18)
        c.line(
            [
                (0.25 * math.cos(t), spring + 0.25 * math.sin(t)),
                (half * 0.94 * math.cos(t), spring + 0.5 * c.ay * math.sin(t)),
            ],
            mix(gold, p.light, 0.4),
            0.012,
        )
    c.glow(0, spring, half * 1.2, mix(gold, p.light, 0.5), 0.75)
    floor = 0.86 * c.ay
    for side in (-1.0, 1.0):
        for k in range(0 if c.plain and side > 0 else c.n(1, 2)):
            saint(c, side * half * (0.66 - 0.28 * k), floor - 0.1 * k, 1.0, c.pick(p.b, p.c, mix(p.mid, p.light, 0.3)))
    c.poly(
        [(-0.55, floor + 0.03), (0.55, floor + 0.03), (0.42, floor - 0.1), (-0.42, floor - 0.1)],
        mix(p.light, p.skin, 0.5),
    )
    saint(c, c.u(-0.04, 0.04), floor - 0.06, 1.42, p.b, mantle=p.c)
    for side in (-1.0, 1.0):
        c.rect(side * half, spring, side * (half + 0.14), 0.92 * c.ay, mix(gold, p.dark, 0.12))
    c.rect(-c.ax, 0.9 * c.ay, c.ax, c.ay + 0.1, mix(gold, p.dark, 0.45))


def genre_scene(c: Canvas) -> None:
    """A room with a window, a tiled floor and people at a table."""
    p = c.palette
    floor = c.u(0.2, 0.32) * c.ay
    wall = mix(c.pick(p.far, p.horizon, p.skin), p.dark, 0.28)
    c.gradient(mix(wall, p.dark, 0.3), wall, None, floor)
    _tiles(c, floor)
    side = -1.0 if c.chance(0.5) else 1.0
    _window(c, side, floor)
    if not c.plain:
        fx = -side * c.u(0.35, 0.6) * c.ax
        c.rect(fx - 0.24, -0.72 * c.ay, fx + 0.24, -0.72 * c.ay + 0.4, mix(p.a, p.dark, 0.35))
        c.rect(fx - 0.19, -0.72 * c.ay + 0.05, fx + 0.19, -0.72 * c.ay + 0.35, mix(p.mid, p.sky, 0.4))
    x = c.u(-0.15, 0.15)
    coats = [p.a, p.b, p.c, mix(p.light, p.b, 0.25)]
    start = c.n(0, 3)
    person(c, x - 0.62, floor + 0.42, 1.2, coats[start], 1.0)
    person(c, x + 0.62, floor + 0.45, 1.12, coats[(start + 1) % 4], -1.0)
    if not c.plain and c.chance(0.7):
        person(c, x + c.u(-0.15, 0.15), floor + 0.3, 1.25, coats[(start + 2) % 4], 1.0)
    _table(c, x, floor + 0.12)
    if not c.plain and c.ax > 1.15:
        person(c, -side * c.ax * 0.85, floor + 0.6, 1.35, mix(coats[(start + 3) % 4], p.dark, 0.2), side)


def saint(c: Canvas, x: float, foot: float, height: float, robe: Color, mantle: Color | None = None) -> None:
    """A standing robed figure with a halo, hands together."""
    p = c.palette
    h = height
    y = foot - h * 0.88
    c.shadow(x, foot, 0.3 * h, 0.05 * h, 0.6)
    c.poly(
        [
            (x - 0.24 * h, foot),
            (x - 0.17 * h, foot - 0.62 * h),
            (x - 0.06 * h, foot - 0.78 * h),
            (x + 0.06 * h, foot - 0.78 * h),
            (x + 0.17 * h, foot - 0.62 * h),
            (x + 0.24 * h, foot),
        ],
        robe,
    )
    for k in range(0 if c.plain else 5):
        fx = x + (-0.16 + 0.08 * k) * h
        c.line(
            [(x + (fx - x) * 0.5, foot - 0.5 * h), (fx, foot)], mix(robe, p.dark if k % 2 else p.light, 0.3), 0.018 * h
        )
    if mantle is not None:
        for d in (-1.0, 1.0):
            c.poly(
                [
                    (x + d * 0.04 * h, foot - 0.8 * h),
                    (x + d * 0.18 * h, foot - 0.66 * h),
                    (x + d * 0.32 * h, foot),
                    (x + d * 0.13 * h, foot),
                    (x + d * 0.11 * h, foot - 0.5 * h),
                ],
                mantle,
            )
    c.oval(x, y, 0.15 * h, 0.15 * h, mix(p.a, p.light, 0.45))
    c.oval(x, y, 0.125 * h, 0.125 * h, mix(p.a, p.light, 0.7), contour=False)
    c.ball(x, y + 0.02 * h, 0.085 * h, 0.11 * h, mix(mantle or robe, p.dark, 0.2), 0.4)
    c.ball(x, y + 0.025 * h, 0.062 * h, 0.085 * h, p.skin, 0.35)
    c.ball(x, foot - 0.55 * h, 0.05 * h, 0.06 * h, p.skin, 0.35)


def person(c: Canvas, x: float, foot: float, height: float, coat: Color, s: float) -> None:
    """A person in a plain coat or dress, turned to the side `s`."""
    p = c.palette
    h = height
    skirt = c.chance(0.5)
    c.shadow(x, foot, 0.3 * h, 0.06 * h, 0.7)
    if skirt:
        c.poly(
            [
                (x - 0.1 * h, foot - 0.52 * h),
                (x - 0.24 * h, foot),
                (x + 0.24 * h, foot),
                (x + 0.1 * h, foot - 0.52 * h),
            ],
            mix(coat, p.light, 0.15),
        )
    else:
        for d in (-0.08, 0.06):
            c.rect(x + (d - 0.04) * h, foot - 0.5 * h, x + (d + 0.05) * h, foot, mix(p.dark, p.c, 0.2))
    c.ball(x, foot - 0.62 * h, 0.15 * h, 0.22 * h, coat, 0.45)
    c.curve(
        [(x - s * 0.02 * h, foot - 0.74 * h), (x + s * 0.13 * h, foot - 0.6 * h), (x + s * 0.28 * h, foot - 0.57 * h)],
        mix(coat, p.dark, 0.15),
        0.085 * h,
    )
    c.ball(x + s * 0.3 * h, foot - 0.57 * h, 0.04 * h, 0.04 * h, p.skin, 0.3)
    c.ball(x + s * 0.03 * h, foot - 0.91 * h, 0.085 * h, 0.105 * h, p.skin, 0.4)
    cap = p.light if skirt else mix(p.dark, coat, 0.25)
    c.ball(x - s * 0.01 * h, foot - 0.97 * h, 0.1 * h, 0.075 * h, cap, 0.35)


def _shoulders(c: Canvas, x: float, y: float, k: float, cloth: Color) -> None:
    p = c.palette
    c.ball(x, y + 1.32 * k, 0.98 * k, 0.68 * k, cloth, 0.6)
    c.rect(x - 0.7 * k, y + 1.3 * k, x + 0.7 * k, c.ay + 0.1, mix(cloth, p.dark, 0.3), contour=False)
    neck = mix(p.skin, p.dark, 0.16)
    c.poly(
        [
            (x - 0.16 * k, y + 0.3 * k),
            (x + 0.16 * k, y + 0.3 * k),
            (x + 0.2 * k, y + 0.74 * k),
            (x - 0.2 * k, y + 0.74 * k),
        ],
        neck,
    )
    kind = c.n(0, 2)
    if kind == 0:
        for d in (-1.0, 1.0):
            c.poly([(x, y + 0.98 * k), (x + d * 0.19 * k, y + 0.62 * k), (x + d * 0.38 * k, y + 0.8 * k)], p.light)
    elif kind == 1:
        c.oval(x, y + 0.68 * k, 0.34 * k, 0.13 * k, mix(p.light, p.dark, 0.08))
        for i in range(0 if c.plain else 9):
            fx = x + (-0.28 + 0.07 * i) * k
            c.line([(fx, y + 0.6 * k), (fx * 1.05, y + 0.77 * k)], mix(p.light, p.dark, 0.3), 0.01)
    else:
        c.poly([(x - 0.3 * k, y + 0.7 * k), (x, y + 1.15 * k), (x + 0.3 * k, y + 0.7 * k)], mix(p.skin, p.dark, 0.08))
        if not c.plain:
            for i in range(9):
                t = (i - 4) / 4
                c.ball(x + 0.24 * k * t, y + (0.9 - 0.16 * t * t) * k, 0.03 * k, 0.03 * k, p.light, 0.5)


def _head(c: Canvas, x: float, y: float, k: float, hair: Color) -> None:
    p = c.palette
    turn = c.u(-0.07, 0.07) * k
    c.ball(x, y - 0.1 * k, 0.415 * k, 0.5 * k, hair, 0.5)
    c.ball(x, y + 0.05 * k, 0.345 * k, 0.465 * k, p.skin, 0.45)
    if not c.plain:
        c.glow(x - 0.17 * k + turn, y + 0.18 * k, 0.16 * k, mix(p.skin, p.b, 0.35), 0.5 if not c.flat else 0)
        c.glow(x + 0.19 * k + turn, y + 0.18 * k, 0.15 * k, mix(p.skin, p.b, 0.35), 0.5 if not c.flat else 0)
    c.poly(
        [
            (x - 0.36 * k, y - 0.1 * k),
            (x - 0.28 * k, y - 0.42 * k),
            (x + 0.1 * k, y - 0.46 * k),
            (x + 0.36 * k, y - 0.1 * k),
            (x + 0.2 * k, y - 0.26 * k),
            (x - 0.1 * k, y - 0.24 * k),
        ],
        hair,
        contour=False,
    )
    for d in (-1.0, 1.0):
        ex, ey = x + d * 0.145 * k + turn, y + 0.0 * k
        c.oval(ex, ey, 0.065 * k, 0.036 * k, mix(p.light, p.skin, 0.25))
        c.oval(ex + turn * 0.2, ey, 0.032 * k, 0.034 * k, mix(p.dark, p.c, 0.25), contour=False)
        c.curve(
            [(ex - 0.08 * k, ey - 0.07 * k), (ex, ey - 0.105 * k), (ex + 0.08 * k, ey - 0.07 * k)],
            mix(hair, p.dark, 0.3),
            0.02 * k,
        )
        c.curve([(ex - 0.07 * k, ey - 0.005 * k), (ex, ey - 0.042 * k), (ex + 0.07 * k, ey)], p.dark, 0.013 * k)
    shade = mix(p.skin, p.dark, 0.38)
    nose = [(x + turn * 0.7, y + 0.02 * k), (x + turn * 1.6 + 0.035 * k, y + 0.17 * k), (x + turn, y + 0.2 * k)]
    c.curve(nose, shade, 0.016 * k)
    lips = mix(p.b, p.skin, 0.35)
    c.oval(x + turn, y + 0.305 * k, 0.088 * k, 0.028 * k, lips, contour=False)
    c.line(
        [(x + turn - 0.085 * k, y + 0.303 * k), (x + turn + 0.085 * k, y + 0.303 * k)], mix(lips, p.dark, 0.5), 0.01 * k
    )


def _hat(c: Canvas, x: float, y: float, k: float) -> None:
    p = c.palette
    felt = mix(c.pick(p.dark, p.b, p.c), p.dark, 0.35)
    c.ball(x, y - 0.48 * k, 0.36 * k, 0.3 * k, felt, 0.5)
    c.ball(x, y - 0.34 * k, 0.62 * k, 0.12 * k, felt, 0.55)
    if c.chance(0.5):
        c.curve(
            [(x + 0.2 * k, y - 0.42 * k), (x + 0.5 * k, y - 0.66 * k), (x + 0.74 * k, y - 0.5 * k)],
            mix(p.light, p.a, 0.3),
            0.06,
        )


def _tiles(c: Canvas, floor: float) -> None:
    p = c.palette
    pale, deep = mix(p.light, p.skin, 0.45), mix(p.near, p.dark, 0.45)
    c.gradient(mix(pale, p.dark, 0.35), mix(pale, p.dark, 0.12), floor, None)
    if c.plain:
        return
    rows = [floor + (c.ay - floor) * (i / 6) ** 1.5 for i in range(7)]
    for i in range(6):
        for j in range(-9, 9):
            if (i + j) % 2:
                continue
            spread = [0.24 * (0.6 + 1.3 * (rows[k] - floor)) for k in (i, i + 1)]
            c.poly(
                [
                    (j * spread[0], rows[i]),
                    ((j + 1) * spread[0], rows[i]),
                    ((j + 1) * spread[1], rows[i + 1]),
                    (j * spread[1], rows[i + 1]),
                ],
                deep,
                contour=False,
            )


def _window(c: Canvas, side: float, floor: float) -> None:
    p = c.palette
    x0, x1, y0, y1 = side * 0.92 * c.ax, side * (0.92 * c.ax - 0.5), -0.78 * c.ay, floor - 0.3
    c.rect(x0, y0, x1, y1, mix(p.dark, p.skin, 0.3))
    c.rect(x0 - side * 0.04, y0 + 0.04, x1 + side * 0.04, y1 - 0.04, mix(p.light, p.sky, 0.25))
    for k in (1, 2):
        c.line([(x0 + (x1 - x0) * k / 3, y0), (x0 + (x1 - x0) * k / 3, y1)], p.dark, 0.02)
        c.line([(x0, y0 + (y1 - y0) * k / 3), (x1, y0 + (y1 - y0) * k / 3)], p.dark, 0.02)
    c.glow((x0 + x1) / 2 - side * 0.3, (y0 + y1) / 2 + 0.3, 1.1, mix(p.light, p.a, 0.2), 0.4)


def _table(c: Canvas, x: float, y: float) -> None:
    p = c.palette
    cloth = mix(p.light, c.pick(p.b, p.a, p.light), 0.4)
    c.shadow(x, y + 0.45, 0.6, 0.1, 0.6)
    for d in (-0.36, 0.34):
        c.rect(x + d, y, x + d + 0.05, y + 0.48, mix(p.dark, p.skin, 0.2))
    c.poly([(x - 0.5, y), (x + 0.5, y), (x + 0.46, y + 0.22), (x - 0.46, y + 0.22)], mix(cloth, p.dark, 0.25))
    c.poly([(x - 0.42, y - 0.1), (x + 0.42, y - 0.1), (x + 0.5, y), (x - 0.5, y)], cloth)
    c.lathe(x - 0.14, y - 0.04, [0.06, 0.08, 0.07, 0.05, 0.06], 0.22, mix(p.c, p.light, 0.2))
    for dx in (0.05, 0.16, 0.27):
        c.ball(x + dx, y - 0.07, 0.05, 0.05, c.pick(*p.accents))
