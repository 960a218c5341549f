"""What the i-th image of a sample is: a pure function of the seed, the index and the size, whatever the count."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from artylyze.errors import UsageError
from artylyze.sample.awkward import TRAITS
from artylyze.sample.scenes import SCENES
from artylyze.sample.styles import STYLES, paint, palette

LARGE_SHARE = 0.03  # of the images of a mixed sample: 2,000 to 4,000 pixels long
AWKWARD_SHARE = 0.12  # of the images of an awkward sample
MISLABELED_SHARE = 0.06  # of all images: in some style that may not be that of their label
ARTISTS = {  # invented: nationality, years they paint in, and the one or two styles they paint in
    "Odile Marchevent": ("French", 1868, 1901, ("Impressionism",)),
    "Hester Quillfeather": ("British", 1879, 1909, ("Impressionism", "Pointillism")),
    "Anselme Pointreau": ("French", 1884, 1911, ("Pointillism",)),
    "Griet van Stippelen": ("Belgian", 1887, 1918, ("Pointillism",)),
    "Ramón Quadreny": ("Spanish", 1908, 1941, ("Cubism",)),
    "Zdenka Hranová": ("Czech", 1910, 1937, ("Cubism", "Expressionism")),
    "Noémi Kockás": ("Hungarian", 1912, 1944, ("Cubism",)),
    "Pieter Duisterveen": ("Dutch", 1625, 1668, ("Baroque", "Realism")),
    "Isidora Velamonte": ("Spanish", 1630, 1672, ("Baroque",)),
    "Casimir Nachtigall": ("German", 1641, 1679, ("Baroque",)),
    "Kawanaga Shōsui": ("Japanese", 1788, 1822, ("Ukiyo-e",)),
    "Mizuhara Tomoe": ("Japanese", 1810, 1849, ("Ukiyo-e",)),
    "Ōtsuki Harumine": ("Japanese", 1829, 1861, ("Ukiyo-e",)),
    "Konrad Lohfarb": ("German", 1905, 1933, ("Expressionism",)),
    "Ingrid Skrikstad": ("Norwegian", 1898, 1935, ("Expressionism",)),
    "Dexter Bangwell": ("American", 1958, 1988, ("Pop Art",)),
    "Trixie Halftone": ("British", 1961, 1993, ("Pop Art",)),
    "Nico Lampadina": ("Italian", 1963, 1990, ("Pop Art",)),
    "Edmund Fairweather-Stone": ("British", 1842, 1881, ("Realism",)),
    "Praskovya Polevaya": ("Russian", 1856, 1893, ("Realism", "Impressionism")),
}
_PLACES = ("Harlow Ford", "Sainte-Aubépine", "Oberlindach", "Casalverde", "Tidewick", "Noordermeer", "Höhenbrück")
_ASPECTS = (4 / 3, 3 / 4, 3 / 2, 2 / 3, 1.0, 5 / 4, 4 / 5, 16 / 9, 1.9, 0.55)


@dataclass(frozen=True)
class Spec:
    """What defines a sample, except for its number of images."""

    seed: int
    size: str
    awkward: bool

    def __post_init__(self) -> None:
        _size(self.size, np.random.default_rng())


@dataclass(frozen=True)
class Record:
    """One row of the metadata. `trait` says how the file is awkward ("" for an ordinary one)."""

    record_id: str
    file: str
    title: str
    artist: str
    nationality: str
    date: str
    genre: str
    style: str
    trait: str
    expected: str
    width: int
    height: int


def describe(spec: Spec, index: int) -> Record:
    """Return the record of the image with this index (from 0)."""
    rng = np.random.default_rng([spec.seed, index, 1])
    artist, genre, place = (names[rng.integers(len(names))] for names in ([*ARTISTS], [*SCENES], _PLACES))
    nationality, start, stop, styles = ARTISTS[artist]
    date = f"{'c. ' * (rng.random() < 0.2)}{rng.integers(start, stop + 1)}"
    style, name = styles[-1 if rng.random() < 0.4 else 0], f"gen-{index:07d}"
    file, title = f"images/{index % 100:02d}/{name}.jpg", f"{genre.capitalize()}, {place}"
    width, height = _size(spec.size, rng)
    record = Record(name, file, title, artist, nationality, date, genre, style, "", "ok", width, height)
    if not spec.awkward or rng.random() >= AWKWARD_SHARE:
        return record
    trait = TRAITS[kind := str(rng.choice([*TRAITS]))]
    file = file.replace(f"{name}.jpg", trait.name.format(id=name))
    return replace(record, file=file, title=trait.title.format(title=title), trait=kind, expected=trait.expected)


def render(spec: Spec, index: int) -> Image.Image:
    """Return the picture with this index, in RGB, before its file is made awkward."""
    record, rng = describe(spec, index), np.random.default_rng([spec.seed, index, 2])
    hand = np.random.default_rng([*ARTISTS].index(record.artist))  # each artist has a palette and shifts it a little
    number, hue, value = int(hand.integers(2)), hand.uniform(-0.03, 0.03), hand.uniform(0.93, 1.05)
    # Labels err, as those of real collections do: without mistakes to show, a demo shows little.
    style = record.style if rng.random() > MISLABELED_SHARE else [*STYLES][rng.integers(len(STYLES))]
    return paint(record.genre, style, (record.width, record.height), palette(style, number, hue, value), rng)


def _size(size: str, rng: np.random.Generator) -> tuple[int, int]:
    """Return width and height of "640x480", or of one image of "mixed"; raise UsageError for any other size."""
    if size == "mixed":
        aspect = rng.choice(_ASPECTS)
        width = (640 * 480 * rng.uniform(0.7, 1.3) * aspect) ** 0.5
        if rng.random() < LARGE_SHARE:
            width = rng.integers(2000, 4001) * min(1, aspect)
        return round(width), round(width / aspect)
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 32 <= min(width, height) <= max(width, height) <= min(8000, 4 * min(width, height)):
        raise UsageError(f"`size={size!r}`: give 'mixed', or WIDTHxHEIGHT of 32 to 8,000 pixels, at most 4 to 1.")
    return width, height
