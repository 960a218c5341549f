"""What each genre draws: scenes made of filled shapes, in the colors of their style."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from artylyze.sample.canvas import Canvas, Color, closed, mix, oval, points, symmetric


def portrait(c: Canvas) -> None:
    """Head and shoulders of one person."""
    p, at, cloth = c.palette, complex(c.u(-0.12, 0.12), c.u(-0.25, -0.15)), c.pick(*c.palette[-3:])
    hair, lips = mix(c.pick(p.dark, p.a, p.b), p.dark, 0.5), mix(p.b, p.skin, 0.4)
    c.gradient(mix(p.mid, p.dark, 0.35), mix(p.near, p.dark, 0.5), -c.h, c.h)
    c.glow(complex(c.u(-0.5, 0.5), -0.2), 1.6, 1.6, mix(p.far, p.light, 0.3))
    c.fill(at + symmetric(c.pick("0,-62 30,-55 45,-10 52,70 0,75", "0,-60 40,-40 42,10 0,20")), hair, 0.5)
    c.fill(at + symmetric("0,60 16,56 35,68 85,86 105,140 110,200 0,200"), cloth, 0.8)
    c.fill(at + symmetric("0,50 16,40 44,72 30,88 0,112"), mix(p.light, cloth, c.u(0, 0.3)), 0.5)
    c.fill(at + points("-16,20 16,20 24,62 0,98 -24,62"), mix(p.skin, p.dark, 0.2), 0.3)
    c.fill(at + symmetric("0,-48 24,-42 35,-10 27,26 11,44 0,47"), p.skin, 0.7)
    for eye in at + c.u(-0.05, 0.05) + np.array([-0.15, 0.15]):
        c.glow(eye + 0.17j, 0.14, 0.14, mix(p.skin, p.b, 0.5))
        c.fill(oval(eye, 0.065, 0.034), mix(p.light, p.skin, 0.3), contour=False)
        c.fill(oval(eye, 0.03, 0.03), mix(p.dark, p.c, 0.3), contour=False)
        c.line(eye + points("-8,0 -4,-4 4,-4 8,0"), p.dark, 0.016)
        c.line(eye + points("-9,-10 -3,-13 3,-13 9,-10"), mix(hair, p.dark, 0.3), 0.022)
    c.line(at + points("2,0 5,13 -1,16"), mix(p.skin, p.dark, 0.4), 0.018)
    c.fill(at + symmetric("0,26 3,25 9,27 0,31"), lips, contour=False)
    c.fill(at + closed(points("-42,12 -44,-30 -22,-58 20,-58 43,-30 42,12 31,-18 5,-32 -31,-18")), hair, 0.6)
    if c.pick(True, False):
        c.fill(at + symmetric("0,-88 34,-78 42,-38 0,-36"), mix(cloth, p.dark, 0.4), 0.7)
        c.fill(oval(at - 0.4j, 0.72, 0.12), mix(cloth, p.dark, 0.4), 0.7)


def landscape(c: Canvas) -> None:
    """Hills behind one another, a river, trees."""
    p, horizon = c.palette, c.u(-0.3, 0.05) * c.h
    broad, cypress = ("0,-100 19,-93 33,-74 30,-56 15,-45 0,-43",), ("0,-110 7,-75 12,-35 5,-8 0,-6",)
    tree = c.pick(broad, cypress, ("0,-60 28,-12 0,-8", "0,-84 22,-36 0,-32", "0,-106 15,-62 0,-58"))
    _sky(c, horizon)
    for y in (0.0, 0.12, 0.3):
        _hills(c, horizon + y, 0.32 - 0.7 * y, mix(mix(p.far, p.horizon, 0.4), p.mid, 3 * y))
    t = np.linspace(0, 1, 20)
    middle = c.u(-0.7, 0.7) * np.sin(t * 5) * (0.2 + 0.5 * t) + 1j * (horizon + 0.36 + 1.3 * c.h * t**1.7)
    c.fill(np.append(middle - 0.38 * t**2, (middle + 0.01 + 0.38 * t**2)[::-1]), mix(p.sky, p.light, 0.35), 0.3)
    _hills(c, 0.85 * c.h, 0.12, p.near)
    for y in sorted(c.u(0.35, 0.95) * c.h for _ in range(c.pick(2, 3, 4))):
        foot, size = complex(c.pick(-1, 1) * c.u(0.3, 1) * c.w, y), c.u(0.8, 1.1) * (0.6 + 0.6 * y / c.h)
        leaf = mix(p.near, c.pick(p.mid, p.a, p.near), c.u(0, 0.4))
        c.glow(foot + 0.12, 0.4 * size, 0.07, p.dark)
        c.fill(foot + size * points("-5,0 -2,-55 2,-55 5,0"), mix(p.dark, p.skin, 0.25), 0.5)
        for part in tree:
            c.fill(foot + size * symmetric(part), mix(leaf, p.dark, c.u(0, 0.25)), 0.9)


def _sky(c: Canvas, horizon: float) -> float:
    """Draw a sky with a sun and clouds down to the horizon, and return the x of the sun."""
    p, sun = c.palette, complex(c.u(-0.7, 0.7) * c.w, horizon - c.u(0.25, 0.7) * (horizon + c.h))
    c.gradient(p.sky, p.horizon, -c.h, horizon + 0.6)
    c.glow(sun, 1, 1, mix(p.light, p.a, 0.35))
    c.fill(oval(sun, 0.12, 0.12), p.b if c.flat else mix(p.light, p.a, 0.15), contour=False)
    for _ in range(c.pick(2, 3, 4, 5)):
        at, r = complex(c.u(-c.w, c.w), c.u(-0.95 * c.h, horizon - 0.35)), c.u(0.14, 0.3)
        for puff in at + r * points("-100,0 -50,-30 0,-10 50,-35 100,0"):
            c.glow(puff, r, 0.6 * r, mix(p.light, p.horizon, 0.3))
            if c.flat:
                c.fill(oval(puff, 0.8 * r, 0.2 * r), p.light, contour=False)
    return sun.real


def _hills(c: Canvas, y: float, height: float, color: Color) -> None:
    """Draw land whose upper edge rolls by `height` about `y`, down to the foot of the picture."""
    x = np.linspace(-c.w - 0.1, c.w + 0.1, 40)
    edge = y - sum(height / k * 0.5 * np.sin(x * k * 1.6 + c.u(0, 6.3)) for k in (0.9, 2.1, 4.3))
    c.fill(np.append(x + 1j * edge, [complex(x[-1], c.h + 0.1), complex(x[0], c.h + 0.1)]), color, 0.5)


def cityscape(c: Canvas) -> None:
    """A row of houses before a tower, and the canal that mirrors them."""
    p, quay, x = c.palette, c.u(0.25, 0.4) * c.h, -c.w - c.u(0, 0.3)
    _sky(c, quay - 0.4)
    tower = points("-11,0 -11,-118 -15,-120 0,-178 15,-120 11,-118 11,0")
    c.fill(complex(c.u(-0.6, 0.6) * c.w, quay) + tower, mix(p.far, p.mid, 0.3), 0.4)
    while x < c.w:
        width, floors, wall = c.u(0.3, 0.48), c.pick(3, 4), mix(c.pick(*p[-5:]), p.mid, c.u(0.1, 0.5))
        top = complex(x, quay - 0.26 * floors)
        gable = c.pick("0,0 50,-60 100,0", "0,0 25,-8 25,-35 50,-55 75,-35 75,-8 100,0", "0,0 0,-40 99,-40 99,0")
        c.fill(top + width * points(gable), mix(c.pick(p.b, wall), p.dark, 0.3), 0.3)
        c.fill(top + width * points("0,0 100,0 100,500 0,500"), wall, 0.3)
        for k in range(3 * floors):
            pane = top + complex(width * (0.12 + 0.29 * (k % 3)), 0.08 + 0.24 * (k // 3))
            glass = c.pick(mix(p.a, p.light, 0.5), *[mix(p.dark, p.sky, 0.25)] * 3)
            c.fill(pane + width * points("0,0 18,0 18,36 0,36"), glass, contour=False)
        x += width
    c.gradient(mix(p.c, p.dark, 0.3), mix(p.c, p.dark, 0.6), quay, c.h)
    c.reflect(quay, 0.5)
    c.line(1j * quay + np.array([-c.w, c.w]), mix(p.near, p.dark, 0.4), 0.06)
    _ripples(c, quay + 0.1, 0, mix(p.horizon, p.light, 0.3))


def _ripples(c: Canvas, top: float, x: float, color: Color, spread: float = 9) -> None:
    """Draw short strokes on water below `top`, about `x`."""
    for _ in range(12 if c.flat else 50):
        t = c.u(0, 1) ** 1.4
        at = complex(x + spread * (0.3 + t) * c.u(-1, 1), top + t * (c.h - top))
        c.line(at + (0.05 + 0.15 * t) * c.u(0.5, 1.4) * points("-100,0 0,-12 100,2"), color, 0.006 + 0.014 * t)


def marine(c: Canvas) -> None:
    """The sea with sailing boats, the light of the sun on the water."""
    p, horizon, coast = c.palette, c.u(-0.1, 0.2) * c.h, points("110,0 110,-38 80,-32 62,-20 40,-14 22,0")
    x = _sky(c, horizon)
    c.fill(1j * horizon + c.w * c.pick(coast, -coast.conj()), mix(p.far, p.horizon, 0.25), 0.5)
    c.gradient(mix(p.c, p.horizon, 0.5), mix(p.c, p.dark, 0.5), horizon, c.h)
    c.reflect(horizon, 0.25)
    _ripples(c, horizon + 0.03, 0, mix(p.c, p.light, 0.3))
    _ripples(c, horizon + 0.03, x, mix(p.light, p.a, 0.3), 0.2)
    for depth in sorted(c.u(0.08, 0.75) for _ in range(c.pick(2, 3, 4))):
        at, size = complex(c.u(-0.75, 0.75) * c.w, horizon + depth * (c.h - horizon)), 0.25 + 0.75 * depth
        sail, lean = c.pick(p.light, p.a, p.b), size * np.exp(1j * c.u(-0.08, 0.08))
        for k in range(6):
            c.line(at + size * (0.1j + 0.09j * k + (0.35 - 0.05 * k) * points("-99,0 99,0")), mix(sail, p.c, 0.5), 0.01)
        c.fill(at + lean * points("-6,-10 0,-110 -36,-14"), mix(sail, p.dark, 0.2), 0.5)
        c.fill(at + lean * points("0,-8 0,-112 24,-50 44,-12"), sail, 0.5)
        c.fill(at + size * points("-50,-8 50,-10 36,8 -34,8"), mix(c.pick(p.b, p.dark, p.c), p.dark, 0.4), 0.6)


_VESSELS = (
    "0,-102 13,-100 9,-88 11,-76 22,-56 28,-32 22,-8 14,0 0,1",  # a vase
    "0,-82 17,-80 14,-66 20,-50 25,-28 22,-8 16,0 0,1",  # a jar
    "0,-102 6,-100 5,-80 7,-66 14,-56 14,-8 12,0 0,1",  # a bottle
    "0,-62 36,-60 30,-38 8,-26 5,-14 14,0 0,1",  # a bowl on a foot
)


def still_life(c: Canvas) -> None:
    """Vessels and fruit on a table before a wall."""
    p, edge, top = c.palette, c.u(0.1, 0.25) * c.h, mix(c.pick(c.palette.light, c.palette.a), c.palette.skin, 0.4)
    c.gradient(mix(p.far, p.dark, 0.35), mix(p.mid, p.dark, 0.3), -c.h, edge)
    c.glow(complex(-0.5 * c.w, -0.4), 1.6, 1.6, mix(p.horizon, p.light, 0.2))
    c.gradient(mix(top, p.dark, 0.3), mix(top, p.dark, 0.1), edge, 0.85 * c.h)
    c.gradient(mix(top, p.dark, 0.5), mix(top, p.dark, 0.7), 0.85 * c.h, c.h)
    cloth = closed(points("-70,8 40,5 75,40 60,90 20,70 -10,95 -50,72 -80,85"))
    c.fill(complex(c.u(-0.4, 0.4) * c.w, edge) + cloth, mix(p.light, c.pick(p.horizon, p.b, p.c), 0.25), 0.6)
    for x in (-0.6, 0.0, 0.6):
        _vessel(c, complex(x * c.w + c.u(-0.1, 0.1), edge + 0.17), c.u(0.85, 1.1), c.pick(*_VESSELS), c.pick(*p[-3:]))
    for k in range(count := c.pick(6, 7, 8)):
        at, r = complex(c.w * (1.6 * k / count - c.u(0.6, 0.8)), edge + 0.35 + 0.05 * (k * 7 % 5)), c.u(0.13, 0.18)
        c.glow(at + r * (0.5 + 0.75j), 1.4 * r, 0.45 * r, p.dark)
        c.fill(oval(at, r, 0.95 * r), c.pick(*p[-3:], mix(p.near, p.a, 0.5)), 1)
        c.line(at + r * points("0,-75 12,-120"), p.dark, 0.02)
        c.glow(at - r * (0.35 + 0.4j), 0.35 * r, 0.35 * r, p.light)


def _vessel(c: Canvas, foot: complex, size: float, outline: str, color: Color) -> None:
    c.glow(foot + 0.2, 0.45, 0.1, c.palette.dark)
    c.fill(foot + size * symmetric(outline), color, 1)
    c.glow(foot + size * (-0.1 - 0.4j), 0.06, 0.25, c.palette.light)


def flowers(c: Canvas) -> None:
    """A bouquet in a vase that fills the picture."""
    p, foot = c.palette, complex(c.u(-0.1, 0.1), 0.72 * c.h + 0.12)
    c.gradient(mix(p.far, p.dark, 0.45), mix(p.near, p.dark, 0.4), -c.h, 0.72 * c.h)
    c.glow(-0.3 - 0.3j, 1.7, 1.7, mix(p.horizon, p.mid, 0.3))
    c.gradient(mix(p.a, p.dark, 0.5), mix(p.dark, p.a, 0.15), 0.72 * c.h, c.h)
    _vessel(c, foot, 0.8, c.pick(*_VESSELS[:2]), mix(p.c, p.light, 0.25))
    for _ in range(16):
        blade = 0.4 + c.u(0.25, 0.4) * closed(points("0,0 35,-20 70,-16 100,0 70,16 35,20"))
        c.fill(foot - 1.05j + blade * np.exp(1j * c.u(0, 6.3)), mix(p.near, p.dark, c.u(0, 0.5)), 0.6)
    angle, petals = np.linspace(0, 2 * np.pi, 60), c.pick(5, 6, 7, 8)
    for k in range(17, 0, -1):
        at, r = foot - 1.1j + 0.62 * (k / 17) ** 0.5 * np.exp(2.4j * k) * c.u(0.9, 1.15), c.u(0.16, 0.26)
        tint, petal = c.pick(p.a, p.b, p.light, p.c), 0.85 + 0.2 * np.abs(np.sin(petals * angle / 2 + k))
        for size, color in ((1, tint), (0.62, mix(tint, p.light, 0.35)), (0.24, mix(p.a, p.dark, 0.3))):
            c.fill(at + r * size * petal * np.exp(1j * (angle + size)), color, 0.9)


SCENES: Mapping[str, Callable[[Canvas], None]] = {
    "portrait": portrait,
    "landscape": landscape,
    "cityscape": cityscape,
    "marine painting": marine,
    "still life": still_life,
    "flower painting": flowers,
}
