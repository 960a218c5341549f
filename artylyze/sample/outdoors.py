"""Compositions under the open sky: landscape, cityscape, marine painting."""

from __future__ import annotations

import math

from .canvas import Canvas, Color, mix


def landscape(c: Canvas) -> None:
    """Hills behind one another, a river or a road, trees, a sun."""
    p = c.palette
    horizon = c.u(-0.2, 0.15) * c.ay
    sky(c, horizon)
    sun(c, horizon)
    c.ridge(horizon + 0.02, c.u(0.2, 0.45), mix(p.far, p.horizon, 0.45), 1.3)
    c.ridge(horizon + 0.12, c.u(0.12, 0.25), p.far, 0.9)
    c.ridge(horizon + 0.28, 0.12, mix(p.far, p.mid, 0.7), 0.7)
    if not c.plain:
        for _ in range(c.n(2, 5)):
            bush(c, c.u(-c.ax, c.ax), horizon + c.u(0.2, 0.32), 0.07, mix(p.far, p.near, 0.5))
    ground = horizon + 0.4
    c.ridge(ground, 0.1, p.mid, 0.6)
    _path(c, ground + 0.03, p.horizon if c.chance(0.6) else mix(p.light, p.a, 0.3))
    c.ridge(ground + 0.5 * (c.ay - ground) + 0.12, 0.12, p.near, 0.8)
    if c.chance(0.6) and not c.plain:
        house(c, c.u(-0.8, 0.8) * c.ax, ground + 0.12, c.u(0.1, 0.17))
    kind = c.n(0, 2)
    side = 1 if c.chance(0.5) else -1
    for i in range(1 if c.plain else c.n(2, 4)):
        x = side * c.u(0.35, 0.95) * c.ax if i < 2 else -side * c.u(0.4, 0.9) * c.ax
        tree(c, x, c.u(0.5, 0.85) * c.ay, c.u(0.75, 1.15), kind)


def cityscape(c: Canvas) -> None:
    """Rows of houses with lit windows along a street, a tower or a dome behind them."""
    p = c.palette
    ground = c.u(0.45, 0.6) * c.ay
    sky(c, ground)
    _skyline(c, ground)
    x = -c.ax - c.u(0, 0.3)
    while x < c.ax:
        width = c.u(0.3, 0.55)
        wall = mix(c.pick(p.a, p.b, p.c, p.skin, p.light), p.mid, c.u(0.15, 0.6))
        _house_front(c, x, ground, width, c.u(0.55, 1.25), wall)
        x += width
    c.gradient(mix(p.near, p.light, 0.3), p.near, ground, None)
    c.rect(-c.ax - 0.1, ground, c.ax + 0.1, ground + 0.03, mix(p.dark, p.near, 0.4), contour=False)
    vanish = c.u(-0.4, 0.4) * c.ax
    for side in (-1.0, 1.0):
        c.line([(vanish + side * 0.25, ground + 0.04), (vanish + side * 1.3, c.ay)], mix(p.near, p.light, 0.55), 0.02)
    for _ in range(0 if c.plain else c.n(4, 9)):
        y = c.u(ground + 0.12, c.ay - 0.05)
        walker(c, c.u(-c.ax, c.ax), y, 0.13 + 0.3 * (y - ground), c.pick(*p.accents, p.dark))
    for _ in range(0 if c.plain else 2):
        lamp(c, c.u(-0.95, 0.95) * c.ax, ground + 0.12)


def marine(c: Canvas) -> None:
    """The sea with sailing boats, the light lying on the water."""
    p = c.palette
    horizon = c.u(-0.15, 0.2) * c.ay
    sky(c, horizon)
    x = sun(c, horizon, low=True)
    if c.chance(0.6):
        side = 1.0 if c.chance(0.5) else -1.0
        points = [
            (side * c.ax * (1.05 - 0.3 * i), horizon - 0.22 * math.exp(-i * 0.6) * c.u(0.7, 1.3)) for i in range(5)
        ]
        c.poly([*points, (side * -0.3 * c.ax, horizon), (side * c.ax * 1.05, horizon)], mix(p.far, p.horizon, 0.3))
    c.gradient(mix(p.c, p.horizon, 0.55), mix(p.c, p.dark, 0.55), horizon, None)
    _waves(c, horizon, x)
    sails = [p.light, mix(p.light, p.a, 0.6), p.a, p.b]
    for i in range(1 if c.plain else c.n(2, 4)):
        depth = 0.12 + 0.2 * i + c.u(0, 0.12)
        boat(c, c.u(-0.75, 0.75) * c.ax, horizon + depth * (c.ay - horizon), 0.2 + 0.75 * depth, sails[c.n(0, 3)])
    if not c.plain:
        for _ in range(c.n(2, 6)):
            gull(c, c.u(-c.ax, c.ax) * 0.9, horizon - c.u(0.15, 0.7), c.u(0.03, 0.07))


def sky(c: Canvas, horizon: float) -> None:
    """The sky down to the horizon, with clouds."""
    p = c.palette
    c.gradient(p.sky, p.horizon, None, horizon + 0.3)
    for _ in range(1 if c.plain else c.n(2, 5)):
        x, y, r = c.u(-c.ax, c.ax), c.u(-0.9 * c.ay, horizon - 0.3), c.u(0.12, 0.3)
        tint = mix(p.light, p.horizon, c.u(0, 0.5))
        for k in range(c.n(3, 6)):
            dx = (k - 2) * r * 0.55
            if c.flat:
                c.oval(x + dx, y, r * 0.75, r * 0.16, tint, contour=False)
            else:
                c.glow(x + dx, y - c.u(0, 0.3) * r, r * c.u(0.7, 1.2), tint, 0.7)


def sun(c: Canvas, horizon: float, *, low: bool = False) -> float:
    """A sun or a moon above the horizon; the answer is its x."""
    p = c.palette
    x = c.u(-0.7, 0.7) * c.ax
    y = horizon - (c.u(0.12, 0.3) if low else c.u(0.3, 0.7) * (c.ay + horizon))
    c.glow(x, y, c.u(0.6, 0.9), mix(p.light, p.a, 0.35), 0.55)
    r = c.u(0.08, 0.13) * (1.5 if c.flat else 1)
    c.oval(x, y, r, r, mix(p.light, p.a, 0.15) if not c.flat else p.b, contour=False)
    return x


def bush(c: Canvas, x: float, y: float, r: float, color: Color) -> None:
    """A rounded bush with a lit side."""
    for dx, dy, k in ((-0.8, 0, 0.8), (0.7, 0.05, 0.75), (0, -0.35, 1)):
        c.ball(x + dx * r, y + dy * r, r * k, r * k * 0.85, color, 0.5)


def tree(c: Canvas, x: float, foot: float, height: float, kind: int) -> None:
    """A tree: 0 broad, 1 cypress or poplar, 2 pine."""
    p = c.palette
    trunk = mix(p.dark, p.skin, 0.25)
    w = 0.045 * height
    c.shadow(x + 0.1, foot, 0.35 * height, 0.06, 0.6)
    leaf = mix(p.near, c.pick(p.mid, p.a, p.near), c.u(0, 0.45))
    if kind == 0:
        c.poly(
            [(x - w, foot), (x - w * 0.5, foot - height * 0.6), (x + w * 0.5, foot - height * 0.6), (x + w, foot)],
            trunk,
        )
        for _ in range(4 if c.plain else 11):
            t = c.u(0, 2 * math.pi)
            r = c.u(0.12, 0.2) * height
            c.ball(
                x + 0.24 * height * math.cos(t), foot - height * (0.72 + 0.17 * math.sin(t)), r, r * 0.85, leaf, 0.55
            )
    elif kind == 1:
        c.rect(x - w * 0.5, foot - height * 0.2, x + w * 0.5, foot, trunk)
        c.ball(x, foot - height * 0.58, 0.1 * height, 0.46 * height, leaf, 0.6)
    else:
        c.rect(x - w * 0.5, foot - height * 0.25, x + w * 0.5, foot, trunk)
        for k in range(4):
            y, half = foot - height * (0.15 + 0.2 * k), height * (0.24 - 0.045 * k)
            c.poly([(x - half, y), (x, y - 0.36 * height), (x + half, y)], mix(leaf, p.dark, 0.12 * (3 - k)))


def house(c: Canvas, x: float, y: float, r: float) -> None:
    """A small house with a pitched roof."""
    p = c.palette
    wall, roof = mix(p.light, p.skin, 0.4), mix(p.b, p.dark, 0.2)
    c.rect(x - r, y - r, x + r, y, wall)
    c.poly([(x - r * 1.2, y - r), (x - r * 0.6, y - r * 1.8), (x + r * 0.8, y - r * 1.8), (x + r * 1.3, y - r)], roof)
    c.rect(x - r * 0.2, y - r * 0.55, x + r * 0.15, y, mix(p.dark, wall, 0.2))
    c.rect(x + r * 0.45, y - r * 0.65, x + r * 0.7, y - r * 0.35, p.dark, contour=False)


def walker(c: Canvas, x: float, y: float, height: float, color: Color) -> None:
    """A small distant figure standing on `y`."""
    p = c.palette
    h = height
    c.shadow(x + h * 0.15, y, h * 0.35, h * 0.08, 0.6)
    c.poly([(x - 0.2 * h, y), (x - 0.1 * h, y - 0.75 * h), (x + 0.1 * h, y - 0.75 * h), (x + 0.2 * h, y)], color)
    c.oval(x, y - 0.86 * h, 0.09 * h, 0.12 * h, p.skin)
    if c.chance(0.6):
        c.rect(x - 0.14 * h, y - 0.97 * h, x + 0.14 * h, y - 0.92 * h, p.dark, contour=False)


def lamp(c: Canvas, x: float, y: float) -> None:
    """A street lamp that gives light."""
    p = c.palette
    c.line([(x, y), (x, y - 0.5)], p.dark, 0.016)
    c.glow(x, y - 0.53, 0.22, mix(p.light, p.a, 0.4), 0.85)
    c.oval(x, y - 0.53, 0.03, 0.04, p.light)


def boat(c: Canvas, x: float, y: float, size: float, sail: Color) -> None:
    """A sailing boat and its reflection."""
    p = c.palette
    s, lean = size, c.u(-0.08, 0.08)
    hull = mix(c.pick(p.b, p.dark, p.a), p.dark, 0.4)
    c.shadow(x, y + 0.1 * s, 0.6 * s, 0.14 * s, 0.7)
    top = (x + lean * s, y - 1.05 * s)
    c.poly([(x - 0.02 * s, y - 0.08 * s), top, (x + 0.42 * s, y - 0.12 * s)], sail)
    c.poly([(x - 0.06 * s, y - 0.1 * s), top, (x - 0.34 * s, y - 0.14 * s)], mix(sail, p.dark, 0.22))
    c.line([(x - 0.02 * s, y), top], p.dark, 0.018 * s + 0.004)
    hull_points = [(x - 0.48 * s, y - 0.07 * s), (x + 0.5 * s, y - 0.09 * s), (x + 0.36 * s, y + 0.07 * s)]
    c.poly([*hull_points, (x - 0.34 * s, y + 0.07 * s)], hull)
    for i in range(0 if c.flat else 5):
        ry, half = y + (0.12 + 0.09 * i) * s, (0.3 - 0.04 * i) * s
        c.line([(x - half, ry), (x + half * c.u(0.5, 1), ry)], mix(p.c, sail, 0.45 - 0.06 * i), 0.02 * s + 0.004)


def gull(c: Canvas, x: float, y: float, r: float) -> None:
    """A bird far away."""
    c.curve(
        [(x - r, y - 0.3 * r), (x - 0.4 * r, y - 0.4 * r), (x, y), (x + 0.4 * r, y - 0.4 * r), (x + r, y - 0.2 * r)],
        c.palette.dark,
        0.012,
    )


def _path(c: Canvas, top: float, color: Color) -> None:
    p = c.palette
    x, bend = c.u(-0.3, 0.3) * c.ax, c.u(-0.6, 0.6)
    left: list[tuple[float, float]] = []
    right: list[tuple[float, float]] = []
    for i in range(16):
        t = i / 15
        y = top + t * t * (c.ay * 1.05 - top)
        mid = x + bend * math.sin(t * 4.2) * (0.15 + t * 0.8)
        half = 0.015 + 0.34 * t**2.2
        left.append((mid - half, y))
        right.append((mid + half, y))
    c.poly([*left, *reversed(right)], mix(color, p.light, 0.1))
    for i in range(0 if c.flat else 8):
        a, b = left[5 + i], right[5 + i]
        t = c.u(0.1, 0.6)
        c.line(
            [(a[0] + (b[0] - a[0]) * t, a[1]), (a[0] + (b[0] - a[0]) * (t + 0.3), a[1])],
            mix(color, p.light, 0.6),
            0.012,
        )


def _skyline(c: Canvas, ground: float) -> None:
    p = c.palette
    tint = mix(p.far, p.horizon, 0.45)
    x = -c.ax
    while x < c.ax:
        w = c.u(0.1, 0.25)
        c.rect(x, ground - c.u(0.8, 1.2), x + w, ground, tint, contour=False)
        x += w
    x = c.u(-0.6, 0.6) * c.ax
    tint = mix(p.far, p.mid, 0.3)
    if c.chance(0.5):
        c.rect(x - 0.09, ground - 1.25, x + 0.09, ground, tint)
        c.poly([(x - 0.12, ground - 1.25), (x, ground - 1.85), (x + 0.12, ground - 1.25)], mix(tint, p.dark, 0.25))
    else:
        c.ball(x, ground - 1.15, 0.33, 0.38, tint, 0.4)
        c.rect(x - 0.33, ground - 1.15, x + 0.33, ground, tint)
        c.line([(x, ground - 1.5), (x, ground - 1.7)], tint, 0.03)


def _house_front(c: Canvas, x: float, ground: float, width: float, height: float, wall: Color) -> None:
    p = c.palette
    top = ground - height
    roof = mix(c.pick(p.b, p.near, p.dark), p.dark, 0.3)
    if c.chance(0.55):
        c.poly([(x, top), (x + width / 2, top - c.u(0.15, 0.3)), (x + width, top)], roof)
    else:
        c.rect(x - 0.01, top - 0.05, x + width + 0.01, top, roof)
    c.rect(x, top, x + width, ground, wall)
    if not c.flat:
        c.rect(x + width * 0.86, top, x + width, ground, mix(wall, p.dark, 0.25), contour=False)
    columns, rows = max(2, round(width / 0.15)), max(2, round(height / 0.24))
    pane = width / columns
    for row in range(rows):
        y = top + (row + 0.25) * height / rows
        for col in range(columns):
            glass = mix(p.a, p.light, 0.5) if c.chance(0.3) else mix(p.dark, p.sky, 0.25)
            wx = x + (col + 0.25) * pane
            c.rect(wx, y, wx + pane * 0.45, y + 0.5 * height / rows, glass, contour=not c.plain)


def _waves(c: Canvas, horizon: float, sun_x: float) -> None:
    p = c.palette
    for _ in range(14 if c.flat else 90):
        t = c.u(0.0, 1.0) ** 1.4
        y = horizon + 0.02 + t * (c.ay - horizon)
        near = c.chance(0.45) and not c.flat
        x = sun_x + c.u(-0.12, 0.12) * (1 + 3 * t) if near else c.u(-c.ax, c.ax)
        half = (0.03 + 0.16 * t) * c.u(0.5, 1.4)
        tint = mix(p.light, p.a, 0.25) if near else mix(p.c, c.pick(p.light, p.dark, p.horizon), 0.4)
        c.curve([(x - half, y), (x, y - 0.03 * t - 0.006), (x + half, y + 0.004)], tint, 0.006 + 0.016 * t)
