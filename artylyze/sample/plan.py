"""What the i-th image of a sample is: a pure function of the seed, the index and the size, whatever the count."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..errors import UsageError
from .artists import ARTISTS
from .colors import palette
from .painting import COMPOSITIONS, paint

LARGE_SHARE = 0.03  # of the images of a mixed sample: 2,000 to 4,000 pixels long
AWKWARD_SHARE = 0.12  # of the images of an awkward sample
_ASPECTS = (4 / 3, 3 / 4, 3 / 2, 2 / 3, 1.0, 5 / 4, 4 / 5, 16 / 9, 1.9, 0.55)
_GENRES = tuple(COMPOSITIONS)


@dataclass(frozen=True)
class Spec:
    """What makes one sample differ from another, the number of its images aside."""

    seed: int
    size: str
    awkward: bool

    def __post_init__(self) -> None:
        fixed_size(self.size)


@dataclass(frozen=True)
class Record:
    """One row of the metadata. `trait` names what is awkward about the file ("" for an ordinary one)."""

    record_id: str
    file: str
    title: str
    artist: str
    nationality: str
    date: str
    genre: str
    style: str
    width: int
    height: int
    trait: str
    expected: str


def fixed_size(size: str) -> tuple[int, int] | None:
    """Width and height of "640x480", None for "mixed". Raises UsageError for anything else."""
    if size == "mixed":
        return None
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    if match is None:
        raise UsageError(f"size {size!r} is neither WIDTHxHEIGHT, such as 640x480, nor 'mixed'")
    width, height = int(match[1]), int(match[2])
    if not (min(width, height) >= 32 and max(width, height) <= 8000 and max(width, height) <= 4 * min(width, height)):
        raise UsageError(f"size {size!r} is out of range: 32 to 8000 pixels, at most four times as long as wide")
    return width, height


def describe(spec: Spec, index: int) -> Record:
    """The record of the image with this index (from 0)."""
    from .awkward import disguise

    rng = np.random.default_rng([spec.seed, index, 1])
    artist = ARTISTS[int(rng.integers(len(ARTISTS)))]
    style = artist.styles[0 if len(artist.styles) == 1 or rng.random() < 0.6 else 1]
    genre = _GENRES[int(rng.integers(len(_GENRES)))]
    year = int(rng.integers(artist.active[0], artist.active[1] + 1))
    width, height = fixed_size(spec.size) or _mixed_size(rng)
    record = Record(
        record_id=f"gen-{index:07d}",
        file=f"images/{index % 100:02d}/gen-{index:07d}.jpg",
        title=_title(genre, rng),
        artist=artist.name,
        nationality=artist.nationality,
        date=str(year) if rng.random() < 0.8 else f"c. {year}",
        genre=genre,
        style=style,
        width=width,
        height=height,
        trait="",
        expected="ok",
    )
    return disguise(record, rng) if spec.awkward and rng.random() < AWKWARD_SHARE else record


def render(spec: Spec, index: int) -> Image.Image:
    """The picture with this index, in RGB, before anything awkward is done to it."""
    record = describe(spec, index)
    who = next(n for n, artist in enumerate(ARTISTS) if artist.name == record.artist)
    hand = np.random.default_rng([who, 7])
    hue, value = float(hand.uniform(-0.025, 0.025)), float(hand.uniform(0.93, 1.05))
    rng = np.random.default_rng([spec.seed, index, 2])
    which = int(hand.integers(3)) if rng.random() < 0.8 else int(rng.integers(3))
    colors = palette(record.style, which, hue, value)
    return paint(record.genre, record.style, (record.width, record.height), colors, rng)


def _mixed_size(rng: np.random.Generator) -> tuple[int, int]:
    aspect = _ASPECTS[int(rng.integers(len(_ASPECTS)))]
    if rng.random() < LARGE_SHARE:
        longest = int(rng.integers(2000, 4001))
        return (longest, round(longest / aspect)) if aspect >= 1 else (round(longest * aspect), longest)
    area = 640 * 480 * float(rng.uniform(0.7, 1.3))
    width = round((area * aspect) ** 0.5)
    return width, round(width / aspect)


_TITLES = {
    "portrait": ("Portrait of {who}", "{who}, Seated", "{who} with a Collar"),
    "landscape": ("The Road to {place}", "{when} near {place}", "Hills above {place}"),
    "cityscape": ("{place}, the Market Street", "Roofs of {place}", "{when} in {place}"),
    "marine painting": ("Boats off {place}", "{when} at Sea", "The Bay of {place}"),
    "still life": ("Still Life with {thing}", "{thing} on a Table", "Fruit and {thing}"),
    "flower painting": ("Bouquet in a Vase", "{when} Flowers", "Flowers from {place}"),
    "animal painting": ("In the Meadow at {place}", "A Creature at {when}", "The Pride of {place}"),
    "genre painting": ("Company at a Table", "{when} in the Kitchen", "A Visit from {who}"),
    "religious painting": ("Saint under an Arch", "Altarpiece of {place}", "The {place} Madonna"),
    "abstract painting": ("Composition No. {n}", "Untitled ({when})", "Rhythm {n}"),
    "sketch and study": ("Study for {who}", "Sheet of Studies No. {n}", "Sketch, {when}"),
    "design": ("Ornament No. {n}", "Design for a Textile, {place}", "Pattern {n}"),
}
_WHO = (
    "Mme Vauclair",
    "the Widow Ostrander",
    "Emil Harrow",
    "a Young Scholar",
    "Signora Bellacqua",
    "the Miller's Son",
)
_PLACE = ("Harlow Ford", "Sainte-Aubépine", "Oberlindach", "Casalverde", "Tidewick", "Noordermeer", "Höhenbrück")
_WHEN = ("Morning", "Evening", "Late Summer", "First Snow", "Noon", "Dusk", "Harvest Time")
_THING = ("Pears", "a Blue Jug", "Oranges", "a Copper Kettle", "Quinces", "a Green Bottle")


def _title(genre: str, rng: np.random.Generator) -> str:
    a, b, c, d, e = (int(v) for v in rng.integers(0, 2**31, 5))
    pattern = _TITLES[genre][a % 3]
    return pattern.format(
        who=_WHO[b % len(_WHO)],
        place=_PLACE[c % len(_PLACE)],
        when=_WHEN[d % len(_WHEN)],
        thing=_THING[e % len(_THING)],
        n=1 + b % 48,
    )
