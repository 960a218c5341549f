"""Composition of animal painting: a horse, a cow, a stag or a cat in a meadow."""

from __future__ import annotations

from .canvas import Canvas, Color, mix
from .outdoors import sky


def animal(c: Canvas) -> None:
    """One large animal in a meadow: a horse, a cow, a stag, or a cat seated."""
    p = c.palette
    horizon = c.u(-0.25, 0.05) * c.ay
    sky(c, horizon)
    c.ridge(horizon, 0.2, p.far, 1.1)
    c.ridge(horizon + 0.25, 0.08, p.mid, 0.6)
    c.ridge(horizon + 0.75, 0.06, mix(p.mid, p.near, 0.5), 0.6)
    coat = c.pick(mix(p.skin, p.a, 0.5), mix(p.dark, p.skin, 0.35), mix(p.light, p.skin, 0.4), mix(p.a, p.dark, 0.35))
    side = 1.0 if c.chance(0.5) else -1.0
    x, foot = c.u(-0.15, 0.15), c.u(0.68, 0.8) * c.ay
    c.shadow(x, foot, 0.9, 0.14, 0.7)
    if c.chance(0.3):
        _cat(c, x, foot, side, coat)
    else:
        _quadruped(c, x, foot, side, coat, c.n(0, 2))
    if not c.plain:
        for _ in range(28):
            gx, gy = c.u(-c.ax, c.ax), c.u(foot - 0.02, c.ay)
            c.line([(gx, gy), (gx + c.u(-0.03, 0.03), gy - c.u(0.05, 0.12))], mix(p.near, p.light, c.u(0, 0.4)), 0.012)


def _quadruped(c: Canvas, x: float, foot: float, side: float, coat: Color, kind: int) -> None:
    """Kind 0: horse, 1: cow, 2: stag."""
    p = c.palette
    s = side
    leg, dark = (0.62, 0.42, 0.66)[kind], mix(coat, p.dark, 0.4)
    girth, neck = (0.27, 0.34, 0.22)[kind], (0.62, 0.28, 0.6)[kind]
    back = foot - leg - girth
    for dx, tint in ((-0.46, dark), (0.34, dark), (-0.56, coat), (0.46, coat)):
        lx, bend = x + s * dx, c.u(-0.06, 0.06)
        c.poly(
            [
                (lx - 0.085, back),
                (lx - 0.04 + bend, foot - 0.25),
                (lx - 0.035, foot),
                (lx + 0.045, foot),
                (lx + 0.045 + bend, foot - 0.25),
                (lx + 0.085, back),
            ],
            tint,
        )
        c.rect(lx - 0.045, foot - 0.05, lx + 0.06, foot, p.dark)
    tail = [(x - s * 0.66, back - 0.1), (x - s * 0.84, back + 0.1), (x - s * 0.8, back + 0.45)]
    c.curve(tail, p.dark if kind != 2 else coat, 0.07 if kind == 0 else 0.035)
    hx, hy = x + s * (0.62 + 0.28 * neck), back - neck
    c.poly(
        [
            (x + s * 0.25, back - 0.2),
            (hx - s * 0.14, hy - 0.06),
            (hx + s * 0.1, hy + 0.12),
            (x + s * 0.66, back + 0.16),
        ],
        mix(coat, p.dark, 0.12),
    )
    c.ball(x, back, 0.72, girth, coat)
    c.ball(x + s * 0.45, back - 0.02, 0.26, girth * 1.02, coat, 0.4)
    c.ball(x - s * 0.48, back - 0.03, 0.27, girth * 1.02, coat, 0.45)
    if kind == 1:
        for _ in range(4):
            c.blob(x + c.u(-0.5, 0.4), back + c.u(-0.12, 0.1), c.u(0.08, 0.16), c.u(0.06, 0.12), p.light, 0.3)
    _animal_head(c, hx, hy, s, coat, kind)


def _animal_head(c: Canvas, x: float, y: float, s: float, coat: Color, kind: int) -> None:
    p = c.palette
    if kind == 0:
        c.curve([(x - s * 0.1, y - 0.14), (x - s * 0.24, y + 0.15), (x - s * 0.42, y + 0.45)], p.dark, 0.09)
    for dx in (-0.07, 0.03):
        c.poly([(x + s * dx, y - 0.08), (x + s * (dx - 0.02), y - 0.26), (x + s * (dx + 0.08), y - 0.1)], coat)
    c.ball(x, y, 0.16, 0.15, coat, 0.4)
    muzzle = (x + s * 0.2, y + 0.13)
    c.poly(
        [
            (x - s * 0.05, y - 0.12),
            (x + s * 0.13, y - 0.09),
            (muzzle[0] + s * 0.07, muzzle[1] - 0.06),
            (muzzle[0] - s * 0.04, muzzle[1] + 0.09),
            (x - s * 0.1, y + 0.13),
        ],
        coat,
        contour=False,
    )
    c.ball(*muzzle, 0.1, 0.09, mix(coat, p.dark, 0.3), 0.4)
    c.oval(x + s * 0.05, y - 0.02, 0.024, 0.024, p.dark)
    if kind == 1:
        for d in (-0.1, 0.08):
            c.curve([(x + s * d, y - 0.12), (x + s * (d - 0.08), y - 0.24), (x + s * d, y - 0.32)], p.light, 0.035)
    if kind == 2:
        for d in (-1.0, 1.0):
            tip = (x + d * 0.26, y - 0.62)
            c.curve([(x, y - 0.1), (x + d * 0.2, y - 0.3), tip], mix(p.light, p.dark, 0.3), 0.03)
            for t in (0.35, 0.6, 0.8):
                bx, by = x + d * (0.1 + 0.2 * t), y - 0.1 - 0.5 * t
                c.line([(bx, by), (bx + d * 0.14, by - 0.12)], mix(p.light, p.dark, 0.3), 0.025)


def _cat(c: Canvas, x: float, foot: float, s: float, coat: Color) -> None:
    p = c.palette
    c.curve(
        [(x - s * 0.35, foot - 0.1), (x - s * 0.8, foot - 0.08), (x - s * 0.9, foot - 0.45), (x - s * 0.7, foot - 0.6)],
        coat,
        0.11,
    )
    c.ball(x - s * 0.1, foot - 0.42, 0.46, 0.44, coat)
    c.ball(x + s * 0.1, foot - 0.68, 0.33, 0.42, coat, 0.45)
    for dx in (0.06, 0.28):
        c.ball(x + s * dx, foot - 0.2, 0.1, 0.24, mix(coat, p.light, 0.12), 0.4)
    hx, hy = x + s * 0.18, foot - 1.16
    for d in (-1.0, 1.0):
        c.poly(
            [(hx + d * 0.27, hy - 0.05), (hx + d * 0.25, hy - 0.42), (hx + d * 0.04, hy - 0.22)],
            mix(coat, p.dark, 0.15),
        )
    c.ball(hx, hy, 0.31, 0.27, coat, 0.4)
    for d in (-1.0, 1.0):
        c.oval(hx + d * 0.12, hy - 0.03, 0.055, 0.045, mix(p.a, p.light, 0.3))
        c.oval(hx + d * 0.12, hy - 0.03, 0.018, 0.042, p.dark, contour=False)
        for k in (-0.04, 0.04):
            c.line([(hx + d * 0.08, hy + 0.1), (hx + d * 0.4, hy + 0.1 + k)], p.light, 0.008)
    c.poly([(hx - 0.035, hy + 0.06), (hx + 0.035, hy + 0.06), (hx, hy + 0.1)], mix(p.b, p.skin, 0.5))
