"""The contact sheet of near-duplicates: the largest groups, a row for each, then pairs that perhaps are copies."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from artylyze.drawing.contact_sheet import PAPER, Tile, contact_sheet
from artylyze.drawing.thumbnails import Thumbnail, read_thumbnails
from artylyze.duplication.grouping import Group, Pair
from artylyze.duplication.hashes import TRANSFORMS
from artylyze.duplication.signatures import sources
from artylyze.wording import counted

COLUMNS = 6
GROUPS, COPIES = 40, 15
"""Groups and perhaps copies that are shown."""

_EMPTY = Tile(np.full((8, 8, 3), PAPER, np.uint8), 1.0, ())


def draw(groups: Sequence[Group], pairs: Sequence[Pair], images: pa.Table) -> bytes:
    """Draw the sheet, a PNG."""
    shown = groups[:GROUPS]
    copies = sorted((pair for pair in pairs if not pair.reason.sure), key=lambda pair: -pair.score)[:COPIES]
    rows = [
        [(one.representative, "representative"), *((row, _caption(pair)) for row, pair in one.members)] for one in shown
    ]
    couples = [[(pair.first, "perhaps a copy"), (pair.second, _caption(pair))] for pair in copies]
    lines = [line[:COLUMNS] for line in rows] + _side_by_side(couples)
    wanted = sorted({row for line in lines for row, _ in line})
    pictures = dict(zip(wanted, read_thumbnails(sources(images, wanted)), strict=True)) if wanted else {}
    records = images.column("record_id")
    tiles = []
    for line in lines:
        for row, caption in line:
            tiles.append(_tile(pictures[row], records[row].as_py(), caption))
        tiles += [_EMPTY] * (COLUMNS - len(line))
    some = f", {GROUPS} of them shown" if len(groups) > GROUPS else ""
    title = f"{counted(len(groups), 'group')} of near-duplicates{some}; then pairs that perhaps are copies"
    out = io.BytesIO()
    contact_sheet(title if copies else title.partition(";")[0], tiles, COLUMNS).save(out, "PNG")
    return out.getvalue()


def _side_by_side(couples: Sequence[list[tuple[int, str]]]) -> list[list[tuple[int, str]]]:
    """Pairs, as many in a line as fit."""
    lines: list[list[tuple[int, str]]] = []
    for number, couple in enumerate(couples):
        if number % (COLUMNS // 2) == 0:
            lines.append([])
        lines[-1] += couple
    return lines


def _caption(pair: Pair) -> str:
    turn = f", {TRANSFORMS[pair.transform]}" if pair.transform else ""
    return f"{pair.reason} ({pair.score:.2f}){turn}"


def _tile(picture: Thumbnail, record: str, caption: str) -> Tile:
    return Tile(picture.pixels, picture.aspect, [record, caption, *([picture.why] if picture.why else [])])
