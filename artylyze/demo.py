"""The demo: a generated collection, scanned and tagged, and what came out of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from artylyze.catalog.snapshot import embeddings, part_paths, read_catalog, read_snapshot
from artylyze.collection import scan
from artylyze.images import decode
from artylyze.publish.contact_sheet import TILE, Tile, contact_sheet
from artylyze.sample import write_sample
from artylyze.storage import fetch
from artylyze.tagging.job import run
from artylyze.tagging.request import TagRequest, Watcher

QUERIES = 4
"""Works on the contact sheet, each beside the works most like it."""

NEIGHBOURS = 5


@dataclass(frozen=True)
class DemoResult:
    """What the demo made."""

    catalog: str
    rows: int
    ok: int
    errors: dict[str, int]
    contact_sheet: str
    same_genre: float
    same_style: float
    text: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "text"}


def run_demo(folder: Path, count: int, watcher: Watcher) -> DemoResult:
    """Write a sample with broken files among it, scan it, tag it, and show the works most like a few of them."""
    sample, manifest, catalog = folder / "sample", folder / "manifest.parquet", folder / "catalog"
    watcher.say(f"1/4 Drawing a sample of {count:,} images, some broken on purpose: {sample}")
    write_sample(sample, count, awkward=True)
    watcher.say("2/4 Scanning it, and joining its metadata.csv")
    scan(
        str(sample / "images"),
        str(manifest),
        metadata=str(sample / "metadata.csv"),
        id_column="record_id",
        file_column="file",
    )
    watcher.say("3/4 Tagging it")
    run(TagRequest(source=str(manifest), output=str(catalog), max_error_rate=1.0), watcher)
    watcher.say("4/4 Looking for the works most like a few of them")
    return show(folder, str(catalog))


def show(folder: Path, catalog: str) -> DemoResult:
    """Draw the contact sheet of a catalog and describe it in words."""
    snapshot = read_snapshot(catalog)
    table = read_catalog(catalog, ["image_id", "uri", "status", "width", "height", "metadata"]).to_pylist()
    by_id = {row["image_id"]: row for row in table if row["status"] == "ok"}
    ids, matrix = embeddings(catalog)
    nearest = _nearest(matrix)
    sheet = folder / "contact-sheet.png"
    chosen = np.linspace(0, len(ids) - 1, QUERIES + 2).astype(int)[1:-1]
    tiles = [_tile(by_id[ids[row]]) for one in chosen for row in [one, *nearest[one]]]
    contact_sheet("Each row: a work, then the works most like it by their embeddings", tiles, NEIGHBOURS + 1).save(
        sheet
    )
    agreement = {
        name: float(
            np.mean(
                [
                    [_label(by_id, ids, row, name) == _label(by_id, ids, other, name) for other in nearest[row]]
                    for row in range(len(ids))
                ]
            )
        )
        for name in ("genre", "style")
    }
    result = DemoResult(
        catalog,
        snapshot.rows,
        snapshot.ok,
        dict(snapshot.errors),
        str(sheet),
        agreement["genre"],
        agreement["style"],
        "",
    )
    counted = Counter(row["metadata"]["genre"] for row in by_id.values() if row["metadata"])
    return DemoResult(**{**asdict(result), "text": _text(result, counted, part_paths(catalog, snapshot))})


def _nearest(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return for each embedding the rows of the most similar others by cosine, int64 (n, NEIGHBOURS)."""
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1)[:, :NEIGHBOURS]


def _label(by_id: dict[str, Any], ids: list[str], row: int, name: str) -> str | None:
    metadata = by_id[ids[row]]["metadata"]
    return metadata[name] if metadata else None


def _tile(row: dict[str, Any]) -> Tile:
    metadata = row["metadata"] or {}
    pixels = decode(bytes(fetch(row["uri"])), TILE).pixels
    first = metadata.get("title") or row["image_id"]
    return Tile(pixels, row["width"] / row["height"], [first, f"{metadata.get('genre')}, {metadata.get('style')}"])


def _text(result: DemoResult, genres: Counter[str], paths: list[str]) -> str:
    wide = max(len(name) for name in genres)
    table = "\n".join(f"  {name:<{wide}}  {count:5,}" for name, count in genres.most_common())
    failed = "\n".join(f"  {code:<{wide}}  {count:5,}" for code, count in result.errors.items())
    pattern = str(Path(paths[0]).parent / "*.parquet")
    return f"""
{result.ok:,} of {result.rows:,} images have an embedding. By the genre in their metadata:
{table}
The others are rows too, with the reason:
{failed}

Of the {NEIGHBOURS} works most like a work {result.same_genre:.0%} share its genre, {result.same_style:.0%} its style.
By chance it would be about 8%. The model was never trained on them: its embeddings alone know that.

Contact sheet  {result.contact_sheet}
Catalog        {result.catalog}

Open it with DuckDB or pandas (`artylyze paths {result.catalog}` lists its files):
  duckdb.sql("select metadata.genre, count(*) from '{pattern}' group by 1 order by 2 desc")
  pandas.concat(pandas.read_parquet(path) for path in glob.glob("{pattern}"))"""
