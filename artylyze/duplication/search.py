"""The search for near-duplicates from top to bottom: propose, screen, confirm, group, write.

Proposals are made anew each time, from the index and from what is kept of each image. An update takes what was kept of
images that did not change, and the comparisons of two such images; so it gives what a fresh search gives.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from artylyze import __version__
from artylyze.catalog.snapshot import Snapshot, read_snapshot
from artylyze.duplication import store
from artylyze.duplication.confirmation import Confirmed, Key, confirm
from artylyze.duplication.grouping import Group, Pair, group
from artylyze.duplication.hashes import differing_bits
from artylyze.duplication.proposals import Pairs, hashed, matched, neighbours, sides
from artylyze.duplication.reasons import Reason
from artylyze.duplication.screening import screen
from artylyze.duplication.sheet import draw
from artylyze.duplication.signatures import Signatures, read_images, signatures
from artylyze.errors import InputError
from artylyze.progress import Watcher
from artylyze.searching.index import open_index
from artylyze.storage import check_output
from artylyze.wording import counted

BITS = 20
"""Bits in which the hashes of neighbours by embedding may differ to be screened."""

TURNED_BITS = 12
"""Likewise where the second is turned or mirrored: of eight hashes of another picture one is often near by chance."""

CROPPED_BITS, CROPPED_RANK = 28, 3
"""Bits, for the three nearest of each image: what is cut off, or a colour chart beside, moves many of them. The nearest
of each image is screened whatever its hash: a detail has another."""

ROUNDS = 3
"""Times that the partners of a partner are compared: of a work in twenty photographs, ten are nearest to each."""

MANY = 60
"""Partners of an image, the first of them, that are compared with one another."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Duplicates:
    """The near-duplicates of a collection.

    Attributes:
        folder: where they were written.
        run: what run.json says.
        pairs: in the order of their images.
        groups: the largest first.
        images: of the catalog, in the order of their ids.
    """

    folder: str
    run: Mapping[str, Any]
    pairs: Sequence[Pair]
    groups: Sequence[Group]
    images: pa.Table


def find_duplicates(catalog: str, output: str, watcher: Watcher, *, update: bool = False) -> Duplicates:
    """Find the near-duplicates of a catalog and write them.

    Args:
        catalog: its address.
        output: folder or address to write to.
        watcher: receives progress.
        update: take from the folder what is known of images that did not change.

    Raises:
        UsageError: the output holds something else.
        InputError: there is no catalog, or nothing to update.
        StorageError: the storage refuses.
    """
    check_output(output)
    store.check_folder(output)
    began = time.monotonic()
    snapshot = read_snapshot(catalog)
    memory = store.read_memory(output) if update else store.Memory({}, np.zeros((0, 32, 32), np.uint8), {})
    images, places = read_images(catalog, snapshot)
    watcher.say(f"Opening the index of {counted(images.num_rows, 'image')}")
    codes = _codes(catalog, snapshot, images, places)
    known = _known(images, memory)
    watcher.say("Making the maps that images are compared by")
    made = signatures(
        catalog, snapshot, images, places, {row: memory.maps[place] for row, place in known.items()}, watcher
    )
    watcher.say("Looking for pairs by embedding, by hash and by name")
    proposed, candidates = _candidates(codes, made)
    earlier = _earlier(images, memory, known)
    found = _confirmed(candidates, made, earlier, watcher)
    pairs = _pairs(found, images)
    pixels = np.asarray(images.column("width").to_numpy(), np.int64) * images.column("height").to_numpy()
    groups = group(pairs, {row: int(pixels[row]) for pair in pairs for row in (pair.first, pair.second)})
    reasons = Counter(str(pair.reason) for pair in pairs)
    run = {
        "catalog": catalog,
        "snapshot": snapshot.run_id,
        "model_id": snapshot.model_id,
        "images": images.num_rows,
        "images_without_a_map": len(made.unread),
        "unread": dict(sorted(Counter([*made.unread.values(), *found.unread.values()]).items())),
        "proposed": proposed,
        "compared": len(found.verdicts),
        "compared_before": sum(key in earlier for key in found.verdicts),
        "pairs": len(pairs),
        "reasons": {str(reason): reasons[str(reason)] for reason in Reason},
        "groups": len(groups),
        "works": images.num_rows - sum(len(one.members) for one in groups),
        "version": __version__,
        "seconds": 0.0,
    }
    watcher.say("Drawing the contact sheet")
    sheet = draw(groups, pairs, images)
    run["seconds"] = round(time.monotonic() - began, 1)
    store.write_duplicates(output, images, made.maps, made.read, pairs, groups, found.verdicts, sheet, run)
    return Duplicates(output, run, pairs, groups, images)


def describe(found: Duplicates) -> str:
    """Return what was found in words for a terminal."""
    run = found.run
    lines = [
        f"{counted(run['images'], 'image')}, {counted(run['pairs'], 'pair')} of near-duplicates, "
        f"{counted(run['groups'], 'group')}; each group counted once, {counted(run['works'], 'work')}."
    ]
    lines += [f"  {count:>8,}  {reason}" for reason, count in run["reasons"].items() if count]
    if run["unread"]:
        why = ", ".join(f"{count:,} {code}" for code, count in run["unread"].items())
        lines.append(f"  Pairs may be missing: images could not be read now ({why}).")
    return "\n".join([*lines, f"Look at {found.folder.rstrip('/')}/{store.SHEET}."])


def _codes(catalog: str, snapshot: Snapshot, images: pa.Table, places: Numbers) -> npt.NDArray[np.int8]:
    """The codes of the index, int8 (n, c), in the order of the images."""
    index = open_index(catalog, snapshot)
    ids = pa.array(index.image_ids, pa.string()).take(pa.array(places))
    if not ids.equals(images.column("image_id").combine_chunks()):
        raise InputError(f"The index of {catalog} is not of its snapshot: make it anew with `artylyze index`.")
    return np.asarray(index.codes[places], np.int8)


def _known(images: pa.Table, memory: store.Memory) -> dict[int, int]:
    """Rows of images that did not change since -> their places among the maps that were kept."""
    rows = zip(*(images.column(name).to_pylist() for name in store.IDENTITY), strict=True)
    return {row: memory.images[one] for row, one in enumerate(rows) if one in memory.images}


def _earlier(images: pa.Table, memory: store.Memory, known: Mapping[int, int]) -> dict[Key, store.Verdict]:
    """Comparisons of images that did not change, by rows."""
    row_of = {name: row for row, name in enumerate(images.column("image_id").to_pylist()) if row in known}
    return {
        (row_of[first], row_of[second], turn): verdict
        for (first, second, turn), verdict in memory.comparisons.items()
        if first in row_of and second in row_of
    }


def _candidates(codes: npt.NDArray[np.int8], made: Signatures) -> tuple[int, Pairs]:
    """How many pairs are proposed, and those that look alike on their maps."""
    hashes = made.hashes()
    first, second, rank = neighbours(codes)
    near = matched(first, second, hashes)
    turned = (near.transform > 0) & (near.bits <= TURNED_BITS)
    plain = differing_bits(hashes[first, 0], hashes[second, 0])
    upright = (plain <= BITS) | ((plain <= CROPPED_BITS) & (rank < CROPPED_RANK)) | (rank == 0)
    near.transform[~turned] = 0
    near = near.take(turned | upright)
    alike = matched(*hashed(hashes, made.usable), hashes)
    proposed = _united(near, alike, len(codes))
    return len(proposed), proposed.take(screen(proposed, made))


def _united(some: Pairs, others: Pairs, count: int) -> Pairs:
    keys = np.concatenate([some.first * count + some.second, others.first * count + others.second])
    _, places = np.unique(keys, return_index=True)
    columns = zip(
        (some.first, some.second, some.bits, some.transform),
        (others.first, others.second, others.bits, others.transform),
        strict=True,
    )
    return Pairs(*(np.concatenate(pair)[places] for pair in columns))


def _confirmed(
    candidates: Pairs, made: Signatures, earlier: Mapping[Key, store.Verdict], watcher: Watcher
) -> Confirmed:
    """Compare the candidates, then the partners of each image with one another."""
    aspects, hashes = made.aspects(), made.hashes()
    found = Confirmed()
    asked: set[tuple[int, int]] = set()
    for number in range(ROUNDS + 1):
        keys = [key for key in _keys(candidates) if key[:2] not in asked]
        asked |= {key[:2] for key in keys}
        found.verdicts |= {key: earlier[key] for key in keys if key in earlier}
        new = [key for key in keys if key not in earlier]
        if new:
            now = confirm(new, made.images, aspects, watcher)
            found.verdicts |= now.verdicts
            found.unread |= now.unread
        partners = _partners_of_partners(found.verdicts, asked)
        if number == ROUNDS or not partners:
            break
        first, second = np.array(sorted(partners), np.int64).T
        candidates = matched(first, second, hashes)
        candidates.transform[candidates.bits > TURNED_BITS] = 0
    return found


def _keys(pairs: Pairs) -> list[Key]:
    return list(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.transform.tolist(), strict=True))


def _partners_of_partners(verdicts: Mapping[Key, store.Verdict], asked: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Pairs that were not compared and have a sure partner in common; of an image with many partners the first few."""
    partners: defaultdict[int, list[int]] = defaultdict(list)
    for (first, second, _), verdict in sorted(verdicts.items()):
        if verdict is not None and verdict[0].sure:
            partners[first].append(second)
            partners[second].append(first)
    wanted = set()
    for others in partners.values():
        some = sorted(others)[:MANY]
        wanted |= {(one, other) for place, one in enumerate(some) for other in some[place + 1 :]}
    return wanted - asked


def _pairs(found: Confirmed, images: pa.Table) -> list[Pair]:
    """The pairs that pixels or names say, in the order of their images."""
    pairs = {
        (first, second): Pair(first, second, *verdict, transform)
        for (first, second, transform), verdict in found.verdicts.items()
        if verdict is not None
    }
    names = [name.rpartition(".")[0] or name for name in images.column("image_id").to_pylist()]
    for one in (names, images.column("record_id").to_pylist()):
        for recto, verso in sides(one):
            first, second = sorted((recto, verso))
            known = pairs.get((first, second))
            if known is None or not known.reason.sure:
                pairs[first, second] = Pair(first, second, Reason.SIDES, 1.0)
    return [pairs[key] for key in sorted(pairs)]
