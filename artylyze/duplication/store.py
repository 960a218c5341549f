"""DUPLICATES, the folder of a search for near-duplicates: what is in it, how it is written, and how it is read back.

run.json is removed first and written last: with it, the folder is complete. Two files are for the next update alone:
what was kept of each image, and every comparison of two images, also of those that are not alike.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from artylyze.drawing.table import write_csv
from artylyze.duplication.alignment import COARSE
from artylyze.duplication.grouping import Group, Pair
from artylyze.duplication.hashes import TRANSFORMS
from artylyze.duplication.reasons import Reason
from artylyze.errors import InputError, UsageError
from artylyze.storage import is_url, open_store
from artylyze.storage.contract import first_line
from artylyze.storage.nearest import did_you_mean

FORMAT = 1
RUN, PAIRS, GROUPS, GROUPS_CSV, SHEET = "run.json", "pairs.parquet", "groups.parquet", "groups.csv", "groups.png"
SIGNATURES, COMPARISONS = "signatures.parquet", "comparisons.parquet"
REPRESENTATIVE, MEMBER = "representative", "member"

PAIR_SCHEMA = pa.schema(
    [
        pa.field("image_id_a", pa.string(), nullable=False),
        pa.field("image_id_b", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("transform", pa.string(), nullable=False),
    ]
)
"""Columns of the pairs, in the order of both ids, of which the first comes before the second. `transform` is what is
done to b so that it looks as a: `none`, `rotated 90` (degrees, anticlockwise), ..., `mirrored, rotated 270`."""

GROUP_SCHEMA = pa.schema(
    [
        pa.field("group", pa.int32(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("score", pa.float32()),
    ]
)
"""Columns of the groups, the largest first, in each the representative first. `role` is `representative` or `member`;
reason and score are those of a member's pair with the representative, null for that itself."""

_COMPARISONS = pa.schema(
    [
        pa.field("image_id_a", pa.string(), nullable=False),
        pa.field("image_id_b", pa.string(), nullable=False),
        pa.field("transform", pa.int8(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("score", pa.float32()),
    ]
)
IDENTITY = ("image_id", "uri", "validator", "width", "height", "format")
"""Columns by which it is known that an image did not change."""

Verdict = tuple[Reason, float] | None
"""What a comparison says of two images: the reason and the score of their pair, None where they are not alike."""


@dataclass(frozen=True, eq=False)
class Memory:
    """What an earlier search kept.

    Attributes:
        images: identity of an image (image_id, uri, validator, width, height, format) -> its place among the maps.
        maps: uint8 (n, 32, 32).
        comparisons: ids of two images, the transform of the second -> the verdict.
    """

    images: Mapping[tuple[Any, ...], int]
    maps: npt.NDArray[np.uint8]
    comparisons: Mapping[tuple[str, str, int], Verdict]


def read_groups(folder: str) -> pa.Table:
    """Read the groups of near-duplicates, see GROUP_SCHEMA.

    Raises:
        InputError: if there are none, they are of another format, or a file is missing or damaged.
    """
    read_run(folder)
    return _table(folder, GROUPS, GROUP_SCHEMA)


def read_pairs(folder: str) -> pa.Table:
    """Read the pairs of near-duplicates, see PAIR_SCHEMA. Raises InputError as `read_groups`."""
    read_run(folder)
    return _table(folder, PAIRS, PAIR_SCHEMA)


def read_run(folder: str) -> dict[str, Any]:
    """Read run.json. Raises InputError if there is none, or it is of another format."""
    data = open_store(folder).read(RUN)
    if data is None:
        raise InputError(
            f"There are no duplicates in {folder}.{did_you_mean(folder)} Find them with `artylyze duplicates`."
        )
    try:
        run: dict[str, Any] = json.loads(data)
        if run["format"] != FORMAT or "pairs" not in run:
            raise ValueError("its format is not ours")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder}/{RUN} is not of duplicates that this version reads ({error}): find them again."
        ) from error
    return run


def read_memory(folder: str) -> Memory:
    """Read what an earlier search kept. Raises InputError as `read_groups`."""
    read_run(folder)
    images = _table(folder, SIGNATURES, None)
    columns = [images.column(name).to_pylist() for name in IDENTITY]
    maps = b"".join(images.column("map").to_pylist())
    found = _table(folder, COMPARISONS, _COMPARISONS)
    rows = zip(*(found.column(name).to_pylist() for name in _COMPARISONS.names), strict=True)
    return Memory(
        {identity: place for place, identity in enumerate(zip(*columns, strict=True))},
        np.frombuffer(maps, np.uint8).reshape(-1, COARSE, COARSE),
        {(a, b, turn): None if reason is None else (Reason(reason), score) for a, b, turn, reason, score in rows},
    )


def check_folder(folder: str) -> None:
    """Raise UsageError where duplicates should not be written: at a file, or into a catalog or clusters."""
    if not is_url(folder) and Path(folder).is_file():
        raise UsageError(f"`output={folder!r}` is a file: duplicates are a folder.")
    store = open_store(folder)
    if store.version("catalog.json") is not None:
        raise UsageError(f"`output={folder!r}` is a catalog: name another folder for its duplicates.")
    data = store.read(RUN)
    try:
        ours = data is None or "pairs" in json.loads(data)
    except (ValueError, TypeError):
        ours = False
    if not ours:
        raise UsageError(
            f"`output={folder!r}` holds something else (its {RUN} is not of duplicates): name another folder."
        )


def write_duplicates(
    folder: str,
    images: pa.Table,
    maps: npt.NDArray[np.uint8],
    read: npt.NDArray[np.bool_],
    pairs: Sequence[Pair],
    groups: Sequence[Group],
    comparisons: Mapping[tuple[int, int, int], Verdict],
    sheet: bytes,
    run: Mapping[str, Any],
) -> None:
    """Write a search into its folder.

    Args:
        folder: to write to.
        images: of the catalog, in image_id order.
        maps: of theirs, uint8 (n, 32, 32).
        read: bool (n,), which of the maps were read.
        pairs: in order.
        groups: in order.
        comparisons: rows of two images and the transform of the second -> what was found.
        sheet: the contact sheet, a PNG.
        run: what run.json says.
    """
    store = open_store(folder)
    store.delete(RUN)
    ids = images.column("image_id").to_pylist()
    store.put(PAIRS, _parquet(pair_table(pairs, ids)))
    table = group_table(groups, ids)
    store.put(GROUPS, _parquet(table))
    store.put(GROUPS_CSV, _csv(table, groups, images))
    store.put(SHEET, sheet)
    kept = images.select(IDENTITY).filter(pa.array(read))
    store.put(
        SIGNATURES, _parquet(kept.append_column("map", pa.array([one.tobytes() for one in maps[read]], pa.binary())))
    )
    rows = sorted(comparisons.items())
    store.put(
        COMPARISONS,
        _parquet(
            pa.table(
                [
                    [ids[first] for (first, _, _), _ in rows],
                    [ids[second] for (_, second, _), _ in rows],
                    [turn for (_, _, turn), _ in rows],
                    [None if verdict is None else str(verdict[0]) for _, verdict in rows],
                    [None if verdict is None else verdict[1] for _, verdict in rows],
                ],
                schema=_COMPARISONS,
            )
        ),
    )
    store.put(RUN, (json.dumps({"format": FORMAT, **run}, indent=1, ensure_ascii=False) + "\n").encode())


def pair_table(pairs: Sequence[Pair], ids: Sequence[str]) -> pa.Table:
    """Pairs as they are written."""
    columns = [
        [ids[pair.first] for pair in pairs],
        [ids[pair.second] for pair in pairs],
        [str(pair.reason) for pair in pairs],
        [pair.score for pair in pairs],
        [TRANSFORMS[pair.transform] for pair in pairs],
    ]
    return pa.table(columns, schema=PAIR_SCHEMA)


def group_table(groups: Sequence[Group], ids: Sequence[str]) -> pa.Table:
    """Groups as they are written."""
    rows: list[dict[str, Any]] = []
    for number, group in enumerate(groups):
        rows.append({"group": number, "image_id": ids[group.representative], "role": REPRESENTATIVE})
        rows += [
            {"group": number, "image_id": ids[row], "role": MEMBER, "reason": str(pair.reason), "score": pair.score}
            for row, pair in group.members
        ]
    return pa.Table.from_pylist(rows, GROUP_SCHEMA)


def _csv(table: pa.Table, groups: Sequence[Group], images: pa.Table) -> bytes:
    """The groups for a spreadsheet, with the record and the address of each image."""
    order = [row for group in groups for row in (group.representative, *(row for row, _ in group.members))]
    chosen = images.take(pa.array(order, pa.int64())).select(["record_id", "uri"]).to_pylist()
    rows = [{**named, **other} for named, other in zip(table.to_pylist(), chosen, strict=True)]
    for row in rows:
        row["score"] = None if row["score"] is None else round(row["score"], 4)
    file = io.StringIO(newline="")
    write_csv(file, ["group", "role", "image_id", "record_id", "reason", "score", "uri"], rows)
    return file.getvalue().encode("utf-8-sig")  # with the mark by which Excel knows UTF-8


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _table(folder: str, name: str, schema: pa.Schema | None) -> pa.Table:
    store = open_store(folder)
    if store.version(name) is None:
        raise InputError(f"{folder}/{name} is missing: find the duplicates again.")
    try:
        with pq.ParquetFile(store.open(name)) as file:
            table = file.read()
        return table if schema is None else table.select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise InputError(f"{folder}/{name} is damaged ({first_line(error)}): find the duplicates again.") from error
