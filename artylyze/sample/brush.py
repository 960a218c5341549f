"""Treatments in which the brush shows: dabs, dots, swirls, facets, gestures."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from . import texture
from .canvas import Color, mix
from .texture import Work

Rng = np.random.Generator


def impressionism(work: Work) -> Image.Image:
    """Short dabs of broken colour in bright light."""
    bright = work.image.point([min(255, round(v * 1.04 + 6)) for v in range(256)] * 3)
    return texture.strokes(bright, texture.marks("dab", work.k), work.rng, 11, 9)


def pointillism(work: Work) -> Image.Image:
    """Round dots of pure colour on a pale ground."""
    pale = mix(work.palette.light, work.palette.horizon, 0.25)
    ground = Image.blend(work.image, Image.new("RGB", work.image.size, pale), 0.62)
    vivid = ImageEnhance.Color(work.image).enhance(1.35)
    dots = texture.strokes(vivid, texture.marks("dot", work.k), work.rng, 15, 22)
    return Image.blend(dots, ground, 0.12)


def cubism(work: Work) -> Image.Image:
    """Facets, each of which shows its part of the picture from elsewhere, shaded from edge to edge."""
    size = work.image.size
    labels, centres, edges = _facets(work)
    shifted = _displaced(work.image, labels, work.rng.normal(0, 0.026 * min(size), (len(centres), 2)))
    lifted = shifted.point([min(255, round(v * 1.2 + 12)) for v in range(256)] * 3)
    shade = _facet_light(labels, centres, work)
    out = ImageChops.multiply(lifted, Image.merge("RGB", (shade, shade, shade)))
    draw = ImageDraw.Draw(out)
    p = work.palette
    for n, edge in enumerate(edges):
        if n % 3 != 1:
            draw.line(edge, fill=mix(p.dark, p.a, 0.2 if n % 2 else 0.5), width=max(1, round(1.3 * work.k)))
    return texture.grained(out, "grit", work)


def expressionism(work: Work) -> Image.Image:
    """Saturated colour in long swirling strokes."""
    width, height = work.image.size
    bent = _warp(work.image, work.rng, 0.03 * min(width, height))
    vivid = ImageEnhance.Color(bent).enhance(1.25)
    painted = texture.strokes(vivid, texture.marks("swirl", work.k), work.rng, 14, 11)
    return Image.blend(painted, vivid, 0.18)


def abstract_expressionism(work: Work) -> Image.Image:
    """A wide loaded brush, then gestures, drips and spatter over what is left of the subject."""
    loose = texture.strokes(texture.blur(work.image, 2), texture.marks("broad", work.k), work.rng, 12, 10)
    out = Image.blend(loose, work.image, 0.52)
    draw = ImageDraw.Draw(out)
    width, height = work.image.size
    unit = min(width, height)
    p = work.palette
    colors = (p.dark, p.dark, p.light, p.a, p.b, p.c)
    for _ in range(int(work.rng.integers(6, 10))):
        _gesture(draw, work.rng, width, height, colors[int(work.rng.integers(6))])
    for _ in range(int(work.rng.integers(6, 14))):
        x, y, w = work.u(0, width), work.u(0, 0.7 * height), max(1, round(work.u(0.003, 0.009) * unit))
        end, color = y + work.u(0.08, 0.4) * height, colors[int(work.rng.integers(6))]
        draw.line([(x, y), (x + work.u(-1.5, 1.5) * w, end)], fill=color, width=w)
        draw.ellipse((x - w, end - w, x + w, end + 2 * w), fill=color)
    spatter = work.rng.random((130, 3))
    radii = 0.0022 * unit * np.exp(work.rng.normal(0.2, 0.75, 130))
    for (x, y, tone), r in zip(spatter.tolist(), radii.tolist(), strict=True):
        px, py = x * width, y * height
        draw.ellipse((px - r, py - r, px + r, py + r), fill=colors[int(tone * 6)])
    return texture.grained(out.filter(ImageFilter.BoxBlur(0.5 * work.k)), "grit", work)


def _warp(image: Image.Image, rng: Rng, reach: float) -> Image.Image:
    width, height = image.size
    nx, ny = 6, 5
    knots = rng.normal(0, reach, (ny + 1, nx + 1, 2))
    mesh = []
    for j in range(ny):
        for i in range(nx):
            box = (width * i // nx, height * j // ny, width * (i + 1) // nx, height * (j + 1) // ny)
            quad: list[float] = []
            for jj, ii in ((j, i), (j + 1, i), (j + 1, i + 1), (j, i + 1)):
                free = 0 < ii < nx and 0 < jj < ny
                dx, dy = knots[jj, ii] if free else (0.0, 0.0)
                quad += [width * ii // nx + float(dx), height * jj // ny + float(dy)]
            mesh.append((box, tuple(quad)))
    return image.transform(image.size, Image.Transform.MESH, mesh, Image.Resampling.NEAREST)


def _knots(rng: Rng, nx: int, ny: int, width: int, height: int) -> list[list[tuple[float, float]]]:
    off = rng.uniform(-0.38, 0.38, (ny + 1, nx + 1, 2))
    off[0, :, 1] = off[-1, :, 1] = 0
    off[:, 0, 0] = off[:, -1, 0] = 0
    return [
        [((i + float(off[j, i, 0])) * width / nx, (j + float(off[j, i, 1])) * height / ny) for i in range(nx + 1)]
        for j in range(ny + 1)
    ]


def _gesture(draw: ImageDraw.ImageDraw, rng: Rng, width: int, height: int, color: Color) -> None:
    unit = min(width, height)
    x, y = rng.random() * width, rng.random() * height
    heading, turn = rng.random() * 6.28, rng.normal(0, 0.28)
    load = rng.uniform(0.008, 0.032) * unit
    for i in range(18):
        step = 0.045 * unit
        nx, ny = x + step * math.cos(heading), y + step * math.sin(heading)
        w = load * math.sin(math.pi * (i + 1.5) / 20) ** 0.6
        draw.line([(x, y), (nx, ny)], fill=color, width=max(1, round(2 * w)))
        draw.ellipse((nx - w, ny - w, nx + w, ny + w), fill=color)
        x, y, heading, turn = nx, ny, heading + turn, turn + rng.normal(0, 0.06)


def _facets(work: Work) -> tuple[npt.NDArray[np.uint8], list[tuple[float, float]], list[list[tuple[float, float]]]]:
    """Triangles that cover the picture: which one each pixel lies in, their centres (x, y), their outlines."""
    width, height = work.image.size
    nx, ny = (8, 6) if width >= height else (6, 8)
    knots = _knots(work.rng, nx, ny, width, height)
    sheet = Image.new("L", work.image.size)
    draw = ImageDraw.Draw(sheet)
    centres: list[tuple[float, float]] = []
    edges: list[list[tuple[float, float]]] = []
    for n in range(nx * ny):
        j, i = divmod(n, nx)
        a, b, c, d = knots[j][i], knots[j][i + 1], knots[j + 1][i + 1], knots[j + 1][i]
        for triangle in ([a, b, c], [a, c, d]) if (i + j) % 2 else ([a, b, d], [b, c, d]):
            draw.polygon(triangle, fill=len(edges))
            centres.append(((i + 0.5) * width / nx, (j + 0.5) * height / ny))
            edges.append([*triangle, triangle[0]])
    return np.asarray(sheet), centres, edges


def _displaced(image: Image.Image, labels: npt.NDArray[np.uint8], reach: npt.NDArray[np.float64]) -> Image.Image:
    """The picture in which each facet shows what lies `reach[facet]` (x, y) pixels away."""
    width, height = image.size
    step = reach.round().astype(np.int32)
    index = np.arange(width * height, dtype=np.int32).reshape(height, width)
    index += (step[:, 1] * width + step[:, 0])[labels]
    np.clip(index, 0, width * height - 1, out=index)
    pixels = np.frombuffer(image.convert("RGBX").tobytes(), dtype=np.uint32).take(index)
    return Image.frombuffer("RGBX", image.size, pixels.tobytes(), "raw", "RGBX", 0, 1).convert("RGB")


def _facet_light(labels: npt.NDArray[np.uint8], centres: list[tuple[float, float]], work: Work) -> Image.Image:
    """Light in L that runs across each facet in a direction of its own."""
    width, height = work.image.size
    count = len(centres)
    slope = work.rng.normal(0, 150 / min(width, height), (count, 2)).astype(np.float32)
    base = work.rng.uniform(165, 245, count).astype(np.float32)
    base -= (slope * np.array(centres, dtype=np.float32)).sum(axis=1)
    light = base[labels]
    light += slope[:, 0][labels] * np.arange(width, dtype=np.float32)
    light += slope[:, 1][labels] * np.arange(height, dtype=np.float32)[:, None]
    return Image.fromarray(np.clip(light, 80, 255).astype(np.uint8))
