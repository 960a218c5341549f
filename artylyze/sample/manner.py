"""The manners: how each style draws a composition and what it then does to the drawing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import Image

from . import brush, surface
from .texture import Work


@dataclass(frozen=True)
class Manner:
    """How a style draws (see `Canvas`) and what it then does to the drawing."""

    treat: Callable[[Work], Image.Image]
    flat: bool = False
    outline: float = 0.0
    plain: bool = False
    fine: bool = False  # drawn at twice the size, so that edges are smooth


MANNERS: Mapping[str, Manner] = {
    "Impressionism": Manner(brush.impressionism),
    "Pointillism": Manner(brush.pointillism),
    "Cubism": Manner(brush.cubism),
    "Baroque": Manner(surface.baroque, fine=True),
    "Ukiyo-e": Manner(surface.ukiyo_e, flat=True, outline=0.011),
    "Rococo": Manner(surface.rococo, fine=True),
    "Expressionism": Manner(brush.expressionism, outline=0.022),
    "Minimalism": Manner(surface.minimalism, flat=True, plain=True),
    "Pop Art": Manner(surface.pop_art, flat=True, outline=0.026),
    "Abstract Expressionism": Manner(brush.abstract_expressionism),
    "Realism": Manner(surface.realism, fine=True),
    "Northern Renaissance": Manner(surface.northern_renaissance, fine=True),
    "Symbolism": Manner(surface.symbolism),
}
