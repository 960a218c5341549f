"""Near-duplicates among paintings and variants of some of them: recall, precision and time, beside imagededup's PHash.

python benchmarks/duplicates.py --data ../shared/data --out benchmarks/results [--varied 300] [--works 100000]

Asked for are the pairs of a painting and a variant of it. A pair is right if both show one painting, or if it is of
`SECOND`: all further pairs that artylyze finds among the paintings themselves, judged by eye as two photographs (or
impressions) of one work. Pairs that are perhaps copies do not count, neither way. imagededup's CNN is left out: it
downloads its weights. Time and memory at size are those of a catalog of 100,000 different works with thumbnails
(`benchmarks/duplicate_catalog.py`), once it is indexed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from artylyze.catalog.snapshot import embeddings
from artylyze.duplication.reasons import Reason
from artylyze.duplication.store import read_pairs, read_run
from benchmarks.duplicate_catalog import write_many
from benchmarks.duplicate_images import KINDS, truth, write_variants
from benchmarks.inputs import paintings
from benchmarks.measure import ARTYLYZE, busy, machine, run_contestant
from benchmarks.report import Check

SECOND = {
    ("dads7202_0289", "titian_0065"),
    ("dads7202_0491", "kohlerryan_0044"),
    ("dads7202_0527", "wikiart224_1418"),
    ("louvre_0513", "wikiart224_2134"),
    ("titian_0087", "titian_0096"),
    ("titian_0165", "titian_0167"),
    ("titian_0177", "titian_0188"),
    ("titian_0210", "titian_0221"),
    ("wikiart224_0063", "wikiart224_0500"),
    ("wikiart224_0127", "wikiart224_0499"),
    ("wikiart224_0139", "wikiart224_0172"),
    ("wikiart224_0179", "wikiart224_0388"),
    ("wikiart224_0219", "wikiart224_0336"),
    ("wikiart224_0236", "wikiart224_0261"),
    ("wikiart224_0506", "wikiart224_0513"),
    ("wikiart224_0610", "wikiart224_1010"),
    ("wikiart224_1119", "wikiart224_1235"),
    ("wikiart224_1341", "wikiart224_1350"),
    ("wikiart224_1586", "wikiart224_1604"),
    ("wikiart224_2165", "wikiart224_2190"),
    ("wikiart224_2500", "wikiart224_2526"),
}
"""Paintings of the data that are in it twice, by the names of their files."""

FOLDER = "paintings"
"""Of the paintings on which thresholds were chosen; others of DATA were not looked at before."""

DISTANCE = 10
"""Bits in which hashes may differ: imagededup's default."""

Pair = tuple[str, str]


def judge(pairs: Iterable[Pair], names: Sequence[str], second: set[Pair] = SECOND) -> dict[str, Any]:
    """Recall by kind of variant and altogether, and precision, of pairs of file names."""
    known = truth(names)
    asked = {kind: sum(variant == kind for _, variant in known.values()) for kind in KINDS}
    hits, right, wrong = dict.fromkeys(KINDS, 0), 0, 0
    for pair in {tuple(sorted(pair)) for pair in pairs}:
        (first, one), (other, another) = (known[name] for name in pair)
        if first == other:
            right += 1
            kind = one or another
            if (one is None) != (another is None) and kind is not None:
                hits[kind] += 1
        elif tuple(sorted((first, other))) in second:
            right += 1
        else:
            wrong += 1
    return {
        "recall": round(sum(hits.values()) / max(1, sum(asked.values())), 4),
        "precision": round(right / max(1, right + wrong), 4),
        "pairs": right + wrong,
        "wrong": wrong,
        "recall_by_kind": {kind: round(hits[kind] / max(1, asked[kind]), 4) for kind in KINDS},
    }


def of_artylyze(catalog: Path, folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Run the command and judge its pairs; the index is made before."""
    run_contestant([*ARTYLYZE, "index", str(catalog)], folder / "index.txt")
    output = folder / "duplicates"
    run = run_contestant([*ARTYLYZE, "duplicates", str(catalog), "-o", str(output)], folder / "duplicates.txt")
    rows = read_pairs(str(output)).to_pylist()
    sure = [(row["image_id_a"], row["image_id_b"]) for row in rows if row["reason"] != Reason.COPY]
    counts = {name: read_run(str(output))[name] for name in ("proposed", "compared", "reasons", "groups", "works")}
    return {**judge(sure, names), "seconds": round(run.seconds, 1), "peak_mib": round(run.peak / 2**20), **counts}


def at_size(catalog: Path, sources: Sequence[Path], folder: Path, works: int) -> dict[str, Any]:
    """Run the command on a catalog of so many works, made from the embeddings of a catalog of paintings."""
    many = write_many(folder / "many", embeddings(str(catalog))[1], sources, works)
    indexing = run_contestant([*ARTYLYZE, "index", many], folder / "index-many.txt")
    output = folder / "duplicates-many"
    run = run_contestant([*ARTYLYZE, "duplicates", many, "-o", str(output)], folder / "duplicates-many.txt")
    counts = {name: read_run(str(output))[name] for name in ("proposed", "compared", "pairs")}
    return {
        "works": works,
        "seconds": round(run.seconds, 1),
        "peak_mib": round(run.peak / 2**20),
        "index_seconds": round(indexing.seconds, 1),
        **counts,
    }


def of_phash(images: Path, names: Sequence[str]) -> dict[str, Any]:
    """Run imagededup's PHash in this process and judge its pairs."""
    from imagededup.methods import PHash

    began = time.perf_counter()
    hasher = PHash(verbose=False)
    encodings = hasher.encode_images(image_dir=str(images), num_enc_workers=2)
    near = hasher.find_duplicates(encoding_map=encodings, max_distance_threshold=DISTANCE, num_dist_workers=2)
    seconds = time.perf_counter() - began
    found = [(name, other) for name, others in near.items() for other in others]
    return {**judge(found, names), "seconds": round(seconds, 1)}


def checks(contestants: Mapping[str, Mapping[str, Any]], many: Mapping[str, Any]) -> list[Check]:
    """The targets of recall and precision, and of time and memory at size."""
    mine = contestants["artylyze"]
    return [
        Check("recall of artylyze", mine["recall"], least=0.95),
        Check("precision of artylyze", mine["precision"], least=0.98),
        Check(f"seconds of {many['works']:,} works", many["seconds"], most=300.0),
        Check(f"peak memory of {many['works']:,} works, MiB", many["peak_mib"], most=2048),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the collection, run everybody, write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folder", default=FOLDER, help="of the paintings in DATA")
    parser.add_argument("--varied", type=int, default=300, help="paintings of which variants are made")
    parser.add_argument("--catalog", type=Path, help="of the images that an earlier run has made beside it")
    parser.add_argument("--works", type=int, default=100_000, help="of the catalog on which time is measured")
    parser.add_argument("--quick", action="store_true", help="10 paintings varied, of 60")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="artylyze-duplicates-") as temporary:
        folder = Path(temporary)
        sources = paintings(asked.data, asked.folder)[: 60 if asked.quick else None]
        varied = 10 if asked.quick else asked.varied
        if asked.catalog is None:
            images, catalog = folder / "images", folder / "catalog"
            images.mkdir()
            for source in sources:
                (images / source.name).write_bytes(source.read_bytes())
            write_variants(sources[:varied], images)
            run_contestant([*ARTYLYZE, "tag", str(images), "-o", str(catalog)], folder / "tag.txt")
        else:
            catalog = asked.catalog
            images = catalog.parent / "images"
        names = sorted(path.name for path in images.iterdir())
        before = busy()
        contestants = {"artylyze": of_artylyze(catalog, folder, names)}
        left_out = {"imagededup CNN": "its weights are downloaded when it starts"}
        try:
            contestants["imagededup PHash"] = of_phash(images, names)
        except ImportError as error:
            left_out["imagededup PHash"] = str(error)
        many = at_size(catalog, sources, folder, 500 if asked.quick else asked.works)
    result = {
        "benchmark": "duplicates",
        "settings": {"images": len(names), "paintings": len(sources), "varied": varied, "bits": DISTANCE},
        "contestants": contestants,
        "left_out": left_out,
        "at_size": many,
        "checks": [check.as_dict() for check in checks(contestants, many)],
        "busy_before_percent": before,
        "machine": machine(),
        "versions": versions(),
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    name = "duplicates" if asked.folder == FOLDER else f"duplicates-{asked.folder}"
    (asked.out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["checks"], indent=1))


def versions() -> dict[str, str]:
    """Versions of what was measured."""
    known = {}
    for name in ("artylyze", "numpy", "scipy", "pillow", "imagededup"):
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            known[name] = "not installed"
    return known


if __name__ == "__main__":
    main()
