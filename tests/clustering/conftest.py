from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clustering.pictures import CENTRES, Painted, clustered, collection, painting, reencoded

MARKUP = "<script>alert('é')</script>"
FORMULA = "=cmd|'/c calc'!A1"


@dataclass(frozen=True)
class Gallery:
    """A clustered collection: addresses of catalog and clusters."""

    root: Path
    catalog: str
    clusters: str


def paintings() -> dict[str, Painted]:
    """Three kinds of eight works, one of them twice, one of two images, one between two kinds, one broken."""
    images = {}
    for kind, centre in enumerate(CENTRES):
        for number in range(8):
            x, y, z = centre.tolist()
            place = (x + 0.1 * number, y, z + 0.05 * number)
            said = {
                "title": MARKUP if (kind, number) == (0, 0) else f"Étude {kind}-{number}",
                "artist": ("Anna Ancher", FORMULA, "Šime Vulas")[kind],
                "genre": ("portrait", "landscape", "still life")[kind] if number else None,
                "number": f"{kind}{number}",
            }
            images[f"k{kind}-{number}.png"] = Painted(painting(10 * kind + number), place, metadata=said)
    twice = reencoded(painting(1))
    images["twin.png"] = Painted(twice, (0.1, 0.01, 0.05), metadata={"title": "A twin"})
    images["k1-0-verso.png"] = Painted(painting(77), (9.0, 0.5, 0), "k1-0", metadata={"title": "The verso"})
    images["between.png"] = Painted(painting(78), (5.0, 0.0, 0.0), metadata={"title": MARKUP, "artist": FORMULA})
    images["broken.png"] = Painted(None, (0, 0, 0), metadata={"title": "Broken"})
    return images


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """A clustered collection with metadata."""
    root = tmp_path_factory.mktemp("gallery")
    catalog = collection(root, paintings())
    return Gallery(root, catalog, clustered(root, catalog, paintings()))
